# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: watch_wanted
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: What a host is to find when it compares itself with its plan
description:
  - Made for role P(inference.host.watch#role), which writes it to the host. No secret is in it.
options:
  _input:
    description: The host's plan.
    type: dict
    required: true
  host:
    description: Name of the host.
    type: str
    required: true
  files:
    description: What M(inference.host.files) is given for the units; C(directories), C(files) (sealed) and C(absent).
    type: dict
    required: true
  nginx:
    description: What M(inference.host.nginx) is given, with C(files) sealed.
    type: dict
    required: true
  model_dir:
    description: Folder of the models on the host.
    type: str
    required: true
  textfile_dir:
    description: Folder on the host for the metrics.
    type: str
    required: true
  probe_tokens:
    description: Length of the completion that each service is asked for; V(0) asks for none.
    type: int
    required: false
    default: 8
  keyed:
    description: Names of the services that have a key of their own.
    type: list
    elements: str
    required: false
  clients:
    description: Whether clients have keys of their own, so that nginx takes no other.
    type: bool
    required: false
    default: false
  mig:
    description: Whether the cards are to be split (MIG); null where that is left as it is.
    type: bool
    required: false
"""

EXAMPLES = """
- name: Show how many services would be asked for a completion
  ansible.builtin.debug:
    msg: >-
      {{ (inference_plan | inference.host.watch_wanted('box1', files, {'files': []}, '/srv/models', '/srv/metrics'))
         .probe.services | length }}
  vars:
    files: {directories: [], files: [], absent: []}
  # => 1
"""

RETURN = """
_value:
  description: What is written to C(/etc/inference.host/watch.json).
  type: dict
"""

from ansible_collections.inference.host.plugins.module_utils.watch_wanted import watch_wanted
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"watch_wanted": as_filter("watch_wanted", watch_wanted)}
