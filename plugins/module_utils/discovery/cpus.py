# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""CPUs: which there are, and which share a core, a die, a package or a cache."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.cpulist import MAX_ID

CPU_DIR = "sys/devices/system/cpu"

# A package that the kernel does not know is -1, which is this in the 16 bits that x86 and ia64 keep.
_NO_PACKAGE = 65535


class TopologyError(Exception):
    """The tree does not show a machine at all; the message is a sentence for the person who chose it."""


def read_present_and_online(tree, processors):
    """Return (present, online) as sorted lists of CPU ids.

    Online is what `cpu/online` says. Where that file is missing or malformed (kernels before 2.6.26), a CPU is
    online when its directory is there, its own `online` file does not say 0 and, as in hwloc, it has topology
    files if any CPU has them. Without directories the processors of /proc/cpuinfo count. Present is `cpu/present`,
    else the directories, and never less than online. Raises TopologyError where no CPU can be found.
    """
    listed = numbered(tree, CPU_DIR, "cpu")
    online = tree.read_list(CPU_DIR + "/online") or _online_by_directory(tree, listed) or processors
    if not online:
        raise TopologyError(
            f"No CPU is to be found below {tree.root}: "
            "it has neither sys/devices/system/cpu nor proc/cpuinfo of a Linux machine."
        )
    present = tree.read_list(CPU_DIR + "/present") or listed
    return sorted(set(present) | set(online)), sorted(set(online))


def numbered(tree, folder, word):
    """Return the numbers of the entries `word`N in a directory."""
    numbers = [int(name[len(word) :]) for name in tree.names(folder, word + r"[0-9]{1,5}")]
    return sorted(number for number in numbers if number <= MAX_ID)


def _online_by_directory(tree, listed):
    switched_on = [cpu for cpu in listed if tree.read_int(f"{CPU_DIR}/cpu{cpu}/online") != 0]
    described = [cpu for cpu in switched_on if tree.exists(f"{CPU_DIR}/cpu{cpu}/topology")]
    return described or switched_on


def partition(cpus, members):
    """Split CPUs into disjoint groups, each sorted, in the order of their first CPU.

    `members(cpu)` names the CPUs that share with this one, or is None where that is not known. CPUs are asked in
    order and only while they have no group, so that each mask is read once a group and not once a CPU. Where masks
    contradict each other a CPU stays in the first group that names it, which is lscpu's rule too. CPUs outside
    `cpus` (offline ones in a stale mask) are dropped; those that nobody can tell anything about are in no group.
    """
    wanted, placed, groups = set(cpus), set(), []
    for cpu in sorted(wanted):
        named = None if cpu in placed else members(cpu)
        if named is not None:
            group = (wanted.intersection(named) | {cpu}) - placed
            placed |= group
            groups.append(sorted(group))
    return sorted(groups)


def group_by(cpus, key):
    """Return the groups of CPUs with the same key, each sorted; CPUs whose key is None are in no group."""
    groups = {}
    for cpu in sorted(cpus):
        value = key(cpu)
        if value is not None:
            groups.setdefault(value, []).append(cpu)
    return sorted(groups.values())


def read_cores(tree, online, places):
    """Return the sets of SMT siblings; every online CPU is in exactly one.

    Rule: the sibling masks (`thread_siblings`, or `core_cpus` as newer kernels also call it), then the lists, then
    `physical id` and `core id` of /proc/cpuinfo. Core ids of sysfs are not used: they repeat in packages, dies and
    core kinds, and differ for what the kernel says are siblings on AMD family 15h. A CPU that no file tells about is a
    core of its own, with a note.
    """
    groups = partition(
        online, _mask_reader(tree, ("thread_siblings", "thread_siblings_list"), ("core_cpus", "core_cpus_list"))
    )

    def place(cpu):
        return places[cpu] if cpu in places and places[cpu][1] is not None else None

    return _complete(tree, "cores", "each is counted as a core", online, groups, place)


