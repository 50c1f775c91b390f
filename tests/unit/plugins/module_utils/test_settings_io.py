"""The settings of NVMe disks and of the network."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.settings_io import (
    NETWORK_WISHES,
    NVME_WISHES,
    network_rows,
    nvme_rows,
)
from plan_topologies import topology

DISKS, NONE = topology(nvme=2), topology()


def nvme(machine, why_not=None, **wishes):
    return {row["name"]: row for row in nvme_rows(machine, wishes, why_not)}


def network(why_not=None, **wishes):
    return {row["name"]: row for row in network_rows(wishes, why_not)}


# NVMe


def test_only_the_scheduler_is_chosen_and_a_udev_rule_keeps_it():
    (row,) = nvme(DISKS).values()
    assert (row["value"], row["path"], row["persist"], row["evidence"]) == (
        "none", "/sys/block/nvme*n*/queue/scheduler", "udev", "vendor")


def test_the_scheduler_comes_first_since_a_change_of_it_resets_the_queue():
    wishes = {"nvme_nr_requests": 32, "nvme_scheduler": "mq-deadline", "nvme_read_ahead_kib": 0, "nvme_rq_affinity": 2}
    found = nvme(DISKS, **wishes)
    assert [(row["name"], row["value"]) for row in found.values()] == [
        ("scheduler", "mq-deadline"), ("nr_requests", "32"), ("read_ahead_kb", "0"), ("rq_affinity", "2")]
    for row in found.values():
        assert row["path"] == "/sys/block/nvme*n*/queue/" + row["name"] and row["persist"] == "udev"


def test_a_host_without_nvme_says_so():
    found = nvme(NONE, nvme_nr_requests=32)
    assert {name: row["why_not"] for name, row in found.items()} == {
        "scheduler": "no NVMe disk", "nr_requests": "no NVMe disk"}


@pytest.mark.parametrize(("offered", "why_not"), [
    ((["none", "kyber"], ["kyber", "none"]), None),
    ((["none", "kyber"], ["none"]), "a disk offers none, not kyber"),
    ((["none", "kyber"], []), None),
    (([], []), None),
])
def test_a_scheduler_that_a_disk_does_not_offer_does_not_apply(offered, why_not):
    machine = topology(nvme=2)
    for disk, words in zip(machine["block_devices"][1:], offered):
        disk["schedulers"] = words
    row = nvme(machine, nvme_scheduler="kyber")["scheduler"]
    assert (row["applies"], row["why_not"]) == (why_not is None, why_not)


def test_mount_options_are_a_row_a_mount_also_without_nvme():
    found = nvme(NONE, nvme_mount_options={"/srv": "noatime", "/": "lazytime,commit=60"})
    mounts = [(row["name"], row["path"], row["value"]) for row in found.values() if row["kind"] == "mount"]
    assert mounts == [("mount options of /", "/", "lazytime,commit=60"), ("mount options of /srv", "/srv", "noatime")]
    assert found["mount options of /"]["applies"]


@pytest.mark.parametrize("value", [
    {"srv": "noatime"}, {"//srv": "noatime"}, {"/srv/": "noatime"}, {"/srv/../etc": "noatime"}, {"/srv": ""},
    {"/srv": "noatime,"},
    {"/srv": "no atime"}, {"/srv": "remount"}, {"/srv": "noatime,bind"}, {"/srv": "nofail"}, {"/srv": "a\nb"},
    {"/srv": ["noatime"]}, {"/srv": None}, {1: "noatime"}, "noatime", ["/srv"]])
def test_what_no_remount_can_add_is_refused(value):
    accepts, _allowed = NVME_WISHES["nvme_mount_options"]
    assert not accepts(value)


# Network


def test_what_the_plan_chooses_for_the_network():
    assert {name: row["value"] for name, row in network().items()} == {
        "net.core.somaxconn": "4096", "net.ipv4.tcp_slow_start_after_idle": "0"}


@pytest.mark.parametrize(("wish", "value", "name"), [
    ("network_somaxconn", 1024, "net.core.somaxconn"),
    ("network_slow_start_after_idle", 1, "net.ipv4.tcp_slow_start_after_idle"),
    ("network_syn_backlog", 8192, "net.ipv4.tcp_max_syn_backlog"),
    ("network_device_backlog", 5000, "net.core.netdev_max_backlog"),
    ("network_keepalive_seconds", 60, "net.ipv4.tcp_keepalive_time"),
    ("network_receive_buffer", "4096 65536 6291456", "net.ipv4.tcp_rmem"),
    ("network_send_buffer", "4096 65536 4194304", "net.ipv4.tcp_wmem"),
    ("network_open_files", 1 << 30, "fs.file-max"),
])
def test_each_sysctl_is_the_users_if_set(wish, value, name):
    row = network(**{wish: value})[name]
    assert (row["kind"], row["value"], row["reason"]) == ("sysctl", str(value), "%s was set by the user" % wish)


def test_services_get_open_files_by_systemds_own_default():
    row = network(network_service_open_files=65536)["DefaultLimitNOFILE"]
    assert row["value"] == "[Manager]\nDefaultLimitNOFILE=65536\n"
    assert (row["kind"], row["path"]) == ("file", "/etc/systemd/system.conf.d/60-inference-network.conf")
    assert row["after"] == [["systemctl", "daemon-reexec"]]


def test_no_service_gets_more_open_files_than_the_kernel_gives_any():
    accepts, _allowed = NETWORK_WISHES["network_service_open_files"]
    assert accepts(1048576) and not accepts(1048577)


@pytest.mark.parametrize(("value", "taken"), [
    ("4096 131072 6291456", True), ("1 1 1", True), ("0 1 2", False), ("4096 65536 4096", False), ("2 1 3", False),
    ("4096 131072", False), ("4096\t131072\t6291456", False), ("1 2 2147483648", False), ("1 2 3\n", False),
    ("1 2 " + "9" * 30, False), (4096, False), ([1, 2, 3], False)])
def test_sizes_of_buffers_rise(value, taken):
    for wish in ("network_receive_buffer", "network_send_buffer"):
        accepts, _allowed = NETWORK_WISHES[wish]
        assert accepts(value) is taken


def test_nothing_applies_where_the_role_does_not():
    found = [*nvme(DISKS, "outside", nvme_mount_options={"/": "noatime"}).values(),
             *network("outside", network_service_open_files=1024).values()]
    assert len(found) == 5 and {row["why_not"] for row in found} == {"outside"}
