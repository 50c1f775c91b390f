# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host as a file: its topology, and what was found of its models, so that it can be planned without being there."""

from __future__ import annotations

import json

from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.json_text import json_text

MODEL_KEYS = ("name", "size_bytes", "facts")
"""What a plan needs of a model; the rest of model_release's answer, such as paths, is no part of a recording."""

SHAPE = {"cpus": dict, "cores": list, "numa_nodes": list, "services": dict, "platform": dict, "gpus": list}
"""What every topology has, by which one is told from other JSON."""


def recording(topology, models=()):
    """Return the text of a recording: the topology's keys, and `models`.

    topology: as module `topology` returns it. models: results of module model_release. Raises PlanError for what is no
    topology.
    """
    lacking = _lacking(topology)
    if lacking:
        raise PlanError("A recording is made of a topology; this has no %s." % ", ".join(lacking))
    found = [{key: model.get(key) for key in MODEL_KEYS} for model in models]
    return json_text(dict(topology, models=found))


def recorded(text, path):
    """Return {"topology", "models"} of a recording's text; `path` is where the user said that it is.

    A file without `models`, such as the module's own answer, is a host whose models were not looked at. Raises
    PlanError for a text that is None (there is no such file), is no JSON or no recording.
    """
    if text is None:
        raise _refusal(path, "cannot be read")
    try:
        topology = json.loads(text)
    except ValueError as error:
        raise _refusal(path, "is no JSON (%s)" % error) from error
    lacking = _lacking(topology)
    if lacking:
        raise _refusal(path, "is no topology (it has no %s)" % ", ".join(lacking))
    models = topology.pop("models", [])
    if not isinstance(models, list) or not all(isinstance(model, dict) and "name" in model for model in models):
        raise _refusal(path, "has `models` that are no list of mappings with a name")
    return {"topology": topology, "models": [{key: model.get(key) for key in MODEL_KEYS} for model in models]}


def _lacking(topology):
    known = topology if isinstance(topology, dict) else {}
    return [key for key, kind in sorted(SHAPE.items()) if not isinstance(known.get(key), kind)]


def _refusal(path, problem):
    return PlanError("topology_recorded is '%s', which %s; it must be a file that playbooks/plan.yml has recorded with"
                     " -e record=FOLDER." % (path, problem))
