# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the header of a GGUF file: metadata and the list of tensors, never the tensors' data.

Layout: the public GGUF specification (ggml, docs/gguf.md), versions 2 and 3, both byte orders. The file is not
trusted: every length is compared with what is left of the file before it is used, and time and memory are bounded
by the LIMITs below, which real models stay far under.
"""

from __future__ import annotations

import os
import re
import stat
import struct

from ansible_collections.inference.host.plugins.module_utils.gguf_types import TENSOR_TYPES

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_DIMENSIONS = 4
DEFAULT_ALIGNMENT = 32

LIMIT_KEYS = 1 << 16
LIMIT_TENSORS = 1 << 18
LIMIT_STRINGS = 1 << 22
"""So many strings may be in all arrays together; vocabularies and merges of today's models have under a million."""
LIMIT_NAME = 1 << 10
"""Bytes of a key or tensor name."""
KEPT_STRING = 1 << 10
KEPT_ARRAY = 1 << 10
"""Longer strings (chat templates) and arrays (tokenizers), and all arrays of strings, are passed over: None."""

WINDOW = 1 << 18
SHARD = re.compile(r"^(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$")

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""struct's letter by the number of the value's type."""
STRING = 8
ARRAY = 9


class GgufError(ValueError):
    """One sentence that names the file and what is wrong with it."""


def read_gguf(path):
    """Return what the header of the GGUF file `path` says.

    {"path", "version", "byte_order": "little" | "big", "size_bytes" (of the file), "data_offset",
    "metadata": {key: bool, int, float, str, list of numbers, or None for what is long},
    "array_lengths": {key: number of values, of every array},
    "tensors": [{"name", "shape", "type", "elements", "bytes"}] in the file's order}

    Raises GgufError for a file that is no whole GGUF file, OSError for one that cannot be read.
    """
    # Without O_NONBLOCK a pipe would be waited for without end.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise GgufError("%s: it is no file." % path)
        return read_header(stream, status.st_size, path)


def read_header(stream, size, path):
    """Return what `read_gguf` does of a stream with `seek` and `read`, which has `size` bytes and is called `path`."""
    try:
        return dict(_Header(stream, size).read(), path=path, size_bytes=size)
    except GgufError as error:
        raise GgufError("%s: %s." % (path, error)) from None


def read_model(path):
    """Return the header of a whole model: `read_gguf` of the file, or of all its shards as one.

    Of a file `NAME-0000I-of-0000N.gguf` all N shards are read, from the same folder. Metadata are the first shard's,
    tensors and `size_bytes` are all shards'. "shards" is [{"path", "size_bytes", "tensors"}], one for each file.
    Raises GgufError also when a shard is missing.
    """
    return join_shards(path, [read_gguf(shard) for shard in shard_paths(path)])


def join_shards(path, headers):
    """Return the headers of all files of one model as `read_model` does."""
    shards = [{"path": header["path"], "size_bytes": header["size_bytes"], "tensors": len(header["tensors"])}
              for header in headers]
    tensors = [tensor for header in headers for tensor in header["tensors"]]
    _check_shards(path, headers, tensors)
    size = sum(header["size_bytes"] for header in headers)
    return dict(headers[0], path=path, size_bytes=size, tensors=tensors, shards=shards)


def shard_paths(path):
    """Return the paths of all files of the model that `path` belongs to; [path] when it is not split."""
    folder, name = os.path.split(path)
    match = SHARD.match(name)
    if not match:
        return [path]
    number, count = int(match.group("number")), int(match.group("count"))
    if not 1 <= number <= count:
        raise GgufError("%s: part %d of %d cannot be." % (path, number, count))
    names = ["%s-%05d-of-%05d.gguf" % (match.group("stem"), part, count) for part in range(1, count + 1)]
    there = set(os.listdir(folder or "."))
    missing = [name for name in names if name not in there]
    if missing:
        raise GgufError("%s: %d of %d parts of the model are missing, first %s." % (
            path, len(missing), count, missing[0]))
    return [os.path.join(folder, name) for name in names]


def _check_shards(path, headers, tensors):
    for number, header in enumerate(headers):
        says = (header["metadata"].get("split.no", 0), header["metadata"].get("split.count", 0) or 1)
        if says != (number, len(headers)):
            raise GgufError("%s: split.no and split.count are %r and %r; in a part of that name they are %d and %d." % (
                header["path"], says[0], says[1], number, len(headers)))
    names = [tensor["name"] for tensor in tensors]
    if len(set(names)) != len(names):
        raise GgufError("%s: two parts of the model have a tensor of the same name." % path)


class _Header:
    """One pass over a header, through a window of the file."""

    def __init__(self, stream, size):
        self._stream = stream
        self._size = size
        self._window = b""
        self._start = 0  # the window's place in the file
        self._at = 0  # the place of the next byte in the window
        self._order = "<"
        self._strings = 0

    def read(self):
        """Return the header as `read_gguf` does, without what is of the file and not of its content."""
        self._need(24, "the fixed part of the header")
        magic = self._take(4)
        if magic != MAGIC:
            raise GgufError("it is no GGUF file; it begins with %r instead of %r" % (magic, MAGIC))
        version = self._version()
        tensor_count, key_count = self._number("Q"), self._number("Q")
        # Name, type and value of a key take 13 bytes, of a tensor 24, if all is as short as can be.
        self._check_count(key_count, 13, LIMIT_KEYS, "keys")
        metadata, lengths = self._metadata(key_count)
        alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
        if not _is_power_of_two(alignment):
            raise GgufError("general.alignment is %r; it must be a power of two" % (alignment,))
        self._check_count(tensor_count, 24, LIMIT_TENSORS, "tensors")
        tensors = [self._tensor() for _tensor in range(tensor_count)]
        data_offset = _padded(self._place(), alignment) if tensors else self._place()
        self._check_tensors(tensors, data_offset, alignment)
        return {
            "version": version, "byte_order": "little" if self._order == "<" else "big", "data_offset": data_offset,
            "metadata": metadata, "array_lengths": lengths, "tensors": tensors}

    def _version(self):
        """Return the version; its bytes also tell the order of all others."""
        raw = self._take(4)
        if raw[:2] == b"\0\0":
            self._order = ">"
        version = struct.unpack(self._order + "I", raw)[0]
        if version not in VERSIONS:
            raise GgufError("GGUF version is %d; %s can be read" % (version, " and ".join(map(str, VERSIONS))))
        return version

    def _metadata(self, count):
        metadata, lengths = {}, {}
        for _entry in range(count):
            key = self._name("key")
            if key in metadata:
                raise GgufError("key %r is there twice" % key)
            kind = self._number("I")
            if kind == ARRAY:
                metadata[key], lengths[key] = self._array(key)
            else:
                metadata[key] = self._value(key, kind)
        return metadata, lengths

    def _value(self, key, kind):
        if kind == STRING:
            length = self._length("the value of key %r" % key)
            if length <= KEPT_STRING:
                return self._take(length).decode("utf-8", "replace")
            self._skip(length)
            return None
        if kind not in SCALARS:
            raise GgufError("key %r has a value of the unknown type %d" % (key, kind))
        return self._number(SCALARS[kind])

    def _array(self, key):
        """Return the values, or None when they are not kept, and their number."""
        kind, count = self._number("I"), self._number("Q")
        what = "the array of key %r" % key
        if kind == STRING:
            self._need(8 * count, what)
            self._strings += count
            if self._strings > LIMIT_STRINGS:
                raise GgufError("its arrays have more than %d texts; no model has so many" % LIMIT_STRINGS)
            self._skip_strings(count, what)
            return None, count
        if kind not in SCALARS:
            raise GgufError("key %r has an array of the unknown type %d" % (key, kind))
        size = count * struct.calcsize("<" + SCALARS[kind])
        self._need(size, what)
        if count > KEPT_ARRAY:
            self._skip(size)
            return None, count
        return list(struct.unpack("%s%d%s" % (self._order, count, SCALARS[kind]), self._take(size))), count

    def _skip_strings(self, count, what):
        """Pass over strings, of which vocabularies have hundreds of thousands, without making them."""
        unpack = struct.Struct(self._order + "Q").unpack_from
        while count:
            self._fill(8)
            window, at, last = self._window, self._at, len(self._window) - 8
            while count and at <= last:
                at += 8 + unpack(window, at)[0]
                count -= 1
            self._skip(at - self._at, what)

    def _tensor(self):
        name = self._name("tensor")
        dimensions = self._number("I")
        if dimensions > MAX_DIMENSIONS:
            raise GgufError("tensor %r has %d dimensions; there are at most %d" % (name, dimensions, MAX_DIMENSIONS))
        shape = [self._number("Q") for _dimension in range(dimensions)]
        kind, offset = self._number("I"), self._number("Q")
        if kind not in TENSOR_TYPES:
            raise GgufError("tensor %r has the unknown type %d" % (name, kind))
        type_name, block, block_bytes = TENSOR_TYPES[kind]
        if shape and shape[0] % block:
            raise GgufError("tensor %r has rows of %d numbers; %s has blocks of %d" % (
                name, shape[0], type_name, block))
        elements = 1
        for length in shape:
            elements *= length
        return {"name": name, "shape": shape, "type": type_name, "elements": elements,
                "bytes": elements // block * block_bytes, "offset": offset}

    def _check_tensors(self, tensors, data_offset, alignment):
        """Check that the data follow each other without gaps, as GGUF demands, and lie in the file."""
        names, end = set(), 0
        for tensor in tensors:
            offset = tensor.pop("offset")
            if tensor["name"] in names:
                raise GgufError("tensor %r is there twice" % tensor["name"])
            names.add(tensor["name"])
            if offset != _padded(end, alignment):
                raise GgufError("tensor %r begins at byte %d of the data instead of %d" % (
                    tensor["name"], offset, _padded(end, alignment)))
            end = offset + tensor["bytes"]
            if data_offset + end > self._size:
                raise GgufError("it ends too early: tensor %r goes to byte %d, the file has %d" % (
                    tensor["name"], data_offset + end, self._size))

    def _name(self, what):
        length = self._length("a %s's name" % what)
        if length > LIMIT_NAME:
            raise GgufError("a %s's name has %d bytes; %d are allowed" % (what, length, LIMIT_NAME))
        return self._take(length).decode("utf-8", "replace")

    def _length(self, what):
        length = self._number("Q")
        self._need(length, what)
        return length

    def _number(self, letter):
        layout = struct.Struct(self._order + letter)
        return layout.unpack(self._take(layout.size))[0]

    def _check_count(self, count, least, limit, what):
        if count > limit:
            raise GgufError("it says that it has %d %s; at most %d are read" % (count, what, limit))
        self._need(count * least, "%d %s" % (count, what))

    def _place(self):
        return self._start + self._at

    def _need(self, count, what):
        left = self._size - self._place()
        if count > left:
            raise GgufError("it ends too early: %s would take %d bytes, %d are left" % (what, count, left))

    def _take(self, count):
        """Return the next `count` bytes; never more than a window is asked for."""
        self._fill(count)
        taken = self._window[self._at:self._at + count]
        self._at += count
        return taken

    def _fill(self, count):
        """Make sure that the window has the next `count` bytes."""
        if self._at + count > len(self._window):
            self._start, self._at = self._place(), 0
            self._stream.seek(self._start)
            self._window = self._stream.read(max(count, WINDOW))
            if count > len(self._window):
                self._need(count, "a value")
                raise GgufError("it became shorter while it was read")

    def _skip(self, count, what="a value"):
        """Pass over bytes, which may lie beyond the window."""
        self._need(count, what)
        self._at += count


def _is_power_of_two(number):
    return isinstance(number, int) and not isinstance(number, bool) and number > 0 and number & (number - 1) == 0


def _padded(place, alignment):
    return -(-place // alignment) * alignment
