"""The files that role service writes: rendered by Ansible from plans, and laid out in a folder for systemd to read."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SYSTEMD_ANALYZE = shutil.which("systemd-analyze")
SYSTEM_UNITS = Path("/usr/lib/systemd/system")
MODELS = "/var/lib/inference/models"
ENGINES = {
    "llama_cpp": {"path": "/opt/inference/llama-server", "options": []},
    "vllm": {"path": "/opt/inference/vllm", "options": []},
    "whisper": {"path": "/opt/inference/whisper-server", "options": []},
    "container": {"path": "/usr/bin/podman", "options": []},
}
PROGRAM = re.compile(r"^Exec\w+=[-+]*(/\S+)(.*)$", re.MULTILINE)
PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: inference.host.service
        tasks_from: render
    - ansible.builtin.copy:
        content: "{{ service_rendered | to_json }}"
        dest: "{{ playbook_dir }}/{{ inventory_hostname }}.json"
        mode: "0644"
"""


def render(folder, plans, **variables):
    """Return {name: service_rendered} of {name: plan}; `variables` are the roles'. One run of Ansible for all."""
    common = dict({"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "model_dir": MODELS,
                   "runtime_engines": ENGINES}, **variables)
    hosts = {name: {"inference_plan": plan} for name, plan in plans.items()}
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts, "vars": common}}), encoding="utf-8")
    (folder / "render.yml").write_text(PLAYBOOK, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-i", "hosts.json", "render.yml"], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, env=dict(
            os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".collections"),
            ANSIBLE_LOCAL_TEMP=str(folder / "tmp"), ANSIBLE_NOCOLOR="1", LC_ALL="C.UTF-8"))
    assert done.returncode == 0, done.stdout
    return {name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in plans}


def files_of(rendered):
    """Return {path: content} of all files."""
    parts = [rendered["shared"], *rendered["services"].values(), *rendered["instances"].values()]
    return {file["path"]: file["content"] for part in parts for file in part}


def lay_out(root, rendered):
    """Write the files below `root`, with systemd's own units and a stand-in for each program that they start."""
    files = files_of(rendered)
    for path, content in files.items():
        write(root, path, content)
    for content in files.values():
        for program, words in PROGRAM.findall(content):
            # A prefix starts another one.
            named = [program] + [word for word in words.split() if word.startswith("/opt/")][:1]
            for path in named:
                write(root, path, "#!/bin/sh\n").chmod(0o755)
    shutil.copytree(SYSTEM_UNITS, f"{root}{SYSTEM_UNITS}", symlinks=True, dirs_exist_ok=True)
    write(root, f"{SYSTEM_UNITS}/docker.service", "[Service]\nExecStart=/bin/sh\n")
    write(root, "/bin/sh", "").chmod(0o755)


def write(root, path, content):
    place = Path(f"{root}{path}")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(content, encoding="utf-8")
    return place


def analyze(*words):
    """Return (exit status, all that systemd-analyze said)."""
    done = subprocess.run([SYSTEMD_ANALYZE, *words], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False, env=dict(os.environ, LC_ALL="C.UTF-8", SYSTEMD_COLORS="0"))
    return done.returncode, done.stdout.strip()


def verify(root, unit):
    """Return what systemd finds wrong with a unit; "" for nothing."""
    status, said = analyze("verify", "--root", str(root), unit)
    return said or ("status %d" % status if status else "")


def exposure(root, unit):
    """Return systemd's measure of how much a unit could do: 0.0 for nothing to 10.0 for everything."""
    said = analyze("security", "--offline=true", "--no-pager", "--root", str(root), unit)[1]
    return float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", said).group(1))


def section(text, name):
    """Return the (key, value) pairs of a section of a unit file, in their order."""
    pairs, inside = [], False
    for line in text.splitlines():
        if line.startswith("["):
            inside = line == f"[{name}]"
        elif inside and "=" in line and not line.startswith("#"):
            key, _equals, value = line.partition("=")
            pairs.append((key, value))
    return pairs
