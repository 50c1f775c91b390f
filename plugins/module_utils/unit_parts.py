# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the units' templates need of one instance beyond the plan: where the engine and the models are on the host."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.container_command import (
    has_quadlet,
    quadlet_lines,
    release_folder,
    tool_of,
)
from ansible_collections.inference.host.plugins.module_utils.engine import engine_command, model_path
from ansible_collections.inference.host.plugins.module_utils.environment import with_model_file
from ansible_collections.inference.host.plugins.module_utils.json_text import json_text
from ansible_collections.inference.host.plugins.module_utils.unit_quoting import environment_text, systemd_quote

COMPILED = ("llama_cpp", "whisper")
"""Runtimes that make no code at run time and keep no files, unless the engine is of a Python package."""
READ_ALL = ["/bin/sh", "-c", 'find "$0" -type f -exec cat {} + >/dev/null']


def unit_parts(instance, engines, models_dir):
    """Return the texts of one instance that its unit's files are made of.

    engines: {runtime: {"path", "options", "package"}}. The answer: `kind` ("service", "podman", "docker" or "quadlet"),
    `compiled` (whether the engine makes no code at run time and keeps no files, so that its unit allows neither),
    `exec_start`, `warm_up` (an ExecStartPre= line that reads the model under the instance's own memory policy, or
    None), `environment` and `config` (texts of its files; config may be None), `container` (lines of a Quadlet file),
    `tool` (path of the container tool, or None). Raises PlanError as engine_command.
    """
    engine = engines.get(instance["runtime"]) or {}
    path = model_path(instance, models_dir)
    words = engine_command(instance, engine, models_dir)
    kind = "service"
    if instance["runtime"] == "container":
        kind = "quadlet" if has_quadlet(engine) else tool_of(engine)
    warm_up = READ_ALL + [release_folder(instance, path)] if instance["warm_up"] and path else None
    config = instance["config"]
    return {
        "kind": kind,
        "compiled": instance["runtime"] in COMPILED and not engine.get("package"),
        "exec_start": systemd_quote(words),
        "warm_up": warm_up and systemd_quote(warm_up),
        "environment": environment_text(with_model_file(instance["environment"], path)),
        "config": None if config is None else json_text(with_model_file(config, path)),
        "container": quadlet_lines(instance, path) if kind == "quadlet" else [],
        "tool": engine["path"] if kind in ("podman", "docker") else None,
    }
