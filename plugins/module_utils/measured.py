# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What autotune has measured on a host, as the plan takes it: values for what the user leaves to the plan."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.checks import (
    REQUIRED,
    check_fields,
    integer,
    kind,
    mapping,
    one_of,
    text,
    yes_or_no,
)
from ansible_collections.inference.host.plugins.module_utils.cpulist import format_cpu_list, format_cpu_mask
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.placement import home_nodes, node_order, service_limit
from ansible_collections.inference.host.plugins.module_utils.service_fields import PROFILES

VALUES = {
    "threads": (None, integer(1, 4096)), "threads_batch": (None, integer(1, 4096)),
    "batch": (None, integer(1, 1 << 20)), "ubatch": (None, integer(1, 1 << 20)), "smt": (None, yes_or_no()),
    "numa": (None, one_of("bind", "interleave", "none")), "gpu_layers": (None, integer(0, 4096)),
    "context": (None, integer(128, 1 << 22)),
}
CHOSEN = tuple(VALUES)
OF_SERVICE = ("batch", "ubatch", "context", "gpu_layers")
"""What memory is planned by goes into the service before anything is placed; the rest is the placed instance's."""
# A host may not say what its processor or its engine is called.
MAYBE_EMPTY = (lambda value: isinstance(value, str)), "a text"
FOR = {"model": (REQUIRED, text()), "cpu": ("", MAYBE_EMPTY), "cores": (REQUIRED, integer(1, 1 << 16)),
       "gpus": (0, integer(0, 64)), "engine": ("", MAYBE_EMPTY)}
ENTRY = {"values": (REQUIRED, mapping("a mapping of names to values")),
         "for": (REQUIRED, mapping("a mapping with model, cpu, cores and gpus")),
         "evidence": ({}, mapping("a mapping"))}
AGAIN = "it is left out, run playbooks/autotune.yml again"


def check_measured(measured):
    """Return `inference_measured`, complete. Raises PlanError for what is none of it."""
    if not isinstance(measured, dict):
        raise PlanError("inference_measured is %s; it must be a mapping of services, as playbooks/autotune.yml writes "
                        "it." % kind(measured))
    checked = {}
    for name, entry in measured.items():
        where = "inference_measured.%s" % name
        entry = check_fields(where, entry, ENTRY)
        values = check_fields(where + ".values", entry["values"], VALUES)
        entry["values"] = {key: value for key, value in values.items() if value is not None}
        entry["for"] = check_fields(where + ".for", entry["for"], FOR)
        checked[name] = entry
    return checked


def set_by_user(wish, smt=False):
    """Return the names of CHOSEN that a service says itself, as the user wrote it. smt: topology_smt."""
    named = {name for name in CHOSEN if wish.get(name) not in (None, "auto")}
    named |= set(PROFILES.get(wish.get("profile"), {})).intersection(CHOSEN)
    if wish.get("instances") == "per_numa_node":
        named.add("numa")
    if smt or "threads" in named:
        # The user's threads are the CPUs that it gets.
        named.add("smt")
    return sorted(named)


def own_values(instance):
    """Return what the plan itself has chosen for an instance, also where measured values stand in for it."""
    own = {name: instance[name] for name in ("threads", "threads_batch", "batch", "ubatch", "gpu_layers", "context")}
    return dict(dict(own, numa=instance["numa_policy"]), **(instance.get("measured") or {}))


def siblings_of(topology, instance):
    """Return (the first CPU of each of an instance's cores, all CPUs of these cores or None where there are no more
    that services may use, or a quota caps what they get)."""
    allowed = set(topology["cpus"]["online"]) & set(service_limit(topology, "allowed_cpus"))
    mine = set(instance["cpus"])
    cores = [sorted(allowed.intersection(core)) for core in topology["cores"] if mine.intersection(core)]
    known = {cpu for core in cores for cpu in core}
    first = sorted([min(mine.intersection(core)) for core in cores] + list(mine - known))
    both = sorted(mine | known)
    if len(both) == len(first) or (service_limit(topology, "quota_cpus") and len(both) > len(mine)):
        return first, None
    return first, both


def for_of(topology, instance):
    """Return what an answer for an instance holds for, as far as the plan knows it."""
    return {"model": instance["model_file"], "cpu": topology["cpu"].get("model_name") or "",
            "cores": len(siblings_of(topology, instance)[0]), "gpus": len(instance["gpus"])}


