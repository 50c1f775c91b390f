"""What the host shows and to whom, and what a real Prometheus makes of it."""

import json

import pytest
from conftest import KEY, REPO, address

PORT = 9180
COMPLETE = """
import json, urllib.request
body = json.dumps({"prompt": "The capital of France is", "max_tokens": 32}).encode()
headers = {"Authorization": "Bearer " + input()}
request = urllib.request.Request("http://127.0.0.1:8080/chat/v1/completions", body, headers)
print(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60).status)
"""
PATHS = ("/node", "/nginx", "/engine/chat-0", "/engine/chat-1")


def test_exporters_listen_at_loopback_alone(host):
    places = {line.split()[3] for line in host.check_output("ss -Hltn").splitlines()}
    assert {"127.0.0.1:9100", "127.0.0.1:9113"} <= places
    ports = {place.rsplit(":", 1)[1] for place in places if not place.startswith(("127.", "[::1]"))}
    assert ports == {"22", "8080", str(PORT)}


@pytest.mark.parametrize("path", PATHS)
def test_the_monitor_and_the_host_itself_may_read(host, monitor, get, path):
    assert get(monitor, f"http://{address('lab1')}:{PORT}{path}")[0] == 200
    assert get(host, f"http://127.0.0.1:{PORT}{path}")[0] == 200


def test_nobody_else_may(host, get):
    for path in (*PATHS, "/", "/-/revision"):
        # By the address that it asks from, which is none of loopback.
        assert get(host, f"http://{address('lab1')}:{PORT}{path}")[0] == 403


def test_nothing_else_is_there(monitor, get):
    for path in ("/", "/metrics", "/engine/", "/engine/chat-2", "/engine/chat-0/slots", "/node/x", "/v1/models"):
        assert get(monitor, f"http://{address('lab1')}:{PORT}{path}")[0] == 404


def test_clients_still_get_no_metrics(monitor, get):
    for path in ("/metrics", "/chat/metrics", "/node"):
        assert get(monitor, f"http://{address('lab1')}:8080{path}")[0] == 404


def test_the_key_is_roots_alone(host):
    found = host.check_output("grep -rlF %s /etc/nginx /etc/systemd /etc/prometheus || true", KEY).split()
    assert "/etc/nginx/inference-monitoring/chat.key" in found
    assert {host.file(path).mode for path in found} == {0o600}


def test_every_target_is_up_and_bears_its_labels(prometheus, wait_until):
    def found():
        return {(one["labels"]["job"], one["labels"]["instance"]): one["health"]
                for one in prometheus("targets")["activeTargets"]}

    wait_until(lambda: set(found().values()) == {"up"})
    assert set(found()) == {("inference_node", "lab1"), ("inference_nginx", "lab1"), ("inference_engine", "chat-0"),
                            ("inference_engine", "chat-1")}
    (one,) = prometheus("query", query='up{job="inference_engine", instance="chat-1"}')["result"]
    assert one["metric"] == {"__name__": "up", "job": "inference_engine", "host": "lab1", "service": "chat",
                             "instance": "chat-1", "runtime": "llama_cpp"}


def test_the_targets_on_the_controller_are_the_same(monitor):
    kept = (REPO / "build/monitoring/targets/inference_engine.json").read_text()
    assert json.loads(kept) == json.loads(
        monitor.file("/etc/prometheus/inference.host/targets/inference_engine.json").content_string)


def test_every_rule_is_evaluated(prometheus, wait_until):
    def health():
        return {rule["health"] for group in prometheus("rules")["groups"] for rule in group["rules"]}

    wait_until(lambda: health() == {"ok"})


def test_tokens_are_counted(host, prometheus, wait_until):
    query = "sum(inference:tokens_per_second:rate5m) > 0 and sum(inference:tpot_seconds:avg_5m) > 0"

    def counted():
        assert host.check_output("echo %s | python3 -c %s", KEY, COMPLETE) == "200"
        return bool(prometheus("query", query=query)["result"])

    wait_until(counted)


def test_an_alert_fires_while_an_engine_is_stopped(host, alerts, wait_until):
    stopped = ("InferenceEngineDown", "chat-1")
    assert stopped not in alerts()
    host.check_output("systemctl stop inference-chat@1")
    wait_until(lambda: stopped in alerts())
    assert ("InferenceEngineDown", "chat-0") not in alerts()
    host.check_output("systemctl start inference-chat@1")
    wait_until(lambda: stopped not in alerts())


def test_an_alert_fires_while_nginx_is_stopped(host, alerts, wait_until):
    host.check_output("systemctl stop nginx")
    wait_until(lambda: ("InferenceExporterDown", "lab1") in alerts())
    host.check_output("systemctl start nginx")
    wait_until(lambda: ("InferenceExporterDown", "lab1") not in alerts())


def test_the_journal_is_limited(host):
    assert "SystemMaxUse=1024M" in host.check_output("systemd-analyze cat-config systemd/journald.conf")
    pid = host.check_output("systemctl show --property=MainPID --value systemd-journald")
    assert "INFERENCE_REVISION=" in host.check_output("tr '\\0' '\\n' < /proc/%s/environ", pid)


def test_nginx_logs_are_rotated(host):
    assert "rotate 7\n" in host.file("/etc/logrotate.d/nginx").content_string
    done = host.run("logrotate --debug /etc/logrotate.conf")
    assert done.rc == 0 and "error:" not in done.stderr, done.stderr
