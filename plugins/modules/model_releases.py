#!/usr/bin/python
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lists, switches and prunes releases on the host; the thinking is in module_utils/release_store.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: model_releases
short_description: Lists the releases of models, says which is current, and removes old ones
version_added: 0.1.0
author:
  - inference.host contributors (@inference-host)
description:
  - Returns what releases the host has of which models. They are put there by M(inference.host.model_release).
  - With O(current) the link C(current) of models is pointed to releases that are installed.
  - With O(keep) old releases are removed.
options:
  models_dir:
    description: Absolute path of the folder of all models on the host.
    type: path
    required: true
  current:
    description: Releases by model name that C(current) is to point to. All must be installed, or nothing is changed.
    type: dict
    default: {}
  keep:
    description:
      - So many releases of each model stay, the newest. Those in O(current) and O(needed), those that C(current) points
        to, and those that a unit file on the host names stay as well.
      - 0 removes nothing.
    type: int
    default: 0
  needed:
    description: Releases by model name that are not removed.
    type: dict
    default: {}
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - inference.host.attributes.no_text
"""

EXAMPLES = r"""
- name: See which releases there are
  inference.host.model_releases:
    models_dir: /var/lib/inference/models
  register: found

- name: Show those of one model, the newest first
  ansible.builtin.debug:
    msg: "{{ found.models['gemma-3-270m'] | map(attribute='release') }}"

- name: Go back to a release, and keep three
  inference.host.model_releases:
    models_dir: /var/lib/inference/models
    current:
      gemma-3-270m: a5fd3b62230a
    keep: 3
"""

RETURN = r"""
models:
  description: The releases of each model by its name, the newest first, as they are after this call.
  returned: success
  type: dict
  sample:
    gemma-3-270m:
      - release: a5fd3b62230a
        installed: "2026-11-21T08:00:00Z"
        current: true
        source: /home/me/models/gemma-3-270m-q4_k_m.gguf
        opened: gemma-3-270m-q4_k_m.gguf
        files:
          gemma-3-270m-q4_k_m.gguf: a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
        check:
        size_bytes: 253000000
switched:
  description: Names of the models whose C(current) was changed.
  returned: success
  type: list
  elements: str
pruned:
  description: Releases that were removed, as C(NAME/RELEASE).
  returned: success
  type: list
  elements: str
"""

import contextlib
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.inference.host.plugins.module_utils import atomic
from ansible_collections.inference.host.plugins.module_utils.errors import ReleaseError
from ansible_collections.inference.host.plugins.module_utils.incoming import locked
from ansible_collections.inference.host.plugins.module_utils.release_store import (
    installed_models,
    installed_releases,
    prune,
    read_unit_files,
    served_releases,
    switch,
)

ARGUMENT_SPEC = {
    "models_dir": {"type": "path", "required": True},
    "current": {"type": "dict", "default": {}},
    "keep": {"type": "int", "default": 0},
    "needed": {"type": "dict", "default": {}},
}


def main():
    """Carry the arguments to the folder of the models and what is found back."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    os.umask(0o022)
    models_dir = module.params["models_dir"]
    try:
        result = run(models_dir, module.params, module.check_mode)
    except ReleaseError as error:
        start = "model '%s': " % error.model if error.model else ""
        module.fail_json(msg="%s%s." % (start, error))
    except OSError as error:
        module.fail_json(msg="%s cannot be used: %s." % (error.filename or models_dir, atomic.words(error)))
    module.exit_json(**result)


def run(models_dir, params, only_look):
    """Switch, then prune, then look."""
    current = {name: str(release) for name, release in (params["current"] or {}).items()}
    needed = {(name, str(release)) for name, release in (params["needed"] or {}).items()} | set(current.items())
    writes = (current or params["keep"]) and not only_look and os.path.isdir(models_dir)
    with locked(models_dir) if writes else contextlib.nullcontext():
        switched = switch(models_dir, current, only_look)
        pruned = []
        if params["keep"]:
            needed |= served_releases(models_dir, read_unit_files())
            pruned = prune(models_dir, params["keep"], needed, only_look)
    models = {name: installed_releases(models_dir, name) for name in installed_models(models_dir)}
    return {"changed": bool(switched or pruned), "models": models, "switched": switched, "pruned": pruned}


if __name__ == "__main__":
    main()
