# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What control groups and the affinity leave to this process, and to system services."""

from __future__ import annotations

import collections
import posixpath
import re

_NUMBER = re.compile(r"[0-9]{1,20}\Z")
_SLICE = "/system.slice"
_OWN_CGROUP = "proc/self/cgroup"

_UNLIMITED = (["max"], ["-1"])
# Version 1 writes "no limit" of memory as the largest multiple of the page size that fits in 63 bits.
_V1_UNLIMITED_BYTES = 1 << 62
_MIB = 1024 * 1024

_Place = collections.namedtuple("_Place", "hierarchy folders doubts")
"""Where a cgroup is in one hierarchy: its directories, nearest first, and sentences on what was not found."""


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
    that is not below the mount point (a container with the host's cgroup namespace) is taken as the mount point,
    with a note. None is no limit; with a note it is a limit that is not known, and a number with a note is the
    smallest of the limits that could be read.
    """
    own_paths = _own_paths(tree)
    own, services = {}, {}
    for name in ("cpuset", "cpu", "memory"):
        hierarchy = _find_hierarchy(tree, mounts, name)
        if not hierarchy:
            doubt = _why_no_hierarchy(tree, mounts, name)
            own[name] = services[name] = _Place(None, [], [doubt])
            continue
        own[name] = _own_place(tree, hierarchy, own_paths, name)
        services[name] = _Place(hierarchy, _folders(tree, hierarchy, _SLICE), [])
    return {
        "own": _limits(tree, online, own, "proc/self/status", ""),
        "services": _limits(tree, online, services, "proc/1/status", "services."),
    }


def _find_hierarchy(tree, mounts, controller):
    """Return {"version", "path", "root", "prefix"} of the mount that has the controller, or None.

    Version 2 has it if its root's `cgroup.controllers` names it (as in hwloc); a controller is never in both.
    The options of a version 1 mount name its controllers; `noprefix` and the old file system type cpuset leave
    the prefix away from file names.
    """
    for mount in mounts:
        entry = {"version": 2, "path": _mount_path(mount), "root": mount["root"], "prefix": controller + "."}
        if mount["type"] == "cgroup2" and controller in (tree.read(_controllers_path(mount)) or "").split():
            return entry
        if mount["type"] == "cgroup" and controller in mount["options"]:
            prefix = "" if "noprefix" in mount["options"] else controller + "."
            return dict(entry, version=1, prefix=prefix)
        if mount["type"] == "cpuset" and controller == "cpuset":
            return dict(entry, version=1, prefix="")
    return None


def _mount_path(mount):
    return posixpath.normpath("/" + mount["mount"]).strip("/")


def _controllers_path(mount):
    return _mount_path(mount) + "/cgroup.controllers"


def _why_no_hierarchy(tree, mounts, controller):
    paths = [_controllers_path(mount) for mount in mounts if mount["type"] == "cgroup2"]
    unread = [tree.why(path) for path in paths if tree.read(path) is None]
    return "; ".join(unread) or f"no control group hierarchy with the controller {controller} is mounted"


def _own_place(tree, hierarchy, own_paths, controller):
    """Return the _Place of this process in a hierarchy, with the doubt whether it is the right one."""
    path = own_paths.get("" if hierarchy["version"] == 2 else controller)
    inside = None if path is None else _inside(hierarchy, path)
    folders = _folders(tree, hierarchy, inside or "/")
    doubts = []
    if path is None:
        doubts.append(tree.why(_OWN_CGROUP))
    elif inside is None or not folders or folders[0] != _join(hierarchy, inside):
        doubts.append(f"the control group {path} of this process is not to be found below /{hierarchy['path']}")
    return _Place(hierarchy, folders, doubts)


def _inside(hierarchy, path):
    """Return a cgroup's path as seen from the mount point, or None where it is not below it.

    The kernel shows the paths of cgroups and what is mounted relative to the reader's cgroup namespace: what lies
    outside of that begins with /.. and cannot be followed.
    """
    root = (hierarchy["root"] or "").rstrip("/")
    if ".." in root.split("/") or ".." in path.split("/") or not (path + "/").startswith(root + "/"):
        return None
    return path[len(root) :] or "/"


def _join(hierarchy, path):
    return "/".join([hierarchy["path"]] + [name for name in path.split("/") if name])


def _own_paths(tree):
    """Return {controller or "" for version 2: cgroup path} of this process.

    `/proc/self/cgroup` has `ID:controllers:path`; `/proc/self/cpuset` stands in for the cpuset's path.
    """
    paths = {}
    cpuset = tree.read("proc/self/cpuset")
    for line in (tree.read(_OWN_CGROUP) or "").splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            paths.update((name, parts[2]) for name in parts[1].split(","))
    if cpuset:
        paths.setdefault("cpuset", cpuset)
        paths.setdefault("", cpuset)
    return paths


def _folders(tree, hierarchy, path):
    """Return the directories from the cgroup up to the mount point, nearest first, that are there."""
    names = [name for name in path.split("/") if name]
    folders = [_join(hierarchy, "/".join(names[:count])) for count in range(len(names), -1, -1)]
    return [folder for folder in folders if tree.exists(folder)]


def _limits(tree, online, places, status, key):
    quota = _smallest(tree, places["cpu"], _quota_at, key + "quota_cpus")
    memory = _smallest(tree, places["memory"], _memory_limit_at, key + "memory_limit_mib")
    return {
        "allowed_cpus": _allowed(tree, online, places["cpuset"], status, key + "allowed_cpus"),
        "quota_cpus": None if quota is None else round(quota, 3),
        "memory_limit_mib": None if memory is None else memory // _MIB,
    }


def _allowed(tree, online, place, status, key):
    """Return the CPUs that cpuset and affinity leave."""
    allowed = set(online)
    cpuset, doubts = _cpuset(tree, place)
    affinity = _affinity(tree, status)
    for cpus, source in ((cpuset, "the cpuset"), (affinity, "/" + status)):
        if cpus is not None and allowed.intersection(cpus):
            allowed.intersection_update(cpus)
        elif cpus is not None:
            doubts.append(f"{source} names no CPU that is online and left")
    if affinity is None:
        doubts.append(tree.why(status))
    if doubts:
        tree.note(key, f"May be narrower: {'; '.join(doubts)}.")
    return sorted(allowed)


def _cpuset(tree, place):
    """Return (the CPUs of the nearest cpuset that has any or None, the reasons why a nearer one was passed over).

    A group without the file has no cpuset of its own, and version 1 leaves the file empty until it is set.
    """
    doubts = list(place.doubts)
    for folder in place.folders:
        path = f"{folder}/{place.hierarchy['prefix']}"
        names = ["cpus.effective"] if place.hierarchy["version"] == 2 else ["effective_cpus", "cpus"]
        for name in names:
            cpus = tree.read_list(path + name)
            if cpus:
                return cpus, doubts
            if not tree.absent(path + name) and (cpus is None or place.hierarchy["version"] == 2):
                doubts.append(tree.why(path + name))
    return None, doubts


def _affinity(tree, status):
    """Return the CPUs that a process may be scheduled on, or None."""
    found = re.search(r"^Cpus_allowed_list:\s*(\S+)$", tree.read(status) or "", re.MULTILINE)
    return tree.parse_list(status, found.group(1)) if found else None


def _smallest(tree, place, limit_at, key):
    """Return the smallest limit on the way up, or None without any; a note where one could not be read."""
    limits, doubts = [], list(place.doubts)
    for folder in place.folders:
        limit, unread = limit_at(tree, folder, place.hierarchy["version"])
        if unread:
            doubts.append(tree.why(unread))
        elif limit is not None:
            limits.append(limit)
    if doubts:
        tree.note(key, f"{'May be smaller' if limits else 'Not known'}: {'; '.join(doubts)}.")
    return min(limits) if limits else None


def _quota_at(tree, folder, version):
    """Return (CPU quota of one group as a number of CPUs or None without any, the file that cannot be understood)."""
    if version == 2:
        paths = [folder + "/cpu.max"]
        words = (tree.read(paths[0]) or "").split()
    else:
        paths = [folder + "/cpu.cfs_quota_us", folder + "/cpu.cfs_period_us"]
        words = [tree.read(path) or "" for path in paths]
    if all(map(tree.absent, paths)) or words[:1] in _UNLIMITED:
        return None, None
    if len(words) == 2 and all(_NUMBER.match(word) and int(word) for word in words):
        return int(words[0]) / int(words[1]), None
    return None, next((path for path, word in zip(paths, words) if not _NUMBER.match(word)), paths[0])


def _memory_limit_at(tree, folder, version):
    """Return (memory limit of one group in bytes or None without any, the file that cannot be understood)."""
    path = folder + ("/memory.max" if version == 2 else "/memory.limit_in_bytes")
    text = tree.read(path)
    if tree.absent(path) or [text] in _UNLIMITED:
        return None, None
    if not _NUMBER.match(text or ""):
        return None, path
    limit = int(text)
    return (limit if limit < _V1_UNLIMITED_BYTES else None), None
