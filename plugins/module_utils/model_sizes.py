# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sizes of one model for a person who plans: its parts in memory, and the quantisation that a memory takes."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.checks import REQUIRED, check_fields, integer, one_of
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.gguf_facts import check_facts
from ansible_collections.inference.host.plugins.module_utils.model_memory import (
    CACHE_TYPES,
    MIB,
    instance_memory,
    kv_cache_bytes,
)

BITS_PER_WEIGHT = (("F16", 16.0), ("Q8_0", 8.50), ("Q6_K", 6.56), ("Q5_K_M", 5.70), ("Q4_K_M", 4.89), ("Q2_K", 3.16))
"""Largest first; llama.cpp's figures for Llama 3.1 8B (tools/quantize/README.md)."""

NUMBERS = {
    "weights_mib": (None, integer(1, 1 << 24)),
    "kv_bytes_per_token": (None, integer(1, 1 << 30)),
    "layers": (None, integer(1, 4096)),
    "parameters": (None, integer(1, 1 << 50)),
}
SETTINGS = {
    "context": (REQUIRED, integer(128, 1 << 22)),
    "parallel": (REQUIRED, integer(1, 256)),
    "cache_type": (REQUIRED, one_of(*CACHE_TYPES)),
    "ubatch": (REQUIRED, integer(1, 1 << 20)),
    "memory_mib": (REQUIRED, integer(1, 1 << 30)),
}


def model_memory(model, context=4096, parallel=1, cache_type="f16", ubatch=512):
    """Return MiB of one llama-server by part, rounded up: {"weights", "kv_cache", "compute"}.

    model: facts of module gguf_info, or numbers: {"weights_mib", "kv_bytes_per_token"}, also "layers", "parameters".
    Raises PlanError for what is wrong, and for weights or a KV cache that cannot be known from `model`.
    """
    _check_settings("model_memory", context=context, parallel=parallel, cache_type=cache_type, ubatch=ubatch)
    checked = _checked_model("model_memory", model)
    if checked["weights_mib"] is None and not checked["header"]:
        raise PlanError("model_memory is given no weights_mib; give it, or the facts that module "
                        "inference.host.gguf_info returns.")
    return _parts(checked, context, parallel, cache_type, ubatch)


def largest_quantisation(model, memory_mib, context=4096, parallel=1, cache_type="f16", ubatch=512):
    """Return the largest quantisation of a model with which one llama-server fits `memory_mib`.

    {"name", "bits_per_weight", "weights_mib", "kv_cache_mib", "compute_mib", "total_mib"}. model: facts of module
    gguf_info (of any quantisation of the model), or numbers: {"parameters", "kv_bytes_per_token"}, also "layers".
    Raises PlanError for what is wrong, and with the sum when not even the smallest fits.
    """
    _check_settings("largest_quantisation", memory_mib=memory_mib, context=context, parallel=parallel,
                    cache_type=cache_type, ubatch=ubatch)
    checked = _checked_model("largest_quantisation", model)
    parameters = checked["header"]["parameters"] if checked["header"] else checked["parameters"]
    if not parameters:
        raise PlanError("largest_quantisation is given no parameters; give their number, or the facts that module "
                        "inference.host.gguf_info returns.")
    parts = _parts(checked, context, parallel, cache_type, ubatch)
    for name, bits in BITS_PER_WEIGHT:
        weights = weights_mib(parameters, bits)
        total = weights + parts["kv_cache"] + parts["compute"]
        if total <= memory_mib:
            return {"name": name, "bits_per_weight": bits, "weights_mib": weights, "kv_cache_mib": parts["kv_cache"],
                    "compute_mib": parts["compute"], "total_mib": total}
    raise PlanError("not even %s fits: weights %d + KV cache %d + compute %d = %d MiB, memory_mib is %d; lower context "
                    "or parallel, or take a smaller model." % (
                        name, weights, parts["kv_cache"], parts["compute"], total, memory_mib))


def weights_mib(parameters, bits_per_weight):
    """Return MiB of so many parameters, rounded up."""
    hundredths = round(bits_per_weight * 100)
    return -(-parameters * hundredths // (800 * MIB))


def _check_settings(name, **settings):
    check_fields(name, settings, {key: SETTINGS[key] for key in settings})


def _checked_model(name, model):
    """Return {"header", "weights_mib", "kv_bytes_per_token", "layers", "parameters"}, each None if not given."""
    if isinstance(model, dict) and "architecture" in model:
        return dict(dict.fromkeys(NUMBERS), header=check_facts(model))
    return dict(check_fields("%s's model" % name, model, NUMBERS), header=None)


def _parts(model, context, parallel, cache_type, ubatch):
    """Return the parts but the prompt cache, which is no matter of the model."""
    if not model["kv_bytes_per_token"]:
        if not model["header"]:
            raise PlanError("the model's KV cache is not known; give kv_bytes_per_token, or the facts that module "
                            "inference.host.gguf_info returns.")
        # Says it of an unknown architecture, which instance_memory counts as 0.
        kv_cache_bytes(model["header"], context, parallel, cache_type, ubatch)
    parts = instance_memory(model, context, parallel, cache_type, ubatch, 0)
    return {key: parts[key] for key in ("weights", "kv_cache", "compute")}
