# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The NVIDIA driver as its files tell of it: versions, modules, options in force, units that belong to it."""

from __future__ import annotations

import os
import re

VERSION_FILE = "proc/driver/nvidia/version"
PARAMS_FILE = "proc/driver/nvidia/params"
PERSISTENCED = "nvidia-persistenced.service"
FABRIC_MANAGER = "nvidia-fabricmanager.service"

# Where Debian, Ubuntu, Fedora and their kin, the driver's own installer and images of Kubernetes nodes put the library.
_LIBRARY_FOLDERS = (
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "usr/lib/x86_64-linux-gnu/nvidia/current",
    "usr/lib/aarch64-linux-gnu/nvidia/current",
    "usr/lib64",
    "usr/lib",
    "usr/local/nvidia/lib64",
    "run/opengl-driver/lib",
)
_LIBRARY = r"libnvidia-ml\.so\.([0-9]{2,4}\.[0-9.]{1,20})"
_UNIT_FOLDERS = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
_PARAM = re.compile(r"([A-Za-z0-9_]{1,80}): (.{0,4096})\Z")
_MAX_PARAMS = 500


def read_driver(tree):
    """Return driver_version, open_module, library_version, modules and params, as the answer's "nvidia" has them.

    A host may have the library and no loaded module; the caller says that once for all.
    """
    text = tree.read(VERSION_FILE)
    loaded = not tree.absent(VERSION_FILE)
    version, is_open = parse_version(text)
    if loaded and version is None:
        for key in ("driver_version", "open_module"):
            tree.missing("nvidia." + key, VERSION_FILE)
    return {
        "driver_version": version,
        "open_module": is_open,
        "library_version": read_library_version(tree),
        "modules": tree.names("sys/module", r"(?:nvidia(?:_[a-z0-9_]{1,40})?|nv_peer_mem)"),
        "params": read_params(tree) if loaded else None,
    }


def parse_version(text):
    """Return (version, whether it is the open module) of `... Kernel Module  550.54.15  ...` or `... Open Kernel Module
    for x86_64  570.86 ...`, (None, None) for anything else."""
    found = re.search(r"(Open )?Kernel Module[^\n]*?\s([0-9]{2,4}\.[0-9.]{1,20})\s", (text or "") + " ")
    return (found.group(2), bool(found.group(1))) if found else (None, None)


def read_library_version(tree):
    """Return the version of the host's libnvidia-ml, by the names of its files, or None with a note.

    Where several are left behind by upgrades, it is the one that `libnvidia-ml.so.1`, which programs load, leads to.
    """
    found = set()
    for folder in _LIBRARY_FOLDERS:
        names = tree.names(folder, _LIBRARY)
        target = (tree.link_name(folder + "/libnvidia-ml.so.1") or "") if names else ""
        linked = re.match(_LIBRARY + r"\Z", target)
        if linked:
            return linked.group(1)
        found.update(re.match(_LIBRARY, name).group(1) for name in names)
    if len(found) == 1:
        return found.pop()
    reason = "there are several: " + ", ".join(sorted(found)[:5]) if found else "no libnvidia-ml in the usual folders"
    return tree.note("nvidia.library_version", "Not known: %s." % reason)


def read_params(tree):
    """Return {"NVreg_NAME": text} of the options in force, named as modprobe.d names them, or None with a note."""
    text = tree.read(PARAMS_FILE)
    params = {}
    for line in (text or "").splitlines()[:_MAX_PARAMS]:
        found = _PARAM.match(line)
        if found:
            name = found.group(1)
            params[name if name.startswith("NVreg_") else "NVreg_" + name] = found.group(2).strip().strip('"')
    return params or tree.missing("nvidia.params", PARAMS_FILE)


def find_unit(tree, name, key):
    """Return the path of a unit's file as systemd would find it, or None with a note (none is there, or masked)."""
    for folder in _UNIT_FOLDERS:
        path = "%s/%s" % (folder, name)
        if tree.link_name(path) == "null":
            return tree.note(key, "%s is masked by /%s." % (name, path))
        if os.path.isfile(tree.at(path)):
            return "/" + path
    return tree.note(key, "No unit %s is installed." % name)


def unit_command(tree, path, key):
    """Return the command line of a unit's file (its last ExecStart=), or None with a note. Drop-ins are not read."""
    text = tree.read(path.lstrip("/")) if path else None
    found = re.findall(r"^ExecStart=([^\n]{1,2000})$", (text or "")[:100000], re.MULTILINE)
    return found[-1].strip() if found else tree.note(key, "Not known: no unit's file has it.")
