"""What the host watches by itself: what is changed by hand is in its metrics, and gone from them when it is put back.

The kernel's settings are not applicable in a container, so no row is of them here; those the unit tests have.
"""

import re

import pytest

METRICS = "/var/lib/prometheus/node-exporter/inference.prom"
NGINX = "/etc/nginx/nginx.conf"
KEYS = "/etc/inference.host/keys"
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


def read(host):
    """Let the host read itself back; return the metrics as {name: {labels as they stand: value}}."""
    host.check_output("systemctl start inference-watch.service")
    found = {}
    for name, labels, value in SAMPLE.findall(host.check_output(f"cat {METRICS}")):
        found.setdefault(name, {})[labels] = float(value)
    assert found["inference_watch_success"] == {"": 1}, host.check_output("journalctl -u inference-watch -n 20")
    return found


def drift(found):
    """The settings that are not as planned, and how many rows that makes."""
    settings = {re.search('setting="([^"]*)"', labels).group(1) for labels in found.get("inference_drift", {})}
    return settings, sum(found["inference_drift_rows"].values())


@pytest.fixture(name="units")
def units_fixture(host):
    return [re.search('unit="(.*)"', labels).group(1) for labels in sorted(read(host)["inference_unit_restarts_total"])]


@pytest.fixture(name="as_planned")
def as_planned_fixture(host):
    """Before and after each test nothing differs."""
    assert drift(read(host)) == (set(), 0)
    yield
    assert drift(read(host)) == (set(), 0)


def test_a_host_that_was_just_made_is_as_planned(host, units, as_planned):
    found = read(host)
    assert set(found["inference_instance_up"].values()) == {1} and len(found["inference_instance_up"]) == len(units)
    assert set(found["inference_probe_success"].values()) == {1}
    assert found["inference_probe_ttft_seconds"].keys() == found["inference_probe_success"].keys()
    assert all(0 < value < 30 for value in found["inference_probe_tpot_seconds"].values())
    (room,), (largest,) = (found[f"inference_models_{name}_bytes"].values() for name in ("free", "largest_release"))
    assert room > 0 and largest > 1e6
    assert abs(found["inference_watch_timestamp_seconds"][""] - float(host.check_output("date +%s"))) < 60
    assert host.check_output(f"stat -c '%a %U' {METRICS} /etc/inference.host/watch.json") == "644 root\n600 root"
    assert host.service("inference-watch.timer").is_enabled and host.service("inference-watch.timer").is_running
    shown = host.run("inference-watch --print")
    assert (shown.rc, shown.stdout) == (0, "lab1 is as planned.\n"), shown.stderr


def test_an_instance_that_was_stopped_is_down_and_drift(host, units, as_planned):
    host.check_output(f"systemctl stop {units[0]}")
    found = read(host)
    assert sorted(found["inference_instance_up"].values()).count(0) == 1
    assert drift(found) == ({units[0]}, 1)
    shown = host.run("inference-watch --print")
    assert shown.rc == 1 and re.search(rf"^service +{units[0]} +runs as written +inactive +drift", shown.stdout, re.M)
    host.check_output(f"systemctl start {units[0]}")


@pytest.mark.parametrize("kind", ["unit", "nginx"])
def test_a_file_that_was_changed_is_drift(host, units, as_planned, kind):
    unit = host.check_output(f"systemctl show --property=FragmentPath --value {units[0]}")
    path = {"unit": unit, "nginx": NGINX}[kind]
    host.check_output(f"cp -a {path} /root/kept && echo '# by hand' >>{path}")
    assert drift(read(host)) == ({path}, 1)
    host.check_output(f"cp -a /root/kept {path} && rm /root/kept")


def test_without_nginx_no_probe_succeeds(host, as_planned):
    host.check_output("systemctl stop nginx")
    found = read(host)
    assert set(found["inference_probe_success"].values()) == {0} and "inference_probe_ttft_seconds" not in found
    assert "nginx.service" in drift(found)[0]
    host.check_output("systemctl start nginx")


def test_no_key_is_in_what_is_written_and_said(host, units, as_planned):
    keys = host.run(f"cat {KEYS}/*").stdout.split()
    said = host.check_output(f"cat {METRICS} /etc/inference.host/watch.json; journalctl --no-pager -u inference-watch")
    assert [key for key in keys if key in said] == []
    if keys:
        name = host.check_output(f"ls {KEYS}").split()[0]
        host.check_output(f"cp -a {KEYS}/{name} /root/kept && sed -i 's/$/-of-another/' {KEYS}/{name}")
        found = read(host)
        assert f"{KEYS}/{name}" in drift(found)[0] and {0} <= set(found["inference_probe_success"].values())
        shown = host.run("inference-watch --print").stdout
        host.check_output(f"cp -a /root/kept {KEYS}/{name} && rm /root/kept")
        assert f"{KEYS}/{name}" in shown and "-of-another" not in shown
