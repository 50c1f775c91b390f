# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The few calls of systemctl that the modules need, and what they read of a unit's process."""

from __future__ import annotations

import os
import subprocess

from ansible_collections.inference.host.plugins.module_utils import units

CREDENTIALS = ("/run/credentials", "/run/inference.host/credentials")
"""Where a unit's process has what LoadCredential= gave it. In a sandbox systemd hides the first folder; the unit of
role watch has it as the second one."""
JOURNAL_LINES = 20
"""How many of a unit's last lines go into the message."""


class UnitError(Exception):
    """What a unit could not do, with the last lines of its journal, for the person who must act."""


class Systemd:
    """Speaks with the host's systemd."""

    def __init__(self, run):
        """run: like AnsibleModule.run_command, takes an argument vector and returns (status, output, errors)."""
        self.run = run

    def call(self, *words):
        return self.run(["systemctl", "--no-pager"] + list(words))

    def must(self, unit, *words):
        """Do something with a unit and raise UnitError where it fails."""
        status, _out, error = self.call(*(words + (unit,)))
        if status:
            raise self.failure(unit, "could not %s: %s" % (words[0], error.strip()))

    def begin(self, unit, word):
        """Begin something with a unit and return the running process of systemctl, which ends when it is done."""
        return subprocess.Popen(  # pylint: disable=ansible-bad-function
            ["systemctl", "--no-pager", word, unit], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)

    def failure(self, unit, what):
        """Return the UnitError that says what became of a unit."""
        _status, journal, _error = self.run(
            ["journalctl", "--no-pager", "-n", str(JOURNAL_LINES), "-o", "cat", "-u", unit])
        return UnitError("%s %s The last lines of its journal:\n%s" % (unit, what, journal.strip()))

    def show(self, names):
        """Return {unit: {property: value}} of the named units."""
        _status, out, _error = self.call("show", "--property=" + ",".join(units.PROPERTIES), *names)
        return units.parse_show(out)

    def is_up(self, unit):
        """Return whether a unit runs or is about to."""
        return self.show([unit]).get(unit, {}).get("ActiveState") in ("active", "activating")

    def strangers(self, pattern, names):
        """Return the units of the pattern that run, have failed or are enabled, and are not among the names."""
        alive = "--state=active,activating,deactivating,reloading,failed"
        _status, active, _error = self.call("list-units", alive, "--plain", "--no-legend", pattern)
        _status, files, _error = self.call("list-unit-files", "--state=enabled", "--plain", "--no-legend", pattern)
        found = {line.split()[0] for line in (active + files).splitlines() if line.strip()}
        return sorted(name for name in found if name not in names and "@." not in name)

    def remove(self, unit):
        """Stop and disable a unit. Where its unit file is gone already, `disable` leaves the target's link."""
        self.call("stop", unit)
        self.call("disable", unit)
        self.call("reset-failed", unit)
        link = "/etc/systemd/system/multi-user.target.wants/" + unit
        if os.path.islink(link):
            os.unlink(link)


def read(path, size=-1):
    """Return the file's bytes, or as many of them; nothing when the process has just gone.

    Unbuffered, for the kernel makes no more of `numa_maps` than is read, and all of it takes long for a large model.
    """
    try:
        with open(path, "rb", buffering=0) as handle:
            return handle.read(size)
    except OSError:
        return b""


def engine_pid(properties):
    """Return the id of a unit's engine as text, "0" where none runs. Of a container the main process is podman's
    monitor, and the engine its child."""
    pid = properties.get("MainPID", "0")
    if read("/proc/%s/comm" % pid).strip() == b"conmon":
        inside = read("/proc/%s/task/%s/children" % (pid, pid)).decode().split()
        return inside[0] if inside else "0"
    return pid


def process(properties):
    """Return the texts `status` and the beginning of `numa_maps` of a unit's engine; empty where none runs."""
    folder = "/proc/%s/" % engine_pid(properties)
    return tuple(read(folder + name, size).decode("utf-8", "replace") for name, size in (
        ("status", -1), ("numa_maps", 4096)))


def action_needed(unit, properties):
    """Return `start`, `restart` or None, from what runs: see `units.action_needed`."""
    folder = "/proc/%s" % properties.get("MainPID", "0")
    paths = units.unit_files(properties)
    if properties.get("UnitFileState") == "generated":
        # Podman's monitor has not the unit's environment, so that nothing but its age tells what it was started with.
        action = units.action_needed(dict(properties, Environment=""), b"")
        return action or ("restart" if _changed(folder) < max(map(_changed, paths), default=0) else None)
    texts = [read(path).decode("utf-8", "replace") for path in paths]
    credentials = [(read(source), _loaded(unit, name)) for text in texts for name, source in units.credentials(text)]
    return units.action_needed(properties, read(folder + "/environ"), credentials)


def _loaded(unit, name):
    """Return what a unit's process got as a credential, nothing where it got none."""
    return next(filter(None, (read("%s/%s/%s" % (folder, unit, name)) for folder in CREDENTIALS)), b"")


def _changed(path):
    """Return when a file was changed, or a process began, in seconds since 1970; 0 for what is not there."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0
