# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What autotune is to search on a host, service by service, and why not where it cannot."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.autotune_space import Space
from ansible_collections.inference.host.plugins.module_utils.checks import check_fields, integer
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.gpus import ALL_LAYERS
from ansible_collections.inference.host.plugins.module_utils.measured import (
    CHOSEN,
    for_of,
    own_values,
    set_by_user,
    siblings_of,
)
from ansible_collections.inference.host.plugins.module_utils.placement import home_nodes

LENGTHS = {"prompt_tokens": (512, integer(16, 1 << 20)), "generate_tokens": (128, integer(1, 1 << 20))}
VARIABLES = {key: "autotune_" + key for key in LENGTHS}


def autotune_jobs(plan, topology, services, prompt_tokens=512, generate_tokens=128, smt=False):
    """Return a job for each service: {"service", "instance" (its first), "nice", "space", "fixed": [names that the user
    has set], "own": the plan's own choice without what was measured, "for": what the answer will hold for, "points",
    "why_not"}.

    services: as the user wrote them. smt: topology_smt. why_not is one sentence, None for a job that can be done.
    Raises PlanError where the host has no services, and for lengths out of range.
    """
    lengths = check_fields("autotune", {"prompt_tokens": prompt_tokens, "generate_tokens": generate_tokens}, LENGTHS,
                           VARIABLES)
    if not plan["services"]:
        raise PlanError("inference_services is empty; there is nothing to tune.")
    wishes, jobs = {wish["name"]: wish for wish in services}, []
    for service in plan["services"]:
        instance = next(one for one in plan["instances"] if one["service"] == service["name"])
        job = {"service": service["name"], "instance": instance, "nice": service["nice"], "space": None, "fixed": [],
               "own": {}, "for": {}, "points": 0, "why_not": why_not(service, instance)}
        if not job["why_not"]:
            job["own"], job["for"] = own_values(instance), for_of(topology, instance)
            job["fixed"] = [name for name in set_by_user(wishes[service["name"]], smt) if name in CHOSEN]
            job["space"] = dict(space_of(topology, instance, job["own"], job["fixed"]), **lengths)
            job["points"] = len(Space(job["space"]).grid())
        jobs.append(job)
    return jobs


def why_not(service, instance):
    if service["runtime"] != "llama_cpp":
        return "llama-bench measures llama.cpp alone; the runtime is %s." % service["runtime"]
    if not instance["model_file"]:
        return "its model %s has no file; give model.source and model.sha256." % instance["model"]
    return None


def space_of(topology, instance, own, fixed):
    """Return the description of a Space without its lengths."""
    first, both = siblings_of(topology, instance)
    smt = len(instance["cpus"]) > len(first)
    found = dict({name: instance[name] for name in ("threads", "threads_batch", "batch", "ubatch", "gpu_layers")},
                 smt=smt, numa=instance["numa_policy"])
    layers = own["gpu_layers"]
    searchable = "gpu_layers" not in fixed and isinstance(layers, int) and 0 < layers < ALL_LAYERS
    if "smt" in fixed:
        first, both = (first, instance["cpus"]) if smt else (instance["cpus"], None)
    return {"found": found, "cpus": [first, both], "fixed": sorted(fixed),
            "numa": policies(topology, instance, own["numa"], fixed), "gpu_layers": layers if searchable else None}


def policies(topology, instance, own, fixed):
    """Return {policy: nodes} that the instance may have.

    It is never bound where the plan does not bind or spread it: its nodes may not hold it, and what is bound to a full
    node is killed.
    """
    homes = home_nodes(topology)
    here = {instance["numa_policy"]: instance["numa_nodes"]}
    if len(homes) < 2 or "numa" in fixed:
        return here
    found = {"none": sorted(node["id"] for node in topology["numa_nodes"]), "interleave": sorted(homes)}
    if own != "none":
        found["bind"] = instance["numa_nodes"] if instance["numa_policy"] == "bind" else nodes_of(topology, instance)
    return dict(found, **here)


def nodes_of(topology, instance):
    """Return the nodes that the instance's CPUs are of."""
    return sorted(node["id"] for node in topology["numa_nodes"] if set(node["cpus"]) & set(instance["cpus"]))
