# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan: what the host is x what is wanted -> where everything goes, with a reason for each choice."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.cpulist import format_cpu_list, format_cpu_mask
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.placement import (
    Nodes,
    check_sum,
    choose_nodes,
    default_housekeeping,
    service_limit,
    split_housekeeping,
    threads_wanted,
    usable_cores,
)
from ansible_collections.inference.host.plugins.module_utils.release import release_file
from ansible_collections.inference.host.plugins.module_utils.services import check_policy, check_services
from ansible_collections.inference.host.plugins.module_utils.settings import plan_settings

COMPUTE_MIB = 512
"""Room for an engine's compute buffers and code. A convention until the model's header is read."""


def make_plan(topology, services, policy=None):
    """Return the plan of one host.

    topology: as module `topology` returns it. services: `inference_services`. policy: see POLICY_FIELDS in services.py.
    The answer is a dict:
      services: list of {name, runtime, environment, nice}, in the order given;
      instances: list of {name, service, index, unit, runtime, model, model_file, cpus, cpu_range, cpu_mask,
        numa_policy, numa_nodes, numa_range, threads, threads_batch, port,
        memory_mib: {weights, kv_cache, compute, prompt_cache}, arguments, context, parallel, batch, ubatch,
        cache_type, cache_ram_mib, reasons}, service by service;
      housekeeping_cpus: sorted CPU ids; nginx: {listen_port, workers, cpus, upstreams};
      settings: kernel settings (see settings.py); warnings: list of sentences.
    Pure: the same input gives the same output. Raises PlanError with one sentence for what is wrong or does not fit.
    """
    services = check_services(services)
    policy = check_policy(policy)
    cores = usable_cores(topology)
    kept = policy["housekeeping_cores"]
    if kept is None:
        kept = default_housekeeping(len(cores))
    housekeeping, free = split_housekeeping(cores, kept)
    threads = threads_wanted(services, len(cores), len(free))
    check_sum(services, threads, len(housekeeping), len(cores))

    nodes = Nodes(topology, free, service_limit(topology, "memory_limit_mib"), policy["memory_headroom_mib"])
    placed = {}
    # Sorting is stable: among equals the user's order holds.
    for service in sorted(services, key=lambda service: -service["priority"]):
        for index in range(service["instances"]):
            placed[service["name"], index] = place_instance(nodes, service, index, *threads[service["name"]])
    instances = [placed[service["name"], index] for service in services for index in range(service["instances"])]
    give_ports(instances, services, policy)

    settings, warnings = plan_settings(topology, policy["settings"])
    kept_cpus = sorted(cpu for core in housekeeping for cpu in core)
    return {
        "services": [{key: service[key] for key in ("name", "runtime", "environment", "nice")} for service in services],
        "instances": instances,
        "housekeeping_cpus": kept_cpus,
        "nginx": plan_nginx(instances, services, kept_cpus, len(housekeeping), policy["listen_port"]),
        "settings": settings,
        "warnings": warnings,
    }


def instance_memory(service):
    """MiB that one instance needs, by part. Weights and KV cache count only where the model's numbers are known."""
    per_token = service["model"]["kv_bytes_per_token"] or 0
    cache_bytes = per_token * service["context"] * service["parallel"]
    return {
        "weights": service["model"]["weights_mib"] or 0,
        "kv_cache": -(-cache_bytes // (1 << 20)),
        "compute": COMPUTE_MIB,
        "prompt_cache": service["cache_ram_mib"],
    }


def place_instance(nodes, service, index, threads, threads_reason):
    """Take the instance's share of `nodes` and return the instance, still without a port."""
    name = "%s-%d" % (service["name"], index)
    if (service["threads_batch"] or 0) > threads:
        raise PlanError("%s: threads_batch is %d; it must be at most threads (%d), which are the CPUs it has." % (
            name, service["threads_batch"], threads))
    memory = instance_memory(service)
    needed = sum(memory.values())
    if needed > nodes.left_mib:
        raise PlanError(
            "%s needs %d MiB (weights %d + KV cache %d + compute %d + prompt cache %d); "
            "the host has %d MiB left of %d; "
            "choose a smaller model, context, parallel, cache_ram_mib or fewer instances."
            % (name, needed, memory["weights"], memory["kv_cache"], memory["compute"], memory["prompt_cache"],
               max(0, nodes.left_mib), nodes.total_mib))
    numa_policy, chosen, numa_reason = choose_nodes(nodes, service, name, threads, needed)
    taken = nodes.take(chosen, threads, needed)
    if len(taken) < threads:
        raise PlanError("%s needs %d free physical cores on NUMA node(s) %s; %d are left." % (
            name, threads, format_cpu_list(chosen), len(taken)))
    cpus = sorted(core[0] for core in taken)
    copied = ("runtime", "arguments", "context", "parallel", "batch", "ubatch", "cache_type", "cache_ram_mib")
    instance = {key: service[key] for key in copied}
    instance.update({
        "name": name,
        "service": service["name"],
        "index": index,
        "unit": "inference-%s@%d.service" % (service["name"], index),
        "model": service["model"]["name"],
        "model_file": release_file(service["model"]),
        "cpus": cpus,
        "cpu_range": format_cpu_list(cpus),
        "cpu_mask": format_cpu_mask(cpus),
        "numa_policy": numa_policy,
        "numa_nodes": chosen,
        "numa_range": format_cpu_list(chosen),
        "threads": threads,
        "threads_batch": service["threads_batch"] or threads,
        "memory_mib": memory,
        "reasons": {
            "threads": threads_reason,
            "cpus": "first thread of each of %d physical cores of its own" % threads,
            "numa": numa_reason,
        },
    })
    return instance


def give_ports(instances, services, policy):
    """Set each instance's port: the service's own port counting up, else the next free one from `first_port`.

    Raises PlanError when two instances, or an instance and nginx, would listen on the same port.
    """
    own = {service["name"]: service["port"] for service in services if service["port"]}
    taken = {policy["listen_port"]: "nginx (nginx_listen_port)"}

    def give(instance, port, reason):
        if port > 65535:
            raise PlanError("%s: port is %d; ports end at 65535." % (instance["name"], port))
        if port in taken:
            raise PlanError("%s: port %d is already used by %s; give one of them another port." % (
                instance["name"], port, taken[port]))
        taken[port] = instance["name"]
        instance["port"] = port
        instance["reasons"]["port"] = reason

    for instance in instances:
        if instance["service"] in own:
            give(instance, own[instance["service"]] + instance["index"], "port was set by the user")
    port = policy["first_port"]
    for instance in instances:
        if instance["service"] not in own:
            while port in taken:
                port += 1
            give(instance, port, "next free port from topology_first_port")


def plan_nginx(instances, services, kept_cpus, kept_cores, listen_port):
    """One worker a housekeeping core, at least one; one upstream a service. The first service also answers at /."""
    upstreams = [{
        "service": service["name"],
        "servers": [{"address": "127.0.0.1", "port": instance["port"], "max_conns": instance["parallel"]}
                    for instance in instances if instance["service"] == service["name"]],
    } for service in services]
    return {"listen_port": listen_port, "workers": max(1, kept_cores), "cpus": kept_cpus, "upstreams": upstreams}
