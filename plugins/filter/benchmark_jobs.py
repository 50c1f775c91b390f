# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: benchmark_jobs
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: What is to be measured on a host
description:
  - Takes each shape by its name, for each service that completes texts, and says of those that a service cannot take
    why they are not measured.
options:
  _input:
    description: The host's plan.
    type: dict
    required: true
  shapes:
    description:
      - Names of groups (V(throughput), V(latency), V(stress), V(short), V(short-stress), V(engine), V(short-engine)) or
        of single shapes, as a list or in one text with commas. In a list a shape can also be a mapping of its own.
    type: raw
    required: true
  url:
    description: URL of the host's nginx; null is its own loopback.
    type: str
    required: false
  queue:
    description: Value of C(nginx_queue), the requests that may wait at each instance.
    type: int
    required: false
    default: 0
"""

EXAMPLES = """
- name: Show how many loads there are
  ansible.builtin.debug:
    msg: "{{ (inference_plan | inference.host.benchmark_jobs('short,latency')).load | length }}"
  # => 7
"""

RETURN = """
_value:
  description:
    - C(load), a list of what module M(inference.host.benchmark_load) is to do, with C(service), C(url), C(shape),
      C(instances) and C(why_not).
    - C(engine), the same for M(inference.host.benchmark_engine), with C(service), C(instance), C(nice), C(shape) and
      C(why_not).
  type: dict
"""

from ansible_collections.inference.host.plugins.module_utils.bench_jobs import benchmark_jobs
from ansible_collections.inference.host.plugins.plugin_utils.filter_errors import as_filter


class FilterModule:
    """The filter, as Ansible finds it."""

    def filters(self):
        return {"benchmark_jobs": as_filter("benchmark_jobs", benchmark_jobs)}
