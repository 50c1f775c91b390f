"""What a host shows to a Prometheus, and how that one finds it."""

import json
from pathlib import Path

import pytest
import yaml
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.monitoring_endpoints import PORTS, monitoring_endpoints
from ansible_collections.inference.host.plugins.module_utils.scrape_targets import JOBS, scrape_targets, targets_of


def instance(name, service, runtime="llama_cpp", port=18080, gpus=()):
    return {"name": name, "service": service, "runtime": runtime, "port": port, "gpus": list(gpus)}


def plan(*instances, listen_port=8080):
    return {"nginx": {"listen_port": listen_port}, "instances": list(instances)}


CHAT = plan(instance("chat-0", "chat"), instance("chat-1", "chat", port=18081),
            instance("talk-0", "talk", "vllm", 18082),
            instance("speech-0", "speech", "whisper", 18083), instance("app-0", "app", "command", 18084))
GPU = plan(instance("chat-0", "chat", gpus=["0000:65:00.0"]))


def test_each_exporter_and_each_engine_with_metrics_has_a_path():
    found = [(one["path"], one["port"], one["job"]) for one in monitoring_endpoints(CHAT)]
    assert found == [("/node", 9100, "inference_node"), ("/nginx", 9113, "inference_nginx"),
                     ("/engine/chat-0", 18080, "inference_engine"), ("/engine/chat-1", 18081, "inference_engine"),
                     ("/engine/talk-0", 18082, "inference_engine")]


def test_gpus_have_a_path_where_they_have_an_exporter():
    assert [one["path"] for one in monitoring_endpoints(GPU, {"monitoring_dcgm_port": 9500}, True)] == [
        "/node", "/nginx", "/dcgm", "/engine/chat-0"]
    assert monitoring_endpoints(GPU, {"monitoring_dcgm_port": 9500}, True)[2]["port"] == 9500


@pytest.mark.parametrize(("ports", "says"), [
    ({"monitoring_port": 8080}, "monitoring_port is 8080, which is the port of nginx_listen_port"),
    ({"monitoring_node_port": 18081}, "monitoring_node_port is 18081, which is the port of instance chat-1"),
    ({"monitoring_nginx_port": 9100}, "monitoring_nginx_port is 9100, which is the port of monitoring_node_port"),
    ({"monitoring_port": 0}, "monitoring_port is 0; it must be a whole number from 1 to 65535"),
    ({"monitoring_port": "9180"}, "monitoring_port is '9180'; it must be"),
])
def test_a_port_that_is_taken_or_none_is_refused(ports, says):
    with pytest.raises(PlanError) as error:
        monitoring_endpoints(CHAT, ports)
    assert says in str(error.value)


def test_a_key_that_nginx_would_read_as_more_than_a_text_is_refused_and_not_shown():
    assert monitoring_endpoints(CHAT, None, False, {"chat": "plain-5e0f1c"}) == monitoring_endpoints(CHAT)
    for key in ("5e0f1c$word", '5e0f1c"; x "', "5e0f1c\\"):
        with pytest.raises(PlanError, match="service_api_keys.chat cannot be presented by nginx, as its m") as error:
            monitoring_endpoints(CHAT, None, False, {"chat": key})
        assert "5e0f1c" not in str(error.value)


def test_the_dcgm_port_counts_only_where_there_is_an_exporter():
    assert monitoring_endpoints(CHAT, {"monitoring_dcgm_port": 9100})
    with pytest.raises(PlanError, match="monitoring_dcgm_port is 9100"):
        monitoring_endpoints(CHAT, {"monitoring_dcgm_port": 9100}, True)


def hosts():
    return {
        "b": {"ansible_host": "192.0.2.2", "inference_plan": CHAT, "monitoring_scrapers": ["192.0.2.0/24"]},
        "a": {"ansible_host": "gpu.example", "nginx_address": "2001:db8::1", "nginx_tls_certificate": "/x.crt",
              "monitoring_port": 9443, "monitoring_dcgm_source": "/x", "monitoring_scrapers": ["2001:db8::/32"]},
    }


def test_the_targets_of_hosts_that_were_planned_now_and_before():
    found = targets_of(["b", "a"], hosts(), {"a": json.dumps(GPU), "b": ""})
    assert found["notes"] == [] and set(found["targets"]) == set(JOBS)
    assert [one["targets"] for one in found["targets"]["inference_node"]] == [
        ["[2001:db8::1]:9443"], ["192.0.2.2:9180"]]
    assert found["targets"]["inference_dcgm"] == [{"targets": ["[2001:db8::1]:9443"], "labels": {
        "host": "a", "job": "inference_dcgm", "instance": "a", "__metrics_path__": "/dcgm", "__scheme__": "https"}}]
    assert found["targets"]["inference_engine"][1] == {"targets": ["192.0.2.2:9180"], "labels": {
        "host": "b", "job": "inference_engine", "service": "chat", "instance": "chat-0", "runtime": "llama_cpp",
        "__metrics_path__": "/engine/chat-0", "__scheme__": "http"}}
    assert len(found["targets"]["inference_engine"]) == 4


def test_of_a_host_without_a_known_plan_the_engines_are_left_out_and_said():
    found = targets_of(["b", "a"], hosts(), {"a": ""})
    assert found["notes"] == ["a: its engines are left out, since no plan of it is known; reach it in this run, or "
                              "keep one with playbooks/plan.yml."]
    assert {job: {one["labels"]["host"] for one in entries} for job, entries in found["targets"].items()} == {
        "inference_node": {"a", "b"}, "inference_nginx": {"a", "b"}, "inference_engine": {"b"}, "inference_dcgm": set()}


def test_a_host_that_nobody_else_may_scrape_is_said():
    (note,) = targets_of(["b"], {"b": {"inference_plan": CHAT}})["notes"]
    assert note.startswith("b: monitoring_scrapers is empty")


def test_no_exporter_of_gpus_where_the_plan_uses_none():
    variables = {"b": dict(hosts()["b"], monitoring_dcgm_source="/x")}
    assert targets_of(["b"], variables)["targets"]["inference_dcgm"] == []


def test_a_kept_plan_that_is_no_json_is_said():
    with pytest.raises(ValueError, match="The kept plan of a is no JSON"):
        targets_of(["a"], hosts(), {"a": "{"})


def test_without_hosts_there_is_nothing():
    assert scrape_targets([]) == {"targets": {job: [] for job in JOBS}, "notes": []}


def test_the_ports_are_those_of_the_role():
    path = Path(__file__).resolve().parents[4] / "roles/monitoring/defaults/main.yml"
    defaults = yaml.safe_load(path.read_text())
    assert {name: defaults[name] for name in PORTS} == PORTS
