# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the host keeps for NVIDIA cards: persistence, clocks and power, modules and their options, kernel parameters.

A host without such a card has no row of these.
"""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils.checks import integer, matching, yes_or_no
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.nvidia import cards_of, driver_is_loaded, module_params
from ansible_collections.inference.host.plugins.module_utils.setting_rows import Rows

OPTION = re.compile(r"NVreg_[A-Za-z0-9]+\Z")
OPTION_VALUE = re.compile(r"[A-Za-z0-9_=;:.,/+-]+\Z")


def module_options(value):
    return isinstance(value, dict) and all(
        isinstance(name, str) and OPTION.match(name) and isinstance(said, (int, str)) and not isinstance(said, bool)
        and OPTION_VALUE.match(str(said)) for name, said in value.items())


WISHES = {
    "nvidia_persistence": yes_or_no(),
    "nvidia_power_limit_w": integer(1, 5000),
    "nvidia_clock_mhz": integer(100, 10000),
    "nvidia_peermem": yes_or_no(),
    "nvidia_module_options": (module_options, "a mapping of names such as NVreg_EnableGpuFirmware to numbers, or texts "
                              "without blanks and quotes"),
    "nvidia_iommu_passthrough": yes_or_no(),
    "nvidia_disable_acs_redirect": yes_or_no(),
    "nvidia_mig": yes_or_no(),
    "nvidia_driver_package": matching(re.compile(r"[a-z0-9][a-z0-9.+:-]+\Z"), "the name of a package"),
}

DAEMON = "nvidia-persistenced.service"
PERSISTENCE = "/etc/systemd/system/nvidia-persistenced.service.d/60-inference.conf"
UNIT = "inference-nvidia.service"
UNIT_FILE = "/etc/systemd/system/" + UNIT
START_FILE = "/etc/systemd/system/multi-user.target.d/60-inference-nvidia.conf"
MODULES_FILE = "/etc/modules-load.d/60-inference-nvidia.conf"
OPTIONS_FILE = "/etc/modprobe.d/60-inference-nvidia.conf"

RELOAD = ["systemctl", "daemon-reload"]
# As patterns, since it is no failure when nothing matches. A daemon that does not run is started by who wants it.
RESTART_DAEMON = ["systemctl", "try-restart", "nvidia-persistenced[.]service"]
STOP_UNIT = ["systemctl", "stop", "inference-nvidia[.]service"]
WORD = re.compile(r"[A-Za-z0-9_=.,:/+-]+\Z")
"""What neither systemd nor a shell reads anything into."""
MODES = ("--persistence-mode", "--no-persistence-mode")
NOT_LOADED = "the NVIDIA driver is not loaded"
MODULES = ("nvidia", "nvidia-current")
"""Names of the driver's module for modprobe: the second is that of Debian's packages."""


def only_with(path, command):
    """Return the words of a command that is run only while a file is there: after a restore it is not."""
    return ["/bin/sh", "-c", "test ! -e %s || exec %s" % (path, command)]


def nvidia_rows(topology, wishes, why_not):
    """Return the rows of role nvidia; none where no NVIDIA card is on PCI. why_not: why none applies, or None.

    The order counts: the unit is stopped, with the commands that it knows, before systemd reads its files again.
    Raises PlanError for a power limit or a clock that a card does not take.
    """
    rows = Rows("nvidia", wishes, why_not)
    cards = cards_of(topology)
    if not cards:
        return rows.rows
    add_limits(rows, cards, no_limits(topology, cards))
    add_persistence(rows, topology)
    if rows.value("nvidia_peermem"):
        rows.add("nvidia_peermem", "nvidia_peermem\n", "", "nvidia_peermem", no_peermem(topology), kind="file",
                 path=MODULES_FILE, after=[only_with(MODULES_FILE, "modprobe nvidia_peermem")])
    add_module_options(rows, topology)
    add_kernel_parameters(rows, topology)
    return rows.rows


def add_persistence(rows, topology):
    """The daemon holds the driver's state while no program uses a card; `nvidia-smi -pm` would not outlast a boot."""
    if not rows.value("nvidia_persistence", True):
        return
    state = topology.get("nvidia") or {}
    command = persistent(state.get("persistenced_command"))
    why_not = None if command else no_daemon(state, driver_is_loaded(topology))
    text = "[Unit]\nStopWhenUnneeded=no\n\n[Service]\nExecStart=\nExecStart=%s\n" % (command or "")
    rows.add("persistence mode", text, "a card keeps its state and answers at once while nobody uses it",
             "nvidia_persistence", why_not, evidence="vendor", kind="file", path=PERSISTENCE,
             after=[RELOAD, RESTART_DAEMON])


def no_daemon(state, loaded):
    """Return why the daemon cannot be told to hold the driver's state."""
    if not loaded:
        return NOT_LOADED
    if state.get("persistenced"):
        return "the command of %s is not in a form that is known" % state["persistenced"]
    # Recordings of older releases do not tell.
    return "nvidia-persistenced is not installed" if "persistenced" in state else (
        "whether nvidia-persistenced is installed is not known")


def persistent(command):
    """Return the daemon's own command line with persistence mode on, or None for one that is not understood."""
    words = (command or "").split()
    if not words or not re.match(r"/.*/nvidia-persistenced\Z", words[0]) or not all(map(WORD.match, words)):
        return None
    return " ".join([word for word in words if word not in MODES] + [MODES[0]])


