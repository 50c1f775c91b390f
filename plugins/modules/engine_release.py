#!/usr/bin/python
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts an engine in its place once it has proved itself; the thinking is in module_utils/engine_store.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: engine_release
short_description: Accepts an inference engine that has proved itself
version_added: 0.1.0
author:
  - inference.host contributors (@inference-host)
description:
  - Takes an engine from an archive on the controller, a program that is on the host already, or a virtual environment
    that was made on the host.
  - The engine has to prove itself first. llama.cpp loads a tiny model with random weights, which the module writes, and
    generates one token, as user nobody and within O(seconds). An engine that was built for another processor says
    its version and dies there. A virtual environment has to import its module.
  - A folder appears in its place only when its engine was accepted. What is refused leaves nothing, and an engine that
    was there before stays.
options:
  runtime:
    description: Name of the runtime.
    type: str
    required: true
  title:
    description: What the engine is called in messages.
    type: str
    required: true
  release:
    description: Folder of the engine on the host. Its parent is made when missing.
    type: path
    required: true
  src:
    description: Archive on the controller, a tar, a zip or a wheel; its checksum was compared before.
    type: path
  program:
    description:
      - With O(src) the program's name or its path in the archive. It is found as C(bin/NAME) in O(release) afterwards,
        its libraries stay beside it.
      - With O(distribution) its path in the virtual environment, else its absolute path on the host.
    type: str
    required: true
  distribution:
    description: Package that the virtual environment O(release) was made for.
    type: str
  module:
    description: Module that has to be importable there.
    type: str
  min_build:
    description: Least build number.
    type: int
  stated_build:
    description: Build number of an engine that does not tell its own.
    type: int
  build_variable:
    description: The variable that states it, for messages.
    type: str
    default: stated_build
  seconds:
    description: Time that the trial may take.
    type: int
    default: 60
  archive:
    description: Internal. The archive on the host, set by the action plugin.
    type: path
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
    description: Nothing is done; the task reports a change.
  diff_mode:
    support: none
    details: The content is not text.
  platform:
    platforms: linux
"""

EXAMPLES = r"""
- name: Install an official release
  inference.host.engine_release:
    runtime: llama_cpp
    title: llama.cpp
    release: /opt/inference/llama.cpp/0123456789ab
    src: ~/downloads/llama-b11312-bin-ubuntu-x64.tar.gz
    program: llama-server
    min_build: 8146

- name: Accept a program that is there
  inference.host.engine_release:
    runtime: llama_cpp
    title: llama.cpp
    release: /opt/inference/llama.cpp/ba9876543210
    program: /usr/local/bin/llama-server
    min_build: 8146
"""

RETURN = r"""
path:
  description: Path of the accepted program.
  returned: success
  type: str
  sample: /opt/inference/llama.cpp/0123456789ab/bin/llama-server
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.inference.host.plugins.module_utils.atomic import words
from ansible_collections.inference.host.plugins.module_utils.engine_run import EngineError
from ansible_collections.inference.host.plugins.module_utils.engine_store import Store

ARGUMENT_SPEC = {
    "runtime": {"type": "str", "required": True},
    "title": {"type": "str", "required": True},
    "release": {"type": "path", "required": True},
    "src": {"type": "path"},
    "program": {"type": "str", "required": True},
    "distribution": {"type": "str"},
    "module": {"type": "str"},
    "min_build": {"type": "int"},
    "stated_build": {"type": "int"},
    "build_variable": {"type": "str", "default": "stated_build"},
    "seconds": {"type": "int", "default": 60},
    "archive": {"type": "path"},
}


def main():
    """Carry the arguments in and the path out."""
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        required_together=[("distribution", "module")],
        mutually_exclusive=[("src", "distribution")],
        supports_check_mode=True,
    )
    os.umask(0o022)
    params = module.params
    if module.check_mode:
        module.exit_json(changed=True, path=os.path.join(params["release"], params["program"]))
    store = Store(*(params[key] for key in ("release", "runtime", "title", "min_build", "stated_build",
                                            "build_variable")))
    try:
        if params["archive"]:
            store.install_archive(params["archive"], params["program"], params["seconds"])
        elif params["distribution"]:
            store.accept_environment(params["program"], params["distribution"], params["module"], params["seconds"])
        else:
            store.accept_program(params["program"], params["seconds"])
    except EngineError as error:
        module.fail_json(msg="%s was refused: %s. Nothing was installed." % (params["title"], error))
    except OSError as error:
        module.fail_json(msg="%s was not installed: %s: %s. Nothing was installed." % (
            params["title"], error.filename or params["release"], words(error)))
    module.exit_json(changed=True, path=os.path.join(params["release"], store.record()["program"]))


if __name__ == "__main__":
    main()
