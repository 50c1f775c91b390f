#!/usr/bin/python
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Daemons of packages with files of ours, in one remote call; the thinking is in module_utils/daemons_work.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: daemons
short_description: Has daemons run with a set of files, in one remote call
version_added: 0.1.0
author:
  - inference.host contributors (@inference-host)
description:
  - Installs the packages that are missing, without letting them start with settings of their own.
  - Writes the files as one transaction, checks them, enables the units and starts those that do not run, or run with
    other files, and waits until each one answers. Where one of that fails, every file is put back, and what did not run
    before is stopped and disabled.
  - Each unit that is to follow its files sets C(INFERENCE_REVISION) to a digest of them. What runs is asked, not
    remembered, so a run that was killed is simply repeated.
  - Units whose files go are stopped before.
  - Check mode changes nothing and says what there is.
options:
  state:
    description: V(restored) stops and disables the units that did not run before the first call, and does nothing else.
    type: str
    choices: [present, restored]
    default: present
  packages:
    description: Debian packages that there have to be.
    type: list
    elements: str
    default: []
  files:
    description:
      - The files of the set. A line that ends in C(#? ipv6) is written only where the host has it, without that mark.
    type: list
    elements: dict
    default: []
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
      owner:
        description: User that the file shall belong to.
        type: str
      group:
        description: Group that the file shall belong to.
        type: str
      sensitive:
        description: Keeps the content out of the diff, the messages and the result.
        type: bool
        default: false
  absent:
    description: Globs of files that belong to the set. Those that match and are not in O(files) are removed.
    type: list
    elements: str
    default: []
  directories:
    description: Directories that are made, or corrected, before the files.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: str
        required: true
      mode:
        description: Four octal digits, in quotes.
        type: str
        default: "0755"
      owner:
        description: User that the directory shall belong to.
        type: str
      group:
        description: Group that the directory shall belong to.
        type: str
  validate:
    description: Commands, as lists of words, that have to accept the files, run where some of them changed.
    type: list
    elements: list
    default: []
  units:
    description: Units that are to run.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the unit.
        type: str
        required: true
      url:
        description: Where it has to answer with status 200 on the host.
        type: str
  nginx:
    description: For a set with files of nginx, how nginx of the host tells that it has loaded them.
    type: dict
    suboptions:
      url:
        description: Where it answers with the revision.
        type: str
        required: true
      revision:
        description: File that the module writes, from which that location answers.
        type: path
        required: true
  before:
    description: File that keeps how the units were before the first call.
    type: path
    required: true
  wait_seconds:
    description: Longest wait for each to answer.
    type: int
    default: 30
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - inference.host.attributes
  - inference.host.baseline
"""

EXAMPLES = r"""
- name: Have an exporter that only this host reaches
  inference.host.daemons:
    packages: [prometheus-node-exporter]
    files:
      - path: /etc/systemd/system/prometheus-node-exporter.service.d/inference.conf
        content: |
          [Service]
          Environment=INFERENCE_REVISION=1
          ExecStart=
          ExecStart=/usr/bin/prometheus-node-exporter --web.listen-address=127.0.0.1:9100
    directories:
      - path: /etc/systemd/system/prometheus-node-exporter.service.d
    units:
      - name: prometheus-node-exporter.service
        url: http://127.0.0.1:9100/metrics
    before: /var/lib/inference.host/monitoring-before
    baseline: /var/lib/inference.host/baseline
    baseline_name: 60-inference-monitoring

- name: Stop what did not run before
  inference.host.daemons:
    state: restored
    before: /var/lib/inference.host/monitoring-before
"""

RETURN = r"""
actions:
  description: What was done besides the files, or would be, such as C(install PACKAGE), C(restart UNIT), C(load nginx).
  returned: success
  type: list
  elements: str
changed_paths:
  description: Files and directories that were changed, in the order of the work.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.inference.host.plugins.module_utils import (
    atomic,
    baseline,
    daemons_work,
    file_diff,
    file_set,
    nginx_registry,
    packages,
    stop_signals,
    systemd,
)

ATTRIBUTES = {"path": {"type": "str", "required": True}, "owner": {"type": "str"}, "group": {"type": "str"}}

ARGUMENT_SPEC = {
    "state": {"type": "str", "choices": ["present", "restored"], "default": "present"},
    "packages": {"type": "list", "elements": "str", "default": []},
    # no_log keeps the contents out of the system's log. What is secret in the result is set by _secrets.
    "files": {"type": "list", "elements": "dict", "default": [], "no_log": True, "options": dict(
        ATTRIBUTES,
        content={"type": "str", "required": True},
        mode={"type": "str", "default": "0644"},
        sensitive={"type": "bool", "default": False},
    )},
    "absent": {"type": "list", "elements": "str", "default": []},
    "directories": {"type": "list", "elements": "dict", "default": [], "options": dict(
        ATTRIBUTES, mode={"type": "str", "default": "0755"})},
    "validate": {"type": "list", "elements": "list", "default": []},
    "units": {"type": "list", "elements": "dict", "default": [], "options": {
        "name": {"type": "str", "required": True}, "url": {"type": "str"}}},
    "nginx": {"type": "dict", "options": {
        "url": {"type": "str", "required": True}, "revision": {"type": "path", "required": True}}},
    "before": {"type": "path", "required": True},
    "wait_seconds": {"type": "int", "default": 30},
    "baseline": {"type": "path"},
    "baseline_name": {"type": "str"},
}

SECRET_LENGTH = 8
"""Shorter lines of sensitive files are not masked in messages: they would mask ordinary words."""

FAULTS = (file_set.FileSetError, baseline.BaselineError, nginx_registry.RegistryError, packages.PackageError,
          systemd.UnitError)


def main():
    """Carry the arguments to daemons_work and its answer back."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True,
                           required_together=[("baseline", "baseline_name")])
    params = module.params
    module.no_log_values = {line.strip() for item in params["files"] if item["sensitive"]
                            for line in item["content"].splitlines() if len(line.strip()) >= SECRET_LENGTH}
    stop_signals.raise_as(file_set.FileSetError)
    work = daemons_work.Work(params, module.run_command, nginx_registry.Registry())
    try:
        if params["state"] == "restored":
            work.restore(module.check_mode)
        elif module.check_mode:
            work.look()
        else:
            with atomic.locked(file_set.lock_path()):
                work.carry_out()
    except FAULTS as error:
        module.fail_json(msg=str(error), invocation=_invocation(params))
    except OSError as error:
        says = "%s cannot be used: %s" % (error.filename, atomic.words(error))
        module.fail_json(msg=says, invocation=_invocation(params))
    paths = file_set.changed_paths(work.plan)
    result = {"changed": bool(paths or work.actions), "actions": work.actions, "changed_paths": paths,
              "invocation": _invocation(params)}
    if module._diff:
        result["diff"] = file_diff.diff(work.plan)
    module.exit_json(**result)


def _invocation(params):
    """Return the arguments for the result without the contents, which the controller knows already."""
    files = [dict(item, content="({} characters)".format(len(item["content"]))) for item in params["files"]]
    return {"module_args": dict(params, files=files)}


if __name__ == "__main__":
    main()
