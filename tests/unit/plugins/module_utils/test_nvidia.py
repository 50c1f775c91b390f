"""What is said of NVIDIA cards."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.nvidia import nvidia_report
from plan_topologies import topology


def card(**other):
    return dict({"vendor": "0x10de", "address": "0000:65:00.0", "numa_node": 0, "driver": "nvidia"}, **other)


def test_each_nvidia_card_is_one_sentence():
    other = card(address="0000:b3:00.0", numa_node=None, driver=None)
    cards = [card(), other, card(vendor="0x1002")]
    assert nvidia_report(topology(gpus=cards)) == [
        "0000:65:00.0: NUMA node 0, driver nvidia",
        "0000:b3:00.0: NUMA node unknown, driver none"]


@pytest.mark.parametrize("gpus", [[], [card(vendor="0x1af4")]])
def test_no_nvidia_card_is_not_applicable(gpus):
    assert nvidia_report(topology(gpus=gpus)) == ["not applicable: no NVIDIA card on PCI"]
