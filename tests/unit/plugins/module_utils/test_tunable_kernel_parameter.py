"""Kernel parameters, with scripts in the places of update-grub and kernel-install that do on the tree what those do."""

import pytest
from ansible_collections.inference.host.plugins.module_utils import tunables, tunables_report
from ansible_collections.inference.host.plugins.module_utils.tunables_host import TunablesError
from tunable_trees import (
    FOLDER,
    STEM,
    apply,
    file_on_path,
    foresee,
    foresee_restore,
    put,
    restore,
    statuses,
    sysctl,
)

LIVE = "BOOT_IMAGE=/vmlinuz root=/dev/vda ro quiet"
GRUB = """set -e
. {0}/etc/default/grub
for file in {0}/etc/default/grub.d/*.cfg; do [ ! -e "$file" ] || . "$file"; done
echo "linux /vmlinuz root=/dev/vda ro $GRUB_CMDLINE_LINUX_DEFAULT" > {0}/boot/grub/grub.cfg
echo "linux /vmlinuz root=/dev/vda ro single" >> {0}/boot/grub/grub.cfg
"""
KERNEL_INSTALL = """set -e
[ "$1" = add ] && [ -e "$3" ]
if [ -e {0}/etc/kernel/cmdline ]; then words=$(cat {0}/etc/kernel/cmdline)
else words=$(sed 's/BOOT_IMAGE=[^ ]* //' {0}/proc/cmdline); fi
printf 'title Linux\\nlinux /%s\\noptions %s\\n' "$2" "$words" > {0}/boot/loader/entries/$2.conf
"""


def boot(root, line, number):
    put(root, "/proc/cmdline", line + "\n")
    put(root, "/proc/sys/kernel/random/boot_id", f"{number}\n")


