"""What a busy neighbour costs an engine as it starts by itself, and the same engine where the plan puts both.

    python tests/benchmarks/neighbour.py -i inventories/lab [--runs 7]

The first host's first service (llama.cpp) shares the host with a program that computes without end. *Untuned*:
llama-server with nothing but the model and a port, so with its own threads, and the neighbour, neither of them placed.
*Planned*: both are services of one plan, each on cores of its own. Both also without the neighbour. The four are
measured in turn, so that what else the machine does falls on all; three answers of 64 tokens each, one after the other.
Prints medians with the lowest and the highest, and ratios. At the end the host is as its inventory says.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BUSY = "import socket; held = socket.create_server(('127.0.0.1', %s)); any(iter(int, 1))"
NEIGHBOUR = {"name": "neighbour", "runtime": "command", "command": ["/usr/bin/python3", "-c", BUSY % "{port}"]}
SHAPE = {"name": "one-user", "level": "service", "users": 1, "prompt_tokens": 16, "max_tokens": 64, "requests": 3,
         "repeats": 1, "limit_seconds": 300, "ramp_seconds": 0, "hold_seconds": 0, "down_seconds": 0}
VARIANTS = ("untuned, alone", "planned, alone", "untuned, neighbour", "planned, neighbour")

# The engine and its model are those of the service: words of its command line.
BEGIN = """
read -r -d '' engine model < <(tr '\\0' ' ' < /proc/$(systemctl show -p MainPID --value $unit)/cmdline |
  sed -E 's/^([^ ]+).* --model ([^ ]+).*$/\\1 \\2/')
echo "$engine $model"
"""
TURN = """
set -e
systemctl stop inference-$service@0 inference-neighbour@0 untuned untuned-neighbour 2> /dev/null || true
case "$variant" in
  untuned*) systemd-run --quiet --collect --unit=untuned $engine --model $model --port 19999 ;;
  planned*) systemctl start inference-$service@0 ;;
esac
case "$variant" in
  untuned*neighbour) systemd-run --quiet --collect --unit=untuned-neighbour /usr/bin/python3 -c "$busy" ;;
  planned*neighbour) systemctl start inference-neighbour@0 ;;
esac
for try in $(seq 600); do
  python3 -c "import urllib.request, sys; urllib.request.urlopen(sys.argv[1])" $url/health 2> /dev/null && exit
  sleep 0.2
done
exit 1
"""


def turns(service, port, runs, kept):
    """Return the playbook that measures; each line of the file `kept` is [variant, repeat] as JSON."""
    url = "{{ 'http://127.0.0.1:19999' if item.1 is match('untuned') else 'http://127.0.0.1:%d/%s' }}" % (port, service)
    names = {"service": service, "variant": "{{ item.1 }}", "url": url, "busy": BUSY % 19998}
    key = ("{{ nginx_clients.values() | first if nginx_clients | default({}) "
           "else (service_api_keys | default({}))['%s'] | default(none) }}" % service)
    tasks = [
        {"ansible.builtin.shell": {"cmd": TURN, "executable": "/bin/bash"},
         "environment": dict(names, engine="{{ words.stdout.split()[0] }}", model="{{ words.stdout.split()[1] }}")},
        {"inference.host.benchmark_load": {"url": url, "service": service, "shape": SHAPE, "api_key": key},
         "register": "measured"},
        {"ansible.builtin.shell": {"cmd": "echo \"$line\" >> " + kept}, "delegate_to": "localhost", "become": False,
         "environment": {"line": "{{ [item.1, measured.run.repeats[0]] | to_json }}"}},
    ]
    Path(kept).with_name("turn.yml").write_text(json.dumps(tasks), encoding="utf-8")
    first = {"ansible.builtin.shell": {"cmd": BEGIN, "executable": "/bin/bash"}, "register": "words",
             "environment": {"unit": f"inference-{service}@0"}}
    loop = {"ansible.builtin.include_tasks": "turn.yml", "loop": "{{ range(%d) | product(variants) | list }}" % runs}
    last = {"ansible.builtin.command": {"cmd": "systemctl stop untuned untuned-neighbour"}, "failed_when": False}
    return [{"hosts": "inference_hosts[0]", "gather_facts": False, "become": True, "vars": {"variants": VARIANTS},
             "tasks": [first, loop, last]}]


def run(*command):
    """Run one of Ansible's programs and return what it prints; end with that where it fails."""
    done = subprocess.run(command, cwd=REPOSITORY, text=True, check=False, capture_output=True,
                          env=dict(os.environ, ANSIBLE_CONFIG=str(REPOSITORY / "ansible.cfg"), ANSIBLE_NOCOLOR="1"))
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-i", "--inventory", required=True)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    inventory = str(Path(options.inventory).resolve())
    known = json.loads(run("ansible-inventory", "-i", inventory, "--list"))
    host = known["inference_hosts"]["hosts"][0]
    values = known["_meta"]["hostvars"][host]
    service = values["inference_services"][0]
    site = ["ansible-playbook", "-i", inventory, "site.yml", "--limit", host]
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder, "measured.jsonl")
        playbook = Path(folder, "turns.yml")
        playbook.write_text(json.dumps(turns(service["name"], values.get("nginx_listen_port") or 8080, options.runs,
                                             str(kept))), encoding="utf-8")
        try:
            run(*site, "-e", json.dumps({"inference_services": [service, NEIGHBOUR]}))
            run("ansible-playbook", "-i", inventory, str(playbook))
        finally:
            run(*site)
        measured = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
    print(f"{options.runs} turns; tokens per second, median (lowest-highest); failed requests")
    middle = {}
    for variant in VARIANTS:
        speeds = [one["tokens_per_second"] for name, one in measured if name == variant]
        failed = sum(one["errors"] for name, one in measured if name == variant)
        middle[variant] = statistics.median(speeds)
        print(f"  {variant:18}  {middle[variant]:6.2f} ({min(speeds):.2f}-{max(speeds):.2f}); {failed}")
    for name in ("untuned", "planned"):
        left = middle[f"{name}, neighbour"] / middle[f"{name}, alone"]
        print(f"  {name}: a neighbour leaves {left:.2f} of the speed")
    print(f"  beside a neighbour: planned / untuned = "
          f"{middle['planned, neighbour'] / middle['untuned, neighbour']:.2f}")


if __name__ == "__main__":
    main()
