# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The host that tunables act on: its files below a root folder, its commands and its clock, and the rows told of it.

A row is a dict {role, name, kind, pattern, path, before, wanted, after, status, reason, evidence, detail, persisted,
overridden_by}; `status` is one of STATUSES, all values are text or None.
"""

from __future__ import annotations

import errno
import glob
import os
import shutil
import subprocess
import time
import typing

from ansible_collections.inference.host.plugins.module_utils import atomic

STATUSES = ("ok", "changed", "partial", "not_applicable", "refused")
"""ok: was as wanted. changed: is now, or will be with the next boot (in check mode: would be). partial: the kernel took
another value. not_applicable: not here, and `detail` says why. refused: `detail` is the system's error in words."""

TAKEN = ("ok", "changed", "partial")
"""The statuses of what is persisted; what is refused now would only fail at boot."""

HEADER = "# Written by Ansible (inference.host.tunables); changes made here are overwritten.\n"

COMMAND_SECONDS = 600
"""After so long a command is ended: update-grub takes a minute on slow machines, a hanging mount takes for ever."""

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DENIED = (errno.EROFS, errno.EACCES, errno.EPERM)
_CONTAINER_MARKS = ("/run/systemd/container", "/run/.containerenv", "/.dockerenv")


class TunablesError(Exception):
    """What is wrong, in one sentence for the person who must act."""


class WantedFile(typing.NamedTuple):
    """A file as a kind of setting wants it."""

    path: str
    text: typing.Any
    """The whole text, None for no file, or for a file of several owners a function of its text now."""
    after: list
    """Commands (argument vectors) to be run after a change of the file."""
    reboot: str | None = None
    """Why a change of the file needs a reboot."""


class Host:
    """The machine whose files lie below `root`. Paths are told without it."""

    def __init__(self, root="/"):
        self.root = root.rstrip("/")

    now = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)

    def place(self, path):
        """Return where the host's `path` lies in this process's file system."""
        return self.root + path

    def glob(self, pattern):
        """Return the host's paths that a glob matches, sorted."""
        return [path[len(self.root) :] for path in sorted(glob.glob(glob.escape(self.root) + pattern))]

    def text(self, path):
        """Return the text of a file, which may hold any bytes, or None where there is none. Raises OSError."""
        try:
            with open(self.place(path), encoding="utf-8", errors="surrogateescape", newline="") as stream:
                return stream.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def put(self, path, text):
        """Write to a file of the kernel in one call, as it takes each call as a whole value. Never makes a file."""
        handle = os.open(self.place(path), os.O_WRONLY | os.O_TRUNC)
        try:
            os.write(handle, text.encode("utf-8", "surrogateescape") + b"\n")
        finally:
            os.close(handle)

    def find(self, command):
        """Return whether a command is installed."""
        return shutil.which(command, path=_search_path()) is not None

    def run(self, argv):
        """Run a command to its end; return None when it exits with 0, else what went wrong in words."""
        said = " ".join(argv)
        try:
            done = subprocess.run(  # pylint: disable=ansible-bad-function
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=dict(os.environ, LC_ALL="C", PATH=_search_path()),
                timeout=COMMAND_SECONDS,
                check=False,
            )
        except OSError as error:
            return f"{said} cannot be run: {atomic.words(error)}"
        except subprocess.TimeoutExpired:
            return f"{said} took more than {COMMAND_SECONDS} seconds"
        if done.returncode == 0:
            return None
        lines = done.stdout.decode("utf-8", "replace").split("\n")
        words = [line.strip() for line in lines if line.strip() and "dmesg" not in line]
        return "{} ended with status {}: {}".format(said, done.returncode, "; ".join(words[-3:]) or "it said nothing")

    def not_ours(self, error):
        """Return why a refused write is no failure here (the kernel belongs to another machine), or None."""
        if error.errno in _DENIED and self.is_container():
            return f"container: the kernel belongs to the machine outside ({atomic.words(error)})"
        return None

    def is_container(self):
        """Tell whether this is a container, by the marks that container managers leave."""
        return any(os.path.exists(self.place(mark)) for mark in _CONTAINER_MARKS)


def _search_path():
    return os.environ.get("PATH", "") + os.pathsep + _SYSTEM_PATH


def remembered(found, written):
    """Return what the baseline keeps of a row, with the value that we wrote."""
    return {"kind": found["kind"], "name": found["name"], "path": found["path"], "before": found["before"],
            "written": written}


def row(setting, path, status, before=None, after=None, detail="", pattern=None):
    """Return the row of one file (or mount, or parameter) of a setting."""
    return {
        "role": setting.get("role"),
        "name": setting["name"],
        "kind": setting["kind"],
        "pattern": pattern or path,
        "path": path,
        "before": before,
        "wanted": setting["value"],
        "after": after,
        "status": status,
        "reason": setting.get("reason") or "",
        "evidence": setting.get("evidence"),
        "detail": detail,
        "persisted": None,
        "overridden_by": None,
    }


def comment(setting):
    """Return the reason and the evidence of a setting as a line of comment, or nothing."""
    words = (setting.get("reason") or "").split()  # on one line, whatever it holds
    if setting.get("evidence"):
        words.append(f"({setting['evidence']})")
    return "# {}\n".format(" ".join(words)) if words else ""


def of_lines(lines):
    """Return the text of a file of ours that holds these lines, None for none."""
    return HEADER + "".join(lines) if lines else None


def label(found):
    """Return what a row is called in sentences and in the diff."""
    return found["name"] if found["kind"] in ("sysctl", "kernel_parameter") else found["path"]
