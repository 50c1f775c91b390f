"""Verdicts on pairs of GPUs, as rows and as a matrix."""

import json
from xml.etree import ElementTree

import pytest
from ansible_collections.inference.host.plugins.module_utils.p2p_report import p2p_rows, p2p_table
from ansible_collections.inference.host.plugins.module_utils.verify_report import junit, verify_report, verify_table
from ansible_collections.inference.host.plugins.module_utils.verify_rows import verify_rows

ONE, TWO, THREE = "0000:10:00.0", "0000:11:00.0", "0000:12:00.0"
SETTING = "%s - %s" % (ONE, TWO)
REASON = "nothing between them redirects or translates; no copy was compared"


def host(word="OK", translating=False, link="PHB", cards=(ONE, TWO)):
    names = ["GPU%d" % number for number in range(len(cards))]
    peers = {name: {other: word for other in names if other != name} for name in names}
    links = {name: {other: link for other in names if other != name} for name in names}
    return {
        "gpus": [{"address": address, "vendor": "0x10de", "numa_node": 0} for address in cards],
        "numa_nodes": [{"id": 0}], "iommu": {"translating": translating, "acs": []},
        "nvidia": {"smi": {"gpus": [{"index": number, "address": address} for number, address in enumerate(cards)],
                           "p2p_read": peers, "topology": links}}}


def plan(*gpus, environment=None, runtime="llama_cpp"):
    return {"instances": [{"name": "chat-0", "runtime": runtime, "gpus": list(gpus), "p2p": True,
                           "environment": environment or {}}]}


SWITCH = {"GGML_CUDA_P2P": "1"}


@pytest.mark.parametrize(("topology", "planned", "wanted", "found", "status", "note"), [
    (host(), plan(ONE, TWO), "works or reported_only", "reported_only", "ok", REASON),
    (host(), plan(ONE), "-", "reported_only", "not_applicable", "no instance has both: " + REASON),
    (host("CNS"), plan(ONE, TWO), "-", "absent", "not_applicable",
     "copies go through the RAM: nvidia-smi says CNS (chipset not supported)"),
    (host(translating=True), plan(ONE, TWO), "-", "unsafe", "not_applicable",
     "copies go through the RAM: an IOMMU translates between them"),
    # The user's environment wins over the plan's.
    (host(translating=True), plan(ONE, TWO, environment=SWITCH), "works or reported_only", "unsafe", "drift",
     "chat-0 has GGML_CUDA_P2P=1 in its environment: an IOMMU translates between them"),
    (host(translating=True), plan(ONE, TWO, environment={"NCCL_P2P_DISABLE": "0"}, runtime="vllm"),
     "works or reported_only", "unsafe", "drift",
     "chat-0 has NCCL_P2P_DISABLE=0 in its environment: an IOMMU translates between them"),
    (host(translating=True), plan(ONE, TWO, environment={"NCCL_P2P_DISABLE": "1"}, runtime="vllm"), "-", "unsafe",
     "not_applicable", "copies go through the RAM: an IOMMU translates between them"),
    (host(), plan(ONE, TWO, environment=SWITCH), "works or reported_only", "reported_only", "ok", REASON),
])
def test_a_pair_is_a_row(topology, planned, wanted, found, status, note):
    assert p2p_rows(planned, topology) == [{
        "area": "p2p", "setting": SETTING, "wanted": wanted, "found": found, "persisted": "-", "status": status,
        "note": note}]


def test_three_cards_are_three_rows_and_one_is_none():
    assert [row["setting"] for row in p2p_rows(plan(ONE, TWO), host(cards=(ONE, TWO, THREE)))] == [
        SETTING, "%s - %s" % (ONE, THREE), "%s - %s" % (TWO, THREE)]
    assert p2p_rows(plan(ONE), host(cards=(ONE,))) == p2p_rows(plan(), {}) == []


def test_the_rows_are_among_those_of_the_host():
    answers = {"scope": "all", "settings": {"results": []}, "engine": {"engines": {}}, "models": [], "unit_paths": [],
               "unit_files": {"changed_paths": []}, "instances": {"instances": [], "stopped": []},
               "nginx": {"msg": "not asked"}, "topology": host()}
    made = dict(plan(ONE, TWO), settings=[], instances=[])
    found = [row for row in verify_rows(made, answers, "gpu1") if row["area"] == "p2p"]
    assert [(row["host"], row["setting"], row["status"]) for row in found] == [("gpu1", SETTING, "not_applicable")]
    assert not [row for row in verify_rows(made, dict(answers, scope="settings"), "gpu1") if row["area"] == "p2p"]


def pair(one, other, verdict, **more):
    return dict({"gpus": [one, other], "link": "NV4", "path": "NVLink", "driver_says": "OK", "verdict": verdict,
                 "reason": "a reason"}, **more)


PAIRS = [pair(ONE, TWO, "works"), pair(ONE, THREE, "unsafe", link="SYS", path="across sockets"),
         pair(TWO, THREE, "absent", link=None, path="not known", driver_says=None)]

TABLE = """\
P2P      10:00.0  11:00.0  12:00.0
10:00.0  -        works    unsafe
11:00.0  works    -        absent
12:00.0  unsafe   absent   -

PAIR               PATH                  DRIVER SAYS  VERDICT  REASON
10:00.0 - 11:00.0  NVLink (NV4)          OK           works    a reason
10:00.0 - 12:00.0  across sockets (SYS)  OK           unsafe   a reason
11:00.0 - 12:00.0  not known             -            absent   a reason"""


def test_the_matrix_has_each_card_against_each():
    assert "\n".join(p2p_table(PAIRS)) == TABLE
    assert p2p_table([]) == []


def test_domains_are_shown_where_they_differ():
    lines = p2p_table([pair(ONE, "0001:10:00.0", "works")])
    assert lines[0].split() == ["P2P", ONE, "0001:10:00.0"]


def report(pairs):
    row = {"host": "gpu1", "area": "p2p", "setting": SETTING, "wanted": "-", "found": "works", "persisted": "-",
           "status": "ok", "note": "-"}
    return verify_report([row, dict(row, host="gpu2")], ["gpu1", "gpu2"], [
        {"host": "gpu1", "pairs": pairs}, {"host": "gpu2", "pairs": []}])


def test_the_report_holds_the_pairs_of_hosts_that_have_some():
    made = json.loads(json.dumps(report(PAIRS)))
    assert [part.get("p2p") for part in made["hosts"]] == [PAIRS, None]
    text = verify_table(report(PAIRS))
    assert text.count("P2P between the GPUs of") == 1
    assert "\n\nP2P between the GPUs of gpu1:\n%s\n\nas planned: all 2 hosts" % TABLE in text


def test_what_a_tool_printed_is_no_control_sequence_and_no_markup():
    bad = "\x1b[31m<b>&\n\x00" + "x" * 500
    made = report([pair(ONE, TWO, "absent", link=bad, driver_says=bad, reason=bad, path=bad)])
    text = verify_table(made)
    assert "\x1b" not in text and "\x00" not in text and "x" * 401 not in text
    assert all(len(value) <= 400 for value in made["hosts"][0]["p2p"][0].values() if isinstance(value, str))
    row = {"host": "gpu1", "area": "p2p", "setting": SETTING, "wanted": "-", "found": "absent", "persisted": "-",
           "status": "not_applicable", "note": "<b>&\"'\x1b"}
    (case,) = ElementTree.fromstring(junit(verify_report([row]))).iter("testcase")
    assert case.get("name") == SETTING and case.find("skipped").get("message") == "<b>&\"'\ufffd"
