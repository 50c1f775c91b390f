# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan as a picture: one SVG document without scripts and outside references, for screens, phones and prints."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.cpulist import format_cpu_list
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.placement import check_topology, service_limit
from ansible_collections.inference.host.plugins.module_utils.plan_layout import (
    INNER,
    MARGIN,
    PADDING,
    SAMPLE_WIDTH,
    SMALL,
    cpu_states,
    known_cores,
    layout,
    text_width,
)
from ansible_collections.inference.host.plugins.module_utils.plan_picture import (
    Picture,
    add,
    add_box,
    add_colour,
    add_text,
    clean,
    fit,
    number,
)

STATES = {
    "busy": "instance thread",
    "idle": "idle SMT sibling",
    "kept": "housekeeping: system, nginx, interrupts",
    "spare": "not used",
    "barred": "not allowed for services",
    "offline": "offline",
}
"""What the states of cpu_states mean, in the order of the key."""

POLICIES = {"bind": "bind to %s", "interleave": "interleave %s", "none": "not bound"}
COLUMNS = (("Instance", 106, ""), ("Service", 78, ""), ("CPUs", 102, ""), ("Threads", 66, "end"),
           ("Port", 58, "end"), ("RAM", 74, "end"), ("GPUs", 101, "end"), ("NUMA", 95, ""))
"""Columns of the table of instances: heading, share of the width, alignment."""

UNNAMED = {"0x10de": "NVIDIA GPU", "0x1002": "AMD GPU", "0x8086": "Intel GPU", "0x1a03": "ASPEED display",
           "0x102b": "Matrox display"}
"""Display controllers that do not say their name, by PCI vendor; the last two sit on server boards."""


def plan_svg(topology, plan, title=""):
    """Return the picture of a plan as the text of an SVG document.

    topology: as module `topology` returns it; plan: as `make_plan` returns it for that host; title: the host's name.
    Pure: the same input gives the same text. Raises PlanError for an input that is something else.
    """
    check_topology(topology)
    check_plan(plan)
    states = cpu_states(topology, plan)
    seen = {state for state, _instance in states.values()}
    key = [state for state in STATES if state in seen]
    places = layout(topology, plan, [STATES[state] for state in key])
    title, subtitle = clean(title or "") or "Plan", host_line(topology)
    picture = Picture(places["height"], title, subtitle, "%s. Where %s run; the table at the end lists them." % (
        subtitle, counted(len(plan["instances"]), "instance")))
    for state, (x, y) in zip(key, places["key"]):
        picture.add_cpu(picture.root, state, 0, (x, y, 18, 14))
        add_text(picture.root, x + SAMPLE_WIDTH, y + 11, STATES[state], "muted")
    for panel in places["panels"]:
        draw_panel(picture, panel, topology, plan, states)
    draw_table(picture.root, places["table"], plan)
    return picture.text()


def check_plan(plan):
    """Raise PlanError for something that filter `plan` did not return."""
    if not isinstance(plan, dict):
        raise PlanError("The plan is no mapping; give what filter inference.host.plan returns.")
    for key in ("instances", "housekeeping_cpus", "irq_cpus", "hugepages"):
        if key not in plan:
            raise PlanError("The plan has no %s; give what filter inference.host.plan returns." % key)


def counted(count, noun):
    return "%d %s%s" % (count, noun, "" if count == 1 else "s")


def amount(mib):
    """Return MiB as a person reads it: 512 MiB, 1.5 GiB, 2 TiB."""
    units = ["TiB", "GiB", "MiB"]
    while mib >= 1024 and len(units) > 1:
        units.pop()
        mib /= 1024
    return "%g %s" % (round(mib, 0 if mib >= 100 else 1), units[-1])


def host_line(topology):
    """Return what the host is, in one line."""
    parts = [topology["cpu"].get("model_name") or "unknown processor",
             counted(len(topology["numa_nodes"]), "NUMA node"), counted(len(known_cores(topology)), "core"),
             counted(len(topology["cpus"]["online"]), "CPU")]
    if topology.get("memory_mib"):
        parts.append(amount(topology["memory_mib"]))
    quota = service_limit(topology, "quota_cpus")
    if quota:
        parts.append("quota of %g CPUs" % quota)
    return clean(" \N{MIDDLE DOT} ".join(parts))


