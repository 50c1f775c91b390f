# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of the machine is read beside a run: how busy, how fast, how warm it is, and where the engine's pages lie.

What cannot be read is None: a virtual machine has no temperature, a container may hide the rest.
"""

from __future__ import annotations

import glob
import os
import re

from ansible_collections.inference.host.plugins.module_utils.bench_stats import median, tidy

SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "x86_pkg_temp", "soc_thermal")
"""Drivers whose temperatures are the processor's."""
_SIZE = "kernelpagesize_kB="
_PAGES = re.compile(r"N([0-9]+)=([0-9]+)\Z")


def read_text(path):
    """Return a small file's text, or "" where it cannot be read."""
    try:
        with open(path, "rb") as stream:
            return stream.read(4 << 20).decode("utf-8", "replace")
    except OSError:
        return ""


def cpu_ticks(stat, cpus):
    """Return {"busy", "stolen", "total"} ticks of some CPUs from the text of /proc/stat, or None where one is missing.

    The fields are those of proc(5): user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
    """
    ticks, seen, wanted = {"busy": 0, "stolen": 0, "total": 0}, 0, {"cpu%d" % cpu for cpu in cpus}
    for line in stat.splitlines():
        name, *fields = line.split() or [""]
        if name in wanted and len(fields) >= 8 and all(field.isdigit() for field in fields[:8]):
            numbers = [int(field) for field in fields[:8]]
            seen += 1
            ticks["total"] += sum(numbers)
            ticks["stolen"] += numbers[7]
            ticks["busy"] += sum(numbers) - numbers[3] - numbers[4] - numbers[7]
    return ticks if seen and seen == len(wanted) else None


def process_ticks(stat):
    """Return the ticks that a process has used (user and system), from the text of its /proc/PID/stat, or None."""
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12]) if len(fields) > 12 and fields[11].isdigit() else None


def own_group(text):
    """Return the path of the control group in the text of /proc/PID/cgroup (version 2), where it is of an instance.

    Else None: another group may hold more than the engine.
    """
    for line in text.splitlines():
        if line.startswith("0::/") and "/inference-" in line and "/.." not in line:
            return line[3:]
    return None


def pages_per_node(lines):
    """Return {node: MiB} of a process from the lines of its /proc/PID/numa_maps; None where it says nothing."""
    kib = {}
    for line in lines:
        words = line.split()
        sizes = [int(word[len(_SIZE):]) for word in words if word.startswith(_SIZE) and word[len(_SIZE):].isdigit()]
        for node, pages in (found.groups() for found in map(_PAGES.match, words) if found):
            kib[node] = kib.get(node, 0) + int(pages) * (sizes[0] if sizes else 4)
    return {node: tidy(amount / 1024.0) for node, amount in kib.items()} or None


def frequencies(megahertz):
    """Return {"low", "median", "high"} of CPUs' MHz, or None without any."""
    if not megahertz:
        return None
    return {"low": round(min(megahertz)), "median": round(median(megahertz)), "high": round(max(megahertz))}


