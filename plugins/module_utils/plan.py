# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan: what the host is x what is wanted -> where everything goes, with a reason for each choice."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.advice import policy_warnings, service_warnings
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.gpus import check_gpu_sum, gpus_by_node, usable_gpus
from ansible_collections.inference.host.plugins.module_utils.hugepages import (
    pages_beside,
    plan_hugepages,
    reserved_before,
)
from ansible_collections.inference.host.plugins.module_utils.instance_finish import finish
from ansible_collections.inference.host.plugins.module_utils.instances import Placer, memory_parts
from ansible_collections.inference.host.plugins.module_utils.measured import fitting, with_measured, without_context
from ansible_collections.inference.host.plugins.module_utils.measured import place as place_measured
from ansible_collections.inference.host.plugins.module_utils.nginx_plan import plan_nginx
from ansible_collections.inference.host.plugins.module_utils.nodes import Nodes
from ansible_collections.inference.host.plugins.module_utils.nvidia import uuids_of
from ansible_collections.inference.host.plugins.module_utils.nvidia_advice import nvidia_warnings
from ansible_collections.inference.host.plugins.module_utils.placement import (
    check_topology,
    home_nodes,
    split_housekeeping,
    usable_cores,
    without_siblings,
)
from ansible_collections.inference.host.plugins.module_utils.service_units import (
    check_files,
    device_groups,
    planned_services,
)
from ansible_collections.inference.host.plugins.module_utils.services import check_policy, check_services
from ansible_collections.inference.host.plugins.module_utils.settings import check_wishes, idle_wishes, plan_settings
from ansible_collections.inference.host.plugins.module_utils.sizing import (
    Room,
    check_sum,
    count_instances,
    housekeeping_count,
    threads_wanted,
)


def make_plan(topology, services, policy=None, measured=None):
    """Return the plan of one host.

    topology: as module `topology` returns it. services: `inference_services`. policy: see POLICY_FIELDS in services.py.
    measured: `inference_measured`, which fills what the user did not set where it holds for this host; its instances
    have besides `measured`: {name: the value that the plan itself has chosen}.
    The answer is a dict:
      services: list of {name, runtime, nice, io, gpus, scheduling, oom_score, restart (with steps)}, highest priority
        first, else in the order given;
      instances: list in the same order of {name, service, index, unit, runtime, model, model_file, cpus, cpu_range,
        cpu_mask, numa_policy, numa_nodes, numa_range, threads, threads_batch, gpus (PCI addresses), gpu_layers, port,
        memory_mib: {weights, kv_cache, compute, prompt_cache} (RAM and GPUs together), host_memory_mib,
        gpu_memory_mib (on each of its GPUs), gpu_share (vLLM's part of each card), p2p (GPUs may copy to each other),
        p2p_verdict (see p2p.py; null for fewer than two GPUs),
        tensor_parallel (vLLM) and rank_cpus (vLLM on CPUs), hugepages_mib, environment, environment_file, command,
        config, config_file, image, container_port, health, prefix, load_mode, warm_up, allocator, memory_lock,
        open_files, tasks, arguments, context, parallel, batch, ubatch, cache_type, cache_ram_mib, reasons};
      device_groups: names for DeviceAllow= of units with GPUs;
      housekeeping_cpus, irq_cpus: sorted CPU ids, none kept on a small host;
      hugepages: {node id: {size in KiB: pages}}; nginx: {listen_port, workers, cpus, upstreams};
      settings: kernel settings (see settings.py); warnings: list of sentences.
    Pure: the same input gives the same output. Raises PlanError with one sentence for what is wrong or does not fit.
    """
    plan = plan_with(topology, services, policy, {}, None)
    if not measured:
        return plan
    checked = check_policy(policy)
    here = without_siblings(topology) if checked["settings"].get("cpu_smt") is False else topology
    entries, warnings = fitting(measured, plan, here, services, checked["smt"])
    plan, more = plan_measured(topology, services, policy, entries, plan)
    return dict(plan, warnings=plan["warnings"] + warnings + more)


def plan_measured(topology, services, policy, entries, own):
    """Return (the plan with entries of `inference_measured`, warnings): without their contexts where it does not hold
    them, which llama-bench measures for one user alone; else without all of them. own: the plan without them."""
    why = None
    for kept in (entries, without_context(entries)):
        try:
            plan = plan_with(topology, with_measured(services, kept), policy, kept, own) if kept else own
        except PlanError as error:
            why = why or error
            continue
        return plan, ["context of inference_measured is left out, since with it: %s" % why] if why else []
    return own, ["inference_measured is left out, since with it: %s" % why]


