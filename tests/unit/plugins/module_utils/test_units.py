"""What systemd says of units, and what must be done about it."""

import os
import subprocess
import sys

import pytest
from ansible_collections.inference.host.plugins.module_utils.units import (
    action_needed,
    credentials,
    effective,
    is_enabled,
    memory_policy,
    parse_show,
    placement_fault,
    running_revision,
    status_field,
    unit_files,
    wanted_revision,
)

# As systemd 252 printed it for an instance, for a unit that is not there and for one with a quoted environment.
SHOWN = """\
MainPID=3561
Environment=INFERENCE_REVISION=4d4e75d5a881
Id=inference-chat@0.service
LoadState=loaded
ActiveState=active
FragmentPath=/etc/systemd/system/inference-chat@.service
DropInPaths=/etc/systemd/system/inference-chat@0.service.d/placement.conf /etc/systemd/system/service.d/site.conf
UnitFileState=enabled
NeedDaemonReload=no

MainPID=0
Environment=
Id=nope.service
LoadState=not-found
ActiveState=inactive
FragmentPath=
DropInPaths=
UnitFileState=
NeedDaemonReload=no

MainPID=0
Environment="E1=it's 50% \\"q\\" \\$HOME \\${X} \\\\n ; é #%i" A=b=c INFERENCE_REVISION=ab12
Id=probe@3.service
LoadState=loaded
ActiveState=active
"""


def test_each_unit_has_its_properties():
    units = parse_show(SHOWN)
    assert list(units) == ["inference-chat@0.service", "nope.service", "probe@3.service"]
    assert units["inference-chat@0.service"]["MainPID"] == "3561"
    assert units["nope.service"]["LoadState"] == "not-found"
    assert units["nope.service"]["UnitFileState"] == ""
    assert units["probe@3.service"]["Environment"].endswith("A=b=c INFERENCE_REVISION=ab12")


@pytest.mark.parametrize("text", ["", "\n", "Failed to connect to bus: No such file or directory\n", "MainPID=0\n"])
def test_no_answer_is_no_unit(text):
    assert parse_show(text) == {}


@pytest.mark.parametrize(("state", "enabled"), [
    ("enabled", True), ("generated", True), ("disabled", False), ("", False)])
def test_what_starts_at_boot_is_enabled(state, enabled):
    assert is_enabled({"UnitFileState": state}) is enabled


def test_the_wanted_revision_is_found_among_other_variables():
    units = parse_show(SHOWN)
    assert wanted_revision(units["inference-chat@0.service"]) == "4d4e75d5a881"
    assert wanted_revision(units["probe@3.service"]) == "ab12"
    assert wanted_revision(units["nope.service"]) is None
    assert wanted_revision({}) is None
    assert wanted_revision({"Environment": "MY_INFERENCE_REVISION=1"}) is None


@pytest.mark.parametrize(("environ", "revision"), [
    (b"A=b\0INFERENCE_REVISION=ab12\0C=d\0", "ab12"),
    (b"INFERENCE_REVISION=", ""),
    (b"X=INFERENCE_REVISION=ab12\0", None),
    (b"", None),
    (b"INFERENCE_REVISION=\xff\0", "�"),
])
def test_the_running_revision_is_read_from_the_process(environ, revision):
    assert running_revision(environ) == revision


def test_the_revision_of_a_real_process_is_found():
    code = "print(open('/proc/self/environ', 'rb').read().hex())"
    environment = dict(os.environ, INFERENCE_REVISION="cd34")
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert running_revision(bytes.fromhex(done.stdout)) == "cd34"


# What must be done

RUNNING = {"ActiveState": "active", "Environment": "INFERENCE_REVISION=ab12"}
SAME = b"PATH=/bin\0INFERENCE_REVISION=ab12\0"


@pytest.mark.parametrize("state", ["inactive", "failed", "activating", "deactivating", "reloading", None])
def test_what_does_not_run_is_started(state):
    assert action_needed(dict(RUNNING, ActiveState=state), SAME) == "start"


def test_an_unknown_unit_is_started():
    assert action_needed({}, b"") == "start"


def test_what_runs_as_written_is_left_alone():
    assert action_needed(RUNNING, SAME) is None
    assert action_needed({"ActiveState": "active"}, b"PATH=/bin\0") is None
    assert action_needed(RUNNING, SAME, [(b"key", b"key")]) is None


@pytest.mark.parametrize("environ", [b"INFERENCE_REVISION=other\0", b"PATH=/bin\0", b""])
def test_another_revision_is_restarted(environ):
    assert action_needed(RUNNING, environ) == "restart"


def test_a_revision_that_is_no_longer_wanted_is_restarted():
    assert action_needed(dict(RUNNING, Environment=""), SAME) == "restart"


@pytest.mark.parametrize("pairs", [[(b"new", b"old")], [(b"a", b"a"), (b"new", b"")]])
def test_a_process_with_an_old_credential_is_restarted(pairs):
    assert action_needed(RUNNING, SAME, pairs) == "restart"


# Credentials


