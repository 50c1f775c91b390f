# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which configuration file sets a kernel value at boot, by the rules of systemd-sysctl, systemd-tmpfiles and udev.

Files of one name in several folders count once, from the first folder; then all are read sorted by name.
"""

from __future__ import annotations

import fnmatch
import os
import re

_FOLDERS = ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")
_CLAUSE = re.compile(r'\s*([A-Za-z_]+(?:\{[^}]*\})?)\s*(==|!=|:=|\+=|-=|=)\s*e?"((?:[^"\\]|\\.)*)"\s*,?')
_PLAIN = ("ACTION", "KERNEL", "SUBSYSTEM", "ENV{DEVTYPE}")
"""Match keys that are decided without asking the device: our own rule has them too."""


def sysctl_path(name):
    """Return the file of a sysctl key: vm.swappiness is /proc/sys/vm/swappiness.

    As sysctl.d(5) has it, the first separator decides: after `net/ipv4/conf/eth0.1/…` dots belong to names.
    """
    separators = re.findall(r"[./]", name)
    if separators and separators[0] == ".":
        name = name.translate(str.maketrans("./", "/."))
    return "/proc/sys/" + name


class Boot:
    """What the next boot reads. `overlay` is {path: text or None} of files that are about to be written.

    An answer is (value, path of the file that sets it), (None, None) where none does. Each file is read once.
    """

    def __init__(self, host, overlay=None):
        self._host, self._overlay, self._read = host, overlay or {}, {}

    def foretells(self, path):
        """Tell whether the file is about to be written."""
        return path in self._overlay

    def text(self, path):
        """Return the text of a file, None where there is none or it cannot be read."""
        if path in self._overlay:
            return self._overlay[path]
        try:
            return self._host.text(path)
        except OSError:
            return None

    def lines(self, patterns):
        """Return [(path, line)] of the files that the globs name."""
        paths = [path for pattern in patterns for path in self._host.glob(pattern)]
        return [(path, line) for path in paths for line in (self.text(path) or "").splitlines()]

    def sysctl(self, path):
        """Return what sysctl.d sets the file `path` below /proc/sys to: the last file wins.

        Globs do not count: they leave out keys that a file names, and ours are named (sysctl.d(5)). /etc/sysctl.conf
        counts only where a link in sysctl.d names it, as distributions have it (99-sysctl.conf).
        """
        value = by = None
        for file, line in self._lines("sysctl.d", ".conf"):
            name, equals, wanted = line.strip().partition("=")
            name = name.strip()
            if equals and name[:1] not in ("#", ";", "") and sysctl_path(name.lstrip("-").strip()) == path:
                value, by = wanted.strip(), file
        return value, by

    def tmpfiles(self, path):
        """Return what the `w` lines of tmpfiles.d write to the file `path`.

        Of lines with the same path the first counts, the others are reported as duplicates and ignored. Lines whose
        globs meet in one file are carried out one after the other, so that the last one stays (tried, systemd 252).
        """
        value, by, seen = None, None, set()
        for file, line in self._lines("tmpfiles.d", ".conf"):
            words = line.split(None, 6)
            if len(words) < 7 or words[0][0] != "w":
                continue
            pattern = words[1].replace("%%", "%")
            if pattern in seen and "+" not in words[0]:
                continue
            seen.add(pattern)
            if _same_path(path, pattern):
                value, by = words[6].replace("%%", "%").replace("\\\\", "\\"), file
        return value, by

    def udev(self, disk, attribute, live, ours):
        """Return what udev's rules write to an attribute (such as queue/scheduler) of a disk: the last rule wins.

        Rules of other files (not `ours`) that ask more than the disk's name, such as whether it rotates, are counted
        only if what they set is what the disk has now (`live`).
        """
        value = by = None
        for file, line in self._lines("udev/rules.d", ".rules"):
            clauses = [] if line.lstrip().startswith("#") else _CLAUSE.findall(line)
            wanted = [word for name, sign, word in clauses if name == f"ATTR{{{attribute}}}" and sign in ("=", ":=")]
            if not wanted or not _may_match(clauses, disk):
                continue
            wanted = wanted[-1].replace("%%", "%").replace("$$", "$")
            conditions = {name for name, sign, _word in clauses if sign in ("==", "!=")}
            if file == ours or conditions <= set(_PLAIN) or wanted == live:
                value, by = wanted, file
        return value, by

    def _lines(self, folder, ending):
        """Return [(path, line)] in the order in which they are read; masked and unreadable files are left out."""
        if folder not in self._read:
            found = {}
            for top in _FOLDERS:
                for path in self._host.glob(f"{top}/{folder}/*{ending}"):
                    found.setdefault(os.path.basename(path), path)
            for path in self._overlay:
                if os.path.dirname(path) == f"/etc/{folder}":
                    found[os.path.basename(path)] = path
            texts = [(path, self.text(path) or "") for _name, path in sorted(found.items())]
            if folder == "udev/rules.d":
                texts = [(path, text.replace("\\\n", "")) for path, text in texts]  # its lines can go on
            self._read[folder] = [(path, line) for path, text in texts for line in text.splitlines()]
        return self._read[folder]


def _same_path(path, pattern):
    """Tell whether a glob names the path; its wildcards stay within one folder, as glob(7) has it."""
    names, patterns = path.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(map(fnmatch.fnmatchcase, names, patterns))


def _may_match(clauses, disk):
    for name, sign, word in clauses:
        if name == "KERNEL" and sign in ("==", "!="):
            matches = any(fnmatch.fnmatchcase(disk, pattern) for pattern in word.split("|"))
            if matches != (sign == "=="):
                return False
        if name == "ENV{DEVTYPE}" and sign == "==" and "disk" not in word.split("|"):
            return False
    return True
