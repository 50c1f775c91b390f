"""The settings of memory and of huge pages."""

import pytest
from ansible_collections.inference.host.plugins.module_utils import kernel_cmdline
from ansible_collections.inference.host.plugins.module_utils.settings_memory import (
    HUGEPAGES_WISHES,
    MEMORY_WISHES,
    hugepages_rows,
    memory_rows,
)
from plan_topologies import topology

ONE, TWO = topology(), topology(sockets=2)


def memory(machine, why_not=None, **wishes):
    return {row["name"]: row for row in memory_rows(machine, wishes, why_not)}


def pages(planned, why_not=None, **wishes):
    return {row["name"]: row for row in hugepages_rows(wishes, planned, why_not)}


# Memory


def test_what_the_plan_chooses_for_one_node_and_for_two():
    assert {name: row["value"] for name, row in memory(ONE).items()} == {"vm.swappiness": "10"}
    assert {name: (row["value"], row["evidence"]) for name, row in memory(TWO).items()} == {
        "vm.swappiness": ("10", "convention"), "kernel.numa_balancing": ("0", "vendor"),
        "vm.zone_reclaim_mode": ("0", "convention")}


@pytest.mark.parametrize(("wish", "value", "name"), [
    ("memory_swappiness", 0, "vm.swappiness"),
    ("memory_overcommit", 2, "vm.overcommit_memory"),
    ("memory_overcommit_ratio", 80, "vm.overcommit_ratio"),
    ("memory_numa_balancing", 1, "kernel.numa_balancing"),
    ("memory_zone_reclaim", 1, "vm.zone_reclaim_mode"),
    ("memory_dirty_ratio", 10, "vm.dirty_ratio"),
    ("memory_dirty_background_ratio", 5, "vm.dirty_background_ratio"),
])
def test_each_sysctl_is_the_users_if_set(wish, value, name):
    row = memory(ONE, **{wish: value})[name]
    assert (row["kind"], row["value"], row["reason"]) == ("sysctl", str(value), "%s was set by the user" % wish)


@pytest.mark.parametrize(("wishes", "path"), [({}, "/swapfile"), ({"memory_swap_file": "/srv/swap"}, "/srv/swap")])
def test_a_swap_file_is_made_where_its_size_is_given(wishes, path):
    row = memory(ONE, memory_swap_file_mib=8192, **wishes)["swap file"]
    assert (row["kind"], row["path"], row["value"]) == ("swap", path, "8192")
    assert "swap file" not in memory(ONE, **wishes)


@pytest.mark.parametrize(("path", "taken"), [
    ("/swapfile", True), ("/srv/a b/swap", True), ("swapfile", False), ("", False), ("/srv/../swap", False),
    ("//swap", False), ("/dev/sda", False), ("/proc/swaps", False), ("/a\nb", False), (5, False), (None, False)])
def test_a_swap_file_lies_on_a_disk(path, taken):
    accepts, _allowed = MEMORY_WISHES["memory_swap_file"]
    assert accepts(path) is taken


def test_services_may_lock_memory_by_systemds_own_default():
    row = memory(ONE, memory_lock_limit="infinity")["DefaultLimitMEMLOCK"]
    assert row["value"] == "[Manager]\nDefaultLimitMEMLOCK=infinity\n"
    assert (row["kind"], row["path"]) == ("file", "/etc/systemd/system.conf.d/60-inference-memory.conf")
    assert row["after"] == [["systemctl", "daemon-reexec"]]


@pytest.mark.parametrize(("limit", "taken"), [
    ("infinity", True), ("8G", True), ("1048576", True), ("8 G", False), ("8G\nDefaultLimitNOFILE=1", False),
    ("unlimited", False), (8, False)])
def test_a_limit_of_locked_memory_is_one_that_systemd_takes(limit, taken):
    accepts, _allowed = MEMORY_WISHES["memory_lock_limit"]
    assert accepts(limit) is taken


# Huge pages


def test_transparent_pages_are_for_who_asks_and_nothing_else_is_set():
    found = pages({})
    assert {name: row["value"] for name, row in found.items()} == {"transparent_hugepage": "madvise"}
    assert found["transparent_hugepage"]["path"] == "/sys/kernel/mm/transparent_hugepage/enabled"


def test_modes_of_transparent_pages_are_the_users():
    found = pages({}, hugepages_transparent="always", hugepages_defrag="defer+madvise")
    assert found["transparent_hugepage"]["value"] == "always"
    defrag = found["transparent_hugepage defrag"]
    assert (defrag["value"], defrag["path"]) == ("defer+madvise", "/sys/kernel/mm/transparent_hugepage/defrag")


