"""The program inference-instance as systemd runs it, on a tree of its own, with a real server and a stand-in nginx."""

import contextlib
import fcntl
import os
import re
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import stand_in_host
from ansible_collections.inference.host.plugins.module_utils import nginx_registry

LINE = "server 127.0.0.1:%d max_conns=1;\n"


def call(root, *words, **popen):
    return subprocess.Popen(
        [sys.executable, str(stand_in_host.PROGRAM), *map(str, words)], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
        env={"INFERENCE_INSTANCE_TEST_ROOT": str(root), "PATH": os.environ["PATH"]}, **popen)


def finished(process):
    said = process.communicate(timeout=60)[0]
    return process.returncode, said


def run(root, *words):
    return finished(call(root, *words))


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def root(tmp_path):
    """A host on which role nginx has written the lines of two instances, and nginx does not run."""
    (tmp_path / "run").mkdir()
    sources = tmp_path / "etc/nginx/inference"
    sources.mkdir(parents=True)
    (sources / "chat-0.server").write_text(LINE % 1)
    (sources / "chat-1.server").write_text(LINE % 2)
    return tmp_path


@pytest.fixture
def nginx(root):
    """The same with nginx."""
    with stand_in_host.nginx(root):
        yield


def loads(root):
    return int((root / "loads").read_text())


def copies(root):
    folder = root / "run/inference.host/nginx"
    return {str(path.relative_to(folder)): path.read_text() for path in folder.glob("*/*.server")}


