# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: report_files
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: What the other playbooks have written, for a report
description:
  - Reads C(HOST/plan.json) and C(HOST/plan.svg) as C(playbooks/plan.yml) writes them, C(verify.json) of
    C(playbooks/verify.yml), and C(HOST/LABEL.json) of C(playbooks/benchmark.yml), all on the controller.
  - A folder or a file that is not there is left out. A file or a host's folder that cannot be read is there with the
    reason. Where the folder of plans or of benchmarks itself cannot be read, the lookup fails.
options:
  plans:
    description: Folder with a folder of each host.
    type: str
    required: true
  reports:
    description: Folder with C(verify.json).
    type: str
    required: true
  benchmarks:
    description: Folder with a folder of each host.
    type: str
    required: true
"""

EXAMPLES = """
- name: Show which hosts have a plan
  ansible.builtin.debug:
    msg: "{{ files.plans.keys() }}"
  vars:
    files: "{{ lookup('inference.host.report_files', plans='plans', reports='reports', benchmarks='benchmarks') }}"
"""

RETURN = """
_raw:
  description: >-
    One mapping with C(plans) (by host, C(plan) and C(picture)), C(verify) and C(benchmarks) (a list, each with C(host)
    and C(label)), for filter P(inference.host.fleet_report#filter). A file is C(text) and C(modified), or C(fault).
  type: list
  elements: dict
"""

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.inference.host.plugins.module_utils.report_folders import report_files


class LookupModule(LookupBase):
    """The lookup, as Ansible finds it."""

    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        folders = [self.get_option(name) for name in ("plans", "reports", "benchmarks")]
        try:
            return [report_files(*folders)]
        except OSError as error:
            raise AnsibleLookupError("%s cannot be read: %s" % (error.filename, error.strerror)) from None
