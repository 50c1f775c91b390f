"""Which GPUs an instance with several of them gets."""

import itertools
import time

import pytest
from ansible_collections.inference.host.plugins.module_utils.gpus import take_gpus, usable_gpus
from ansible_collections.inference.host.plugins.module_utils.p2p import TRUSTED
from ansible_collections.inference.host.plugins.module_utils.p2p_groups import group_reason, take_group
from hypothesis import given
from hypothesis import strategies as st
from plan_topologies import gpu, topology


def pool(*nodes):
    """Usable GPUs 0, 1, ... at these nodes of three."""
    return usable_gpus(topology(sockets=3, gpus=[gpu(number, node) for number, node in enumerate(nodes)]))


def pairs_of(cards, links, default="absent"):
    """All pairs of the cards; links: {(index, index): link, or (link, verdict)} of those that are not the default."""
    made = []
    for one, other in itertools.combinations(range(len(cards)), 2):
        link = links.get((one, other), (None, default))
        link, verdict = link if isinstance(link, tuple) else (link, "reported_only")
        made.append({"gpus": [cards[one]["address"], cards[other]["address"]], "link": link, "verdict": verdict})
    return made


def taken(nodes, links, count, numa="auto"):
    """Return the indexes of the cards that one instance gets."""
    free = pool(*nodes)
    cards = list(free)
    got = take_group(free, count, numa, pairs_of(cards, links))
    assert sorted(card["index"] for card in got + free) == list(range(len(nodes)))
    return [card["index"] for card in got]


def among(*indexes, link="NV4"):
    return dict.fromkeys(itertools.combinations(indexes, 2), link)


@pytest.mark.parametrize(("nodes", "links", "count", "numa", "got"), [
    # Pairs that reach each other, before the first in PCI order.
    ((0, 0, 0, 0), among(1, 3), 2, "auto", [1, 3]),
    # NVLink before PCI, however near, and also over two nodes.
    ((0, 0, 0, 0), {(0, 1): "PIX", (2, 3): "NV1"}, 2, "auto", [2, 3]),
    ((0, 0, 1, 1), {(0, 1): "PIX", (1, 2): "NV1"}, 2, "auto", [1, 2]),
    # Trusted before near.
    ((0, 0, 1, 1), {(1, 2): "SYS"}, 2, "auto", [1, 2]),
    # What nobody trusts is taken as if nothing were known.
    ((0, 1, 1), {(0, 1): ("NV4", "unsafe")}, 2, "auto", [1, 2]),
    ((0, 1, 1), {(0, 1): ("NV4", "works")}, 2, "auto", [0, 1]),
    # One node before two, the nearer before the farther, more links before fewer.
    ((0, 1, 1, 0), among(0, 1, 2, 3), 2, "auto", [0, 3]),
    ((0, 0, 0, 0), {(0, 1): "PHB", (1, 2): "PIX", (2, 3): "PXB"}, 2, "auto", [1, 2]),
    ((0, 0, 0, 0), {(0, 1): "NV1", (2, 3): "NV2"}, 2, "auto", [2, 3]),
    # The node with the fewest that are enough.
    ((0, 0, 0, 1, 1), among(0, 1, 2, 3, 4), 2, "auto", [3, 4]),
    # What leaves others together: not the two in the middle of a row, nor one of a three.
    ((0, 0, 0, 0), {(0, 1): "NV2", (1, 2): "NV2", (2, 3): "NV2"}, 2, "auto", [0, 1]),
    ((0, 0, 0, 0, 0), {**among(0, 1, 2), **among(3, 4)}, 2, "auto", [3, 4]),
    # A group of four that is whole, not three and a stranger.
    ((0,) * 6, {**among(0, 1, 2), **among(2, 3, 4, 5)}, 4, "auto", [2, 3, 4, 5]),
    # A node that was wished for.
    ((0, 0, 1, 1), {**among(0, 1), **among(2, 3, link="PHB")}, 2, 1, [2, 3]),
    ((0, 0, 1), among(0, 1), 2, 1, [0, 1]),
    # An unknown node, and cards that no pair is known of.
    ((None, None, 0, 0), among(0, 1, 2, 3), 2, "auto", [2, 3]),
    ((0, 0), {}, 2, "auto", [0, 1]),
    ((0, 0, 1), among(0, 1), 1, "auto", [2]),
    ((0, 0), among(0, 1), 0, "auto", []),
])
def test_the_group_that_reaches_each_other_best(nodes, links, count, numa, got):
    assert taken(nodes, links, count, numa) == got