def test_the_files_of_a_unit_are_named():
    units = parse_show(SHOWN)
    assert unit_files(units["inference-chat@0.service"]) == [
        "/etc/systemd/system/inference-chat@.service",
        "/etc/systemd/system/inference-chat@0.service.d/placement.conf",
        "/etc/systemd/system/service.d/site.conf"]
    assert unit_files(units["nope.service"]) == unit_files({}) == []


def test_credentials_are_read_from_the_unit_file():
    text = ("# LoadCredential=no:/no\n[Service]\nType=exec\nLoadCredential=api_key:/etc/inference.host/keys/chat\n"
            "LoadCredential=other:/etc/a:b\nSetCredential=x:y\n")
    assert credentials(text) == [("api_key", "/etc/inference.host/keys/chat"), ("other", "/etc/a:b")]
    assert credentials("[Service]\nLoadCredential=\n") == credentials("") == []


# Placement

STATUS = "Name:\tllama-server\nCpus_allowed:\tf\nCpus_allowed_list:\t0-1,3\nMems_allowed_list:\t0-1\n"


def test_a_field_of_a_status_is_found_by_its_whole_name():
    assert status_field(STATUS, "Cpus_allowed_list") == "0-1,3"
    assert status_field(STATUS, "Cpus_allowed") == "f"
    assert status_field(STATUS, "Mems_allowed_list") == "0-1"
    assert status_field(STATUS, "Cpus") is None
    assert status_field("", "Name") is None


FREE = {"unit": "chat@0.service", "cpus": [0, 1, 3], "numa_policy": "none", "numa_range": "0-1"}
BOUND = dict(FREE, numa_policy="bind", numa_range="1")


def test_this_process_is_where_the_kernel_says_it_is():
    with open("/proc/self/status", encoding="utf-8") as handle:
        status = handle.read()
    allowed = os.sched_getaffinity(0)
    assert placement_fault(dict(FREE, cpus=list(allowed)), status) is None
    assert placement_fault(dict(FREE, cpus=[*allowed, 4000]), status)


@pytest.mark.parametrize("cpus", [[0, 1, 3], [3, 1, 0]])
def test_the_planned_cpus_are_no_fault(cpus):
    assert placement_fault(dict(FREE, cpus=cpus), STATUS, "00400000 default heap") is None


@pytest.mark.parametrize(("cpus", "shown"), [([0, 1], "0-1"), ([0, 1, 2, 3], "0-3"), ([2], "2")])
def test_other_cpus_are_a_fault_with_both_lists(cpus, shown):
    assert placement_fault(dict(FREE, cpus=cpus), STATUS) == (
        "chat@0.service runs on CPUs 0-1,3; the plan says %s: its cpuset or CPUAffinity= did not take effect." % shown)


@pytest.mark.parametrize(("instance", "policy"), [
    (FREE, "default"), (BOUND, "bind:1"), (BOUND, "bind=static:1"),
    (dict(FREE, numa_policy="interleave"), "interleave:0-1"),
])
def test_the_planned_memory_policy_is_no_fault(instance, policy):
    assert placement_fault(instance, STATUS, "00400000 %s heap" % policy) is None


@pytest.mark.parametrize(("instance", "policy", "wanted"), [
    (FREE, "bind:0", "default"), (BOUND, "default", "bind:1"), (BOUND, "bind:0", "bind:1"),
])
def test_another_memory_policy_is_a_fault(instance, policy, wanted):
    assert placement_fault(instance, STATUS, "00400000 %s heap" % policy) == (
        "chat@0.service runs with the memory policy %s; the plan says %s: its NUMAPolicy= did not take effect." % (
            policy, wanted))


def test_memory_nodes_that_are_withheld_are_a_fault():
    one_node = STATUS.replace("Mems_allowed_list:\t0-1", "Mems_allowed_list:\t0")
    assert placement_fault(BOUND, one_node, "00400000 bind:1 heap") == (
        "chat@0.service may use memory of NUMA nodes 0; the plan says 1: a cpuset above it withholds 1.")
    assert placement_fault(FREE, one_node, "00400000 default heap") is None  # where it runs is all the same


def test_what_the_kernel_does_not_tell_is_no_fault():
    assert placement_fault(BOUND, "") is placement_fault(BOUND, STATUS) is None


@pytest.mark.parametrize(("text", "policy"), [
    ("56401768e000 default file=/opt/x mapped=1 N0=1\n5640176d1000 bind:1 anon=1\n", "default"),
    ("00400000 bind:0 file=/opt/x\n", "bind:0"),
    ("00400000 interleave:0-1 heap", "interleave:0-1"),
    ("00400000 bind=static:0,2 file=/opt/x\n", "bind:0,2"),
    ("", None),
    ("junk", None),
])
def test_the_memory_policy_is_read_from_the_first_mapping(text, policy):
    assert memory_policy(text) == policy
    assert effective("Cpus_allowed_list:\t0-3\nMems_allowed_list:\t0\n", text) == {
        "effective_cpus": "0-3", "effective_memory_nodes": "0", "memory_policy": policy}
