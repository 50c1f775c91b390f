"""What the tests ask the machine and the controller; testinfra gives `host`. Each question to the machine takes
seconds in software emulation, so that few are asked, and long ones.

The files are one story, in the order of their names: the machine as molecule has converged it, after a reboot, given
back, and at its end as the lab made it.
"""

import json
import os
import subprocess
from pathlib import Path
from subprocess import PIPE, STDOUT

import pytest

REPO = Path(__file__).resolve().parents[3]
MACHINE = REPO / "molecule/lab/machine"
BEFORE = Path(os.environ["INFERENCE_LAB_STATE"]) / os.environ["INFERENCE_LAB_ID"] / "machine/before"
INVENTORY = ["-i", str(REPO / "inventories/machine")]
# As a user's shell has it: Molecule's settings would give the answer as YAML, and in colours.
# Where skipped hosts are not shown, a task's name comes after what was done for it.
PLAIN = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1",
         "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "1"}

PAGES = "/sys/devices/system/node/node*/hugepages/hugepages-2048kB/nr_hugepages"
QUESTION = rf"""
cat /sys/devices/system/cpu/cpufreq/policy*/scaling_governor | sort | uniq --count
cat /sys/devices/system/cpu/cpufreq/policy*/scaling_min_freq | sort | uniq --count
cat {PAGES}
cat /sys/kernel/mm/transparent_hugepage/enabled
grep --no-filename '' /sys/block/nvme0n1/queue/{{scheduler,nr_requests,read_ahead_kb}}
sysctl vm.swappiness kernel.numa_balancing vm.zone_reclaim_mode net.core.somaxconn
sysctl net.ipv4.tcp_slow_start_after_idle net.ipv4.tcp_wmem
sed --quiet '2,$s/ .*//p' /proc/swaps
findmnt --noheadings --output=OPTIONS /srv
cat /proc/irq/default_smp_affinity
tr '\0' '\n' </proc/$(systemctl show --property=MainPID --value irqbalance)/environ | grep BANNED
systemctl show --property=DefaultLimitNOFILE
"""
WISHED = [
    "8 performance",
    "8 2000000",
    "32", "32",
    "always [madvise] never",
    "[mq-deadline] none", "64", "512",
    "vm.swappiness = 10", "kernel.numa_balancing = 0", "vm.zone_reclaim_mode = 1", "net.core.somaxconn = 8192",
    "net.ipv4.tcp_slow_start_after_idle = 0", "net.ipv4.tcp_wmem = 4096 16384 8388608",
    "/swapfile",
    "rw,noatime",
    "03",
    "IRQBALANCE_BANNED_CPULIST=2-7",
    "DefaultLimitNOFILE=100000",
]


@pytest.fixture
def is_as_wished(host):
    """Compare what the kernel and systemd say with what inventories/machine wishes."""

    def run():
        # testinfra's shell is sh, which has no braces.
        said = host.check_output("bash -c %s", QUESTION)
        assert [" ".join(line.split()) for line in said.splitlines()] == WISHED
        return True

    return run


@pytest.fixture
def is_at_its_node(host):
    """Compare where the service runs, and where its memory lies, with what the kernel says of its process."""

    def run():
        pid = host.check_output("systemctl show --property=MainPID --value inference-chat@0.service")
        said = host.check_output(f"grep _allowed_list /proc/{pid}/status; cat /proc/{pid}/numa_maps")
        words = said.split()
        assert words[:4] == ["Cpus_allowed_list:", "4,6", "Mems_allowed_list:", "1"]
        own = [line.split() for line in said.splitlines()[2:] if "anon=" in line and "file=" not in line]
        assert {line[1] for line in own} == {"bind:1"}
        pages = {node: sum(int(word[3:]) for line in own for word in line if word.startswith(node + "="))
                 for node in ("N0", "N1")}
        assert pages["N0"] == 0 and pages["N1"] * 4096 >= 64 << 20
        return True

    return run


@pytest.fixture(scope="session")
def ask():
    """Run a module on the machine as Ansible does and return its answer."""

    def run(module, **arguments):
        given = ["-a", json.dumps(arguments)] if arguments else []
        command = ["ansible", *INVENTORY, "machine1", "-m", module, *given]
        done = subprocess.run(command, cwd=REPO, env=PLAIN, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.partition("=> ")[2])

    return run


@pytest.fixture(scope="session")
def play():
    """Run a playbook of the checkout as a user would and return all that it said."""

    def run(playbook, *arguments):
        command = ["ansible-playbook", *INVENTORY, playbook, *arguments]
        done = subprocess.run(command, cwd=REPO, env=PLAIN, stdout=PIPE, stderr=STDOUT, text=True, check=False)
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run


@pytest.fixture(scope="session")
def verify(tmp_path_factory):
    """Compare the kernel settings with the plan as a user would; return the exit status and the rows by setting."""

    def run():
        folder = tmp_path_factory.mktemp("verify")
        command = ["ansible-playbook", *INVENTORY, "playbooks/verify.yml", "-e", "scope=settings", "-e", "show=all",
                   "-e", f"output={folder}"]
        done = subprocess.run(command, cwd=REPO, env=PLAIN, stdout=PIPE, stderr=STDOUT, text=True, check=False)
        report = json.loads((folder / "verify.json").read_text())
        return done.returncode, {row["setting"]: row for row in report["hosts"][0]["rows"]}

    return run


@pytest.fixture(scope="session")
def reboot():
    """Restart the machine and wait until it has settled."""

    def run():
        done = subprocess.run([str(MACHINE), "reboot"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "failed units" not in done.stderr + done.stdout, done.stderr + done.stdout

    return run


@pytest.fixture
def read(host):
    """Texts of files by path, without spaces at the end, all in one question; a glob stands for what it matches."""

    def run(*paths):
        lines = host.check_output("grep --no-messages --recursive '' " + " ".join(paths))
        texts = {}
        for line in lines.splitlines():
            path, _colon, text = line.rstrip().partition(":")
            texts[path] = f"{texts[path]}\n{text}" if path in texts else text
        return texts

    return run


@pytest.fixture
def differences():
    """Lines that differ between the machine now and before the first run, which scenario's prepare.yml has kept."""

    def run():
        script = (REPO / "molecule/machine/snapshot").read_text()
        done = subprocess.run(
            [str(MACHINE), "ssh", "sudo sh -s"], input=script, capture_output=True, text=True, check=False)
        before, now = BEFORE.read_text().splitlines(), done.stdout.splitlines()
        assert len(before) > 500 and len(now) > 500, done.stderr
        gone, new = set(before) - set(now), set(now) - set(before)
        return sorted(["- " + line.strip() for line in gone] + ["+ " + line.strip() for line in new])

    return run
