# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The processor's settings: governor, energy preference, boost, frequency floor, idle states, interrupts, SMT."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.checks import integer, one_of, yes_or_no
from ansible_collections.inference.host.plugins.module_utils.cpulist import cpu_mask, format_cpu_list
from ansible_collections.inference.host.plugins.module_utils.setting_rows import Rows

WISHES = {
    "cpu_governor": one_of("performance", "powersave", "schedutil", "ondemand", "conservative", "userspace"),
    "cpu_energy_preference": one_of("performance", "balance_performance", "default", "balance_power", "power"),
    "cpu_boost": yes_or_no(),
    "cpu_min_mhz": integer(100, 10000),
    "cpu_wakeup_latency_us": integer(1, 100000),
    "cpu_irq_affinity": yes_or_no(),
    "cpu_smt": yes_or_no(),
}

POLICY = "/sys/devices/system/cpu/cpufreq/policy*/"
ACTIVE_DRIVERS = ("intel_pstate", "amd-pstate-epp")
IRQBALANCE = "/etc/systemd/system/irqbalance.service.d/60-inference.conf"
# Beside it, under a name that systemd does not read as a part of the unit.
IRQBALANCE_VARIABLES = "/etc/systemd/system/irqbalance.service.d/60-inference.env"
# As a pattern, since it is no failure when nothing matches, as on a host without irqbalance.
RESTART_IRQBALANCE = ["systemctl", "try-restart", "irqbalance[.]service"]


def cpu_rows(topology, wishes, irq_cpus, why_not):
    """Return the rows. irq_cpus: where interrupts go, [] leaves them alone. why_not: why none applies, or None."""
    rows = Rows("cpu", wishes, why_not)
    frequency = topology.get("cpufreq") or {}
    add_frequency(rows, topology, frequency)
    add_idle(rows)
    add_interrupts(rows, topology, irq_cpus)
    smt = rows.value("cpu_smt")
    rows.add("smt", smt if smt is None else "on" if smt else "off", "", "cpu_smt", no_siblings(topology),
             path="/sys/devices/system/cpu/smt/control")
    return rows.rows


def add_frequency(rows, topology, frequency):
    missing = no_driver(topology, frequency)
    governor = rows.value("cpu_governor", "performance")
    rows.add("governor", governor, "steady clock under short bursts of work", "cpu_governor",
             missing or not_offered(governor, frequency.get("governors")), path=POLICY + "scaling_governor")
    preference = rows.value("cpu_energy_preference", default_preference(frequency, governor))
    rows.add("energy_performance_preference", preference, "the governor performance alone leaves the hardware's hint",
             "cpu_energy_preference", missing or no_preference(frequency, governor, preference),
             path=POLICY + "energy_performance_preference")
    floor = rows.value("cpu_min_mhz")
    rows.add("scaling_min_freq", floor and floor * 1000, "", "cpu_min_mhz", missing or out_of_range(frequency, floor),
             path=POLICY + "scaling_min_freq")
    boost, file = rows.value("cpu_boost"), frequency.get("boost_file")
    if boost is not None:
        inverted = (file or "").endswith("no_turbo")
        rows.add("boost", int(boost != inverted), "", "cpu_boost",
                 None if file else missing or "the driver has no switch for boost",
                 path=file or "/sys/devices/system/cpu/cpufreq/boost")


def add_idle(rows):
    """The deepest idle state is bounded by how long waking up may take (PM QoS); off unless the user asks."""
    rows.add("pm_qos_resume_latency_us", rows.value("cpu_wakeup_latency_us"), "", "cpu_wakeup_latency_us",
             path="/sys/devices/system/cpu/cpu[0-9]*/power/pm_qos_resume_latency_us")


def add_interrupts(rows, topology, irq_cpus):
    """Both the kernel's default and irqbalance are told: the one is for interrupts that are yet to come, the other
    moves those that are there."""
    banned = sorted(set(topology["cpus"]["online"]) - set(irq_cpus))
    if not irq_cpus or not banned or not rows.value("cpu_irq_affinity", True):
        return
    reason = "interrupts stay on the housekeeping CPUs %s" % format_cpu_list(irq_cpus)
    # In groups of 32 bits: the kernel takes no more in one piece.
    rows.add("default_smp_affinity", cpu_mask(irq_cpus, groups=True), reason, path="/proc/irq/default_smp_affinity")
    # The unit itself reads a file of variables, which beats Environment=; of several such files the last one counts.
    after = [["systemctl", "daemon-reload"], RESTART_IRQBALANCE]
    rows.add("irqbalance", "[Service]\nEnvironmentFile=-%s\n" % IRQBALANCE_VARIABLES, reason, kind="file",
             path=IRQBALANCE, after=after)
    rows.add("irqbalance variables", "IRQBALANCE_BANNED_CPULIST=%s\n" % format_cpu_list(banned), reason, kind="file",
             path=IRQBALANCE_VARIABLES, after=after)


def no_driver(topology, frequency):
    """Return why no frequency can be set here, or None."""
    # The driver is null where policies have different ones.
    if frequency.get("driver") or frequency.get("policies"):
        return None
    if (topology.get("platform") or {}).get("kind") == "vm":
        return "virtual machine: the clock belongs to its host"
    return "no cpufreq driver"


def not_offered(value, offered):
    if not offered or value in offered:
        return None
    return "the driver offers %s, not %s" % (", ".join(offered), value)


def forced(frequency, governor):
    """Tell whether the governor holds the energy preference at performance, as that of active drivers does."""
    drivers = {policy.get("driver") for policy in frequency.get("policies") or []} | {frequency.get("driver")}
    return governor == "performance" and not drivers.isdisjoint(ACTIVE_DRIVERS)


def common_preferences(frequency):
    """Return the energy preferences that every policy offers."""
    choices = [policy.get("epp_choices") or [] for policy in frequency.get("policies") or []]
    return [word for word in (choices or [[]])[0] if all(word in some for some in choices)]


def default_preference(frequency, governor):
    """Return performance beside that governor where it is a choice of its own, else None: left alone."""
    own_choice = "performance" in common_preferences(frequency) and not forced(frequency, governor)
    return "performance" if governor == "performance" and own_choice else None


def no_preference(frequency, governor, preference):
    """Return why the energy preference cannot be set, or None."""
    offered = common_preferences(frequency)
    if not offered:
        return "the driver has no energy preference"
    if forced(frequency, governor) and preference != "performance":
        return "the governor performance keeps it at performance"
    return not_offered(preference, offered)


def no_siblings(topology):
    """Return why SMT cannot be set, or None. Siblings that are offline may be what an earlier run has made of them."""
    if topology["cpus"].get("offline") or any(len(core) > 1 for core in topology["cores"]):
        return None
    return "no core has SMT siblings"


def out_of_range(frequency, mhz):
    if mhz is None:
        return None
    for policy in frequency.get("policies") or []:
        low, high = policy.get("min_khz"), policy.get("max_khz")
        if low and high and not low <= mhz * 1000 <= high:
            return "the hardware has %d to %d MHz" % (low // 1000, high // 1000)
    return None
