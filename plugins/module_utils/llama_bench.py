# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""llama-bench's command lines for one instance of the plan, and what it says."""

from __future__ import annotations

import json

from ansible_collections.inference.host.plugins.module_utils.bench_stats import tidy
from ansible_collections.inference.host.plugins.module_utils.engine_flags import knows

PROGRAM = "llama-bench"
"""It lies beside llama-server, of whose build it is."""

SHARED = {
    "--flash-attn": "--flash-attn", "-fa": "--flash-attn", "--n-cpu-moe": "--n-cpu-moe", "-ncmoe": "--n-cpu-moe",
    "--split-mode": "--split-mode", "-sm": "--split-mode", "--main-gpu": "--main-gpu", "-mg": "--main-gpu",
    "--tensor-split": "--tensor-split", "-ts": "--tensor-split", "--override-tensor": "--override-tensor",
    "-ot": "--override-tensor", "--poll": "--poll", "--device": "--device", "-dev": "--device",
}
"""Options of llama-server that mean the same to llama-bench, each with one value."""

BETWEEN = {"--tensor-split": "/", "--device": "/", "--override-tensor": ";"}
"""What stands between the parts of a value where llama-server has a comma, at which llama-bench begins another test."""


class BenchError(Exception):
    """What is wrong with what llama-bench said, as one sentence."""


def bench_commands(instance, program, model, shape, options=()):
    """Return the argument vectors that measure a shape as the instance's engine computes: [[word]], one or two.

    program: path of llama-bench. model: path of the model's file. options: names that its --help has, empty where not
    known. llama-bench has one number of threads, so that prompts are a call of their own where the instance has another
    number for them. Where it runs is not said here: it keeps the placement that it is started in, and is never told to
    pin its threads itself, which piles them on one core.
    """
    prompts, generate = (",".join(map(str, shape[key])) or "0" for key in ("prompts", "generate"))
    calls = [(prompts, generate, instance["threads"])]
    if instance["threads"] != instance["threads_batch"] and shape["prompts"] and shape["generate"]:
        calls = [(prompts, "0", instance["threads_batch"]), ("0", generate, instance["threads"])]
    elif not shape["generate"]:
        calls = [(prompts, "0", instance["threads_batch"])]
    words = [
        "--output", "json", "--repetitions", shape["repeats"], "--model", model,
        "--batch-size", instance["batch"], "--ubatch-size", instance["ubatch"],
        "--cache-type-k", instance["cache_type"], "--cache-type-v", instance["cache_type"]]
    if instance["numa_policy"] != "none":
        words += ["--numa", "numactl"]
    if instance["gpu_layers"] is not None and instance["gpu_layers"] != "auto":
        words += ["--n-gpu-layers", instance["gpu_layers"]]
    if instance["load_mode"] and knows(options, "--load-mode"):
        words += ["--load-mode", instance["load_mode"]]
    words += shared_arguments(instance["arguments"])[0]
    return [[str(word) for word in [program] + words + ["--n-prompt", ask, "--n-gen", make, "--threads", threads]]
            for ask, make, threads in calls]


def shared_arguments(arguments):
    """Return (words for llama-bench, names of options that are not handed on) of the user's words for llama-server."""
    taken, left, position = [], [], 0
    while position < len(arguments):
        name, equals, value = str(arguments[position]).partition("=")
        position += 1
        if not name.startswith("-") or name[1:2].isdigit():
            continue
        if name not in SHARED:
            left.append(name)
            continue
        if not equals and position < len(arguments):
            value, equals = str(arguments[position]), "="
            position += 1
        if equals:
            option = SHARED[name]
            taken += [option, value.replace(",", BETWEEN.get(option, ","))]
    return taken, left


def parse(output):
    """Return the runs in llama-bench's JSON: [{"shape", "parameters", "repeats": [{"tokens_per_second", "errors"}]}].

    Raises BenchError for what is none of it.
    """
    try:
        tests = json.loads(output)
        runs = [_run(test) for test in tests]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise BenchError("llama-bench did not end with its list of results.") from None
    if not runs:
        raise BenchError("llama-bench measured nothing.")
    return runs


def _run(test):
    prompt, generated = int(test["n_prompt"]), int(test["n_gen"])
    speeds = [float(speed) for speed in test["samples_ts"]]
    if not speeds or min(speeds) <= 0 or max(speeds) == float("inf"):
        raise ValueError("no speed")
    lengths = ["%s%d" % (letter, count) for letter, count in (("p", prompt), ("n", generated)) if count]
    return {
        "shape": "-".join(["engine"] + lengths),
        "parameters": {"prompt_tokens": prompt, "max_tokens": generated, "threads": int(test["n_threads"]),
                       "batch": int(test["n_batch"]), "ubatch": int(test["n_ubatch"]),
                       "build": int(test["build_number"])},
        "repeats": [{"tokens_per_second": tidy(speed), "errors": 0} for speed in speeds],
    }