def read_packages(tree, online, info):
    """Return the packages (sockets) as CPU lists.

    Rule on x86 (by the CPU flag tsc) and where /proc/cpuinfo is missing: CPUs with the same `physical_package_id` are
    one package, and the masks `core_siblings` or `package_cpus` tell for those without an id, because old kernels
    cut these masks at NUMA nodes. Elsewhere the masks come first, because ids repeat (in the books of s390), are
    those of the cores (SPARC) or -1 (POWER). hwloc does the same. Then /proc/cpuinfo; CPUs that no file tells about
    are one package, with a note. `info` is what cpuinfo.read_cpuinfo returns.
    """

    def by_id(cpus):
        return group_by(cpus, lambda cpu: _package_id(tree, cpu))

    siblings = _mask_reader(tree, ("core_siblings", "core_siblings_list"), ("package_cpus", "package_cpus_list"))

    def by_mask(cpus):
        return partition(cpus, siblings)

    places, flags = info["places"], info["cpu"]["flags"] or []
    sources = [by_id, by_mask] if "tsc" in flags or not info["readable"] else [by_mask, by_id]
    groups = sources[0](online)
    rest = sorted(set(online).difference(*groups))
    group_of = {cpu: group for group in groups for cpu in group} if rest else {}
    rest = _join(rest, lambda cpu: next((group_of[other] for other in siblings(cpu) or () if other in group_of), None))
    groups += sources[1](rest)
    return _complete(
        tree,
        "packages",
        "they are counted as one package",
        online,
        groups,
        lambda cpu: places[cpu][0] if cpu in places else None,
        together=True,
    )


def _package_id(tree, cpu):
    """Return the id of the CPU's package, None where the kernel does not know it."""
    number = tree.read_int(f"{CPU_DIR}/cpu{cpu}/topology/physical_package_id")
    return None if number is None or number < 0 or number == _NO_PACKAGE else number


def read_dies(tree, online):
    """Return the dies as CPU lists; [] where the kernel tells of none (before 5.2, or not x86)."""
    dies = partition(online, _mask_reader(tree, ("die_cpus", "die_cpus_list")))
    lost = sorted(set(online).difference(*dies))
    if dies and lost:
        tree.note("dies", f"No file tells the die of {len(lost)} CPUs, cpu{lost[0]} the first.")
    return dies


def read_caches(tree, online, cores):
    """Return ([CPU lists that share a level 2 cache], [... a level 3 cache]), instruction caches aside.

    A cache whose mask is empty (Itanium) is the core's own, as in hwloc.
    """
    indexes = {}
    core_of = {cpu: core for core in cores for cpu in core}

    def sharing(level):
        def members(cpu):
            if cpu not in indexes:
                indexes[cpu] = _cache_indexes(tree, cpu)
            path = indexes[cpu].get(level)
            shared = tree.read_ids(path + "/shared_cpu_map", path + "/shared_cpu_list") if path else None
            if path and shared is None:
                tree.missing(f"l{level}", path + "/shared_cpu_map", path + "/shared_cpu_list")
            return core_of[cpu] if shared == [] else shared

        return members

    return partition(online, sharing(2)), partition(online, sharing(3))


def _cache_indexes(tree, cpu):
    """Return {2: path, 3: path} of the caches of this CPU that hold data."""
    found = {}
    folder = f"{CPU_DIR}/cpu{cpu}/cache"
    for name in tree.names(folder, r"index[0-9]{1,2}"):
        path = f"{folder}/{name}"
        level = tree.read_int(path + "/level")
        if level is None:
            for key in ("l2", "l3"):
                tree.missing(key, path + "/level")
        if level in (2, 3) and level not in found and tree.read(path + "/type") != "Instruction":
            found[level] = path
    return found


def _mask_reader(tree, *pairs):
    """Return a function from a CPU to the ids of the first (mask, list) pair of topology files that tells any."""

    def members(cpu):
        for mask, listing in pairs:
            path = f"{CPU_DIR}/cpu{cpu}/topology/"
            ids = tree.read_ids(path + mask, path + listing)
            if ids:  # an empty set, which has not even the CPU itself, is as good as no file
                return ids
        return None

    return members


def _join(cpus, find):
    """Add each CPU to the group that `find(cpu)` returns; returns the CPUs for which it finds None."""
    left, grown = [], []
    for cpu in cpus:
        group = find(cpu)
        if group is None:
            left.append(cpu)
        else:
            group.append(cpu)
            grown.append(group)
    for group in grown:
        group.sort()
    return left


def _complete(tree, key, words, online, groups, place, together=False):
    """Put the CPUs that sysfs left without a group where /proc/cpuinfo says, else on their own or all together."""
    rest = sorted(set(online).difference(*groups))
    group_at = {place(cpu): group for group in groups for cpu in group} if rest else {}
    rest = _join(rest, lambda cpu: None if place(cpu) is None else group_at.get(place(cpu)))
    by_place = group_by(rest, place)
    unknown = sorted(set(rest).difference(*by_place))
    if unknown:
        tree.note(key, f"No file tells about {len(unknown)} CPUs, cpu{unknown[0]} the first; {words}.")
    leftover = [unknown] if together and unknown else [[cpu] for cpu in unknown]
    return sorted(groups + by_place + leftover)
