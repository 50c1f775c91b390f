# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The environment of an instance: what its runtime reads of the plan, and what the user wrote, filled in.

Names in braces stand for the plan's values in the user's texts; see BRACES. Other braces stay as they are.
"""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils.cpulist import format_cpu_list
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.p2p import LLAMA_SWITCH, NCCL_SWITCH
from ansible_collections.inference.host.plugins.module_utils.service_fields import PROFILES

MIB_PER_GIB = 1024
MODEL_FILE = "{model_file}"
"""Stays in the plan, which knows no folder of models; rendering fills it in."""

# Name -> what it stands for in an instance.
BRACES = {
    "index": lambda instance: instance["index"],
    "threads": lambda instance: instance["threads"],
    "threads_batch": lambda instance: instance["threads_batch"],
    "cpu_range": lambda instance: instance["cpu_range"],
    "numa_nodes": lambda instance: instance["numa_range"],
    "gpus": lambda instance: instance["gpus"],
    "gpu_memory_mib": lambda instance: instance["gpu_memory_mib"],
    "p2p": lambda instance: instance["p2p"],
    "port": lambda instance: instance["port"],
    "config": lambda instance: instance["config_file"],
}
NAMED = re.compile(r"\{(%s)\}" % "|".join(BRACES))


def filled(text, instance):
    """Return the user's text with the plan's values for the names in braces: lists with commas, true as 1."""
    return NAMED.sub(lambda match: as_text(BRACES[match.group(1)](instance)), text)


def as_text(value):
    if isinstance(value, list):
        return ",".join(value)
    return str(int(value) if isinstance(value, bool) else "" if value is None else value)


def filled_config(value, instance):
    """Return a mapping with all its texts filled in; a text that is one name in braces becomes the value itself."""
    if isinstance(value, dict):
        return {key: filled_config(part, instance) for key, part in value.items()}
    if isinstance(value, list):
        return [filled_config(part, instance) for part in value]
    if not isinstance(value, str):
        return value
    whole = NAMED.fullmatch(value)
    return BRACES[whole.group(1)](instance) if whole else filled(value, instance)


def with_model_file(value, path):
    """Return a text, list or mapping with `path` for the name of the model's file."""
    if isinstance(value, dict):
        return {key: with_model_file(part, path) for key, part in value.items()}
    if isinstance(value, list):
        return [with_model_file(part, path) for part in value]
    return value.replace(MODEL_FILE, path or "") if isinstance(value, str) else value


def instance_environment(instance, service, gpus, gpu_host=False, uuids=None):
    """Return {name: text}; a variable that the user wrote wins over the plan's.

    gpus: those of the instance, as gpus.py has them. gpu_host: whether the host has any. uuids: {address: UUID or None}
    where GPUs are to be named by it.
    """
    planned = dict(thread_variables(instance, gpus), **gpu_variables(gpus, gpu_host, uuids))
    planned.update(vllm_variables(instance))
    planned.update(p2p_variables(instance))
    planned.update(profile_variables(instance, service))
    planned.update({name: filled(text, instance) for name, text in service["environment"].items()})
    return planned


def thread_variables(instance, gpus):
    """Threads for runtimes that read them from the environment; llama.cpp gets its by arguments.

    vLLM on CPUs: one thread a core, one core of each rank left to its scheduler, which lists that cover every core
    starve (vllm #25818); one rank a node, since it takes memory of the node of its first CPU (vllm #11720); the room
    for each rank's KV cache in whole GiB.
    """
    if instance["runtime"] == "llama_cpp":
        return {}
    variables = {"OMP_NUM_THREADS": str(instance["threads"])}
    if instance["runtime"] == "vllm" and not gpus:
        bound = [cpus[:-1] or cpus for cpus in instance["rank_cpus"]]
        variables.update({
            "OMP_NUM_THREADS": str(min(map(len, bound))),
            "VLLM_CPU_OMP_THREADS_BIND": "|".join(map(format_cpu_list, bound)),
            "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
            "VLLM_CPU_KVCACHE_SPACE": str(instance["memory_mib"]["kv_cache"] // MIB_PER_GIB // len(bound)),
        })
    return variables


def gpu_variables(gpus, gpu_host, uuids=None):
    """GPUs by their index in PCI order, which is CUDA's own only if it is told so; none for an instance without.

    A UUID names a card wherever it is plugged in. Raises PlanError for one that is wanted and not known.
    """
    if not gpus:
        return {"CUDA_VISIBLE_DEVICES": ""} if gpu_host else {}
    names = [str(gpu["index"]) for gpu in gpus]
    if uuids is not None:
        names = [uuids.get(gpu["address"]) for gpu in gpus]
        unknown = [gpu["address"] for gpu, name in zip(gpus, names) if not name]
        if unknown:
            raise PlanError("topology_gpu_ids is uuid, and nvidia-smi does not tell the UUID of %s; set it to "
                            "index." % ", ".join(unknown))
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(names)}


def vllm_variables(instance):
    """vLLM asks no other host for anything: not for models, not for its ranks, and reports nothing."""
    if instance["runtime"] != "vllm":
        return {}
    variables = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_HOST_IP": "127.0.0.1",
                 "GLOO_SOCKET_IFNAME": "lo"}
    if len(instance["gpus"]) > 1:
        variables["NCCL_SOCKET_IFNAME"] = "lo"
    return variables


def p2p_variables(instance):
    """What runtimes are told of copies between their GPUs.

    NCCL copies through shared memory where P2P is disabled; llama.cpp, too, is built with it where it is installed
    (GGML_CUDA_NCCL). Beside that llama.cpp lets GPUs use each other's memory where its variable is there, whatever it
    says, after answers were found corrupted (llama.cpp #21910): only where copies were compared, and never 0.
    """
    if len(instance["gpus"]) > 1 and not instance["p2p"]:
        return {NCCL_SWITCH: "1"}
    proven = instance["runtime"] == "llama_cpp" and instance["p2p_verdict"] == "works"
    return {LLAMA_SWITCH: "1"} if proven else {}


def profile_variables(instance, service):
    """What an application beside the engine reads of the service's profile."""
    profile = PROFILES.get(service["profile"])
    if not profile:
        return {}
    variables = {
        "LLAMACPP_PROFILE": service["profile"],
        "LLAMACPP_CTX_SIZE": str(instance["context"]),
        "LLAMACPP_BATCH_SIZE": str(instance["batch"]),
        "LLAMACPP_UBATCH_SIZE": str(instance["ubatch"]),
        "LLAMACPP_THREADS": str(instance["threads"]),
        "LLAMACPP_TEMPERATURE": profile["temperature"],
        "LLAMACPP_RAG_K": profile["rag_k"],
        "LLAMACPP_MAX_CONTEXT": profile["max_context"],
    }
    if instance["gpu_layers"] is not None:
        variables["LLAMACPP_GPU_LAYERS"] = str(instance["gpu_layers"])
    return variables
