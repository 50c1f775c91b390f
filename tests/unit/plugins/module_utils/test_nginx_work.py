"""The decisions of module nginx on a host that is a folder and a table of answers."""

import contextlib
import os

import pytest
from ansible_collections.inference.host.plugins.module_utils import file_set, nginx_host, nginx_work

UNITS = ["nginx.service", "inference-chat@0.service"]
RUNS = {"Id": UNITS[0], "LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled",
        "NeedDaemonReload": "no"}


class Registry:
    """Stands for nginx_registry.Registry: lines by (service, index), and which of them nginx has loaded."""

    def __init__(self):
        self.lines, self.copies, self.loads, self.is_current = {("chat", 0): "line"}, {("chat", 0): "line"}, 0, True

    def sources(self):
        return self.lines

    def registered(self):
        return dict(self.copies)

    def add(self, *key):
        self.copies[key] = self.lines[key]

    def remove(self, *key):
        del self.copies[key]

    def is_loaded(self):
        return self.is_current

    def load(self, _seconds=0):
        self.loads, self.is_current = self.loads + 1, True

    def master(self):
        return 0

    @contextlib.contextmanager
    def locked(self):
        yield


class Host:
    """The host: what programs answer, and what nginx has loaded once it was told to."""

    def __init__(self, root, monkeypatch):
        self.root, self.refuses, self.asked = root, "", []
        self.units = {unit: dict(RUNS, Id=unit) for unit in UNITS}
        self.registry, self.version = Registry(), "nginx version: nginx/1.22.1"
        (root / "etc").mkdir()
        monkeypatch.setattr(nginx_work.shutil, "which", lambda name, path=None: "/usr/sbin/" + name)
        monkeypatch.setattr(nginx_work.nginx_registry, "ask", lambda _url: self.loaded)
        monkeypatch.setattr(nginx_work, "ERROR_LOG", str(root / "error.log"))
        monkeypatch.setattr(nginx_work.os, "geteuid", lambda: 1000)
        self.loaded = ""
        self.params = {
            "files": [{"path": f"{root}/etc/nginx.conf", "mode": "0644", "sensitive": False,
                       "content": "a;\nhttp2 on; #? nginx >= 1.25.1\n"}],
            "absent": [], "absent_with_package": [f"{root}/etc/default"], "directories": [],
            "revision": f"{root}/etc/revision.conf", "url": "http://127.0.0.1:8080", "certificate": None, "key": None,
            "instances": [{"service": "chat", "index": 0, "unit": UNITS[1]}], "stapling": False, "package": "x",
            "before": f"{root}/before", "baseline": f"{root}/baseline", "baseline_name": "60-nginx", "wait_seconds": 0}

    def run(self, argv, **_options):
        self.asked.append(argv)
        if argv[0] == "systemctl" and argv[1] == "show":
            shown = ["\n".join("%s=%s" % pair for pair in unit.items()) for unit in self.units.values()]
            return 0, "\n\n".join(shown), ""
        if argv[-1] == "-v":
            return 0, "", self.version
        if argv[1:] == ["-t", "-q"] and self.refuses:
            return 1, "", self.refuses
        if argv[2:3] == ["daemon-reload"] and len(argv) > 3:
            return 1, "", "Too many arguments."
        if argv[:2] == ["systemctl", "--no-pager"] and argv[2] in ("start", "enable"):
            self.units[UNITS[0]].update(ActiveState="active", UnitFileState="enabled")
        return 0, "", ""

    def work(self):
        made = nginx_work.Work(self.params, self.run, self.registry)
        load = self.registry.load

        def loads(*arguments):
            load(*arguments)
            self.loaded = nginx_host.REVISION.search((self.root / "etc/revision.conf").read_text()).group(1)

        self.registry.load = loads
        return made

    def carry_out(self):
        made = self.work()
        answer = made.carry_out()
        return answer["actions"], [path.rpartition("/")[2] for path in file_set.changed_paths(made.plan)], answer


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(tmp_path, monkeypatch)


def test_files_are_written_for_the_version_and_loaded_once(host):
    actions, paths, answer = host.carry_out()
    assert (actions, paths) == (["load"], ["nginx.conf", "revision.conf"])
    assert (host.root / "etc/nginx.conf").read_text() == "a;\n"
    assert answer["loaded"] == answer["revision"] != "" and answer["version"] == "1.22.1"
    assert host.carry_out()[:2] == ([], [])
    host.version = "nginx version: nginx/1.26.0"
    assert host.carry_out()[:2] == (["load"], ["nginx.conf", "revision.conf"])
    assert (host.root / "etc/nginx.conf").read_text() == "a;\nhttp2 on;\n"


def test_a_look_changes_nothing_and_says_what_would_be_done(host):
    host.units[UNITS[0]].update(ActiveState="inactive", UnitFileState="disabled")
    host.registry.copies.clear()
    answer = host.work().look()
    assert answer["actions"] == ["enable", "start", "register", "load"] and answer["unregistered"] == ["chat 0"]
    assert not list((host.root / "etc").iterdir()) and not (host.root / "before").exists() and host.registry.loads == 0


