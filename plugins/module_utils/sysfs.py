# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bounded reading of a machine's `/sys` and `/proc`, which may be live, recorded or hostile."""

from __future__ import annotations

import errno
import os
import re
import stat

from ansible_collections.inference.host.plugins.module_utils.cpulist import parse_cpu_list, parse_cpu_mask

SMALL = 64 * 1024
"""Bytes that an attribute file may hold; the kernel's own limit is one page, lists of CPUs may be longer."""
LARGE = 32 * 1024 * 1024
"""Bytes that a table such as /proc/cpuinfo or /proc/self/mountinfo may hold."""
MAX_NAMES = 20000
"""Entries of one directory that are looked at."""

_CHUNK = 32 * 1024
_PADDING = " \t\r\n\0"
_INTEGER = re.compile(r"-?[0-9]{1,20}\Z")
_BRACKETED = re.compile(r"\[([^\[\]]*)\]")
_ABSENT = frozenset(os.strerror(number) for number in (errno.ENOENT, errno.ENOTDIR))
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class Tree:
    """One reading of the machine whose files lie below `root`.

    Paths are given without a leading slash (`sys/devices/system/cpu/online`). Nothing here raises for what is
    in the tree: an answer that could not be had is None, and `why` tells the reason. Each file is read once and
    remembered, so that two parts of the discovery see the same machine. Only regular files up to a size are
    opened: a pipe, a device or an endless file in a hostile tree is a reason, not a hang. Links are followed
    when a path goes through them (the kernel's own trees need it) and never by a recursive walk.

    `notes` collects, under the dotted key of the result, one sentence for each answer that could not be had.
    """

    def __init__(self, root="/"):
        self.root = os.path.abspath(root)
        self.live = self.root == "/"
        self.notes = {}
        self._texts = {}
        self._reasons = {}

    def at(self, path):
        """Return the path in this machine's own file system."""
        return os.path.join(self.root, path.lstrip("/"))

    def why(self, path):
        """Return why the last reading of `path` gave nothing, as `/path: reason`."""
        return f"/{path}: {self._reasons.get(path, 'nothing of use in it')}"

    def absent(self, path):
        """Return whether the last reading of `path` gave nothing because there is no such file."""
        return self._reasons.get(path) in _ABSENT

    def note(self, key, sentence):
        """Keep the first reason for the key that could not be answered."""
        self.notes.setdefault(key, sentence)

    def missing(self, key, *paths):
        """Note that `key` is null because none of `paths` gave an answer; returns None."""
        reasons = "; ".join(self.why(path) for path in paths)
        self.note(key, f"Not known: {reasons}.")

    def read(self, path, limit=SMALL):
        """Return the text of a file without the blanks and NUL bytes around it, or None."""
        if path not in self._texts:
            data = self._fail(path, self._read_bytes, limit)
            self._texts[path] = None if data is None else data.decode("utf-8", "replace").strip(_PADDING)
        return self._texts[path]

    def read_text(self, path):
        """Return the text of a file that has any, or None."""
        text = self.read(path)
        return self._refuse(path, "empty") if text == "" else text

    def read_bytes(self, path, limit=SMALL):
        """Return the bytes of a file as they are, or None. They are not remembered."""
        return self._fail(path, self._read_bytes, limit)

    def read_int(self, path):
        """Return the decimal integer that a file holds, or None."""
        text = self.read(path)
        if text is None:
            return None
        if not _INTEGER.match(text):
            return self._refuse(path, "not a whole number")
        return int(text)

    def read_ids(self, mask_path, list_path=None):
        """Return the sorted ids of a CPU or node set, or None.

        Rule where both spellings exist and differ: the mask wins. hwloc and lscpu read the masks, and recorded
        trees are known whose lists were left behind when their masks were changed. The list stands in where
        the mask is missing, empty or malformed; an empty list beside a damaged mask is damaged too.
        """
        mask = self.read(mask_path)
        if mask:
            ids = self._parse(mask_path, mask, parse_cpu_mask)
            if ids is not None:
                return ids
        ids = self.read_list(list_path) if list_path else None
        if ids == [] and not self.absent(mask_path):
            return self._refuse(list_path, "empty")
        return ids

    def read_list(self, path):
        """Return the sorted ids of a list such as `0-3,8`, or None; an empty file is the empty list."""
        text = self.read(path)
        return None if text is None else self.parse_list(path, text)

    def parse_list(self, path, text):
        """Return the sorted ids of a list that was found in the file `path`, or None."""
        return self._parse(path, text, parse_cpu_list)

    def read_choice(self, path):
        """Return (chosen, sorted choices) of a file such as `always [madvise] never`, or (None, [])."""
        text = self.read(path)
        if not text:
            return None, []
        chosen = _BRACKETED.search(text)
        return (chosen.group(1) or None) if chosen else None, sorted(set(_BRACKETED.sub(r"\1", text).split()))

    def names(self, path, pattern=None):
        """Return the sorted names in a directory (those that match a regular expression), or [].

        Names that are no valid UTF-8 are left out: the kernel has none, and they could not be reported.
        """
        names = self._fail(path, self._names)
        if not pattern:
            return names or []
        matches = re.compile(pattern + r"\Z").match
        return [name for name in names or [] if matches(name)]

    def exists(self, path):
        """Return whether there is such a file or directory."""
        return os.path.exists(self.at(path))

    def link_name(self, path):
        """Return the last part of a link's target (a device's driver, say), or None."""
        target = self._fail(path, os.readlink)
        return None if target is None else _printable(os.path.basename(target))

    def real(self, path):
        """Return where a path leads after all links, relative to the root; None if outside or nowhere."""
        target = self._fail(path, os.path.realpath)
        root = os.path.realpath(self.root)
        if target is None or not os.path.exists(target):
            return self._refuse(path, "leads nowhere")
        if target != root and not target.startswith(root.rstrip("/") + "/"):
            return self._refuse(path, "leads out of the tree")
        return os.path.relpath(target, root)

    def _fail(self, path, function, *arguments):
        """Call a function on a path; None and a reason for what the system refuses."""
        try:
            return function(self.at(path), *arguments)
        except OSError as error:
            return self._refuse(path, os.strerror(error.errno) if error.errno else str(error))
        except ValueError as error:  # from here, or from the system for a NUL byte in a path
            return self._refuse(path, str(error))

    def _refuse(self, path, reason):
        self._reasons[path] = reason

    def _parse(self, path, text, parse):
        try:
            return parse(text)
        except ValueError as error:
            return self._refuse(path, str(error).rstrip("."))

    @staticmethod
    def _names(path):
        with os.scandir(path) as entries:
            names = []
            for entry in entries:
                if len(names) == MAX_NAMES:
                    break
                if _printable(entry.name) == entry.name:
                    names.append(entry.name)
        return sorted(names)

    @staticmethod
    def _read_bytes(path, limit):
        # Asked before the opening: opening a device can act on it, opening a pipe can wait for ever.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError("not a regular file")
        handle = os.open(path, _FLAGS)
        pieces, size = [], 0
        try:
            while size <= limit:
                piece = os.read(handle, _CHUNK)
                if not piece:
                    return b"".join(pieces)
                pieces.append(piece)
                size += len(piece)
        finally:
            os.close(handle)
        raise ValueError(f"larger than {limit} bytes")


def _printable(name):
    """Return a file name as text that JSON can carry."""
    return os.fsencode(name).decode("utf-8", "replace")


def natural(name):
    """Sort key that puts cpu2 before cpu10."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if index % 2 else part for index, part in enumerate(parts)]
