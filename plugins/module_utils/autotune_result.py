# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What autotune has found: the variable `inference_measured`, and a table to read."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.autotune_space import OF_PART
from ansible_collections.inference.host.plugins.module_utils.bench_compare import BETTER, UNKNOWN
from ansible_collections.inference.host.plugins.module_utils.bench_result import in_words
from ansible_collections.inference.host.plugins.module_utils.checks import kind
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.plan_table import table

NAMES = tuple(dict.fromkeys(name for names in OF_PART.values() for name in names))
KEPT = ("median", "low", "high", "n")


def autotune_measured(before, jobs, answers, when, engine=None):
    """Return the new `inference_measured`: what was found better than the plan's own choice, with its evidence.

    before: of an earlier run. answers: the module's results in the jobs' order. A service that was not judged keeps its
    entry, and so does one for which nothing better was found while its entry is in use.
    """
    measured = dict(before or {})
    for job, answer in zip(jobs, answers):
        tuned = answer.get("tuned")
        if not tuned or (tuned["verdict"] == UNKNOWN and tuned["context"] is None):
            continue
        entry = measured.get(job["service"])
        values = values_of(job, tuned)
        if not values:
            measured.pop(job["service"], None)
        elif tuned["verdict"] == BETTER or not entry or entry.get("values") != values:
            measured[job["service"]] = {
                "values": values, "for": dict(job["for"], engine=engine_words(engine)),
                "evidence": {"when": when, "trials": tuned["trials"], "points": tuned["points"],
                             "tokens_per_second": {side: {key: tuned[side][key] for key in KEPT}
                                                   for side in ("before", "after") if tuned[side]}}}
            check_texts(job["service"], measured[job["service"]])
    return measured


def check_texts(service, value):
    """Raise PlanError for a text of the host that Ansible would run as a template once it stands in host_vars."""
    if isinstance(value, dict):
        for part in value.values():
            check_texts(service, part)
    elif isinstance(value, str) and any(mark in value for mark in ("{{", "{%", "{#")):
        raise PlanError("%s: the host says %s of itself, which Ansible would take for a template; nothing was "
                        "written." % (service, kind(value)))


def values_of(job, tuned):
    """Return what should run and differs from the plan's own choice, but for what the user has set."""
    chosen = dict({name: tuned["kept"][name] for name in NAMES if name != "smt"})
    own, first = job["own"], job["space"]["cpus"]
    own_smt = own.get("smt", job["space"]["found"]["smt"])
    if tuned["context"] is not None:
        chosen["context"] = tuned["context"]
    values = {name: value for name, value in chosen.items() if value != own[name] and name not in job["fixed"]}
    if first[1] and tuned["kept"]["smt"] != own_smt and "smt" not in job["fixed"]:
        values["smt"] = tuned["kept"]["smt"]
    return values


def engine_words(engine):
    engine = engine or {}
    return " build ".join(str(engine[key]) for key in ("version", "build") if engine.get(key))


def autotune_table(jobs, answers=None):
    """Return as text what would be searched, or with the module's answers what was found."""
    lines = table(["SERVICE", "POINTS", "WHAT"], [
        [job["service"], job["points"] or "-", "not searched: " + job["why_not"] if job["why_not"] else searched(job)]
        for job in jobs]) if answers is None else table(
            ["SERVICE", "VERDICT", "BEFORE", "AFTER (TOKENS/S)", "TRIALS", "VALUES"],
            [row(job, answer) for job, answer in zip(jobs, answers)])
    for job, answer in zip(jobs, answers or []):
        lines += ["%s: %s" % (job["service"], note) for note in notes(job, answer)]
    return "\n".join(lines)


def searched(job):
    space = job["space"]
    parts = ["threads on %d CPUs" % len(space["cpus"][0])]
    parts += ["with siblings on %d" % len(space["cpus"][1])] if space["cpus"][1] else []
    parts += ["NUMA policies %s" % ", ".join(sorted(space["numa"]))] if len(space["numa"]) > 1 else []
    parts += ["up to %d GPU layers" % space["gpu_layers"]] if space["gpu_layers"] else []
    text = "%s; prompts of %d tokens, %d generated" % (
        ", ".join(parts + ["batches"]), space["prompt_tokens"], space["generate_tokens"])
    return text + ("; set by the user: %s" % ", ".join(job["fixed"]) if job["fixed"] else "")


def row(job, answer):
    tuned = answer.get("tuned")
    if not tuned:
        return [job["service"], "not searched", "-", "-", "-", "-"]
    judged = tuned["verdict"] != UNKNOWN
    values = {name: value for name, value in tuned["kept"].items() if value != tuned["found"][name]}
    if tuned["context"] is not None:
        values["context"] = tuned["context"]
    speeds = [in_words(tuned[side] if judged else None) for side in ("before", "after")]
    return [job["service"], tuned["verdict"], *speeds, "%d of %d" % (tuned["trials"], tuned["points"]),
            ", ".join("%s %s" % pair for pair in values.items()) or "left as it was found"]


def notes(job, answer):
    """Return sentences on one service."""
    tuned = answer.get("tuned")
    if not tuned:
        return [str(job["why_not"] or answer.get("msg") or "it was not searched, without a word why.").strip()]
    found = ["not judged: %s" % tuned["why_not"]] if tuned["why_not"] else []
    found += ["cut: %s" % tuned["cut"]] if tuned["cut"] else []
    found += ["%d trials of an earlier run were known" % tuned["known"]] if tuned.get("known") else []
    found += ["context %s: %s tokens/s" % (context, in_words(speeds)) for context, speeds in tuned["contexts"].items()]
    swept = tuned["sweep"]
    if swept and swept["cut"]:
        found.append("the sweep was cut after %d of %d points: %s; a repeat goes on" % (
            swept["measured"], swept["points"], swept["cut"]))
    elif swept:
        words = "the sweep measured %d points, the search %d; the best has %s tokens/s, the search's %s, which takes " \
                "%s %% longer"
        found.append(words % (swept["measured"], tuned["trials"], swept["best_tokens_per_second"],
                              swept["winner_tokens_per_second"], swept["loss_percent"]))
    return found
