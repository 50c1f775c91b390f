# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which GPUs an instance with several of them gets: those that reach each other best."""

from __future__ import annotations

import itertools
import re

from ansible_collections.inference.host.plugins.module_utils.gpus import gpus_by_node, take_gpus
from ansible_collections.inference.host.plugins.module_utils.p2p import TRUSTED, is_nvlink, pairs_of

NEAREST_FIRST = ("PIX", "PXB", "PHB", "NODE", "SYS")
MOST_GROUPS = 1 << 14
"""So many groups are looked at while they grow, the first in PCI order: all of up to 14 GPUs. What a host tells of its
cards must not keep the controller busy."""


def take_group(free, count, numa, pairs):
    """Take `count` GPUs out of the list `free` and return them, in PCI order.

    Of several all pairs of which are trusted: those with the most NVLinks, then on the fewest nodes, then the nearest
    to each other, then those whose taking leaves the most for others. Without such a group the rule is take_gpus'.
    pairs: of p2p_pairs. numa: the service's wish; where its node has enough, they are of that node.
    """
    pool = free
    if isinstance(numa, int) and gpus_by_node(free).get(numa, 0) >= count:
        pool = [gpu for gpu in free if gpu["numa_node"] == numa]
    trusted = {frozenset(pair["gpus"]): pair for pair in pairs if pair["verdict"] in TRUSTED}
    groups = itertools.islice(cliques(pool, count, trusted), MOST_GROUPS) if count > 1 else []
    best = min((group for group in groups if len(group) == count), key=lambda group: _rank(group, free, trusted),
               default=None)
    if best is None:
        return take_gpus(free, count, numa)
    for gpu in best:
        free.remove(gpu)
    return list(best)


def cliques(gpus, count, trusted, start=()):
    """Yield the groups of up to so many GPUs in which all pairs are trusted, in the order of the list, each before
    those that it grows into.

    trusted: {frozenset of two addresses: pair}.
    """
    yield start
    if len(start) == count:
        return
    for place, gpu in enumerate(gpus[:len(gpus) - (count - len(start)) + 1]):
        if all(frozenset((gpu["address"], other["address"])) in trusted for other in start):
            yield from cliques(gpus[place + 1:], count, trusted, (*start, gpu))


def _rank(group, free, trusted):
    """A key by which the best group is the least."""
    inside = [trusted[frozenset(pair)] for pair in itertools.combinations([gpu["address"] for gpu in group], 2)]
    nodes = {gpu["numa_node"] for gpu in group}
    there = gpus_by_node(free)
    rest = [gpu for gpu in free if gpu not in group]
    cut = sum(is_nvlink(trusted[ends]) for ends in (
        frozenset((gpu["address"], other["address"])) for gpu in group for other in rest) if ends in trusted)
    return (sum(not is_nvlink(pair) for pair in inside), len(nodes), None in nodes,
            sum(_distance(pair) for pair in inside), -sum(_lanes(pair["link"]) for pair in inside),
            sum(there[node] for node in nodes), cut, [gpu["index"] for gpu in group])


def _distance(pair):
    link = pair["link"]
    if is_nvlink(pair):
        return 0
    return 1 + (NEAREST_FIRST.index(link) if link in NEAREST_FIRST else len(NEAREST_FIRST))


def _lanes(link):
    """How many links NV4, say, are."""
    found = re.match(r"NV([0-9]{1,3})\Z", link or "")
    return int(found.group(1)) if found else 0


def group_reason(pairs, gpus):
    """Return what is said of several GPUs beside their addresses, or ''."""
    between = pairs_of(pairs, [gpu["address"] for gpu in gpus]) if len(gpus) > 1 else []
    if not between or not all(pair["verdict"] in TRUSTED for pair in between):
        return ""
    return "; all linked by NVLink" if all(map(is_nvlink, between)) else "; all reach each other"
