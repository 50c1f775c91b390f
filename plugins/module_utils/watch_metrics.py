# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the watch has found of its host as metrics. A part of the reading that is None has none."""

from __future__ import annotations

import itertools

from ansible_collections.inference.host.plugins.module_utils.cpulist import parse_cpu_list
from ansible_collections.inference.host.plugins.module_utils.p2p import TRUSTED, p2p_pairs

WRONG = ("drift", "partial", "refused")
"""Statuses of rows that are not as planned."""


def watch_metrics(wanted, found, now, whole_before=None):
    """Return families as prometheus_text takes them.

    wanted: see watch_wanted.py. found: of watch_read.py. now: unix time of the reading. whole_before: that of the last
    whole one before this one, if there was one.
    """
    plan, success = wanted["plan"], not found["failures"]
    units, topology = found["units"], found["topology"]
    last = now if success else whole_before
    gauges = [
        ("watch_timestamp_seconds", "Unix time of the last whole reading.", [({}, last)] if last is not None else []),
        ("watch_success", "Whether the last reading was whole.", [({}, success)]),
        ("plan_info", "Digest of the plan that the host is compared with.", [({"digest": wanted["digest"]}, 1)]),
        ("drift_rows", "What is not as planned, by status.", _counts(found["rows"])),
        ("drift", "What is not as planned.", _drift(found["rows"])),
        ("instance_up", "Whether the instance's unit is active.", _instances(
            plan, units, lambda instance, unit: unit["active"])),
        ("instance_slots", "Requests that the instance answers at a time.", [
            (_labels(instance), instance["parallel"]) for instance in plan["instances"] if instance["parallel"]]),
        ("instance_pages_elsewhere_ratio", "Part of the engine's pages on nodes outside its memory policy.",
         _instances(plan, units if _has_nodes(topology) else None, pages_elsewhere)),
        ("hugepages_short", "Huge pages of the plan that the node has not.", _short(plan, topology)),
        ("p2p_lost_pairs", "Pairs of GPUs that instances copy between and that are not to be trusted now.",
         _lost_pairs(plan, topology)),
        ("xid_errors", "Errors of cards (Xid) in the kernel log since the boot.", [
            ({"address": error["address"], "xid": error["code"]}, error["count"])
            for error in ((topology or {}).get("nvidia") or {}).get("xid") or []]),
        ("models_free_bytes", "Free bytes for models.", _models(found["models"], "free_bytes")),
        ("models_largest_release_bytes", "Bytes of the largest release.", _models(found["models"], "largest_bytes")),
    ] + _probes(found["probes"])
    counters = [
        ("unit_throttled_seconds_total", "Time in which the unit's CPU quota held it back.", _units(
            plan, units, "throttled_seconds")),
        ("unit_restarts_total", "How often systemd has started the unit again.", _units(plan, units, "restarts")),
    ]
    return [("inference_" + name, kind, words, samples)
            for kind, families in (("gauge", gauges), ("counter", counters)) for name, words, samples in families]


def not_as_planned(rows):
    """Return the rows that need a person."""
    return [row for row in rows if row["status"] in WRONG]


def _counts(rows):
    if rows is None:
        return []
    return [({"status": status}, sum(row["status"] == status for row in rows)) for status in WRONG]


def _drift(rows):
    return [({"role": row["area"], "setting": row["setting"], "status": row["status"]}, 1)
            for row in not_as_planned(rows or [])]


def _labels(instance):
    return {"service": instance["service"], "instance": instance["name"]}


def _instances(plan, units, value_of):
    """Return a sample for each instance whose unit tells it."""
    values = [(_labels(instance), value_of(instance, units[instance["unit"]]))
              for instance in plan["instances"] if units and instance["unit"] in units]
    return [(labels, value) for labels, value in values if value is not None]


def _units(plan, units, key):
    values = [(instance["unit"], (units or {}).get(instance["unit"], {}).get(key)) for instance in plan["instances"]]
    return [({"unit": unit}, value) for unit, value in values if value is not None]


def _has_nodes(topology):
    return len((topology or {}).get("numa_nodes") or []) > 1


def pages_elsewhere(instance, unit):
    """Return which part, 0 to 1, of an engine's pages lies outside its nodes; None without a policy or a process.

    unit: with "pages_mib", {node: MiB} or None.
    """
    pages = unit["pages_mib"]
    if instance["numa_policy"] == "none" or not pages or not sum(pages.values()):
        return None
    own = set(map(str, parse_cpu_list(instance["numa_range"])))
    return round(sum(amount for node, amount in pages.items() if node not in own) / sum(pages.values()), 6)


def _short(plan, topology):
    if topology is None:
        return []
    nodes = {str(node["id"]): node.get("hugepages") or {} for node in topology["numa_nodes"]}
    return [({"node": node, "size_kib": size}, max(0, count - (nodes.get(node, {}).get(size) or 0)))
            for node, sizes in sorted(plan["hugepages"].items()) for size, count in sorted(sizes.items())]


def _lost_pairs(plan, topology):
    """Count the pairs of GPUs that instances copy between and that are not to be trusted now.

    A pair of which a card is gone is lost as well. Nothing is told of a host that never had two.
    """
    pairs = p2p_pairs(topology or {})
    trusted = {frozenset(pair["gpus"]) for pair in pairs if pair["verdict"] in TRUSTED}
    used = {frozenset(pair) for instance in plan["instances"] if instance["p2p"]
            for pair in itertools.combinations(instance["gpus"], 2)}
    return [({}, len(used - trusted))] if topology and (pairs or used) else []


def _models(models, key):
    return [({"path": models["path"]}, models[key])] if models and models[key] is not None else []


def _probes(probes):
    """probes: {service: answer of bench_stream.ask}."""
    def seconds(key):
        return [({"service": service}, round(answer[key] / 1000.0, 6)) for service, answer in (probes or {}).items()
                if answer["error"] is None and answer[key] is not None]

    return [
        ("probe_success", "Whether one short completion through nginx came whole.", [
            ({"service": service}, answer["error"] is None) for service, answer in (probes or {}).items()]),
        ("probe_ttft_seconds", "Time to its first token.", seconds("ttft_ms")),
        ("probe_tpot_seconds", "Time for each further token.", seconds("tpot_ms")),
    ]