class Machine:
    """The files of the machine below a root."""

    def __init__(self, cpus, root=""):
        """cpus: those that the engine runs on."""
        self.cpus, self.root = sorted(cpus), root

    def number(self, path):
        text = read_text(self.root + path).strip()
        return int(text) if re.match(r"-?[0-9]{1,18}\Z", text) else None

    def megahertz(self):
        paths = ("/sys/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq" % cpu for cpu in self.cpus)
        found = [one / 1000.0 for one in map(self.number, paths) if one]
        if found:
            return found
        told, cpu = [], None
        for line in read_text(self.root + "/proc/cpuinfo").splitlines():
            key, _colon, value = line.partition(":")
            if key.strip() == "processor" and value.strip().isdigit():
                cpu = int(value)
            elif key.strip() == "cpu MHz" and cpu in self.cpus:
                told.append(float(value))
        return told

    def temperature_c(self):
        """Return the warmest of the processor's temperatures, in degrees Celsius, or None."""
        found = []
        for folder in glob.glob(self.root + "/sys/class/hwmon/hwmon*"):
            if read_text(folder + "/name").strip() in SENSORS:
                found += glob.glob(folder + "/temp*_input")
        for folder in glob.glob(self.root + "/sys/class/thermal/thermal_zone*"):
            if read_text(folder + "/type").strip().startswith(SENSORS + ("cpu",)):
                found.append(folder + "/temp")
        degrees = [one / 1000.0 for one in (self.number(path[len(self.root):]) for path in found) if one is not None]
        return tidy(max(degrees)) if degrees else None

    def throttled(self):
        """Return how often the CPUs were slowed down for their heat since the boot, or None."""
        paths = ("/sys/devices/system/cpu/cpu%d/thermal_throttle/core_throttle_count" % cpu for cpu in self.cpus)
        found = [one for one in map(self.number, paths) if one is not None]
        return sum(found) if found else None

    def ticks(self):
        return cpu_ticks(read_text(self.root + "/proc/stat"), self.cpus)

    def group(self, pid):
        """Return the folder of the control group of an instance's process, or None where it has none of its own."""
        path = own_group(read_text("%s/proc/%s/cgroup" % (self.root, pid)))
        return path and self.root + "/sys/fs/cgroup" + path

    def engine_ticks(self, pids):
        """Return {pid: ticks} of the engines that are there, with the processes that they have started."""
        found = {}
        for pid in pids:
            folder, own = self.group(pid), process_ticks(read_text("%s/proc/%s/stat" % (self.root, pid)))
            usage = re.search(r"^usage_usec ([0-9]+)$", read_text(folder + "/cpu.stat") if folder else "", re.MULTILINE)
            if own is not None:
                found[pid] = int(usage.group(1)) * os.sysconf("SC_CLK_TCK") / 1e6 if usage else own
        return found

    def pages(self, pid):
        """Return {node: MiB} of an engine and the processes that it has started."""
        folder = self.group(pid)
        members = read_text(folder + "/cgroup.procs").split() if folder else []
        return pages_per_node(line for member in members or [pid] for line in self.numa_maps(member))

    def numa_maps(self, pid):
        try:
            with open("%s/proc/%s/numa_maps" % (self.root, pid), encoding="utf-8", errors="replace") as lines:
                yield from lines
        except OSError:
            return

    def snapshot(self, engines):
        """Return what is kept in the results. engines: {name of an instance: its process id}."""
        load = read_text(self.root + "/proc/loadavg").split()
        memory = re.search(r"^MemAvailable:\s+([0-9]+) kB", read_text(self.root + "/proc/meminfo"), re.MULTILINE)
        governors = {read_text("%s/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor" % (self.root, cpu)).strip()
                     for cpu in self.cpus}
        return {
            "load_1m": float(load[0]) if load and re.match(r"[0-9.]+\Z", load[0]) else None,
            "memory_available_mib": int(memory.group(1)) // 1024 if memory else None,
            "cpu_mhz": frequencies(self.megahertz()),
            "governor": ", ".join(sorted(governors - {""})) or None,
            "temperature_c": self.temperature_c(),
            "throttled": self.throttled(),
            "pages_per_node_mib": {name: self.pages(pid) for name, pid in engines.items()},
        }


class Watch:
    """Counts whose time the CPUs were, from its making to `during`."""

    def __init__(self, machine, pids, beside=True):
        """pids: the engine's processes. beside: whether this process runs on the same CPUs."""
        self.machine, self.pids, self.beside = machine, list(pids), beside
        self.began, self.engine, self.own = machine.ticks(), machine.engine_ticks(self.pids), _own_seconds()

    def during(self, seconds, engine_seconds=None):
        """Return {"stolen_percent", "others_percent", "engine_percent": of the CPUs' time, "client_percent": of one
        CPU's, None where not known}.

        seconds: how long it was. engine_seconds: CPU time of an engine that is not among the processes any more.
        """
        shares = dict.fromkeys(("stolen_percent", "others_percent", "engine_percent"))
        own = _own_seconds() - self.own
        shares["client_percent"] = round(100 * own / seconds, 1) if seconds > 0 else None
        now = self.machine.ticks()
        total = now["total"] - self.began["total"] if now and self.began else 0
        if total <= 0:
            return shares
        shares["stolen_percent"] = round(100.0 * (now["stolen"] - self.began["stolen"]) / total, 1)
        a_second = os.sysconf("SC_CLK_TCK")
        engine = engine_seconds * a_second if engine_seconds is not None else self._engine_ticks()
        if engine is not None:
            known = engine + (own * a_second if self.beside else 0)
            shares["engine_percent"] = round(min(100.0, 100.0 * engine / total), 1)
            shares["others_percent"] = round(max(0.0, 100.0 * (now["busy"] - self.began["busy"] - known) / total), 1)
        return shares

    def _engine_ticks(self):
        """Return the ticks of the engine's processes, or None where there is none or one has ended."""
        now = self.machine.engine_ticks(self.pids)
        if not self.pids or set(now) != set(self.pids) or set(self.engine) != set(self.pids):
            return None
        return sum(now.values()) - sum(self.engine.values())

    def ended(self):
        """Return the processes of the engine that were there and are not any more."""
        return sorted(set(self.engine) - set(self.machine.engine_ticks(self.pids)))


def _own_seconds():
    times = os.times()
    return times.user + times.system
