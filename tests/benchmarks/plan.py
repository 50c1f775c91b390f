"""How long planning a fleet takes, and how that grows with its hosts and with their CPUs.

    python tests/benchmarks/plan.py

Plans hosts of 8 nodes, SMT and 4 GPUs with 4 services each in one process. Prints seconds for each size and the growth
from one size to the next: linear is 1.0. Ends with status 1 where 1,000 hosts of 256 CPUs take 60 s or more.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests" / "unit"), str(REPOSITORY / ".collections")]

from ansible_collections.inference.host.plugins.module_utils.plan import make_plan  # noqa: E402
from plan_topologies import gpu, model, service, topology  # noqa: E402

FLEETS = ((125, 256), (250, 256), (500, 256), (1000, 256))
SIZES = ((250, 64), (250, 128), (250, 256), (250, 512))
LIMIT_SECONDS = 60


def hosts(count, cpus):
    """Hosts that differ a little, so that nothing could be remembered from one to the next."""
    for number in range(count):
        gpus = [gpu(card, node=2 * card) for card in range(4)]
        yield topology(sockets=2, nodes=4, cores=cpus // 16, threads=2, memory_mib=65536 + number, gpus=gpus, nvme=2)


def services():
    numbers = model(weights_mib=40000, kv_bytes_per_token=131072, layers=32)
    return [
        service("chat", model=numbers, cpu_share=0.1, priority=2, numa=1),
        service("vision", instances="per_gpu", model=model("v", weights_mib=9000, layers=40),
                environment={"OMP_NUM_THREADS": "{threads}"}),
        # Fits no single node: every set of nodes is looked at.
        service("large", model=model("l", weights_mib=180000, kv_bytes_per_token=131072), threads=20),
        service("background", model=model("b", weights_mib=2000)),
    ]


def seconds(count, cpus):
    fleet, wanted = list(hosts(count, cpus)), services()
    started = time.perf_counter()
    for host in fleet:
        make_plan(host, wanted)
    return time.perf_counter() - started


def show(sizes, varied):
    """Print a table; `varied` is the column that grows."""
    print("  hosts   CPUs   seconds   ms a host   growth")
    taken = []
    for size in sizes:
        taken.append(seconds(*size))
        growth = ""
        if len(taken) > 1:
            before = sizes[len(taken) - 2]
            growth = "%.2f" % (taken[-1] / taken[-2] / (size[varied] / before[varied]))
        print("  %5d  %5d  %8.2f  %10.2f   %s" % (*size, taken[-1], taken[-1] / size[0] * 1000, growth))
    return taken


def main():
    print("8 nodes, SMT, 4 GPUs, 4 services; Python %s" % sys.version.split()[0])
    fleet = show(FLEETS, 0)
    show(SIZES, 1)
    return fleet[-1] >= LIMIT_SECONDS


if __name__ == "__main__":
    sys.exit(main())
