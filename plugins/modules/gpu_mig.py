#!/usr/bin/python
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Switches the MIG mode of NVIDIA cards."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: gpu_mig
short_description: Switches the MIG mode of NVIDIA cards that no process uses
version_added: 0.1.0
author:
  - inference.host contributors (@inference-host)
description:
  - Brings all cards that know MIG to one mode by C(nvidia-smi -mig). Cards without MIG are left alone.
  - Fails, before any card is changed, where a process uses one that is to change, or where that cannot be told.
    Processes are those that C(nvidia-smi) lists as computing.
  - Makes no parts of a card. Some cards take the mode at their next reset or boot only; RV(reboot_required) tells.
  - Each call of C(nvidia-smi) has a time limit.
options:
  enabled:
    description: Whether MIG mode is to be on.
    type: bool
    required: true
  command:
    description: Path of C(nvidia-smi). By default it is looked for.
    type: path
  seconds:
    description: Longest wait for one call. Without the persistence daemon each waits while all cards start.
    type: int
    default: 60
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - inference.host.attributes
"""

EXAMPLES = r"""
- name: Switch MIG mode off
  inference.host.gpu_mig:
    enabled: false
"""

RETURN = r"""
cards:
  description:
    - One dictionary a card with C(address), C(uuid), and C(current) and C(pending), which are null without MIG. In
      check mode as they would be.
  returned: success
  type: list
  elements: dict
  sample:
    - address: "0000:31:00.0"
      uuid: GPU-00000000-0000-0000-0000-000000000001
      current: false
      pending: true
reboot_required:
  description: A sentence for each card whose mode waits for a reset or a reboot.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.inference.host.plugins.module_utils.discovery.nvidia_smi import find_program
from ansible_collections.inference.host.plugins.module_utils.mig import Cards, MigError, waiting, word


def main():
    """Carry the wish to the cards."""
    module = AnsibleModule(
        argument_spec={
            "enabled": {"type": "bool", "required": True},
            "command": {"type": "path"},
            "seconds": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    command = module.params["command"] or find_program("nvidia-smi")
    if not command:
        module.fail_json(msg="nvidia-smi is not installed, so that no MIG mode can be switched.")
    try:
        before, cards, changed = Cards(command, module.params["seconds"]).bring_to(
            module.params["enabled"], module.check_mode)
    except MigError as error:
        module.fail_json(msg=str(error))
    result = {"changed": changed, "cards": cards, "reboot_required": waiting(cards)}
    if module._diff:
        result["diff"] = {"before": _text(before), "after": _text(cards)}
    module.exit_json(**result)


def _text(cards):
    return "".join("%s: MIG %s, pending %s\n" % (card["address"], word(card["current"]), word(card["pending"]))
                   for card in cards)


if __name__ == "__main__":
    main()