def plan_with(topology, services, policy, entries, own):
    """Return the plan with entries of `inference_measured` that hold here; own: the plan without them."""
    check_topology(topology)
    policy = check_policy(policy)
    policy["settings"] = check_wishes(policy["settings"], policy["smt"])
    if policy["settings"].get("cpu_smt") is False:
        topology = without_siblings(topology)
    # Sorting is stable: among equals the user's order holds.
    services = sorted(check_services(services), key=lambda service: -service["priority"])
    check_files(services, topology)

    gpus = usable_gpus(topology)
    cores = usable_cores(topology, policy["smt"])
    room = Room(topology, cores, policy["smt"], gpus_by_node(gpus))
    # One instance a node is one where services may have CPUs.
    homes = [node for node in home_nodes(topology) if node in room.total]
    counts = {service["name"]: count_instances(service, homes, len(gpus)) for service in services}
    check_gpu_sum(services, counts, gpus)

    kept, spare, kept_warning = housekeeping_count(policy["housekeeping_cores"], services, counts, room)
    housekeeping, free = split_housekeeping(topology, cores, kept, spare)
    room.keep(housekeeping)
    beside = pages_beside(services, counts, policy["settings"])
    reserved = reserved_before(topology, beside, policy["memory_headroom_mib"])
    nodes = Nodes(topology, free, policy["smt"], policy["memory_headroom_mib"], reserved)
    threads = threads_wanted(services, counts, room, nodes_holding(services, nodes))
    check_sum(services, counts, threads, room)

    placer = Placer(topology, nodes, gpus, policy)
    placed = place_all(placer, services, counts, threads, homes)
    for place, (instance, _gpus) in enumerate(placed):
        if instance["service"] in entries:
            place_measured(instance, entries[instance["service"]], topology, own["instances"][place])
    finish(placed, services, policy, bool(gpus), uuids_of(topology) if policy["gpu_ids"] == "uuid" else None)
    instances = [instance for instance, _gpus in placed]

    kept_cpus = sorted(cpu for core in housekeeping for cpu in core)
    hugepages = plan_hugepages(topology, instances, beside, policy["memory_headroom_mib"])
    settings = plan_settings(topology, policy["settings"], hugepages, kept_cpus)
    return {
        "services": planned_services(services, (topology.get("platform") or {}).get("systemd_version")),
        "instances": instances,
        "device_groups": device_groups(topology, services),
        "housekeeping_cpus": kept_cpus,
        "irq_cpus": kept_cpus,
        "hugepages": hugepages,
        "nginx": plan_nginx(instances, services, kept_cpus, len(housekeeping), policy),
        "settings": settings,
        "warnings": ([kept_warning] if kept_warning else []) + placer.warnings + service_warnings(services, threads)
        + policy_warnings(policy, services, counts, settings, kept_cpus)
        + idle_wishes(policy["settings"], hugepages, kept_cpus)
        + nvidia_warnings(topology, policy["settings"], settings, instances),
    }


def nodes_holding(services, nodes):
    """Return {service name: ids of the nodes whose memory holds one of its instances}."""
    return {service["name"]: nodes.holding_mib(sum(memory_parts(service).values()) + service["hugepages_mib"])
            for service in services}


def place_all(placer, services, counts, threads, homes):
    """Return (instance, its GPUs) pairs, service by service.

    Who needs a certain node is placed first, so that nobody who could go elsewhere takes it; within that by priority.
    """
    placed = {}
    for service in sorted(services, key=freedom):
        for index in range(counts[service["name"]]):
            home = homes[index] if service["instances"] == "per_numa_node" and homes else None
            placed[service["name"], index] = placer.place(service, index, *threads[service["name"]], home=home)
    return [placed[service["name"], index] for service in services for index in range(counts[service["name"]])]


def freedom(service):
    """0 for a service that needs certain nodes, 1 for one that goes where its GPUs are, 2 for one that needs any one
    node, 3 for one that takes what is left."""
    if isinstance(service["numa"], int) or service["instances"] == "per_numa_node":
        return 0
    if service["gpus"]:
        return 1
    return 2 if service["numa"] == "auto" else 3