@pytest.fixture
def engine():
    """A listening socket on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@contextlib.contextmanager
def connected(engine):
    """A client's connection to the engine, and the engine's end of it."""
    with socket.create_connection(engine.getsockname()) as client, engine.accept()[0] as server:
        yield client, server


# Registering


def test_a_registered_instance_is_loaded_and_a_second_call_does_nothing(root, nginx):
    status, said = run(root, "register", "chat", 0)
    assert (status, said) == (0, "registered\n")
    assert copies(root) == {"chat/0.server": LINE % 1}
    assert loads(root) == 2
    assert run(root, "register", "chat", 0) == (0, "registered already\n")
    assert loads(root) == 2
    assert nginx_registry.Registry(str(root)).is_loaded()


def test_a_line_that_changed_is_loaded(root, nginx):
    run(root, "register", "chat", 0)
    (root / "etc/nginx/inference/chat-0.server").write_text(LINE % 7)
    assert run(root, "register", "chat", 0)[0] == 0
    assert copies(root) == {"chat/0.server": LINE % 7} and loads(root) == 3


def test_what_a_killed_call_left_unloaded_is_loaded_by_the_next(root, nginx):
    folder = root / "run/inference.host/nginx/chat"
    folder.mkdir(parents=True)
    (folder / "0.server").write_text(LINE % 1)  # killed before it told nginx
    assert run(root, "register", "chat", 0)[0] == 0
    assert loads(root) == 2
    (folder / "0.server").unlink()
    assert run(root, "drain", "chat", 0, 1, 5)[0] == 0
    assert loads(root) == 3


def test_without_nginxs_line_nothing_is_done(root, nginx):
    status, said = run(root, "register", "other", 0)
    assert status == 0 and "nothing to do" in said
    assert copies(root) == {} and loads(root) == 1


def test_without_any_nginx_nothing_is_done(tmp_path):
    assert run(tmp_path, "register", "chat", 0)[0] == 0
    assert run(tmp_path, "drain", "chat", 0, 1, 5)[0] == 0


def test_where_nginx_does_not_run_the_registry_is_ready_for_its_start(root):
    assert run(root, "register", "chat", 0) == (0, "registered\n")
    assert copies(root) == {"chat/0.server": LINE % 1}
    status, said = run(root, "drain", "chat", 0, 1, 5)
    assert status == 0 and said.startswith("drained in 0.")
    assert copies(root) == {}


def test_a_pid_file_of_another_program_is_no_nginx(root):
    other = subprocess.Popen(["sleep", "1000"])  # which a SIGHUP would end
    try:
        (root / "run/nginx.pid").write_text("%d\n" % other.pid)
        assert run(root, "register", "chat", 0) == (0, "registered\n")
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_many_calls_at_once_leave_what_each_asked_for(root, nginx):
    for index in range(2, 6):
        (root / f"etc/nginx/inference/chat-{index}.server").write_text(LINE % index)
    calls = [call(root, "register", "chat", index) for index in range(6)]
    assert {finished(process) for process in calls} == {(0, "registered\n")}
    assert len(copies(root)) == 6 and nginx_registry.Registry(str(root)).is_loaded()
    calls = [call(root, "drain", "chat", index, 1, 5) for index in range(5)]
    assert {finished(process)[0] for process in calls} == {0}
    assert list(copies(root)) == ["chat/5.server"] and nginx_registry.Registry(str(root)).is_loaded()


def test_registering_waits_for_who_holds_the_instance_back(root, nginx):
    with nginx_registry.Registry(str(root)).held_back("chat", 0):
        waiting = call(root, "register", "chat", 0)
        assert run(root, "register", "chat", 1)[0] == 0  # others do not wait
        assert waiting.poll() is None and list(copies(root)) == ["chat/1.server"]
    assert finished(waiting)[0] == 0
    assert set(copies(root)) == {"chat/0.server", "chat/1.server"}


def test_a_holder_that_is_killed_holds_nothing_back(root, nginx):
    folder = root / "run/inference.host/nginx"
    folder.mkdir(parents=True)
    code = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", code, str(folder / "chat-0.hold")], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, bufsize=0)
    with holder:
        holder.stdout.read(1)
        waiting = call(root, "register", "chat", 0)
        until(lambda: f"{waiting.pid}" in os.listdir("/proc"))
        holder.kill()
    assert finished(waiting)[0] == 0 and list(copies(root)) == ["chat/0.server"]


# What nginx does not take


def refuse(root):
    program = root / "usr/sbin/nginx"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho 'nginx: [emerg] unknown directive \"wrogn\" in nginx.conf:3'\nexit 1\n")
    program.chmod(0o755)


def test_a_configuration_that_nginx_refuses_is_said_and_the_instance_is_not_registered(root, nginx):
    refuse(root)
    status, said = run(root, "register", "chat", 0)
    assert status == 1 and 'unknown directive "wrogn"' in said
    assert copies(root) == {} and loads(root) == 1


def test_an_instance_that_nginx_could_not_be_told_of_is_not_called_drained(root, nginx, engine):
    run(root, "register", "chat", 0)
    refuse(root)
    status, said = run(root, "drain", "chat", 0, 1, 5)
    assert status == 1 and "works on with the old one" in said


def test_an_nginx_that_does_not_load_is_said_in_time(root, nginx, monkeypatch):
    (root / "deaf").touch()
    registry = nginx_registry.Registry(str(root))
    with registry.locked(), pytest.raises(nginx_registry.RegistryError, match="not loaded the registry after 0 s"):
        registry.load(0)


def test_a_lock_that_another_holds_is_said_in_time(root):
    registry = nginx_registry.Registry(str(root))
    with registry.locked(), pytest.raises(nginx_registry.RegistryError, match="another call has held .*/registry.lock"):
        with registry.locked(0):
            pass


# Draining


def test_a_drain_waits_for_the_last_connection(root, nginx, engine):
    port = engine.getsockname()[1]
    (root / "etc/nginx/inference/chat-0.server").write_text(LINE % port)
    run(root, "register", "chat", 0)
    with connected(engine):
        drain = call(root, "drain", "chat", 0, port, 60)
        until(lambda: copies(root) == {} and loads(root) == 3)
        with pytest.raises(subprocess.TimeoutExpired):
            drain.wait(0.5)
    status, said = finished(drain)
    assert status == 0 and re.match(r"drained in \d+\.\d s\n", said)


def test_a_drain_watches_the_port_that_nginx_was_told(root, nginx, engine):
    port = engine.getsockname()[1]
    (root / "etc/nginx/inference/chat-0.server").write_text(LINE % port)
    run(root, "register", "chat", 0)
    with connected(engine):
        status, said = run(root, "drain", "chat", 0, 1, 1)
    assert status == 0 and "after 1 s 1 connections are still open and are cut" in said


def test_a_second_drain_does_not_grant_the_time_once_more(root, nginx, engine):
    port = engine.getsockname()[1]
    (root / "etc/nginx/inference/chat-0.server").write_text(LINE % port)
    run(root, "register", "chat", 0)
    with connected(engine):
        run(root, "drain", "chat", 0, port, 1)
        began = time.monotonic()
        assert "are cut" in run(root, "drain", "chat", 0, port, 1)[1]
        assert time.monotonic() - began < 1
        run(root, "register", "chat", 0)
        began = time.monotonic()
        assert "are cut" in run(root, "drain", "chat", 0, port, 1)[1]
        assert time.monotonic() - began >= 1


def test_connections_over_ipv6_count(root):
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as engine:
        port = engine.getsockname()[1]
        assert nginx_registry.connections({port}) == 0
        with socket.create_connection(("::1", port)), engine.accept()[0]:
            assert nginx_registry.connections({port}) == 1
            assert nginx_registry.connections({port + 1}) == 0


def test_of_a_containers_port_the_clients_end_counts(root, monkeypatch):
    """The kernel may hand what goes to 127.0.0.1:18080 on into another network namespace."""
    table = "\n".join([
        "  sl  local_address rem_address   st",
        "   0: 0100007F:9C40 0100007F:46A0 01",
        "   1: 0100007F:9C41 0100007F:46A0 06",  # closed, and not forgotten yet
        "   2: 0A00000A:9C42 0B00000A:46A0 01"])  # to another host
    monkeypatch.setattr(nginx_registry, "LOOPBACK", "0100007F")
    monkeypatch.setattr(nginx_registry, "_read", lambda path: table if path == "/proc/net/tcp" else "")
    assert nginx_registry.connections({18080}) == 1


@pytest.mark.parametrize("service", ["lock", "registry", "generation"])
def test_a_service_may_bear_a_name_that_the_registry_uses(root, service):
    (root / f"etc/nginx/inference/{service}-0.server").write_text(LINE % 3)
    run(root, "register", "chat", 0)
    assert run(root, "register", service, 0) == (0, "registered\n")
    assert run(root, "drain", service, 0, 3, 1)[0] == 0


def test_a_drain_waits_a_moment_for_workers_that_are_ending(root, nginx):
    run(root, "register", "chat", 0)
    (root / "linger").touch()
    began = time.monotonic()
    assert run(root, "drain", "chat", 0, 1, 5)[0] == 0
    assert time.monotonic() - began >= nginx_registry.SETTLE_SECONDS


# Waiting for the engine


class Health(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" and self.server.loaded else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_words):
        pass


@pytest.fixture
def loading():
    """An engine that is still loading its model."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Health)
    server.loaded = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_waiting_ends_when_the_health_request_is_answered(root, loading):
    assert not nginx_registry.healthy(loading.server_port, "/health")
    assert nginx_registry.healthy(loading.server_port, "tcp")
    waiting = call(root, "wait", os.getpid(), loading.server_port, "/health")
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(0.5)
    loading.loaded = True
    assert finished(waiting) == (0, "")