def fitting(measured, plan, topology, services, smt):
    """Return ({service: entry} of what holds here, warnings about the rest).

    plan: the host's without anything measured. services: as make_plan got them. What the user sets is left out.
    """
    wishes, found, warnings = {wish["name"]: wish for wish in services}, {}, []
    for name, entry in check_measured(measured).items():
        instances = [one for one in plan["instances"] if one["service"] == name]
        if not instances:
            warnings.append("inference_measured has %s, which is no service of this host; take it out of host_vars."
                            % name)
            continue
        here = for_of(topology, instances[0])
        other = [key for key in ("model", "cpu", "cores", "gpus") if entry["for"][key] != here[key]]
        if other:
            warnings.append("inference_measured.%s was measured for %s; %s." % (name, " and ".join(
                "%s %s, which is %s here" % (key, entry["for"][key], here[key]) for key in other), AGAIN))
            continue
        own = set_by_user(wishes[name], smt)
        values = {key: value for key, value in entry["values"].items() if key not in own}
        why_not = next(filter(None, (misfit(topology, instance, values) for instance in instances)), None)
        if why_not:
            warnings.append("inference_measured.%s.values: %s; %s." % (name, why_not, AGAIN))
        elif values:
            found[name] = dict(entry, values=values)
    return found, warnings


def misfit(topology, instance, values):
    """Return in words why an instance cannot have some values, or None."""
    first, both = siblings_of(topology, instance)
    if values.get("smt") and not both:
        return "smt is true, and %s has no siblings that it may use" % instance["name"]
    cpus = len(both if values.get("smt") else first) if "smt" in values else len(instance["cpus"])
    for name in ("threads", "threads_batch"):
        if values.get(name, 1) > cpus:
            return "%s is %d, and %s has %d CPUs" % (name, values[name], instance["name"], cpus)
    layers = instance["gpu_layers"]
    if "gpu_layers" in values and (layers is None or values["gpu_layers"] > layers):
        return "gpu_layers is %d, and %s fit %s" % (values["gpu_layers"], layers, instance["name"])
    return None


def with_measured(services, entries):
    """Return the services as the user wrote them, with the measured values that memory is planned by."""
    return [dict(service, **{key: value for key, value in (entries.get(service["name"]) or {"values": {}})[
        "values"].items() if key in OF_SERVICE}) for service in services]


def without_context(entries):
    """Return entries without their contexts, and without those that have nothing else."""
    kept = {service: {key: value for key, value in entry["values"].items() if key != "context"}
            for service, entry in entries.items()}
    return {service: dict(entries[service], values=values) for service, values in kept.items() if values}


def place(instance, entry, topology, own):
    """Give a placed instance its measured values, with reasons. own: the instance as the plan itself has it."""
    values, evidence = entry["values"], reason_of(entry)
    before = {}
    for name, value in values.items():
        before[name] = {"numa": own["numa_policy"], "smt": len(own["cpus"]) > len(siblings_of(topology, own)[0])}.get(
            name, own.get(name))
        instance["reasons"]["cpus" if name == "smt" else name] = "measured: %s%s instead of %s; %s" % (
            "SMT " if name == "smt" else "", shown(value), shown(before[name]), evidence)
    for name in ("threads", "threads_batch"):
        instance[name] = values.get(name, instance[name])
    if "smt" in values:
        cpus = siblings_of(topology, instance)[1 if values["smt"] else 0]
        instance.update(cpus=cpus, cpu_range=format_cpu_list(cpus), cpu_mask=format_cpu_mask(cpus))
    if "numa" in values:
        nodes = {"interleave": home_nodes(topology), "none": [node["id"] for node in node_order(topology)]}.get(
            values["numa"], instance["numa_nodes"])
        instance.update(numa_policy=values["numa"], numa_nodes=sorted(nodes), numa_range=format_cpu_list(nodes))
    instance["measured"] = before


def shown(value):
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


def reason_of(entry):
    """Return the evidence of an entry in words."""
    evidence = entry["evidence"]
    speeds = evidence.get("tokens_per_second") or {}
    medians = [(speeds.get(key) or {}).get("median") for key in ("after", "before")]
    when = str(evidence.get("when") or "").partition("T")[0]
    words = "%s tokens/s instead of %s" % tuple(medians) if None not in medians else "without its figures"
    return words + (", on %s" % when if when else "")
