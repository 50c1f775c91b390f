"""What speaks for and against copies between GPUs, pair by pair."""

import itertools

import pytest
import yaml
from ansible_collections.inference.host.plugins.module_utils.p2p import (
    TRUSTED,
    VERDICTS,
    p2p_pairs,
    p2p_verdict,
    p2p_warnings,
)
from ansible_collections.inference.host.plugins.module_utils.p2p_offers import p2p_offers
from ansible_collections.inference.host.plugins.module_utils.p2p_options import (
    forced_p2p,
    options_beside,
    registry_keys,
)
from ansible_collections.inference.host.plugins.module_utils.settings import WISHES

ONE, TWO, THREE = "0000:10:00.0", "0000:11:00.0", "0000:12:00.0"
ROOT, OTHER_ROOT, LEFT, RIGHT = "0000:00:01.0", "0000:00:02.0", "0000:02:01.0", "0000:02:02.0"
NOTHING = "nothing between them redirects or translates"


def card(index, address, **other):
    return dict({"index": index, "address": address, "mig": False}, **other)


def host(word="OK", link="PHB", iommu=None, back=None, write=None, mig=False, copies=None, params=None, bridges=None,
         nodes=(0, 0), notes=None):
    """A host of two cards. bridges: those above each."""
    peers = {"GPU0": {"GPU1": word}, "GPU1": {"GPU0": back or word}}
    gpus = [{"address": address, "vendor": "0x10de", "numa_node": node, "nvidia": None}
            for address, node in zip((ONE, TWO), nodes)]
    for gpu, above in zip(gpus, bridges or ()):
        gpu["bridges"] = above
    return {
        "gpus": gpus,
        "numa_nodes": [{"id": 0}, {"id": 1}],
        "nvidia": {"params": params, "copies": copies, "smi": {
            "gpus": [card(0, ONE, mig=mig), card(1, TWO)], "p2p_read": peers,
            "p2p_write": write and {"GPU0": {"GPU1": write}, "GPU1": {"GPU0": write}},
            "topology": {"GPU0": {"GPU1": link}, "GPU1": {"GPU0": link}} if link else None}},
        "iommu": iommu or {"translating": False, "acs": []},
        "notes": notes or {},
    }


def acs(*bits, at=ROOT, translating=False):
    return {"translating": translating, "acs": [{"address": at, "enabled": list(bits)}]}


def copied(ok=True, back=None, access=True, reason=None, size=16777216):
    back = ok if back is None else back
    return [{"from": source, "to": target, "ok": what, "access": access, "bytes": size if what else 0,
             "reason": None if what else reason}
            for source, target, what in ((ONE, TWO, ok), (TWO, ONE, back))]


ARRIVED = "copies of 16777216 bytes arrived in both directions"
TRANSLATES = "an IOMMU translates between them"
LOSS = "; that copies arrived does not rule out that data is lost"
FORCED = {"NVreg_RegistryDwords": "ForceP2P=0x11"}


