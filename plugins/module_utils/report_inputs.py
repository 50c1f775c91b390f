# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the files of a report say, in one shape: what is missing, strange or broken in them is said, and stops nothing.

After this every value is a text, a number or None of a known place, so that what follows need not doubt it.
"""

from __future__ import annotations

import json

from ansible_collections.inference.host.plugins.module_utils.cpulist import format_cpu_list
from ansible_collections.inference.host.plugins.module_utils.report_benchmarks import read_benchmark
from ansible_collections.inference.host.plugins.module_utils.report_values import mapping, number, sequence, text
from ansible_collections.inference.host.plugins.module_utils.tunables_host import label
from ansible_collections.inference.host.plugins.module_utils.verify_report import COLUMNS as ROW_COLUMNS
from ansible_collections.inference.host.plugins.module_utils.verify_rows import STATUSES

PAIR = ("gpus", "path", "link", "driver_says", "verdict", "reason")


def read_inputs(files, hosts=()):
    """Return (hosts, notes): the hosts of a report by name, and sentences on what concerns all of them.

    files: {"plans": {host: {"plan": file, "picture": file}}, "verify": file, "benchmarks": [file]}, these with "host"
    and "label".
    A file is {"text", "modified"}, or {"fault"} where it cannot be read; any of them may be missing. hosts: names of
    hosts that are listed also where nothing is known of them.

    A host is {"name", "plan", "picture", "rows", "p2p", "benchmarks", "faults"}: the plan and the rows are None where
    there are none; faults are sentences.
    """
    found = {}

    def host(name):
        return found.setdefault(text(name), {"name": text(name), "plan": None, "picture": None, "rows": None, "p2p": [],
                                             "benchmarks": [], "faults": []})

    for name in hosts:
        host(name)
    for name, pair in mapping(files.get("plans")).items():
        one, pair = host(name), mapping(pair)
        one["plan"] = _plan(_parsed(pair.get("plan"), "plan.json", one["faults"]), one["faults"])
        one["picture"] = _content(pair.get("picture"), "plan.svg", one["faults"])
    notes = []
    verify = _parsed(files.get("verify"), "verify.json", notes)
    if verify is not None and not isinstance(mapping(verify).get("hosts"), list):
        notes.append("verify.json holds no comparison")
    for part in sequence(mapping(verify).get("hosts")):
        if isinstance(part, dict) and part.get("host"):
            one = host(part["host"])
            # A host that was compared has a row at least.
            one["rows"] = [_row(row) for row in sequence(part.get("rows")) if isinstance(row, dict)] or None
            one["p2p"] = [{key: text(pair.get(key)) for key in PAIR} for pair in sequence(part.get("p2p"))
                          if isinstance(pair, dict)]
    for file in sequence(files.get("benchmarks")):
        file = mapping(file)
        one, what = host(file.get("host")), "the benchmark %s.json" % text(file.get("label"))
        parsed = _parsed(file, what, one["faults"])
        benchmark = read_benchmark(parsed, text(file.get("label")))
        if benchmark:
            one["benchmarks"].append(benchmark)
        elif parsed is not None:
            one["faults"].append("%s holds no results of a benchmark" % what)
    for one in found.values():
        # Those of one day, too, in the order in which they were measured.
        one["benchmarks"].sort(key=lambda benchmark: (benchmark["when"], benchmark["label"]))
    return [found[name] for name in sorted(found)], notes


def written(files):
    """Return when the newest plan and the comparison with the plans were written, as texts: {"plans", "verify"}."""
    plans = [text(mapping(file).get("modified")) for pair in mapping(files.get("plans")).values()
             for file in mapping(pair).values() if mapping(file).get("modified")]
    return {"plans": max(plans, default=""), "verify": text(mapping(files.get("verify")).get("modified") or "")}


def _content(file, what, faults):
    """Return a file's text, or None; why it could not be read becomes a fault."""
    file = mapping(file)
    if file.get("fault"):
        faults.append("%s %s" % (what, text(file["fault"])))
    return file["text"] if isinstance(file.get("text"), str) else None


def _parsed(file, what, faults):
    """Return a JSON file's value, or None."""
    content = _content(file, what, faults)
    if content is None:
        return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        faults.append("%s is no JSON" % what)
        return None


def _plan(value, faults):
    """Return {"instances", "settings", "warnings", "housekeeping"} of a plan, or None for what is no plan."""
    if value is None:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("instances"), list):
        faults.append("plan.json holds no plan")
        return None
    return {"instances": [_instance(one) for one in value["instances"] if isinstance(one, dict)],
            "settings": [_setting(one) for one in sequence(value.get("settings")) if isinstance(one, dict)],
            "warnings": [text(one) for one in sequence(value.get("warnings"))],
            "housekeeping": _cpus(value.get("housekeeping_cpus"))}


def _cpus(value):
    """Return CPU ids as a list for people; what is none as it is."""
    try:
        return format_cpu_list(value)
    except (TypeError, ValueError):
        return text(value)


def _instance(one):
    fields = ("name", "service", "runtime", "model", "model_file", "cpu_range", "numa_policy", "numa_range", "threads",
              "threads_batch", "gpus", "gpu_layers", "port", "context", "parallel")
    answer = {field: text(one.get(field)) for field in fields}
    answer["host_memory_mib"] = number(one.get("host_memory_mib"))
    answer["reasons"] = {text(key): text(reason) for key, reason in mapping(one.get("reasons")).items()}
    return answer


def _setting(one):
    fields = ("role", "name", "kind", "path", "value", "reason", "evidence", "why_not")
    answer = {field: text(one.get(field)) for field in fields}
    answer["applies"] = one.get("applies") is not False
    answer["label"] = label(answer) or answer["name"]
    return answer


def _row(one):
    answer = {column: text(one.get(column)) for column in ROW_COLUMNS}
    if answer["status"] not in STATUSES:
        answer["status"] = "refused"
    return answer
