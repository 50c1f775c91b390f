# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which GPUs an instance gets, and how many of a model's layers fit them."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.nvidia import cards_of

MIB = 1 << 20
NO_HEAD = 16
"""What is so many times smaller than the token embedding is no head, in whatever type it may be stored."""
ALL_LAYERS = 999
"""More layers than any model has: what is asked of an engine when the number is not known and everything fits."""


def usable_gpus(topology):
    """Return NVIDIA's GPUs in PCI order: {address, numa_node or None, memory_mib or None, display, told, index in that
    order}. display: whether the card is known to drive one; told: what nvidia-smi says of it.

    Other controllers (a server's display chip, say) are none, and neither are cards that guests have: CUDA does not see
    them. With CUDA_DEVICE_ORDER=PCI_BUS_ID the index is CUDA's.
    """
    nodes = {node["id"] for node in topology["numa_nodes"]}
    return [{
        "address": gpu["address"],
        # A node that the kernel does not have is as unknown as none.
        "numa_node": gpu.get("numa_node") if gpu.get("numa_node") in nodes else None,
        "memory_mib": (gpu.get("nvidia") or {}).get("memory_mib"),
        "display": (gpu.get("nvidia") or {}).get("display") is True,
        "told": gpu.get("nvidia") or {},
        "index": index,
    } for index, gpu in enumerate(cards_of(topology))]


def gpus_by_node(gpus):
    """Return {NUMA node id or None: how many GPUs are there}."""
    counts = {}
    for gpu in gpus:
        counts[gpu["numa_node"]] = counts.get(gpu["numa_node"], 0) + 1
    return counts


def check_gpu_sum(services, counts, gpus):
    """Raise PlanError, showing the sum, when the instances want more GPUs than there are."""
    wanted = {service["name"]: counts[service["name"]] * service["gpus"] for service in services if service["gpus"]}
    if sum(wanted.values()) > len(gpus):
        raise PlanError("inference_services want %s = %d GPUs, host has %d usable; lower gpus or instances." % (
            " + ".join("%s %d" % part for part in wanted.items()), sum(wanted.values()), len(gpus)))


