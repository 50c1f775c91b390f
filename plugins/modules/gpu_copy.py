#!/usr/bin/python
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copies between GPUs and compares what arrives."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: gpu_copy
short_description: Copies between NVIDIA GPUs and compares what arrives byte for byte
version_added: 0.1.0
author:
  - inference.host contributors (@inference-host)
description:
  - Copies between each two GPUs in both directions with peer access on, and compares every byte. Uses CUDA's driver
    library, which comes with the driver, and for a moment O(size_mib) of memory and a CUDA context on each of the two.
  - Tested with a stand-in for that library only. It has not run on a real card.
  - Keeps the results in C(/var/lib/inference.host/p2p.json), where module M(inference.host.topology) finds them. They
    count for the same driver, GPUs, IOMMU mode, ACS redirection and module options about peers only, and are not made
    again as long as these stay. Directions in which nothing could be copied are tried again.
  - Works in a process of its own, which is ended when the driver hangs. Where nothing can be copied (no driver, one
    card, cards that are full) it says why and does not fail.
options:
  seconds:
    description: Longest wait for one direction of one pair.
    type: int
    default: 60
  size_mib:
    description: Size of a copy in MiB, from 1 to 256.
    type: int
    default: 16
  again:
    description: Whether copies are made anew where the results are known.
    type: bool
    default: false
  library:
    description: CUDA's driver library, a name that the loader finds or a path.
    type: str
    default: libcuda.so.1
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: partial
    details: In check mode no copy is made, so that it is not known whether a result would be kept.
  diff_mode:
    support: none
  platform:
    platforms: linux
"""

EXAMPLES = r"""
- name: Copy between the GPUs and compare
  inference.host.gpu_copy:
"""

RETURN = r"""
copies:
  description:
    - One dictionary a direction. C(ok) is null where nothing was copied, C(access) whether CUDA lets the two reach each
      other, C(bytes) the size of the copies that arrived, C(reason) what was wrong.
  returned: success
  type: list
  elements: dict
  sample:
    - from: "0000:65:00.0"
      to: "0000:b3:00.0"
      ok: true
      access: true
      bytes: 16777216
      reason: null
skipped_reason:
  description: Why no copies were made now, or null.
  returned: success
  type: str
  sample: fewer than two NVIDIA GPUs
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.inference.host.plugins.module_utils.atomic import words
from ansible_collections.inference.host.plugins.module_utils.cuda_copy_run import compare_copies
from ansible_collections.inference.host.plugins.module_utils.cuda_driver import LIBRARY
from ansible_collections.inference.host.plugins.module_utils.gpu_copies import MIB, refresh_copies
from ansible_collections.inference.host.plugins.module_utils.sysfs import Tree

SIZES_MIB = (1, 256)
"""All bytes are compared 18 times, which must not take as long as a driver that hangs."""


def main():
    """Copy where the result is not known, and keep it."""
    module = AnsibleModule(
        argument_spec={
            "seconds": {"type": "int", "default": 60},
            "size_mib": {"type": "int", "default": 16},
            "again": {"type": "bool", "default": False},
            "library": {"type": "str", "default": LIBRARY},
        },
        supports_check_mode=True,
    )
    wish = module.params
    if wish["seconds"] < 1:
        module.fail_json(msg="seconds is %d; it must be at least 1." % wish["seconds"])
    if not SIZES_MIB[0] <= wish["size_mib"] <= SIZES_MIB[1]:
        module.fail_json(msg="size_mib is %d; it must be a whole number from %d to %d." % (
            wish["size_mib"], SIZES_MIB[0], SIZES_MIB[1]))
    tree = Tree("/")

    def compare(ways):
        return compare_copies(ways, wish["size_mib"] * MIB, wish["seconds"], wish["library"])

    try:
        answer = refresh_copies(tree, compare, wish["again"], module.check_mode)
    except OSError as error:
        module.fail_json(msg="%s: %s." % (error.filename, words(error)))
    module.exit_json(changed=answer["changed"], copies=answer["copies"], skipped_reason=answer["skipped"])


if __name__ == "__main__":
    main()