def test_eight_that_are_two_fours_serve_four_pairs_without_crossing():
    free = pool(0, 0, 0, 0, 1, 1, 1, 1)
    pairs = pairs_of(list(free), {**among(0, 1, 2, 3), **among(4, 5, 6, 7)})
    groups = [[card["index"] for card in take_group(free, 2, "auto", pairs)] for _instance in range(4)]
    assert groups == [[0, 1], [2, 3], [4, 5], [6, 7]] and free == []


links = st.sampled_from([None, "NV1", "NV4", "PIX", "PHB", "NODE", "SYS"])


@st.composite
def hosts(draw):
    nodes = draw(st.lists(st.sampled_from([0, 1, None]), min_size=1, max_size=8))
    made = {pair: (draw(links), draw(st.sampled_from(["works", "reported_only", "unsafe", "absent"])))
            for pair in itertools.combinations(range(len(nodes)), 2)}
    return nodes, made, draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))


@given(hosts())
def test_a_group_that_trusts_each_other_is_found_where_there_is_one(host):
    nodes, made, counts = host
    free = pool(*nodes)
    cards = list(free)
    pairs = pairs_of(cards, made)
    trusted = {frozenset(pair["gpus"]) for pair in pairs if pair["verdict"] in TRUSTED}

    def whole(group):
        return all(frozenset((one["address"], other["address"])) in trusted
                   for one, other in itertools.combinations(group, 2))

    given_out = []
    for count in counts:
        if count > len(free):
            break
        before, unread = list(free), list(free)
        there = [group for group in itertools.combinations(before, count) if whole(group)]
        group = take_group(free, count, "auto", pairs)
        assert len(group) == count and [card for card in before if card not in group] == free
        if count == 1 or not there:
            assert group == take_gpus(unread, count, "auto")
        else:
            assert whole(group)
        given_out += [card["index"] for card in group]
    assert len(given_out) == len(set(given_out))


@given(hosts())
def test_the_same_question_has_the_same_answer(host):
    nodes, made, counts = host
    count = min(counts[0], len(nodes))
    assert taken(nodes, made, count) == taken(nodes, made, count)


def test_sixteen_that_all_reach_each_other_are_quick():
    free = pool(*[0] * 8, *[1] * 8)
    pairs = pairs_of(list(free), among(*range(16), link="NV18"))
    assert [card["index"] for card in take_group(free, 8, "auto", pairs)] == list(range(8))
    assert [card["index"] for card in take_group(free, 8, "auto", pairs)] == list(range(8, 16))


def test_a_host_that_tells_of_many_cards_does_not_keep_the_controller_busy():
    # Millions of sevens, and no eight.
    free = pool(*[0] * 60)
    pairs = pairs_of(list(free), {ends: "PIX" for ends in itertools.combinations(range(60), 2)
                                  if ends[0] % 7 != ends[1] % 7})
    began = time.monotonic()
    assert [card["index"] for card in take_group(free, 8, "auto", pairs)] == list(range(8))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(("made", "says"), [
    (among(0, 1, 2), "; all linked by NVLink"),
    ({**among(0, 1, 2), **{(0, 1): "PHB"}}, "; all reach each other"),
    ({(0, 1): "NV4"}, ""),
])
def test_the_reason_says_what_the_group_is(made, says):
    cards = pool(0, 0, 0)
    assert group_reason(pairs_of(cards, made), cards) == says
    assert group_reason(pairs_of(cards, made), cards[:1]) == group_reason([], cards) == ""
