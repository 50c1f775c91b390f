# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one error that the pure functions raise for input that a person must change."""

from __future__ import annotations


class PlanError(ValueError):
    """One sentence that names the variable, its value and what is allowed."""
