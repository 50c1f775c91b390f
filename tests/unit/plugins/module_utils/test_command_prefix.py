"""Arguments of numactl and taskset that place a command where the plan places an instance."""

import os
import shutil
import subprocess
import sys

import pytest
from ansible_collections.inference.host.plugins.module_utils.command_prefix import numactl_args, taskset_args
from ansible_collections.inference.host.plugins.module_utils.cpulist import cpu_range, parse_cpu_list
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from hypothesis import HealthCheck, assume, given, settings
from plan_topologies import topologies, wishes

PRINT_CPUS = [sys.executable, "-c", "import os; print(sorted(os.sched_getaffinity(0)))"]


def instance(policy="bind", cpus="0-7", nodes="0"):
    return {"name": "chat-0", "cpu_range": cpus, "numa_policy": policy, "numa_range": nodes}


@pytest.mark.parametrize(("given_instance", "words"), [
    (instance(), ["--physcpubind=0-7", "--membind=0"]),
    (instance(nodes="0,2"), ["--physcpubind=0-7", "--membind=0,2"]),
    (instance("interleave", "0-3,8", "0-1"), ["--physcpubind=0-3,8", "--interleave=0-1"]),
    (instance("none", "4"), ["--physcpubind=4"]),
    (instance("none", "4", nodes=None), ["--physcpubind=4"]),
])
def test_numactl_gets_the_cpus_and_the_policy(given_instance, words):
    assert numactl_args(given_instance) == words


def test_taskset_gets_the_cpus():
    assert taskset_args(instance(cpus="1-3,8")) == ["--cpu-list", "1-3,8"]


@pytest.mark.parametrize(("broken", "sentence"), [
    ("chat-0", "The instance is 'chat-0'; give one element of the plan's instances."),
    ([instance()], "The instance is a list; give one element of the plan's instances."),
    ({}, "instance: cpu_range is None; it must be a range such as 0-3,8, as in the plan's instances."),
    (instance(cpus=""), "chat-0: cpu_range is ''; it must be a range such as 0-3,8, as in the plan's instances."),
    (instance(cpus="0;x"), "chat-0: cpu_range is '0;x'; it must be a range such as 0-3,8, as in the plan's instances."),
    (instance(cpus=[0]), "chat-0: cpu_range is a list; it must be a range such as 0-3,8, as in the plan's instances."),
])
def test_what_is_no_instance_is_refused(broken, sentence):
    for render in (numactl_args, taskset_args):
        with pytest.raises(PlanError) as error:
            render(broken)
        assert str(error.value) == sentence


@pytest.mark.parametrize(("broken", "sentence"), [
    (instance("local"), "chat-0: numa_policy is 'local'; it must be one of bind, interleave, none."),
    (instance(None), "chat-0: numa_policy is None; it must be one of bind, interleave, none."),
    (instance(nodes=""), "chat-0: numa_range is ''; it must be a range such as 0-3,8, as in the plan's instances."),
])
def test_what_is_no_policy_is_refused(broken, sentence):
    with pytest.raises(PlanError) as error:
        numactl_args(broken)
    assert str(error.value) == sentence


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], deadline=None)
@given(topologies(), wishes())
def test_the_words_say_what_the_plan_says(host, services):
    try:
        plan = make_plan(host, services)
    except PlanError:
        assume(False)
    for planned in plan["instances"]:
        cpus, *memory = numactl_args(planned)
        assert parse_cpu_list(cpus.split("=")[1]) == planned["cpus"]
        assert taskset_args(planned) == ["--cpu-list", planned["cpu_range"]]
        option = {"bind": "--membind", "interleave": "--interleave"}.get(planned["numa_policy"])
        assert memory == (["%s=%s" % (option, cpu_range(planned["numa_nodes"]))] if option else [])


@pytest.mark.skipif(not shutil.which("taskset"), reason="taskset (util-linux) is not installed")
def test_taskset_does_it():
    cpu = max(os.sched_getaffinity(0))
    command = ["taskset", *taskset_args(instance(cpus=str(cpu))), *PRINT_CPUS]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[%d]\n" % cpu


@pytest.mark.skipif(not shutil.which("numactl"), reason="numactl is not installed")
@pytest.mark.parametrize("policy", ["bind", "interleave", "none"])
def test_numactl_does_it(policy):
    cpu = max(os.sched_getaffinity(0))
    words = numactl_args(instance(policy, str(cpu)))
    shown = subprocess.run(["numactl", *words, "numactl", "--show"], capture_output=True, text=True, check=True).stdout
    assert "policy: %s" % {"none": "default"}.get(policy, policy) in shown
    assert subprocess.run(["numactl", *words, *PRINT_CPUS], capture_output=True, text=True, check=True).stdout == (
        "[%d]\n" % cpu)