def draw_panel(picture, panel, topology, plan, states):
    """Draw a NUMA node, or one of the panels for what belongs to no node."""
    group = add(picture.root, "g")
    x, y, width, _height = panel["box"]
    add_box(group, panel["box"], "panel" if panel["node"] else "panel dashed", 8)
    heading, detail = panel_title(panel)
    line = add_text(group, x + PADDING, y + 22, "", "muted")
    # The blank is for those who hear or copy the line.
    add(line, "tspan", heading, kind="text strong").tail = " "
    add(line, "tspan", detail, dx=4)
    if panel["memory"]:
        pages = plan["hugepages"].get(str(panel["node"]["id"]), {})
        add_text(group, x + width - PADDING, y + 22, memory_line(panel["memory"], pages), "muted end")
        draw_memory(group, panel["memory"], plan)
    for caption in panel["captions"]:
        add_text(group, caption["x"], caption["y"] + 11, kind_name(caption["kind"], topology), "muted tiny")
    for core in panel["cores"]:
        draw_core(picture, group, core, plan, states)
    for entry in panel["devices"]:
        draw_device(group, entry, plan)


def panel_title(panel):
    """Return a panel's name and what it says about itself."""
    cpus = sum(len(core["cells"]) for core in panel["cores"])
    if panel["role"] == "unplaced":
        return "NUMA node unknown", "the firmware does not tell where these devices are"
    if panel["role"] == "offline":
        return "Offline", "%s; the kernel does not tell the cores and nodes of offline CPUs" % counted(cpus, "CPU")
    heading = "Node %d" % panel["node"]["id"] if panel["node"] else "NUMA node unknown"
    cores = "%s, %s" % (counted(len(panel["cores"]), "core"), counted(cpus, "CPU"))
    return heading, cores if cpus else "no CPUs"


def kind_name(kind, topology):
    """Return what the cores of one kind are called."""
    kinds = len(topology["core_kinds"])
    if kinds > 2:
        return "Cores of kind %d of %d, the most capable first" % (kind + 1, kinds)
    return ("Performance cores", "Efficiency cores")[kind]


def memory_line(memory, pages):
    """Return a node's memory and what of it is planned. pages: {page size in KiB: pages to reserve}."""
    planned = sum(part["mib"] for part in memory["parts"])
    if not memory["size_mib"] and not planned:
        return "no memory" if memory["size_mib"] == 0 else "memory unknown"
    size = "an unknown size" if memory["size_mib"] is None else amount(memory["size_mib"])
    huge_mib = sum(int(kib) * count for kib, count in pages.items()) / 1024
    huge = "%s as huge pages" % amount(huge_mib) if huge_mib else ""
    if not planned:
        return "%s, %s" % (size, huge or "nothing planned")
    return "%s of %s planned%s" % (amount(planned), size, ", " + huge if huge else "")


def draw_memory(group, memory, plan):
    """Draw the bar of a node's memory."""
    if not memory["size_mib"]:
        return
    add_box(group, memory["box"], "spare", 3)
    for part in memory["parts"]:
        share = add(group, "g")
        add(share, "title", clean("%s: %s" % (plan["instances"][part["instance"]]["name"], amount(part["mib"]))))
        add_colour(share, part["instance"], part["box"], 2)


def draw_core(picture, group, core, plan, states):
    """Draw a physical core with its CPUs; cores of less capable kinds are round."""
    radius = 8 if core["kind"] else 3
    add_box(group, core["box"], "core", radius + 2)
    for cell in core["cells"]:
        state, instance = states[cell["cpu"]]
        drawn = add(group, "g")
        add(drawn, "title", cpu_sentence(cell["cpu"], core, state, instance, plan))
        picture.add_cpu(drawn, state, instance, cell["box"], radius)
        x, y, width, height = cell["box"]
        ink = {"busy": "ink", "barred": "muted", "offline": "muted"}.get(state, "text")
        add_text(drawn, x + width / 2, y + height / 2 + 3.3, cell["cpu"],
                 "cpu " + ink + (" long" if cell["cpu"] > 999 else ""))


def cpu_sentence(cpu, core, state, instance, plan):
    """Return what there is to say of a CPU."""
    parts = ["CPU %d" % cpu, STATES[state]]
    if instance is not None:
        parts[1] = ("idle beside " if state == "idle" else "") + plan["instances"][instance]["name"]
    others = [cell["cpu"] for cell in core["cells"] if cell["cpu"] != cpu]
    if others:
        parts.append("same core as %s" % format_cpu_list(others))
    if cpu in plan["irq_cpus"]:
        parts.append("takes interrupts")
    return clean(", ".join(parts))


