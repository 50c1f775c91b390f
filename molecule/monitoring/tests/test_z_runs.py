"""What further runs do, and that all of it goes again. The last file: nothing is monitored afterwards."""

RULES = "/etc/prometheus/inference.host/rules/serving.yml"
OUTPUT = "build/monitoring"
UNITS = ("prometheus-node-exporter", "prometheus-nginx-exporter")


def test_a_second_run_changes_nothing(play):
    status, said = play("monitoring", output=OUTPUT)
    assert status == 0, said
    assert said.count("changed=0 ") == 2, said


def test_rules_that_promtool_refuses_never_go_live(play, monitor, prometheus, tmp_path):
    before = monitor.file(RULES).content_string
    status, said = play("monitoring", output=str(tmp_path), prometheus_down_for="soon")
    assert status != 0 and "promtool does not accept the files" in said and "soon" in said, said
    assert monitor.file(RULES).content_string == before
    assert prometheus("query", query="up")["result"]


def test_a_port_that_is_taken_is_refused(play):
    status, said = play("monitoring", output=OUTPUT, monitoring_port=18080)
    assert status != 0 and "monitoring_port is 18080, which is the port of instance chat-0" in said, said


def test_another_threshold_restarts_prometheus_with_it(play, monitor, prometheus):
    pid = monitor.check_output("systemctl show --property=MainPID --value prometheus")
    status, said = play("monitoring", output=OUTPUT, prometheus_ttft_seconds=77)
    assert status == 0, said
    assert monitor.check_output("systemctl show --property=MainPID --value prometheus") != pid
    assert "> 77" in str(prometheus("rules"))


def test_scrapers_can_be_named_later(play, host):
    for wishes, address in (({"monitoring_scrapers": []}, "127.0.0.1:9180"), ({}, "0.0.0.0:9180")):
        status, said = play("monitoring", output=OUTPUT, **wishes)
        assert status == 0, said
        assert address in host.check_output("ss -Hltn")


def test_role_monitoring_is_taken_away(play, host):
    status, said = play("restore", role="monitoring")
    assert status == 0, said
    for unit in UNITS:
        assert not host.service(unit).is_running and not host.service(unit).is_enabled
    assert not host.file("/etc/nginx/inference-monitoring").exists
    assert not host.file("/etc/systemd/journald.conf.d/60-inference.conf").exists
    assert "rotate 14" in host.file("/etc/logrotate.d/nginx").content_string
    assert ":9180" not in host.check_output("ss -Hltn")
    assert host.service("nginx").is_running and host.service("inference-chat@0").is_running


def test_role_prometheus_is_taken_away(play, monitor):
    status, said = play("restore", role="prometheus")
    assert status == 0, said
    assert not monitor.service("prometheus").is_running and not monitor.service("prometheus").is_enabled
    assert not monitor.file("/etc/prometheus/inference.host").exists
    assert monitor.file("/etc/prometheus/prometheus.yml").exists
