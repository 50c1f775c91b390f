# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan as tables that a person reads on a terminal."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.cpulist import format_cpu_list

COMPLETING = ("llama_cpp", "vllm")
"""Runtimes that are asked for a completion at the end."""


def table(headings, rows):
    """Return lines with left-aligned columns, two blanks apart; the last column is as long as it must be."""
    rows = [[str(cell) for cell in row] for row in [headings] + rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(headings))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def plan_table(plan):
    """Return the plan as text: instances, kernel settings, warnings. GPUs have columns where one is used."""
    with_gpus = any(instance["gpus"] for instance in plan["instances"])
    headings = ["SERVICE", "INSTANCE", "CPUS", "NODE", "THREADS"] + (["GPUS", "LAYERS"] if with_gpus else [])
    instances = [[
        instance["service"], instance["index"], instance["cpu_range"], placement_words(instance), instance["threads"],
        *([" ".join(instance["gpus"]) or "-", layers_word(instance)] if with_gpus else []),
        sum(instance["memory_mib"].values()), instance["port"],
        "; ".join(why_words(instance["reasons"])),
    ] for instance in plan["instances"]]
    settings = [[setting["role"], setting["name"], *value_and_why(setting)] for setting in plan["settings"]]
    lines = table([*headings, "MIB", "PORT", "WHY"], instances)
    lines += ["", "housekeeping CPUs: %s" % (format_cpu_list(plan["housekeeping_cpus"]) or "none (a small host)")]
    lines += [""] + table(["ROLE", "SETTING", "VALUE", "WHY"], settings)
    lines += ["warning: " + warning for warning in plan["warnings"]]
    return "\n".join(lines)


def why_words(reasons):
    """The reasons of threads and placement, and of what else was measured."""
    others = ["%s %s" % (name, reason) for name, reason in sorted(reasons.items())
              if reason.startswith("measured: ") and name not in ("threads", "numa")]
    return [reasons["threads"], reasons["numa"]] + others


def value_and_why(setting):
    """A file's text has several lines: its path stands with the reason instead."""
    if not setting["applies"]:
        return "not applicable", setting["why_not"]
    if setting["kind"] == "file":
        return "in a file", "%s (%s)" % (setting["reason"], setting["path"])
    return setting["value"], setting["reason"]


def placement_words(instance):
    """The nodes that the instance is bound to or spread over; in brackets where nothing holds it there."""
    nodes = format_cpu_list(instance["numa_nodes"])
    return {"bind": nodes, "interleave": nodes + " interleaved", "none": "(%s)" % nodes}[instance["numa_policy"]]


def layers_word(instance):
    return "-" if instance["gpu_layers"] is None else instance["gpu_layers"]


def summary(plan, answers, host):
    """Return what answers where, as text.

    answers: completions, with llama.cpp's timings, one for each service of a runtime in COMPLETING. Of others is only
    said where they are.
    """
    lines, answers = [plan_table(plan), ""], list(answers)
    for service in plan["services"]:
        url = "http://%s:%d/%s" % (host, plan["nginx"]["listen_port"], service["name"])
        if service["runtime"] not in COMPLETING:
            lines.append("%s is at %s" % (service["name"], url))
            continue
        completion = answers.pop(0)["json"]
        lines.append("%s answers at %s/v1" % (service["name"], url))
        lines.append("  %s" % " ".join(completion["choices"][0]["text"].split()))
        speed = (completion.get("timings") or {}).get("predicted_per_second")
        lines.append("  %.1f tokens per second" % speed if speed else "  the engine gave no timings")
    return "\n".join(lines)
