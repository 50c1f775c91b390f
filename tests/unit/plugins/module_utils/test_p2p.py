"""What speaks against copies between GPUs."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.p2p import p2p_verdict

ONE, TWO, THREE = "0000:10:00.0", "0000:11:00.0", "0000:12:00.0"


def host(word="OK", link="PHB", iommu=None, back=None):
    peers = {"GPU0": {"GPU1": word}, "GPU1": {"GPU0": back or word}}
    return {
        "nvidia": {"smi": {
            "gpus": [{"index": 0, "address": ONE}, {"index": 1, "address": TWO}, {"index": 2, "address": THREE}],
            "p2p_read": peers, "topology": {"GPU0": {"GPU1": link}, "GPU1": {"GPU0": link}}}},
        "iommu": iommu or {"translating": False, "acs": []},
    }


def acs(*bits):
    return {"translating": False, "acs": [{"address": "0000:00:01.0", "enabled": list(bits)}]}


@pytest.mark.parametrize(("topology", "trusted", "why"), [
    (host(), True, "nothing between its GPUs redirects or translates"),
    (host(iommu=acs("source_validation")), True, "nothing between its GPUs redirects or translates"),
    (host(link="NV4", iommu={"translating": True}), True, "its GPUs are linked by NVLink"),
    (host(iommu={"translating": True}), False, "an IOMMU translates between its GPUs"),
    (host(iommu={"translating": None}), False, "whether an IOMMU translates between its GPUs is not known"),
    (host(iommu=acs("request_redirect")), False, "ACS redirects at 0000:00:01.0"),
    (host(iommu=acs("completion_redirect")), False, "ACS redirects at 0000:00:01.0"),
    (host("CNS"), False, "nvidia-smi says CNS for its GPUs"),
    (host(back="NS"), False, "nvidia-smi says NS for its GPUs"),
    (host("CNS", link="NV4"), False, "nvidia-smi says CNS for its GPUs"),
    ({}, False, "nvidia-smi does not tell whether its GPUs reach each other"),
    ({"nvidia": {"smi": None}}, False, "nvidia-smi does not tell whether its GPUs reach each other"),
    (dict(host(), iommu=None), False, "whether an IOMMU translates between its GPUs is not known"),
])
def test_one_reason_against_it_is_enough(topology, trusted, why):
    assert p2p_verdict(topology, [ONE, TWO]) == (trusted, why)


def test_all_pairs_have_to_reach_each_other():
    assert p2p_verdict(host(), [ONE, TWO, THREE])[0] is False


def test_a_matrix_that_could_not_be_read_is_no_yes():
    unread = host()
    unread["nvidia"]["smi"]["p2p_read"] = None
    assert p2p_verdict(unread, [ONE, TWO])[0] is False
