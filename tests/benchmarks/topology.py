"""How long reading a machine takes, and how that grows with its CPUs.

    python tests/benchmarks/topology.py

Builds trees with the tests' builder (in memory where there is a place for that) and reads each several times in one
process, the sizes in turn so that a busy moment falls on all of them. Prints medians with the fastest and slowest run,
the files that were opened, and the growth from one size to the next: time by CPUs is linear at 1.0.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests" / "unit"), str(REPOSITORY / ".collections")]

from ansible_collections.inference.host.plugins.module_utils.topology import read_topology  # noqa: E402
from builders import Machine, scratch  # noqa: E402

SIZES = (64, 128, 256, 512, 1024)
RUNS = 15

opened = []
sys.addaudithook(lambda event, arguments: opened.append(arguments[0]) if event == "open" else None)


def build(cpus, folder):
    """8 nodes in 2 sockets, SMT, 16 GPUs, 4 NVMe disks, a frequency policy for each CPU."""
    nodes = [number % 8 for number in range(16)]
    machine = Machine(
        sockets=2, nodes=4, cores=cpus // 16, threads=2, cpufreq="intel_pstate", gpus=nodes, nvme=nodes[:4]
    )
    return machine.write(Path(folder) / str(cpus))


def measure(roots):
    """Return {cpus: [seconds]} and {cpus: files opened}."""
    times, files = {cpus: [] for cpus in roots}, {}
    for _run in range(RUNS):
        for cpus, root in roots.items():
            gc.collect()
            opened.clear()
            started = time.perf_counter()
            read_topology(root)
            times[cpus].append(time.perf_counter() - started)
            files[cpus] = len(opened)
    return times, files


def main():
    with scratch() as folder:
        times, files = measure({cpus: build(cpus, folder) for cpus in SIZES})
    print(f"8 nodes, 16 GPUs, 4 NVMe disks; median of {RUNS} runs, Python {sys.version.split()[0]}")
    print("  CPUs   files   median      min      max   growth")
    before = None
    for cpus in SIZES:
        median = statistics.median(times[cpus])
        growth = f"{median / before[1] / (cpus / before[0]):8.2f}" if before else ""
        print(f"{cpus:6d} {files[cpus]:7d} {median:7.4f}s {min(times[cpus]):7.4f}s {max(times[cpus]):7.4f}s {growth}")
        before = cpus, median


if __name__ == "__main__":
    main()
