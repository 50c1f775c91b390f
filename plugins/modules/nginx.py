#!/usr/bin/python
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""nginx as a whole in one remote call; the thinking is in module_utils/nginx_*.py, packages.py and file_set.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nginx
short_description: Installs, configures, starts and reloads nginx in one remote call
version_added: 0.1.0
author:
  - inference.host contributors (@inference-host)
description:
  - Installs the package where no nginx is found, and repairs an installation that was cut off.
  - Writes the files as one transaction. Only files that C(nginx -t) accepts stay; else the old ones are put back and
    the module fails with nginx's own sentence.
  - Enables and starts nginx, registers the instances that run, reloads, and waits until nginx answers with what was
    written. What is loaded is asked of nginx, not remembered, so a run that was killed is simply repeated.
  - A file that is read beside the configuration, such as a renewed certificate, leads to a reload as well.
  - Check mode changes nothing and says what there is.
options:
  files:
    description:
      - The files of the set. A line that ends in C(#? CONDITION) is written only where the condition holds, without it.
        Conditions are C(nginx < 1.25.1), C(nginx >= 1.25.1), C(ipv6) and C(stapling), several with commas between.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path.
        type: str
        required: true
      content:
        description: The whole content.
        type: str
        required: true
      mode:
        description: Four octal digits, in quotes.
        type: str
        default: "0644"
      sensitive:
        description: Keeps the content out of the diff, the messages and the result.
        type: bool
        default: false
  absent:
    description: Globs of files that belong to the set. Those that match and are not in O(files) are removed.
    type: list
    elements: str
    default: []
  absent_with_package:
    description: Files that Debian's package brings and that go with it, where nginx came with the first run.
    type: list
    elements: str
    default: []
  directories:
    description: Directories that are made before the files, with mode C(0755).
    type: list
    elements: str
    default: []
  revision:
    description: File that the module writes, from which nginx's location C(/-/revision) is to answer.
    type: path
    required: true
  url:
    description: Where nginx is asked on the host, without a path.
    type: str
    required: true
  instances:
    description: The host's instances. Those that run are registered, others that are registered are taken out.
    type: list
    elements: dict
    default: []
    suboptions:
      service:
        description: Name of the service.
        type: str
        required: true
      index:
        description: Number of the instance.
        type: int
        required: true
      unit:
        description: Its systemd unit.
        type: str
        required: true
  certificate:
    description: Certificate that the configuration names. It must exist.
    type: path
  key:
    description: Private key of the certificate. It must exist and be closed to other users.
    type: path
  stapling:
    description: Whether OCSP answers are stapled, where the certificate says whom to ask.
    type: bool
    default: false
  package:
    description: Package that brings nginx.
    type: str
    default: nginx-light
  before:
    description: File that keeps how nginx was before the first run, for role P(inference.host.restore#role).
    type: path
    required: true
  baseline:
    required: true
  baseline_name:
    required: true
  open_files:
    description: Files that each worker is to be allowed to open. What is less is said.
    type: int
    default: 0
  secrets:
    description: Texts that must not be in any message.
    type: list
    elements: str
    default: []
  wait_seconds:
    description: Longest wait for nginx to load what was written.
    type: int
    default: 20
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - inference.host.attributes
  - inference.host.baseline
"""

EXAMPLES = r"""
- name: Put nginx in front of the instances
  inference.host.nginx:
    files:
      - path: /etc/nginx/nginx.conf
        content: "{{ lookup('ansible.builtin.template', 'nginx.conf.j2') }}"
    revision: /etc/nginx/inference/revision.conf
    directories: [/etc/nginx/inference]
    url: http://127.0.0.1:8080
    instances:
      - {service: chat, index: 0, unit: inference-chat@0.service}
    before: /var/lib/inference.host/nginx-before
    baseline: /var/lib/inference.host/baseline
    baseline_name: 60-inference-nginx
"""

RETURN = r"""
actions:
  description: What was done besides the files, or would be; of C(install), C(enable), C(start), C(register), C(load).
  returned: success
  type: list
  elements: str
changed_paths:
  description: Files and directories that were changed, in the order of the work.
  returned: success
  type: list
  elements: str
paths:
  description: Files that there are to be, but the one of the revision.
  returned: success
  type: list
  elements: str
version:
  description: nginx's version, null where it is not installed.
  returned: success
  type: str
unit:
  description: What systemd says of C(nginx.service), such as C(ActiveState) and C(UnitFileState).
  returned: success
  type: dict
loaded:
  description: What nginx answered when it was asked which configuration it has loaded; empty for no answer.
  returned: success
  type: str
revision:
  description: What it has to answer, as the host's files say; empty where there are none.
  returned: success
  type: str
registry_loaded:
  description: Whether nginx has loaded which instances are registered.
  returned: success
  type: bool
unregistered:
  description: Instances that run and to which nginx does not send, before anything was done.
  returned: success
  type: list
  elements: str
open_files:
  description: Files that a worker may open, null where nginx does not run.
  returned: success
  type: int
wanted_open_files:
  description: The option O(open_files).
  returned: success
  type: int
notes:
  description: What was left out and why.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.inference.host.plugins.module_utils import (
    atomic,
    baseline,
    file_diff,
    file_set,
    nginx_host,
    nginx_registry,
    nginx_work,
    packages,
    stop_signals,
)

ARGUMENT_SPEC = {
    # no_log keeps the contents out of the system's log. What is secret in the result is set by _secrets.
    "files": {"type": "list", "elements": "dict", "required": True, "no_log": True, "options": {
        "path": {"type": "str", "required": True},
        "content": {"type": "str", "required": True},
        "mode": {"type": "str", "default": "0644"},
        "sensitive": {"type": "bool", "default": False},
    }},
    "absent": {"type": "list", "elements": "str", "default": []},
    "absent_with_package": {"type": "list", "elements": "str", "default": []},
    "directories": {"type": "list", "elements": "str", "default": []},
    "revision": {"type": "path", "required": True},
    "url": {"type": "str", "required": True},
    "instances": {"type": "list", "elements": "dict", "default": [], "options": {
        "service": {"type": "str", "required": True},
        "index": {"type": "int", "required": True},
        "unit": {"type": "str", "required": True},
    }},
    "certificate": {"type": "path"},
    "key": {"type": "path", "no_log": False},
    "stapling": {"type": "bool", "default": False},
    "package": {"type": "str", "default": "nginx-light"},
    "before": {"type": "path", "required": True},
    "baseline": {"type": "path", "required": True},
    "baseline_name": {"type": "str", "required": True},
    "open_files": {"type": "int", "default": 0},
    "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
    "wait_seconds": {"type": "int", "default": 20},
}

SECRET_LENGTH = 8
"""Shorter texts are not masked in messages: they would mask ordinary words."""

FAULTS = (file_set.FileSetError, baseline.BaselineError, nginx_host.HostError, nginx_registry.RegistryError,
          packages.PackageError)


def main():
    """Carry the arguments to nginx_work and its answer back."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    module.no_log_values = _secrets(params)
    stop_signals.raise_as(file_set.FileSetError)
    work = nginx_work.Work(params, module.run_command, nginx_registry.Registry())
    try:
        if module.check_mode:
            answer = work.look()
        else:
            with atomic.locked(file_set.lock_path()):
                answer = work.carry_out()
    except FAULTS as error:
        module.fail_json(msg=str(error), invocation=_invocation(params))
    except OSError as error:
        says = "%s cannot be used: %s" % (error.filename, atomic.words(error))
        module.fail_json(msg=says, invocation=_invocation(params))
    for note in answer["notes"]:
        module.warn(note)
    if answer["open_files"] is not None and answer["open_files"] < params["open_files"]:
        module.warn("Each nginx worker may open %d files, and %d are wanted: a limit above nginx keeps it." % (
            answer["open_files"], params["open_files"]))
    paths = file_set.changed_paths(work.plan)
    result = dict(answer, wanted_open_files=params["open_files"], changed=bool(paths or answer["actions"]),
                  changed_paths=paths, invocation=_invocation(params))
    if module._diff:
        result["diff"] = file_diff.diff(work.plan)
    module.exit_json(**result)


def _secrets(params):
    """Return the strings that must not be in the result: the secrets, and the lines that hold them."""
    lines = [line.strip() for item in params["files"] if item["sensitive"] for line in item["content"].splitlines()]
    return {text for text in params["secrets"] + lines if len(text) >= SECRET_LENGTH}


def _invocation(params):
    """Return the arguments for the result without the contents, which the controller knows already."""
    files = [dict(item, content="({} characters)".format(len(item["content"]))) for item in params["files"]]
    return {"module_args": dict(params, files=files, secrets=len(params["secrets"]))}


if __name__ == "__main__":
    main()
