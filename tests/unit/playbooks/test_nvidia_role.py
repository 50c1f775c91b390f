"""Role nvidia, run for real on this machine, with a folder in the place of its file system and stand-ins for programs.

No NVIDIA card is here: what the commands would do to one is not seen.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from ansible_collections.inference.host.plugins.module_utils.settings_nvidia import (
    OPTIONS_FILE,
    PERSISTENCE,
    START_FILE,
    UNIT_FILE,
    nvidia_rows,
)
from nvidia_host import STAND_IN
from nvidia_topologies import DAEMON, card, host
from plan_topologies import service
from rendered_units import SYSTEM_UNITS, SYSTEMD_ANALYZE, verify, write

ROOT = Path(__file__).resolve().parents[3]
DAEMON_UNIT = "nvidia-persistenced.service"
LIMITS = {"nvidia_power_limit_w": 120, "nvidia_clock_mhz": 1200}
PRETEND = """#!/usr/bin/python
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule({"name": {}, "state": {}}, supports_check_mode=True)
module.exit_json(changed=True, msg="pretends to install " + module.params["name"])
"""


class Lab:
    """A folder that stands for a host's file system, and the commands that were run there."""

    def __init__(self, folder):
        self.folder, self.root, self.log = folder, folder / "root", folder / "log"
        self.called = folder / "called"
        (self.root / "proc/sys/kernel/random").mkdir(parents=True)
        (self.root / "proc/sys/kernel/random/boot_id").write_text("1\n")
        self._program("commands/systemctl", f"""case "$1" in
            show) printf 'Id=%s\\nLoadState=loaded\\nActiveState=inactive\\n' "$2" ;;
            --version) echo systemd 252 ;;
            *) echo "systemctl $*" >> {self.log} ;;
        esac""")
        self._program("commands/ssh", f"touch {self.called}; exit 255")
        os.symlink(STAND_IN, folder / "commands/nvidia-smi")
        (folder / "library").mkdir()
        (folder / "library/pretend.py").write_text(PRETEND)
        answers = folder / "answers"
        answers.mkdir()
        (answers / "query-gpu").write_text("index, pci.bus_id, uuid, mig.mode.current, mig.mode.pending\n"
                                           "0, 00000000:65:00.0, GPU-1, Disabled, Disabled\n")
        (answers / "query-compute-apps").write_text("GPU-1, 4711\n")
        self.environment = dict(
            os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".collections"),
            ANSIBLE_LOCAL_TEMP=str(folder / "tmp"), ANSIBLE_REMOTE_TEMP=str(folder / "tmp"), ANSIBLE_NOCOLOR="1",
            ANSIBLE_SSH_EXECUTABLE=str(folder / "commands/ssh"), LC_ALL="C.UTF-8",
            PATH=f"{folder}/commands:{os.environ['PATH']}", NVIDIA_SMI_ANSWERS=str(answers),
            NVIDIA_SMI_LOG=str(self.log))

    def _program(self, path, script):
        program = self.folder / path
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\n" + script + "\n")
        program.chmod(0o755)

    def play(self, roles, *words, inventory="localhost,", **variables):
        """Run the roles; return the exit status and all that was said, in one line."""
        plays = {"hosts": "all", "gather_facts": False, "roles": roles,
                 "module_defaults": {"inference.host.tunables": {"root": str(self.root)}}}
        variables = dict({"ansible_package_use": "ansible.legacy.pretend"}, **variables)
        if inventory == "localhost,":
            variables.update(ansible_connection="local", ansible_python_interpreter=sys.executable)
        (self.folder / "play.json").write_text(json.dumps([plays]))
        (self.folder / "vars.json").write_text(json.dumps(variables))
        command = [sys.executable, "-m", "ansible", "playbook", "-i", inventory, *words,
                   "-e", f"@{self.folder}/vars.json", str(self.folder / "play.json")]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode, " ".join(done.stdout.split())

    def converge(self, machine, *words, inventory="localhost,", **wishes):
        plan = make_plan(machine, [service()], {"settings": wishes})
        return self.play(["inference.host.nvidia", "inference.host.reboot"], *words, inventory=inventory,
                         inference_topology=machine, inference_plan=plan, **wishes)

    def files(self):
        return sorted("/" + str(path.relative_to(self.root)) for path in (self.root / "etc").rglob("*")
                      if path.is_file())

    def commands(self):
        """The commands since the last time."""
        said = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return said


@pytest.fixture(name="lab")
def lab_fixture(tmp_path):
    return Lab(tmp_path)


@pytest.mark.parametrize("wishes", [{}, dict(LIMITS, nvidia_mig=True, nvidia_driver_package="nvidia-driver")])
def test_a_host_without_a_card_is_not_asked_for_anything(lab, wishes):
    status, said = lab.converge(host([]), inventory="192.0.2.99,", **wishes)
    assert (status, lab.called.exists()) == (0, False), said
    assert "not applicable: no NVIDIA card on PCI" in said and "changed=0" in said


