"""What a run of the five kernel roles with nothing to change costs, beside Ansible's own ways on the same host.

    python tests/benchmarks/roles.py -i inventories/machine [--runs 5]

Run it where playbooks/tune.yml was applied before. Measured in turn, so that a busy moment falls on all: `setup`, the
five roles, and the same settings as a loop of ansible.posix.sysctl and ansible.builtin.copy tasks (PyPI's package
`ansible` has the collection; without it that column is left out). Prints medians with the fastest and slowest run, the
ratios, and the remote calls of each, which are exact: `SSH: EXEC` lines of a run with -vvv.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

ROLES = """
- hosts: inference_hosts
  gather_facts: false
  become: true
  tasks:
    - ansible.builtin.set_fact:
        inference_plan: {settings: "{{ lookup('ansible.builtin.file', plan_file) | from_json }}"}
    - {ansible.builtin.import_role: {name: inference.host.cpu}}
    - {ansible.builtin.import_role: {name: inference.host.hugepages}}
    - {ansible.builtin.import_role: {name: inference.host.memory}}
    - {ansible.builtin.import_role: {name: inference.host.nvme}}
    - {ansible.builtin.import_role: {name: inference.host.network}}
"""

LOOPS = """
- hosts: inference_hosts
  gather_facts: false
  become: true
  tasks:
    - ansible.posix.sysctl:
        {name: "{{ item.name }}", value: "{{ item.value }}", sysctl_file: /etc/sysctl.d/99-loop.conf}
      loop: "{{ lookup('ansible.builtin.file', plan_file) | from_json | selectattr('kind', 'equalto', 'sysctl') }}"
      loop_control: {label: "{{ item.name }}"}
    - ansible.builtin.copy: {content: "{{ item.value }}", dest: "/var/tmp/loop-{{ item.name | replace('/', '-') }}"}
      loop: "{{ lookup('ansible.builtin.file', plan_file) | from_json | rejectattr('kind', 'equalto', 'sysctl') }}"
      loop_control: {label: "{{ item.name }}"}
"""


def run(command, folder, verbose=False):
    """Return (seconds, remote calls) of one of Ansible's programs; calls only count with `verbose`."""
    # As a user's shell has it: without byte code each start compiles Ansible anew.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment.update(ANSIBLE_CONFIG=str(REPOSITORY / "ansible.cfg"), ANSIBLE_NOCOLOR="1")
    started = time.perf_counter()
    done = subprocess.run([*command, "-vvv"] if verbose else command, cwd=folder, env=environment, capture_output=True,
                          text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return seconds, done.stdout.count("SSH: EXEC")


def plan_of(inventory, folder):
    """Write the settings of the first host's plan to a file and return it and their number."""
    run(["ansible-playbook", "-i", inventory, str(REPOSITORY / "playbooks/plan.yml"), "-e", f"output={folder}/plans"],
        REPOSITORY)
    plan = next(Path(folder, "plans").glob("*/plan.json"))
    settings = json.loads(plan.read_text(encoding="utf-8"))["settings"]
    target = Path(folder, "settings.json")
    target.write_text(json.dumps(settings), encoding="utf-8")
    return target, len(settings)


def candidates(inventory, folder, plan_file):
    """Return {what: command}."""
    found = {"setup": ["ansible", "-i", inventory, "inference_hosts", "-m", "ansible.builtin.setup"]}
    for name, text in (("roles", ROLES), ("loops", LOOPS)):
        playbook = Path(folder, name + ".yml")
        playbook.write_text("---" + text, encoding="utf-8")
        found[name] = ["ansible-playbook", "-i", inventory, str(playbook), "-e", f"plan_file={plan_file}"]
    listed = subprocess.run(["ansible-doc", "-t", "module", "-l", "ansible.posix"], capture_output=True, text=True,
                            check=False, env=dict(os.environ, ANSIBLE_CONFIG=str(REPOSITORY / "ansible.cfg")))
    if "ansible.posix.sysctl" not in listed.stdout:
        print("ansible.posix is not here: the loop of its tasks is not run")
        del found["loops"]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-i", "--inventory", required=True)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    inventory = str(Path(options.inventory).resolve())
    with tempfile.TemporaryDirectory() as folder:
        plan_file, count = plan_of(inventory, folder)
        commands = candidates(inventory, folder, plan_file)
        calls = {name: run(command, REPOSITORY, verbose=True)[1] for name, command in commands.items()}
        times = {name: [] for name in commands}
        for _number in range(options.runs):
            for name, command in commands.items():
                times[name].append(run(command, REPOSITORY)[0])
    print(f"{count} settings, {options.runs} runs each")
    print("          calls   median      min      max")
    middle = {name: statistics.median(seconds) for name, seconds in times.items()}
    for name, seconds in times.items():
        print(f"  {name:6}  {calls[name]:5}  {middle[name]:6.2f} s  {min(seconds):6.2f} s  {max(seconds):6.2f} s")
    for other in middle:
        if other != "roles":
            print(f"  roles take {middle['roles'] / middle[other]:.2f} x the time of {other}")


if __name__ == "__main__":
    main()
