"""What modules answered in check mode, as rows: each status, files, instances, nginx, and texts that are no good."""

import copy

import pytest
from ansible_collections.inference.host.plugins.module_utils.verify_rows import (
    LONGEST,
    STATUSES,
    clean,
    failure_of,
    first_difference,
    verify_rows,
)

UNIT = "/etc/systemd/system/inference-chat@.service"
PLAN = {
    "settings": [
        {"role": "memory", "name": "vm.swappiness", "persist": None},
        {"role": "nvme", "name": "scheduler", "persist": "none"},
    ],
    "instances": [
        {"unit": "inference-chat@0.service", "cpus": [2, 3, 4], "numa_policy": "bind", "numa_range": "0"},
        {"unit": "inference-chat@1.service", "cpus": [8], "numa_policy": "none", "numa_range": "0-1"},
    ],
}


def setting(status="ok", before="10", **more):
    return {"name": "vm.swappiness", "kind": "sysctl", "path": "/proc/sys/vm/swappiness", "before": before,
            "wanted": "10", "status": status, "detail": "", **more}


def instance(number, cpus, policy, **more):
    return {"unit": f"inference-chat@{number}.service", "action": None, "moved": None, "enabled": False,
            "state": "active",
            "effective_cpus": cpus, "effective_memory_nodes": "0-1", "memory_policy": policy, **more}


ENGINE = {"runtime": "llama_cpp", "title": "llama.cpp", "path": "/opt/e/bin/llama-server", "found": True, "build": 9000,
          "version": "0.1.0", "options": [], "missing": [], "problem": ""}

GOOD = {
    "failure": {}, "unreachable": False,
    "settings": {"results": [{"item": "memory", "results": [setting(persisted=True)], "diff": []}]},
    "engine": {"engines": {"llama_cpp": ENGINE}},
    "models": [{"name": "m", "release": "abc", "status": "present", "needed": False, "missing": [], "current": True}],
    "unit_files": {"changed_paths": [], "diff": []}, "unit_paths": [UNIT],
    "instances": {"stopped": [], "instances": [instance(0, "2-4", "bind:0"), instance(1, "8", "default")]},
    "nginx": {"changed_paths": [], "diff": [], "paths": ["/etc/nginx/nginx.conf"],
              "unit": {"ActiveState": "active", "UnitFileState": "enabled"}, "loaded": "0123456789abcdef",
              "revision": "0123456789abcdef", "unregistered": [], "registry_loaded": True, "open_files": 8704,
              "wanted_open_files": 8704, "notes": []},
}


def rows(secrets=(), **changes):
    return verify_rows(PLAN, dict(copy.deepcopy(GOOD), **changes), "gpu1", secrets)


def wrong(**changes):
    """The rows that need a person, as (area, setting, wanted, found, persisted, status, note)."""
    keys = ("area", "setting", "wanted", "found", "persisted", "status", "note")
    return [tuple(row[key] for key in keys) for row in rows(**changes) if row["status"] != "ok"]


def settings(*results, role="memory", diff=()):
    return {"settings": {"results": [{"item": role, "results": list(results), "diff": list(diff)}]}}


def entry(path, before, after, suffix=""):
    return {"before_header": path + suffix, "after_header": path + suffix, "before": before, "after": after}


def test_settings_alone_say_nothing_of_what_serves():
    seen = rows(scope="settings", engine={}, models=[], unit_files={}, instances={}, nginx={})
    assert [(row["area"], row["status"]) for row in seen] == [("memory", "ok")]


