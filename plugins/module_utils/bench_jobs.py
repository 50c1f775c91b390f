# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is to be measured on a host: each shape on each service that can take it, and why not where one cannot."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.bench_shapes import in_words, shapes_of
from ansible_collections.inference.host.plugins.module_utils.bench_stream import url_parts
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.plan_table import COMPLETING, table

OVERHEAD_TOKENS = 16
"""A prompt is as long as its shape says only about."""


def benchmark_jobs(plan, shapes, url=None, queue=0):
    """Return {"load": [job], "engine": [job]}: what modules benchmark_load and benchmark_engine are to do.

    url: of the host's nginx; None is loopback. queue: nginx_queue, requests that wait at each instance. A job of a load
    has "service", "url", "shape", "instances" and "why_not", one of an engine "service", "instance" (the service's
    first), "nice", "shape" and "why_not". why_not is one sentence, None for a job that can be done. Raises ValueError
    where the host has nothing to measure, for a url that is none, and as shapes_of.
    """
    wanted = shapes_of(shapes)
    services = [service for service in plan["services"] if service["runtime"] in COMPLETING]
    if not services:
        raise PlanError("inference_services has no service of runtime %s; others take no prompt, so that there is "
                        "nothing to measure." % " or ".join(COMPLETING))
    if url:
        url_parts(url, "benchmark_url")
    base = (url or "http://127.0.0.1:%d" % plan["nginx"]["listen_port"]).rstrip("/")
    jobs = {"load": [], "engine": []}
    for service in services:
        instances = [one for one in plan["instances"] if one["service"] == service["name"]]
        for shape in wanted:
            if shape["level"] == "engine":
                jobs["engine"].append({
                    "service": service["name"], "instance": instances[0], "nice": service["nice"], "shape": shape,
                    "why_not": _no_engine(service)})
            else:
                jobs["load"].append({
                    "service": service["name"], "url": "%s/%s" % (base, service["name"]), "shape": shape,
                    "instances": [{key: one[key] for key in ("name", "unit", "cpus")} for one in instances],
                    "why_not": _no_load(shape, instances, queue)})
    return jobs


def _no_engine(service):
    if service["runtime"] != "llama_cpp":
        return "llama-bench measures llama.cpp alone; the runtime is %s." % service["runtime"]
    return None


def _no_load(shape, instances, queue):
    slots, context = sum(one["parallel"] for one in instances), min(one["context"] for one in instances)
    most = slots + queue * len(instances)
    if shape["needs_slots"] > slots:
        return "it needs %d slots, and the service has %d (parallel x instances)." % (shape["needs_slots"], slots)
    if shape["users"] > most:
        return "it needs %d requests at the same time, and nginx refuses what is above %d; raise parallel or " \
               "nginx_queue." % (shape["users"], most)
    needed = shape["prompt_tokens"] + shape["max_tokens"] + OVERHEAD_TOKENS
    if needed > context:
        return "it needs %d tokens of context, and the service has %d." % (needed, context)
    return None


def jobs_table(jobs):
    """Return as text what would be measured, with the longest time of each, and what would not be."""
    rows = [[job["service"], job["shape"]["name"], "-" if job["why_not"] else "%d" % job["shape"]["limit_seconds"],
             "not measured: " + job["why_not"] if job["why_not"] else in_words(job["shape"])]
            for level in ("load", "engine") for job in jobs[level]]
    return "\n".join(table(["SERVICE", "SHAPE", "AT MOST S", "WHAT"], rows))
