"""What role nvidia says of the cards of a host."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.nvidia_report import NO_CARD, nvidia_report
from ansible_collections.inference.host.plugins.module_utils.nvidia_xid import MEANINGS, needs_person, xid_words
from nvidia_topologies import card, host
from plan_topologies import topology


def lines_with(word, *args, **state):
    return [line for line in nvidia_report(host(*args, **state)) if word in line]


@pytest.mark.parametrize("gpus", [[], [card(vendor="0x1af4")]])
def test_no_nvidia_card_is_not_applicable(gpus):
    assert nvidia_report(topology(gpus=gpus)) == [NO_CARD]


def test_a_card_in_good_state_is_one_sentence():
    assert nvidia_report(host()) == [
        "driver: open module 570.86.15, library of the same version",
        "persistence daemon: /usr/lib/systemd/system/nvidia-persistenced.service",
        "0000:65:00.0: Tesla T10, NUMA node 0, driver nvidia, 16384 MiB, persistence mode on, ECC on, 0 uncorrected "
        "errors, 150 W"]


def test_an_old_recording_is_reported_as_far_as_it_tells():
    old = {"address": "0000:65:00.0", "vendor": "0x10de", "numa_node": None, "driver": None}
    machine = topology(gpus=[old])
    assert nvidia_report(machine) == ["the NVIDIA driver is not loaded",
                                      "0000:65:00.0: NUMA node unknown, driver none"]
    machine["nvidia"] = {"driver_version": "550.163.01", "smi": None}
    assert nvidia_report(machine)[0] == "driver: module 550.163.01"


def test_what_a_person_must_do_is_said_first():
    assert nvidia_report(host(problem="Reboot."))[0] == "to be done: Reboot."


@pytest.mark.parametrize(("is_open", "word"), [(True, "open module"), (False, "closed module"), (None, "module")])
def test_the_module_is_open_or_closed_or_not_known(is_open, word):
    assert nvidia_report(host(open_module=is_open))[0].startswith("driver: %s 570" % word)


@pytest.mark.parametrize(("library", "said"), [
    ("550.54.15", "driver: open module 570.86.15, and its library is 550.54.15: they must agree"),
    (None, "driver: open module 570.86.15")])
def test_the_library_is_told_where_it_is_known(library, said):
    assert nvidia_report(host(library_version=library))[0] == said


def test_a_missing_daemon_and_an_unread_kernel_log_are_said():
    assert lines_with("daemon", persistenced=None) == ["persistence daemon: not installed"]
    assert lines_with("kernel log", xid=None) == ["errors of cards: the kernel log could not be read"]


@pytest.mark.parametrize(("told", "words"), [
    ({"persistence": False}, "persistence mode off"), ({"persistence": None}, "persistence mode not known"),
    ({"mig": True}, "MIG on"), ({"mig": False}, "MIG off"), ({"ecc": False, "ecc_errors": None}, "ECC off,"),
    ({"ecc_errors": 2}, "ECC on, 2 uncorrected errors"), ({"power_limit_w": 72.5}, "72.5 W")])
def test_what_nvidia_smi_tells_of_a_card(told, words):
    (line,) = lines_with("0000:65:00.0:", [card(told=told)])
    assert words in line


def test_what_nvidia_smi_does_not_tell_is_left_out():
    told = dict.fromkeys(["mig", "ecc", "power_limit_w", "name", "memory_mib"])
    (line,) = lines_with("0000:65:00.0:", [card(told=told)])
    assert line == "0000:65:00.0: NUMA node 0, driver nvidia, persistence mode on"
    assert lines_with("0000:65:00.0:", [card(told=None)]) == ["0000:65:00.0: NUMA node 0, driver nvidia"]


@pytest.mark.parametrize(("unit", "version", "said"), [
    ("/lib/x", "570.86.15", "fabric manager of 2 NVSwitches: 570.86.15"),
    ("/lib/x", None, "fabric manager of 2 NVSwitches: version not known"),
    ("/lib/x", "570.124.06", "fabric manager of 2 NVSwitches: 570.124.06; the host needs version 570.86.15 (package "
                             "nvidia-fabricmanager-570)"),
    (None, None, "fabric manager of 2 NVSwitches: not installed; the host needs version 570.86.15 (package "
                 "nvidia-fabricmanager-570)")])
def test_the_fabric_manager_is_told_with_the_version_that_it_must_have(unit, version, said):
    state = {"nvswitches": ["0000:07:00.0", "0000:08:00.0"], "fabric_manager": {"unit": unit, "version": version}}
    assert lines_with("fabric", **state) == [said]


def test_without_nvswitches_nothing_is_said_of_the_fabric_manager():
    assert lines_with("fabric", fabric_manager={"unit": "/lib/x", "version": "1.2"}) == []


def test_errors_in_the_kernel_log_are_told_with_their_meaning():
    xid = [{"address": "0000:65:00.0", "code": 79, "count": 1}, {"address": "0000:65:00.0", "code": 31, "count": 3},
           {"address": "0000:65:00.0", "code": 999, "count": 2}]
    assert lines_with("Xid", xid=xid) == [
        "0000:65:00.0: Xid 79 (fell off the bus), once",
        "0000:65:00.0: Xid 31 (a program used memory that is not its own), 3 times",
        "0000:65:00.0: Xid 999 (see NVIDIA's list of Xid errors), 2 times"]


@pytest.mark.parametrize(("code", "needed"), [(13, False), (31, False), (43, False), (48, True), (79, True),
                                              (119, True), (999, False)])
def test_errors_of_cards_need_a_person_and_those_of_programs_do_not(code, needed):
    assert needs_person(code) is needed


def test_each_known_error_has_a_meaning_of_its_own_words():
    assert all(meaning and not meaning.endswith(".") for meaning, _person in MEANINGS.values())
    assert "(%s)" % MEANINGS[74][0] in xid_words({"code": 74, "count": 1})


def test_what_would_make_copies_possible_is_offered_with_its_cost():
    pair = [card(told={"index": 0}, bridges=["0000:64:00.0"]),
            card("0000:66:00.0", {"index": 1}, bridges=["0000:64:01.0"])]
    cards = [one["nvidia"] for one in pair]
    ok = {"GPU0": {"GPU1": "OK"}, "GPU1": {"GPU0": "OK"}}
    smi = {"gpus": cards, "topology": {"GPU0": {"GPU1": "PHB"}, "GPU1": {"GPU0": "PHB"}}, "p2p_read": ok,
           "p2p_write": ok}
    iommu = {"translating": True, "acs": [{"address": "0000:64:00.0", "enabled": ["request_redirect"]}]}
    offers = [line for line in nvidia_report(host(pair, iommu=iommu, smi=smi)) if " would change that." in line]
    assert len(offers) == 3
    assert "nvidia_iommu_passthrough: true would change that. Devices of the host are then not kept from" in offers[0]
    assert "nvidia_disable_acs_redirect: true would change that." in offers[1] and "takes a reboot" in offers[1]
    assert "nvidia_module_options: {NVreg_RegistryDwords: ForceP2P=0x0} would change that. No program" in offers[2]
