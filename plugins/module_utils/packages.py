# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Debian packages, as far as a module needs them: what dpkg says of some, and their installation.

`run` is AnsibleModule.run_command or the like: an argument vector in, (status, output, errors) out.
"""

from __future__ import annotations

import shutil

ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
LOCK = ["-o", "DPkg::Lock::Timeout=300"]
"""Seconds to wait for another run of apt, such as the daily one."""


class PackageError(Exception):
    """What is wrong, in one sentence for the person who must act."""


def broken(text):
    """Return the packages that are neither whole nor gone, from dpkg-query's lines `package status-abbreviation`.

    The second letter is the state: n not installed, c configuration alone, i installed. Others are left by an
    installation that was cut off.
    """
    pairs = [line.split() for line in text.splitlines()]
    return [pair[0] for pair in pairs if len(pair) > 1 and len(pair[1]) > 1 and pair[1][1] not in "nci"]


def find_broken(run, pattern):
    """Return the half installed packages whose names match; [] where the host has no dpkg."""
    if not shutil.which("dpkg-query"):
        return []
    _status, out, _error = run(["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Abbrev}\n", pattern])
    return broken(out)


def missing(run, names):
    """Return those of the packages that are not wholly installed; [] where the host has no dpkg."""
    if not names or not shutil.which("dpkg-query"):
        return []
    _status, out, _error = run(["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Abbrev}\n", *names])
    whole = {line.split()[0] for line in out.splitlines() if line.split()[1:2] and line.split()[1][1:2] == "i"}
    return [name for name in names if name not in whole]


def install(run, name, left=()):
    """Install a package, or a list of them, without what they only recommend; `left` are packages that were left half
    installed."""
    if left:
        _must(run, ["dpkg", "--configure", "-a", "--force-confdef", "--force-confold"])
        _must(run, ["apt-get", "-y", *LOCK, "--fix-broken", "--no-install-recommends", "install"])
    _must(run, ["apt-get", *LOCK, "-q", "update"])
    _must(run, ["apt-get", "-y", "-q", *LOCK, "-o", "Dpkg::Options::=--force-confdef", "-o",
                "Dpkg::Options::=--force-confold", "--no-install-recommends", "install",
                *([name] if isinstance(name, str) else name)])


def _must(run, argv):
    status, out, error = run(argv, environ_update=ENVIRONMENT)
    if status:
        lines = (error.strip() or out.strip()).splitlines()[-5:]
        raise PackageError("%s ended with status %d and said: %s" % (" ".join(argv[:2]), status, "\n".join(lines)))