@pytest.mark.parametrize(("topology", "verdict", "why"), [
    # Nobody has copied.
    (host(), "reported_only", NOTHING + "; no copy was compared"),
    (host(write="OK"), "reported_only", NOTHING + "; no copy was compared"),
    (host(iommu=acs("source_validation")), "reported_only", NOTHING + "; no copy was compared"),
    (host(link="NV4", iommu={"translating": True}), "reported_only", "linked by NVLink; no copy was compared"),
    (host(copies=copied(None, reason="out of memory")), "reported_only",
     NOTHING + "; no copy was compared (out of memory)"),
    (host(copies=copied()[:1]), "reported_only", NOTHING + "; no copy was compared"),
    (host(notes={"iommu.acs": "takes root"}), "reported_only",
     NOTHING + " (not all ACS bits could be read); no copy was compared"),
    # Copies arrived.
    (host(copies=copied()), "works", NOTHING + "; " + ARRIVED),
    (host(link="NV12", iommu={"translating": True}, copies=copied()), "works", "linked by NVLink; " + ARRIVED),
    # Something speaks against it.
    (host(iommu={"translating": True}), "unsafe", TRANSLATES),
    (host(iommu={"translating": True}, copies=copied()), "unsafe", TRANSLATES + LOSS),
    (host(iommu={"translating": None}), "unsafe", "whether an IOMMU translates between them is not known"),
    (dict(host(), iommu=None), "unsafe", "whether an IOMMU translates between them is not known"),
    (host(iommu=acs("request_redirect")), "unsafe", "ACS redirects at 0000:00:01.0"),
    (host(iommu=acs("completion_redirect")), "unsafe", "ACS redirects at 0000:00:01.0"),
    (host(iommu=acs("request_redirect", translating=True)), "unsafe",
     TRANSLATES + " and ACS redirects at 0000:00:01.0"),
    # A guest sees no IOMMU, and has its cards through one.
    (dict(host(copies=copied()), platform={"kind": "vm"}), "unsafe",
     "the IOMMU outside this virtual machine translates between them" + LOSS),
    (dict(host(iommu={"translating": True}), platform={"kind": "vm"}), "unsafe", TRANSLATES),
    (dict(host(link="NV4"), platform={"kind": "vm"}), "reported_only", "linked by NVLink; no copy was compared"),
    (dict(host(), platform={"kind": "bare_metal"}), "reported_only", NOTHING + "; no copy was compared"),
    (host(copies=copied(False, reason="3 of 9 bytes came back different")), "unsafe",
     "a copy from 0000:10:00.0 to 0000:11:00.0 failed: 3 of 9 bytes came back different"),
    (host(copies=copied(True, back=False)), "unsafe",
     "a copy from 0000:11:00.0 to 0000:10:00.0 failed: no reason is known"),
    (host(link="NV4", copies=copied(False, reason="x")), "unsafe",
     "a copy from 0000:10:00.0 to 0000:11:00.0 failed: x"),
    # There is none.
    (host("CNS"), "absent", "nvidia-smi says CNS (chipset not supported)"),
    (host(back="NS"), "absent", "nvidia-smi says NS (not supported)"),
    (host(write="CNS"), "absent", "nvidia-smi says CNS (chipset not supported)"),
    (host("GNS", back="TNS"), "absent",
     "nvidia-smi says GNS (GPU not supported), TNS (topology not supported)"),
    (host("DR"), "absent", "nvidia-smi says DR (disabled by a module option)"),
    (host("U"), "absent", "nvidia-smi says U (unknown)"),
    (host("XYZ"), "absent", "nvidia-smi says XYZ"),
    (host("CNS", link="NV4"), "absent", "nvidia-smi says CNS (chipset not supported)"),
    (host("CNS", copies=copied()), "absent", "nvidia-smi says CNS (chipset not supported)"),
    (host(copies=copied(None, access=False, reason="CUDA gives no access")), "absent",
     "nvidia-smi says OK, and CUDA gives no access"),
    (host(mig=True), "absent", "MIG is on for 0000:10:00.0, and parts of a card have no peers"),
    (host(mig=True, link="NV4", copies=copied()), "absent",
     "MIG is on for 0000:10:00.0, and parts of a card have no peers"),
    (dict(host(), nvidia={"smi": None}), "absent", "nvidia-smi does not tell whether they reach each other"),
    (dict(host(), nvidia=None), "absent", "nvidia-smi does not tell whether they reach each other"),
    # Forced: a word of the driver that it was told to give.
    (host(params=FORCED), "unsafe", "P2P is forced by ForceP2P=0x11, and no copy has shown that it works"),
    (host(params=FORCED, copies=copied()), "works",
     NOTHING + "; " + ARRIVED + ", though P2P is forced by ForceP2P=0x11"),
    (host(params=FORCED, copies=copied(), iommu={"translating": True}), "unsafe", TRANSLATES + LOSS),
    (host(params=FORCED, link="NV4"), "reported_only", "linked by NVLink; no copy was compared"),
    (host(params={"NVreg_RegistryDwords": "PeerMappingOverride=1;"}), "reported_only",
     NOTHING + "; module options in force: PeerMappingOverride=1; no copy was compared"),
])
def test_the_verdict_of_a_pair_and_its_reason(topology, verdict, why):
    (pair,) = p2p_pairs(topology)
    assert (pair["gpus"], pair["verdict"], pair["reason"]) == ([ONE, TWO], verdict, why)
    # The other card first is the same pair.
    topology["gpus"].reverse()
    assert p2p_pairs(topology) == [pair]


def test_copies_may_be_given_from_elsewhere():
    assert p2p_pairs(host(), copied())[0]["verdict"] == "works"
    assert p2p_pairs(host(copies=copied()), [])[0]["verdict"] == "reported_only"


