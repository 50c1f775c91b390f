# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What control groups and the affinity leave to this process, and to system services."""

from __future__ import annotations

import posixpath
import re

_NUMBER = re.compile(r"[0-9]{1,20}\Z")
_SLICE = "/system.slice"

# Version 1 writes "no limit" as the largest multiple of the page size that fits in 63 bits.
_V1_UNLIMITED_BYTES = 1 << 62
_MIB = 1024 * 1024


def cgroup_version(mounts):
    """Return "v1", "v2" or "hybrid" (both are mounted), None where no hierarchy is mounted."""
    types = {mount["type"] for mount in mounts}
    old = bool(types & {"cgroup", "cpuset"})
    if "cgroup2" in types:
        return "hybrid" if old else "v2"
    return "v1" if old else None


def read_limits(tree, online, mounts):
    """Return {"own": limits, "services": limits}, each {"allowed_cpus", "quota_cpus", "memory_limit_mib"}.

    "own" is for the reading process: its cgroup in each hierarchy and its affinity (`Cpus_allowed_list`).
    "services" is for what systemd starts: `system.slice`, and the affinity that PID 1 hands on.

    Rules. The CPUs are the intersection of online CPUs, the nearest cpuset at or above the cgroup, and the
    affinity; a source that would leave nothing is not believed, with a note. Quota and memory limit are
    the smallest on the way from the cgroup up to where the hierarchy is mounted, since the kernel enforces all of
    them; the mount point itself counts, because in a container it is the container's own cgroup. A cgroup path
    that is not below the mount point (a container with the host's cgroup namespace) is taken as the mount point.
    """
    hierarchies = {name: _find_hierarchy(tree, mounts, name) for name in ("cpuset", "cpu", "memory")}
    own_paths = _own_paths(tree)
    own, services = {}, {}
    for name, hierarchy in hierarchies.items():
        own[name] = _folders(tree, hierarchy, own_paths.get(_path_key(hierarchy, name), "/"))
        services[name] = _folders(tree, hierarchy, _SLICE)
    return {
        "own": _limits(tree, online, hierarchies, own, "proc/self/status", ""),
        "services": _limits(tree, online, hierarchies, services, "proc/1/status", "services."),
    }


def _find_hierarchy(tree, mounts, controller):
    """Return {"version", "path", "root", "prefix"} of the mount that has the controller, or None.

    Version 2 has it if its root's `cgroup.controllers` names it (as in hwloc); a controller is never in both.
    The options of a version 1 mount name its controllers; `noprefix` and the old file system type cpuset leave
    the prefix away from file names.
    """
    for mount in mounts:
        path = posixpath.normpath("/" + mount["mount"]).strip("/")
        entry = {"version": 2, "path": path, "root": mount["root"], "prefix": controller + "."}
        if mount["type"] == "cgroup2" and controller in (tree.read(path + "/cgroup.controllers") or "").split():
            return entry
        if mount["type"] == "cgroup" and controller in mount["options"]:
            prefix = "" if "noprefix" in mount["options"] else controller + "."
            return dict(entry, version=1, prefix=prefix)
        if mount["type"] == "cpuset" and controller == "cpuset":
            return dict(entry, version=1, prefix="")
    return None


def _own_paths(tree):
    """Return {controller or "" for version 2: cgroup path} of this process.

    `/proc/self/cgroup` has `ID:controllers:path`; `/proc/self/cpuset` stands in for the cpuset's path.
    """
    paths = {}
    cpuset = tree.read("proc/self/cpuset")
    for line in (tree.read("proc/self/cgroup") or "").splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            paths.update((name, parts[2]) for name in parts[1].split(","))
    if cpuset:
        paths.setdefault("cpuset", cpuset)
        paths.setdefault("", cpuset)
    return paths


def _path_key(hierarchy, controller):
    return "" if hierarchy and hierarchy["version"] == 2 else controller


def _folders(tree, hierarchy, path):
    """Return the directories from the cgroup up to the mount point, nearest first; [] without a hierarchy."""
    if not hierarchy:
        return []
    path = posixpath.normpath("/" + path.lstrip("/"))  # also keeps /../x of a foreign namespace inside
    root = (hierarchy["root"] or "/").rstrip("/")
    if root and (path == root or path.startswith(root + "/")):
        path = path[len(root) :] or "/"
    names = [name for name in path.split("/") if name]
    folders = [hierarchy["path"] + "".join("/" + name for name in names[:count]) for count in range(len(names), -1, -1)]
    return [folder for folder in folders if tree.exists(folder)]


def _limits(tree, online, hierarchies, folders, status, key):
    return {
        "allowed_cpus": _allowed(tree, online, hierarchies["cpuset"], folders["cpuset"], status, key + "allowed_cpus"),
        "quota_cpus": _quota(tree, hierarchies["cpu"], folders["cpu"]),
        "memory_limit_mib": _memory_limit(tree, hierarchies["memory"], folders["memory"]),
    }


def _allowed(tree, online, hierarchy, folders, status, key):
    """Return the CPUs that cpuset and affinity leave."""
    allowed = set(online)
    for cpus, source in ((_cpuset(tree, hierarchy, folders), "the cpuset"), (_affinity(tree, status), "/" + status)):
        if cpus is not None and allowed.intersection(cpus):
            allowed.intersection_update(cpus)
        elif cpus is not None:
            tree.note(key, f"Not narrowed by {source}, which names no CPU that is online and left.")
    return sorted(allowed)


def _cpuset(tree, hierarchy, folders):
    """Return the CPUs of the nearest cpuset that has any, or None."""
    for folder in folders:
        path = f"{folder}/{hierarchy['prefix']}"
        names = ["cpus.effective"] if hierarchy["version"] == 2 else ["effective_cpus", "cpus"]
        for name in names:
            cpus = tree.read_list(path + name)
            if cpus:
                return cpus
    return None


def _affinity(tree, status):
    """Return the CPUs that a process may be scheduled on, or None."""
    found = re.search(r"^Cpus_allowed_list:\s*(\S+)$", tree.read(status) or "", re.MULTILINE)
    return tree.parse_list(status, found.group(1)) if found else None


def _quota(tree, hierarchy, folders):
    """Return the smallest CPU quota on the way up as a number of CPUs, or None without any."""
    quotas = []
    for folder in folders:
        if hierarchy["version"] == 2:
            words = (tree.read(folder + "/cpu.max") or "").split()
        else:
            words = [tree.read(folder + "/cpu.cfs_quota_us") or "", tree.read(folder + "/cpu.cfs_period_us") or ""]
        # "max" and -1 are no limits
        if len(words) == 2 and all(_NUMBER.match(word) and int(word) for word in words):
            quotas.append(int(words[0]) / int(words[1]))
    return round(min(quotas), 3) if quotas else None


def _memory_limit(tree, hierarchy, folders):
    """Return the smallest memory limit on the way up in MiB, rounded down, or None without any."""
    name = "memory.max" if hierarchy and hierarchy["version"] == 2 else "memory.limit_in_bytes"
    limits = [tree.read_int(f"{folder}/{name}") for folder in folders]
    limits = [limit for limit in limits if limit is not None and 0 <= limit < _V1_UNLIMITED_BYTES]
    return min(limits) // _MIB if limits else None
