# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What llama.cpp keeps of the past for each layer of a model, by the architecture's name in the GGUF header.

Source of every rule: llama.cpp as packed in llama-cpp-python 0.3.36: src/models/ARCHITECTURE.cpp (load_arch_hparams),
src/llama-model.cpp (load_hparams, load_swa_pattern, create_memory), src/llama-hparams.cpp (n_embd_r, n_embd_s,
set_swa_pattern) and src/llama-arch.cpp (names). Architectures that stand nowhere here are unknown: nothing is guessed.
"""

from __future__ import annotations

FULL = frozenset("""
    apertus arcee arctic baichuan bailingmoe bailingmoe2 bitnet bloom chameleon chatglm codeshell cogvlm command-r dbrx
    deci deepseek deepseek2-ocr dots1 ernie4_5 ernie4_5-moe exaone falcon gemma glm4 glm4moe gpt2 gptneox granite
    granitemoe grok grovemoe hunyuan-dense hunyuan-moe hunyuan_vl hy_v3 internlm2 jais jais2 llama llama-embed maincoder
    minicpm minicpm3 minimax-m2 mistral3 mpt nemotron olmo olmoe openelm orion paddleocr pangu-embedded phi2 phi3
    phimoe plamo plm qwen qwen2 qwen2moe qwen2vl qwen3 qwen3moe qwen3vl qwen3vlmoe refact seed_oss smollm3 stablelm
    starcoder starcoder2 xverse""".split())
"""Each layer sees the whole context. (phi3's sliding window is switched off in llama.cpp.)"""

NO_CACHE = frozenset("""
    bert dream eurobert gemma-embedding jina-bert-v2 jina-bert-v3 llada llada-moe modern-bert neo-bert nomic-bert
    nomic-bert-moe rnd1""".split())
"""Encoders and diffusion models keep nothing."""

SLIDING = {
    "afmoe": (4, False), "cohere2": (4, False), "cohere2moe": (4, True), "exaone-moe": (4, False),
    "exaone4": (4, False), "gemma2": (2, False), "gemma3": (6, False), "gemma3n": (5, False), "gpt-oss": (2, False),
    "laguna": (4, True), "llama4": (4, False), "mellum": (4, False), "muse-glimmer": (4, False), "olmo2": (4, False),
    "plamo3": (8, False), "smallthinker": (4, True),
    "gemma4": None, "granite_swa": None, "mimo2": None, "spark2_5": None, "step35": None}
"""One layer in so many sees the whole context, the last or (True) the first of them, the others a window.

`attention.sliding_window_pattern` in the header wins, as a number or layer by layer; None: it must be there.
"""
DEFAULT_WINDOW = {"exaone4": 4096, "gemma2": 4096, "llama4": 8192}
"""The window where the header has none; elsewhere no window means that all layers see the whole context."""
FIXED_WINDOW = {"llama4": 8192, "smallthinker": 4096}
"""The window whatever the header says, unless that is 0."""
CHUNKED = frozenset(["llama4"])
EXAONE4_LAYERS_WITH_WINDOWS = 64
GEMMA3N_LAYERS_WITH_CACHE = 20

LATENT = frozenset(["deepseek2", "mistral4"])
"""Keys and values are one latent vector, kept once; with headers of before that, full attention."""

RECURRENT = frozenset(["mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"])
HYBRID_BY_HEADS = frozenset(["jamba", "granitehybrid", "plamo2", "lfm2", "lfm2moe"])
"""Layers without key/value heads are recurrent."""
HYBRID_BY_HEADS_AND_FEED_FORWARD = frozenset(["nemotron_h", "nemotron_h_moe"])
"""Each layer is attention, recurrent or (with a feed-forward length) neither."""
HYBRID_BY_INTERVAL = frozenset(["qwen3next", "qwen35", "qwen35moe"])
"""Each `full_attention_interval`th layer (4) is attention; `attention.recurrent_layers` wins."""
HYBRID_BOTH = frozenset(["falcon-h1"])
"""Each layer has attention and a recurrent state."""

F32_BYTES = 4


def attention_layers(values):
    """Return what each layer keeps of the past, or None when the architecture (or a part of its header) is unknown.

    values: the header's `gguf_values.Values`. Each layer is {"kind": "full", "window", "chunk", "latent", "recurrent",
    "shared" or "none", "kv_heads", "key_length", "value_length" (numbers that one head keeps of a token),
    "window" (tokens) or None, "state_bytes" (of one sequence, independent of its length)}.
    """
    kinds = _kinds(values)
    if kinds is None:
        return None
    window = _window(values)
    state_bytes = _state_bytes(values)
    both = values.architecture in HYBRID_BOTH
    layers = []
    for number, kind in enumerate(kinds):
        sliding = kind in ("window", "chunk")
        keeps = sliding or kind in ("full", "latent")
        layers.append({
            "kind": kind,
            "kv_heads": values.kv_heads[number] if keeps else 0,
            "key_length": values.head_length("key", sliding) if keeps else 0,
            "value_length": values.head_length("value", sliding) if keeps and kind != "latent" else 0,
            "window": window if sliding else None,
            "state_bytes": state_bytes if both or kind == "recurrent" else 0,
        })
    return layers


def _kinds(values):
    name, count = values.architecture, values.layers
    if name in NO_CACHE:
        return ["none"] * count
    if name in SLIDING:
        kinds = _sliding_kinds(values)
    elif name in LATENT:
        latent = values.number("attention.key_length_mla") and values.number("attention.value_length_mla")
        kinds = ["latent" if latent else "full"] * count
    elif name in RECURRENT:
        kinds = ["recurrent"] * count
    elif name in HYBRID_BY_HEADS:
        attention = "window" if name == "lfm2" and _window(values) else "full"
        kinds = [attention if heads else "recurrent" for heads in values.kv_heads]
    elif name in HYBRID_BY_HEADS_AND_FEED_FORWARD:
        return [_nemotron_kind(values, number) for number in range(count)]
    elif name in HYBRID_BY_INTERVAL:
        kinds = _interval_kinds(values)
    elif name in FULL or name in HYBRID_BOTH:
        kinds = ["full"] * count
    else:
        return None
    # The layers that predict further tokens have no part in the main context.
    return kinds and kinds[:values.main_layers] + ["none"] * (count - values.main_layers)


def _window(values):
    """Return the length of the sliding window in tokens, or None."""
    name = values.architecture
    if name == "exaone4" and values.main_layers != EXAONE4_LAYERS_WITH_WINDOWS:
        return None
    window = values.number("attention.sliding_window", DEFAULT_WINDOW.get(name, 0))
    return (FIXED_WINDOW.get(name, window) if window else None)


def _sliding_kinds(values):
    name, count = values.architecture, values.layers
    kinds = ["full"] * count
    if _window(values):
        pattern = values.pattern("attention.sliding_window_pattern", SLIDING[name])
        if pattern is None:
            return None
        narrow = "chunk" if name in CHUNKED else "window"
        kinds = [narrow if slides else "full" for slides in pattern]
    own = count
    if name == "gemma3n":
        own = GEMMA3N_LAYERS_WITH_CACHE
    if name == "gemma4":
        own = count - values.number("attention.shared_kv_layers", 0)
    return [kind if number < own else "shared" for number, kind in enumerate(kinds)]


def _nemotron_kind(values, number):
    if values.feed_forward[number]:
        return "none"
    if values.kv_heads[number]:
        return "full"
    return "recurrent" if number < values.main_layers else "none"


def _interval_kinds(values):
    recurrent = values.per_layer("attention.recurrent_layers", None)
    if recurrent is None:
        interval = values.number("full_attention_interval", 4)
        if not interval:
            return None
        recurrent = [(number + 1) % interval != 0 for number in range(values.layers)]
    return ["recurrent" if is_recurrent else "full" for is_recurrent in recurrent]


def _state_bytes(values):
    """Return bytes of one recurrent layer for one sequence: its convolution's or token shift's inputs and its state."""
    embedding = values.number("embedding_length", 0)
    wkv_head, short_conv = values.number("wkv.head_size", 0), values.number("shortconv.l_cache", 0)
    inner, state = values.number("ssm.inner_size", 0), values.number("ssm.state_size", 0)
    if wkv_head:
        return F32_BYTES * embedding * (values.number("token_shift_count", 2) + wkv_head)
    if short_conv:
        return F32_BYTES * (embedding * (short_conv - 1) + inner * state)
    groups, kernel = values.number("ssm.group_count", 0), values.number("ssm.conv_kernel", 0)
    return F32_BYTES * (max(kernel - 1, 0) * (inner + 2 * groups * state) + inner * state)
