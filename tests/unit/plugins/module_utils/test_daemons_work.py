"""Module daemons' work, with a stand-in for systemctl and apt, and real files and answers."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from ansible_collections.inference.host.plugins.module_utils import daemons_work, file_set, nginx_registry, packages


class Machine:
    """systemctl, apt and nginx. `units`: {name: properties}; a started unit runs with what its drop-in says."""

    def __init__(self, folder):
        self.folder, self.units, self.said, self.installs, self.refuses = folder, {}, [], [], ()
        self.served = {}
        self.pid = os.getpid()

    def add(self, name, active="inactive", enabled="disabled", load="loaded"):
        self.units[name] = {"LoadState": load, "ActiveState": active, "UnitFileState": enabled, "MainPID": "0"}

    def run(self, argv, environ_update=None):
        if argv[0] == "dpkg-query":
            return 0, "".join("%s ii \n" % name for name in self.installs), ""
        if argv[0] == "apt-get":
            if "install" in argv:
                masked = [words for words in self.said if words[0] == "mask"]
                assert masked, "a package would start its daemon"
                self.installs += [argv[-1]]
                self.add("x.service", enabled="enabled")
            return 0, "", ""
        if argv[0] == "systemctl":
            return self.systemctl([word for word in argv[1:] if word != "--no-pager"])
        if argv[0] == "check":
            return (1, "", "line 3: not so") if "check" in self.refuses else (0, "", "")
        return 0, "the journal", ""

    def systemctl(self, words):
        if words[0] == "show":
            blocks = []
            for name in words[2:]:
                found = self.units.get(name, {"LoadState": "not-found", "ActiveState": "inactive", "UnitFileState": ""})
                drop = self.folder / "etc" / (name + ".conf")
                environment = drop.read_text() if drop.exists() else ""
                blocks.append("\n".join("%s=%s" % pair for pair in dict(
                    found, Id=name, Environment=environment, NeedDaemonReload="no").items()))
            return 0, "\n\n".join(blocks), ""
        self.said.append(words)
        verb, name = words[0], words[-1]
        if verb in self.refuses:
            return 1, "", "no"
        if verb in ("start", "restart") and name in self.units:
            self.units[name]["ActiveState"] = "active"
        if verb in ("stop",):
            self.units.get(name, {})["ActiveState"] = "inactive"
        if verb == "unmask" and self.units.get(name, {}).get("LoadState") == "masked":
            self.units[name].update(LoadState="loaded", UnitFileState="enabled")
        if verb in ("enable", "disable") and name in self.units:
            self.units[name]["UnitFileState"] = verb + "d"
        return 0, "", ""

    def done(self, *verbs):
        return [words for words in self.said if words[0] in verbs]


@pytest.fixture(name="machine")
def machine_fixture(tmp_path, monkeypatch):
    monkeypatch.setattr(packages.shutil, "which", lambda name, **_more: "/usr/bin/" + name)
    (tmp_path / "etc").mkdir()
    return Machine(tmp_path)


def item(path, content):
    return {"path": str(path), "content": content, "mode": "0644", "owner": None, "group": None, "sensitive": False}


def work(machine, **more):
    folder = machine.folder
    params = {"packages": [], "files": [], "absent": [], "directories": [], "validate": [], "units": [], "nginx": None,
              "before": str(folder / "lib/before"), "wait_seconds": 1, "baseline": str(folder / "lib/baseline"),
              "baseline_name": "60-inference-x"}
    return daemons_work.Work(dict(params, **more), machine.run, nginx_registry.Registry(str(folder)))


def wanted(machine, content="INFERENCE_REVISION=1"):
    return {"packages": ["x"], "units": [{"name": "x.service", "url": None}],
            "files": [item(machine.folder / "etc/x.service.conf", content)], "validate": [["check"]]}


def test_what_is_missing_is_installed_without_being_started_by_the_package(machine):
    one = work(machine, **wanted(machine))
    one.carry_out()
    assert machine.installs == ["x"]
    assert one.actions == ["install x", "enable x.service", "start x.service"]
    assert [words[0] for words in machine.said] == ["mask", "unmask", "disable", "enable", "start"]
    assert json.loads((machine.folder / "lib/before").read_text()) == {
        "x.service": {"ActiveState": "inactive", "UnitFileState": ""}}


def test_a_unit_that_runs_with_other_files_is_restarted(machine):
    machine.installs = ["x"]
    machine.add("x.service", "active")
    one = work(machine, **wanted(machine))
    one.carry_out()
    assert one.actions == ["enable x.service", "restart x.service"]


def test_a_second_run_changes_nothing(machine):
    machine.installs = ["x"]
    machine.add("x.service", "active", "enabled")
    work(machine, **wanted(machine, "# no revision\n")).carry_out()
    machine.said.clear()
    again = work(machine, **wanted(machine, "# no revision\n"))
    again.carry_out()
    assert not any(again.plan) and again.actions == [] and machine.said == []
    looked = work(machine, **wanted(machine, "# no revision\n"))
    looked.look()
    assert not any(looked.plan) and looked.actions == []


def test_the_baseline_knows_what_to_run_after_its_files_are_back(machine):
    work(machine, **wanted(machine)).carry_out()
    kept = json.loads((machine.folder / "lib/baseline/60-inference-x.json").read_text())
    (entry,) = kept["files"].values()
    assert entry["before"]["kind"] == "absent"
    # A pattern: the package may be gone by then.
    assert entry["after"] == [["systemctl", "daemon-reload"], ["systemctl", "try-restart", "x.servic[e]"]]


def test_looking_changes_nothing(machine):
    one = work(machine, **wanted(machine))
    one.look()
    assert one.actions == ["install x", "start x.service"] and file_set.changed_paths(one.plan)
    assert machine.said == [] and not (machine.folder / "lib").exists()


@pytest.mark.parametrize("refuses", ["check", "restart"])
def test_what_is_not_accepted_is_put_back(machine, refuses):
    machine.installs = ["x"]
    machine.add("x.service", "active", "enabled")
    path = machine.folder / "etc/x.service.conf"
    path.write_text("as it was")
    machine.refuses = (refuses,)
    with pytest.raises(file_set.FileSetError, match="check does not accept the files: line 3: not so|not restart"):
        work(machine, **wanted(machine)).carry_out()
    assert path.read_text() == "as it was"
    assert ["try-restart", "x.service"] in machine.said


@pytest.mark.parametrize(("before", "enabled"), [(None, "disabled"), ("disabled", "disabled"), ("enabled", "enabled")])
def test_what_did_not_run_does_not_run_without_our_files(machine, before, enabled):
    if before:
        machine.installs = ["x"]
        machine.add("x.service", "inactive", before)
    asked = wanted(machine)
    asked["units"][0]["url"] = "http://127.0.0.1:9/metrics"
    with pytest.raises(file_set.FileSetError, match="x.service does not answer"):
        work(machine, **asked).carry_out()
    assert not (machine.folder / "etc/x.service.conf").exists()
    assert (machine.units["x.service"]["ActiveState"], machine.units["x.service"]["UnitFileState"]) == (
        "inactive", enabled)


def test_what_a_killed_run_has_left_masked_is_brought_up(machine):
    machine.installs = ["x"]
    machine.add("x.service", enabled="masked-runtime", load="masked")
    one = work(machine, **wanted(machine))
    one.carry_out()
    assert one.actions == ["enable x.service", "start x.service"]
    assert machine.units["x.service"]["ActiveState"] == "active"


def test_no_boot_starts_what_an_installation_has_left(machine, monkeypatch):
    def install(_run, _names, _left):
        machine.add("x.service", enabled="enabled")
        raise packages.PackageError("y is not there")

    monkeypatch.setattr(packages, "install", install)
    with pytest.raises(packages.PackageError):
        work(machine, **wanted(machine)).carry_out()
    assert machine.units["x.service"]["UnitFileState"] == "disabled"


def test_a_daemon_has_to_answer(machine):
    machine.installs = ["x"]
    machine.add("x.service", "active", "enabled")
    asked = wanted(machine, "")
    asked["units"][0]["url"] = "http://127.0.0.1:9/metrics"
    with pytest.raises(file_set.FileSetError, match="x.service does not answer at http://127.0.0.1:9/metrics"):
        work(machine, **asked).carry_out()


def test_a_unit_whose_file_goes_is_stopped_before(machine, monkeypatch):
    monkeypatch.setattr(daemons_work, "UNIT_FOLDER", str(machine.folder / "etc") + "/")
    (machine.folder / "etc/gone.service").write_text("[Service]")
    machine.add("gone.service", "active", "enabled")
    one = work(machine, absent=[str(machine.folder / "etc/gone.service")])
    one.carry_out()
    assert one.actions == ["stop gone.service"]
    assert machine.done("stop", "disable") == [["stop", "gone.service"], ["disable", "gone.service"]]
    assert not (machine.folder / "etc/gone.service").exists()


def test_what_did_not_run_before_is_stopped_and_the_rest_is_left(machine):
    (machine.folder / "lib").mkdir()
    (machine.folder / "lib/before").write_text(json.dumps({
        "new.service": {"ActiveState": "inactive", "UnitFileState": ""},
        "theirs.service": {"ActiveState": "active", "UnitFileState": "enabled"},
        "stopped.service": {"ActiveState": "inactive", "UnitFileState": "disabled"}}))
    machine.add("new.service", "active", "enabled")
    machine.add("theirs.service", "active", "enabled")
    machine.add("stopped.service")
    one = work(machine)
    one.restore(check_mode=True)
    assert one.actions == ["stop new.service"] and machine.said == []
    one = work(machine)
    one.restore(check_mode=False)
    assert one.actions == ["stop new.service"] and machine.units["new.service"]["UnitFileState"] == "disabled"
    assert machine.units["theirs.service"]["ActiveState"] == "active"
    assert not (machine.folder / "lib/before").exists()
    again = work(machine)
    again.restore(check_mode=False)
    assert again.actions == []


@pytest.fixture(name="answers")
def answers_fixture():
    """A server that answers with `text`."""
    state = {"text": ""}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = state["text"].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state["url"] = "http://127.0.0.1:%d/-/revision" % server.server_port
    yield state
    server.shutdown()


class Loading(nginx_registry.Registry):
    """An nginx that loads: it answers with what the file of the revision says."""

    def __init__(self, root, state, path):
        super().__init__(root)
        self.state_of, self.path, self.loads = state, path, 0

    def master(self):
        return 1

    def load(self, seconds=0):
        self.loads += 1
        self.state_of["text"] = self.path.read_text().split('"')[1].replace("\\n", "")
        return []


def test_nginx_loads_what_is_its_own_and_only_then(machine, answers, monkeypatch):
    nginx = machine.folder / "etc/nginx"
    nginx.mkdir()
    monkeypatch.setattr(daemons_work, "NGINX_FOLDER", str(nginx) + "/")
    revision = nginx / "revision.conf"
    registry = Loading(str(machine.folder), answers, revision)
    asked = {"nginx": {"url": answers["url"], "revision": str(revision)}}

    def carry_out(*files):
        one = work(machine, files=list(files), **asked)
        one.registry = registry
        one.carry_out()
        return one.actions

    server, other = item(nginx / "x.conf", "server {\nlisten [::]:1; #? ipv6\n}"), item(machine.folder / "etc/y", "y")
    assert carry_out(server) == ["load nginx"]
    assert "#?" not in (nginx / "x.conf").read_text()
    assert carry_out(server) == [] and carry_out(server, other) == []
    assert registry.loads == 1
    # One that was loaded by nobody, as after a run that was killed.
    answers["text"] = "another"
    assert carry_out(server, other) == ["load nginx"]
    assert carry_out(item(nginx / "x.conf", "server {}"), other) == ["load nginx"] and registry.loads == 3


def test_without_nginx_it_is_said(machine, answers):
    asked = {"url": answers["url"], "revision": str(machine.folder / "etc/revision.conf")}
    with pytest.raises(file_set.FileSetError, match="nginx does not run on this host; run playbooks/site.yml first"):
        work(machine, nginx=asked).carry_out()
    assert not (machine.folder / "etc/revision.conf").exists()
