# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which files a release takes: names that lead nowhere else, and formats that hold data only.

Pickled formats run code when they are loaded, so they are refused by the end of the name and by how the file begins.
"""

from __future__ import annotations

import hashlib
import os
import re

from ansible_collections.inference.host.plugins.module_utils.errors import ReleaseError
from ansible_collections.inference.host.plugins.module_utils.gguf import SHARD

BLOCK = 1 << 20
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}\Z")
"""No dot in front: hidden names are our own, and neither `.` nor `..` is a name."""
SHA256 = re.compile(r"[0-9a-f]{64}\Z")
WEIGHTS = (".gguf", ".safetensors", ".ggml")
""".ggml is what whisper.cpp reads; its authors call such files .bin, as PyTorch calls its pickles."""
TEXTS = (".json", ".jinja", ".txt", ".md", ".tiktoken")
BESIDE = TEXTS + (".model",)
"""What stands beside weights: configuration, tokenizers (.model is SentencePiece) and notes."""
MANIFEST = "manifest.json"
MOST_FILES = 1024
DEEPEST = 8
LONGEST = 512
START = 16
"""So many first bytes tell a format."""
SAFETENSORS_HEADER = 100000000
"""Bytes of the longest header that the safetensors library reads."""


NAME_WORDS = "letters, digits, '.', '_' and '-', no '.' in front and at most 128"


def check_path(path, variable="filename", allowed=WEIGHTS):
    """Raise ReleaseError unless `path` is a file's place below a release and ends in what is `allowed`.

    `variable` names the user's: only below `files` there are folders.
    """
    says = "%s is '%s'" % (variable, path) if variable == "filename" else "%s has '%s'" % (variable, path)
    parts = path.split("/") if variable == "files" else [path]
    if not all(map(NAME.match, parts)):
        raise ReleaseError("%s; it must be %s%s" % (says, NAME_WORDS, ", in each part" if variable == "files" else ""))
    if len(parts) > DEEPEST or len(path) > LONGEST:
        raise ReleaseError("%s; it must have at most %d folders and %d characters" % (says, DEEPEST - 1, LONGEST))
    if not path.endswith(allowed):
        raise ReleaseError("%s; allowed are %s and %s, which hold data only: other formats can run code when they are"
                           " loaded" % (says, ", ".join(allowed[:-1]), allowed[-1]))
    if path == MANIFEST:
        raise ReleaseError("%s; that name is the release's own" % says)


def check_files(files, filename=None):
    """Raise ReleaseError unless `files` ({path: SHA-256}) can be one model of several files.

    filename: the file that the engine opens, where the user names it.
    """
    if not 1 <= len(files) <= MOST_FILES:
        raise ReleaseError("files has %d entries; it must have 1 to %d" % (len(files), MOST_FILES))
    for path, sha256 in files.items():
        check_path(path, "files", WEIGHTS + BESIDE)
        if not SHA256.match(sha256):
            raise ReleaseError("files has '%s' for %s; it must be 64 hexadecimal digits in lower case" % (sha256, path))
    folders = {path.rsplit("/", depth)[0] for path in files for depth in range(1, path.count("/") + 1)}
    both = sorted(folders & set(files))
    if both:
        raise ReleaseError("files has '%s' as a file and as a folder" % both[0])
    if not any(path.endswith(WEIGHTS) for path in files):
        raise ReleaseError("files has no weights; one of them must end in %s" % ", ".join(WEIGHTS))
    if filename is not None and filename not in files:
        raise ReleaseError("filename is '%s'; it must be one of files" % filename)
    check_shards(files)
    opened_file(files, filename)


def check_shards(paths):
    """Raise ReleaseError where a part of a split GGUF model is named and another is not."""
    for path in paths:
        folder, name = os.path.split(path)
        shard = SHARD.match(name)
        if not shard:
            continue
        for number in range(1, int(shard.group("count")) + 1):
            other = os.path.join(folder, "%s-%05d-of-%s.gguf" % (shard.group("stem"), number, shard.group("count")))
            if other not in paths:
                raise ReleaseError("%s is a part of a split model, and %s is not there; name all parts in files" % (
                    path, other))


def opened_file(files, filename=None):
    """Return the path that the engine opens: the user's, the only GGUF (ggml) file, a split model's first; "" stands
    for the whole folder, as engines for safetensors want it. Raises ReleaseError where it must be said which."""
    if filename is not None:
        return filename
    firsts = [path for path in sorted(files) if path.endswith((".gguf", ".ggml")) and not _later_shard(path)]
    if len(firsts) > 1:
        raise ReleaseError("files has %s; say with filename which one the engine opens" % " and ".join(firsts[:2]))
    return firsts[0] if firsts else ""


def _later_shard(path):
    shard = SHARD.match(os.path.basename(path))
    return bool(shard) and int(shard.group("number")) != 1


def check_start(filename, start, place):
    """Raise ReleaseError when `start`, the first START bytes of what is at `place`, is not how `filename` begins."""
    if filename.endswith(".gguf") and start[:4] != b"GGUF":
        raise ReleaseError("%s is no GGUF file: it begins with %r instead of %r" % (place, start[:4], b"GGUF"))
    if filename.endswith(".ggml") and start[:4] != b"lmgg":
        raise ReleaseError("%s is no ggml file: it begins with %r instead of %r" % (place, start[:4], b"lmgg"))
    if filename.endswith(".safetensors"):
        # The header's length in 8 bytes, then the header, which is JSON.
        if not 2 <= int.from_bytes(start[:8], "little") <= SAFETENSORS_HEADER or start[8:9] != b"{":
            raise ReleaseError("%s is no safetensors file: it begins with %r" % (place, start))
    if filename.endswith(".model") and start[:1] != b"\x0a":
        raise ReleaseError("%s is no SentencePiece model: it begins with %r" % (place, start[:4]))
    if filename.endswith(TEXTS) and not _begins_like_text(start):
        raise ReleaseError("%s is no text: it begins with %r" % (place, start))
    if filename.endswith(".json") and start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"[", b'"', b""):
        raise ReleaseError("%s is no JSON: it begins with %r" % (place, start))


def _begins_like_text(start):
    """Pickles of today begin with byte 0x80, PyTorch's archives and NumPy's with control characters among the first."""
    return not any(byte < 32 and byte not in b"\t\n\f\r" for byte in start) and not 0x80 <= (start or b" ")[0] < 0xC0


def check_content(path, filename, sha256, place):
    """Raise ReleaseError unless the file `path` is what `filename` and `sha256` promise; `place` names it in words."""
    with open(path, "rb") as stream:
        start = stream.read(START)
        check_start(filename, start, place)
        size = os.fstat(stream.fileno()).st_size
    if filename.endswith(".safetensors") and 8 + int.from_bytes(start[:8], "little") > size:
        raise ReleaseError("%s is no safetensors file: its header would be longer than the file" % place)
    found = digest(path)
    if found != sha256:
        raise ReleaseError("sha256 %s is expected, but %s has %s" % (sha256, place, found))


def digest(path):
    """Return the SHA-256 of a file as hexadecimal digits."""
    sha256 = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(BLOCK), b""):
            sha256.update(block)
    return sha256.hexdigest()
