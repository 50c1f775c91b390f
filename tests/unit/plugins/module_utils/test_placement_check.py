"""Unit, prefix, engine's flags and environment say the same; what does not is found."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.engine import engine_command
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.placement_check import contradictions, option_values
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from plan_topologies import model, topologies, wishes

PLACED = {"name": "chat-0", "runtime": "llama_cpp", "cpus": [2, 3], "cpu_range": "2-3", "numa_policy": "bind",
          "numa_nodes": [0], "numa_range": "0", "environment": {}}
UNBOUND = dict(PLACED, numa_policy="none", numa_nodes=[0, 1], numa_range="0-1")
UNIT = [("AllowedCPUs", "2-3"), ("CPUAffinity", ""), ("CPUAffinity", "2-3"), ("AllowedMemoryNodes", "0"),
        ("NUMAPolicy", "bind"), ("NUMAMask", "0")]
ENGINE = {"path": "/opt/engine"}


def unit_but(*others):
    """The unit with other values: a value of None leaves the key out."""
    changed = dict(others)
    kept = [(key, changed.get(key, value) if value else value) for key, value in UNIT]
    return [(key, value) for key, value in kept if value is not None]


@pytest.mark.parametrize(("instance", "words", "unit"), [
    (PLACED, ["/usr/bin/numactl", "--physcpubind=2-3", "--membind=0", "--", "x", "--numa", "numactl", "--threads", "2"],
     UNIT),
    (PLACED, ["/usr/bin/taskset", "--cpu-list", "2,3", "x", "--threads=1"], UNIT),
    (PLACED, [], []),
    (UNBOUND, ["x", "-t", "9"], [("CPUAffinity", "2-3"), ("AllowedCPUs", "2-3")]),
    # What stood before an empty CPUAffinity= does not count.
    (PLACED, [], [("CPUAffinity", "0-7")] + UNIT),
    (PLACED, [], [pair for pair in UNIT if pair[0] != "AllowedCPUs"]),
    # A program's own threads are its own business.
    (dict(PLACED, runtime="command"), ["/srv/app", "--threads", "88"], UNIT),
    (dict(PLACED, environment={"VLLM_CPU_OMP_THREADS_BIND": "2|3"}), [], []),
])
def test_what_agrees_is_not_spoken_of(instance, words, unit):
    assert contradictions(instance, words, unit) == []


@pytest.mark.parametrize(("instance", "words", "unit", "sentence"), [
    (PLACED, ["--physcpubind=0-3"], (), "numactl has --physcpubind=0-3, and the plan gives it CPUs 2-3"),
    (PLACED, ["--cpu-list", "2"], (), "taskset has --cpu-list=2, and the plan gives it CPUs 2-3"),
    (PLACED, ["--cpuset-cpus=2-4"], (),
     "the container's cpuset has --cpuset-cpus=2-4, and the plan gives it CPUs 2-3"),
    (PLACED, ["--membind=1"], (), "--membind=1 is not the plan's memory policy bind on nodes 0"),
    (PLACED, ["--interleave=0"], (), "--interleave=0 is not the plan's memory policy bind on nodes 0"),
    (UNBOUND, ["--membind=0-1"], (), "--membind=0-1 is not the plan's memory policy none on nodes 0-1"),
    (PLACED, ["--numa", "distribute"], (), "--numa distribute overrides the CPUs that the plan gives it"),
    (PLACED, ["--numa=isolate"], (), "--numa isolate overrides the CPUs that the plan gives it"),
    (PLACED, ["--threads", "3"], (), "--threads is 3, and it has 2 CPUs"),
    (PLACED, ["--threads", "-1"], (), "--threads is -1, and it has 2 CPUs"),
    (PLACED, ["--threads-batch=4"], (), "--threads-batch is 4, and it has 2 CPUs"),
    (PLACED, [], unit_but(("AllowedCPUs", "2-4")), "AllowedCPUs= is 2-4, and the plan gives it CPUs 2-3"),
    (PLACED, [], unit_but(("CPUAffinity", "2")), "CPUAffinity= is not CPUs 2-3"),
    (PLACED, [], unit_but(("CPUAffinity", None)), "CPUAffinity= is not CPUs 2-3"),
    (PLACED, [], [*UNIT, ("CPUAffinity", "5")], "CPUAffinity= is not CPUs 2-3"),
    (PLACED, [], unit_but(("NUMAMask", None)), "NUMAMask= is not nodes 0"),
    (PLACED, [], unit_but(("NUMAMask", "0-1")), "NUMAMask= is not nodes 0"),
    (PLACED, [], unit_but(("AllowedMemoryNodes", "1")), "AllowedMemoryNodes= is not nodes 0"),
    (PLACED, [], unit_but(("NUMAPolicy", "interleave")), "NUMAPolicy= is interleave, and the plan's is bind"),
    (dict(PLACED, environment={"VLLM_CPU_OMP_THREADS_BIND": "0-2"}), [], (),
     "VLLM_CPU_OMP_THREADS_BIND is 0-2, and its CPUs are 2-3"),
    (dict(PLACED, environment={"VLLM_CPU_OMP_THREADS_BIND": "auto"}), [], (),
     "VLLM_CPU_OMP_THREADS_BIND is auto, and its CPUs are 2-3"),
])
def test_what_does_not_agree_is_found(instance, words, unit, sentence):
    assert contradictions(instance, words, unit) == ["chat-0: %s." % sentence]


def test_options_are_read_in_both_spellings():
    assert option_values(["x", "--a", "1", "--b=2", "-c", "--d"]) == [
        ("--a", "1"), ("--b", "2"), ("-c", "--d"), ("--d", "")]


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], deadline=None)
@given(topologies(), wishes(), st.sampled_from(("llama_cpp", "vllm", "whisper", "command", "container")),
       st.sampled_from(("none", "numactl", "taskset")))
def test_no_plan_contradicts_itself(host, services, runtime, prefix):
    more = {"command": {"command": ["/srv/app"]}, "container": {"image": "r.example.org/a/b@sha256:" + "a" * 64}}
    for service in services:
        service.update(more.get(runtime, {}), runtime=runtime, prefix="none" if runtime == "container" else prefix)
        service["model"] = dict(model(), **service["model"])
    try:
        plan = make_plan(host, services)
    except PlanError:
        assume(False)
    for instance in plan["instances"]:
        # It checks itself, too.
        assert contradictions(instance, engine_command(instance, ENGINE, "/models")) == []
