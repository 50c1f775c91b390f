# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""How modules behave in check mode, in diff mode, and where they run."""

from __future__ import annotations


class ModuleDocFragment:
    """The fragment, as ansible-doc finds it."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  platform:
    platforms: linux
"""

    READS = r"""
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: Nothing is changed.
  platform:
    platforms: linux
"""

    NO_TEXT = r"""
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: The content is not text.
  platform:
    platforms: linux
"""
