"""Settings, small hosts below a folder, and how the tests of tunables apply and restore them."""

import json
import os
from pathlib import Path

from ansible_collections.inference.host.plugins.module_utils import tunables, tunables_restore
from ansible_collections.inference.host.plugins.module_utils.tunables_host import Host

STEM = "60-test"
FOLDER = "/var/lib/inference.host/baseline"
SWAPPINESS = "/proc/sys/vm/swappiness"
THP = "/sys/kernel/mm/transparent_hugepage/enabled"
GOVERNORS = "/sys/devices/system/cpu/cpufreq/policy*/scaling_governor"


def sysctl(name="vm.swappiness", value="10", **more):
    return dict({"name": name, "kind": "sysctl", "path": None, "value": value, "applies": True}, **more)


def sysfs(path=THP, value="madvise", **more):
    return dict({"name": "a name", "kind": "sysfs", "path": path, "value": value, "applies": True}, **more)


def file(path="/etc/systemd/system/x.service.d/60.conf", value="[Service]\n", *after, **more):
    return dict({"name": "a file", "kind": "file", "path": path, "value": value, "after": list(after)}, **more)


def put(root, path, text):
    """Make the file `path` of the tree `root`, and return where it is."""
    target = Path(str(root) + path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    return target


def small_host(root):
    """A small host: a sysctl, a choice, and a governor for each of three CPUs."""
    put(root, SWAPPINESS, "60\n")
    put(root, THP, "[always] madvise never\n")
    for cpu in (0, 1, 10):
        put(root, f"/sys/devices/system/cpu/cpufreq/policy{cpu}/scaling_governor", "powersave\n")
    return root


def as_host(root):
    return root if isinstance(root, Host) else Host(str(root))


def apply(settings, root, stem=STEM):
    tunables.check_settings(settings, stem)
    return tunables.apply(settings, stem, as_host(root), FOLDER)


def foresee(settings, root, stem=STEM):
    tunables.check_settings(settings, stem)
    return tunables.foresee(settings, stem, as_host(root), FOLDER)


def restore(root, *stems):
    names = list(stems or ["all"])
    tunables_restore.check_stems(names)
    return tunables_restore.restore(names, as_host(root), FOLDER)


def foresee_restore(root, *stems):
    return tunables_restore.foresee(list(stems or ["all"]), as_host(root), FOLDER)


def statuses(rows):
    return [row["status"] for row in rows]


def kept(root, stem=STEM):
    """Return what the baseline's file of a stem holds."""
    return json.loads(Path(f"{root}{FOLDER}/{stem}.json").read_text())


def first_values(root, stem=STEM):
    return {path: entry["before"] for path, entry in kept(root, stem)["values"].items()}


def ids(rows):
    """Return what tells that rows are the same in foresight and in the end."""
    return [{name: row[name] for name in row if name not in ("persisted", "detail")} for row in rows]


def file_on_path(folder, monkeypatch, name, script):
    """Make a command of this name that runs a shell script, first on PATH."""
    command = put(folder, f"/commands/{name}", "#!/bin/sh\n" + script + "\n")
    command.chmod(0o755)
    if not os.environ["PATH"].startswith(str(command.parent)):
        monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    return command
