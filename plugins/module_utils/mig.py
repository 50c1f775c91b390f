# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Changing the MIG mode of NVIDIA cards: only while no process uses one of those that are to change."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.bounded_run import run_bounded
from ansible_collections.inference.host.plugins.module_utils.discovery.nvidia_parse import (
    PROCESSES,
    fields_of,
    parse_processes,
    pci_address,
)

QUERY = ["--query-gpu=pci.bus_id,uuid,mig.mode.current,mig.mode.pending", "--format=csv,noheader,nounits"]
MODES = {"Enabled": True, "Disabled": False}


class MigError(Exception):
    """Why no mode was changed, in one sentence for the person who must act."""


def parse_modes(text):
    """Return [{"address", "uuid", "current", "pending"}]; the modes of a card without MIG are None."""
    cards = []
    for line in text.splitlines():
        words = fields_of(line)
        if len(words) == 4 and pci_address(words[0]):
            cards.append({"address": pci_address(words[0]), "uuid": words[1], "current": MODES.get(words[2]),
                          "pending": MODES.get(words[3])})
    return sorted(cards, key=lambda card: card["address"])


def to_change(cards, enabled):
    """Return the cards whose mode, or the one that waits for a reset, is another than the wished one."""
    return [card for card in cards if card["current"] is not None
            and enabled != (card["current"] if card["pending"] is None else card["pending"])]


def busy(cards, counts):
    """Return why the mode of these cards must not be changed now, or None. counts: {uuid: processes} or None."""
    for card in cards:
        count = (counts or {}).get(card["uuid"])
        if count is None:
            return "nvidia-smi does not tell whether processes use %s, so that its MIG mode is left alone" % (
                card["address"])
        if count:
            return "%s %s; stop the services that have it, and run again" % (
                "1 process uses" if count == 1 else "%d processes use" % count, card["address"])
    return None


def waiting(cards):
    """Return a sentence for each card whose mode waits for a reset or a reboot."""
    return ["GPU %s: MIG mode is %s and will be %s after a reset of the card, or a reboot." % (
        card["address"], word(card["current"]), word(card["pending"]))
        for card in cards if card["current"] is not None and card["pending"] not in (None, card["current"])]


def word(mode):
    return {True: "on", False: "off"}.get(mode, "not there")


class Cards:
    """The cards as one nvidia-smi tells of them and changes them; each call may take `seconds`."""

    def __init__(self, command, seconds):
        self.command = command
        self.seconds = seconds

    def _ask(self, arguments):
        ran = run_bounded([self.command] + arguments, self.seconds)
        if ran.reason:
            raise MigError("nvidia-smi %s: %s." % (arguments[0], ran.reason))
        return ran.output

    def modes(self):
        """Return parse_modes of the answer. Raises MigError where there is none."""
        text = self._ask(QUERY)
        cards = parse_modes(text)
        if text.strip() and not cards:
            raise MigError("nvidia-smi printed no MIG mode in the form that is known.")
        return cards

    def bring_to(self, enabled, check_mode=False):
        """Bring all cards that know MIG to the mode; return (cards before, cards now, whether one was changed).

        In check mode the cards that would change are as they would be pending. Raises MigError before anything is
        changed where a process uses one of them, and after a change that the card did not take.
        """
        before = self.modes()
        todo = to_change(before, enabled)
        reason = busy(todo, parse_processes(self._ask(PROCESSES), [card["uuid"] for card in before])) if todo else None
        if reason:
            raise MigError(reason + ".")
        if check_mode or not todo:
            now = [dict(card, pending=enabled) if card in todo else card for card in before]
            return before, now, bool(todo)
        for card in todo:
            self._ask(["-i", card["address"], "-mig", "1" if enabled else "0"])
        now = self.modes()
        left = to_change(now, enabled)
        if left:
            raise MigError("nvidia-smi said that all is done, and GPU %s is as it was." % left[0]["address"])
        return before, now, True