def test_a_host_that_is_as_planned_has_a_row_for_everything():
    found = rows()
    assert [(row["area"], row["setting"]) for row in found] == [
        ("memory", "vm.swappiness"), ("runtime", "llama.cpp"), ("model", "m"), ("service", UNIT),
        ("service", "inference-chat@0.service"), ("service", "inference-chat@0.service CPUs"),
        ("service", "inference-chat@0.service memory policy"), ("service", "inference-chat@1.service"),
        ("service", "inference-chat@1.service CPUs"), ("service", "inference-chat@1.service memory policy"),
        ("nginx", "/etc/nginx/nginx.conf"), ("nginx", "nginx.service"), ("nginx", "loaded configuration")]
    assert {row["status"] for row in found} == {"ok"} and {row["host"] for row in found} == {"gpu1"}
    assert all(isinstance(value, str) and value for row in found for value in row.values())


@pytest.mark.parametrize(("result", "expected"), [
    (setting("changed", "60", persisted=False), ("10", "60", "no", "drift", "-")),
    (setting("partial", "8", persisted=True, detail="the kernel has 8"),
     ("10", "8", "yes", "partial", "the kernel has 8")),
    (setting("refused", None, detail="reading: permission denied"),
     ("10", "-", "-", "refused", "reading: permission denied")),
    (setting("not_applicable", None, persisted=None, detail="container"),
     ("10", "-", "-", "not_applicable", "container")),
    # The live value is right, and the next boot loses it.
    (setting("ok", "10", persisted=False), ("10", "10", "no", "drift", "it holds only until the next boot")),
    (setting("ok", "10", persisted=False, detail="/etc/sysctl.d/99-x.conf sets 60"),
     ("10", "10", "no", "drift", "/etc/sysctl.d/99-x.conf sets 60")),
])
def test_settings(result, expected):
    assert wrong(**settings(result)) == [("memory", "vm.swappiness", *expected)]


def test_a_setting_that_nobody_wanted_persisted_is_no_drift():
    live = setting(name="scheduler", kind="sysfs", path="/sys/block/nvme0n1/queue/scheduler", persisted=False)
    assert wrong(**settings(live, role="nvme")) == []


def test_a_file_that_differs_while_all_values_are_right_is_drift():
    path = "/etc/sysctl.d/60-inference-memory.conf"
    differs = entry(path, "# other\nvm.swappiness = 10\n", "# ours\nvm.swappiness = 10\n")
    assert wrong(**settings(setting(persisted=True), diff=[differs])) == [
        ("memory", path, "line 1: # ours", "line 1: # other", "no", "drift", "first line that differs")]


@pytest.mark.parametrize(("diff", "expected"), [
    ([entry(UNIT, "[Service]\nNice=5\n", "[Service]\nNice=0\n")],
     ("line 2: Nice=0", "line 2: Nice=5", "first line that differs")),
    ([entry(UNIT, "", "file, mode 0644\n", " (attributes)"), entry(UNIT, "", "[Service]\n")],
     ("as written", "not there", "-")),
    ([entry(UNIT, "file, mode 0600\n", "file, mode 0644\n", " (attributes)")],
     ("file, mode 0644", "file, mode 0600", "-")),
    ([], ("as written", "not as written", "-")),
])
def test_unit_files(diff, expected):
    wanted, found, note = expected
    answer = {"changed_paths": [UNIT], "diff": diff}
    assert wrong(unit_files=answer) == [("service", UNIT, wanted, found, "no", "drift", note)]


def test_a_file_that_should_not_be_there_is_drift():
    path = "/etc/systemd/system/inference-old@.service"
    diff = [entry(path, "file, mode 0644\n", "", " (attributes)"), entry(path, "[Service]\n", "")]
    assert wrong(unit_files={"changed_paths": [path], "diff": diff}) == [
        ("service", path, "not there", "there", "no", "drift", "-")]


