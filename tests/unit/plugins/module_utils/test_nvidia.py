"""What the topology says of NVIDIA cards."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.nvidia import (
    cards_of,
    driver_is_loaded,
    module_params,
    nvidia_gpus,
    on_or_off,
    uuids_of,
    versions_disagree,
)
from nvidia_topologies import card, host


def test_cards_of_guests_are_not_the_hosts():
    cards = [card("0000:b3:00.0", driver=None), card("0000:65:00.0"), card("0000:c1:00.0", driver="vfio-pci"),
             card("0000:03:00.0", vendor="0x1a03"), card("0000:d1:00.0", driver="nouveau")]
    assert [gpu["address"] for gpu in nvidia_gpus(host(cards))] == [
        "0000:65:00.0", "0000:b3:00.0", "0000:c1:00.0", "0000:d1:00.0"]
    assert [gpu["address"] for gpu in cards_of(host(cards))] == ["0000:65:00.0", "0000:b3:00.0", "0000:d1:00.0"]


@pytest.mark.parametrize("empty", [{"gpus": None}, {"gpus": []}, {}])
def test_a_topology_without_the_keys_has_no_cards_and_no_driver(empty):
    assert nvidia_gpus(empty) == [] and uuids_of(empty) == {} and module_params(empty) == {}
    assert not driver_is_loaded(empty) and not versions_disagree(empty)


def test_uuids_are_those_that_nvidia_smi_tells():
    assert uuids_of(host([card("0000:65:00.0"), card("0000:b3:00.0", told=None)])) == {
        "0000:65:00.0": "GPU-of-0000:65:00.0", "0000:b3:00.0": None}


def test_options_in_force_are_named_as_modprobe_names_them():
    params = {"EnableMSI": "1", "NVreg_RegistryDwords": '"ForceP2P=0x11"'}
    assert module_params(host(params=params)) == {"NVreg_EnableMSI": "1", "NVreg_RegistryDwords": "ForceP2P=0x11"}


@pytest.mark.parametrize(("module", "library", "disagree"), [
    ("570.86.15", "570.86.15", False), ("570.86.15", "570.124.06", True), ("570.86.15", None, False),
    (None, "570.86.15", False)])
def test_versions_disagree_where_both_are_known(module, library, disagree):
    assert versions_disagree(host(driver_version=module, library_version=library)) is disagree


def test_a_switch_in_words():
    assert [on_or_off(switch) for switch in (True, False, None)] == ["on", "off", "not known"]
