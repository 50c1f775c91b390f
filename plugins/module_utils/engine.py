# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command line of an engine, from one instance of the plan."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.command_prefix import prefix_words
from ansible_collections.inference.host.plugins.module_utils.container_command import container_command
from ansible_collections.inference.host.plugins.module_utils.engine_flags import (
    cors_words,
    load_mode_words,
    no_ui_words,
    unknown_arguments,
)
from ansible_collections.inference.host.plugins.module_utils.environment import with_model_file
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.placement_check import check_placement
from ansible_collections.inference.host.plugins.module_utils.service_runtimes import MODEL_OPTIONS, PLANNED_OPTIONS

LOOPBACK = "127.0.0.1"


def engine_command(instance, engine, models_dir):
    """Return the instance's argument vector, a list of texts.

    engine: {"path", "options", "package"} of the runtime, as role runtime finds it: `options` are the names that this
    version has, [] where they are not known; `package` the Python package that it is of; runtime command needs none.
    Threads and NUMA are never left to the engine's guess.
    Raises PlanError for an engine that is not known, a model without a file, and for a command line that would
    contradict the plan's placement.
    """
    render = COMMANDS.get(instance["runtime"])
    if not render:
        raise PlanError("%s: runtime is %r; it must be one of %s." % (
            instance["name"], instance["runtime"], ", ".join(COMMANDS)))
    path = model_path(instance, models_dir)
    instance = dict(instance, arguments=with_model_file(instance["arguments"], path))
    if instance["runtime"] != "command" and not (engine or {}).get("path"):
        raise PlanError("%s: the engine of runtime %s is not known; role inference.host.runtime sets it in "
                        "runtime_engines." % (instance["name"], instance["runtime"]))
    words = prefix_words(instance) + [str(word) for word in render(instance, engine or {}, path)]
    check_placement(instance, words)
    return words


def model_path(instance, models_dir):
    """Return where the model's file or folder is on the host, or None for a model without."""
    return "%s/%s" % (models_dir, instance["model_file"]) if instance["model_file"] else None


def needed_path(instance, path):
    if path is None:
        raise PlanError("%s: its model %s has no file; give model.source and model.sha256." % (
            instance["name"], instance["model"]))
    return path


def llama_cpp(instance, engine, path):
    """llama-server's words. `--numa numactl` keeps the placement that systemd gave (`distribute` and `isolate` would
    override it). `context` is for each of the `parallel` slots, llama.cpp's `--ctx-size` is for all."""
    options = {
        "--host": LOOPBACK,
        "--port": instance["port"],
        "--model": needed_path(instance, path),
        "--alias": instance["service"],
        "--threads": instance["threads"],
        "--threads-batch": instance["threads_batch"],
        "--ctx-size": instance["context"] * instance["parallel"],
        "--parallel": instance["parallel"],
        "--batch-size": instance["batch"],
        "--ubatch-size": instance["ubatch"],
        "--cache-type-k": instance["cache_type"],
        "--cache-type-v": instance["cache_type"],
        "--cache-ram": instance["cache_ram_mib"],
    }
    if instance["numa_policy"] != "none":
        options["--numa"] = "numactl"
    if instance["gpu_layers"] is not None:
        options["--gpu-layers"] = instance["gpu_layers"]
    known = engine.get("options") or []
    unknown = unknown_arguments(instance["arguments"], known)
    if unknown:
        raise PlanError("%s: arguments has %s, which the engine on the host does not know." % (
            instance["name"], ", ".join(unknown)))
    words = [engine["path"]] + option_words(options) + load_mode_words(instance["load_mode"], known)
    words += ["--metrics", "--offline"] + no_ui_words(known)
    if not any(word.split("=")[0] == "--cors-origins" for word in instance["arguments"]):
        # By itself it lets every page that a browser shows ask it.
        words += cors_words("localhost", known)
    return words + instance["arguments"]


def vllm(instance, engine, path):
    """vLLM's words. It takes its key only from its command line or environment, so that it gets none: nginx, which
    alone reaches it, asks for the key."""
    options = {
        "--host": LOOPBACK,
        "--port": instance["port"],
        "--served-model-name": instance["service"],
        "--tensor-parallel-size": instance["tensor_parallel"],
        "--max-model-len": instance["context"],
        "--max-num-seqs": instance["parallel"],
    }
    if instance["gpu_share"] is not None:
        options["--gpu-memory-utilization"] = instance["gpu_share"]
    words = [engine["path"], "serve", needed_path(instance, path)] + option_words(options)
    if len(instance["gpus"]) > 1 and not instance["p2p"]:
        # Its own all-reduce between two GPUs takes the driver's word, and heeds no NCCL variable (vllm #51513, #45004).
        words.append("--disable-custom-all-reduce")
    return words + instance["arguments"]


def whisper(instance, engine, path):
    """whisper.cpp's server: one process an instance, with the plan's threads.

    A Python package (a server for faster-whisper, say) has options of its own: all of them are the user's.
    """
    if engine.get("package"):
        return [engine["path"]] + instance["arguments"]
    for word in instance["arguments"]:
        if word.split("=")[0] in PLANNED_OPTIONS["whisper"].difference(() if path else MODEL_OPTIONS):
            raise PlanError("%s: arguments has %s, which the plan sets for whisper.cpp's server." % (
                instance["name"], word))
    options = {"--host": LOOPBACK, "--port": instance["port"], "--threads": instance["threads"], "--processors": 1}
    if path:
        options["--model"] = path
    return [engine["path"]] + option_words(options) + ([] if instance["gpus"] else ["--no-gpu"]) + instance["arguments"]


def command(instance, engine, path):
    """The user's own words, with the model's file for its name."""
    return with_model_file(instance["command"], path) + instance["arguments"]


def option_words(options):
    return [word for pair in options.items() for word in pair]


COMMANDS = {"llama_cpp": llama_cpp, "vllm": vllm, "whisper": whisper, "command": command,
            "container": container_command}
