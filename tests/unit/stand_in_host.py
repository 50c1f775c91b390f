"""A host on a folder: stand-ins for nginx, systemctl, journalctl and an engine, as real processes.

nginx answers with the generation that it has loaded, and has one worker, which ends when it is replaced: at once, or
where the file `linger` is there never by itself. Where the file `deaf` is there it loads nothing.

systemctl knows services with drop-ins, of which it takes Environment, CPUAffinity, ExecStart, ExecStartPost and
ExecStop. As systemd does, it runs what `daemon-reload` has read, and goes on with a start whose caller has gone.

The engine's model is a text: the word that says how it behaves, and what it answers.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
PROGRAM = REPO / "roles/service/files/inference-instance"

NGINX = r"""
import http.server, os, signal, subprocess, sys
root = sys.argv[1]
state = {"worker": None, "token": "", "loads": 0}
def load(*_signal):
    if os.path.exists(root + "/deaf"):
        return
    old, state["worker"] = state["worker"], subprocess.Popen(["sleep", "1000"])
    if old and not os.path.exists(root + "/linger"):
        old.kill(); old.wait()
    try:
        with open(root + "/run/inference.host/nginx/generation.conf") as stream:
            state["token"] = stream.read().split('"')[1].replace("\\n", "")
    except OSError:
        state["token"] = ""
    state["loads"] += 1
    with open(root + "/loads.new", "w") as stream:
        stream.write(str(state["loads"]))
    os.replace(root + "/loads.new", root + "/loads")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (state["token"] or "none").encode()
        self.send_response(200 if self.path == "/-/generation" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_words):
        pass
signal.signal(signal.SIGHUP, load)
load()
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
with open(root + "/etc/nginx/inference/control", "w") as stream:
    stream.write("http://127.0.0.1:%d\n" % server.server_port)
with open(root + "/run/nginx.pid", "w") as stream:
    stream.write("%d\n" % os.getpid())
print("ready", flush=True)
server.serve_forever()
"""

ENGINE = r"""
import http.server, json, os, sys, time
port, (how, _blank, text) = int(sys.argv[1]), open(sys.argv[2]).read().partition(" ")
if how == "dies":
    sys.exit("the model cannot be loaded")
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(503 if how == "never" else 200, b"")
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if how == "crashes":
            os._exit(1)
        if how == "keyed" and self.headers["Authorization"] != "Bearer word":
            return self.answer(401, b"who are you")
        said = {"choices": [{"text": text, "finish_reason": None if how == "half" else "length"}], "asked": asked}
        self.answer(500 if how == "refuses" else 200, b"nonsense" if how == "babbles" else json.dumps(said).encode())
    def log_message(self, *_words):
        pass
http.server.ThreadingHTTPServer.allow_reuse_address = True
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""

