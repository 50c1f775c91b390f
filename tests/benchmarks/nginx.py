"""What a run of role nginx with nothing to change costs, beside `setup` on the same host.

    python tests/benchmarks/nginx.py -i inventories/lab [--runs 5]

Run it where site.yml was applied before. Measured in turn, so that a busy moment falls on both. Prints medians with the
fastest and slowest run, the ratio, and the remote calls of each, which are exact.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from roles import REPOSITORY, run

ROLE = """
- hosts: inference_hosts
  gather_facts: false
  become: true
  tasks:
    - ansible.builtin.set_fact:
        inference_plan: "{{ lookup('ansible.builtin.file', plans ~ inventory_hostname ~ '/plan.json') | from_json }}"
    - {ansible.builtin.import_role: {name: inference.host.nginx}}
    - ansible.builtin.assert: {that: __nginx_answer is not changed}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-i", "--inventory", required=True)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    inventory = str(Path(options.inventory).resolve())
    with tempfile.TemporaryDirectory() as folder:
        playbook = Path(folder, "role.yml")
        playbook.write_text("---" + ROLE, encoding="utf-8")
        run(["ansible-playbook", "-i", inventory, str(REPOSITORY / "playbooks/plan.yml"), "-e", f"output={folder}"],
            REPOSITORY)
        commands = {
            "setup": ["ansible", "-i", inventory, "inference_hosts", "-m", "ansible.builtin.setup"],
            "nginx": ["ansible-playbook", "-i", inventory, str(playbook), "-e", f"plans={folder}/"],
        }
        calls = {name: run(command, REPOSITORY, verbose=True)[1] for name, command in commands.items()}
        times = {name: [] for name in commands}
        for _number in range(options.runs):
            for name, command in commands.items():
                times[name].append(run(command, REPOSITORY)[0])
    print("         calls   median      min      max")
    middle = {name: statistics.median(seconds) for name, seconds in times.items()}
    for name, seconds in times.items():
        print(f"  {name:5}  {calls[name]:5}  {middle[name]:6.2f} s  {min(seconds):6.2f} s  {max(seconds):6.2f} s")
    print(f"  the role takes {middle['nginx'] / middle['setup']:.2f} x the time of setup")


if __name__ == "__main__":
    sys.exit(main())
