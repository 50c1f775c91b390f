# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where everything of a plan's picture stands: what each CPU is used for, and boxes in numbers, no drawing.

A box is (x, y, width, height) in units of the picture, which is WIDTH wide and as high as it must be. NUMA nodes are
stacked, so that the picture also fits a phone held upright; devices stand to the right of their node's cores.
"""

from __future__ import annotations

import unicodedata

from ansible_collections.inference.host.plugins.module_utils.placement import service_limit

WIDTH = 760
MARGIN = 16
PADDING = 14
GAP = 14
INNER = WIDTH - 2 * (MARGIN + PADDING)
"""Width of what stands inside a panel."""

HEADER_HEIGHT = 62
KEY_HEIGHT = 24
SAMPLE_WIDTH = 26
"""Of a sample in the key, with the gap to its label."""
SMALL = 12
"""Font size of labels."""
PANEL_HEAD = 32
BAR_HEIGHT = 8
CELL_HEIGHT = 17
FRAME = 2
"""Between a core's frame and the cells of its CPUs."""
CORE_GAP = 4
COLUMNS = 16
"""Cores in a row."""
CAPTION_HEIGHT = 18
DEVICE_WIDTH = 228
DEVICE_HEIGHT = 24
DEVICE_GAP = 6
ROW_HEIGHT = 24
EMPTY_PANEL = {"node": None, "cores": [], "captions": [], "devices": [], "memory": None}


def cpu_states(topology, plan):
    """Return {CPU id: (state, index of the instance or None)} of every CPU that is present.

    States: busy (a thread of an instance runs here), idle (no thread, so that the instance on its core has the core
    to itself), kept (housekeeping), barred (system services may not use it), offline, and spare for the rest.
    """
    owner = {cpu: index for index, instance in enumerate(plan["instances"]) for cpu in instance["cpus"]}
    allowed = set(service_limit(topology, "allowed_cpus"))
    kept = set(plan["housekeeping_cpus"])
    states = {cpu: ("offline", None) for cpu in topology["cpus"]["offline"]}
    for core in known_cores(topology):
        owners = [owner[cpu] for cpu in core if cpu in owner]
        for cpu in core:
            if cpu in owner:
                states[cpu] = ("busy", owner[cpu])
            elif cpu in kept:
                states[cpu] = ("kept", None)
            elif cpu not in allowed:
                states[cpu] = ("barred", None)
            else:
                states[cpu] = ("idle", owners[0]) if owners else ("spare", None)
    return states


def known_cores(topology):
    """Return the physical cores as lists of their online CPUs; each CPU is its own where the kernel does not tell."""
    return topology["cores"] or [[cpu] for cpu in topology["cpus"]["online"]]


def node_memory(topology, plan):
    """Return {node id: (MiB or None, [(index of the instance, MiB), ...])}.

    An instance's memory is spread evenly over its nodes, as the plan counts it. The only node of a machine that gives
    it no memory of its own has the machine's, as the plan has it too.
    """
    sizes = {node["id"]: node["memory_mib"] for node in topology["numa_nodes"]}
    if len(sizes) == 1:
        sizes = {node: size or topology["memory_mib"] for node, size in sizes.items()}
    answer = {node: (size, []) for node, size in sizes.items()}
    for index, instance in enumerate(plan["instances"]):
        nodes = [node for node in instance["numa_nodes"] if node in answer]
        for node in nodes:
            answer[node][1].append((index, instance["host_memory_mib"] / len(nodes)))
    return answer


def node_cores(topology):
    """Return [(node or None, its cores)]; None holds the cores of which no node is known, and is there only for them.

    A core that the kernel names in several nodes belongs to the first, as in the plan.
    """
    left = known_cores(topology)
    answer = []
    for node in topology["numa_nodes"]:
        cpus = set(node["cpus"])
        answer.append((node, [core for core in left if core[0] in cpus]))
        left = [core for core in left if core[0] not in cpus]
    return answer + ([(None, left)] if left else [])


