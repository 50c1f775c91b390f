# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a pure function becomes a filter whose errors are one sentence for the person who wrote the template."""

from __future__ import annotations

import functools
import inspect

from ansible.errors import AnsibleFilterError


def as_filter(name, function):
    """Return `function` as filter `inference.host.NAME`.

    Arguments that the function does not take, and each ValueError that it raises (PlanError is one), become an
    AnsibleFilterError of one sentence.
    """
    signature = inspect.signature(function)
    # The first parameter is what stands before the bar.
    takes = "it takes %s" % (", ".join(list(signature.parameters)[1:]) or "no arguments")

    @functools.wraps(function)
    def run(*args, **kwargs):
        unknown = [key for key in kwargs if key not in signature.parameters]
        if unknown:
            raise AnsibleFilterError("inference.host.%s does not know %s; %s." % (name, ", ".join(unknown), takes))
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise AnsibleFilterError("inference.host.%s: %s; %s." % (name, error, takes)) from None
        try:
            return function(*args, **kwargs)
        except ValueError as error:
            raise AnsibleFilterError(str(error)) from error

    return run
