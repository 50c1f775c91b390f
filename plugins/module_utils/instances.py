# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""One instance of the plan: its GPUs, memory, NUMA nodes, CPUs and port, each with its reason."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.cpulist import format_cpu_list, format_cpu_mask
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.gpu_memory import check_known, memory_warnings, room_mib
from ansible_collections.inference.host.plugins.module_utils.gpu_memory import memory_reason as gpu_memory_reason
from ansible_collections.inference.host.plugins.module_utils.gpus import check_whole_model, fit_layers
from ansible_collections.inference.host.plugins.module_utils.model_memory import instance_memory
from ansible_collections.inference.host.plugins.module_utils.nodes import choose_nodes
from ansible_collections.inference.host.plugins.module_utils.p2p import (
    TRUSTED,
    p2p_pairs,
    p2p_verdict,
    p2p_warnings,
)
from ansible_collections.inference.host.plugins.module_utils.p2p_groups import group_reason, take_group
from ansible_collections.inference.host.plugins.module_utils.release import release_file
from ansible_collections.inference.host.plugins.module_utils.service_runtimes import has_file
from ansible_collections.inference.host.plugins.module_utils.vllm_parts import (
    gpu_share,
    in_whole_gib,
    rank_cpus,
    ranks_of,
)

COPIED = ("runtime", "arguments", "context", "parallel", "batch", "ubatch", "cache_type", "cache_ram_mib",
          "hugepages_mib", "image", "container_port", "health", "prefix", "load_mode", "warm_up", "allocator",
          "memory_lock", "open_files", "tasks")
VLLM_CACHE_MIB = 4096
"""vLLM's own default for its KV cache on CPUs, where the model's numbers are not known."""


def memory_parts(service):
    """Return MiB that one instance needs, by part: weights, kv_cache, compute and prompt_cache.

    Raises PlanError for a header that is none, and for a cache type that does not fit the model.
    """
    try:
        parts = instance_memory(service["model"], service["context"], service["parallel"], service["cache_type"],
                                service["ubatch"], service["cache_ram_mib"])
    except PlanError as error:
        raise PlanError("%s: %s" % (service["name"], error)) from None
    if service["runtime"] == "vllm" and not service["gpus"]:
        parts["kv_cache"] = parts["kv_cache"] or VLLM_CACHE_MIB
        in_whole_gib(parts, service["tensor_parallel"] or 1)
    return parts


