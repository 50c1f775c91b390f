# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The input of filters that render a planned instance."""

from __future__ import annotations


class ModuleDocFragment:
    """The fragment, as ansible-doc finds it."""

    DOCUMENTATION = r"""
options:
  _input:
    description: One element of the plan's C(instances).
    type: dict
    required: true
  models_dir:
    description: Folder of the models on the host.
    type: str
    required: true
"""