@pytest.mark.parametrize(("topology", "link", "path"), [
    (host(link="NV18"), "NV18", "NVLink"),
    (host(link="PIX"), "PIX", "same PCIe switch"),
    (host(link="PXB"), "PXB", "several PCIe switches"),
    (host(link="PHB"), "PHB", "same root"),
    (host(link="NODE"), "NODE", "same node, two roots"),
    (host(link="SYS", nodes=(0, 1)), "SYS", "across sockets"),
    # nvidia-smi does not tell: the bridges and nodes do.
    (host(link=None, bridges=([ROOT, LEFT], [ROOT, RIGHT])), None, "same PCIe switch"),
    (host(link=None, bridges=([ROOT], [OTHER_ROOT])), None, "same node"),
    (host(link=None, nodes=(0, 1)), None, "across sockets"),
    (host(link=None, nodes=(0, None)), None, "not known"),
    (host(link="NEW"), "NEW", "same node"),
])
def test_the_path_in_words(topology, link, path):
    (pair,) = p2p_pairs(topology)
    assert (pair["link"], pair["path"]) == (link, path)


@pytest.mark.parametrize(("bridges", "at", "unsafe"), [
    # Below one switch only the ports on the way count, not what is above both.
    (([ROOT, LEFT], [ROOT, RIGHT]), LEFT, True),
    (([ROOT, LEFT], [ROOT, RIGHT]), RIGHT, True),
    (([ROOT, LEFT], [ROOT, RIGHT]), ROOT, False),
    (([ROOT, LEFT], [ROOT, RIGHT]), "0000:00:07.0", False),
    # Of two roots both are on the way.
    (([ROOT], [OTHER_ROOT]), OTHER_ROOT, True),
    (([], []), ROOT, False),
    # Recordings that do not tell which bridges are above which card: any.
    (None, "0000:00:07.0", True),
    (([ROOT],), "0000:00:07.0", True),
])
def test_only_bridges_on_the_way_of_a_pair_count(bridges, at, unsafe):
    (pair,) = p2p_pairs(host(bridges=bridges, iommu=acs("request_redirect", at=at)))
    assert (pair["verdict"] == "unsafe") is unsafe


def test_there_is_no_pair_without_two_of_nvidias_cards():
    alone = host()
    del alone["gpus"][1]
    other = host()
    other["gpus"][1]["vendor"] = "0x1a03"
    assert p2p_pairs({}) == p2p_pairs({"gpus": []}) == p2p_pairs(alone) == p2p_pairs(other) == []


def test_a_matrix_that_could_not_be_read_is_no_yes():
    for missing in ({"p2p_read": None}, {"p2p_read": {"GPU0": {"GPU1": "OK"}}}, {"gpus": [card(0, ONE)]}):
        unread = host()
        unread["nvidia"]["smi"].update(missing)
        assert p2p_pairs(unread)[0]["verdict"] == "absent"


# Groups


def pair(one, other, verdict="works", reason="r"):
    return {"gpus": [one, other], "verdict": verdict, "reason": reason}


@pytest.mark.parametrize("worst", VERDICTS)
def test_a_group_is_as_bad_as_its_worst_pair(worst):
    pairs = [pair(ONE, TWO), pair(ONE, THREE, worst, "why"), pair(TWO, THREE)]
    prefix = {"works": "used", "reported_only": "not forbidden"}.get(worst, "not used")
    told = "r; why" if worst == "works" else "why"
    assert p2p_verdict(pairs, [ONE, TWO, THREE]) == (worst, "%s: %s" % (prefix, told))
    assert p2p_verdict(pairs, [ONE, TWO]) == ("works", "used: r")
    assert (p2p_verdict(pairs, [ONE, THREE])[0] in TRUSTED) == (worst in ("works", "reported_only"))


def test_many_reasons_are_not_all_told():
    names = "abcd"
    pairs = [pair(one, other, "unsafe", one + other) for one, other in itertools.combinations(names, 2)]
    assert p2p_verdict(pairs, names) == ("unsafe", "not used: ab; ac; ad; and 3 more")


# Module options


@pytest.mark.parametrize(("text", "keys", "forced", "beside"), [
    ("", [], "", ""),
    ('"PeerMappingOverride=1;"', [("PeerMappingOverride", 1)], "", "PeerMappingOverride=1"),
    ("ForceP2P=17", [("ForceP2P", 17)], "ForceP2P=0x11", ""),
    ("ForceP2P=0x211;RMForceP2PType=1", [("ForceP2P", 529), ("RMForceP2PType", 1)], "ForceP2P=0x211",
     "RMForceP2PType=1"),
    # Allowed in one direction, forbidden in both, left to the driver in both.
    ("forcep2p=0x10", [("forcep2p", 16)], "forcep2p=0x10", ""),
    ("ForceP2P=0x0", [("ForceP2P", 0)], "", ""),
    ("ForceP2P=0x22", [("ForceP2P", 34)], "", ""),
    ("Other=5, ;=;x;ForceP2P=;ForceP2P=zz;A=99999999999", [("Other", 5)], "", ""),
])
def test_registry_keys_that_are_about_peers(text, keys, forced, beside):
    for params in ({"NVreg_RegistryDwords": text}, {"RegistryDwords": text}):
        assert (registry_keys(params), forced_p2p(params), options_beside(params)) == (keys, forced, beside)


