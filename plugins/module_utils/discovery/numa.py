# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""NUMA nodes: their CPUs, memory, hugepages and distances."""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils.discovery.cpus import numbered
from ansible_collections.inference.host.plugins.module_utils.discovery.memory import meminfo_mib

NODE_DIR = "sys/devices/system/node"
HUGEPAGES_DIR = "sys/kernel/mm/hugepages"

_HUGEPAGES_NAME = re.compile(r"hugepages-([0-9]{1,12})kB\Z")
_COUNTS = {"hugepages": "nr_hugepages", "hugepages_free": "free_hugepages", "hugepages_surplus": "surplus_hugepages"}


def read_nodes(tree, online, memory):
    """Return the nodes: [{"id", "cpus", "memory_mib", "memory_free_mib", "hugepages", ...}], by id.

    Nodes are the directories that `node/online` also names (all of them where it cannot be read); ids may have
    gaps. CPUs are the node's mask without offline CPUs; a CPU may be in several nodes. A node without CPUs or with
    0 MiB is kept: it is the caller's to avoid. A machine without node directories has one node 0 of all online CPUs,
    with the machine's memory (`memory`, the answer's part of that name) and hugepages. Sizes are MiB rounded down;
    hugepages are {size in KiB as text: pages}.
    """
    ids = numbered(tree, NODE_DIR, "node")
    listed = tree.read_list(NODE_DIR + "/online")
    if not listed and not tree.absent(NODE_DIR + "/online"):
        tree.note("numa_nodes", f"May be more than are online: {tree.why(NODE_DIR + '/online')}.")
    if listed and set(listed).intersection(ids):
        ids = set(listed).intersection(ids)
    if not ids:
        tree.note("numa_nodes", "The kernel tells of no NUMA nodes; the whole machine is taken as node 0.")
        node = {"id": 0, "cpus": list(online), "memory_mib": memory["total_mib"], "memory_free_mib": memory["free_mib"]}
        return [dict(node, **_hugepages(tree, HUGEPAGES_DIR, "numa_nodes.0."))]
    return [_read_node(tree, number, online) for number in sorted(ids)]


def _read_node(tree, number, online):
    folder = f"{NODE_DIR}/node{number}"
    key = f"numa_nodes.{number}."
    cpus = tree.read_ids(folder + "/cpumap", folder + "/cpulist")
    if cpus is None:
        cpus = numbered(tree, folder, "cpu")
        tree.note(key + "cpus", "Neither mask nor list of the CPUs can be read; the links in the directory count.")
    node = {"id": number, "cpus": sorted(set(cpus).intersection(online))}
    text = tree.read(folder + "/meminfo") or ""
    for name, field in (("memory_mib", "MemTotal"), ("memory_free_mib", "MemFree")):
        node[name] = meminfo_mib(text, field)
        if node[name] is None:
            tree.missing(key + name, folder + "/meminfo")
    return dict(node, **_hugepages(tree, folder + "/hugepages", key))


def _hugepages(tree, folder, key):
    """Return {"hugepages": {size in KiB: pages}, "hugepages_free": ..., "hugepages_surplus": ...}; None with a note."""
    counts = {item: {} for item in _COUNTS}
    names = tree.names(folder)
    for name in names:
        size = _HUGEPAGES_NAME.match(name)
        for item, file_name in _COUNTS.items() if size else ():
            path = f"{folder}/{name}/{file_name}"
            count = tree.read_int(path)
            counts[item][size.group(1)] = count
            if count is None:
                tree.missing(f"{key}{item}.{size.group(1)}", path)
    if not names:
        for item in _COUNTS:
            tree.missing(key + item, folder)
    return counts


def read_distances(tree, nodes):
    """Return {"nodes": ids, "matrix": rows of distances in that order}, or None with a note.

    The kernel writes one figure for each online node, in the order of the ids; 10 is a node to itself. They need
    not be symmetric.
    """
    ids = [node["id"] for node in nodes]
    if len(ids) == 1:
        return {"nodes": ids, "matrix": [[10]]}
    matrix = []
    for number in ids:
        path = f"{NODE_DIR}/node{number}/distance"
        row = (tree.read(path) or "").split()
        if len(row) != len(ids) or not all(re.match(r"[0-9]{1,9}\Z", figure) for figure in row):
            reason = f"/{path} does not have one figure for each of {len(ids)} nodes" if row else tree.why(path)
            tree.note("distances", f"Not known: {reason}.")
            return None
        matrix.append([int(figure) for figure in row])
    return {"nodes": ids, "matrix": matrix}