def draw_device(group, entry, plan):
    """Draw a GPU, in the colours of the instances that use it, or a disk."""
    name, place, sentence = (disk_texts if entry["kind"] == "nvme" else gpu_texts)(entry, plan)
    x, y, width, height = entry["box"]
    drawn = add(group, "g")
    add(drawn, "title", clean(sentence))
    add_box(drawn, entry["box"], "device", 12 if entry["kind"] == "nvme" else 4)
    # The last user's colour lies below the others, so that the corners stay round.
    for count, user in reversed(list(enumerate(entry["users"], 1))):
        add_colour(drawn, user, (x, y, width * count / len(entry["users"]), height), 4)
    ink = "ink" if entry["users"] else "text"
    name, place = clean(name), clean(place)
    place = fit(place, max(70, width - 30 - text_width(name, SMALL)), 11)
    add(drawn, "text", fit(name, width - 30 - text_width(place, 11), SMALL),
        x=number(x + 10), y=number(y + 16), kind=ink)
    add(drawn, "text", place, x=number(x + width - 10), y=number(y + 16), kind=ink + " tiny end")


def disk_texts(entry, _plan):
    """Return a disk's name, where it is mounted, and all that is known of it."""
    disk = entry["device"]
    size = amount(disk["size_mib"]) if disk.get("size_mib") else ""
    mounts = " ".join(disk.get("mounts") or [])
    facts = ["NVMe disk %s" % disk["name"], disk.get("model"), size, mounts and "mounted at " + mounts]
    return "%s %s" % (disk["name"], size), mounts, ", ".join(fact for fact in facts if fact)


def gpu_texts(entry, plan):
    """Return a GPU's name, its PCI address, and all that is known of it."""
    gpu = entry["device"]
    told = gpu.get("nvidia") or {}
    name = told.get("name") or UNNAMED.get(gpu.get("vendor"), "display device")
    users = [plan["instances"][user] for user in entry["users"]]
    facts = ["GPU %s" % gpu["address"], name, amount(told["memory_mib"]) if told.get("memory_mib") else ""]
    facts += ["%s with %s" % (user["name"], amount(user["gpu_memory_mib"])) for user in users] or ["not used"]
    # PCI domain 0 is the only one of most machines.
    address = gpu["address"][5:] if gpu["address"].startswith("0000:") else gpu["address"]
    short = name[len("NVIDIA "):] if told and name.startswith("NVIDIA ") else name
    return short, address, ", ".join(fact for fact in facts if fact)


def draw_table(root, places, plan):
    """Draw the table of the instances."""
    left, top = MARGIN + PADDING, places["y"]
    if not plan["instances"]:
        add_text(root, left, top + 20, "No services are planned on this host.", "muted")
        return
    with_gpus = any(instance["gpus"] for instance in plan["instances"])
    columns = [column for column in COLUMNS if with_gpus or column[0] != "GPUs"]
    draw_row(root, columns, dict((name, name) for name, _share, _class in COLUMNS), top + 20, "muted tiny", 11)
    for index, (instance, y) in enumerate(zip(plan["instances"], places["rows"])):
        add(root, "path", kind="line", d="M%d %sH%d" % (left, number(y), left + INNER))
        add_colour(root, index, (left, y + 5, 18, 14))
        draw_row(root, columns, table_cells(instance), y + 16, "text")


def draw_row(root, columns, cells, y, kind, size=SMALL):
    """Draw the texts of one row of the table, each cut to its column."""
    x = MARGIN + PADDING + SAMPLE_WIDTH
    unit = (INNER - SAMPLE_WIDTH) / sum(share for _name, share, _class in columns)
    for name, share, alignment in columns:
        room = share * unit - (0 if name == columns[-1][0] else 16)
        add_text(root, x + room if alignment else x, y, cells[name], ("%s %s" % (kind, alignment)).strip(), room, size)
        x += share * unit


def table_cells(instance):
    """Return what the table says of one instance, by column."""
    count = len(instance["gpus"])
    return {
        "Instance": instance["name"], "Service": instance["service"], "CPUs": instance["cpu_range"],
        "Threads": instance["threads"], "Port": instance["port"], "RAM": amount(instance["host_memory_mib"]),
        "GPUs": "%d \N{MULTIPLICATION SIGN} %s" % (count, amount(instance["gpu_memory_mib"])) if count else "",
        "NUMA": POLICIES[instance["numa_policy"]].replace("%s", instance["numa_range"]),
    }