def test_options_for_one_card_count():
    params = {"NVreg_RegistryDwords": "", "NVreg_RegistryDwordsPerDevice": "pci=0000:10:00.0;ForceP2P=0x11"}
    assert forced_p2p(params) == "ForceP2P=0x11"
    assert forced_p2p(None) == forced_p2p({}) == ""


# What is offered


def offers(topology):
    return p2p_offers(p2p_pairs(topology), topology)


def test_what_stands_between_a_pair_may_be_taken_away_with_its_cost():
    found = offers(host(iommu={"translating": True, "acs": [
        {"address": at, "enabled": ["request_redirect"]} for at in (OTHER_ROOT, ROOT, "0000:00:07.0")]},
        bridges=([ROOT], [OTHER_ROOT])))
    assert [offer["wish"] for offer in found] == [
        "nvidia_iommu_passthrough", "nvidia_disable_acs_redirect", "nvidia_module_options"]
    for offer in found:
        allowed, _words = WISHES[offer["wish"]]
        assert allowed(yaml.safe_load(offer["value"]))
    # Not the third, which is above neither of them.
    assert "up to the root at 0000:00:01.0, 0000:00:02.0;" in found[1]["what"]
    for offer in found:
        assert set(offer) == {"what", "wish", "value", "cost"}
        assert "reboot" in offer["cost"] and offer["what"].endswith(".") and offer["cost"].endswith(".")


def wishes(topology):
    return [offer["wish"] for offer in offers(topology)]


@pytest.mark.parametrize("topology", [
    host(copies=copied()), host(link="NV4", iommu=acs("request_redirect", translating=True), copies=copied()),
    host("CNS", iommu=acs("request_redirect", translating=True)), {},
    host(link="NV4", iommu=acs("request_redirect", translating=True), copies=copied(False)),
    # A card was busy: the next run tries again by itself.
    host(copies=copied(None)),
])
def test_nothing_is_offered_where_it_would_not_help(topology):
    assert wishes(topology) == []


@pytest.mark.parametrize("topology", [host(), host(link="NV4", iommu=acs("request_redirect", translating=True))])
def test_copies_are_offered_where_the_driver_alone_has_spoken(topology):
    assert wishes(topology) == ["topology_gpu_copy_check"]


@pytest.mark.parametrize("topology", [
    host(params=FORCED), host(iommu={"translating": None}), host(copies=copied(False))])
def test_the_driver_may_be_told_to_say_no_to_what_is_not_safe(topology):
    (offer,) = offers(topology)
    assert (offer["wish"], offer["value"]) == ("nvidia_module_options", "{NVreg_RegistryDwords: ForceP2P=0x0}")
    # And then the verdict is another one.
    options = yaml.safe_load(offer["value"])
    assert forced_p2p(options) == "" and p2p_pairs(host("DR", params=options))[0]["verdict"] == "absent"


# What the user wrote


@pytest.mark.parametrize("runtime", ["llama_cpp", "container"])
@pytest.mark.parametrize(("value", "verdict", "says"), [
    ("0", None, "which turns P2P on"), ("", "works", "which turns P2P on"), ("Off", "unsafe", "which turns P2P on"),
    ("1", "unsafe", "the verdict on its GPUs is unsafe"), ("1", "reported_only", "is reported_only"),
    ("1", "works", None), ("1", None, None), (None, "unsafe", None),
])
def test_llama_cpps_switch_is_looked_at(value, verdict, says, runtime):
    environment = {} if value is None else {"GGML_CUDA_P2P": value}
    found = p2p_warnings({"runtime": runtime, "environment": environment}, "chat-0", verdict)
    assert len(found) == (says is not None) and all(text.startswith("chat-0: environment.GGML") for text in found)
    assert says is None or says in found[0]


@pytest.mark.parametrize(("value", "verdict", "warned"), [
    ("0", "unsafe", True), ("", "absent", True), ("0", "reported_only", False), ("0", "works", False),
    ("0", None, False), ("1", "unsafe", False)])
def test_nccls_switch_is_looked_at(value, verdict, warned):
    found = p2p_warnings({"runtime": "vllm", "environment": {"NCCL_P2P_DISABLE": value}}, "large-0", verdict)
    assert found == (["large-0: environment.NCCL_P2P_DISABLE was set by the user, and the verdict on its GPUs is %s: "
                      "answers may be wrong; reasons.p2p says why." % verdict] if warned else [])
