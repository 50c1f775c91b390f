# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command line of an engine, from one instance of the plan."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.errors import PlanError


def engine_command(instance, binary, models_dir):
    """Return the instance's argument vector, a list of texts.

    Threads and NUMA are never left to the engine's guess: `--numa numactl` keeps the placement that systemd gave
    (`distribute` and `isolate` would override it). `context` is for each of the `parallel` slots, llama.cpp's
    `--ctx-size` is for all. Raises PlanError for a runtime that has no command line here.
    """
    if instance["runtime"] != "llama_cpp":
        raise PlanError("%s: runtime is %r; allowed is llama_cpp." % (instance["name"], instance["runtime"]))
    options = {
        "--host": "127.0.0.1",
        "--port": instance["port"],
        "--model": "%s/%s" % (models_dir, instance["model_file"]),
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
    command = [binary]
    for name, value in options.items():
        command += [name, str(value)]
    return command + ["--metrics", "--offline"] + instance["arguments"]


def systemd_quote(words):
    """Return an argument vector as one `ExecStart=` line: quotes, `%` and `$` escaped as systemd.service(5) says."""
    quoted = []
    for word in words:
        if any(ord(letter) < 32 for letter in word):
            raise PlanError("argument %r has a control character; write arguments as one line of text." % word)
        escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
        plain = escaped == word and word and not set(word) & set(" ';")
        quoted.append(word if plain else '"%s"' % escaped)
    return " ".join(quoted)


def unit_text(value):
    """Return a text as it stands between double quotes in a unit file's `Environment=` line."""
    if any(ord(letter) < 32 for letter in value):
        raise PlanError("environment value %r has a control character; write it as one line of text." % value)
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
