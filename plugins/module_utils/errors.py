# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The errors that are meant for a person: each is one sentence that says what must change."""

from __future__ import annotations


class PlanError(ValueError):
    """One sentence that names the variable, its value and what is allowed."""


class ReleaseError(Exception):
    """One sentence on a model's files, without credentials, for the person who must act; it ends without a full stop.

    `model` is the name of the model, once that is known.
    """

    model = None
