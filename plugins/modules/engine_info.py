#!/usr/bin/python
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tells which engines a host has; the thinking is in module_utils/engine_found.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: engine_info
short_description: Tells which inference engines a host has
version_added: 0.1.0
author:
  - inference.host contributors (@inference-host)
description:
  - Finds each engine, its build number, its version and the options that it knows, in one remote call.
  - llama.cpp is asked itself (C(--version), C(--help)), as user nobody; that takes some milliseconds. A virtual
    environment is asked by its package's metadata.
  - Nothing is changed. What is wrong with an engine is told in its C(problem) and does not fail the module.
options:
  engines:
    description: What is looked for.
    type: list
    elements: dict
    required: true
    suboptions:
      runtime:
        description: Name of the runtime, as services have it.
        type: str
        required: true
      title:
        description: What the engine is called in messages.
        type: str
        required: true
      kind:
        description:
          - V(store) is an engine that module M(inference.host.engine_release) has accepted.
          - V(command) are programs that services name themselves, V(container) is Podman or else Docker.
        type: str
        choices: [store, command, container]
        default: store
      release:
        description: Folder of the engine, for V(store).
        type: path
      program:
        description: Path of the program in that folder, which an engine has that is still to be installed.
        type: str
      min_build:
        description: Least build number; an older one is a problem.
        type: int
      stated_build:
        description: Build number of an engine that does not tell its own.
        type: int
      build_variable:
        description: The variable that states it, for messages.
        type: str
        default: stated_build
      distribution:
        description: Python package that the engine is of, which the answer gives back.
        type: str
      commands:
        description: First words of the services' commands, for V(command).
        type: list
        elements: str
        default: []
      images:
        description: Images that the services use, with their digests, for V(container).
        type: list
        elements: str
        default: []
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - inference.host.attributes.reads
"""

EXAMPLES = r"""
- name: Look for the engines of the plan
  inference.host.engine_info:
    engines: "{{ inference_plan | inference.host.engine_wants(places) }}"
  register: found

- name: Show which options llama.cpp has
  ansible.builtin.debug:
    msg: "{{ found.engines.llama_cpp.options }}"
"""

RETURN = r"""
engines:
  description: What was found, by runtime.
  returned: success
  type: dict
  contains:
    runtime:
      description: Name of the runtime.
      type: str
      sample: llama_cpp
    title:
      description: What the engine is called.
      type: str
      sample: llama.cpp
    path:
      description: Path of the program, also where it is still to be installed; null for commands.
      type: str
      sample: /opt/inference/llama.cpp/1ec1870634b5/bin/llama-server
    found:
      description: Whether nothing has to be installed. A service's command is not for us to install.
      type: bool
    build:
      description: Build number, its own or the stated one; null where there is none.
      type: int
      sample: 11312
    version:
      description: Version as the engine tells it.
      type: str
      sample: 0.5.0-dev
    options:
      description: Names of its options. For containers C(quadlet) where Podman makes units. Else empty.
      type: list
      elements: str
    package:
      description: Python package that the engine is of, or null.
      type: str
    missing:
      description: Images that are not on the host.
      type: list
      elements: str
    problem:
      description: Why it cannot be used although it is there, or "".
      type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.inference.host.plugins.module_utils.engine_found import find_engine

ENGINE_SPEC = {
    "runtime": {"type": "str", "required": True},
    "title": {"type": "str", "required": True},
    "kind": {"type": "str", "choices": ["store", "command", "container"], "default": "store"},
    "release": {"type": "path"},
    "program": {"type": "str"},
    "min_build": {"type": "int"},
    "stated_build": {"type": "int"},
    "build_variable": {"type": "str", "default": "stated_build"},
    "distribution": {"type": "str"},
    "commands": {"type": "list", "elements": "str", "default": []},
    "images": {"type": "list", "elements": "str", "default": []},
}


def main():
    """Carry the wishes in and the answers out."""
    engines = {"type": "list", "elements": "dict", "required": True, "options": ENGINE_SPEC,
               "required_if": [("kind", "store", ("release", "program"))]}
    module = AnsibleModule(argument_spec={"engines": engines}, supports_check_mode=True)
    answers = [find_engine(wish) for wish in module.params["engines"]]
    module.exit_json(changed=False, engines={answer["runtime"]: answer for answer in answers})


if __name__ == "__main__":
    main()
