"""A second nginx on the lab host, with files of its own in the places of the first, and a stand-in for engines.

The files are those that role nginx would write there. In the mount namespace of a transient unit they lie where they
belong, so nothing of the host's own nginx is touched, and requests come over the network as a client's do.
"""

import base64
import io
import json
import ssl
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

import yaml
from conftest import INVENTORIES, PLAIN, REPO

sys.path.insert(0, str(REPO / ".collections"))

from ansible_collections.inference.host.plugins.module_utils.nginx_plan import PATHS, SHORTEST_SECONDS  # noqa: E402
from ansible_collections.inference.host.plugins.module_utils.nginx_variants import parse_version, resolve  # noqa: E402

ROOT = "/tmp/nginx-box"
UNIT = "nginx-box"
PORT = 9080
ENGINES = (19180, 19181)
SERVED = [*PATHS["llama_cpp"], "/v1/hold", "/v1/long", "/v1/elsewhere"]
PLAYBOOK = """
- hosts: inference_hosts
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: inference.host.topology
        tasks_from: plan
      when: planned
    - ansible.builtin.import_role:
        name: inference.host.nginx
        tasks_from: render
"""


def plan(instances=2, slots=1, health="/health", paths=tuple(SERVED)):
    """The plan's `nginx` of one service."""
    servers = [{"index": index, "unit": f"inference-chat@{index}.service", "address": "127.0.0.1", "port": port,
                "max_conns": slots} for index, port in enumerate(ENGINES[:instances])]
    return {"balances": "instances", "listen_port": PORT, "workers": 2, "cpus": [0],
            "longest_answer_seconds": SHORTEST_SECONDS,
            "upstreams": [{"service": "chat", "health": health, "paths": list(paths), "prefix": "",
                           "servers": servers}]}


def render(folder, inventories=tuple(INVENTORIES), arguments=(), planned=False, **variables):
    """Return what role nginx would write, {host: [{path, content, mode}]}; `planned`: of recorded hosts."""
    playbook = Path(folder, "render.yml")
    playbook.write_text("---" + PLAYBOOK, encoding="utf-8")
    extra = json.dumps(dict(variables, nginx_output=str(folder), planned=planned))
    command = ["ansible-playbook", *inventories, str(playbook), *arguments, "-e", extra]
    done = subprocess.run(command, cwd=REPO, env=PLAIN, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in Path(folder).glob("*.json")}


class Box:
    """The second nginx of a lab host; `host` is testinfra's."""

    def __init__(self, host):
        self.host = host
        self.address = host.check_output("hostname --all-ip-addresses").split()[0]
        self.version = parse_version(host.run("/usr/sbin/nginx -v").stderr)
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def put(self, files, stapling=False):
        """Lay the files out for this host's version, with the engines registered, in one command."""
        flags = {"ipv6": True, "stapling": stapling}
        texts = {file["path"]: resolve(file["content"], self.version, flags)
                 for file in files if file["path"].startswith("/etc/nginx/")}
        texts["/etc/nginx/inference/revision.conf"] = 'return 200 "box\\n";\n'
        texts["/upstream.py"] = Path(__file__).with_name("nginx_upstream.py").read_text(encoding="utf-8")
        for path, text in list(texts.items()):
            name = path.rpartition("/")[2]
            if name.startswith("chat-") and name.endswith(".server"):
                texts["/run/inference.host/nginx/chat/" + name.partition("-")[2]] = text
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for path, text in texts.items():
                entry = tarfile.TarInfo(path[1:])
                entry.size = len(text.encode())
                archive.addfile(entry, io.BytesIO(text.encode()))
        self.host.check_output(
            f"systemctl stop {UNIT} {UNIT}-engines; rm -rf {ROOT} && mkdir -p {ROOT}/log {ROOT}/run &&"
            f" echo {base64.b64encode(packed.getvalue()).decode()} | base64 -d | tar -xz -C {ROOT} &&"
            f" cp /etc/nginx/mime.types {ROOT}/etc/nginx")

    def certificate(self, folder="/tmp/nginx-box-tls", certificate="cert.pem", key="key.pem"):
        """Make a certificate that signs itself, and return the paths of it and its key."""
        self.host.check_output(
            f"mkdir -p {folder} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
            f" -subj /CN=chat -keyout {folder}/{key} -out {folder}/{certificate} 2>/dev/null &&"
            f" chmod 640 {folder}/{key}")
        return f"{folder}/{certificate}", f"{folder}/{key}"

    def command(self, words):
        """A command in the namespace where the files lie in their places."""
        binds = [f"--property=BindPaths={ROOT}/{inside}:{place}" for inside, place in (
            ("etc/nginx", "/etc/nginx"), ("log", "/var/log/nginx"), ("run", "/run"))]
        return f"systemd-run --quiet --collect {' '.join(binds)} {words}"

    def test(self):
        """Return what `nginx -t` says, and whether it accepts the files."""
        done = self.host.run(self.command("--pipe --wait /usr/sbin/nginx -t"))
        return done.rc == 0, done.stdout + done.stderr

    def start(self, files, **options):
        """Start nginx with the files and the engines behind it; wait until both take connections."""
        self.put(files, **options)
        ready = " && ".join(f"python3 -c \"{KNOCK % port}\"" for port in (PORT, *ENGINES))
        self.host.check_output(
            f"systemd-run --quiet --collect --unit={UNIT}-engines python3 {ROOT}/upstream.py"
            f" {' '.join(map(str, ENGINES))} && {self.command('--pipe --wait /usr/sbin/nginx -t -q')} &&"
            f" {self.command(f'--unit={UNIT} /usr/sbin/nginx')} -g 'daemon off;' && {ready}")
        return self

    def stop(self):
        self.host.run(f"systemctl stop {UNIT} {UNIT}-engines")

    def ask(self, path, data=None, tls=None, **headers):
        """Return (status, headers, body) of a request from outside; `tls`: an SSL context, or None for plain HTTP."""
        url = f"{'https' if tls else 'http'}://{self.address}:{PORT}{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        opener = self.opener if tls is None else urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls))
        try:
            with opener.open(urllib.request.Request(url, data=data, headers=named), timeout=30) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def engines(self, path):
        """Tell the engines themselves, which are one process, and return what they answer."""
        return self.inside(path, ENGINES[0])[1]

    def inside(self, path, port=PORT):
        """Return (status, body) of a request from the host itself."""
        done = self.host.check_output(f"python3 -c \"{ASK % (port, path)}\"")
        return int(done[:3]), done[4:]

    def log(self):
        """Return the last lines of the access log."""
        return self.host.check_output(f"tail -n 5 {ROOT}/log/access.log").splitlines()


KNOCK = ("import socket, time; end = time.monotonic() + 20\nwhile socket.socket().connect_ex(('127.0.0.1', %d)):"
         "\n assert time.monotonic() < end\n time.sleep(0.02)")
ASK = ("import http.client as h; c = h.HTTPConnection('127.0.0.1', %d, timeout=30); c.request('GET', '%s');"
       " a = c.getresponse(); print(a.status, a.read().decode())")


def context(version=None):
    """An SSL context of a client that takes any certificate; `version`: the only one it speaks."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.set_ciphers("DEFAULT@SECLEVEL=0")  # else the client itself would refuse the old versions
    if version:
        made.minimum_version = made.maximum_version = version
    return made
