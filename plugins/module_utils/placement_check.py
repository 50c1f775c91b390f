# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether everything that places a process says the same: unit, command prefix, engine's flags, environment.

Each of them alone is read by somebody else (systemd, numactl, the engine, OpenMP), and the last one wins.
"""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.cpulist import parse_cpu_list
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError

CPUS = {"--physcpubind": "numactl", "--cpu-list": "taskset", "--cpuset-cpus": "the container's cpuset"}
NODES = {"--membind": "bind", "--interleave": "interleave"}
THREADS = ("--threads", "--threads-batch")
BOUND = "VLLM_CPU_OMP_THREADS_BIND"
MOVING = ("distribute", "isolate")
"""Values of llama.cpp's --numa that set the affinity to every CPU of a node."""


def contradictions(instance, words, unit=()):
    """Return sentences on what does not agree with the instance's place in the plan; [] where all does.

    words: its command line. unit: (key, value) pairs of its unit's [Service] section, in their order.
    """
    found = []
    options = option_values(words)
    for name, value in options:
        found += _option(instance, name, value)
    found += _unit(instance, list(unit))
    bound = instance["environment"].get(BOUND)
    if bound and not _inside(bound.replace("|", ","), instance["cpus"]):
        found.append("%s is %s, and its CPUs are %s" % (BOUND, bound, instance["cpu_range"]))
    return ["%s: %s." % (instance["name"], sentence) for sentence in found]


def check_placement(instance, words):
    """Raise PlanError with the first contradiction of a command line."""
    for sentence in contradictions(instance, words):
        raise PlanError(sentence)


def option_values(words):
    """Return (option, value) pairs of a command line: `--name=value` and `--name value` alike."""
    pairs = []
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if word.startswith("-"):
            pairs.append((name, value if equals else words[place + 1] if place + 1 < len(words) else ""))
    return pairs


def _option(instance, name, value):
    if name in CPUS and _ids(value) != instance["cpus"]:
        return ["%s has %s=%s, and the plan gives it CPUs %s" % (CPUS[name], name, value, instance["cpu_range"])]
    if name in NODES and (NODES[name] != instance["numa_policy"] or _ids(value) != instance["numa_nodes"]):
        return ["%s=%s is not the plan's memory policy %s on nodes %s" % (
            name, value, instance["numa_policy"], instance["numa_range"])]
    if name == "--numa" and value in MOVING:
        return ["--numa %s overrides the CPUs that the plan gives it" % value]
    if name in THREADS and instance["runtime"] in ("llama_cpp", "whisper") and not _fits(value, instance["cpus"]):
        return ["%s is %s, and it has %d CPUs" % (name, value, len(instance["cpus"]))]
    return []


def _unit(instance, pairs):
    """What the unit says; an empty CPUAffinity= takes back what stood before it."""
    found, affinity = [], None
    values = dict(pairs)
    for key, value in pairs:
        if key == "CPUAffinity":
            affinity = (affinity or []) + _ids(value) if value else None
    if pairs and sorted(affinity or []) != instance["cpus"]:
        found.append("CPUAffinity= is not CPUs %s" % instance["cpu_range"])
    if "AllowedCPUs" in values and _ids(values["AllowedCPUs"]) != instance["cpus"]:
        found.append("AllowedCPUs= is %s, and the plan gives it CPUs %s" % (
            values["AllowedCPUs"], instance["cpu_range"]))
    policy = values.get("NUMAPolicy", "none")
    if pairs and policy != instance["numa_policy"]:
        found.append("NUMAPolicy= is %s, and the plan's is %s" % (policy, instance["numa_policy"]))
    for key in ("NUMAMask", "AllowedMemoryNodes"):
        if pairs and (_ids(values.get(key, "")) if policy != "none" else []) != (
                instance["numa_nodes"] if instance["numa_policy"] != "none" else []):
            found.append("%s= is not nodes %s" % (key, instance["numa_range"]))
    return found


def _ids(text):
    try:
        return parse_cpu_list(text) if text else []
    except ValueError:
        return None


def _inside(text, cpus):
    ids = _ids(text)
    return ids is not None and set(ids) <= set(cpus)


def _fits(text, cpus):
    return text.isdigit() and 1 <= int(text) <= len(cpus)
