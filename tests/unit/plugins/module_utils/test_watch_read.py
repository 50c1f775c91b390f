"""What the watch reads of its host: the rows of verify.yml, units, models and probes, and what happens without them."""

import os
import re
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils import systemd, tunables
from ansible_collections.inference.host.plugins.module_utils.nginx_clients import client_settings
from ansible_collections.inference.host.plugins.module_utils.prometheus_text import prometheus_text
from ansible_collections.inference.host.plugins.module_utils.tunables_host import Host
from ansible_collections.inference.host.plugins.module_utils.verify_rows import STATUSES, verify_rows
from ansible_collections.inference.host.plugins.module_utils.watch_metrics import watch_metrics
from ansible_collections.inference.host.plugins.module_utils.watch_read import BASELINE
from ansible_collections.inference.host.plugins.module_utils.watch_sealed import keys_in
from builders import scratch
from completion_server import KEY, completing
from hypothesis import given, settings
from hypothesis import strategies as st
from test_prometheus_text import parsed
from watch_hosts import SYSCTLS, commands, planned_host, reader, wanted_of

UNIT = "inference-chat@0.service"
KEYED = {"path": "/nowhere/key", "content": KEY + "\n", "mode": "0600", "sensitive": True}


@pytest.fixture(name="plan")
def plan_fixture(tree_folder):
    return planned_host(tree_folder, memory_swappiness=10)


def apply_all(wanted, root):
    for role in wanted["setting_roles"]:
        mine = [dict(one, after=[]) for one in wanted["plan"]["settings"] if one["role"] == role and not one["reboot"]]
        tunables.apply(mine, "60-inference-" + role, Host(str(root)), BASELINE)


def as_verify_says(run_module, plan, wanted, root):
    """The rows of the settings as role verify makes them: of the module's answers, by the plan itself."""
    answers = [dict(run_module("tunables", {
        "root": str(root), "persist_to": "60-inference-" + role, "fail_on_refused": False,
        "settings": [one for one in plan["settings"] if one["role"] == role]}, check=True, diff=True), item=role)
        for role in wanted["setting_roles"]]
    return verify_rows(plan, {"settings": {"results": answers}, "scope": "settings"}, "box1")


@pytest.mark.parametrize("applied", [False, True])
def test_the_rows_of_settings_are_those_of_verify(plan, tmp_path, tree_folder, run_module, applied):
    wanted = wanted_of(plan, tmp_path)
    if applied:
        apply_all(wanted, tree_folder)
        # Somebody has been there since.
        (tree_folder / "proc/sys/vm/swappiness").write_text("33\n")
        (tree_folder / "etc/sysctl.d/60-inference-network.conf").write_text("net.core.somaxconn = 1\n")
    found = reader(wanted, tree_folder).read()
    settings = [row for row in found["rows"] if row["area"] in wanted["setting_roles"]]
    assert settings == as_verify_says(run_module, plan, wanted, tree_folder)
    wrong = {row["setting"]: row["status"] for row in settings if row["status"] not in ("ok", "not_applicable")}
    assert wrong["vm.swappiness"] == wrong["net.core.somaxconn"] == "drift"
    assert len(wrong) < len(settings) / 2 or not applied


def files_of(folder):
    """Two files that are as they are to be, the second one secret."""
    (folder / "unit").write_text("[Unit]\n")
    (folder / "key").write_text(KEY + "\n")
    for name, mode in (("unit", 0o644), ("key", 0o600)):
        (folder / name).chmod(mode)
    return [{"path": str(folder / "unit"), "content": "[Unit]\n"}, dict(KEYED, path=str(folder / "key"))]


def file_rows(wanted, root):
    rows = reader(wanted, root).read()["rows"]
    return {os.path.basename(row["setting"]): row for row in rows if row["setting"].startswith("/") and
            row["area"] == "service"}