def gpu_cap(each, wanted, there, free, loads):
    """Most threads with which every GPU instance can have CPUs of its GPU's node, wherever the GPUs are given out.

    each: GPUs of an instance; wanted: of all instances whose size is open; there: {node: GPUs}; free: {node: CPUs};
    loads: see gpu_loads. Where those that say their size have all GPUs of a node, nobody else is there.
    """
    caps = []
    for node, count in there.items():
        for taken, cpus in loads.items() if node in free else ():
            if taken == 0 or taken + each <= count:
                caps.append((free[node] - cpus) // max(1, min(wanted, count - taken) // each))
    return min(caps)


def gpu_loads(services, cpus, counts):
    """Return {GPUs: most CPUs that services with so many of them take beside}.

    cpus: {service name: CPUs of one instance} of those that say how many threads they want. Only those count that go
    where their GPUs are.
    """
    loads = {0: 0}
    for service in services:
        near = service["gpus"] and service["numa"] == "auto" and service["instances"] != "per_numa_node"
        for _instance in range(counts[service["name"]] if near and service["name"] in cpus else 0):
            for taken, before in sorted(loads.items(), reverse=True):
                more = taken + service["gpus"]
                loads[more] = max(loads.get(more, 0), before + cpus[service["name"]])
    return loads


def take_gpus(free, count, numa):
    """Take `count` GPUs out of the list `free` and return them: those of node `numa` where that is a number, else of
    the node with the fewest that are enough, else the first in PCI order."""
    by_node = gpus_by_node(free)
    enough = [node for node in by_node if by_node[node] >= count and (not isinstance(numa, int) or node == numa)]
    node = min(enough, key=lambda node: (node is None, by_node[node])) if enough else None
    pool = [gpu for gpu in free if gpu["numa_node"] == node] if enough else list(free)
    taken = pool[:count]
    for gpu in taken:
        free.remove(gpu)
    return taken


def layer_weights(model, weights_mib):
    """Return (MiB of each layer, MiB of the output, MiB of a copied head) or None where the layers are not known.

    Without a header the weights count as spread evenly over the layers. The copied head: a model whose head is its
    token embedding has no tensor of its own for it. llama.cpp then copies the embedding for an output on a GPU
    (TENSOR_DUPLICATED in src/llama-model.cpp), while the embedding itself stays in RAM.
    """
    header = model["header"]
    if header and header.get("layer_bytes"):
        # What is left beside layers and embedding holds a head, or norms, which are thousands of times smaller.
        tied = header["output_bytes"] * NO_HEAD < header["input_bytes"]
        return ([size / MIB for size in header["layer_bytes"]], header["output_bytes"] / MIB,
                header["input_bytes"] / MIB if tied else 0.0)
    if model["layers"] and weights_mib:
        return [weights_mib / model["layers"]] * model["layers"], 0.0, 0.0
    return None


def fit_layers(service, name, memory, room_mib):
    """Return (gpu_layers, MiB on the GPUs, MiB of these that are in RAM too, reason, warning or None) of one instance.

    memory: the instance's parts in MiB. room_mib: what its GPUs have in all for weights and KV cache, None if unknown.
    With N layers llama.cpp puts the output and the last N - 1 layers on the GPUs, each layer with its part of the KV
    cache; one more than the model has is everything but the token embedding (i_gpu_start in src/llama-model.cpp).
    Raises PlanError with the sum for a number of layers by wish that does not fit.
    """
    layers = layer_weights(service["model"], memory["weights"])
    wish = service["gpu_layers"]
    if layers is None:
        return fit_unknown(service, name, memory, room_mib)
    sizes, output, copied = layers
    cache = memory["kv_cache"] / len(sizes)
    need = [0.0, output + copied]
    for size in reversed(sizes):
        need.append(need[-1] + size + cache)
    fitting = max(number for number, mib in enumerate(need) if number == 0 or room_mib is None or mib <= room_mib)
    count = fitting if wish == "auto" else min(wish, len(sizes) + 1)
    if count > fitting:
        raise PlanError(
            "%s: gpu_layers is %d, which take %d MiB (weights and KV cache) of the GPU memory; %d MiB are free for "
            "them, enough for %d; lower gpu_layers, context or parallel." % (
                name, wish, round(need[count]), room_mib, fitting))
    warning = None
    if wish != "auto":
        reason = "gpu_layers: %d was set by the user" % wish
        reason += " (the model has %d and the output)" % len(sizes) if wish > count else ""
    elif room_mib is None:
        reason = "all %d layers and the output; the GPU's memory is not known" % len(sizes)
        warning = "%s: the memory of its GPU is not known; nothing was checked against it." % name
    else:
        reason = "%s fit %d MiB (%d with KV cache)" % (layers_in_words(count, len(sizes)), room_mib, need[count])
    return count, need[count], copied if count else 0.0, reason, warning


def layers_in_words(count, layers):
    """What `--gpu-layers COUNT` puts on the GPUs."""
    return "the output and %d of %d layers" % (count - 1, layers) if count else "neither the output nor a layer"


def fit_unknown(service, name, memory, room_mib):
    """The answer of fit_layers for a model whose number of layers is not known."""
    need, wish = memory["weights"] + memory["kv_cache"], service["gpu_layers"]
    if wish != "auto":
        on_gpus = 0 if wish == 0 else need if room_mib is None else min(need, room_mib)
        # How much of it leaves the RAM is not known.
        return wish, on_gpus, on_gpus if wish < ALL_LAYERS else 0, "gpu_layers: %d was set by the user" % wish, None
    if room_mib is not None and 0 < need <= room_mib:
        return ALL_LAYERS, need, 0, "everything fits: %d of %d MiB" % (need, room_mib), None
    return None, 0, 0, "the model's layers are not known: the engine decides", (
        "%s: how many layers fit its GPU is not known; give model.layers and model.weights_mib, or gpu_layers." % name)


def check_whole_model(name, memory, room_mib):
    """Raise PlanError when a runtime that keeps everything on its GPUs has too little memory there."""
    need = memory["weights"] + memory["kv_cache"]
    if room_mib is not None and need > room_mib:
        raise PlanError("%s needs %d MiB of GPU memory (weights %d + KV cache %d); its GPUs have %d MiB for them; "
                        "give it more gpus, or a smaller model, context or parallel." % (
                            name, need, memory["weights"], memory["kv_cache"], room_mib))