def test_waiting_ends_when_the_engine_has_ended(root, loading):
    with subprocess.Popen(["sleep", "20"]) as engine:
        waiting = call(root, "wait", engine.pid, loading.server_port, "/health")
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.3)
        engine.kill()
    status, said = finished(waiting)
    assert status == 1 and "the engine ended before it could answer" in said


def test_a_server_that_does_not_answer_says_nothing():
    assert nginx_registry.ask("http://127.0.0.1:9/-/revision") == ""
    assert nginx_registry.ask("no address") == ""


def test_a_server_that_does_not_speak_http_says_nothing(engine):
    def greet():
        with engine.accept()[0] as client:
            client.sendall(b"SSH-2.0-Server\r\n")
            client.recv(1000)

    thread = threading.Thread(target=greet)
    thread.start()
    assert nginx_registry.ask("http://127.0.0.1:%d/-/revision" % engine.getsockname()[1]) == ""
    thread.join()


def test_nothing_listens_on_a_closed_port(engine):
    port = engine.getsockname()[1]
    engine.close()
    assert not nginx_registry.healthy(port, "tcp") and not nginx_registry.healthy(port, "/health")


@pytest.mark.parametrize("words", [
    [], ["register"], ["register", "chat"], ["register", "../chat", 0], ["register", "chat", "x"], ["drain", "chat", 0],
    ["wait", 1, 2], ["restart", "chat", 0],
])
def test_a_wrong_call_is_told_the_right_ones(root, words):
    status, said = run(root, *words)
    assert status == 1 and said.startswith("usage: inference-instance wait PID PORT HEALTH")
    assert not (root / "run/inference.host").exists()


def test_the_lock_is_not_left_to_others(root):
    with nginx_registry.Registry(str(root)).locked():
        path = root / "run/inference.host/nginx/registry.lock"
        assert path.stat().st_mode & 0o777 == 0o600
        with open(path) as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
