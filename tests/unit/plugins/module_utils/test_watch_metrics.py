"""What was found as metrics: the names, and what each one counts."""

import copy

import pytest
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from ansible_collections.inference.host.plugins.module_utils.prometheus_text import prometheus_text
from ansible_collections.inference.host.plugins.module_utils.verify_rows import STATUSES
from ansible_collections.inference.host.plugins.module_utils.watch_metrics import watch_metrics
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plan_topologies import gpu, service, topologies, topology
from test_prometheus_text import parsed
from watch_hosts import wanted_of

UNITS = [f"inference-chat@{number}.service" for number in (0, 1)]
ROW = {"area": "cpu", "setting": "x", "status": "drift"}


def instance(number, policy="bind", nodes="0", **more):
    return dict({"name": f"chat-{number}", "service": "chat", "unit": UNITS[number], "cpus": [number], "gpus": [],
                 "numa_policy": policy, "numa_range": nodes, "parallel": 4, "p2p": False, "environment": {}}, **more)


WANTED = {"digest": "0123456789ab", "plan": {"settings": [], "instances": [instance(0), instance(1, "none", "0-1")],
                                             "hugepages": {"0": {"2048": 10}, "1": {"2048": 20}}}}
UNIT = {"active": True, "restarts": 2, "throttled_seconds": 1.5, "pages_mib": {"0": 75.0, "1": 25.0}}
NOTHING = dict.fromkeys(("rows", "units", "topology", "models", "probes"), None)
ANSWER = {"error": None, "ttft_ms": 120.0, "tpot_ms": 20.0}
FOUND = {"rows": [ROW, dict(ROW, status="ok"), dict(ROW, status="refused")], "units": dict.fromkeys(UNITS, UNIT),
         "topology": {"numa_nodes": [{"id": 0, "hugepages": {"2048": 12}}, {"id": 1, "hugepages": {"2048": 5}}],
                      "gpus": [], "nvidia": {"xid": [{"address": "0000:65:00.0", "code": 79, "count": 3}]}},
         "models": {"path": "/m", "free_bytes": 100, "largest_bytes": 7}, "probes": {"chat": ANSWER}, "failures": []}


def metrics(found, wanted=None, now=1000.5, before=None):
    families = watch_metrics(wanted or WANTED, dict(copy.deepcopy(found)), now, before)
    return parsed(prometheus_text(families))[0]


def of(name, **changes):
    """The samples of a metric, as {values of its labels: value}."""
    samples = metrics(dict(FOUND, **changes)).get("inference_" + name, {})
    return {tuple(value for _label, value in labels): told for labels, told in samples.items()}


@pytest.mark.parametrize(("name", "expected"), [
    ("watch_timestamp_seconds", {(): 1000.5}),
    ("watch_success", {(): 1}),
    ("plan_info", {("0123456789ab",): 1}),
    ("drift_rows", {("drift",): 1, ("partial",): 0, ("refused",): 1}),
    ("drift", {("cpu", "x", "drift"): 1, ("cpu", "x", "refused"): 1}),
    ("instance_up", {("chat-0", "chat"): 1, ("chat-1", "chat"): 1}),
    ("instance_slots", {("chat-0", "chat"): 4, ("chat-1", "chat"): 4}),
    ("unit_throttled_seconds_total", {(UNITS[0],): 1.5, (UNITS[1],): 1.5}),
    ("unit_restarts_total", {(UNITS[0],): 2, (UNITS[1],): 2}),
    ("hugepages_short", {("0", "2048"): 0, ("1", "2048"): 15}),
    # The other instance has no policy.
    ("instance_pages_elsewhere_ratio", {("chat-0", "chat"): 0.25}),
    ("p2p_lost_pairs", {}),
    ("xid_errors", {("0000:65:00.0", "79"): 3}),
    ("models_free_bytes", {("/m",): 100}),
    ("models_largest_release_bytes", {("/m",): 7}),
    ("probe_success", {("chat",): 1}),
    ("probe_ttft_seconds", {("chat",): 0.12}),
    ("probe_tpot_seconds", {("chat",): 0.02}),
])
def test_each_metric(name, expected):
    assert of(name) == expected


def test_what_could_not_be_read_has_no_metrics():
    found = dict(NOTHING, failures=["the host: it is gone"])
    assert set(metrics(found)) == {"inference_watch_success", "inference_plan_info", "inference_instance_slots"}
    assert metrics(found)["inference_watch_success"] == {(): 0}
    assert metrics(found, before=900.0)["inference_watch_timestamp_seconds"] == {(): 900.0}


def test_a_probe_that_failed_has_no_times():
    failed = {"chat": {"error": "status 503", "ttft_ms": None, "tpot_ms": None}}
    assert of("probe_success", probes=failed) == {("chat",): 0}
    assert of("probe_ttft_seconds", probes=failed) == of("probe_tpot_seconds", probes=failed) == {}


def test_pages_are_told_of_a_process_on_a_host_with_nodes():
    one_node = dict(FOUND["topology"], numa_nodes=FOUND["topology"]["numa_nodes"][:1])
    assert of("instance_pages_elsewhere_ratio", topology=one_node) == {}
    assert of("instance_pages_elsewhere_ratio", units=dict.fromkeys(UNITS, dict(UNIT, pages_mib=None))) == {}


def linked(**nvidia):
    """A host of two cards, joined by NVLink, of which the driver says that they reach each other."""
    cards = [dict(gpu(number), driver="nvidia") for number in (0, 1)]
    names = {"GPU0": {"GPU1": "OK"}, "GPU1": {"GPU0": "OK"}}
    told = [{"index": number, "address": card["address"]} for number, card in enumerate(cards)]
    smi = {"gpus": told, "p2p_read": names, "topology": {"GPU0": {"GPU1": "NV4"}, "GPU1": {"GPU0": "NV4"}}}
    return dict(topology(gpus=cards), nvidia=dict({"smi": smi}, **nvidia))


def test_a_pair_that_does_not_copy_any_more_is_lost(tmp_path):
    host = linked()
    wanted = wanted_of(make_plan(host, [service(gpus=2, gpu_layers=9)]), tmp_path)
    assert wanted["plan"]["instances"][0]["p2p"]

    def lost(now):
        return metrics(dict(FOUND, topology=now, units={}), wanted).get("inference_p2p_lost_pairs")

    one, other = (card["address"] for card in host["gpus"])
    failed = linked(copies=[{"from": one, "to": other, "ok": False, "reason": "one byte differs"}])
    alone = dict(host, gpus=host["gpus"][:1])
    assert [lost(now) for now in (host, failed, alone)] == [{(): 0}, {(): 1}, {(): 1}]
    wanted["plan"]["instances"][0]["p2p"] = False
    assert [lost(now) for now in (failed, alone)] == [{(): 0}, None]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(host=topologies(), statuses=st.lists(st.sampled_from(STATUSES)))
def test_whatever_the_host_is_the_metrics_can_be_read(host, statuses, tmp_path):
    rows = [dict(ROW, status=status, setting="s%d" % number) for number, status in enumerate(statuses)]
    found = metrics(dict(FOUND, topology=host, rows=rows))
    assert sum(found["inference_drift_rows"].values()) == len(found.get("inference_drift", {}))
    assert ("inference_p2p_lost_pairs" in found) == (len(host["gpus"]) > 1)
