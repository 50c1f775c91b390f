# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kernel command lines: their words, what they say of a parameter, and the line with parameters added or taken out.

A value may carry further words, for parameters that belong together and whose order counts: name `hugepagesz`, value
`1G hugepages=4 hugepagesz=2M hugepages=512`.
"""

from __future__ import annotations

import re

_WORD = re.compile(r'(?:"[^"]*"|[^\s"])+')


def words(text):
    """Return the words of a command line; blanks between double quotes do not part words."""
    return _WORD.findall(text)


def spelled(name, value):
    """Return the words of a parameter: `iommu=pt`, or only the name where the value is empty."""
    return words(f"{name}={value}" if value else name)


def name_of(word):
    """Return the parameter's name; to the kernel - and _ are one."""
    return word.partition("=")[0].replace("-", "_")


def names_of(name, value):
    """Return the names of all words of a parameter, sorted."""
    return sorted({name_of(word) for word in spelled(name, value)})


def value_of(line, name):
    """Return the value that the last occurrence of a parameter has ("" for a mere name), or None."""
    found = [word.partition("=")[2] for word in words(line) if name_of(word) == name_of(name)]
    return found[-1] if found else None


def holds(line, name, value):
    """Tell whether the line has the parameter with this value, and none later with another one."""
    there, wanted = words(line), spelled(name, value)
    at = [number for number in range(len(there)) if there[number : number + len(wanted)] == wanted]
    last = [number for number, word in enumerate(there) if name_of(word) == name_of(name)]
    return bool(at) and last[-1] < at[-1] + len(wanted)


def taken_out(line, names, keep=()):
    """Return the words of the line without those of the parameters `names`, except words that are in `keep`."""
    out = {name_of(name) for name in names}
    return [word for word in words(line) if name_of(word) not in out or word in keep]


def with_parameters(line, parameters, names=(), keep=()):
    """Return the line with each (name, value) of `parameters` in force, at its end where it was not there.

    names: parameters that we wrote before, whose words go unless they are in `keep`, the words that were there first.
    """
    ours = [name_of(word) for name, value in parameters for word in spelled(name, value)]
    former = set(map(name_of, names)) - set(ours)
    if all(holds(line, name, value) for name, value in parameters) and taken_out(line, former, keep) == words(line):
        return " ".join(words(line))
    line = " ".join(taken_out(line, list(names) + ours, keep))
    for name, value in parameters:
        if not holds(line, name, value):
            line = " ".join(words(line) + spelled(name, value))
    return line
