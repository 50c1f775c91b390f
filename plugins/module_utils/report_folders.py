# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the folders that the playbooks write on the controller, for a report."""

from __future__ import annotations

import os
import stat
import time

LARGEST_BYTES = 16 * 1024 * 1024
"""Of a file; no plan, picture or benchmark comes near it."""
LARGEST_VERIFY_BYTES = 512 * 1024 * 1024
"""Of verify.json, which has all hosts: 64 KiB for each of several thousand."""


def report_files(plans, reports, benchmarks):
    """Return {"plans": {host: {"plan": file, "picture": file}}, "verify": file, "benchmarks": [file]}.

    plans, reports, benchmarks: folders; what is not there is left out. A file is {"text", "modified": UTC, to the
    minute}, or {"fault": why it cannot be read}; of benchmarks it has "host" and "label", too. Raises OSError where
    the folder of plans or of benchmarks cannot be read.
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
        try:
            names = sorted(os.listdir(folder))
        except OSError as error:
            files["benchmarks"].append(dict(_fault(error), host=host, label="*"))
            continue
        for name in names:
            if name.endswith(".json") and not name.startswith("."):
                file = _file(os.path.join(folder, name), LARGEST_BYTES)
                files["benchmarks"] += [dict(file, host=host, label=name[:-len(".json")])] if file else []
    return files


def _folders(folder):
    """Return the names of the folders in a folder, sorted; none where it is not there."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(name for name in names if not name.startswith(".") and os.path.isdir(os.path.join(folder, name)))


def _file(path, largest):
    """Return a file, or None where there is none."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return {"fault": "is no file"}
        with open(path, "rb") as source:
            content = source.read(largest + 1)
    except FileNotFoundError:
        return {"fault": "is no file"} if os.path.islink(path) else None
    except OSError as error:
        return _fault(error)
    if len(content) > largest:
        return {"fault": "is larger than %d MiB" % (largest // 1024 // 1024)}
    modified = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(status.st_mtime))
    return {"text": content.decode("utf-8", "replace"), "modified": modified}


def _fault(error):
    return {"fault": "cannot be read: %s" % error.strerror}
