# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The environment of an instance: what its runtime reads of the plan, and what the user wrote, filled in."""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils.cpulist import format_cpu_list
from ansible_collections.inference.host.plugins.module_utils.services import PROFILES

MIB_PER_GIB = 1024


def instance_environment(instance, service, gpus):
    """Return {name: text}; a variable that the user wrote wins over the plan's.

    gpus: those of the instance, as gpus.py has them. In the user's texts `{threads}`, `{threads_batch}`,
    `{cpu_range}`, `{numa_nodes}`, `{gpus}` and `{port}` stand for the plan's values; other braces stay as they are.
    """
    planned = dict(thread_variables(instance, gpus), **gpu_variables(gpus))
    planned.update(profile_variables(instance, service))
    planned.update({name: filled(text, instance) for name, text in service["environment"].items()})
    return planned


def thread_variables(instance, gpus):
    """Threads for runtimes that read them from the environment; llama.cpp gets its by arguments.

    vLLM on CPUs: one thread a core, one core left to its scheduler, which lists that cover every core starve (vllm
    #25818); the room for the KV cache in whole GiB.
    """
    if instance["runtime"] == "llama_cpp":
        return {}
    variables = {"OMP_NUM_THREADS": str(instance["threads"])}
    if instance["runtime"] == "vllm" and not gpus:
        bound = instance["cpus"][:-1] or instance["cpus"]
        variables.update({
            "OMP_NUM_THREADS": str(len(bound)),
            "VLLM_CPU_OMP_THREADS_BIND": format_cpu_list(bound),
            "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
            "VLLM_CPU_KVCACHE_SPACE": str(-(-instance["memory_mib"]["kv_cache"] // MIB_PER_GIB)),
        })
    return variables


def gpu_variables(gpus):
    """GPUs by their index in PCI order, which is CUDA's own only if it is told so."""
    if not gpus:
        return {}
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(str(gpu["index"]) for gpu in gpus)}


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


def filled(text, instance):
    """Return the user's text with the plan's values for the names in braces."""
    values = {
        "threads": instance["threads"],
        "threads_batch": instance["threads_batch"],
        "cpu_range": instance["cpu_range"],
        "numa_nodes": instance["numa_range"],
        "gpus": ",".join(instance["gpus"]),
        "port": instance["port"],
    }
    return re.sub(r"\{(%s)\}" % "|".join(values), lambda match: str(values[match.group(1)]), text)
