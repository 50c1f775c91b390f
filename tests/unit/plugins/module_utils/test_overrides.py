"""Which file sets a value at boot, compared with systemd's own programs where they are there."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils import overrides
from ansible_collections.inference.host.plugins.module_utils.tunables_host import Host
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tunable_trees import SWAPPINESS, put


def sysctl(root, overlay=None):
    return overrides.Boot(Host(str(root)), overlay).sysctl(SWAPPINESS)


def test_the_last_file_by_name_wins_over_all_folders(tmp_path):
    assert sysctl(tmp_path) == (None, None)
    put(tmp_path, "/usr/lib/sysctl.d/70-vendor.conf", "vm.swappiness = 70\n")
    put(tmp_path, "/etc/sysctl.d/60-ours.conf", "vm.swappiness = 10\n")
    assert sysctl(tmp_path) == ("70", "/usr/lib/sysctl.d/70-vendor.conf")
    put(tmp_path, "/run/sysctl.d/99-late.conf", "# vm.swappiness = 1\n; vm.swappiness = 2\n-vm/swappiness=99\n")
    assert sysctl(tmp_path) == ("99", "/run/sysctl.d/99-late.conf")


def test_a_file_in_etc_masks_those_of_its_name(tmp_path):
    put(tmp_path, "/usr/lib/sysctl.d/70-vendor.conf", "vm.swappiness = 70\n")
    (tmp_path / "etc/sysctl.d").mkdir(parents=True)
    (tmp_path / "etc/sysctl.d/70-vendor.conf").symlink_to("/dev/null")
    assert sysctl(tmp_path) == (None, None)


def test_sysctl_conf_counts_only_through_its_link(tmp_path):
    put(tmp_path, "/etc/sysctl.conf", "vm.swappiness=1\n")
    assert sysctl(tmp_path) == (None, None)
    (tmp_path / "etc/sysctl.d").mkdir()
    (tmp_path / "etc/sysctl.d/99-sysctl.conf").symlink_to("../sysctl.conf")
    assert sysctl(tmp_path) == ("1", "/etc/sysctl.d/99-sysctl.conf")


def test_other_keys_globs_and_unreadable_files_do_not_count(tmp_path):
    put(tmp_path, "/etc/sysctl.d/60.conf", "vm.swappiness = 10\n")
    put(tmp_path, "/etc/sysctl.d/70.conf", "vm.swap* = 1\nvm.swappiness_x = 2\nvm.swappiness\n-vm.swappiness\n")
    (tmp_path / "etc/sysctl.d/80.conf").mkdir()
    assert sysctl(tmp_path) == ("10", "/etc/sysctl.d/60.conf")


def test_files_that_are_about_to_be_written_or_removed_are_seen(tmp_path):
    put(tmp_path, "/etc/sysctl.d/70.conf", "vm.swappiness = 70\n")
    ours = "/etc/sysctl.d/80.conf"
    assert sysctl(tmp_path, overlay={ours: "vm.swappiness = 10\n"}) == ("10", ours)
    assert sysctl(tmp_path, overlay={ours: "vm.swappiness = 10\n", "/etc/sysctl.d/70.conf": None}) == ("10", ours)
    assert sysctl(tmp_path, overlay={"/etc/sysctl.d/70.conf": None}) == (None, None)


NAMES = st.sampled_from(["10-a", "20-b", "30-c"])
TMPFILES = shutil.which("systemd-tmpfiles")


@pytest.mark.skipif(not TMPFILES, reason="systemd-tmpfiles is not installed")
@hypothesis_settings(max_examples=25, deadline=None)
@given(
    files=st.dictionaries(
        NAMES,
        st.lists(st.tuples(st.sampled_from(["w", "w-"]), st.sampled_from(["f", "[f]", "?", "*", "g"])), max_size=3),
        min_size=1,
    )
)
def test_tmpfiles_writes_what_is_foretold(tmp_path_factory, files):
    root = tmp_path_factory.mktemp("tmpfiles")
    target = put(root, "/t/f", "")
    number = 10  # two digits, since systemd does not cut off what was there
    for name, lines in sorted(files.items()):
        text = ""
        for kind, pattern in lines:
            number += 1
            text += f"{kind} {root}/t/{pattern} - - - - {number}%% \\\\\n"
        put(root, f"/etc/tmpfiles.d/{name}.conf", text.replace(str(root), ""))
        put(root, f"/real/{name}.conf", text)
    value, by = overrides.Boot(Host(str(root))).tmpfiles("/t/f")
    environment = dict(os.environ, SYSTEMD_LOG_LEVEL="crit")
    reals = [str(path) for path in sorted((root / "real").iterdir())]
    subprocess.run([TMPFILES, "--create", *reals], env=environment, check=False, capture_output=True)
    assert target.read_text() == (value or "")
    assert (by is None) == (value is None)


def udev(root, live="none"):
    boot = overrides.Boot(Host(str(root)))
    return boot.udev("nvme0n1", "queue/scheduler", live, "/etc/udev/rules.d/60-ours.rules")


OURS = (
    'ACTION=="add|change", SUBSYSTEM=="block", ENV{DEVTYPE}=="disk", KERNEL=="nvme*n*", '
    'ATTR{queue/scheduler}="none"\n'
)


def test_a_later_udev_rule_wins_where_its_disks_are_ours(tmp_path):
    put(tmp_path, "/etc/udev/rules.d/60-ours.rules", "# a comment\n" + OURS)
    assert udev(tmp_path) == ("none", "/etc/udev/rules.d/60-ours.rules")
    later = "/usr/lib/udev/rules.d/90-theirs.rules"
    for text, found in (
        ('KERNEL=="nvme[0-9]n1", ATTR{queue/scheduler}="mq-deadline"\n', "mq-deadline"),
        ('KERNEL=="sd*|nvme*", \\\n  ATTR{queue/scheduler}="bfq"\n', "bfq"),
        ('KERNEL!="sd*", ATTR{queue/scheduler}="bfq"\n', "bfq"),
        ('KERNEL=="sd*", ATTR{queue/scheduler}="bfq"\n', "none"),
        ('KERNEL!="nvme*", ATTR{queue/scheduler}="bfq"\n', "none"),
        ('#KERNEL=="nvme*", ATTR{queue/scheduler}="bfq"\n', "none"),
        ('KERNEL=="nvme*", ATTR{queue/scheduler}=="bfq", RUN+="x"\n', "none"),
        ('KERNEL=="nvme*", ENV{DEVTYPE}=="partition", ATTR{queue/scheduler}="bfq"\n', "none"),
        ('KERNEL=="nvme*", ATTR{queue/nr_requests}="1"\n', "none"),
        ('KERNEL=="nvme*", ATTR{queue/rotational}=="1", ATTR{queue/scheduler}="bfq"\n', "none"),
    ):
        put(tmp_path, later, text)
        assert udev(tmp_path)[0] == found, text


def test_a_rule_with_conditions_counts_when_the_disk_has_what_it_sets(tmp_path):
    put(tmp_path, "/etc/udev/rules.d/60-ours.rules", OURS)
    later = put(tmp_path, "/etc/udev/rules.d/90.rules", 'ATTR{size}!="0", ATTR{queue/scheduler}="bfq"\n')
    assert udev(tmp_path, live="bfq") == ("bfq", "/" + str(Path(later).relative_to(tmp_path)))
