# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The input of filters that take checked services."""

from __future__ import annotations


class ModuleDocFragment:
    """The fragment, as ansible-doc finds it."""

    DOCUMENTATION = r"""
options:
  _input:
    description: The services with every key, as filter P(inference.host.services#filter) returns them.
    type: list
    elements: dict
    required: true
"""