@pytest.fixture
def grub(tmp_path, monkeypatch):
    boot(tmp_path, LIVE, 1)
    put(tmp_path, "/etc/default/grub", 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n')
    put(tmp_path, "/boot/grub/grub.cfg", "linux /vmlinuz root=/dev/vda ro quiet\n")
    file_on_path(tmp_path, monkeypatch, "update-grub", GRUB.format(tmp_path))
    return tmp_path


@pytest.fixture
def systemd_boot(tmp_path, monkeypatch):
    boot(tmp_path, LIVE, 1)
    put(tmp_path, "/boot/loader/entries/6.1.conf", "linux /6.1\noptions root=/dev/vda ro quiet\n")
    put(tmp_path, "/lib/modules/6.1/vmlinuz", "")
    (tmp_path / "lib/modules/5.0-gone").mkdir()
    file_on_path(tmp_path, monkeypatch, "kernel-install", KERNEL_INSTALL.format(tmp_path))
    return tmp_path


@pytest.fixture(params=["grub", "systemd_boot"])
def host(request):
    return request.getfixturevalue(request.param)


def start_again(root, number):
    """Boot the tree with what its loader passes."""
    for path in (root / "boot/grub/grub.cfg", root / "boot/loader/entries/6.1.conf"):
        if path.exists():
            lines = [line for line in path.read_text().splitlines() if line.startswith(("linux /vmlinuz", "options"))]
            boot(root, "BOOT_IMAGE=/vmlinuz " + lines[0].partition("root")[1] + lines[0].partition("root")[2], number)


def parameter(name="iommu", value="pt", **more):
    return dict({"name": name, "kind": "kernel_parameter", "value": value, "reason": "P2P"}, **more)


SENTENCE = "Kernel parameter iommu=pt is set (P2P), and the running kernel does not have it yet."


def test_a_parameter_waits_for_the_reboot_and_says_why(host, snapshot):
    settings = [parameter(), parameter("nosmt", "", reason="")]
    before = snapshot(host)
    foreseen = foresee(settings, host)
    assert snapshot(host) == before
    assert statuses(foreseen.rows) == ["changed"] * 2
    outcome = apply(settings, host)
    row = outcome.rows[0]
    assert (row["status"], row["before"], row["after"], row["persisted"]) == ("changed", "absent", "absent", True)
    assert row["detail"] == "takes effect with the next boot"
    second = "Kernel parameter nosmt is set, and the running kernel does not have it yet."
    assert outcome.reboot_required == foreseen.reboot_required == [SENTENCE, second]
    assert tunables_report.changed(outcome)

    waiting = apply(settings, host)
    assert statuses(waiting.rows) == ["changed"] * 2
    assert waiting.reboot_required == [SENTENCE, second]
    assert not tunables_report.changed(waiting)

    start_again(host, 2)
    done = apply(settings, host)
    assert statuses(done.rows) == ["ok"] * 2
    assert done.reboot_required == []
    assert not tunables_report.changed(done)
    assert not (host / FOLDER.strip("/") / "reboot.json").exists()


def test_the_fact_is_the_hosts_and_not_the_roles(host):
    put(host, "/proc/sys/vm/swappiness", "60\n")
    assert apply([sysctl()], host, "60-other").reboot_required is None
    apply([parameter()], host)
    assert apply([sysctl()], host, "60-other").reboot_required == [SENTENCE]
    start_again(host, 2)
    assert foresee([sysctl()], host, "60-other").reboot_required == []
    assert apply([sysctl()], host, "60-other").reboot_required == []
    assert apply([sysctl()], host, "60-other").reboot_required is None


def test_restoring_takes_the_words_out_and_waits_for_a_reboot_only_if_they_are_in_force(host, snapshot):
    first = apply([parameter()], host)
    assert first.reboot_required
    assert restore(host).reboot_required == []
    assert not (host / "etc/default/grub.d").exists()
    assert not (host / "etc/kernel").exists()
    apply([parameter()], host)
    start_again(host, 2)
    apply([parameter()], host)
    foreseen = foresee_restore(host)
    outcome = restore(host)
    says = "Kernel parameter iommu=pt was taken back (as first seen), and the running kernel still has it."
    assert outcome.reboot_required == [says]
    assert foreseen.rows == outcome.rows
    rows = {row["kind"]: row for row in outcome.rows}
    assert rows["kernel_parameter"]["status"] == "changed"
    assert (rows["kernel_parameter"]["before"], rows["kernel_parameter"]["wanted"]) == ("pt", "absent")
    assert restore(host).reboot_required == [says]
    start_again(host, 3)
    assert "iommu" not in (host / "proc/cmdline").read_text()
    assert restore(host).reboot_required == []


def test_another_value_takes_the_place_of_the_former(host):
    apply([parameter()], host)
    outcome = apply([parameter(value="on")], host)
    assert outcome.reboot_required == [SENTENCE.replace("=pt", "=on")]
    start_again(host, 2)
    assert "iommu=pt" not in (host / "proc/cmdline").read_text()
    assert statuses(apply([parameter(value="on")], host).rows) == ["ok"]
    apply([], host)
    start_again(host, 3)
    assert "iommu" not in (host / "proc/cmdline").read_text()


def test_a_loader_that_does_not_pass_it_is_refused_after_the_reboot_not_asked_for_another(host):
    apply([parameter()], host)
    boot(host, LIVE, 2)
    outcome = apply([parameter()], host)
    assert statuses(outcome.rows) == ["refused"]
    assert outcome.rows[0]["detail"] == "the host was started since, and the boot loader did not pass it"
    assert outcome.reboot_required == []


def test_a_file_of_the_loader_that_drops_ours_is_seen_before_any_reboot(grub):
    put(grub, "/etc/default/grub.d/99-theirs.cfg", 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n')
    outcome = apply([parameter()], grub)
    assert statuses(outcome.rows) == ["refused"]
    assert "the boot loader's configuration does not have it" in outcome.rows[0]["detail"]
    assert outcome.reboot_required == []


def test_a_loader_command_that_fails_is_refused_and_run_again(grub, monkeypatch):
    file_on_path(grub, monkeypatch, "update-grub", "echo no room; exit 1")
    outcome = apply([parameter()], grub)
    assert statuses(outcome.rows) == ["refused"]
    assert outcome.rows[0]["detail"] == "update-grub ended with status 1: no room"
    file_on_path(grub, monkeypatch, "update-grub", GRUB.format(grub))
    outcome = apply([parameter()], grub)
    assert statuses(outcome.rows) == ["changed"]
    assert outcome.rows[0]["persisted"]


def test_grubs_file_is_ours_and_adds_to_what_is_there(grub):
    apply([parameter(), parameter("hugepagesz", "1G hugepages=4", reason=None)], grub)
    text = (grub / f"etc/default/grub.d/{STEM}.cfg").read_text()
    assert text.splitlines()[1:] == [
        "# P2P",
        'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT iommu=pt"',
        'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT hugepagesz=1G hugepages=4"',
    ]
    assert "ro quiet iommu=pt hugepagesz=1G hugepages=4\n" in (grub / "boot/grub/grub.cfg").read_text()


def test_the_command_line_of_systemd_boot_keeps_every_other_word(systemd_boot):
    put(systemd_boot, "/etc/kernel/cmdline", "root=LABEL=x  ro\tiommu=off\n")
    apply([parameter()], systemd_boot)
    assert (systemd_boot / "etc/kernel/cmdline").read_text() == "root=LABEL=x ro iommu=off iommu=pt\n"
    apply([parameter("nosmt", "")], systemd_boot, "60-other")
    restore(systemd_boot, STEM)
    assert (systemd_boot / "etc/kernel/cmdline").read_text() == "root=LABEL=x ro iommu=off nosmt\n"
    restore(systemd_boot)
    assert (systemd_boot / "etc/kernel/cmdline").read_text() == "root=LABEL=x  ro\tiommu=off\n"


def test_a_value_that_grubs_script_language_would_part_is_quoted_for_it_alone(host):
    settings = [parameter("pci", "disable_acs_redir=0000:64:00.0;0000:b2:00.0"), parameter()]
    row = apply(settings, host).rows[0]
    assert (row["status"], row["persisted"]) == ("changed", True)
    written = host / "boot/grub/grub.cfg"
    if written.exists():
        assert "quiet 'pci=disable_acs_redir=0000:64:00.0;0000:b2:00.0' iommu=pt" in written.read_text()
        written.write_text(written.read_text().replace("'", ""))  # as GRUB passes it
    start_again(host, 2)
    done = apply(settings, host)
    assert statuses(done.rows) == ["ok"] * 2 and not tunables_report.changed(done)


def test_pages_of_several_sizes_are_one_parameter_and_leave_no_word_behind(host):
    several = "2M hugepages=0:512,1:512 hugepagesz=1G hugepages=0:4"
    apply([parameter("hugepagesz", several)], host)
    start_again(host, 2)
    assert (host / "proc/cmdline").read_text().endswith(f"ro quiet hugepagesz={several}\n")
    assert statuses(apply([parameter("hugepagesz", several)], host).rows) == ["ok"]
    apply([parameter("hugepagesz", "1G")], host)
    start_again(host, 3)
    assert (host / "proc/cmdline").read_text().endswith("ro quiet hugepagesz=1G\n")
    restore(host)
    start_again(host, 4)
    assert "hugepages" not in (host / "proc/cmdline").read_text()


def test_a_parameter_that_is_there_already_is_ok_and_is_persisted(grub):
    boot(grub, LIVE + " iommu=pt", 1)
    outcome = apply([parameter()], grub)
    assert statuses(outcome.rows) == ["ok"]
    assert outcome.rows[0]["persisted"]
    assert outcome.reboot_required == []


def test_without_a_loader_that_we_know_it_is_not_applicable(tmp_path, monkeypatch):
    boot(tmp_path, LIVE, 1)
    monkeypatch.setattr("shutil.which", lambda *_args, **_more: None)
    outcome = apply([parameter()], tmp_path)
    assert statuses(outcome.rows) == ["not_applicable"]
    assert outcome.rows[0]["detail"].endswith("put iommu=pt on the kernel command line yourself")
    assert not (tmp_path / "etc").exists()
    assert outcome.reboot_required == []


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        (parameter("io mmu"), "is not the name of a kernel parameter"),
        (parameter('x"'), "is not the name of a kernel parameter"),
        (parameter(value='pt"; rm -r /; "'), "must not hold quotes"),
        (parameter(value="$(reboot)"), "must not hold quotes"),
        (parameter(value="a\nb"), "must not hold quotes"),
        (parameter(value=" pt"), "outer blanks"),
        (parameter(path="/x"), "a kernel parameter has none"),
    ],
)
def test_what_a_shell_would_read_otherwise_is_refused(setting, says):
    with pytest.raises(TunablesError) as caught:
        tunables.check_settings([setting], STEM)
    assert says in str(caught.value)
