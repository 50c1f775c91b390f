# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: verify_rows
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: What a host was asked, as rows that can be compared
description:
  - Turns the answers of modules that ran in check mode into rows of one shape, one a setting.
  - Each row has C(host), C(area), C(setting), C(wanted), C(found), C(persisted), C(status) and C(note), all of them one
    line of text. The status is C(ok), C(drift), C(partial), C(refused), C(not_applicable) or C(unreachable).
  - Made for role P(inference.host.verify#role), whose variables name the answers.
options:
  _input:
    description: The host's plan, or an empty mapping where none could be made.
    type: dict
    required: true
  answers:
    description: What the modules answered; C(failure) is the result of the task that kept the host from being read.
    type: dict
    required: true
  host:
    description: Name of the host.
    type: str
    required: true
  secrets:
    description: Texts that must not be in any row.
    type: list
    elements: str
    required: false
"""

EXAMPLES = """
- name: Show what is said of a host that did not answer
  ansible.builtin.debug:
    msg: "{{ ({} | inference.host.verify_rows(answers, 'gpu1') | first).status }}"
  vars:
    answers: {failure: {msg: no route to host}, unreachable: true}
  # => unreachable
"""

RETURN = """
_value:
  description: The rows.
  type: list
  elements: dict
"""

from ansible_collections.inference.host.plugins.module_utils.verify_rows import verify_rows
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"verify_rows": as_filter("verify_rows", verify_rows)}
