# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A program run once where an instance of the plan runs: a transient unit with the instance's own placement."""

from __future__ import annotations

import re

SYSTEMCTL = "/bin/systemctl"
_SECONDS = {"us": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0,
            "month": 2629800.0}
"""As systemd.time(7) has them: a host of 256 CPUs has used a week of their time in less than an hour."""
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)(%s)\b" % "|".join(_SECONDS))


def transient_unit(instance):
    """Return the name of the unit; without `@`, so that nobody takes it for one of the instances."""
    return "inference-benchmark-%s.service" % instance["name"]


def transient_words(instance, command, seconds, nice=0, bring_back=None):
    """Return the argument vector that runs a command where the instance runs, and waits for its end.

    The properties are those of the instance's placement.conf and sandbox. seconds: the longest that it may take.
    bring_back: a unit that systemd starts when the command has ended, however it ends, also where nobody waits for it
    any more; None for no unit.
    """
    properties = [
        "AllowedCPUs=" + instance["cpu_range"], "CPUAffinity=" + instance["cpu_range"],
        "EnvironmentFile=-" + instance["environment_file"], "Nice=%d" % nice, "RuntimeMaxSec=%d" % seconds,
        "DynamicUser=yes", "NoNewPrivileges=yes", "CapabilityBoundingSet=", "ProtectSystem=strict", "ProtectHome=yes",
        "PrivateTmp=yes", "PrivateNetwork=yes", "RestrictRealtime=yes", "RestrictNamespaces=yes"]
    if instance["numa_policy"] != "none":
        properties += ["AllowedMemoryNodes=" + instance["numa_range"], "NUMAPolicy=" + instance["numa_policy"],
                       "NUMAMask=" + instance["numa_range"]]
    if instance["memory_lock"]:
        limit = instance["memory_lock"]
        properties.append("LimitMEMLOCK=%s%s" % (limit, "" if limit == "infinity" else "M"))
    if not instance["gpus"]:
        properties.append("PrivateDevices=yes")
    if instance["allocator"]:
        properties.append("Environment=LD_PRELOAD=%s" % instance["allocator"])
    if bring_back:
        properties.append("ExecStopPost=+%s start --no-block %s" % (SYSTEMCTL, bring_back))
    words = ["systemd-run", "--pipe", "--wait", "--collect", "--service-type=exec",
             "--unit=" + transient_unit(instance)]
    # Else systemd puts in what the unit's environment has for ${NAME}.
    return words + ["--property=" + one for one in properties] + ["--"] + [word.replace("$", "$$") for word in command]


def cpu_seconds(said):
    """Return the CPU time that systemd-run says the command has used, in seconds, or None where it does not say."""
    for line in said.splitlines():
        name, _colon, span = line.partition(":")
        if name.strip() == "CPU time consumed" and _SPAN.search(span):
            return sum(float(number) * _SECONDS[unit] for number, unit in _SPAN.findall(span))
    return None