def reserved(planned, **wishes):
    """The rows that reserve pages, without those of mounts and of transparent ones."""
    found = pages(planned, **wishes)
    return {name: row for name, row in found.items() if row["kind"] != "file" and name != "transparent_hugepage"}


def test_each_node_and_size_has_a_row_that_is_tried_again():
    found = reserved({"0": {"2048": 5, "1048576": 1}, "10": {"2048": 0, "1048576": 2}}, hugepages_gigantic_count=3)
    assert [(row["name"], row["value"], row["reason"]) for row in found.values()] == [
        ("hugepages-2048kB node0", "5", "services ask for them with hugepages_mib"),
        ("hugepages-1048576kB node0", "1", "hugepages_gigantic_count was set by the user"),
        ("hugepages-2048kB node10", "0", "services ask for them with hugepages_mib"),
        ("hugepages-1048576kB node10", "2", "hugepages_gigantic_count was set by the user")]
    assert found["hugepages-2048kB node10"]["path"] == (
        "/sys/devices/system/node/node10/hugepages/hugepages-2048kB/nr_hugepages")
    assert {row["retry_seconds"] for row in found.values()} == {60}


def test_at_boot_one_kernel_parameter_has_all_sizes_each_before_its_pages():
    found = reserved({"0": {"2048": 5, "1048576": 1}, "1": {"2048": 0, "1048576": 2}}, hugepages_at_boot=True)
    (row,) = found.values()
    assert row["kind"] == "kernel_parameter" and row["path"] is None and row["retry_seconds"] == 0
    assert kernel_cmdline.spelled(row["name"], row["value"]) == [
        "hugepagesz=2M", "hugepages=0:5,1:0", "hugepagesz=1G", "hugepages=0:1,1:2"]


@pytest.mark.parametrize("at_boot", [True, False, None])
def test_without_pages_nothing_is_reserved_at_boot_either(at_boot):
    wishes = {} if at_boot is None else {"hugepages_at_boot": at_boot}
    assert set(pages({}, **wishes)) == {"transparent_hugepage"}


def test_a_group_gets_the_mount_and_shared_memory():
    found = pages({}, hugepages_group_id=0)
    assert found["vm.hugetlb_shm_group"]["value"] == "0"
    mount = found["/dev/hugepages"]
    assert mount["value"] == "[Mount]\nOptions=nosuid,nodev,mode=1770,gid=0\n"
    assert mount["path"] == "/etc/systemd/system/dev-hugepages.mount.d/60-inference.conf"
    assert mount["after"] == [["systemctl", "daemon-reload"], ["systemctl", "try-restart", "dev-hugepages.mount"]]


def test_pages_of_1_gib_get_a_mount_of_their_own_that_starts_with_the_other():
    assert "/dev/hugepages1G" not in pages({"0": {"2048": 5, "1048576": 0}})
    found = pages({"0": {"2048": 0, "1048576": 0}, "1": {"2048": 0, "1048576": 2}}, hugepages_group_id=7)
    mount, start = found["/dev/hugepages1G"], found["start of /dev/hugepages1G"]
    assert "\nOptions=pagesize=1G,nosuid,nodev,mode=1770,gid=7\n" in mount["value"]
    assert mount["path"] == "/etc/systemd/system/dev-hugepages1G.mount"
    assert start["value"] == "[Unit]\nWants=dev-hugepages1G.mount\n"
    assert start["after"][-1] == ["systemctl", "start", "dev-hugepages.mount"]


def test_nothing_applies_where_the_role_does_not():
    limits = {"memory_swap_file_mib": 1, "memory_lock_limit": "1G"}
    assert {row["why_not"] for row in memory(TWO, "outside", **limits).values()} == {"outside"}
    planned = {"0": {"2048": 1}}
    for at_boot in (False, True):
        found = pages(planned, "outside", hugepages_at_boot=at_boot, hugepages_group_id=1)
        assert len(found) == 4 and {row["why_not"] for row in found.values()} == {"outside"}


@pytest.mark.parametrize(("wish", "value"), [
    ("hugepages_count", -1), ("hugepages_gigantic_count", "2"), ("hugepages_at_boot", 1), ("hugepages_group_id", "kvm"),
    ("hugepages_transparent", "on"), ("hugepages_defrag", "later")])
def test_wishes_for_pages_that_are_none(wish, value):
    accepts, _allowed = HUGEPAGES_WISHES[wish]
    assert not accepts(value)