def test_settings_are_applied_once_foretold_before_and_given_back(lab):
    machine = host()
    status, said = lab.converge(machine, "--check", "--diff", **LIMITS)
    assert status == 0 and "changed=1" in said and "+ExecStart=nvidia-smi -i 0000:65:00.0 -pl 120" in said, said
    assert lab.files() == [] and lab.commands() == []

    status, said = lab.converge(machine, **LIMITS)
    assert status == 0 and "changed=1" in said, said
    assert lab.files() == sorted([UNIT_FILE, START_FILE, PERSISTENCE])
    assert lab.commands() == [
        "systemctl stop inference-nvidia[.]service", "systemctl daemon-reload",
        "systemctl try-restart nvidia-persistenced[.]service"]
    unit = (lab.root / UNIT_FILE.lstrip("/")).read_text()

    status, said = lab.converge(machine, **LIMITS)
    assert status == 0 and "changed=0" in said and lab.commands() == [], said

    # What is taken out of the inventory goes, and with it what the unit did.
    status, said = lab.converge(machine)
    assert status == 0 and "changed=1" in said and lab.files() == [PERSISTENCE], said
    assert lab.commands()[:2] == ["systemctl stop inference-nvidia[.]service", "systemctl daemon-reload"]

    copies = lab.root / "p2p.json"
    copies.write_text("{}")
    status, said = lab.play(["inference.host.restore"], restore_role="nvidia", __restore_copies=str(copies))
    assert not copies.exists()
    assert status == 0 and "all is back" in said and lab.files() == [], said
    assert lab.commands() == ["systemctl daemon-reload", "systemctl try-restart nvidia-persistenced[.]service"]
    check_commands(lab, unit)


def test_a_restore_stops_the_unit_while_systemd_knows_its_commands(lab):
    status, said = lab.converge(host(), **LIMITS)
    assert status == 0, said
    lab.commands()
    status, said = lab.play(["inference.host.restore"], restore_role="nvidia", __restore_copies=str(lab.root / "none"))
    assert status == 0 and lab.files() == [], said
    assert lab.commands() == [
        "systemctl stop inference-nvidia[.]service", "systemctl daemon-reload",
        "systemctl try-restart nvidia-persistenced[.]service"]


@pytest.mark.skipif(not SYSTEMD_ANALYZE, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit_and_the_drop_ins(tmp_path):
    for row in nvidia_rows(host(), LIMITS, None):
        write(tmp_path, row["path"], row["value"])
    shutil.copytree(SYSTEM_UNITS, f"{tmp_path}{SYSTEM_UNITS}", symlinks=True, dirs_exist_ok=True)
    write(tmp_path, f"{SYSTEM_UNITS}/{DAEMON_UNIT}", f"[Service]\nType=forking\nExecStart={DAEMON}\n")
    for program in ("/usr/bin/nvidia-persistenced", "/usr/bin/nvidia-smi"):
        write(tmp_path, program, "#!/bin/sh\n").chmod(0o755)
    for unit in ("inference-nvidia.service", DAEMON_UNIT):
        assert verify(tmp_path, unit) == ""


def check_commands(lab, unit):
    """Run the unit's commands with the stand-in: each is one that a program takes, and the last put back the first."""
    for line in unit.splitlines():
        if line.startswith(("ExecStart=", "ExecStopPost=-")):
            command = line.partition("=")[2].lstrip("-").split()
            subprocess.run(command, env=lab.environment, check=True, stdout=subprocess.DEVNULL)
    assert lab.commands() == [
        "-i 0000:65:00.0 -pl 120", "-i 0000:65:00.0 -lgc 1200,1200", "-i 0000:65:00.0 -pl 150", "-i 0000:65:00.0 -rgc"]


def test_module_options_wait_for_a_reboot(lab):
    status, said = lab.converge(host(), nvidia_persistence=False, nvidia_module_options={"NVreg_EnableMSI": 1})
    assert status == 0 and lab.files() == [OPTIONS_FILE], said
    assert "was changed: the module nvidia takes its options when it is loaded" in said
    assert "is not rebooted, since reboot_allowed is false" in said


@pytest.mark.parametrize(("told", "wishes", "started"), [
    ({"persistence": False}, {}, True), ({"persistence": None}, {}, False), (None, {}, False),
    ({"persistence": False}, {"nvidia_persistence": False}, False)])
def test_the_daemon_is_started_where_a_card_is_without(lab, told, wishes, started):
    status, said = lab.converge(host([card(told=told), card("0000:b3:00.0")]), **wishes)
    assert status == 0, said
    assert ("systemctl start nvidia-persistenced.service" in lab.commands()) is started


def test_a_card_in_use_keeps_its_mig_mode_and_the_run_stops(lab):
    status, said = lab.converge(host(), nvidia_mig=True)
    assert status != 0 and "1 process uses 0000:65:00.0; stop the services that have it, and run again." in said
    assert not [command for command in lab.commands() if "-mig" in command]


def test_a_card_with_the_wished_mig_mode_is_left_alone(lab):
    status, said = lab.converge(host(), nvidia_mig=False, nvidia_persistence=False)
    assert status == 0 and "changed=0" in said, said


def test_a_driver_package_is_installed_on_request_and_asks_for_a_reboot(lab):
    machine = host([card(told=None, driver=None)], driver_version=None, persistenced=None, persistenced_command=None)
    status, said = lab.converge(
        machine, nvidia_driver_package="nvidia-driver", nvidia_mig=True, nvidia_peermem=True, **LIMITS)
    assert status == 0 and "Package nvidia-driver was installed: its modules take the place of those" in said, said
    # What needs the driver waits for the next run.
    assert "the NVIDIA driver is not loaded" in said and lab.files() == lab.commands() == []


@pytest.mark.parametrize(("wish", "value"), [("nvidia_power_limit_w", "much"), ("nvidia_mig", "perhaps")])
def test_wrong_variables_are_refused_before_anything_is_done(lab, wish, value):
    plan = make_plan(host(), [service()])
    status, said = lab.play(["inference.host.nvidia"], inference_topology=host(), inference_plan=plan, **{wish: value})
    assert status != 0 and wish in said and lab.files() == []
