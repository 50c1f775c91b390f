# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the folders that the playbooks write on the controller, for a report."""

from __future__ import annotations

import os
import time

LARGEST_BYTES = 16 * 1024 * 1024
"""Of a file; no plan, picture or benchmark comes near it."""
LARGEST_VERIFY_BYTES = 512 * 1024 * 1024
"""Of verify.json, which has all hosts: 64 KiB for each of several thousand."""


def report_files(plans, reports, benchmarks):
    """Return {"plans": {host: {"plan": file, "picture": file}}, "verify": file, "benchmarks": [file]}.

    plans, reports, benchmarks: folders; what is not there is left out. A file is {"text", "modified": UTC, to the
    minute}, or {"fault": why it cannot be read}; of benchmarks it has "host" and "label", too.
    """
    files = {"plans": {}, "benchmarks": []}
    for host in _folders(plans):
        found = {"plan": _file(os.path.join(plans, host, "plan.json"), LARGEST_BYTES),
                 "picture": _file(os.path.join(plans, host, "plan.svg"), LARGEST_BYTES)}
        found = {name: file for name, file in found.items() if file}
        if found:
            files["plans"][host] = found
    verify = _file(os.path.join(reports, "verify.json"), LARGEST_VERIFY_BYTES)
    if verify:
        files["verify"] = verify
    for host in _folders(benchmarks):
        folder = os.path.join(benchmarks, host)
        for name in sorted(os.listdir(folder)):
            if name.endswith(".json") and not name.startswith("."):
                file = _file(os.path.join(folder, name), LARGEST_BYTES)
                files["benchmarks"] += [dict(file, host=host, label=name[:-len(".json")])] if file else []
    return files


def _folders(folder):
    """Return the names of the folders in a folder, sorted; none where it is not there or cannot be read."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return sorted(name for name in names if not name.startswith(".") and os.access(
        os.path.join(folder, name, "."), os.R_OK | os.X_OK))


def _file(path, largest):
    """Return a file, or None where there is none."""
    if not os.path.lexists(path):
        return None
    if not os.path.isfile(path):
        return {"fault": "is no file"}
    try:
        with open(path, "rb") as source:
            status = os.fstat(source.fileno())
            content = source.read(largest + 1)
    except OSError as error:
        return {"fault": "cannot be read: %s" % error.strerror}
    if len(content) > largest:
        return {"fault": "is larger than %d MiB" % (largest // 1024 // 1024)}
    modified = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(status.st_mtime))
    return {"text": content.decode("utf-8", "replace"), "modified": modified}
