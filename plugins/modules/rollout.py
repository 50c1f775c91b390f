#!/usr/bin/python
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings one instance to a new release, or back; the thinking is in module_utils/rollout.py and completion.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rollout
short_description: Brings one running instance to new unit files without cutting an answer
version_added: 0.1.0
author:
  - inference.host contributors (@inference-host)
description:
  - Lets nginx send no more to the instance and waits until running answers have ended, writes the files, restarts the
    unit, waits until it is healthy, reads back where it runs, asks it for one real completion, and only then lets
    nginx send to it again.
  - When any of that fails the old files are put back, the unit is restarted with them, and the module fails and says
    so.
  - Whether there is anything to do is read from what runs. A run that was killed is repeated from the beginning, with
    the files from before the killed run as those to go back to.
  - Where nginx does not know the instance, only the connections that stand are awaited.
options:
  instance:
    description:
      - The instance as it stands in the plan. Of it are read C(unit), C(service), C(index), C(runtime), C(port),
        C(health), C(model_file), C(cpus), C(numa_policy) and C(numa_range).
    type: dict
    required: true
  files:
    description: The files that make up the unit. Others are left alone.
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
  models_dir:
    description:
      - Folder of all models on the host. The release's C(manifest.json) there says what the completion must be, under
        C(check), with C(prompt), C(expect) (a text that the answer must contain) and C(max_tokens).
      - Without that any text will do. Runtimes that do not answer prompts with text are asked for their health alone.
    type: path
    required: true
  api_key:
    description: Key that the instance wants to see.
    type: str
  drain_seconds:
    description: How long running answers may take to end. What is longer is cut, and that is said.
    type: int
    default: 600
  answer_seconds:
    description: How long the completion may take.
    type: int
    default: 300
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - inference.host.attributes
  - inference.host.baseline
"""

EXAMPLES = r"""
- name: Bring the instances to their new release, one after the other
  inference.host.rollout:
    instance: "{{ item }}"
    files:
      - path: /etc/systemd/system/{{ item.unit }}.d/placement.conf
        content: "{{ lookup('ansible.builtin.template', 'placement.conf.j2', template_vars={'instance': item}) }}"
    models_dir: /var/lib/inference/models
  loop: "{{ inference_plan.instances }}"
"""

RETURN = r"""
unit:
  description: Name of the unit.
  returned: success
  type: str
  sample: inference-chat@0.service
drained:
  description: How the running answers ended; null when nothing was to be done.
  returned: success
  type: str
  sample: drained in 1.2 s
summary:
  description: What was done, in one line.
  returned: success
  type: str
  sample: "inference-chat@0.service: drained in 1.2 s, restarted, and answers ' Paris'"
answer:
  description: Text of the completion; null when none was asked for.
  returned: success
  type: str
  sample: " Paris"
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.inference.host.plugins.module_utils import (
    atomic,
    baseline,
    completion,
    file_diff,
    file_set,
    nginx_registry,
    rollout,
    stop_signals,
    systemd,
)

PATH = {"type": "str", "required": True}
ARGUMENT_SPEC = {
    "instance": {"type": "dict", "required": True},
    "files": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "path": PATH,
            "content": {"type": "str", "required": True},
            "mode": {"type": "str", "default": "0644"},
        },
    },
    "directories": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"path": PATH, "mode": {"type": "str", "default": "0755"}},
    },
    "models_dir": {"type": "path", "required": True},
    "api_key": {"type": "str", "no_log": True},
    "drain_seconds": {"type": "int", "default": 600},
    "answer_seconds": {"type": "int", "default": 300},
    "baseline": {"type": "path"},
    "baseline_name": {"type": "str"},
}


def main():
    """Carry the arguments to the rollout and its answer back."""
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        supports_check_mode=True,
        required_together=[("baseline", "baseline_name")],
    )
    check_stop = stop_signals.raise_as(rollout.RolloutError)
    try:
        result = _run(module, check_stop)
    except (rollout.RolloutError, file_set.FileSetError, baseline.BaselineError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg="%s cannot be used: %s." % (error.filename, atomic.words(error)))
    module.exit_json(**result)


def _run(module, check_stop):
    """Return the module's result."""
    params = module.params
    files = [dict(item, sensitive=False) for item in params["files"]]
    directories = params["directories"]
    root = os.environ.get("INFERENCE_INSTANCE_TEST_ROOT", "")
    run = stop_signals.commands(module.run_command, check_stop)
    one = rollout.Rollout(params["instance"], systemd.Systemd(run), nginx_registry.Registry(root),
                          params["drain_seconds"], lambda: _ask(params), check_stop)
    one.check_port()
    if module.check_mode:
        plan = file_set.make_plan(files, [], directories, check_mode=True)
        needed = one.is_needed(plan)
    else:
        with atomic.locked(file_set.lock_path(root)):
            unfinished = file_set.recover(files, [])
            for path in unfinished:
                module.warn("An earlier run was cut off; %s was put back first." % path)
            plan = file_set.make_plan(files, [], directories)
            needed = bool(unfinished) or one.is_needed(plan)
            if needed:
                one.carry_out(plan, params["baseline"], params["baseline_name"])
    result = {"changed": needed, "unit": one.unit, "drained": one.drained, "answer": one.answer,
              "summary": one.summary(needed, module.check_mode)}
    if module._diff:
        result["diff"] = file_diff.diff(plan)
    return result


def _ask(params):
    """Ask the instance for a completion and return its text; None for a runtime that has no such answers."""
    instance = params["instance"]
    if instance["runtime"] not in completion.RUNTIMES:
        return None
    release = "/".join(instance["model_file"].split("/")[:2])
    manifest = systemd.read(os.path.join(params["models_dir"], release, "manifest.json"))
    check = completion.check_of(manifest.decode("utf-8", "replace"))
    try:
        return completion.complete(
            instance["port"], check, instance["service"], params["api_key"], params["answer_seconds"])
    except completion.CompletionError as error:
        raise rollout.RolloutError("its completion %s." % error) from None


if __name__ == "__main__":
    main()