def test_a_secret_file_is_compared_by_its_hash(plan, tmp_path, tree_folder):
    wanted = wanted_of(plan, tmp_path, files_of(tmp_path))
    assert KEY not in str(wanted)
    assert {name: row["status"] for name, row in file_rows(wanted, tree_folder).items()} == {"unit": "ok", "key": "ok"}
    (tmp_path / "key").write_text("another-key-that-nobody-may-see\n")
    (tmp_path / "unit").write_text(f"[Unit] {KEY}\nanother-key-that-nobody-may-see\n")
    rows = file_rows(wanted, tree_folder)
    assert {name: row["status"] for name, row in rows.items()} == {"unit": "drift", "key": "drift"}
    assert rows["unit"]["found"].startswith("line 1: [Unit] ") and "another-key" not in str(rows)


def test_a_secret_file_that_is_gone_or_open_to_all_is_drift(plan, tmp_path, tree_folder):
    wanted = wanted_of(plan, tmp_path, files_of(tmp_path))
    (tmp_path / "key").chmod(0o644)
    assert file_rows(wanted, tree_folder)["key"]["found"].startswith("file, mode 0644")
    (tmp_path / "key").unlink()
    assert file_rows(wanted, tree_folder)["key"]["found"] == "not there"


def test_the_units_are_told(plan, tmp_path, tree_folder):
    folder = tree_folder / "sys/fs/cgroup/system.slice/x.service"
    folder.mkdir(parents=True)
    (folder / "cpu.stat").write_text("usage_usec 100\nnr_throttled 3\nthrottled_usec 2500000\n")
    found = reader(wanted_of(plan, tmp_path), tree_folder,
                   unit_0={"ControlGroup": "/system.slice/x.service", "NRestarts": "4"},
                   unit_1={"ActiveState": "failed"}).read()
    assert found["units"] == {
        UNIT: {"active": True, "restarts": 4, "throttled_seconds": 2.5, "pages_mib": None},
        "inference-chat@1.service": {"active": False, "restarts": 0, "throttled_seconds": None, "pages_mib": None}}
    statuses = {row["setting"]: (row["found"], row["status"]) for row in found["rows"] if row["area"] == "service"}
    assert statuses == {UNIT: ("runs as written", "ok"), "inference-chat@1.service": ("failed", "drift")}
    assert found["failures"] == []


def test_a_part_that_fails_leaves_the_others(plan, tmp_path, tree_folder):
    wanted = wanted_of(plan, tmp_path)
    wanted["plan"]["settings"][0]["kind"] = "no kind"
    mute = reader(wanted, tree_folder)
    mute.run = lambda argv: (1, "", "Failed to connect to bus")
    found = mute.read()
    role = wanted["plan"]["settings"][0]["role"]
    assert found["units"] is None and found["topology"] and found["rows"]
    assert found["failures"][0] == "role %s: 'no kind'" % role
    assert found["failures"][-1].startswith("the units: systemctl says nothing of inference-chat@0.service, ")
    (row,) = [row for row in found["rows"] if row["area"] == role]
    assert (row["setting"], row["status"]) == ("kernel settings", "refused")


def test_a_host_that_cannot_be_read_has_no_topology_and_its_rows_all_the_same(plan, tmp_path):
    found = reader(wanted_of(plan, tmp_path), tmp_path / "empty").read()
    assert found["topology"] is None and found["failures"][0].startswith("the host: ")
    assert {row["status"] for row in found["rows"]} & {"refused", "not_applicable"}


def test_the_largest_release_is_found(plan, tmp_path, tree_folder):
    wanted = wanted_of(plan, tmp_path)
    assert reader(wanted, tree_folder).models() is None
    for name, size in (("a", 5), ("b", 7000)):
        folder = tmp_path / "models" / name / "r1"
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(
            '{"files": [{"path": "m.gguf", "sha256": "%s", "size": %d, "mtime_ns": 1}]}' % ("0" * 64, size))
    models = reader(wanted, tree_folder).models()
    assert (models["path"], models["largest_bytes"]) == (str(tmp_path / "models"), 7000) and models["free_bytes"] > 0


