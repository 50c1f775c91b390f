# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which GPUs an instance gets, and how many of a model's layers fit them."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.errors import PlanError

NVIDIA = "0x10de"
ALL_LAYERS = 999
"""More layers than any model has: what is asked of an engine when the number is not known and everything fits."""


def usable_gpus(topology):
    """Return NVIDIA's GPUs in PCI order: {address, numa_node or None, memory_mib or None, index in that order}.

    Other controllers (a server's display chip, say) are none. With CUDA_DEVICE_ORDER=PCI_BUS_ID the index is CUDA's.
    """
    found = sorted((gpu for gpu in topology.get("gpus") or [] if gpu.get("vendor") == NVIDIA),
                   key=lambda gpu: gpu["address"])
    nodes = {node["id"] for node in topology["numa_nodes"]}
    return [{
        "address": gpu["address"],
        # A node that the kernel does not have is as unknown as none.
        "numa_node": gpu.get("numa_node") if gpu.get("numa_node") in nodes else None,
        "memory_mib": (gpu.get("nvidia") or {}).get("memory_mib"),
        "index": index,
    } for index, gpu in enumerate(found)]


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
    """Return (MiB of each layer, MiB of the output, MiB of the input) or None where the layers are not known.

    Without a header the weights count as spread evenly over the layers.
    """
    header = model["header"]
    if header and header.get("layer_bytes"):
        scale = 1 << 20
        return ([size / scale for size in header["layer_bytes"]], header["output_bytes"] / scale,
                header["input_bytes"] / scale)
    if model["layers"] and weights_mib:
        return [weights_mib / model["layers"]] * model["layers"], 0.0, 0.0
    return None


def fit_layers(service, name, memory, room_mib):
    """Return (gpu_layers, MiB of weights and KV cache on the GPUs, reason, warning or None) of one instance.

    memory: the instance's parts in MiB. room_mib: what its GPUs have in all for weights and KV cache, None if unknown.
    llama.cpp puts the last layers on the GPUs, each with its part of the KV cache; one more than all layers puts the
    output there too. Raises PlanError with the sum for a number of layers by wish that does not fit.
    """
    layers = layer_weights(service["model"], memory["weights"])
    wish = service["gpu_layers"]
    if layers is None:
        return fit_unknown(service, name, memory, room_mib)
    sizes, output, _input = layers
    cache = memory["kv_cache"] / len(sizes)
    need = [0.0]
    for size in reversed(sizes):
        need.append(need[-1] + size + cache)
    need.append(need[-1] + output)
    if wish != "auto":
        count = min(wish, len(sizes) + 1)
        if room_mib is not None and need[count] > room_mib:
            fitting = max(number for number, mib in enumerate(need) if number == 0 or mib <= room_mib)
            raise PlanError(
                "%s: gpu_layers is %d, which take %d MiB (weights and KV cache) of the GPU memory; %d MiB are free for "
                "them, enough for %d; lower gpu_layers, context or parallel." % (
                    name, wish, round(need[count]), room_mib, fitting))
        reason = "gpu_layers: %d was set by the user" % wish
        reason += " (the model has %d and the output)" % len(sizes) if wish > count else ""
        return count, need[count], reason, None
    if room_mib is None:
        return len(sizes) + 1, need[-1], "all %d layers and the output; the GPU's memory is not known" % len(sizes), (
            "%s: the memory of its GPU is not known; nothing was checked against it." % name)
    count = max(number for number, mib in enumerate(need) if number == 0 or mib <= room_mib)
    reason = "%d of %d layers%s fit %d MiB (%d with KV cache)" % (
        min(count, len(sizes)), len(sizes), " and the output" if count > len(sizes) else "", room_mib, need[count])
    return count, need[count], reason, None


def fit_unknown(service, name, memory, room_mib):
    """The answer of fit_layers for a model whose number of layers is not known."""
    need, wish = memory["weights"] + memory["kv_cache"], service["gpu_layers"]
    if wish != "auto":
        return wish, min(need, room_mib or need), "gpu_layers: %d was set by the user" % wish, None
    if room_mib is not None and 0 < need <= room_mib:
        return ALL_LAYERS, need, "everything fits: %d of %d MiB" % (need, room_mib), None
    return None, 0, "the model's layers are not known: the engine decides", (
        "%s: how many layers fit its GPU is not known; give model.layers and model.weights_mib, or gpu_layers." % name)


def check_whole_model(name, memory, room_mib):
    """Raise PlanError when a runtime that keeps everything on its GPUs has too little memory there."""
    need = memory["weights"] + memory["kv_cache"]
    if room_mib is not None and need > room_mib:
        raise PlanError("%s needs %d MiB of GPU memory (weights %d + KV cache %d); its GPUs have %d MiB for them; "
                        "give it more gpus, or a smaller model, context or parallel." % (
                            name, need, memory["weights"], memory["kv_cache"], room_mib))
