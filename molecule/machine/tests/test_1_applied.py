"""Right after the roles: what they wished is what the kernel has, and what it does not give is said."""

import re
from collections import Counter

COMPETITOR = "/etc/sysctl.d/90-another-tool.conf"
GIGANTIC = "/sys/devices/system/node/node0/hugepages/hugepages-1048576kB/nr_hugepages"
PAGES = "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages"
READ_AHEAD = "/sys/block/vda/queue/read_ahead_kb"
STEM = "60-test-faults"


def setting(name, value, **more):
    """A row as the plan has it: a sysctl, or with a path a file of sysfs that is not persisted."""
    if "path" in more:
        more = {"persist": "none", **more}
    return {"name": name, "kind": "sysfs" if "path" in more else "sysctl", "value": str(value), **more}


def test_the_kernel_has_what_was_wished(is_as_wished):
    assert is_as_wished()


def test_all_is_as_planned_and_persisted(verify):
    status, rows = verify()
    assert status == 0 and len(rows) >= 19
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert {row["persisted"] for row in rows.values()} <= {"yes", "-"}


def test_the_service_runs_at_its_node_with_its_memory(is_at_its_node):
    assert is_at_its_node()


def test_a_run_without_changes_is_one_call_to_read_the_host_and_one_for_all_settings(play):
    said = play("playbooks/tune.yml", "-vvv")
    assert "changed=0 " in said
    calls, task = Counter(), ""
    for line in said.splitlines():
        named = re.match(r"TASK \[inference\.host\.(.*)\]", line)
        task = named.group(1) if named else task
        calls[task] += "SSH: EXEC" in line
    model = {task: count for task, count in calls.items() if task.startswith("model :")}
    roles = {task: count for task, count in calls.items() if count and task not in model}
    assert roles == {"topology : Read the host": 1, "settings : Apply the settings of a role and read them back": 1}
    # One for each model that is to be looked for, of which this inventory has one.
    assert sum(model.values()) == 1


def test_what_the_kernel_does_not_give_is_said(ask, host):
    host.check_output(f"echo vm.overcommit_ratio=70 >{COMPETITOR}")
    # nvme0n1's are the plan's; the root disk's read-ahead counts in pages of 4 KiB.
    told = ask("inference.host.tunables", persist_to=STEM, fail_on_refused=False, settings=[
        setting("1 GiB", 1, path=GIGANTIC, retry_seconds=2),
        setting("read ahead", 262, path=READ_AHEAD),
        setting("vm.overcommit_ratio", 60),
        setting("vm.overcommit_memory", 7),
        setting("net.netfilter.nf_conntrack_max", 100000),
        setting("no such choice", 1, path="/sys/devices/system/cpu/cpufreq/policy*/energy_performance_preference"),
        setting("vm.dirty_ratio", 30, applies=False, why_not="not on this host"),
    ])
    rows = {row["name"]: row for row in told["results"]}
    seen = {name: (row["status"], row["before"], row["after"]) for name, row in rows.items()}
    assert seen == {
        "1 GiB": ("partial", "0", "0"),
        "read ahead": ("partial", "128", "260"),
        "vm.overcommit_ratio": ("changed", "50", "60"),
        "vm.overcommit_memory": ("refused", "0", "0"),
        "net.netfilter.nf_conntrack_max": ("not_applicable", None, None),
        "no such choice": ("not_applicable", None, None),
        "vm.dirty_ratio": ("not_applicable", None, None),
    }
    assert "the kernel has 0 after 1 was written, and again for 2 seconds" in rows["1 GiB"]["detail"]
    assert rows["vm.overcommit_ratio"]["overridden_by"] == COMPETITOR
    assert rows["vm.overcommit_ratio"]["persisted"] is False
    assert "invalid argument" in rows["vm.overcommit_memory"]["detail"]
    assert rows["vm.dirty_ratio"]["detail"] == "not on this host"

    told = ask("inference.host.tunables", persist_to=STEM, state="restored")
    assert told["summary"]["refused"] == told["summary"]["partial"] == 0
    assert host.check_output(
        f"rm {COMPETITOR}; cat {READ_AHEAD} {GIGANTIC} /proc/sys/vm/overcommit_ratio; find /etc -name '{STEM}*'"
    ).split() == ["128", "0", "50"]


def test_more_pages_than_a_node_has_are_as_many_as_it_can_give(ask):
    def pages(count):
        told = ask("inference.host.tunables", persist_to=STEM, settings=[
            setting("node 1", count, path=PAGES)])
        return told["results"][0]

    row = pages(1200)  # of 2 MiB on a node with 2 GiB
    assert row["status"] == "partial" and row["before"] == "32" and 32 < int(row["after"]) < 1024
    assert f"the kernel has {row['after']} after 1200 was written" in row["detail"]
    assert pages(32)["after"] == "32"