def split_kinds(topology, cores):
    """Return [(number of the kind, cores)], the most capable kind first; the number is None where all are alike."""
    kinds = topology.get("core_kinds") or []
    if len(kinds) < 2:
        return [(None, cores)] if cores else []
    place = {cpu: number for number, kind in enumerate(kinds) for cpu in kind}
    groups = {}
    for core in cores:
        # A core that no kind names stands with the most capable, where the plan has it.
        groups.setdefault(place.get(core[0], 0), []).append(core)
    return sorted(groups.items())


def devices(topology, plan):
    """Return {node id or None: [{kind "gpu" or "nvme", device, users}]} with the topology's own entries as `device`.

    users: [index of the instance, ...] of a GPU. None holds the devices whose node nobody tells.
    """
    nodes = {node["id"] for node in topology["numa_nodes"]}
    found = [("gpu", gpu) for gpu in topology["gpus"]]
    found += [("nvme", disk) for disk in topology["block_devices"] if disk["kind"] == "nvme"]
    answer = {}
    for kind, device in found:
        node = device.get("numa_node")
        users = [index for index, instance in enumerate(plan["instances"])
                 if kind == "gpu" and device["address"] in instance["gpus"]]
        answer.setdefault(node if node in nodes else None, []).append(
            {"kind": kind, "device": device, "users": users})
    return answer


def layout(topology, plan, labels):
    """Return the picture as boxes: {height, key, panels, table}.

    labels: texts of the key to the cells; key: [(x, y)] of each, the upper left corner of its sample.
    panels, from top to bottom: {box, role "node", "unplaced" or "offline", node, cores: [{box, kind, cells}],
    captions: [{kind, x, y}], devices: [{kind, device, users, box}], memory: {box, size_mib, parts} or None}, where
    cells are [{cpu, box}] and parts [{instance, mib, box}]. node is the topology's own entry; of role "node" without
    one are the cores whose node nobody tells. table: {y, rows: [y]}, upper edges.
    """
    key = flow(labels, MARGIN + HEADER_HEIGHT)
    y = (key[-1][1] + KEY_HEIGHT if key else MARGIN + HEADER_HEIGHT) + 6
    beside = devices(topology, plan)
    unplaced = beside.pop(None, [])
    memory = node_memory(topology, plan)
    grouped = [(node, split_kinds(topology, cores)) for node, cores in node_cores(topology)]
    # Cores share the panel with the devices if any node has some, and are as wide in all nodes.
    pitch = core_pitch(INNER - DEVICE_WIDTH - 20 if beside else INNER)
    panels = []
    for node, groups in grouped:
        known = node["id"] if node else None
        panels.append(node_panel(y, node, groups, pitch, beside.get(known, []), memory.get(known)))
        y = below(panels[-1])
    if unplaced:
        panels.append(device_panel(y, unplaced))
        y = below(panels[-1])
    if topology["cpus"]["offline"]:
        panels.append(offline_panel(y, topology["cpus"]["offline"]))
        y = below(panels[-1])
    rows = [y + PANEL_HEAD + ROW_HEIGHT * number for number in range(len(plan["instances"]))]
    return {"height": y + PANEL_HEAD + ROW_HEIGHT * len(rows) + MARGIN, "key": key, "panels": panels,
            "table": {"y": y, "rows": rows}}


def text_width(text, size):
    """Return about how wide a text is: as in DejaVu Sans, which is wider than most fonts of screens."""
    return size * sum(letter_width(letter) for letter in text)


def letter_width(letter):
    """Return the width of a letter as a part of the font size."""
    if letter in "fijlrtI.,:;'|!()[]-/ \N{MIDDLE DOT}":
        return 0.4
    if letter in "mwMW@%\N{HORIZONTAL ELLIPSIS}" or unicodedata.east_asian_width(letter) in "WF":
        return 1.0
    return 0.77 if letter.isupper() else 0.64


def flow(labels, y):
    """Return the (x, y) of samples with a label behind each, in rows as wide as the picture allows."""
    places, x = [], MARGIN
    for label in labels:
        width = SAMPLE_WIDTH + text_width(label, SMALL) + 18
        if x > MARGIN and x + width > WIDTH - MARGIN:
            x, y = MARGIN, y + KEY_HEIGHT
        places.append((x, y))
        x += width
    return places


