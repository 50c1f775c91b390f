"""Fleets for the report, as the other playbooks write them: plans and pictures are real, results are made up.

    fleet_files(hosts({"gpu1": topology(...)}))
"""

from __future__ import annotations

import itertools
import json
import random

from ansible_collections.inference.host.plugins.module_utils.json_text import json_text
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from ansible_collections.inference.host.plugins.module_utils.plan_svg import plan_svg
from ansible_collections.inference.host.plugins.module_utils.tunables_host import label
from ansible_collections.inference.host.plugins.module_utils.verify_report import verify_report
from plan_topologies import model, service, topology

WHEN = "2026-11-21 20:00 UTC"
METRICS = {"tokens_per_second": ("tokens/s", "more"), "ttft_ms": ("ms", "less"), "tpot_ms": ("ms", "less"),
           "requests_per_second": ("requests/s", "more")}
GROWTH = {"more": 1.2, "less": 0.8}


def file(value):
    """A file as the lookup gives it: its text, and when it was written."""
    return {"text": value if isinstance(value, str) else json_text(value), "modified": WHEN}


def row(host, area, setting, status="ok", **other):
    """A row as verify.json has it."""
    return dict({"host": host, "area": area, "setting": setting, "wanted": "as written", "found": "as written",
                 "persisted": "yes", "status": status, "note": "-"}, **other)


def rows_of(host, plan, cpus):
    """The rows of a host that is as planned: a row a CPU where the plan names all of them, as verify has it."""
    answer = []
    for setting in plan["settings"]:
        names = [label(setting).replace("*", str(cpu)) for cpu in range(cpus)] if "*" in label(setting) \
            else [label(setting)]
        status = "ok" if setting["applies"] else "not_applicable"
        wanted = setting["value"].replace("\n", " ")
        answer += [row(host, setting["role"], name, status, wanted=wanted, found=wanted,
                       note=setting["why_not"] or "-") for name in names]
    for instance in plan["instances"]:
        answer += [row(host, "service", instance["unit"], wanted="active", found="active"),
                   row(host, "service", instance["unit"] + " CPUs", wanted=instance["cpu_range"],
                       found=instance["cpu_range"]),
                   row(host, "service", "/etc/systemd/system/" + instance["unit"])]
    for name in sorted({instance["model"] for instance in plan["instances"] if instance["model"]}):
        answer.append(row(host, "model", name, wanted="a5fd3b62230aa5ec", found="a5fd3b62230aa5ec"))
    return [*answer, row(host, "runtime", "llama.cpp", wanted="there", found="/opt/llama-server build 11312"),
            row(host, "nginx", "nginx.service", wanted="active", found="active")]


def metric(median, spread=0.03, unit="tokens/s", better="more", n=5):
    return {"median": median, "low": round(median * (1 - spread), 4), "high": round(median * (1 + spread), 4), "n": n,
            "unit": unit, "better": better}


def run(service_name="chat", shape="throughput-b4-p512", level="service", judged=True, why_not=None, **summary):
    return {"level": level, "service": service_name, "shape": shape, "parameters": {}, "repeats": [],
            "summary": summary, "judged": judged, "why_not": why_not, "state": {}}


def benchmark(label_of_it, *runs, when="2026-11-20T10:00:00Z", host="gpu1"):
    return {"version": 1, "host": host, "label": label_of_it, "when": when, "plan": {}, "runs": list(runs),
            "engine": {"llama_cpp": "11312"}}


def benchmark_file(host, value):
    return dict(file(value), host=host, label=value["label"])


def large_host(number):
    """A host of two nodes with 2 x 32 cores, SMT and a GPU a node; each has its own numbers."""
    gpus = [{"address": "0000:%02x:00.0" % (16 + card), "vendor": "0x10de", "numa_node": card,
             "nvidia": {"name": "NVIDIA L40S", "memory_mib": 46068}} for card in range(2)]
    host = topology(sockets=2, cores=32, threads=2, memory_mib=257000 + number, nvme=2, driver="intel_pstate",
                    gpus=gpus)
    services = [
        service("chat", instances=2, threads=8 + number % 4, model=model("gemma-3-27b", weights_mib=16000 + number)),
        service("embed", threads=2 + number % 3, model=model("bge-m3", weights_mib=1200)),
        service("whisper", threads=6, model=model("large-v3-turbo", weights_mib=1600))]
    return host, make_plan(host, services)


def large_fleet(count, labels=("before", "after", "december"), sizes=4, growth=None):
    """The files of `count` hosts that all differ, each read back and measured three times, three services in `sizes`
    shapes. growth: factor from one time to the next, by what is better."""
    growth = growth or GROWTH
    dice, plans, rows, benchmarks = random.Random(8), {}, [], []
    for number in range(count):
        name = "gpu%03d.example.org" % number
        host, plan = large_host(number)
        plans[name] = {"plan": file(plan), "picture": file(plan_svg(host, plan, name))}
        mine = rows_of(name, plan, 128)
        for wrong in dice.sample(mine, number % 3):
            wrong.update(status="drift", found="60", note="it holds only until the next boot")
        rows += mine
        for place, label_of_it in enumerate(labels):
            runs = []
            for service_name, size in itertools.product(("chat", "embed", "whisper"), range(sizes)):
                runs.append(run(service_name, "throughput-b%d-p512" % (2 ** size), **{
                    name_of_it: metric((number + 40) * dice.uniform(0.99, 1.01) * growth[better] ** place, unit=unit,
                                       better=better) for name_of_it, (unit, better) in METRICS.items()}))
            value = benchmark(label_of_it, *runs, when="2026-11-2%dT10:00:00Z" % place, host=name)
            benchmarks.append(benchmark_file(name, value))
    return {"plans": plans, "verify": file(verify_report(json.loads(json.dumps(rows)))), "benchmarks": benchmarks}
