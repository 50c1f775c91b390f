"""playbooks/report.yml, run for real: it reads folders, writes one file, and connects to no host.

`ssh` is a program that fails, and that leaves a mark when it is asked.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.verify_report import verify_report
from report_fleets import benchmark, large_host, metric, rows_of, run
from report_fleets import file as written
from report_pages import Page

ROOT = Path(__file__).resolve().parents[3]
INVENTORY = {"inference_hosts": {"hosts": {"gpu1": {"ansible_host": "192.0.2.99"}, "gpu9": {}}}}


@pytest.fixture(name="play")
def play_fixture(tmp_path):
    """Run the playbook in a folder of its own; return its exit status and what it said in one line."""
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\ntouch %s/asked\nexit 255\n" % tmp_path, encoding="utf-8")
    ssh.chmod(0o755)
    (tmp_path / "hosts.json").write_text(json.dumps(INVENTORY), encoding="utf-8")
    environment = dict(
        os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".collections"),
        ANSIBLE_LOCAL_TEMP=str(tmp_path / "tmp"), ANSIBLE_NOCOLOR="1", ANSIBLE_SSH_EXECUTABLE=str(ssh),
        LC_ALL="C.UTF-8")

    def play(*words, **variables):
        command = [sys.executable, "-m", "ansible", "playbook", "-i", "hosts.json", *words, "-e",
                   json.dumps(variables),
                   str(ROOT / "playbooks/report.yml")]
        done = subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        assert not (tmp_path / "asked").exists()
        return done.returncode, " ".join(done.stdout.split())

    return play


@pytest.fixture(name="folder")
def folder_fixture(tmp_path):
    """What plan.yml, verify.yml and benchmark.yml leave."""
    _host, plan = large_host(1)
    # Texts of files are never templates.
    plan["warnings"].append("{{ 6 * 7 }}")
    bench = benchmark("before", run(tokens_per_second=metric(40)))
    report = verify_report(rows_of("gpu1", plan, 4))
    for path, value in (("plans/gpu1/plan.json", plan), ("reports/verify.json", report),
                        ("benchmarks/gpu1/before.json", bench)):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(written(value)["text"], encoding="utf-8")
    return tmp_path


def test_the_report_is_written_once(play, folder):
    status, said = play("--check")
    assert status == 0 and "Check mode: the report would be written to" in said
    assert not (folder / "reports/report.html").exists()
    status, said = play(title="{{ 'My' }} fleet")
    assert status == 0 and "The report is %s/reports/report.html" % folder in said and "changed=1" in said
    page = Page((folder / "reports/report.html").read_text(encoding="utf-8"))
    assert page.texts("h1") == ["My fleet"]
    hosts = [link["text"] for link in page.all("a") if link["path"][-1] == "th"]
    assert hosts == ["gpu9", "gpu1"] and page.texts("span", "badge")[:2] == ["No plan", "As planned"]
    assert "40 tokens/s" in " ".join(page.texts("td")) and "performance" in page.texts("td")
    assert [text for text in page.texts("li") if text.endswith("{{ 6 * 7 }}")]
    (folder / "reports").chmod(0o700)
    status, said = play(title="My fleet")
    assert status == 0 and "changed=0" in said and (folder / "reports").stat().st_mode & 0o777 == 0o700


def test_folders_and_file_can_be_elsewhere_and_nothing_is_no_failure(play, folder):
    status, _said = play("-D", output="out/of/here.html", plans="none", reports="none", benchmarks="none")
    assert status == 0
    page = Page((folder / "out/of/here.html").read_text(encoding="utf-8"))
    assert page.texts("span", "badge")[:2] == ["No plan", "No plan"]
    assert [path.name for path in (folder / "out/of").iterdir()] == ["here.html"]


def test_a_folder_as_output_and_a_file_as_folder_are_refused_in_a_sentence(play, folder):
    status, said = play(output="plans")
    assert status == 2 and "report_output is 'plans', a folder; it must be the path of a file." in said
    status, said = play(benchmarks="hosts.json")
    assert status == 2 and "%s/hosts.json cannot be read: Not a directory" % folder in said
