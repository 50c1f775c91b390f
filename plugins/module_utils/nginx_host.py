# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What role nginx has to know of a host: its certificate, its IPv6, and how nginx was before."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
import stat

REVISION = re.compile(r'return 200 "([0-9a-f]{32})\\n";')


class HostError(Exception):
    """What is wrong, in one sentence for the person who must act."""


def has_ipv6():
    """Tell whether a server can listen at IPv6's loopback address."""
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as one:
            one.bind(("::1", 0))
    except OSError:
        return False
    return True


def check_tls_files(certificate, key):
    """Raise HostError unless both files are there and the key is closed to everyone else."""
    for option, path in (("nginx_tls_certificate", certificate), ("nginx_tls_key", key)):
        try:
            mode = os.stat(path).st_mode
        except OSError as error:
            raise HostError("%s is %s, which cannot be used: %s." % (option, path, os.strerror(error.errno))) from None
        if not stat.S_ISREG(mode):
            raise HostError("%s is %s, which is no file." % (option, path))
        if option == "nginx_tls_key" and mode & 0o007:
            raise HostError("%s is %s, whose mode is %04o; the key must be closed to others, such as 0640." % (
                option, path, stat.S_IMODE(mode)))


def digest_of(paths):
    """Return one word for the contents of files, by which a renewed certificate is seen; `-` without any."""
    total = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as stream:
            total.update(hashlib.sha256(stream.read()).digest())
    return total.hexdigest()[:16] if paths else "-"


def revision_text(token, inputs):
    """Return the file that lets nginx tell which configuration it has loaded. inputs: digest of what else it reads."""
    return '# certificate %s\nreturn 200 "%s\\n";\n' % (inputs, token)


def revision_of(text, inputs):
    """Return the token in such a file, or None where there is none or other inputs were read with it."""
    found = REVISION.search(text)
    return found.group(1) if found and text == revision_text(found.group(1), inputs) else None


def new_revision():
    """Return a token that no earlier configuration had."""
    return secrets.token_hex(16)


def read_text(path):
    """Return a file's text, "" where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def open_files(pids):
    """Return the least number of files that one of these processes may open, None where none tells."""
    limits = []
    for pid in pids:
        found = re.search(r"^Max open files\s+(\d+)", read_text("/proc/%d/limits" % pid), re.MULTILINE)
        if found:
            limits.append(int(found.group(1)))
    return min(limits, default=None)


def came_with_us(before):
    """Tell from what `systemctl show` said before the first run whether the host had no nginx then."""
    lines = dict(line.split("=", 1) for line in before.splitlines() if "=" in line)
    return bool(lines) and lines.get("UnitFileState") == ""
