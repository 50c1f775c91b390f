# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The verdicts on pairs of GPUs as rows of `verify`, and as a matrix that a person reads."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.p2p import TRUSTED, p2p_pairs, switched_on
from ansible_collections.inference.host.plugins.module_utils.plan_table import table

WANTED = "works or reported_only"


def p2p_rows(plan, topology):
    """Return one row of `verify` (see verify_rows.py) for each pair of GPUs.

    A pair that no instance uses needs nothing, and one whose instance copies through the RAM is as planned, too. What
    is not: an instance that the user's environment tells to use P2P that is not to be trusted.
    """
    return [_row(pair, [instance for instance in plan["instances"] if set(pair["gpus"]) <= set(instance["gpus"])])
            for pair in p2p_pairs(topology)]


def _row(pair, users):
    row = {"area": "p2p", "setting": " - ".join(pair["gpus"]), "wanted": "-", "found": pair["verdict"],
           "persisted": "-", "status": "not_applicable", "note": "no instance has both: " + pair["reason"]}
    if not users:
        return row
    if pair["verdict"] in TRUSTED:
        return dict(row, wanted=WANTED, status="ok", note=pair["reason"])
    for instance in users:
        switch = switched_on(instance["environment"])
        if switch:
            return dict(row, wanted=WANTED, status="drift", note="%s has %s=%s in its environment: %s" % (
                instance["name"], switch, instance["environment"][switch], pair["reason"]))
    return dict(row, note="copies go through the RAM: " + pair["reason"])


def p2p_table(pairs):
    """Return lines: a matrix of the GPUs with the verdicts, then a line a pair; [] for a host without pairs.

    pairs: of p2p_pairs. PCI domains are left out where all are the same.
    """
    cards = list(dict.fromkeys(card for pair in pairs for card in pair["gpus"]))
    if not cards:
        return []
    domains = {card.split(":")[0] for card in cards}
    short = {card: card.split(":", 1)[-1] if len(domains) == 1 else card for card in cards}
    verdicts = {}
    for pair in pairs:
        one, other = pair["gpus"]
        verdicts[one, other] = verdicts[other, one] = pair["verdict"]
    matrix = [[short[row]] + [verdicts.get((row, column), "-") for column in cards] for row in cards]
    told = [[" - ".join(short[card] for card in pair["gpus"]), pair["path"] + (
        " (%s)" % pair["link"] if pair["link"] else ""), pair["driver_says"] or "-", pair["verdict"], pair["reason"]]
        for pair in pairs]
    return table(["P2P"] + [short[card] for card in cards], matrix) + [""] + table(
        ["PAIR", "PATH", "DRIVER SAYS", "VERDICT", "REASON"], told)
