# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options of modules that keep the files which they replace."""

from __future__ import annotations


class ModuleDocFragment:
    """The fragment, as ansible-doc finds it."""

    DOCUMENTATION = r"""
options:
  baseline:
    description:
      - Directory that keeps the files which are replaced, made or removed, as they were first seen. Module
        M(inference.host.tunables) puts them back from there with O(inference.host.tunables#module:state=restored).
    type: path
  baseline_name:
    description: Name under which they are kept, as O(inference.host.tunables#module:persist_to) is one.
    type: str
"""
