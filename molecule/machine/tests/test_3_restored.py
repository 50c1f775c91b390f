"""Restored, the machine is as it was before the first run, at once and after a reboot."""

import time


def test_every_value_and_file_is_back(play, host, differences, verify):
    assert len(differences()) > 40
    assert "all is back" in play("playbooks/restore.yml")
    # The kernel takes limits of the frequency over in work of its own, which a busy emulated machine puts off.
    deadline = time.monotonic() + 60
    while differences() and time.monotonic() < deadline:
        time.sleep(1)
    assert differences() == []
    status, rows = verify()
    assert status != 0 and {row["status"] for row in rows.values()} == {"drift"}
    # Of ours only what the lock needs is left.
    assert host.check_output("find /var/lib/inference.host -type f -size +0 | grep -v /reboot.json || true") == ""


def test_and_stays_so_after_a_reboot(reboot, host, differences):
    reboot()
    assert differences() == []
    assert "skew_tick" not in host.check_output("cat /proc/cmdline")
