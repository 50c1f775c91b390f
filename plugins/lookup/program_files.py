# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: program_files
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: A part of this collection as a program for hosts without Ansible
description:
  - Returns a file of the collection and all files of the collection that it imports, in the order of their paths.
  - Refuses a file that needs Ansible.
options:
  _terms:
    description: Path of the file below the collection, such as V(plugins/module_utils/watch_main.py).
    required: true
  below:
    description: Folder on the host that is to be in Python's path.
    type: str
    required: true
"""

EXAMPLES = """
- name: Write the program
  inference.host.files:
    files: "{{ query('inference.host.program_files', 'plugins/module_utils/watch_main.py', below='/opt/watch') }}"
"""

RETURN = """
_raw:
  description: The files, each with C(path) and C(content), as M(inference.host.files) takes them.
  type: list
  elements: dict
"""

import os

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.inference.host.plugins.module_utils.watch_closure import program_files

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class LookupModule(LookupBase):
    """The lookup, as Ansible finds it."""

    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        try:
            return [file for term in terms for file in program_files(COLLECTION, term, self.get_option("below"))]
        except (OSError, ValueError) as error:
            raise AnsibleLookupError("inference.host.program_files: %s" % error) from error
