# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which instances nginx sends to, and the program `inference-instance`, with which systemd tells it.

Role service installs this very file, so it needs Python 3.8 and nothing else. Units call it:

    inference-instance wait PID PORT HEALTH              until the engine answers at the path HEALTH (`tcp`: until it
                                                         takes a connection), or has ended
    inference-instance register SERVICE INDEX            from now on nginx sends to the instance
    inference-instance drain SERVICE INDEX PORT SECONDS  nginx sends no more; then until all connections have ended, or
                                                         SECONDS have passed

Role nginx writes a line for each instance of the host, /etc/nginx/inference/SERVICE-INDEX.server. An instance is
registered where a copy of it is in the registry, from which nginx's configuration includes it. Where role nginx has
written no line, and where nginx does not run, nobody is to be told; a drain waits for the connections all the same. A
call that was killed is simply repeated: what nginx has loaded is asked of nginx, not remembered.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import http.client
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request

SOURCES = "/etc/nginx/inference"
CONTROL = SOURCES + "/control"
"""Holds where the host's nginx is asked for itself, such as `http://127.0.0.1:8080`."""
REGISTRY = "/run/inference.host/nginx"
GENERATION = REGISTRY + "/generation.conf"
"""nginx includes it in location /-/generation, which so tells which state of the registry is loaded."""
LOCK = REGISTRY + "/registry.lock"
"""With a dot, which no service has in its name: beside it are the services' folders."""
PID_FILE = "/run/nginx.pid"
SERVICE = re.compile(r"[a-z0-9][a-z0-9_-]*\Z")
TOKEN = re.compile(r"[0-9a-f]{16}-[0-9a-f]{8}\Z")
ESTABLISHED = "01"
LOOPBACK = "%08X" % int.from_bytes(socket.inet_aton("127.0.0.1"), sys.byteorder)
"""As the kernel writes it in /proc/net/tcp: a number in the order of the processor's bytes."""
SWITCH_SECONDS = 30
"""Longest wait for other calls to end, and for nginx to load a state: twice that is the most that `register` takes, and
`drain` on top of its SECONDS."""
SETTLE_SECONDS = 1.0
"""A worker that was told to end still serves connections that it took before, on which a request may yet come: over TLS
up to three round trips later, and 300 ms is a long one."""
POLL_SECONDS = 0.05


class RegistryError(Exception):
    """One sentence for the person who must act."""


