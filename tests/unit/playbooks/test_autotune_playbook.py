"""playbooks/autotune.yml, run for real on this machine, with stand-ins for systemd and llama-bench."""

import hashlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from engines import open_folder

ROOT = Path(__file__).resolve().parents[3]
SYSTEMCTL = "#!/bin/sh\nexit 0\n"
SYSTEMD_RUN = '#!/bin/sh\nwhile [ "$1" != "--" ]; do shift; done\nshift\nexec "$@"\n'
LLAMA_BENCH = """#!/usr/bin/python3
import json, sys
if "--help" in sys.argv:
    sys.exit(0)
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
prompt, made, count = int(words["--n-prompt"]), int(words["--n-gen"]), int(words["--repetitions"])
speed = 10.0 if made else 1000.0 / int(words["--ubatch-size"])
print(json.dumps([{"build_number": 1, "n_prompt": prompt, "n_gen": made, "n_threads": 1, "n_batch": 1, "n_ubatch": 1,
                   "samples_ts": [speed] * count}]))
"""
SERVER = "#!/bin/sh\necho 'version: 11312 (abc)'\n"


class Controller:
    """A folder to work in, with an inventory of this machine and an engine that is made of scripts."""

    def __init__(self, folder):
        self.folder = folder
        key, value = b"general.architecture", b"llama"
        model = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", len(key)) + key + struct.pack(
            "<IQ", 8, len(value)) + value
        (folder / "m.gguf").write_bytes(model)
        sha256 = hashlib.sha256(model).hexdigest()
        (folder / "models/m" / sha256[:12]).mkdir(parents=True)
        (folder / "models/m" / sha256[:12] / "m.gguf").write_bytes(model)
        (folder / "bin").mkdir()
        for name, text in (("systemctl", SYSTEMCTL), ("systemd-run", SYSTEMD_RUN), ("llama-server", SERVER),
                           ("llama-bench", LLAMA_BENCH)):
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)
        service = {"name": "chat", "runtime": "llama_cpp", "threads": 1, "cache_ram_mib": 0, "model": {
            "name": "m", "source": str(folder / "m.gguf"), "sha256": sha256}}
        host = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable,
                "model_dir": str(folder / "models"), "runtime_llama_cpp_dir": str(folder / "engines"),
                "inference_services": [service], "autotune_noise_percent": 100, "autotune_prompt_tokens": 64}
        (folder / "hosts.json").write_text(json.dumps({"inference_hosts": {"hosts": {"here": host}}}))
        self.environment = dict(
            os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".collections"),
            ANSIBLE_LOCAL_TEMP=str(folder / "tmp"), ANSIBLE_NOCOLOR="1", LC_ALL="C.UTF-8",
            PATH="%s:%s" % (folder / "bin", os.environ["PATH"]))

    def play(self, *words, **variables):
        """Run the playbook; return its exit status and all that it said in one line."""
        command = [sys.executable, "-m", "ansible", "playbook", "-i", str(self.folder / "hosts.json"), *words,
                   str(ROOT / "playbooks/autotune.yml"), "-e", json.dumps(variables)]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode, " ".join(done.stdout.split())


@pytest.fixture(name="controller")
def controller_fixture():
    # Engines are asked as user nobody.
    with open_folder() as folder:
        yield Controller(folder)


def test_a_file_that_the_folder_would_hide_is_said(controller):
    (controller.folder / "host_vars").mkdir()
    (controller.folder / "host_vars/here.yml").write_text("a: 1\n")
    status, said = controller.play()
    beside = controller.folder / "host_vars/here"
    assert status == 2 and "here: %s.yml is a file, and Ansible does not read it any more" % beside in said
    assert "move it to %s/main.yml, or set autotune_output." % beside in said


def test_a_folder_of_several_hosts_is_said_before_anything_is_measured(controller):
    hosts = json.loads((controller.folder / "hosts.json").read_text())["inference_hosts"]["hosts"]
    (controller.folder / "hosts.json").write_text(json.dumps({"inference_hosts": {"hosts": dict(
        hosts, there=hosts["here"])}}))
    status, said = controller.play("--check", autotune_output="found")
    assert status == 2 and "here: autotune_output is found for here, there, and each would write" in said
    assert "such as FOLDER/{{ inventory_hostname }}." in said and "Read the host" not in said
    status, said = controller.play("--check", autotune_output="found/{{ inventory_hostname }}")
    assert "and each would write" not in said and said.count("chat 7 threads on 1 CPUs") == 2


def test_check_mode_says_what_it_would_search_and_measures_nothing(controller):
    status, said = controller.play("--check")
    # The engine is not installed here, which is the only thing that is missing.
    assert status == 2 and "llama-bench is not there, and without it nothing can be measured" in said
    assert "SERVICE POINTS WHAT chat 7 threads on 1 CPUs, batches; prompts of 64 tokens, 128 generated" in said
    assert "set by the user: smt, threads" in said
    assert not (controller.folder / "host_vars").exists()


def test_the_winner_is_written_into_the_hosts_variables(controller):
    # As role runtime says it, which the test sets for it.
    engine = {"llama_cpp": {"path": str(controller.folder / "bin/llama-server"), "version": "b1", "build": 1}}
    kept = controller.folder / "host_vars/here/autotune.yml"
    kept.parent.mkdir(parents=True)
    kept.write_text("---\ninference_measured:\n  other: {values: {}, for: {model: m, cores: 1}}\n")
    status, said = controller.play(runtime_engines=engine)
    assert status == 0, said
    assert "chat better" in said and "ubatch" in said
    found = yaml.safe_load(kept.read_text())["inference_measured"]
    assert set(found) == {"chat", "other"} and set(found["chat"]["values"]) <= {"ubatch", "batch"}
    assert kept.read_text().startswith("---\n# Written by playbooks/autotune.yml")