SYSTEMCTL = r"""
import contextlib, fcntl, glob, json, os, shlex, shutil, signal, subprocess, sys, threading, time, uuid
here = os.environ["STAND_IN"]
# As systemd does for what it starts: a module that was told to stop ignores these from then on, and its children would.
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
def load(folder, unit):
    found = {}
    for path in ([here + folder + "/" + unit.split("@")[0] + "@.service"]
                 + sorted(glob.glob(here + folder + "/" + unit + ".d/*.conf"))):
        for line in open(path).read().splitlines() if os.path.exists(path) else []:
            key, mark, value = line.partition("=")
            if mark:
                found.setdefault(key, []).append(value)
    return found
def state(unit):
    try:
        return json.load(open(here + "/state/" + unit))
    except (OSError, ValueError):
        return {"pid": 0, "state": "inactive", "invocation": "", "post": 0}
holds = []
@contextlib.contextmanager
def locked():
    # A job is begun or cancelled as a whole, as systemd does one after the other.
    if holds:
        yield
        return
    with open(here + "/lock", "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        holds.append(stream)
        try:
            yield
        finally:
            holds.clear()
def keep(unit, **new):
    with locked():
        write(unit, dict(state(unit), **new))
def write(unit, now):
    with open(here + "/state/" + unit + "." + str(os.getpid()), "w") as stream:
        json.dump(now, stream)
    os.replace(stream.name, here + "/state/" + unit)
def alive(pid):
    try:
        return bool(pid) and open("/proc/%d/stat" % pid).read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
def end(pid):
    if alive(pid):
        os.kill(pid, signal.SIGKILL)
    while alive(pid):
        time.sleep(0.01)
def say(unit, text):
    with open(here + "/journal-" + unit, "a") as stream:
        stream.write(text)
def run(unit, line, pid):
    with locked():
        post = subprocess.Popen(shlex.split(line.lstrip("+").replace("$MAINPID", str(pid))), stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)
        keep(unit, post=post.pid)
    say(unit, post.communicate()[0])
    keep(unit, post=0)
    return post.returncode
def stop(unit):
    cancel(unit)
    end_old(unit, state(unit)["pid"])
    keep(unit, state="inactive", pid=0)
def cancel(unit):
    with locked():
        was = state(unit)
        if was["state"] == "activating":
            # With what it waits for: as of systemd, there is no next ExecStartPost.
            os.killpg(was["starter"], signal.SIGKILL)
            end(was["post"])
            end(was["pid"])
            keep(unit, state="inactive", pid=0, post=0)
def end_old(unit, pid):
    if alive(pid):
        for line in load("/loaded", unit).get("ExecStop", []):
            run(unit, line, pid)
        end(pid)
def restart(unit):
    with locked():
        cancel(unit)
        # From now on a stop is the end of this process.
        old = state(unit)["pid"]
        keep(unit, state="activating", starter=os.getpid(), post=0)
    end_old(unit, old)
    return start(unit)
def start(unit):
    words = load("/loaded", unit)
    if not words.get("ExecStart"):
        keep(unit, state="failed", pid=0)
        return 1
    cpus = [int(cpu) for cpu in words.get("CPUAffinity", [""])[-1].split()]
    with locked():
        engine = subprocess.Popen(
            shlex.split(words["ExecStart"][-1]), stdout=open(here + "/journal-" + unit, "a"), stderr=subprocess.STDOUT,
            env=dict(os.environ, **dict(pair.split("=", 1) for pair in words.get("Environment", []))),
            start_new_session=True, preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None)
        keep(unit, pid=engine.pid, invocation=uuid.uuid4().hex)
    threading.Thread(target=engine.wait, daemon=True).start()
    for line in words.get("ExecStartPost", []):
        if run(unit, line, engine.pid):
            keep(unit, state="failed", pid=0)
            end(engine.pid)
            return 1
    keep(unit, state="active")
    return 0
words = [word for word in sys.argv[1:] if not word.startswith("--")]
command, units = words[0], words[1:]
if command == "daemon-reload":
    shutil.rmtree(here + "/loaded", ignore_errors=True)
    shutil.copytree(here + "/units", here + "/loaded")
elif command in ("start", "restart"):
    if os.fork():
        sys.exit(abs(os.waitstatus_to_exitcode(os.wait()[1])))
    os.setsid()  # as systemd, which does not end with its caller
    status = restart(units[0])
    sys.stdout.flush()
    os._exit(status)
elif command == "stop":
    stop(units[0])
elif command in ("enable", "disable"):
    keep(units[0], enabled=command == "enable")
elif command == "show":
    for unit in units:
        words, now = load("/loaded", unit), state(unit)
        gone = now["state"] == "active" and not alive(now["pid"])
        print("\n".join("%s=%s" % pair for pair in {
            "Id": unit, "LoadState": "loaded" if words else "not-found", "MainPID": now["pid"] * alive(now["pid"]),
            "ActiveState": "failed" if gone else now["state"], "InvocationID": now["invocation"],
            "UnitFileState": "enabled" if now.get("enabled") else "disabled",
            "Environment": " ".join(words.get("Environment", [])), "FragmentPath": "", "DropInPaths": "",
            "NeedDaemonReload": "no" if words == load("/units", unit) else "yes"}.items()) + "\n")
elif command in ("list-units", "list-unit-files"):
    for name in sorted(os.listdir(here + "/state")):
        known = state(name)
        if known.get("enabled") or (command == "list-units" and known["state"] in ("active", "failed")):
            print(name)
elif command != "reset-failed":
    sys.exit("systemctl cannot " + command)
"""

SHELL = '#!/bin/sh\nexec {python} -c "$(cat {code})" "$@"\n'


@contextlib.contextmanager
def nginx(root):
    """Run the stand-in nginx on the folder `root`."""
    shutil.copy(os.path.realpath(sys.executable), root / "nginx")  # so that it is called that
    process = subprocess.Popen(
        [str(root / "nginx"), "-c", NGINX, str(root)], stdout=subprocess.PIPE, text=True, start_new_session=True,
        env={"PYTHONHOME": sys.base_prefix, "PATH": os.environ["PATH"],
             "LD_LIBRARY_PATH": str(Path(sys.base_prefix) / "lib")})
    assert process.stdout.readline() == "ready\n"
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


@contextlib.contextmanager
def systemd(root, monkeypatch):
    """Put systemctl and journalctl for the units in root/units into the path; end what they started."""
    programs = root / "programs"
    for folder in (programs, root / "units", root / "loaded", root / "state"):
        folder.mkdir()
    (programs / "code").write_text(SYSTEMCTL)
    (programs / "engine.py").write_text(ENGINE)
    (programs / "systemctl").write_text(SHELL.format(python=sys.executable, code=programs / "code"))
    (programs / "journalctl").write_text('#!/bin/sh\nfor unit; do :; done\ncat "$STAND_IN/journal-$unit"\n')
    for name in ("systemctl", "journalctl"):
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("STAND_IN", str(root))
    monkeypatch.setenv("INFERENCE_INSTANCE_TEST_ROOT", str(root))
    try:
        yield root
    finally:
        for state in (root / "state").iterdir():
            subprocess.run([str(programs / "systemctl"), "stop", state.name], check=False)
