"""Changing the MIG mode of cards, with programs in the place of nvidia-smi."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.mig import (
    Cards,
    MigError,
    busy,
    parse_modes,
    to_change,
    waiting,
)

ONE, OTHER = "0000:31:00.0", "0000:b1:00.0"
# A card keeps its mode in a file; `pending` is what -mig sets.
TOOL = """#!/bin/sh
here={folder}
echo "$*" >> $here/log
case "$*" in
--query-gpu=*) cat $here/cards ;;
--query-compute-apps=*) cat $here/processes ;;
-i*) {change} ;;
esac
"""
TAKES = """if [ $4 = 1 ]; then mode=Enabled; else mode=Disabled; fi
    sed -i "/${2#0000:}/I s/[^ ]*$/$mode/" $here/cards"""


def line(address=ONE, uuid="GPU-1", current="Disabled", pending="Disabled"):
    return "0000%s, %s, %s, %s\n" % (address.upper(), uuid, current, pending)


@pytest.fixture(name="tool")
def tool_fixture(tmp_path):
    """Make the tool; `change` is what it does to set a mode."""

    def make(cards, processes="", change=TAKES):
        (tmp_path / "cards").write_text(cards)
        (tmp_path / "processes").write_text(processes)
        (tmp_path / "log").write_text("")
        program = tmp_path / "nvidia-smi"
        program.write_text(TOOL.format(folder=tmp_path, change=change))
        program.chmod(0o755)
        return Cards(str(program), 10)

    make.log = lambda: (tmp_path / "log").read_text().splitlines()
    return make


def card(current=False, pending=False, address=ONE):
    return {"address": address, "uuid": "GPU-1", "current": current, "pending": pending}


def test_modes_are_read_of_cards_that_have_them():
    text = "Warning: something\n" + line(OTHER, "GPU-2", "[N/A]", "[N/A]") + line(pending="Enabled")
    assert parse_modes(text) == [card(pending=True), dict(card(None, None, OTHER), uuid="GPU-2")]


@pytest.mark.parametrize(("current", "pending", "on", "off"), [
    (False, False, True, False), (True, True, False, True), (False, True, False, True), (True, False, True, False),
    (False, None, True, False), (None, None, False, False)])
def test_what_waits_for_a_reset_counts(current, pending, on, off):
    found = card(current, pending)
    assert (bool(to_change([found], True)), bool(to_change([found], False))) == (on, off)


@pytest.mark.parametrize(("counts", "words"), [
    ({"GPU-1": 0}, None), ({"GPU-1": 2}, "2 processes use 0000:31:00.0; stop the services"),
    (None, "does not tell whether processes use 0000:31:00.0"), ({}, "does not tell whether")])
def test_a_card_in_use_is_left_alone_and_one_that_is_not_known_to_be_free(counts, words):
    reason = busy([card()], counts)
    assert reason is None if words is None else words in reason


@pytest.mark.parametrize(("current", "pending", "said"), [
    (False, True, "GPU 0000:31:00.0: MIG mode is off and will be on after a reset of the card, or a reboot."),
    (True, False, "GPU 0000:31:00.0: MIG mode is on and will be off after a reset of the card, or a reboot."),
    (True, True, None), (None, None, None), (True, None, None)])
def test_a_mode_that_waits_is_said(current, pending, said):
    assert waiting([card(current, pending)]) == ([said] if said else [])


def test_a_free_card_is_changed_once_and_the_other_left_alone(tool):
    cards = tool(line() + line(OTHER, "GPU-2", "[N/A]", "[N/A]"))
    before, now, changed = cards.bring_to(True)
    assert changed and [one["pending"] for one in before] == [False, None]
    assert [(one["current"], one["pending"]) for one in now] == [(False, True), (None, None)]
    assert [said for said in tool.log() if "-mig" in said] == ["-i 0000:31:00.0 -mig 1"]
    assert cards.bring_to(True)[2] is False
    assert cards.bring_to(False)[1][0]["pending"] is False


def test_check_mode_asks_and_changes_nothing(tool):
    _before, now, changed = tool(line()).bring_to(True, check_mode=True)
    assert changed and now[0]["pending"] is True and not [said for said in tool.log() if "-mig" in said]


def test_one_busy_card_keeps_all_as_they_are(tool):
    cards = tool(line(OTHER, "GPU-2") + line(), "GPU-2, 4711\n")
    with pytest.raises(MigError, match=r"^1 process uses 0000:b1:00\.0; stop the services that have it, and run"):
        cards.bring_to(True)
    assert not [said for said in tool.log() if "-mig" in said]


def test_a_card_as_wished_is_not_asked_for_its_processes(tool):
    assert tool(line(), "[Insufficient Permissions], [Insufficient Permissions]\n").bring_to(False)[2] is False
    assert len(tool.log()) == 1


@pytest.mark.parametrize(("change", "sentence"), [
    ("exit 3", "nvidia-smi -i: it ended with status 3"),
    ("true", "nvidia-smi said that all is done, and GPU 0000:31:00.0 is as it was")])
def test_a_change_that_fails_is_said(tool, change, sentence):
    with pytest.raises(MigError) as error:
        tool(line(), change=change).bring_to(True)
    assert str(error.value).startswith(sentence) and str(error.value).endswith(".")


def test_an_answer_in_another_form_is_refused(tool):
    with pytest.raises(MigError, match="printed no MIG mode in the form that is known"):
        tool("something new\n").bring_to(True)


def test_a_tool_that_hangs_is_not_waited_for(tool):
    cards = tool(line(), change="exec sleep 60")
    cards.seconds = 1
    with pytest.raises(MigError, match="it did not end in time"):
        cards.bring_to(True)
