# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `nvidia-smi` says of the live machine, in at most five calls, six with an old driver.

Never fails: the tool may be absent, hang, lose a card or print something new.
"""

from __future__ import annotations

import os
import shutil

from ansible_collections.inference.host.plugins.module_utils.bounded_run import in_brackets, run_bounded
from ansible_collections.inference.host.plugins.module_utils.discovery.nvidia_parse import (
    BASIC,
    COLUMNS,
    PROCESSES,
    lost_cards,
    parse_matrix,
    parse_processes,
    parse_query,
    refused_field,
)

KEY = "nvidia.smi"
MATRICES = (
    ("topology", ["topo", "-m"]),
    ("p2p_read", ["topo", "-p2p", "r"]),
    ("p2p_write", ["topo", "-p2p", "w"]),
)
_PLACES = ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/usr/local/nvidia/bin", "/run/current-system/sw/bin"]
_STOPPED = "not asked: the call before it hung"


def find_program(name):
    """Return the path of a program of the driver, or None; root's search path may lack its folder."""
    # No empty entry: that would be the current directory.
    return shutil.which(name, path=os.pathsep.join(filter(None, [os.environ.get("PATH"), os.defpath] + _PLACES)))


class Smi:
    """One nvidia-smi and what came of asking it.

    answer: {"gpus", "topology", "p2p_read", "p2p_write"} or None. reason: why there is no answer, in words, or None.
    hung: whether a call had to be stopped; none is made after it. lost: addresses of the GPUs that it names as lost.
    columns: those of COLUMNS that the tool knows.
    """

    def __init__(self, tree, command, timeout_seconds):
        self.tree = tree
        self.command = command
        self.timeout_seconds = timeout_seconds
        self.answer = None
        self.reason = None
        self.hung = False
        self.lost = []
        self.columns = COLUMNS

    def ask(self):
        """Make the calls; notes are left for what is not known."""
        cards = self._cards()
        if not cards:
            self.tree.note(KEY, self.reason + ".")
            return
        self._count_processes(cards)
        self.answer = {"gpus": cards}
        for key, arguments in MATRICES:
            self.answer[key] = self._matrix(key, arguments) if len(cards) > 1 else None
            if len(cards) < 2:
                self.tree.note("%s.%s" % (KEY, key), "Not asked: one GPU has no other beside it.")

    def _run(self, arguments):
        ran = run_bounded([self.command] + arguments, self.timeout_seconds)
        self.hung = self.hung or ran.hung
        return ran

    def _query(self):
        fields = ",".join(field for _key, field, _read in self.columns)
        return self._run(["--query-gpu=" + fields, "--format=csv,noheader,nounits"])

    def _cards(self):
        ran = self._query()
        refused = refused_field("%s\n%s" % (ran.output or "", ran.reason or ""))
        if refused:
            self.columns = COLUMNS[:BASIC]
            ran = self._query()
            for key, _field, _read in COLUMNS[BASIC:]:
                for place in (KEY + ".gpus.", "gpus.nvidia."):
                    self.tree.note(place + key, "This nvidia-smi does not know all fields (%s), so that it was asked "
                                   "for the basic ones alone." % refused)
        text = "%s\n%s" % (ran.output or "", ran.reason or "")
        cards = parse_query(ran.output or "")
        self.lost = lost_cards(text)
        if ran.reason and cards:
            self.tree.note(KEY + ".gpus", "nvidia-smi told of some cards and failed: %s." % ran.reason)
        elif ran.reason:
            self.reason = "nvidia-smi gave no answer: " + ran.reason
        elif not cards:
            self.reason = "nvidia-smi printed no GPU in the form that is known" + in_brackets(ran.output)
        return cards

    def _count_processes(self, cards):
        """Put the number of compute processes into each card."""
        ran = None if self.hung else self._run(PROCESSES)
        counts = None
        if ran and not ran.reason:
            counts = parse_processes(ran.output, [card["uuid"] for card in cards])
        for card in cards:
            card["processes"] = (counts or {}).get(card["uuid"])
        if counts is None:
            why = _STOPPED if ran is None else ran.reason or "it lists them in a form that is not known"
            for place in (KEY + ".gpus", "gpus.nvidia"):
                self.tree.note(place + ".processes", "nvidia-smi does not tell the processes: %s." % why)

    def _matrix(self, key, arguments):
        ran = None if self.hung else self._run(arguments)
        # What a tool that fails has printed may be half a matrix.
        matrix = parse_matrix(ran.output) if ran and not ran.reason else None
        if matrix is None:
            why = _STOPPED if ran is None else ran.reason or "printed no matrix"
            self.tree.note("%s.%s" % (KEY, key), "nvidia-smi %s: %s." % (" ".join(arguments), why))
        return matrix
