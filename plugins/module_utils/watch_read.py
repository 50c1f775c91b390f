# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the host back for the watch: what playbooks/verify.yml asks by modules in check mode, by what those call.

A part that cannot be read is None, and a sentence says why. Nothing is changed.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import subprocess

from ansible_collections.inference.host.plugins.module_utils import (
    atomic,
    bench_prompts,
    bench_state,
    bench_stream,
    file_diff,
    file_set,
    nginx_registry,
    nginx_work,
    release_store,
    systemd,
    tunables,
    tunables_report,
    unit_work,
    units,
)
from ansible_collections.inference.host.plugins.module_utils.topology import read_topology
from ansible_collections.inference.host.plugins.module_utils.tunables_host import Host
from ansible_collections.inference.host.plugins.module_utils.verify_rows import clean, verify_rows
from ansible_collections.inference.host.plugins.module_utils.watch_sealed import keys_in, opened, text_of

BASELINE = "/var/lib/inference.host/baseline"
COMMAND_SECONDS = 30
PROMPT_WORDS = 12
PROPERTIES = "--property=Id,ActiveState,MainPID,ControlGroup,NRestarts"


def command(argv):
    """Run a command and return (status, output, errors); one that cannot be run or hangs has status 127."""
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            argv, stdin=subprocess.DEVNULL, capture_output=True, env=dict(os.environ, LC_ALL="C"),
            timeout=COMMAND_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, "", str(error)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


