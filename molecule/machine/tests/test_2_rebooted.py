"""After a reboot the kernel has the same, and now also the parameter of the kernel that only a boot brings."""

PARAMETER = {"name": "skew_tick", "kind": "kernel_parameter", "value": "1"}


def test_all_is_there_after_a_reboot(ask, reboot, host, is_as_wished, is_at_its_node, verify):
    told = ask("inference.host.tunables", persist_to="60-test-parameter", settings=[PARAMETER])
    assert [(row["status"], row["after"]) for row in told["results"]] == [("changed", "absent")]
    assert len(told["reboot_required"]) == 1 and "skew_tick" in told["reboot_required"][0]
    before = host.check_output("cat /proc/sys/kernel/random/boot_id")
    reboot()
    after, words = host.check_output("cat /proc/sys/kernel/random/boot_id /proc/cmdline").splitlines()
    assert after != before and "skew_tick=1" in words.split()
    assert is_as_wished()
    assert is_at_its_node()
    status, rows = verify()
    assert status == 0 and {row["status"] for row in rows.values()} == {"ok"}
    told = ask("inference.host.tunables", persist_to="60-test-parameter", settings=[PARAMETER])
    assert [row["status"] for row in told["results"]] == ["ok"] and told["reboot_required"] == []
