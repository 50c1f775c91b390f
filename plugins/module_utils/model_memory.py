# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much memory llama-server needs for a model: weights, KV cache and compute buffers, from the GGUF header.

Formulas: llama.cpp as packed in llama-cpp-python 0.3.36. They are for its defaults: a KV cache of its own for each of
`--parallel N` slots, flash attention, no `--swa-full`, no draft model.
"""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.gguf_facts import check_facts

MIB = 1 << 20
CONTEXT_STEP = 256
"""llama.cpp rounds contexts and sliding windows up to so many tokens."""
CACHE_TYPES = {"f16": (1, 2), "bf16": (1, 2), "q8_0": (32, 34), "q5_1": (32, 24), "q5_0": (32, 22), "q4_1": (32, 20),
               "q4_0": (32, 18), "iq4_nl": (32, 18)}
"""Numbers in a block and bytes of a block, by what --cache-type-k and --cache-type-v take (f32, which needs further
memory for its conversion, is left out)."""
UNKNOWN_COMPUTE_MIB = 512
"""Convention, where nothing is known of a model."""
UNKNOWN_LAYER = {"kv_heads": 1, "key_length": 0, "value_length": 0, "window": None, "state_bytes": 0}
FLOAT_BYTES = 4
MASK_BYTES = 2


def kv_cache_bytes(facts, context, parallel=1, cache_type="f16", ubatch=512):
    """Return bytes of llama-server's KV cache and recurrent states, for all slots.

    facts: as `gguf_facts.model_facts` returns them. context: tokens of each slot; the server is started with
    `--ctx-size context*parallel --parallel parallel --ubatch-size ubatch` and `cache_type` for keys and values.

    Sum over layers of cells x heads x (key + value length) in the cache's type; cells are the context, or in layers
    with a sliding window pad256(min(context, window + ubatch)); src/llama-kv-cache.cpp, -iswa.cpp and
    llama-memory-recurrent.cpp. Equal to what the server reports for Gemma 3 270M in 69 runs and
    for 22 made-up models of 20 architectures.
    Raises PlanError for an unknown architecture or cache type, and for heads that the type does not divide.
    """
    check_facts(facts)
    if facts["attention"] is None:
        raise PlanError("the model's architecture %s is not known; its KV cache cannot be computed, give "
                        "kv_bytes_per_token." % facts["architecture"])
    cells, tokens = _cells_and_tokens(context, parallel, ubatch)
    total = 0
    for layer in facts["attention"]:
        keys_values = sum(_row_bytes(layer["kv_heads"] * layer[length], layer[length], cache_type)
                          for length in ("key_length", "value_length"))
        total += parallel * (keys_values * _layer_cells(layer, cells, tokens) + layer["state_bytes"])
    return total


def compute_bytes(facts, ubatch=512, context=4096, parallel=1):
    """Return an estimate of llama-server's compute and output buffers on CPUs in bytes.

    For each token of a batch: the attention masks (2 bytes for each cell) and the numbers that are alive at once in
    the widest layer (4 bytes each); or the logits of one token for each slot, if they are more. The logits once more
    for the output buffer, and two copies of a layer's recurrent states.
    Fitted to what llama-server (llama-cpp-python 0.3.36) reports: equal within 0.1 MiB for Gemma 3 270M with f16 and
    3 % below with quantised types (69 runs); between -6 % and +45 % for small made-up models of 20 architectures (44
    runs), most within 5 %; small feed-forward layers and experts make it too high. Not measured: rwkv's recurrent
    layers, and GPUs, whose compute buffers are others.
    """
    check_facts(facts)
    cells, tokens = _cells_and_tokens(context, parallel, ubatch)
    layers = facts["attention"] or [UNKNOWN_LAYER]
    # One mask for all layers that see the whole context and one for all with a window.
    masks = {bool(layer["window"]): _layer_cells(layer, cells, tokens) for layer in layers if layer["kv_heads"]}
    logits = parallel * facts["vocabulary"] * FLOAT_BYTES
    working = max(tokens * _alive_numbers(facts, layers) * FLOAT_BYTES, logits)
    states = 2 * parallel * max((layer["state_bytes"] for layer in layers), default=0)
    return tokens * sum(masks.values()) * MASK_BYTES + working + logits + states


def instance_memory(model, context, parallel, cache_type, ubatch, cache_ram_mib):
    """Return MiB of one instance by part: {"weights", "kv_cache", "compute", "prompt_cache"}, each rounded up.

    model: {"header": facts or None, "weights_mib": int or None, "kv_bytes_per_token": int or None (f16, all layers)}.
    The model's own numbers win over the header. What nothing is known of is 0, for compute 512; `memory_gaps` says so.
    Weights count once: where the engine repacks some of them for the CPU ("CPU_REPACK"), their pages of the file are
    not needed any more.
    """
    facts = model.get("header")
    weights = model.get("weights_mib")
    if weights is None:
        weights = _mib(check_facts(facts)["weights_bytes"]) if facts else 0
    compute = _mib(compute_bytes(facts, ubatch, context, parallel)) if facts else UNKNOWN_COMPUTE_MIB
    return {
        "weights": weights,
        "kv_cache": _mib(_model_kv_bytes(model, context, parallel, cache_type, ubatch)),
        "compute": compute,
        "prompt_cache": cache_ram_mib,
    }


def memory_gaps(model):
    """Return a sentence for weights and for the KV cache where they are not known and count as nothing."""
    facts, cache = model.get("header"), model.get("kv_bytes_per_token")
    if facts:
        if cache or check_facts(facts)["attention"] is not None:
            return []
        return ["the model's architecture %s is not known: its KV cache counts as 0 MiB; give "
                "model.kv_bytes_per_token." % facts["architecture"]]
    if not cache and model.get("weights_mib") is None:
        return ["nothing is known of the model's memory: weights and KV cache count as 0 MiB, compute buffers as %d "
                "MiB; give model.header, or model.weights_mib and model.kv_bytes_per_token." % UNKNOWN_COMPUTE_MIB]
    gaps = []
    if model.get("weights_mib") is None:
        gaps.append("the model's weights are not known and count as 0 MiB; give model.weights_mib or model.header.")
    if not cache:
        gaps.append("the model's KV cache is not known and counts as 0 MiB; give model.kv_bytes_per_token or "
                    "model.header.")
    return gaps


def _model_kv_bytes(model, context, parallel, cache_type, ubatch):
    facts = model.get("header")
    if model.get("kv_bytes_per_token"):
        block, block_bytes = _cache_type(cache_type)
        cells, _tokens = _cells_and_tokens(context, parallel, ubatch)
        return -(-model["kv_bytes_per_token"] * cells * parallel * block_bytes // (block * 2))
    if not facts or check_facts(facts)["attention"] is None:
        return 0
    return kv_cache_bytes(facts, context, parallel, cache_type, ubatch)


def _cells_and_tokens(context, parallel, ubatch):
    """Return the cells of each slot's cache and the tokens of a batch (src/llama-context.cpp)."""
    return _padded(_padded(context * parallel) // parallel), min(ubatch, context * parallel)


def _layer_cells(layer, cells, tokens):
    if layer["window"]:
        return _padded(min(cells, layer["window"] + tokens))
    return cells


def _alive_numbers(facts, layers):
    """Return how many numbers are alive for one token at most: in attention, feed-forward, experts or recurrence."""
    embedding, query = facts["embedding_length"], facts["query_length"]
    experts = facts["experts"] or {"used": 0, "length": 0}
    routed = experts["used"] * experts["length"]
    forward = max(facts["feed_forward_length"], routed)
    key_values = max((layer["kv_heads"] * (layer["key_length"] + layer["value_length"]) for layer in layers), default=0)
    return max(
        2 * query + key_values + 3 * embedding,
        3 * forward + 3 * embedding + query,
        2 * experts["used"] * embedding + routed + embedding + query,
        3 * facts["recurrent_length"] + embedding)


def _row_bytes(numbers, head_length, cache_type):
    block, block_bytes = _cache_type(cache_type)
    if head_length % block:
        raise PlanError("cache_type is %s, which takes heads of a multiple of %d; this model's have %d; take f16." % (
            cache_type, block, head_length))
    return numbers // block * block_bytes


def _cache_type(cache_type):
    if cache_type not in CACHE_TYPES:
        raise PlanError("cache_type is %r; allowed are %s." % (cache_type, ", ".join(CACHE_TYPES)))
    return CACHE_TYPES[cache_type]


def _padded(tokens):
    return -(-tokens // CONTEXT_STEP) * CONTEXT_STEP


def _mib(size):
    return -(-size // MIB)