def test_what_nginx_refuses_is_put_back_with_its_sentence(host):
    host.carry_out()
    before = (host.root / "etc/revision.conf").read_text()
    host.params["files"][0]["content"] = "b;\n"
    host.refuses = 'nginx: [emerg] unknown directive "b"'
    loads = host.registry.loads
    with pytest.raises(file_set.FileSetError, match='unknown directive "b"; everything is as it was before'):
        host.carry_out()
    assert (host.root / "etc/nginx.conf").read_text() == "a;\n" and host.registry.loads == loads
    assert (host.root / "etc/revision.conf").read_text() == before


def test_what_nginx_does_not_come_to_load_is_put_back(host):
    host.carry_out()
    host.params["files"][0]["content"] = "b;\n"
    made = host.work()
    host.registry.load = lambda *_arguments: None
    with pytest.raises(file_set.FileSetError, match="does not answer at http://127.0.0.1:8080 with what was written"):
        made.carry_out()
    assert (host.root / "etc/nginx.conf").read_text() == "a;\n"


def test_systemd_learns_of_a_unit_file_that_was_put_back(host):
    (host.root / "etc/systemd").mkdir()
    path = f"{host.root}/etc/systemd/inference.conf"
    host.params["files"].append({"path": path, "content": "c\n", "mode": "0644", "sensitive": False})
    seen, run = [], host.run

    def watched(argv, **_options):
        if argv == ["systemctl", "--no-pager", "daemon-reload"]:
            seen.append(os.path.exists(path))
        return run(argv)

    host.run = watched
    made = host.work()
    host.registry.load = lambda *_arguments: None
    with pytest.raises(file_set.FileSetError, match="does not answer"):
        made.carry_out()
    assert seen == [True, False]


def test_a_stopped_nginx_is_enabled_and_started_and_not_reloaded_after(host):
    host.carry_out()
    host.units[UNITS[0]].update(ActiveState="inactive", UnitFileState="disabled")
    host.registry.loads = 0
    actions, paths, _answer = host.carry_out()
    assert (actions, paths, host.registry.loads) == (["enable", "start"], [], 1)


def test_running_instances_are_registered_and_those_that_have_gone_are_not(host):
    host.carry_out()
    host.registry.copies = {("chat", 0): "an older line", ("old", 1): "x"}
    host.registry.is_current = False
    assert host.carry_out()[0] == ["register", "load"] and host.registry.copies == {("chat", 0): "line"}
    host.units[UNITS[1]]["ActiveState"] = "deactivating"
    assert host.carry_out()[0] == [] and host.registry.copies
    host.units[UNITS[1]]["ActiveState"] = "failed"
    assert host.work().look()["actions"] == ["register"]
    assert host.carry_out()[0] == ["register"] and not host.registry.copies


def test_how_nginx_was_is_kept_once(host):
    host.carry_out()
    kept = (host.root / "before").read_text()
    host.units[UNITS[0]]["ActiveState"] = "inactive"
    host.carry_out()
    assert (host.root / "before").read_text() == kept and "ActiveState=active" in kept


def test_the_packages_own_site_goes_where_it_came_with_us(host):
    (host.root / "etc/default").write_text("welcome")
    (host.root / "before").write_text("ActiveState=inactive\nUnitFileState=enabled\n")
    host.carry_out()
    assert (host.root / "etc/default").exists()
    (host.root / "before").write_text("ActiveState=inactive\nUnitFileState=\n")
    assert "default" in host.carry_out()[1] and not (host.root / "etc/default").exists()


def test_a_version_that_is_too_old_is_refused(host):
    host.version = "nginx version: nginx/1.14.2"
    with pytest.raises(nginx_work.WorkError, match="nginx is version 1.14.2; it must be 1.18.0 or newer"):
        host.carry_out()


def test_stapling_is_left_out_where_nobody_can_be_asked(host, tmp_path):
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text(name)
        (tmp_path / name).chmod(0o600)
    host.params.update(certificate=str(tmp_path / "cert.pem"), key=str(tmp_path / "key.pem"), stapling=True)
    host.params["files"][0]["content"] = "a;\nssl_stapling on; #? stapling\n"
    _actions, _paths, answer = host.carry_out()
    assert "stapling" not in (host.root / "etc/nginx.conf").read_text()
    assert sum(argv[0] == "openssl" for argv in host.asked) == 1
    assert answer["notes"] == [f"OCSP stapling is left out: {tmp_path}/cert.pem does not say whom to ask."]
    # A renewed certificate is loaded, though no file of ours is another one.
    (tmp_path / "cert.pem").write_text("renewed")
    assert host.carry_out()[:2] == (["load"], ["revision.conf"])
