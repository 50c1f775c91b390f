# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much of a card's memory an instance may plan with.

What is in use at the moment is no measure: in a later run most of that is the instance's own, a desktop's use comes and
goes, and a plan that followed it would move layers and restart engines. So a fixed part is left: the headroom, and more
on a card that drives a display. What is seen in use beside it is only warned of.
"""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.errors import PlanError


def kept_mib(gpu, policy):
    """Return MiB of a card that are left to others: the driver, contexts, and the display where it drives one."""
    return policy["gpu_headroom_mib"] + (policy["gpu_display_mib"] if gpu["display"] else 0)


def free_mib(gpu, policy):
    """Return MiB of a card that engines may have, None where its size is not known. Below 0 for a very small one."""
    return gpu["memory_mib"] - kept_mib(gpu, policy) if gpu["memory_mib"] else None


def room_mib(service, compute_mib, gpus, policy):
    """Return MiB that the GPUs of one instance have in all for weights and KV cache, or None where it is not known."""
    rooms = []
    for gpu in gpus:
        free = free_mib(gpu, policy)
        limits = [limit for limit in (free, service["gpu_memory_mib"]) if limit is not None]
        if not limits:
            return None
        rooms.append(max(0, min(limits) - compute_mib))
    # Layers are spread evenly, so the smallest card sets the measure.
    return min(rooms) * len(rooms)


def check_known(service, name, room, gpus, problem):
    """Raise PlanError where the plan depends on memory of cards that a problem of the driver keeps from being read.

    A plan without it would have a running engine started again with other layers, or another part of its cards. room:
    what room_mib returned. problem: the topology's sentence, or None.
    """
    layers = service["runtime"] == "llama_cpp" and service["gpu_layers"] == "auto" and room is None
    share = service["runtime"] == "vllm" and not all(gpu["memory_mib"] for gpu in gpus)
    if problem and (layers or share):
        raise PlanError("%s: the memory of its GPU is not known, and its plan depends on that. %s" % (name, problem))


def memory_reason(service, gpus, policy):
    """Return in words what is left to others of the instance's cards."""
    sized = [gpu for gpu in gpus if gpu["memory_mib"]]
    limit = "; gpu_memory_mib: %d was set by the user" % service["gpu_memory_mib"] if service["gpu_memory_mib"] else ""
    if not sized:
        return "the memory of its GPU is not known" + limit
    least = min(sized, key=lambda gpu: free_mib(gpu, policy))
    text = "%d of %d MiB are left to others: topology_gpu_headroom_mib %d" % (
        kept_mib(least, policy), least["memory_mib"], policy["gpu_headroom_mib"])
    if least["display"]:
        text += " + topology_gpu_display_mib %d, since it drives a display" % policy["gpu_display_mib"]
    return text + (" (the GPU that has least)" if len(gpus) > 1 else "") + limit


def memory_warnings(name, gpus, policy):
    """Return sentences on cards that hold more than is left to others, though no engine runs."""
    warnings = []
    for gpu in gpus:
        told, kept = gpu["told"], kept_mib(gpu, policy)
        used = told.get("memory_used_mib")
        # With compute processes the use may be our own.
        if told.get("processes") == 0 and used is not None and used > kept:
            variable = "topology_gpu_display_mib" if gpu["display"] else "topology_gpu_headroom_mib"
            warnings.append(
                "%s: %d MiB of GPU %s are in use though no compute process runs there, and %d are left to others; "
                "raise %s." % (name, used, gpu["address"], kept, variable))
    return warnings
