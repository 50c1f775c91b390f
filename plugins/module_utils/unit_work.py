# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The work of module instances: units that run as their files say, where the plan says. Role watch only looks."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils import systemd, units


def run(host, instances, others, check_mode):
    """Stop what is not wanted, bring up what is, one after the other, and return the module's result."""
    wanted = {instance["unit"]: instance for instance in instances}
    stopped = host.strangers(others, wanted)
    if not check_mode:
        for unit in stopped:
            host.remove(unit)
        left = host.strangers(others, wanted)
        if left:
            raise systemd.UnitError("%s could not be stopped and disabled." % ", ".join(left))
    found = host.show(wanted) if wanted else {}
    if not check_mode and any(unit["NeedDaemonReload"] == "yes" for unit in found.values()):
        host.call("daemon-reload")
        found = host.show(wanted)
    results = [bring_up(host, instance, found.get(unit, {}), check_mode) for unit, instance in wanted.items()]
    changed = bool(stopped) or any(result["action"] or result["enabled"] for result in results)
    return {"changed": changed, "instances": results, "stopped": stopped}


def bring_up(host, instance, properties, check_mode):
    """Enable and (re)start one unit if needed, then read back where it runs."""
    unit = instance["unit"]
    if properties.get("LoadState") != "loaded" and not check_mode:
        raise systemd.UnitError("%s is not a unit that systemd can load; its unit file is missing or wrong." % unit)
    action = systemd.action_needed(unit, properties)
    moved = None if action else units.placement_fault(instance, *systemd.process(properties))
    result = {
        "unit": unit,
        "action": "restart" if moved else action,
        "moved": moved,
        "enabled": not units.is_enabled(properties),
        "state": properties.get("ActiveState") if properties.get("LoadState") == "loaded" else None,
    }
    if check_mode:
        return dict(result, **units.effective(*systemd.process(properties)))
    if result["enabled"]:
        host.must(unit, "enable")
    if result["action"]:
        host.call("reset-failed", unit)
        host.must(unit, "restart")
        properties = host.show([unit])[unit]
    status, numa_maps = systemd.process(properties)
    fault = units.placement_fault(instance, status, numa_maps)
    if fault:
        raise systemd.UnitError(fault)
    return dict(result, **units.effective(status, numa_maps))
