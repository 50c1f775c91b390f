# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was measured on a host, as a file that can be kept in git, by host and label."""

from __future__ import annotations

import hashlib
import json
import re

from ansible_collections.inference.host.plugins.module_utils.checks import kind
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.plan_table import table

VERSION = 1
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
OF_INSTANCE = (
    "runtime", "index", "unit", "model", "model_file", "threads", "threads_batch", "cpu_range", "numa_policy",
    "numa_range", "port", "parallel", "context", "batch", "ubatch", "cache_type", "gpu_layers", "gpus")
"""What a reader may want to see changed between two labels."""
SKIPPED = {"repeats": [], "summary": {}, "judged": False, "first_error": None, "state": None}


def check_label(label, variable="benchmark_label"):
    """Return a label that can name a file. Raises PlanError for another one."""
    if not isinstance(label, str) or not LABEL.match(label):
        raise PlanError("%s is %s; it must be letters, digits, ., _ and -, such as before." % (variable, kind(label)))
    return label


def result_file(folder, host, label, variable="benchmark_label"):
    """Return the path of a host's results on the controller. Raises PlanError for a label that cannot name a file."""
    return "%s/%s/%s.json" % (folder, host, check_label(label, variable))


def plan_part(plan):
    """Return the part of a plan that is kept: {"digest": of the whole plan, "services": [an instance each]}."""
    text = json.dumps(plan, sort_keys=True, separators=(",", ":"))
    return {
        "digest": hashlib.sha256(text.encode()).hexdigest()[:16],
        "services": [dict({key: instance.get(key) for key in OF_INSTANCE}, name=instance["service"])
                     for instance in plan["instances"]],
    }


def benchmark_result(plan, host, label, when, engines, jobs, answers):
    """Return the results of a host, as they are written.

    when: the time of the beginning, such as 2026-11-21T20:00:00Z. engines: {runtime: {"path", "version", "build"}}.
    jobs: of benchmark_jobs. answers: {"load": [...], "engine": [...]}, the results of the modules in the jobs' order;
    of one that failed or was skipped the run says why. Raises PlanError for a label that cannot name a file.
    """
    runs = []
    for level in ("load", "engine"):
        for job, answer in zip(jobs[level], answers[level]):
            runs += _runs(level, job, answer)
    return {
        "version": VERSION, "host": host, "label": check_label(label), "when": when, "plan": plan_part(plan),
        "engine": {runtime: _version(engine) for runtime, engine in engines.items() if engine.get("path")},
        "runs": runs,
    }


def _version(engine):
    parts = [str(engine[key]) for key in ("version", "build") if engine.get(key)]
    return " build ".join(parts) if len(parts) == 2 else "".join(parts) or "unknown"


def _runs(level, job, answer):
    runs = [answer["run"]] if answer.get("run") else answer.get("runs")
    if runs:
        return runs
    run = dict(SKIPPED, level="engine" if level == "engine" else "service", service=job["service"],
               shape=job["shape"]["name"], parameters={}, why_not=job["why_not"])
    if not job["why_not"]:
        # A message may end with lines of a unit's journal.
        said = " ".join(str(answer.get("msg") or "it was not measured, without a word why.").split())
        run.update(failed=True, why_not=("the connection was lost: " if answer.get("unreachable") else "") + said)
    return [run]


def read_result(text, where):
    """Return the results in a file's text. Raises PlanError for what is none of ours; where: its path."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise PlanError("%s holds no JSON; it must be a file that playbooks/benchmark.yml has "
                        "written." % where) from None
    if not isinstance(found, dict) or found.get("version") != VERSION or not isinstance(found.get("runs"), list):
        raise PlanError("%s holds no results of version %d; it must be a file that playbooks/benchmark.yml has "
                        "written." % (where, VERSION))
    for number_of, run in enumerate(found["runs"]):
        if not _is_run(run):
            raise PlanError("%s: runs[%d] is not as playbooks/benchmark.yml writes it." % (where, number_of))
    plan = found.get("plan")
    if not isinstance(found.get("engine"), dict) or not isinstance(plan, dict) or not all(
            isinstance(one, dict) and isinstance(one.get("name"), str) and isinstance(one.get("index"), int)
            for one in _list(plan.get("services"))):
        raise PlanError("%s: plan or engine is not as playbooks/benchmark.yml writes it." % where)
    return found


def _list(value):
    return value if isinstance(value, list) else [None]


def _is_run(run):
    return (isinstance(run, dict) and all(isinstance(run.get(key), str) for key in ("level", "service", "shape"))
            and isinstance(run.get("judged"), bool) and isinstance(run.get("parameters"), dict)
            and (run["judged"] or isinstance(run.get("why_not"), str))
            and all(isinstance(repeat, dict) for repeat in _list(run.get("repeats")))
            and isinstance(run.get("summary"), dict) and all(map(_is_spread, run["summary"].values())))


def _is_spread(found):
    return isinstance(found, dict) and all(
        isinstance(found.get(key), (int, float)) and not isinstance(found[key], bool) and abs(found[key]) < float("inf")
        for key in ("median", "low", "high", "n"))


def result_table(result):
    """Return the results of a host as text: a run a line, with median and spread."""
    rows = []
    for run in result["runs"]:
        # Of a run that is not judged no number is shown; the file has what was seen.
        summary = run["summary"] if run["judged"] else {}
        waited = summary.get("ttft_ms") or {}
        rows.append([run["service"], run["shape"], *(in_words(summary.get(name)) for name in (
            "tokens_per_second", "ttft_ms")), number(waited.get("p95")), *(in_words(summary.get(name)) for name in (
                "tpot_ms", "requests_per_second")), sum(repeat.get("errors", 0) for repeat in run["repeats"]),
            "ok" if run["judged"] else "not judged: %s" % run["why_not"]])
    return "\n".join(table(["SERVICE", "SHAPE", "TOKENS/S", "TTFT MS", "P95", "MS A TOKEN", "REQUESTS/S", "FAILED", ""],
                           rows))


def in_words(found):
    """Return a spread as text, such as `15.2 (15-15.6)`; `-` for none."""
    if not found:
        return "-"
    return "%s (%s-%s)" % tuple(number(found[key]) for key in ("median", "low", "high"))


def number(value):
    """Return a number as text; `-` for none."""
    return "-" if value is None else "%.6g" % value
