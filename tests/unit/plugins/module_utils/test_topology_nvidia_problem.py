"""The one sentence that a person must act on, in its order."""

from types import SimpleNamespace

import pytest
from ansible_collections.inference.host.plugins.module_utils.discovery.nvidia_problem import find_problem
from nvidia_host import recorded_text

CARDS = ("0000:17:00.0", "0000:65:00.0")


def driver(**other):
    answer = {
        "driver_version": "535.161.07",
        "library_version": "535.161.07",
        "nvswitches": [],
        "fabric_manager": {"unit": None, "version": None},
    }
    return dict(answer, **other)


def smi(addresses=CARDS, reason=None, hung=False, lost=()):
    answer = {"gpus": [{"address": address} for address in addresses]} if addresses else None
    return SimpleNamespace(answer=answer, reason=reason, hung=hung, lost=list(lost))


def failed(name, **other):
    return smi(
        (),
        "nvidia-smi gave no answer: it ended with status 1 (%s)" % "; ".join(recorded_text(name, "all").split("\n")),
        **other,
    )


def problem(asked, cards=CARDS, **other):
    return find_problem(driver(**other), cards, asked)


def test_none_where_all_is_well_or_nothing_was_asked():
    assert problem(smi()) is None
    assert problem(None) is None
    assert problem(None, library_version=None) is None
    # Old files may lie about; the library that answered fits.
    assert problem(smi(), library_version="535.183.01") is None


@pytest.mark.parametrize(
    ("asked", "library", "named"),
    [
        (failed("535-mismatch"), "535.183.01", "535.183.01"),
        (failed("535-mismatch"), None, "535.183"),
        (failed("535-mismatch"), "535.161.07", "535.183"),
        (None, "535.183.01", "535.183.01"),
        (smi((), "nvidia-smi gave no answer: x"), "535.183.01", "535.183.01"),
    ],
)
def test_a_module_and_a_library_of_two_versions(asked, library, named):
    assert problem(asked, library_version=library) == (
        "The loaded NVIDIA module is 535.161.07 and its library %s: reboot, or reload the module." % named
    )


def test_versions_that_are_not_known():
    asked = smi((), "Failed to initialize NVML: Driver/library version mismatch")
    assert problem(asked, driver_version=None, library_version=None) == (
        "The loaded NVIDIA module is of another version and its library of another version: reboot, or reload the "
        "module."
    )


@pytest.mark.parametrize(
    ("asked", "cards"),
    [
        (smi(CARDS[:1]), "0000:65:00.0"),
        (smi(lost=["0000:65:00.0"]), "0000:65:00.0"),
        (smi((), "nvidia-smi gave no answer: x", lost=["0000:65:00.0"]), "0000:65:00.0"),
        (failed("no-devices"), "0000:17:00.0, 0000:65:00.0"),
    ],
)
def test_lost_cards_are_named(asked, cards):
    assert problem(asked) == (
        "The NVIDIA driver does not reach %s: reboot, and if that comes again, see to its power, heat and seat." % cards
    )


def test_cards_that_another_driver_has_are_not_missed():
    assert problem(smi(CARDS[:1]), cards=CARDS[:1]) is None


@pytest.mark.parametrize(
    ("unit", "version", "sentence"),
    [
        (
            None,
            None,
            "NVSwitches join the cards and there is no fabric manager: install the one of version 535.161.07.",
        ),
        (
            "/x",
            "535.183.01",
            "The fabric manager is 535.183.01 and the driver 535.161.07: install the fabric manager of the "
            "driver's version.",
        ),
        ("/x", "535.161.07", None),
        ("/x", None, None),
    ],
)
def test_the_fabric_manager_where_there_are_nvswitches(unit, version, sentence):
    fabric = {"unit": unit, "version": version}
    assert problem(smi(), nvswitches=["0000:07:00.0"], fabric_manager=fabric) == sentence
    assert problem(smi(), fabric_manager=fabric) is None


@pytest.mark.parametrize(
    "asked", [smi((), "nvidia-smi gave no answer: it did not end in time", hung=True), smi(hung=True)]
)
def test_a_tool_that_hangs(asked):
    assert problem(asked) == (
        "nvidia-smi did not end in time: the driver or a card hangs; see the kernel log, and reboot."
    )


@pytest.mark.parametrize("name", ["no-driver", "container-lost-devices"])
def test_any_other_failure_is_told_as_the_tool_tells_it(name):
    asked = failed(name)
    assert problem(asked) == asked.reason + "."


def test_what_comes_first():
    switches = {"nvswitches": ["0000:07:00.0"]}
    both = failed("535-mismatch", hung=True, lost=["0000:65:00.0"])
    assert "its library" in problem(both, **switches)
    assert "does not reach" in problem(smi(lost=["0000:65:00.0"], hung=True), **switches)
    assert "fabric manager" in problem(smi(hung=True), **switches)