def no_limits(topology, cards):
    """Return why no card is told its limits, or None. A unit that was written before stays then as it is."""
    if not driver_is_loaded(topology):
        return NOT_LOADED
    silent = [card["address"] for card in cards if not card.get("nvidia")]
    return "nvidia-smi says nothing of %s" % ", ".join(silent) if silent else None


def add_limits(rows, cards, why_not):
    """Clocks and power limits last until the driver is unloaded: a unit sets them at each boot, and takes them back
    when it is stopped, or where a card refuses one (ExecStopPost= is run after a failed start, ExecStop= is not)."""
    watts, clock = rows.value("nvidia_power_limit_w"), rows.value("nvidia_clock_mhz")
    if watts is None and clock is None:
        return
    start, stop = [], []
    for card in cards:
        told = card.get("nvidia") or {}
        prefix = "nvidia-smi -i %s " % card["address"]
        if watts is not None:
            check_power(card["address"], told, watts)
            start.append("ExecStart=%s-pl %d" % (prefix, watts))
            if told.get("power_default_w"):
                stop.append("ExecStopPost=-%s-pl %d" % (prefix, told["power_default_w"]))
        if clock is not None:
            check_clock(card["address"], told, clock)
            start.append("ExecStart=%s-lgc %d,%d" % (prefix, clock, clock))
            stop.append("ExecStopPost=-%s-rgc" % prefix)
    wishes = [name for name in ("nvidia_power_limit_w", "nvidia_clock_mhz") if rows.value(name) is not None]
    reason = "%s set by the user" % (" and ".join(wishes) + (" was" if len(wishes) == 1 else " were"))
    after = [STOP_UNIT, RELOAD, only_with(UNIT_FILE, "systemctl start " + UNIT)]
    # With the daemon the driver's state goes, too: PartOf sets it again.
    text = ["[Unit]", "Description=inference.host: clocks and power limits of NVIDIA cards", "Wants=" + DAEMON,
            "After=" + DAEMON, "PartOf=" + DAEMON, "", "[Service]", "Type=oneshot", "RemainAfterExit=yes",
            "# A card that does not answer must not hold up the boot.", "TimeoutStartSec=60", "TimeoutStopSec=60",
            *start, *stop]
    rows.add("clocks and power limit", "\n".join(text) + "\n", reason, None, why_not, kind="file", path=UNIT_FILE,
             after=after)
    rows.add("start of %s" % UNIT, "[Unit]\nWants=%s\n" % UNIT, reason, None, why_not, kind="file", path=START_FILE,
             after=after)


def check_power(address, told, watts):
    low, high = told.get("power_min_w"), told.get("power_max_w")
    if low is not None and high is not None and not low <= watts <= high:
        raise PlanError("nvidia_power_limit_w is %d; card %s takes %g to %g W." % (watts, address, low, high))


def check_clock(address, told, clock):
    high = told.get("clock_max_mhz")
    if high is not None and clock > high:
        raise PlanError("nvidia_clock_mhz is %d; the highest graphics clock of card %s is %d MHz." % (
            clock, address, high))


def no_peermem(topology):
    """Return why nvidia_peermem would not load or have nothing to do, or None. /proc/devices names the drivers of RDMA
    devices."""
    if not driver_is_loaded(topology):
        return NOT_LOADED
    if any(name.startswith("infiniband") for name in topology.get("device_groups") or []):
        return None
    return "no RDMA device: the kernel has no infiniband devices"


def add_module_options(rows, topology):
    """Options count when the module is loaded, so that others than those in force need a reboot."""
    options = rows.value("nvidia_module_options")
    if not options:
        return
    words = " ".join("%s=%s" % (name, options[name]) for name in sorted(options))
    text = "".join("options %s %s\n" % (module, words) for module in MODULES)
    waits = driver_is_loaded(topology) and options_not_in_force(topology, options)
    rows.add("module options", text, "", "nvidia_module_options", kind="file",
             path=OPTIONS_FILE, reboot="the module nvidia takes its options when it is loaded" if waits else None)


def options_not_in_force(topology, options):
    """Return [(name, wanted, found or None)] of the wished options that the loaded module does not have."""
    params = module_params(topology)
    found = [(name, str(options[name]), params.get(name)) for name in sorted(options)]
    return [one for one in found if one[1] != one[2]]


def add_kernel_parameters(rows, topology):
    """Both make direct copies between cards possible and isolate devices less: only where the user asks for it.

    The reason says so, since it stands in the plan and in the boot loader's file.
    """
    iommu = topology.get("iommu") or {}
    if rows.value("nvidia_iommu_passthrough"):
        arm = (topology.get("platform") or {}).get("architecture") == "aarch64"
        rows.add("iommu.passthrough" if arm else "iommu", "1" if arm else "pt",
                 "nvidia_iommu_passthrough was set by the user: the kernel's own devices see physical addresses, so "
                 "that a faulty device reaches all memory", kind="kernel_parameter", path=None)
    if rows.value("nvidia_disable_acs_redirect"):
        # Those whose redirection is off already, too: after the reboot that is all of them.
        bridges = [bridge["address"] for bridge in iommu.get("acs") or []]
        rows.add("pci", "disable_acs_redir=" + ";".join(bridges),
                 "nvidia_disable_acs_redirect was set by the user: devices below these bridges reach each other past "
                 "the IOMMU", None, None if bridges else "no bridge above a GPU is known to have ACS",
                 kind="kernel_parameter", path=None)