class Placer:
    """Places instances one after the other on what is left of a host; `warnings` collects what a person should know."""

    def __init__(self, topology, nodes, gpus, policy):
        """nodes: nodes.Nodes. gpus: usable GPUs in PCI order. policy: as check_policy returns it."""
        self.nodes = nodes
        self.gpus = list(gpus)
        self.pairs = p2p_pairs(topology) if len(gpus) > 1 else []
        self.problem = (topology.get("nvidia") or {}).get("problem")
        self.policy = policy
        self.warnings = []

    def place(self, service, index, threads, threads_reason, home=None):
        """Return the instance, still without a port and environment. home: the node that it must have, or None."""
        name = "%s-%d" % (service["name"], index)
        if (service["threads_batch"] or 0) > threads:
            raise PlanError("%s: threads_batch is %d; it must be at most threads (%d), which are the CPUs it has." % (
                name, service["threads_batch"], threads))
        reasons = {"threads": threads_reason}
        memory = memory_parts(service)
        numa = service["numa"] if home is None else home
        gpus = take_group(self.gpus, service["gpus"], numa, self.pairs)
        gpu_layers, host_mib, gpu_mib = self._split_memory(service, name, memory, gpus, reasons)
        needed = host_mib + service["hugepages_mib"]
        self._check_memory(name, memory, needed, service["hugepages_mib"], gpu_mib)
        numa_policy, chosen, threads_from = self._choose(service, name, threads, needed, gpus, home, reasons)
        ranks = ranks_of(service, numa_policy, threads_from) if service["runtime"] == "vllm" else None
        if ranks and not gpus:
            if ranks > threads:
                raise PlanError("%s: tensor_parallel is %d; it must be at most threads (%d)." % (name, ranks, threads))
            needed += in_whole_gib(memory, ranks)
        cpus = self.nodes.take(threads_from, threads, needed)
        if len(cpus) < threads:
            raise PlanError("%s needs %d CPUs of whole cores on NUMA node(s) %s; %d are left; lower %s." % (
                name, threads, format_cpu_list(threads_from), len(cpus),
                "threads, or set numa: off" if len(threads_from) < len(self.nodes.order) else "threads or instances"))
        reasons["cpus"] = self._cpus_reason(threads)
        reasons["memory"] = memory_reason(service, memory, host_mib, gpu_mib, len(gpus))
        if service["profile"]:
            reasons["profile"] = "profile: %s was set by the user; what the service sets itself wins" % (
                service["profile"])
        verdict = self._p2p(service, name, gpus, reasons)
        model = service["model"]
        instance = {key: service[key] for key in COPIED}
        instance.update({
            "name": name,
            "service": service["name"],
            "index": index,
            "unit": "inference-%s@%d.service" % (service["name"], index),
            "model": model["name"],
            "model_file": release_file(model) if has_file(model) else None,
            "cpus": cpus,
            "cpu_range": format_cpu_list(cpus),
            "cpu_mask": format_cpu_mask(cpus),
            "numa_policy": numa_policy,
            "numa_nodes": sorted(chosen),
            "numa_range": format_cpu_list(chosen),
            "threads": threads,
            "threads_batch": service["threads_batch"] or threads,
            "gpus": [gpu["address"] for gpu in gpus],
            "gpu_indexes": [gpu["index"] for gpu in gpus],
            "gpu_layers": gpu_layers,
            "gpu_share": gpu_share(service, gpus, self.policy) if service["runtime"] == "vllm" else None,
            "p2p": verdict in TRUSTED,
            "p2p_verdict": verdict,
            "tensor_parallel": ranks,
            "memory_mib": memory,
            "host_memory_mib": needed,
            "gpu_memory_mib": gpu_mib,
            "reasons": reasons,
        })
        if ranks and not gpus:
            instance["rank_cpus"] = rank_cpus(cpus, ranks, self.nodes)
        return instance, gpus

    def _p2p(self, service, name, gpus, reasons):
        """Return the verdict on copies between the instance's GPUs, None for fewer than two; sets reasons["p2p"]."""
        verdict = None
        if len(gpus) > 1:
            verdict, reasons["p2p"] = p2p_verdict(self.pairs, [gpu["address"] for gpu in gpus])
        self.warnings += p2p_warnings(service, name, verdict)
        return verdict

    def _split_memory(self, service, name, memory, gpus, reasons):
        """Return (gpu_layers or None, MiB in RAM, MiB on each GPU)."""
        whole = sum(memory.values())
        if not gpus:
            return None, whole, 0
        room = room_mib(service, memory["compute"], gpus, self.policy)
        check_known(service, name, room, gpus, self.problem)
        reasons["gpu_memory"] = gpu_memory_reason(service, gpus, self.policy)
        self.warnings += memory_warnings(name, gpus, self.policy)
        if service["runtime"] == "llama_cpp":
            layers, on_gpus, both, reasons["gpu_layers"], warning = fit_layers(service, name, memory, room)
            self.warnings += [warning] if warning else []
        else:
            check_whole_model(name, memory, room)
            layers, on_gpus, both = None, memory["weights"] + memory["kv_cache"], 0
        reasons["gpus"] = ", ".join("%s (%s)" % (gpu["address"], near(gpu)) for gpu in gpus) + group_reason(
            self.pairs, gpus)
        each = -(-round(on_gpus) // len(gpus)) + memory["compute"] if on_gpus else 0
        return layers, max(0, whole - round(on_gpus - both)), each

    def _check_memory(self, name, memory, needed, hugepages_mib, gpu_mib):
        if needed <= self.nodes.left_mib:
            return
        raise PlanError(
            "%s needs %d MiB (weights %d + KV cache %d + compute %d + prompt cache %d%s%s); the host has %d MiB "
            "left of %d; choose a smaller model, context, parallel, cache_ram_mib or fewer instances." % (
                name, needed, memory["weights"], memory["kv_cache"], memory["compute"], memory["prompt_cache"],
                " + huge pages %d" % hugepages_mib if hugepages_mib else "",
                ", of which a part lies on its GPUs" if gpu_mib else "", max(0, self.nodes.left_mib),
                self.nodes.total_mib))

    def _choose(self, service, name, threads, needed, gpus, home, reasons):
        """Return (policy, NUMA nodes of the policy, nodes that the CPUs come from); sets reasons["numa"]."""
        numa = service["numa"] if home is None else home
        if gpus and numa not in ("interleave", "off") and len(self.nodes.order) > 1:
            return self._choose_near(numa, name, threads, needed, gpus, reasons, home is not None)
        policy, chosen, reasons["numa"], warning = choose_nodes(
            self.nodes, numa, name, threads, needed, home is not None)
        if warning:
            self.warnings.append(warning + self._smaller(service, needed))
        return policy, chosen, chosen

    def _smaller(self, service, needed):
        """Advice for an instance that was spread although the plan chose its threads."""
        fitting = self.nodes.holding_mib(needed)
        best = max(fitting, key=self.nodes.free, default=None)
        if service["threads"] or service["cpu_share"] or best is None or not self.nodes.free(best):
            return ""
        return " With threads: %d it is bound to node %d." % (self.nodes.free(best), best)

    def _choose_near(self, numa, name, threads, needed, gpus, reasons, one_a_node):
        """The nodes of an instance with GPUs: theirs, where it is known and has room, else no binding."""
        near_nodes = sorted({gpu["numa_node"] for gpu in gpus if gpu["numa_node"] is not None})
        known = all(gpu["numa_node"] is not None for gpu in gpus)
        if isinstance(numa, int):
            if set(near_nodes) - {numa}:
                where = format_cpu_list(near_nodes)
                if one_a_node:
                    raise PlanError("%s: instances is per_numa_node and the GPUs left for node %d are at node(s) %s; "
                                    "set instances: per_gpu, or a number." % (name, numa, where))
                raise PlanError("%s: numa is %d and its GPUs are at node(s) %s; leave numa at auto, or set it to "
                                "off." % (name, numa, where))
            policy, chosen, reasons["numa"], _none = choose_nodes(self.nodes, numa, name, threads, needed, one_a_node)
            return policy, chosen, chosen
        if not known:
            return self._unbound(name, threads, needed, reasons, "the NUMA node of its GPU is not known")
        here = (sum(map(self.nodes.free, near_nodes)) >= threads
                and sum(self.nodes.memory_mib[node] for node in near_nodes) >= needed)
        if not here or not set(near_nodes) <= set(self.nodes.homes):
            return self._unbound(name, threads, needed, reasons, "node(s) %s of its GPUs have less free than %d CPUs "
                                 "and %d MiB" % (format_cpu_list(near_nodes), threads, needed))
        if len(near_nodes) == 1:
            reasons["numa"] = "node %d is its GPU's own" % near_nodes[0]
            return "bind", near_nodes, near_nodes
        reasons["numa"] = "its GPUs are at nodes %s" % format_cpu_list(near_nodes)
        return "interleave", near_nodes, near_nodes

    def _unbound(self, name, threads, needed, reasons, why):
        """CPUs of as few nodes as hold the instance, without binding it to them."""
        reasons["numa"] = why + ": not bound"
        self.warnings.append("%s is not bound to a NUMA node: %s." % (name, why))
        return "none", list(self.nodes.order), self.nodes.holding(threads, needed) or list(self.nodes.order)

    def _cpus_reason(self, threads):
        if self.policy["smt"]:
            return "%d hardware threads of whole cores of its own (topology_smt)" % threads
        return "first thread of each of %d physical cores of its own" % threads


def near(gpu):
    return "NUMA node not known" if gpu["numa_node"] is None else "node %d" % gpu["numa_node"]


def memory_reason(service, memory, host_mib, gpu_mib, gpu_count):
    """Return the sum in words, and where its parts come from."""
    model = service["model"]
    origin = "the model's header" if model["header"] else "no numbers"
    origin = "numbers in the service" if model["weights_mib"] else origin
    text = "weights %d + KV cache %d + compute %d + prompt cache %d MiB by %s" % (
        memory["weights"], memory["kv_cache"], memory["compute"], memory["prompt_cache"], origin)
    if not gpu_count:
        return text
    return text + "; %d MiB in RAM, %d MiB on each of %d GPU(s)" % (host_mib, gpu_mib, gpu_count)