class Registry:
    """The lines of this host's instances, those that are registered, and the nginx that loads them."""

    def __init__(self, root=""):
        """root: a folder that stands for /, for tests."""
        self.root = root

    def sources(self):
        """Return the lines that role nginx has written, {(service, index): text}."""
        return {_key(os.path.basename(path).replace(".server", "").rpartition("-")): _read(path)
                for path in glob.glob(self.root + SOURCES + "/?*-[0-9]*.server")}

    def registered(self):
        """Return the lines of the registered instances, {(service, index): text}."""
        return {_key(path[len(self.root + REGISTRY) + 1:].replace(".server", "").rpartition("/")): _read(path)
                for path in glob.glob(self.root + REGISTRY + "/*/[0-9]*.server")}

    def add(self, service, index):
        """Copy an instance's line into the registry; return whether that changed it. Only under the lock."""
        text = self.sources()[service, index]
        if self.registered().get((service, index)) == text:
            return False
        _write(self._copy(service, index), text)
        return True

    def remove(self, service, index):
        """Take an instance's line out of the registry and return it, "" where none was there. Only under the lock."""
        text = self.registered().get((service, index), "")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._copy(service, index))
        return text

    def drain_until(self, service, index, deadline):
        """Keep until when an instance's connections may last, of the clock time.monotonic; return the earliest kept."""
        path = self._drained(service, index)
        if not _read(path) or deadline < float(_read(path)):
            _write(path, "%f" % deadline)
        return float(_read(path))

    def forget_drain(self, service, index):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._drained(service, index))

    def _drained(self, service, index):
        return "%s%s/%s-%d.drained" % (self.root, REGISTRY, service, index)

    def _copy(self, service, index):
        return "%s%s/%s/%d.server" % (self.root, REGISTRY, service, index)

    @contextlib.contextmanager
    def locked(self, seconds=SWITCH_SECONDS):
        """Hold the lock of the registry and of nginx's reloads; raise RegistryError where that is not had in time."""
        with _lock(self.root + LOCK, seconds):
            yield

    @contextlib.contextmanager
    def held_back(self, service, index):
        """Keep an instance from being registered while the block runs: `register` waits for its end, or its death."""
        with _lock("%s%s/%s-%d.hold" % (self.root, REGISTRY, service, index), None):
            yield

    def state(self):
        """Return a digest of what is registered, 16 hexadecimal digits."""
        lines = sorted("%s %d %s\n" % (service, index, text) for (service, index), text in self.registered().items())
        return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]

    def loaded(self):
        """Return the token of the generation that nginx answers with, "" where it answers with none."""
        answer = ask(_read(self.root + CONTROL).strip() + "/-/generation")
        return answer if TOKEN.match(answer) else ""

    def is_loaded(self):
        """Return whether nginx has loaded what is registered now."""
        token = self.loaded()
        return token.startswith(self.state() + "-") and _read(self.root + GENERATION) == _generation(token)

    def load(self, seconds=SWITCH_SECONDS):
        """Let nginx load its configuration and the registry; return its workers of before, [] where it does not run.

        Raises RegistryError where nginx refuses the configuration or does not come to load it: it works on with the old
        one. Only under the lock.
        """
        # The same state a second time is told from the first, whose workers may still answer.
        token = "%s-%s" % (self.state(), secrets.token_hex(4))
        _write(self.root + GENERATION, _generation(token))
        master = self.master()
        if not master:
            return []
        self._check()
        before = children(master)
        os.kill(master, signal.SIGHUP)
        deadline = time.monotonic() + seconds
        while os.path.exists(self.root + CONTROL) and self.loaded() != token:
            if time.monotonic() > deadline:
                raise RegistryError("nginx has not loaded the registry after %d s; its error log says why" % seconds)
            time.sleep(POLL_SECONDS)
        return before

    def _check(self):
        folders = ("/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin")
        program = shutil.which("nginx", path=os.pathsep.join(self.root + folder for folder in folders))
        if not program:
            return
        check = subprocess.run(  # pylint: disable=ansible-bad-function
            [program, "-t", "-q"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False)
        if check.returncode:
            raise RegistryError("nginx refuses its configuration and works on with the old one: %s" % (
                " ".join(check.stdout.split())))

    def master(self):
        """Return the process id of nginx's master, 0 where nginx does not run."""
        number = _read(self.root + PID_FILE).strip()
        return int(number) if number.isdigit() and "nginx" in _read("/proc/%s/comm" % number) else 0


def register(registry, service, index):
    """Let nginx send to an instance; return what was done, in words. After a RegistryError it is not registered."""
    registry.forget_drain(service, index)
    if (service, index) not in registry.sources():
        return "nginx has no line for %s %d; nothing to do" % (service, index)
    with registry.held_back(service, index), registry.locked():
        changed = registry.add(service, index)
        if not changed and registry.is_loaded():
            return "registered already"
        try:
            registry.load()
        except RegistryError:
            # What is not known to be loaded now must not be loaded later, when the instance has gone.
            registry.remove(service, index)
            raise
    return "registered"


def drain(registry, service, index, port, seconds):
    """Let nginx send no more to an instance and wait for its connections; return what was done, in words.

    Raises RegistryError where nginx could not be told.
    """
    began, workers = time.monotonic(), []
    with registry.locked():
        line = registry.remove(service, index)
        # A second call, such as a unit's own, does not grant the connections the time once more.
        deadline = registry.drain_until(service, index, began + seconds)
        if line or (registry.sources() and not registry.is_loaded()):
            workers = registry.load()
    # After a change of the port nginx's connections are at the one that it was told.
    ports = {port} | ports_of(line)
    quiet_since = None
    while True:
        now = time.monotonic()
        count = connections(ports)
        if not count:
            quiet_since = quiet_since or now
            if now - quiet_since >= SETTLE_SECONDS or not set(workers) & set(children(registry.master())):
                return "drained in %.1f s" % (now - began)
        elif now >= deadline:
            return "nginx sends no more; after %d s %d connections are still open and are cut" % (now - began, count)
        else:
            quiet_since = None
        time.sleep(POLL_SECONDS)


def wait(pid, port, health):
    """Wait until the engine can answer; raise RegistryError when it has ended before. systemd limits the time."""
    while os.path.exists("/proc/%d" % pid):
        if healthy(port, health):
            return
        time.sleep(2 * POLL_SECONDS)
    raise RegistryError("the engine ended before it could answer")


def healthy(port, health):
    """Return whether an engine answers at the path `health` with status 200; `tcp`: whether it takes a connection."""
    if health == "tcp":
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            return False
        return True
    return ask("http://127.0.0.1:%d%s" % (port, health), failed=None) is not None


def ask(url, failed=""):
    """Return the body that a server of this host answers with, stripped; `failed` where it does not with status 200."""
    found = _get(url)
    return found[1].decode("utf-8", "replace").strip() if found else failed


def ask_header(url, name):
    """Return a header of what a server of this host answers with status 200, else ""."""
    found = _get(url)
    return found[0].get(name, "") if found else ""


def _get(url):
    """Return (headers, body) of what a server of this host answers with status 200, else None."""
    # Never through a proxy. The certificate bears the host's public name, so it says nothing here.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=5) as answer:
            return (answer.headers, answer.read()) if answer.status == 200 else None
    except (OSError, ValueError, http.client.HTTPException):
        return None


def ports_of(line):
    """Return the set of the ports in an instance's line."""
    return {int(number) for number in re.findall(r"server \S+:([0-9]+)", line)}


def connections(ports):
    """Return how many connections to these ports of this host are established.

    Of a container's published port the host may have the client's end alone.
    """
    served = asked = 0
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in _read(path).splitlines()[1:]:
            _number, local, remote, state = line.split()[:4]
            served += state == ESTABLISHED and int(local.rpartition(":")[2], 16) in ports
            address, _colon, port = remote.rpartition(":")
            asked += state == ESTABLISHED and address == LOOPBACK and int(port, 16) in ports
    return max(served, asked)


def children(pid):
    """Return the ids of a process's children, [] where there is no such process."""
    found = []
    for path in glob.glob("/proc/[0-9]*/stat") if pid else []:
        # The name, in brackets, may hold anything.
        fields = _read(path).rpartition(")")[2].split()
        if len(fields) > 1 and fields[1] == str(pid):
            found.append(int(path.split("/")[2]))
    return found


def _key(parts):
    service, _mark, index = parts
    return service, int(index)


def _generation(token):
    return 'return 200 "%s\\n";\n' % token


def _read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def _write(path, text):
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    # nginx includes *.server, so it never sees a half of it.
    with open(path + ".new", "w", encoding="utf-8") as stream:
        os.fchmod(stream.fileno(), 0o644)
        stream.write(text)
    os.replace(path + ".new", path)


@contextlib.contextmanager
def _lock(path, seconds):
    """Hold the lock file `path`; wait for it as many seconds, or with None without end."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + (seconds or 0)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if seconds is None else fcntl.LOCK_NB))
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RegistryError("another call has held %s for %d s" % (path, seconds)) from None
                time.sleep(POLL_SECONDS)
        yield
    finally:
        os.close(handle)


USAGE = "usage: inference-instance wait PID PORT HEALTH | register SERVICE INDEX | drain SERVICE INDEX PORT SECONDS"


def main(words):
    """Carry out a command line; return an exit status or a sentence."""
    registry = Registry(os.environ.get("INFERENCE_INSTANCE_TEST_ROOT", ""))
    command, rest = (words[0] if words else ""), words[1:]
    try:
        if command == "wait" and len(rest) == 3:
            return wait(int(rest[0]), int(rest[1]), rest[2])
        if command == "register" and len(rest) == 2:
            sys.stdout.write(register(registry, _name(rest[0]), int(rest[1])) + "\n")
            return 0
        if command == "drain" and len(rest) == 4:
            sys.stdout.write(drain(registry, _name(rest[0]), int(rest[1]), int(rest[2]), int(rest[3])) + "\n")
            return 0
    except (RegistryError, OSError) as error:
        return "inference-instance %s: %s" % (" ".join(words), error)
    except ValueError:
        pass
    return USAGE


def _name(service):
    if not SERVICE.match(service):
        raise ValueError(service)
    return service


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