class Reader:
    """One reading. `failures` are the sentences on what could not be read."""

    def __init__(self, wanted, run=command, root="/"):
        """wanted: see watch_wanted.py. run: argument vector in, (status, output, errors) out.

        root: a folder that stands for the host where settings and the kernel's files are read, in tests.
        """
        self.wanted, self.run, self.root, self.failures = wanted, run, root, []

    def read(self):
        """Return {"rows", "units", "topology", "models", "probes", "failures"}; None for what could not be read."""
        topology = self.part("the host", read_topology, self.root)
        rows = self.part("the comparison with the plan", self.rows, topology or {})
        return {
            "rows": rows,
            "topology": topology,
            "units": self.part("the units", self.units),
            "models": self.part("the models", self.models),
            "probes": self.part("the probes", self.probes),
            "failures": self.failures,
        }

    def part(self, what, function, *arguments):
        """Return what a function returns, or None with a sentence where it fails."""
        try:
            return function(*arguments)
        except OSError as error:
            words = "%s cannot be used: %s" % (error.filename, atomic.words(error)) if error.filename else str(error)
        except Exception as error:
            # The other parts are of use without this one, whatever it met.
            words = str(error) or type(error).__name__
        self.failures.append("%s: %s" % (what, clean(words, self.secrets()).rstrip(".")))
        return None

    def rows(self, topology):
        """Return the rows of `verify` for settings, cards, units and nginx; engines and models are not asked for."""
        answers = {
            "settings": {"results": [self.answer("role " + role, self.settings, role, item=role)
                                     for role in self.wanted["setting_roles"]]},
            "engine": {"engines": {}},
            "models": [],
            "unit_files": self.answer("the unit files", self.unit_files),
            "unit_paths": [item["path"] for item in self.wanted["files"]["files"]],
            "instances": self.answer("the instances", self.instances),
            "nginx": self.answer("nginx", self.nginx),
            "topology": topology,
            "mig": self.wanted["mig"],
        }
        return verify_rows(self.wanted["plan"], answers, self.wanted["host"], self.secrets())

    def answer(self, what, function, *arguments, **more):
        """Return a module's answer, or why there is none."""
        found = self.part(what, function, *arguments)
        return dict({"msg": self.failures[-1], "failed": True} if found is None else found, **more)

    def settings(self, role):
        """As module tunables in check mode."""
        settings = [setting for setting in self.wanted["plan"]["settings"] if setting["role"] == role]
        tunables.check_settings(settings, "60-inference-" + role)
        outcome = tunables.foresee(settings, "60-inference-" + role, Host(self.root), BASELINE)
        return {"results": outcome.rows, "diff": tunables_report.diff(outcome)}

    def unit_files(self):
        """As module files in check mode."""
        manifest = self.wanted["files"]
        plan = file_set.make_plan(opened(manifest["files"]), manifest["absent"], manifest["directories"], True)
        return {"changed_paths": file_set.changed_paths(plan), "diff": file_diff.diff(plan)}

    def instances(self):
        """As module instances in check mode."""
        return unit_work.run(systemd.Systemd(self.run), self.wanted["plan"]["instances"], "inference-*@*.service", True)

    def nginx(self):
        """As module nginx in check mode."""
        params = dict(self.wanted["nginx"], files=opened(self.wanted["nginx"]["files"]))
        work = nginx_work.Work(params, self.run, nginx_registry.Registry())
        answer = work.look()
        return dict(answer, wanted_open_files=params["open_files"], changed_paths=file_set.changed_paths(work.plan),
                    diff=file_diff.diff(work.plan))

    def secrets(self):
        """Return the keys in the secret files, which must not be in anything that is said."""
        files = self.wanted["files"]["files"] + self.wanted["nginx"]["files"]
        return [key for item in files if item["sensitive"] for key in keys_in(text_of(item["path"]))]

    def units(self):
        """Return {unit: {"active", "restarts", "throttled_seconds", "pages_mib"}}, None for what is not told."""
        names = [instance["unit"] for instance in self.wanted["plan"]["instances"]]
        if not names:
            return {}
        status, out, error = self.run(["systemctl", "--no-pager", "show", PROPERTIES, *names])
        found = units.parse_show(out)
        if status or set(names) - set(found):
            raise systemd.UnitError("systemctl says nothing of %s: %s" % (
                ", ".join(sorted(set(names) - set(found))) or "the units", error.strip() or "status %d" % status))
        return {name: self.unit(found[name]) for name in names}

    def unit(self, properties):
        pid, restarts = systemd.engine_pid(properties), properties.get("NRestarts", "")
        group = properties.get("ControlGroup")
        stat = bench_state.read_text("%s/sys/fs/cgroup%s/cpu.stat" % (self.root.rstrip("/"), group)) if group else ""
        throttled = re.search(r"^throttled_usec ([0-9]+)$", stat, re.MULTILINE)
        return {
            "active": properties.get("ActiveState") == "active",
            "restarts": int(restarts) if restarts.isdigit() else None,
            "throttled_seconds": int(throttled.group(1)) / 1e6 if throttled else None,
            "pages_mib": bench_state.Machine([], self.root.rstrip("/")).pages(pid) if pid != "0" else None,
        }

    def models(self):
        """Return {"path", "free_bytes", "largest_bytes": None where there is no release}, None without the folder."""
        path = self.wanted["model_dir"]
        if not os.path.isdir(path):
            return None
        disk = os.statvfs(path)
        sizes = [release["size_bytes"] for name in release_store.installed_models(path)
                 for release in release_store.installed_releases(path, name)]
        return {"path": path, "free_bytes": disk.f_bavail * disk.f_frsize, "largest_bytes": max(sizes, default=None)}

    def probes(self):
        """Return {service: answer of bench_stream.ask}. One after the other is asked, each with a prompt of its own."""
        probe, answers = self.wanted["probe"], {}
        for service in probe["services"]:
            keys = keys_in(text_of(service["key_file"])) if service["key_file"] else []
            target = bench_stream.target_of(probe["url"] + service["name"], service["name"], next(iter(keys), None))
            prompt = bench_prompts.Prompts(secrets.randbits(64)).text(PROMPT_WORDS)
            answers[service["name"]] = asyncio.run(
                bench_stream.ask(target, prompt, probe["tokens"], probe["seconds"]))
        return answers