@pytest.mark.parametrize(("found", "expected"), [
    (instance(0, None, None, action="start", state="failed"), [
        ("inference-chat@0.service", "runs as written", "failed", "yes", "drift", "-")]),
    (instance(0, None, None, action="start", state=None, enabled=True), [
        ("inference-chat@0.service", "runs as written", "not there", "no", "drift",
         "not enabled: it would not start at boot")]),
    (instance(0, "2-4", "bind:0", action="restart"), [
        ("inference-chat@0.service", "runs as written", "runs with older files or key", "yes", "drift", "-")]),
    (instance(0, "0-15", "bind:0", action="restart", moved="runs elsewhere"), [
        ("inference-chat@0.service CPUs", "2-4", "0-15", "-", "drift", "-")]),
    (instance(0, "2-4", "default"), [
        ("inference-chat@0.service memory policy", "bind:0", "default", "-", "drift", "-")]),
    (instance(0, "2-4", "bind:0", effective_memory_nodes="1", action="restart", moved="a node is withheld"), [
        ("inference-chat@0.service memory nodes", "0", "1", "-", "drift", "a cpuset above it withholds 0")]),
    (instance(0, "2,3,4", None), [
        ("inference-chat@0.service memory policy", "bind:0", "-", "-", "not_applicable",
         "the kernel tells no memory policy of this process")]),
])
def test_instances(found, expected):
    others = instance(1, "8", "default")
    answer = {"stopped": [], "instances": [found, others]}
    assert wrong(instances=answer) == [("service", *row) for row in expected]


def test_an_instance_of_no_service_is_drift():
    answer = {"stopped": ["inference-old@0.service"], "instances": []}
    assert wrong(instances=answer) == [("service", "inference-old@0.service", "not there", "there", "-", "drift",
                                        "no service of the plan has it")]


@pytest.mark.parametrize(("changes", "expected"), [
    ({"unit": {"ActiveState": "inactive", "UnitFileState": "disabled"}},
     ("nginx.service", "active", "inactive", "no", "drift", "not enabled: it would not start at boot")),
    ({"unit": {}}, ("nginx.service", "active", "-", "no", "drift", "not enabled: it would not start at boot")),
    ({"loaded": "another"}, ("loaded configuration", "0123456789ab", "another", "-", "drift", "-")),
    ({"loaded": ""}, ("loaded configuration", "0123456789ab", "no answer", "-", "drift", "-")),
    ({"revision": "", "loaded": ""}, ("loaded configuration", "-", "no answer", "-", "drift", "-")),
    ({"unregistered": ["chat 1"]},
     ("instance chat 1", "registered", "not registered", "-", "drift", "nginx does not send to it")),
    ({"registry_loaded": False}, ("registered instances", "loaded", "not loaded", "-", "drift", "-")),
    ({"open_files": 1024}, ("open files of a worker", "8704", "1024", "-", "partial", "a limit above nginx keeps it")),
    ({"changed_paths": ["/etc/nginx/inference/old.server"], "diff": [
        entry("/etc/nginx/inference/old.server", "file, mode 0644\n", "", " (attributes)")]},
     ("/etc/nginx/inference/old.server", "not there", "there", "no", "drift", "-")),
])
def test_nginx(changes, expected):
    assert wrong(nginx=dict(GOOD["nginx"], **changes)) == [("nginx", *expected)]


def test_what_nginx_has_to_leave_out_is_no_drift():
    found = rows(nginx=dict(GOOD["nginx"], notes=["OCSP stapling is left out: nobody to ask."], open_files=None))
    assert [(row["status"], row["note"]) for row in found if row["status"] != "ok"] == [
        ("not_applicable", "OCSP stapling is left out: nobody to ask.")]


def test_models_and_engine():
    lost = {"name": "m", "release": "abc", "status": "would_install", "needed": True, "missing": ["a.gguf", "b.json"],
            "current": False}
    assert wrong(models=[lost]) == [("model", "m", "abc", "not there", "no", "drift", "a.gguf, b.json")]
    there = dict(lost, needed=False, missing=[])
    assert wrong(models=[there])[0][3] == "there, but not the current release"
    assert wrong(models=[dict(there, current=True)])[0][3] == "there, but with another manifest"


