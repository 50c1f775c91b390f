# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The work of module daemons: install, write, check, enable, start, and see that each daemon answers."""

from __future__ import annotations

import contextlib
import json
import os
import time

from ansible_collections.inference.host.plugins.module_utils import (
    atomic,
    file_set,
    file_set_baseline,
    nginx_host,
    nginx_registry,
    nginx_variants,
    packages,
    systemd,
)

UNIT_FOLDER = "/etc/systemd/system/"
NGINX_FOLDER = "/etc/nginx/"
POLL_SECONDS = 0.1
RUNS = ("active", "activating", "reloading")


class WorkError(file_set.FileSetError):
    """What is wrong, in one sentence for the person who must act; file_set adds what became of the files."""


class Work:
    """One call of module daemons. `plan` is the file_set.Plan of what differs, `actions` what else was done."""

    def __init__(self, params, run, registry):
        """params: the module's. run: argument vector in, (status, output, errors) out. registry: nginx_registry's."""
        self.params, self._run, self.registry = params, run, registry
        self._systemd = systemd.Systemd(run)
        self._names = [unit["name"] for unit in params["units"]]
        self.plan = file_set.Plan([], [], [])
        self.actions = []
        self._token = ""
        self._first = {}

    def look(self):
        """Set plan and actions without changing anything."""
        self.actions += ["install " + name for name in self._packages()]
        self._make_plan(check_mode=True)
        self.actions += ["stop " + unit for unit in self._going()]
        for unit, properties in self._states().items():
            self.actions += self._wanted(unit, properties)
        if not self._nginx_has_loaded():
            self.actions.append("load nginx")

    def carry_out(self):
        """Do the work. Only for who holds the lock of file_set."""
        self._keep_before()
        self._first = self._states()
        self._install()
        file_set.recover(self._items(), self.params["absent"])
        self._make_plan(check_mode=False)
        for unit in self._going():
            self.actions.append("stop " + unit)
            self._systemd.remove(unit)
        with self._nginx_lock():
            if not any(self.plan):
                self._go_live()
                return
            # As patterns, which a unit that is gone by then does not fail.
            after = [["systemctl", "daemon-reload"]] + [
                ["systemctl", "try-restart", unit.replace(".service", ".servic[e]")] for unit in self._names]
            after += [["systemctl", "try-reload-or-restart", "nginx.service"]] if self.params["nginx"] else []
            with file_set_baseline.first_seen(
                    self.plan, self.params["baseline"], self.params["baseline_name"], after):
                self._exchange()

    def restore(self, check_mode):
        """Stop and disable the units that did not run before the first call, and forget how they were."""
        text = nginx_host.read_text(self.params["before"])
        before = json.loads(text) if text else {}
        for unit, state in before.items():
            now = self._systemd.show([unit]).get(unit, {})
            runs = now.get("ActiveState") in ("active", "activating", "failed") or now.get("UnitFileState") == "enabled"
            if state["ActiveState"] in RUNS or not runs:
                continue
            self.actions.append("stop " + unit)
            if not check_mode:
                self._systemd.remove(unit)
        if text and not check_mode:
            os.unlink(self.params["before"])

    # What is there

    def _packages(self):
        names = self.params["packages"]
        return packages.missing(self._run, names)

    def _states(self):
        return self._systemd.show(self._names) if self._names else {}

    def _items(self, revision=None):
        """Return the files as file_set takes them. revision: text of the file that nginx tells, None for what it is."""
        flags = {"ipv6": nginx_host.has_ipv6()}
        owner = "root" if os.geteuid() == 0 else None
        items = [dict(item, content=nginx_variants.resolve(item["content"], nginx_variants.OLDEST, flags),
                      owner=item.get("owner") or owner, group=item.get("group") or owner)
                 for item in self.params["files"]]
        if self.params["nginx"]:
            path = self.params["nginx"]["revision"]
            text = nginx_host.read_text(path) if revision is None else revision
            items.append({"path": path, "content": text, "mode": "0644", "owner": owner, "group": owner,
                          "sensitive": False})
        return items

    def _make_plan(self, check_mode):
        """Set the plan and the token that nginx has to answer: a new one where a file of nginx differs."""
        wanted = self.params["absent"], self.params["directories"], check_mode
        self.plan = file_set.make_plan(self._items(), *wanted)
        if not self.params["nginx"]:
            return
        self._token = nginx_host.revision_of(nginx_host.read_text(self.params["nginx"]["revision"]), "-")
        if check_mode or (self._token and not any(change.path.startswith(NGINX_FOLDER) for change in self.plan.files)):
            return
        self._token = nginx_host.new_revision()
        self.plan = file_set.make_plan(self._items(nginx_host.revision_text(self._token, "-")), *wanted)

    def _going(self):
        """Return the units of the set whose files go."""
        return [os.path.basename(change.path) for change in self.plan.files
                if change.after.kind == "absent" and os.path.dirname(change.path) + "/" == UNIT_FOLDER]

    def _wanted(self, unit, properties):
        """Return what has to be done with a unit, as what runs says."""
        actions = ["enable " + unit] if properties.get("UnitFileState") == "disabled" else []
        action = systemd.action_needed(unit, properties)
        return actions + (["%s %s" % (action, unit)] if action else [])

    def _nginx_has_loaded(self):
        return not self.params["nginx"] or nginx_registry.ask(self.params["nginx"]["url"]) == self._token

    # Doing

    def _keep_before(self):
        """Keep how units were that this has not met before; before the packages, which bring and start them."""
        path = self.params["before"]
        text = nginx_host.read_text(path)
        known = json.loads(text) if text else {}
        new = [unit for unit in self._names if unit not in known]
        if not new:
            return
        found = self._systemd.show(new)
        for unit in new:
            known[unit] = {key: found.get(unit, {}).get(key, "") for key in ("ActiveState", "UnitFileState")}
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        atomic.write(path, json.dumps(known, sort_keys=True).encode())

    def _install(self):
        """Install what is missing without letting it start: a package's own settings listen at every address."""
        names = self._packages()
        # Those that a killed run has left masked, and those that come now.
        new = [unit for unit, found in self._first.items() if found.get("UnitFileState") == "masked-runtime"
               or (names and found.get("LoadState") == "not-found")]
        self.actions += ["install " + name for name in names]
        try:
            if names:
                for unit in new:
                    self._systemd.call("mask", "--runtime", unit)
                left = [found for name in names for found in packages.find_broken(self._run, name)]
                packages.install(self._run, names, left)
        finally:
            for unit in new:
                self._systemd.call("unmask", "--runtime", unit)
                # The package enables it: where this run ends early no boot may start it with the package's settings.
                self._systemd.call("disable", unit)

    def _nginx_lock(self):
        # Nobody else reloads nginx while files are there that are not checked yet.
        return self.registry.locked() if self.params["nginx"] else contextlib.nullcontext()

    def _exchange(self):
        """Carry the plan out; what fails on the way to the daemons' answers has every file put back."""
        try:
            file_set.apply(self.plan, self._go_live)
        except file_set.FileSetError:
            self._systemd.call("daemon-reload")
            for unit in self._names:
                self._as_first(unit)
            if self.params["nginx"]:
                with contextlib.suppress(nginx_registry.RegistryError):
                    self.registry.load(self.params["wait_seconds"])
            raise

    def _as_first(self, unit):
        """Have a unit whose files are back run where it ran: others would run with their package's own settings."""
        first = self._first.get(unit, {})
        if first.get("ActiveState") in RUNS:
            self._systemd.call("try-restart", unit)
        elif first.get("UnitFileState") == "enabled":
            self._systemd.call("stop", unit)
        else:
            self._systemd.remove(unit)

    def _go_live(self):
        """Check the files, then enable and (re)start what is not as written, and see that it answers."""
        for argv in self.params["validate"] if any(self.plan) else []:
            status, out, error = self._run(argv)
            if status:
                raise WorkError("%s does not accept the files: %s" % (argv[0], " ".join((error + out).split())[-600:]))
        found = self._states()
        if any(change.path.startswith(UNIT_FOLDER) for change in self.plan.files) or any(
                properties.get("NeedDaemonReload") == "yes" for properties in found.values()):
            self._systemd.call("daemon-reload")
            found = self._states()
        try:
            for unit in self.params["units"]:
                self._bring_up(unit, found.get(unit["name"], {}))
            self._load_nginx()
        except (systemd.UnitError, nginx_registry.RegistryError) as error:
            raise WorkError(str(error)) from None

    def _bring_up(self, unit, properties):
        name = unit["name"]
        if properties.get("LoadState") != "loaded":
            raise WorkError("%s is not a unit that systemd can load; its unit file is missing or wrong." % name)
        for action in self._wanted(name, properties):
            self.actions.append(action)
            self._systemd.must(name, action.split()[0])
        if unit["url"]:
            self._await(name, lambda: nginx_registry.ask(unit["url"], None) is not None, "answer at " + unit["url"])

    def _load_nginx(self):
        if self._nginx_has_loaded():
            return
        self.actions.append("load nginx")
        if not self.registry.master():
            raise WorkError("nginx does not run on this host; run playbooks/site.yml first.")
        self.registry.load(self.params["wait_seconds"])
        self._await("nginx.service", self._nginx_has_loaded, "answer at " + self.params["nginx"]["url"])

    def _await(self, unit, condition, what):
        deadline = time.monotonic() + self.params["wait_seconds"]
        while not condition():
            if time.monotonic() > deadline:
                raise self._systemd.failure(unit, "does not %s." % what)
            time.sleep(POLL_SECONDS)
