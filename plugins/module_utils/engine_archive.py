# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Unpacks an engine's archive (tar, zip or wheel) into an empty folder, and nothing outside of it.

The archive's checksum was compared, and still it is not trusted: entries may lie below the folder only, links may point
below it only, and nothing but files, folders and links is made. Files belong to the caller; modes are 0755 for what may
be executed, else 0644.
"""

from __future__ import annotations

import errno
import os
import posixpath
import shutil
import stat
import tarfile
import zipfile
import zlib

from ansible_collections.inference.host.plugins.module_utils.engine_run import EngineError

try:
    from lzma import LZMAError
except ImportError:  # a Python without it opens no such archive
    LZMAError = EOFError

ELF = b"\x7fELF"


def unpack(archive, folder):
    """Unpack the file `archive` into `folder`. Raises EngineError, and OSError for a full disk and the like."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as source:
                _unpack_zip(source, folder)
        else:
            with tarfile.open(archive) as source:
                _unpack_tar(source, folder)
    except EngineError:
        raise
    # A KeyError is of a hard link to what the archive does not hold, a ValueError of text that is none.
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, RuntimeError, KeyError,
            ValueError) as error:
        says = " ".join(str(error).split())[:100]
        raise EngineError("the archive cannot be unpacked (%s); it must be a tar, a zip or a wheel" % says) from None


def find_program(folder, program):
    """Return the path below `folder` of the one file that `program` names: its name, or its path in the archive."""
    found = []
    for place, _folders, files in os.walk(folder):
        for name in files:
            path = os.path.relpath(os.path.join(place, name), folder)
            full = os.path.join(folder, path)
            if (path == program or name == program) and not os.path.islink(full):
                found.append(path)
    if program in found:
        return program
    if len(found) == 1:
        return found[0]
    raise EngineError("the archive holds %s" % (
        "no file %s" % program if not found else "several files %s (%s)" % (program, ", ".join(sorted(found)))))


def _unpack_tar(source, folder):
    members = source.getmembers()
    _check_room(folder, sum(member.size for member in members if member.isfile()))
    for member in members:
        path = _below(folder, member.name)
        if member.isdir():
            os.makedirs(path, mode=0o755, exist_ok=True)
        elif member.issym():
            _link(folder, path, member.name, member.linkname)
        elif member.isfile() or member.islnk():
            _write(path, source.extractfile(member), bool(member.mode & stat.S_IXUSR))
        else:
            raise EngineError("the archive's entry %s is neither file, folder nor link" % member.name)


def _unpack_zip(source, folder):
    members = source.infolist()
    _check_room(folder, sum(member.file_size for member in members))
    for member in members:
        path = _below(folder, member.filename)
        mode = member.external_attr >> 16
        if member.is_dir():
            os.makedirs(path, mode=0o755, exist_ok=True)
        elif stat.S_ISLNK(mode):
            _link(folder, path, member.filename, source.read(member).decode())
        else:
            # Zip files made elsewhere have no modes: what is a program is known by its content.
            with source.open(member) as stream:
                head = stream.read(len(ELF))
            _write(path, source.open(member), bool(mode & stat.S_IXUSR) or head == ELF)


def _check_room(folder, size):
    free = shutil.disk_usage(folder).free
    if size > free:
        says = "it takes %d MB unpacked, and %d MB are free" % (size // 10**6, free // 10**6)
        raise OSError(errno.ENOSPC, says, folder)


def _below(folder, name):
    """Return where an entry goes. Raises EngineError for one that would lie outside."""
    clean = posixpath.normpath(name)
    if name.startswith("/") or clean == ".." or clean.startswith("../") or "\0" in name:
        raise EngineError("the archive's entry %s lies outside of it" % name)
    path = os.path.join(folder, clean)
    parent = os.path.dirname(path)
    if clean != "." and os.path.realpath(parent) != os.path.normpath(os.path.join(os.path.realpath(folder),
                                                                                  posixpath.dirname(clean))):
        raise EngineError("the archive's entry %s goes through a link" % name)
    if clean != ".":
        os.makedirs(parent, mode=0o755, exist_ok=True)
    return path


def _link(folder, path, name, target):
    inside = posixpath.normpath(posixpath.join(posixpath.dirname(posixpath.normpath(name)), target))
    parts = [part for part in target.split("/") if part not in ("", ".")]
    # Upwards only at its beginning, where folders are real: what is above the place that a link leads to is not known.
    winding = parts != sorted(parts, key=lambda part: part != "..")
    if target.startswith("/") or inside == ".." or inside.startswith("../") or winding:
        raise EngineError("the archive's link %s points outside of it" % name)
    if os.path.lexists(path):
        os.unlink(path)
    os.symlink(target, path)


def _write(path, stream, executable):
    if stream is None:
        raise EngineError("the archive's link %s points to nothing" % os.path.basename(path))
    if os.path.lexists(path):
        os.unlink(path)
    with stream, open(path, "wb") as file:
        shutil.copyfileobj(stream, file, 1 << 20)
        os.fchmod(file.fileno(), 0o755 if executable else 0o644)