def node_panel(y, node, groups, pitch, beside, memory):
    """Return the panel of one node: memory below the title, then cores, and devices at their right."""
    x = MARGIN + PADDING
    top = y + PANEL_HEAD + 2 + (BAR_HEIGHT + 10 if memory and memory[0] else 0)
    cores, captions, left = place_cores(x, top, groups, pitch)
    chips = place_devices(WIDTH - MARGIN - PADDING - DEVICE_WIDTH, top, beside, 1)
    right = max([chip["box"][1] + DEVICE_HEIGHT for chip in chips] or [left])
    return {
        "role": "node", "node": node, "box": (MARGIN, y, WIDTH - 2 * MARGIN, max(left, right) - y + PADDING),
        "cores": cores, "captions": captions, "devices": chips,
        "memory": place_memory((x, y + PANEL_HEAD + 2, INNER, BAR_HEIGHT), *memory) if memory else None,
    }


def core_pitch(width):
    """Return how far apart cores stand whose full row is `width` wide."""
    return (width + CORE_GAP) / COLUMNS


def place_cores(x, y, groups, pitch):
    """Return (cores, captions, lower edge): kind by kind, each with a caption where there are several."""
    cores, captions = [], []
    for kind, group in groups:
        if kind is not None:
            captions.append({"kind": kind, "x": x, "y": y})
            y += CAPTION_HEIGHT
        height = max(len(core) for core in group) * (CELL_HEIGHT + 1) - 1 + 2 * FRAME
        for number, cpus in enumerate(group):
            left, upper = x + number % COLUMNS * pitch, y + number // COLUMNS * (height + CORE_GAP)
            cells = [{"cpu": cpu, "box": (left + FRAME, upper + FRAME + place * (CELL_HEIGHT + 1),
                                          pitch - CORE_GAP - 2 * FRAME, CELL_HEIGHT)}
                     for place, cpu in enumerate(cpus)]
            own = len(cpus) * (CELL_HEIGHT + 1) - 1 + 2 * FRAME
            cores.append({"kind": kind, "cells": cells, "box": (left, upper, pitch - CORE_GAP, own)})
        y += -(-len(group) // COLUMNS) * (height + CORE_GAP)
    return cores, captions, y - CORE_GAP if groups else y - 12


def place_memory(box, size_mib, parts):
    """Return the bar of a node's memory, each instance's part as long as its share.

    The bar of a node whose instances want more than it has, or is known to have, has nothing free.
    """
    x, y, width, height = box
    planned = sum(mib for _instance, mib in parts)
    scale = width / max(size_mib or 0, planned, 1)
    drawn = []
    for instance, mib in parts:
        drawn.append({"instance": instance, "mib": mib, "box": (x, y, mib * scale, height)})
        x += mib * scale
    return {"box": box, "size_mib": size_mib, "parts": drawn}


def place_devices(x, y, beside, columns):
    """Return the devices with their boxes, row by row in `columns` columns."""
    return [dict(entry, box=(x + number % columns * (DEVICE_WIDTH + 8), y + number // columns *
                             (DEVICE_HEIGHT + DEVICE_GAP), DEVICE_WIDTH, DEVICE_HEIGHT))
            for number, entry in enumerate(beside)]


def device_panel(y, beside):
    """Return the panel of the devices whose node nobody tells."""
    chips = place_devices(MARGIN + PADDING, y + PANEL_HEAD + 2, beside, 3)
    return dict(EMPTY_PANEL, role="unplaced", devices=chips,
                box=(MARGIN, y, WIDTH - 2 * MARGIN, chips[-1]["box"][1] + DEVICE_HEIGHT + PADDING - y))


def offline_panel(y, cpus):
    """Return the panel of the offline CPUs, of which the kernel tells neither core nor node."""
    cores, _captions, lower = place_cores(
        MARGIN + PADDING, y + PANEL_HEAD + 2, [(None, [[cpu] for cpu in cpus])], core_pitch(INNER))
    return dict(EMPTY_PANEL, role="offline", cores=cores, box=(MARGIN, y, WIDTH - 2 * MARGIN, lower + PADDING - y))


def below(panel):
    """Return where the next panel begins."""
    return panel["box"][1] + panel["box"][3] + GAP
