# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A container of the plan: the words of `podman run` or `docker run`, and the same as a Quadlet file's lines."""

from __future__ import annotations

import os

from ansible_collections.inference.host.plugins.module_utils.environment import with_model_file
from ansible_collections.inference.host.plugins.module_utils.unit_quoting import systemd_quote

BYTES_PER_MIB = 1 << 20
QUADLET = "quadlet"
"""Among the options of a podman that makes units of the files in /etc/containers/systemd: from 4.4 on."""
CDI = "nvidia.com/gpu=%d"
"""A GPU by its number in PCI order, as the NVIDIA container toolkit names it (Container Device Interface)."""


def tool_of(engine):
    """Return "podman" or "docker" by the program's name."""
    return "docker" if os.path.basename(engine["path"]).startswith("docker") else "podman"


def has_quadlet(engine):
    """Tell whether systemd units are made from Quadlet files there."""
    return tool_of(engine) == "podman" and QUADLET in (engine.get("options") or [])


def container_name(instance):
    return "inference-%s" % instance["name"]


def container_command(instance, engine, path):
    """Return the words that run the container in the foreground; see container_words."""
    name = container_name(instance)
    # What it prints goes to the journal through this very process.
    words = [engine["path"], "run", "--rm", "--name", name, "--log-driver", "none"]
    words += ["--network", "host"] if not instance["container_port"] else ["--publish", published(instance)]
    for source in mounts(instance, path):
        words += ["--volume", source]
    for device in devices(instance):
        words += ["--device", device]
    words += ["--cap-drop", "all", "--security-opt", "no-new-privileges"]
    return words + limit_words(instance) + [instance["image"]] + inner_words(instance, path)


def quadlet_lines(instance, path):
    """Return (key, value) pairs of the section [Container] of the instance's Quadlet file."""
    lines = [("Image", instance["image"]), ("ContainerName", container_name(instance))]
    lines.append(("PublishPort", published(instance)) if instance["container_port"] else ("Network", "host"))
    lines += [("Volume", source) for source in mounts(instance, path)]
    lines += [("AddDevice", device) for device in devices(instance)]
    lines += [("DropCapability", "all"), ("NoNewPrivileges", "true")]
    lines.append(("PodmanArgs", systemd_quote(limit_words(instance))))
    inner = inner_words(instance, path)
    return lines + ([("Exec", systemd_quote(inner))] if inner else [])


def published(instance):
    return "127.0.0.1:%d:%d" % (instance["port"], instance["container_port"])


def mounts(instance, path):
    """The model's release and the configuration, at the same places as on the host, to be read."""
    sources = [release_folder(instance, path)] if path else []
    sources += [instance["config_file"]] if instance["config_file"] else []
    return ["%s:%s:ro" % (source, source) for source in sources]


def release_folder(instance, path):
    """Return the folder of the release, NAME/RELEASE: the model's path is that itself, or a file below it."""
    parts = instance["model_file"].split("/")
    return path[:len(path) - sum(len(part) + 1 for part in parts[2:])]


def devices(instance):
    return [CDI % index for index in instance["gpu_indexes"]]


def limit_words(instance):
    """Placement, limits and the names of the environment, whose values come through systemd's EnvironmentFile=."""
    words = ["--cpuset-cpus=%s" % instance["cpu_range"]]
    if instance["numa_policy"] != "none":
        words.append("--cpuset-mems=%s" % instance["numa_range"])
    lock = instance["memory_lock"]
    if lock:
        bytes_ = -1 if lock == "infinity" else lock * BYTES_PER_MIB
        words.append("--ulimit=memlock=%d:%d" % (bytes_, bytes_))
    if instance["open_files"]:
        words.append("--ulimit=nofile=%d:%d" % (instance["open_files"], instance["open_files"]))
    if instance["tasks"]:
        words.append("--pids-limit=%d" % instance["tasks"])
    return words + ["--env=%s" % name for name in sorted(instance["environment"])]


def inner_words(instance, path):
    """What the image's program gets."""
    return with_model_file(instance["command"] + instance["arguments"], path)
