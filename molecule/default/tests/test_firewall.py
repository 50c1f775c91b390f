"""The firewall's rules with real packets, in a network namespace of the lab host, which may not filter itself."""

import base64
import json
import sys

from conftest import REPO

sys.path.insert(0, str(REPO / ".collections"))

from ansible_collections.inference.host.plugins.module_utils.firewall import is_loaded, rules  # noqa: E402

# A second namespace is the network outside; a connection to SSH's port stands before the rules are loaded.
SCRIPT = r"""
import json, socket, subprocess, sys, threading, time
def run(words): return subprocess.run(words, shell=True, check=True, capture_output=True, text=True).stdout
outside = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo ready; exec sleep 60"], stdout=subprocess.PIPE)
outside.stdout.readline()
run("ip link set lo up; ip link add v0 type veth peer name v1 netns %d" % outside.pid)
run("ip address add 192.0.2.1/24 dev v0; ip link set v0 up")
enter = "nsenter -t %d -n " % outside.pid
run(enter + "ip address add 192.0.2.2/24 dev v1; " + enter + "ip link set v1 up")
def echo(client):
    for data in iter(lambda: client.recv(9), b""): client.send(data)
def serve(server):
    while True: threading.Thread(target=echo, args=[server.accept()[0]]).start()
for port in (22, 8080, 9100, 9999):
    server = socket.create_server(("192.0.2.1", port))
    threading.Thread(target=serve, args=[server], daemon=True).start()
KNOCK = "import socket; print(socket.socket().connect_ex(('192.0.2.1', %d)))"
def reach():
    found = {}
    for port in (22, 8080, 9100, 9999):
        said = subprocess.run(enter + "timeout 2 python3 -c \"" + KNOCK % port + "\"", shell=True, capture_output=True)
        found[port] = said.stdout.strip() == b"0"
    found["ping"] = subprocess.run(enter + "ping -c 1 -W 2 192.0.2.1", shell=True, capture_output=True).returncode == 0
    return found
stands = subprocess.Popen(enter + "python3 -uc \"import socket; c = socket.create_connection(('192.0.2.1', 22));"
    " c.send(b'1'); print(c.recv(1)); input(); c.send(b'2'); print(c.recv(1))\"", shell=True, stdin=subprocess.PIPE,
    stdout=subprocess.PIPE, text=True)
first = stands.stdout.readline()
before = reach()
run("nft -c -f %(rules)s; nft -f %(rules)s; nft -f %(rules)s" % {"rules": sys.argv[1]})
after = reach()
stood = first + stands.communicate("\n", timeout=10)[0]
listed = run("nft list table inet inference_host")
run("nft delete table inet inference_host")
print(json.dumps({"before": before, "after": after, "stood": stood.split(), "listed": listed, "end": reach()}))
outside.kill()
"""


def put(host, path, text):
    host.check_output(f"echo {base64.b64encode(text.encode()).decode()} | base64 -d >{path}")


def test_only_what_is_named_comes_in_and_what_stands_stays(host):
    host.check_output("DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends nftables iputils-ping")
    revision, text = rules([22], [8080], [9100], [], ["192.0.2.0/24"])
    put(host, "/tmp/rules.nft", text)
    put(host, "/tmp/firewall.py", SCRIPT)
    found = json.loads(host.check_output("unshare -rn python3 /tmp/firewall.py /tmp/rules.nft"))
    host.check_output("rm /tmp/rules.nft /tmp/firewall.py")
    everything = {"22": True, "8080": True, "9100": True, "9999": True, "ping": True}
    assert found["before"] == found["end"] == everything
    assert found["after"] == {**everything, "9999": False}
    assert found["stood"] == ["b'1'", "b'2'"]
    assert is_loaded(found["listed"], revision) and not is_loaded(found["listed"], "0" * 16)


def test_sources_that_are_not_named_do_not_reach_nginx(host):
    _revision, text = rules([22], [8080], [], [], ["198.51.100.0/24"])
    put(host, "/tmp/rules.nft", text)
    put(host, "/tmp/firewall.py", SCRIPT)
    found = json.loads(host.check_output("unshare -rn python3 /tmp/firewall.py /tmp/rules.nft"))
    assert found["after"] == {"22": True, "8080": False, "9100": False, "9999": False, "ping": True}


def test_a_host_that_may_not_filter_is_said_to_be_none(play, host, tmp_path):
    playbook = tmp_path / "firewall.yml"
    playbook.write_text("""---
- hosts: inference_hosts
  gather_facts: false
  become: true
  tasks:
    - {ansible.builtin.import_role: {name: inference.host.topology, tasks_from: plan}}
    - {ansible.builtin.import_role: {name: inference.host.firewall}}
""", encoding="utf-8")
    done = play(str(playbook), firewall_enabled=True)
    assert "the firewall is not applicable" in " ".join(done.stdout.split()) and "changed=0 " in done.stdout
    assert not host.file("/etc/systemd/system/inference-firewall.service").exists