@pytest.mark.parametrize(("change", "found", "note"), [
    ({"found": False}, "not there", "-"),
    ({"found": False, "problem": "llama.cpp does not work."}, "not there", "llama.cpp does not work."),
    ({"problem": "llama.cpp is build 9000."}, "/opt/e/bin/llama-server build 9000", "llama.cpp is build 9000."),
    ({"missing": ["a@sha256:0"], "build": None}, "/opt/e/bin/llama-server", "not on the host: a@sha256:0"),
])
def test_an_engine_that_is_missing_or_cannot_be_used_is_named(change, found, note):
    engine = dict(ENGINE, **change)
    assert wrong(engine={"engines": {"llama_cpp": engine}}) == [
        ("runtime", "llama.cpp", "/opt/e/bin/llama-server", found, "no", "drift", note)]


@pytest.mark.parametrize("key", ["settings", "engine", "unit_files", "instances", "nginx"])
@pytest.mark.parametrize(("answer", "status", "note"), [
    ({}, "refused", "it was not read"),
    ({"msg": "no such module"}, "refused", "no such module"),
    ({"unreachable": True, "msg": "timed out"}, "unreachable", "timed out"),
])
def test_an_answer_that_was_not_given_is_one_row_that_says_why(key, answer, status, note):
    found = wrong(**{key: answer})
    assert [row[-2:] for row in found] == [(status, note)]
    if key == "settings":
        parts = {"results": [dict(answer, item="cpu"), dict(answer, item="memory")]}
        assert [(row[0], *row[-2:]) for row in wrong(settings=parts)] == [
            ("cpu", status, note), ("memory", status, note)]


@pytest.mark.parametrize(("unreachable", "status"), [(True, "unreachable"), (False, "refused")])
def test_a_host_that_could_not_be_read_has_one_row(unreachable, status):
    answers = {"failure": {"msg": "gpu1: cannot be reached"}, "unreachable": unreachable}
    found = verify_rows({}, answers, "gpu1")
    assert [(row["area"], row["status"], row["note"]) for row in found] == [
        ("host", status, "gpu1: cannot be reached")]


def test_why_a_task_failed_is_told_of_each_part_of_a_loop():
    parts = [{"msg": "model 'a' is not there", "failed": True}, {"msg": "well"}, {"failed": True},
             {"msg": "no room", "failed": True}, {"msg": "no room", "failed": True}]
    assert failure_of({"msg": "One or more items failed", "results": parts}) == "model 'a' is not there no room"
    assert failure_of({"msg": "wrong"}) == "wrong"
    assert failure_of({}) == "a task failed without a message"


def test_texts_are_one_printable_line_of_bounded_length():
    assert clean("a\x00b\n\tc\u202e\ud800d") == "a b c d"
    assert clean(None) == clean("") == clean(" \n") == "-"
    assert len(clean("x" * 10000)) == LONGEST and clean("x" * 10000).endswith("…")


def test_secrets_are_in_no_row():
    key = "key-5e0f1c"
    diff = [entry(UNIT, f"ExecStart=/x --api-key {'y' * LONGEST}{key}\n", f"ExecStart=/x {key}\n")]
    found = rows(secrets=[key, "", key[:6]], unit_files={"changed_paths": [UNIT], "diff": diff},
                 nginx={"msg": f"refused {key}"})
    assert "(not shown)" in str(found) and key not in str(found) and "5e0f1c" not in str(found)
    # No part of it, where a text is cut.
    assert key[:6] not in str(found)


@pytest.mark.parametrize(("before", "after", "expected"), [
    ("a\nb\n", "a\nc\n", ("line 2: b", "line 2: c")),
    ("a\n", "a\nb\n", ("line 2: ", "line 2: b")),
    ("a", "a\n", ("no line 2", "line 2: ")),
    ("", "a", ("line 1: ", "line 1: a")),
])
def test_the_first_line_that_differs(before, after, expected):
    assert first_difference(before, after) == expected


def test_every_status_is_a_known_one():
    found = rows(settings={"msg": "x"}, nginx={"unreachable": True})
    assert {row["status"] for row in found} <= set(STATUSES)
