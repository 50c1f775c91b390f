"""verify finds what was changed by hand and names it; restore gives the host back. The last file: it takes all away."""

import json
import os
import signal
from xml.etree import ElementTree

import pytest

UNIT = "/etc/systemd/system/inference-chat@.service"
NGINX = "/etc/nginx/nginx.conf"
ABSENT_HOST = {"inference_hosts": {"hosts": {"gone": {
    "ansible_host": "127.0.0.77", "ansible_port": 9, "ansible_ssh_common_args": ""}}}}


@pytest.fixture
def verify(play, tmp_path):
    """Run verify.yml; return its exit status, what it said, and the problems as {setting: row} from verify.json."""

    def run(*arguments, **variables):
        result = play("playbooks/verify.yml", *arguments, output=str(tmp_path), **variables)
        report = json.loads((tmp_path / "verify.json").read_text())
        rows = [row for host in report["hosts"] for row in host["rows"]]
        problems = {row["setting"]: row for row in rows if row["status"] not in ("ok", "not_applicable")}
        failures = ElementTree.parse(tmp_path / "verify.xml").findall(".//failure") + ElementTree.parse(
            tmp_path / "verify.xml").findall(".//error")
        assert len(failures) == len(problems)
        return result.returncode, result.stdout, problems

    return run


@pytest.fixture
def repaired(play, verify):
    """After the test the site is made again, and is found as planned."""
    yield
    again = play("site.yml")
    assert again.returncode == 0, again.stdout
    status, said, problems = verify()
    assert (status, problems) == (0, {}), said


def picture(host):
    """Everything on the host that a run could change."""
    return host.check_output(
        "find /etc /opt/inference /var/lib/inference /var/lib/inference.host /usr/local -printf '%p %T@ %s\\n' | sort;"
        " systemctl show --property=MainPID 'inference-*' nginx")


def test_a_host_that_was_just_made_is_as_planned_and_stays_untouched(verify, host, key):
    before = picture(host)
    status, said, problems = verify("-v", show="all")
    assert (status, problems) == (0, {}), said
    assert "as planned: the host" in said and "changed=0 " in said and "inference-chat@1.service CPUs" in said
    assert key not in said
    assert picture(host) == before


def test_changes_by_hand_are_named_and_fail(verify, repaired, host, key):
    host.check_output(f"sed -i s/Restart=on-failure/Restart=no/ {UNIT}")
    host.check_output(f"sed -i '1i # {key}' {NGINX}")
    host.check_output("systemctl disable inference-chat@1.service")
    host.check_output("systemctl stop inference-chat@0.service")
    status, said, problems = verify()
    assert status != 0 and "changed=0 " in said and key not in said
    assert set(problems) == {UNIT, NGINX, "inference-chat@0.service", "inference-chat@1.service"}
    assert (problems[UNIT]["wanted"].split()[-1], problems[UNIT]["found"].split()[-1]) == (
        "Restart=on-failure", "Restart=no")
    assert problems["inference-chat@0.service"]["found"] == "inactive"
    assert problems["inference-chat@1.service"]["persisted"] == "no"
    # Masked by the module already.
    assert problems[NGINX]["found"] == "line 1: # ********" and key not in json.dumps(problems)


def test_a_process_on_other_cpus_is_named(verify, units, host):
    wanted, other = (unit.status("Cpus_allowed_list") for unit in units)
    host.check_output(f"taskset --pid --cpu-list {other} {units[0].pid}")
    status, said, problems = verify()
    host.check_output(f"systemctl restart {units[0].name}")
    assert status != 0, said
    assert {name: (row["wanted"], row["found"]) for name, row in problems.items()} == {
        f"{units[0].name} CPUs": (wanted, other)}


def test_a_host_that_does_not_answer_is_named_and_the_others_are_read(verify, tmp_path):
    (tmp_path / "absent.json").write_text(json.dumps(ABSENT_HOST))
    status, said, problems = verify("-i", str(tmp_path / "absent.json"))
    assert status != 0 and "not as planned: 1 of 2 hosts (gone)" in said
    assert [(row["host"], row["status"]) for row in problems.values()] == [("gone", "unreachable")]


def instances(host):
    return host.check_output("systemctl list-units --all --plain --no-legend 'inference-*.service'").strip()


def is_given_back(host):
    """Nothing of the site is left but models, engine and packages; nginx is as Debian's package brought it."""
    assert instances(host) == ""
    assert host.check_output("find /etc /usr/local -name '*inference*' | grep -v /etc/ssl || true") == ""
    assert host.run(f"dpkg --verify nginx-common | grep {NGINX}").stdout == ""
    assert host.run("systemctl is-active nginx").stdout.strip() == "inactive"
    assert host.run("systemctl is-enabled nginx").stdout.strip() == "disabled"
    assert host.file("/etc/nginx/sites-enabled/default").exists
    return True


def test_one_role_goes_back_alone_and_what_others_changed_is_said(play, repaired, host):
    host.check_output(f"sed -i '1i # by another tool' {NGINX}")
    restored = play("playbooks/restore.yml", role="nginx")
    assert restored.returncode == 0, restored.stdout
    assert "neither the first-seen file nor as written here" in " ".join(restored.stdout.split())
    assert "1 of these had been changed by another tool since" in restored.stdout
    assert host.run(f"dpkg --verify nginx-common | grep {NGINX}").stdout == ""
    assert "inference-chat@0.service" in instances(host)


@pytest.mark.parametrize("task", [
    "inference.host.restore : Put values and files back",
    "inference.host.restore : Forget how nginx was",
])
def test_a_killed_restore_is_repeated(play, start, repaired, host, task):
    with start("playbooks/restore.yml") as process:
        seen = any(task in line for line in process.stdout)
        os.killpg(process.pid, signal.SIGKILL)
    assert seen, f"the run did not come to {task}"
    repeated = play("playbooks/restore.yml")
    assert repeated.returncode == 0 and "all is back" in repeated.stdout, repeated.stdout
    assert is_given_back(host)


def test_the_whole_host_goes_back_once_and_keeps_what_took_long(play, verify, repaired, host):
    restored = play("playbooks/restore.yml")
    assert restored.returncode == 0 and "all is back" in restored.stdout, restored.stdout
    assert is_given_back(host)
    assert host.run("ls /var/lib/inference/models/*/current/*.gguf /opt/inference/llama.cpp/*/bin/llama-server").rc == 0
    again = play("playbooks/restore.yml")
    assert again.returncode == 0 and "changed=0 " in again.stdout, again.stdout
    status, said, problems = verify()
    assert status != 0 and {UNIT, NGINX, "inference-chat@0.service"} <= set(problems), said


def test_a_purge_also_takes_models_and_engines(play, repaired, host):
    host.check_output("touch /var/lib/inference/models/not-ours")
    restored = play("playbooks/restore.yml", purge=True)
    assert restored.returncode == 0, restored.stdout
    assert host.check_output("find /var/lib/inference /opt/inference -type f") == "/var/lib/inference/models/not-ours"
    host.check_output("rm /var/lib/inference/models/not-ours")