def probed(plan, tmp_path, server, behaviour, key_file=None):
    wanted = wanted_of(plan, tmp_path, probe_tokens=3)
    assert [one["name"] for one in wanted["probe"]["services"]] == ["chat"]
    wanted["probe"] = dict(wanted["probe"], url=server.url + "/", seconds=5, services=[
        {"name": behaviour, "key_file": key_file}])
    return reader(wanted, tmp_path).probes()[behaviour]


def test_a_probe_is_one_short_completion_with_a_prompt_of_its_own(plan, tmp_path):
    with completing() as server:
        answers = [probed(plan, tmp_path, server, "good") for _again in range(2)]
        asked = [body for _path, _headers, body in server.asked]
    assert [(answer["error"], answer["tokens"]) for answer in answers] == [(None, 3)] * 2
    assert asked[0]["max_tokens"] == 3 and asked[0]["prompt"] != asked[1]["prompt"]


@pytest.mark.parametrize("status", ["429", "503"])
def test_a_service_that_is_too_busy_does_not_succeed(plan, tmp_path, status):
    with completing() as server:
        answer = probed(plan, tmp_path, server, status)
    assert answer["error"].startswith(f"status {status}: ") and answer["ttft_ms"] is None


def test_the_key_is_taken_from_where_the_host_has_it(plan, tmp_path):
    (tmp_path / "key").write_text(KEY + "\n")
    with completing() as server:
        assert probed(plan, tmp_path, server, "keyed", str(tmp_path / "key"))["error"] is None
        assert probed(plan, tmp_path, server, "keyed", str(tmp_path / "gone"))["error"].startswith("status 401: ")


def test_keys_are_found_in_the_files_that_hold_them():
    clients = {"app": "a.key~with+all/of-it=", "web_1": "0123456789abcdef"}
    wishes = {"client_limits": {}, "rate_per_minute": 0, "rate_burst": 0, "connections_per_client": 0}
    lines = client_settings(clients, wishes)["client_map"]
    assert keys_in("\n".join(lines) + "\n") == list(clients.values())
    assert keys_in('proxy_set_header Authorization "Bearer %s";\n' % KEY) == [KEY]
    assert keys_in("any line of text\n\n") == ["any line of text"] and keys_in("") == []


def test_credentials_are_found_where_the_sandbox_has_them(tmp_path, monkeypatch):
    monkeypatch.setattr(systemd, "CREDENTIALS", (str(tmp_path / "hidden"), str(tmp_path / "bound")))
    (tmp_path / "bound" / UNIT).mkdir(parents=True)
    (tmp_path / "bound" / UNIT / "api_key").write_text(KEY)
    unit = tmp_path / "unit"
    unit.write_text(f"LoadCredential=api_key:{tmp_path / 'source'}\n")
    properties = {"ActiveState": "active", "FragmentPath": str(unit), "MainPID": "0"}
    for text, action in ((KEY, None), (KEY + "2", "restart")):
        (tmp_path / "source").write_text(text)
        assert systemd.action_needed(UNIT, properties) == action


@settings(deadline=None, max_examples=25)
@given(st.dictionaries(st.sampled_from(sorted(SYSCTLS)), st.none() | st.text(max_size=12)))
def test_whatever_the_kernel_says_there_are_rows_and_metrics(texts):
    with scratch() as root:
        wanted = wanted_of(planned_host(root), Path(root))
        for path, text in texts.items():
            (Path(root) / path).unlink()
            if text is not None:
                (Path(root) / path).write_text(text)
        found = reader(wanted, root).read()
    assert found["failures"] == [] and {row["status"] for row in found["rows"]} <= set(STATUSES)
    told, _kinds = parsed(prometheus_text(watch_metrics(wanted, found, 1.0)))
    assert sum(told["inference_drift_rows"].values()) == len(told["inference_drift"])


def test_the_stand_in_answers_as_systemctl_does():
    _status, said, _error = commands()(["systemctl", "show", "--property=Id", UNIT])
    assert re.search(f"^Id={UNIT}$", said, re.MULTILINE)
