#!/usr/bin/python
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Applies a list of kernel settings in one call; the thinking is in module_utils/tunables.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: tunables
short_description: Applies and persists a list of kernel settings in one call
version_added: 0.1.0
author:
  - inference.host contributors (@inference-host)
description:
  - Reads all settings, compares them as the kernel prints them, writes what differs, reads back, and tells for each
    what was, what was wanted and what is.
  - Persists what applies here to one file in C(/etc/sysctl.d) and one in C(/etc/tmpfiles.d), each only when needed.
  - Keeps the values that it replaces, as they were first seen.
  - Two runs at once wait for each other.
options:
  settings:
    description: The settings, applied in this order.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the sysctl, or any name for a file below C(/sys) or C(/proc).
        type: str
        required: true
      value:
        description: The wanted value. Of a file with a choice in brackets, the chosen word.
        type: str
        required: true
      kind:
        description: Whether this is a sysctl or a file.
        type: str
        choices: [sysctl, sysfs]
        required: true
      path:
        description: File or glob below C(/sys) or C(/proc), for O(settings[].kind=sysfs) only.
        type: str
      role:
        description: The role that the setting belongs to. Not used; it lets the rows of a plan be passed as they are.
        type: str
      reason:
        description: Why this value. Stands as a comment in the persistent file.
        type: str
      evidence:
        description: How well the value is founded.
        type: str
        choices: [measured, vendor, convention]
      applies:
        description: Whether the setting applies to this host. When false, it is only reported.
        type: bool
        default: true
      why_not:
        description: Why the setting does not apply.
        type: str
  persist_to:
    description: Name, without ending, of the files in C(/etc/sysctl.d) and C(/etc/tmpfiles.d).
    type: str
    required: true
  baseline:
    description: Directory that keeps the first-seen values, in one JSON file for each O(persist_to).
    type: str
    default: /var/lib/inference.host/baseline
  root:
    description: Folder in front of every path, also of O(baseline).
    type: str
    default: /
  fail_on_refused:
    description: Whether the module fails, after all other settings are done, when the system refused one.
    type: bool
    default: true
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
    details: What the kernel refuses or clips shows only when it is written; check mode reports it as V(changed).
  diff_mode:
    support: full
  platform:
    platforms: linux
"""

EXAMPLES = r"""
- name: Apply the memory settings of the plan
  inference.host.tunables:
    settings: "{{ __plan.settings | selectattr('role', 'equalto', 'memory') }}"
    persist_to: 60-inference-memory

- name: Set swappiness and the scheduler of all NVMe disks
  inference.host.tunables:
    persist_to: 60-inference
    settings:
      - name: vm.swappiness
        kind: sysctl
        value: "10"
        reason: keep the engine's own memory in RAM
        evidence: convention
      - name: scheduler
        kind: sysfs
        path: /sys/block/nvme*n*/queue/scheduler
        value: none
        reason: NVMe queues in hardware
        evidence: convention
"""

RETURN = r"""
results:
  description: One entry for each file of each setting. A setting that does not apply has one entry.
  returned: always, unless an argument is wrong
  type: list
  elements: dict
  contains:
    name:
      description: As given.
      type: str
    kind:
      description: As given.
      type: str
    pattern:
      description: The file or glob of the setting.
      type: str
    path:
      description: The file.
      type: str
    before:
      description: The value before, or null.
      type: str
    wanted:
      description: The wanted value.
      type: str
    after:
      description: The value now, or in check mode the value that would be; null where there is none.
      type: str
    status:
      description: V(ok), V(changed), V(partial), V(not_applicable) or V(refused).
      type: str
    reason:
      description: As given.
      type: str
    evidence:
      description: As given.
      type: str
    detail:
      description: Why the setting does not apply, what the kernel took instead, or the system's error in words.
      type: str
summary:
  description: How many results have each status.
  returned: always, unless an argument is wrong
  type: dict
  sample: {changed: 1, not_applicable: 3, ok: 12, partial: 0, refused: 0}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.inference.host.plugins.module_utils import atomic, tunables

ARGUMENT_SPEC = {
    "settings": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "value": {"type": "str", "required": True},
            "kind": {"type": "str", "choices": ["sysctl", "sysfs"], "required": True},
            "path": {"type": "str"},
            "role": {"type": "str"},
            "reason": {"type": "str"},
            "evidence": {"type": "str", "choices": ["measured", "vendor", "convention"]},
            "applies": {"type": "bool", "default": True},
            "why_not": {"type": "str"},
        },
    },
    "persist_to": {"type": "str", "required": True},
    "baseline": {"type": "str", "default": "/var/lib/inference.host/baseline"},
    "root": {"type": "str", "default": "/"},
    "fail_on_refused": {"type": "bool", "default": True},
}


def main():
    """Carry the arguments to tunables and its answer back."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    settings, stem, root, baseline = (module.params[name] for name in ("settings", "persist_to", "root", "baseline"))
    try:
        tunables.check_settings(settings, stem)
        if module.check_mode:
            rows, pending = tunables.foresee(settings, stem, root)
        else:
            rows, pending = tunables.apply(settings, stem, root, baseline)
    except tunables.TunablesError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename} cannot be used: {atomic.words(error)}")
    result = {"changed": tunables.changed(rows, pending), "results": rows, "summary": tunables.summary(rows)}
    if module._diff:
        result["diff"] = tunables.diff(rows, pending)
    refusal = tunables.refusal(rows)
    if refusal and module.params["fail_on_refused"]:
        module.fail_json(msg=refusal, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
