"""Rules and dashboard of role prometheus, checked and tried by promtool with the role's defaults."""

import json
import re

import pytest
import yaml
from rendered import (
    HERE,
    ROOT,
    RULE_FILES,
    dashboard,
    expressions,
    known_metrics,
    metrics_of,
    promtool,
    rule_text,
    rules,
)

TESTS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(HERE.glob("*.yml"))}
CASES = [case for file in TESTS.values() for case in file["tests"]]
ALERTS = [rule for rule in rules() if "alert" in rule]


def test_promtool_accepts_the_rules(tmp_path):
    for path in RULE_FILES:
        (tmp_path / path.name).write_text(rule_text(path))
    status, said = promtool("check", "rules", *sorted(tmp_path.iterdir()))
    assert status == 0, said


@pytest.mark.parametrize("name", sorted(TESTS))
def test_the_rules_do_what_their_tests_say(tmp_path, name):
    for path in RULE_FILES:
        loaded = yaml.safe_load(rule_text(path))
        # promtool compares every word of the annotations; of those are tests of their own below.
        for group in loaded["groups"]:
            for rule in group["rules"]:
                rule.pop("annotations", None)
        (tmp_path / path.name).write_text(yaml.safe_dump(loaded))
    test = dict(TESTS[name], rule_files=[path.name for path in RULE_FILES])
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test))
    status, said = promtool("test", "rules", tmp_path / "test.yaml")
    assert status == 0, said


def outcomes(kind, key, expected):
    """Return {name: {whether something was expected}} of the tests."""
    found = {}
    for test in [one for case in CASES for one in case.get(kind, [])]:
        found.setdefault(test[key], set()).add(bool(test.get(expected)))
    return found


def test_every_rule_is_tried_both_ways():
    found = dict(outcomes("alert_rule_test", "alertname", "exp_alerts"),
                 **outcomes("promql_expr_test", "expr", "exp_samples"))
    assert found == {rule.get("alert") or rule["record"]: {True, False} for rule in rules()}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_every_metric_is_one_that_something_exports(rule):
    found = metrics_of(rule["expr"])
    assert found and sorted(found - known_metrics()) == []


def test_metrics_are_found_in_expressions():
    assert metrics_of('sum by (host) (rate(a:b_total{x="y"}[5m])) / on (host) c > 1e3 or time() - d offset 1h') == {
        "a:b_total", "c", "d"}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_says_how_bad_what_and_what_to_do(rule):
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "description", "action"}
    assert all(len(text) > 15 and "\n" not in text for text in rule["annotations"].values())
    named = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
    fired = [set(alert["exp_labels"]) for case in CASES for test in case.get("alert_rule_test", [])
             if test["alertname"] == rule["alert"] for alert in test.get("exp_alerts", [])]
    assert [sorted(named - labels) for labels in fired if named - labels] == []


def test_thresholds_are_the_variables_of_the_role():
    (path,) = [path for path in RULE_FILES if path.stem == "serving"]
    text = rule_text(path, prometheus_ttft_seconds=77, prometheus_slow_for="99m")
    assert "inference_probe_ttft_seconds > 77" in text and "for: 99m" in text
    assert "<<" not in text


def test_what_comes_from_prometheus_itself_stays_as_it_is():
    assert any("{{ $labels.host }}" in rule["annotations"]["summary"] for rule in ALERTS)


def test_every_expression_of_the_dashboard_is_one(tmp_path):
    found = expressions(dashboard())
    group = {"name": "x", "rules": [{"record": "x:%d" % index, "expr": text} for index, text in enumerate(found)]}
    (tmp_path / "dashboard.yml").write_text(yaml.safe_dump({"groups": [group]}))
    status, said = promtool("check", "rules", tmp_path / "dashboard.yml")
    assert status == 0, said
    assert sorted({name for text in found for name in metrics_of(text)} - known_metrics()) == []


def test_the_dashboard_is_for_the_chosen_hosts_and_services():
    board = dashboard()
    assert [one["name"] for one in board["templating"]["list"]] == ["datasource", "host", "service"]
    assert all('host=~"$host"' in target["expr"] for panel in board["panels"] for target in panel["targets"])
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"]) <= 12
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(places)) == len(places)
    # As it is kept, so that a change in Grafana is a readable difference.
    kept = (ROOT / "roles/prometheus/files/grafana/inference.json").read_text()
    assert kept == json.dumps(board, indent=2) + "\n"
