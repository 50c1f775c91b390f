# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The settings of NVMe disks and of the network."""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils.checks import integer, one_of
from ansible_collections.inference.host.plugins.module_utils.setting_rows import Rows, allowed
from ansible_collections.inference.host.plugins.module_utils.tunable_kinds import mount

NR_OPEN = 1 << 20
"""The kernel's fs.nr_open: no process may have more open files."""


def mount_options(value):
    return isinstance(value, dict) and all(
        isinstance(point, str) and isinstance(options, str)
        and allowed(mount, {"name": point, "path": point, "value": options}) for point, options in value.items())


def three_sizes(value):
    """Least, default and most bytes of a socket's buffer, as tcp_rmem and tcp_wmem have them."""
    if not isinstance(value, str) or not re.match(r"[0-9]{1,10} [0-9]{1,10} [0-9]{1,10}\Z", value):
        return False
    least, usual, most = map(int, value.split())
    return 1 <= least <= usual <= most < 1 << 31


NVME_WISHES = {
    "nvme_scheduler": one_of("none", "mq-deadline", "kyber", "bfq"),
    "nvme_nr_requests": integer(4, 65536),
    "nvme_read_ahead_kib": integer(0, 1 << 16),
    "nvme_rq_affinity": integer(0, 2),
    "nvme_mount_options": (
        mount_options, "a mapping of mount points to options that a remount can add, such as {/srv: noatime}"),
}
NETWORK_WISHES = {
    "network_somaxconn": integer(128, 65535),
    "network_slow_start_after_idle": integer(0, 1),
    "network_syn_backlog": integer(128, 1 << 20),
    "network_device_backlog": integer(128, 1 << 20),
    "network_keepalive_seconds": integer(1, 32767),
    "network_receive_buffer": (three_sizes, "three rising numbers of bytes such as '4096 131072 6291456'"),
    "network_send_buffer": (three_sizes, "three rising numbers of bytes such as '4096 16384 4194304'"),
    "network_open_files": integer(1024, 1 << 30),
    "network_service_open_files": integer(1024, NR_OPEN),
}
QUEUE = "/sys/block/nvme*n*/queue/"


def nvme_rows(topology, wishes, why_not):
    """Return the rows of role nvme. why_not: why none applies, or None."""
    disks = [disk for disk in topology.get("block_devices") or [] if disk["kind"] == "nvme"]
    rows = Rows("nvme", wishes, why_not)
    missing = None if disks else "no NVMe disk"
    scheduler = rows.value("nvme_scheduler", "none")
    offered = [disk["schedulers"] for disk in disks if disk.get("schedulers")]
    refused = [words for words in offered if scheduler not in words]
    rows.add("scheduler", scheduler, "NVMe queues in hardware; distributions keep it", "nvme_scheduler",
             missing or (refused and "a disk offers %s, not %s" % (", ".join(refused[0]), scheduler)) or None,
             evidence="vendor", path=QUEUE + "scheduler", persist="udev")
    for name, wish in (("nr_requests", "nvme_nr_requests"), ("read_ahead_kb", "nvme_read_ahead_kib"),
                       ("rq_affinity", "nvme_rq_affinity")):
        rows.add(name, rows.value(wish), "", wish, missing, path=QUEUE + name, persist="udev")
    for point, options in sorted(rows.value("nvme_mount_options", {}).items()):
        rows.add("mount options of " + point, options, "", "nvme_mount_options", kind="mount", path=point)
    return rows.rows


def network_rows(wishes, why_not):
    """Return the rows of role network. why_not: why none applies, or None."""
    rows = Rows("network", wishes, why_not)
    rows.add("net.core.somaxconn", rows.value("network_somaxconn", 4096),
             "bursts of new connections wait instead of failing", "network_somaxconn")
    rows.add("net.ipv4.tcp_slow_start_after_idle", rows.value("network_slow_start_after_idle", 0),
             "kept-alive streams keep their window between answers", "network_slow_start_after_idle")
    for name, wish in (("net.ipv4.tcp_max_syn_backlog", "network_syn_backlog"),
                       ("net.core.netdev_max_backlog", "network_device_backlog"),
                       ("net.ipv4.tcp_keepalive_time", "network_keepalive_seconds"),
                       ("net.ipv4.tcp_rmem", "network_receive_buffer"),
                       ("net.ipv4.tcp_wmem", "network_send_buffer"),
                       ("fs.file-max", "network_open_files")):
        rows.add(name, rows.value(wish), "", wish)
    files = rows.value("network_service_open_files")
    rows.add("DefaultLimitNOFILE", files and "[Manager]\nDefaultLimitNOFILE=%d\n" % files, "",
             "network_service_open_files", kind="file", path="/etc/systemd/system.conf.d/60-inference-network.conf",
             after=[["systemctl", "daemon-reexec"]])
    return rows.rows
