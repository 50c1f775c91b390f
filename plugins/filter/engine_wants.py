# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: engine_wants
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: Which engines a plan asks for, and where they come from
description:
  - Names for each runtime that the plan's instances use the folder and program to look for, and the archive or package
    that it is installed from. A variable that is missing or wrong is refused with a sentence.
options:
  _input:
    description: The plan, as filter P(inference.host.plan#filter) returns it.
    type: dict
    required: true
  settings:
    description:
      - The variables of role C(inference.host.runtime) by runtime, without C(runtime_NAME_) in front, and C(cache_dir).
    type: dict
    required: true
"""

EXAMPLES = """
- name: Show which program is looked for
  ansible.builtin.debug:
    msg: "{{ (inference_plan | inference.host.engine_wants(settings)).llama_cpp.find.program }}"
  vars:
    settings:
      cache_dir: /var/cache/engines
      llama_cpp: {from: binary, server: /usr/local/bin/llama-server, dir: /opt/inference/llama.cpp,
                  min_build: 8146, build: null, builds: {}}
  # => /usr/local/bin/llama-server
"""

RETURN = """
_value:
  description:
    - By runtime C(find), which module M(inference.host.engine_info) takes, and C(origin) with C(from), C(archive) (its
      path on the controller), C(sha256), C(given), C(package) and C(distribution).
  type: dict
"""

from ansible_collections.inference.host.plugins.module_utils.engine_wants import engine_wants
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"engine_wants": as_filter("engine_wants", engine_wants)}
