# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The few numbers of a GGUF header that a plan needs."""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils.checks import kind
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.gguf import GgufError, read_model
from ansible_collections.inference.host.plugins.module_utils.gguf_architectures import attention_layers
from ansible_collections.inference.host.plugins.module_utils.gguf_types import FILE_TYPES
from ansible_collections.inference.host.plugins.module_utils.gguf_values import Values

LAYER = re.compile(r"^blk\.(\d{1,3})\.")
INPUT = "token_embd.weight"

NUMBERS = ("parameters", "layers", "embedding_length", "vocabulary", "query_length", "feed_forward_length",
           "recurrent_length", "weights_bytes", "input_bytes", "output_bytes")
OTHERS = ("architecture", "layer_bytes", "experts", "attention")
NUMBERS_OF_LAYER = ("kv_heads", "key_length", "value_length", "state_bytes")


def model_facts(header):
    """Return a model's facts, small and JSON-able, from its header (`gguf.read_gguf` or `gguf.read_model`).

    {"architecture", "known": bool (what its layers keep of the past is known), "name" or null,
     "quantisation" ("Q4_K_M") or null, "parameters", "layers", "context_length" or null, "embedding_length",
     "vocabulary", "query_length" (numbers of all query heads, widest layer), "feed_forward_length" (widest layer),
     "recurrent_length" (numbers that a state space layer computes of a token; 0 without),
     "experts": {"used", "length"} or null, "weights_bytes" (all tensors), "layer_bytes" [of each layer],
     "input_bytes" (token embedding), "output_bytes" (all the rest: norms and the head; a head that is the token
     embedding is not counted twice), "attention": [for each layer] or null (`gguf_architectures.attention_layers`)}

    Raises GgufError for values that no model can have.
    """
    try:
        return _facts(header)
    except GgufError as error:
        raise GgufError("%s: %s." % (header["path"], error)) from None


def _facts(header):
    values = Values(header["metadata"])
    attention = attention_layers(values)
    metadata, tensors = header["metadata"], header["tensors"]
    layer_bytes, input_bytes, output_bytes = _weights(tensors, values.layers)
    return {
        "architecture": values.architecture,
        "known": attention is not None,
        "name": _text(metadata.get("general.name")),
        "quantisation": _quantisation(metadata.get("general.file_type")),
        "parameters": sum(tensor["elements"] for tensor in tensors),
        "layers": values.layers,
        "context_length": values.number("context_length"),
        "embedding_length": values.number("embedding_length", 0),
        "vocabulary": _vocabulary(header, values),
        "query_length": max(values.heads, default=0) * values.head_length("key", False),
        "feed_forward_length": max(values.feed_forward, default=0),
        "recurrent_length": _recurrent_length(values),
        "experts": _experts(values),
        "weights_bytes": sum(layer_bytes) + input_bytes + output_bytes,
        "layer_bytes": layer_bytes,
        "input_bytes": input_bytes,
        "output_bytes": output_bytes,
        "attention": attention,
    }


def facts_of_file(path):
    """Return {"facts": of the model file `path`, or None, "facts_note": None, or why there are none}.

    Of a split model `path` is any part, and all parts are read.
    """
    if not path.endswith(".gguf"):
        return {"facts": None, "facts_note": "%s is no GGUF file; others are not read." % path}
    return facts_of(lambda: read_model(path), path)


def facts_of(read, path):
    """Return what `facts_of_file` does of the header that `read()` returns; `path` is what an error calls the file."""
    try:
        return {"facts": model_facts(read()), "facts_note": None}
    except OSError as error:
        return {"facts": None, "facts_note": "%s cannot be read: %s." % (path, error.strerror)}
    except GgufError as error:
        return {"facts": None, "facts_note": str(error)}


def check_facts(facts):
    """Return `facts` when they are a model's facts, as `model_facts` makes them; raise PlanError for anything else."""
    if not isinstance(facts, dict):
        _refuse("is %s" % kind(facts))
    missing = [key for key in NUMBERS + OTHERS if key not in facts]
    if missing:
        _refuse("has no %s" % " and no ".join(missing))
    _check_numbers("", facts, NUMBERS)
    if not isinstance(facts["layer_bytes"], list) or not all(map(_is_number, facts["layer_bytes"])):
        _refuse("has a layer_bytes that is no list of numbers")
    if facts["experts"] is not None:
        _check_numbers("experts.", facts["experts"], ("used", "length"))
    if facts["attention"] is not None and not isinstance(facts["attention"], list):
        _refuse("has an attention that is no list")
    for layer in facts["attention"] or []:
        _check_numbers("attention[].", layer, NUMBERS_OF_LAYER)
        if layer.get("window", 0) is not None:
            _check_numbers("attention[].", layer, ("window",))
    return facts


def _check_numbers(where, values, keys):
    for key in keys:
        value = values.get(key) if isinstance(values, dict) else None
        if not _is_number(value):
            _refuse("has %s%s %s" % (where, key, kind(value)))


def _is_number(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _refuse(what):
    raise PlanError("model.header %s; it must be the facts that module inference.host.gguf_info returns." % what)


def _weights(tensors, layers):
    """Return (bytes of each layer, of the input, of all the rest)."""
    layer_bytes, input_bytes, output_bytes = [0] * layers, 0, 0
    for tensor in tensors:
        match = LAYER.match(tensor["name"])
        if match and int(match.group(1)) < layers:
            layer_bytes[int(match.group(1))] += tensor["bytes"]
        elif tensor["name"] == INPUT:
            input_bytes += tensor["bytes"]
        else:
            output_bytes += tensor["bytes"]
    return layer_bytes, input_bytes, output_bytes


def _vocabulary(header, values):
    """Return the number of tokens: the embedding's columns, else what the tokenizer has."""
    for tensor in header["tensors"]:
        if tensor["name"] == INPUT and len(tensor["shape"]) == 2:
            return tensor["shape"][1]
    return values.number("vocab_size", header["array_lengths"].get("tokenizer.ggml.tokens", 0))


def _recurrent_length(values):
    groups_states = values.number("ssm.group_count", 0) * values.number("ssm.state_size", 0)
    return 2 * values.number("ssm.inner_size", 0) + 2 * groups_states + values.number("ssm.time_step_rank", 0)


def _experts(values):
    used = max(values.per_layer("expert_used_count", []), default=0)
    lengths = values.per_layer("expert_feed_forward_length", values.feed_forward)
    return {"used": used, "length": max(lengths, default=0)} if used else None


def _quantisation(file_type):
    return FILE_TYPES.get(file_type) if isinstance(file_type, int) else None


def _text(value):
    return value if isinstance(value, str) else None
