# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The work of module nginx: install, write, check, start, register, reload, and see that it took effect."""

from __future__ import annotations

import contextlib
import os
import shutil
import time

from ansible_collections.inference.host.plugins.module_utils import (
    atomic,
    file_set,
    file_set_baseline,
    nginx_host,
    nginx_registry,
    nginx_variants,
    packages,
    units,
)

UNIT = "nginx.service"
PROPERTIES = "--property=Id,LoadState,ActiveState,UnitFileState,NeedDaemonReload"
FOLDERS = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
ERROR_LOG = "/var/log/nginx/error.log"


class WorkError(file_set.FileSetError):
    """What is wrong, in one sentence for the person who must act; file_set adds what became of the files."""


class Work:
    """One call of module nginx. `plan` is the file_set.Plan of what differs."""

    def __init__(self, params, run, registry):
        """params: the module's. run: argument vector in, (status, output, errors) out. registry: nginx_registry's."""
        self.params, self._run, self.registry = params, run, registry
        self.plan = file_set.Plan([], [], [])
        self.actions, self.notes = [], []
        self.version = self.program = self._conditions = None
        self._began = self._log_size = 0

    def look(self):
        """Return the module's answer without changing anything."""
        broken = self._find()
        if broken or not self.version:
            self.actions.append("install")
        states = self._states()
        token = self._make_plan(check_mode=True)
        missing, left = self._registration(states)
        loaded = self._ask()
        unit = states.get(UNIT, {})
        if unit.get("UnitFileState") != "enabled":
            self.actions.append("enable")
        if unit.get("ActiveState") != "active":
            self.actions.append("start")
        if missing or left:
            self.actions.append("register")
        if any(self.plan) or loaded != token or not self._registry_is_loaded():
            self.actions.append("load")
        return self._answer(unit, missing, loaded, token)

    def carry_out(self):
        """Do the work and return the module's answer. Only for who holds the lock of file_set."""
        broken = self._find()
        self._keep_before()
        if broken or not self.version:
            self._install(broken)
        states = self._states()
        if states.get(UNIT, {}).get("UnitFileState", "").startswith("masked-runtime"):
            self._systemctl("unmask", "--runtime", UNIT)
            states = self._states()
        items = self._items(None)
        for path in file_set.recover(items, self._absent()):
            self.notes.append("An earlier run was cut off; %s was put back first." % path)
        token = self._make_plan(check_mode=False)
        missing, left = self._registration(states)
        unit = states.get(UNIT, {})
        before = self._ask()
        if any(self.plan):
            # Nobody reloads nginx while files are there that are not checked yet.
            with self.registry.locked(), file_set_baseline.first_seen(
                    self.plan, self.params["baseline"], self.params["baseline_name"],
                    [["systemctl", "daemon-reload"], ["systemctl", "try-reload-or-restart", UNIT]]):
                self._exchange(unit, token)
        elif (missing or left or unit.get("ActiveState") != "active" or unit.get("UnitFileState") != "enabled"
              or before != token or not self._registry_is_loaded()):
            with self.registry.locked():
                self._go_live(unit, token)
        return self._answer(unit, missing, self._ask() if self.actions else before, token)

    def _answer(self, unit, missing, loaded, token):
        return {
            "actions": self.actions,
            "paths": [item["path"] for item in self.params["files"]],
            "registry_loaded": self._registry_is_loaded(),
            "version": ".".join(map(str, self.version)) if self.version else None,
            "unit": unit,
            "loaded": loaded,
            "revision": token or "",
            "unregistered": ["%s %d" % key for key in missing],
            "open_files": nginx_host.open_files(nginx_registry.children(self.registry.master())),
            "notes": self.notes,
        }

    # What is there

    def _find(self):
        """Set program and version; return the packages that an installation left half done."""
        self.program = shutil.which("nginx", path=FOLDERS)
        if self.program:
            _status, out, error = self._run([self.program, "-v"])
            self.version = nginx_variants.parse_version(out + error)
        if self.version and self.version < nginx_variants.OLDEST:
            raise WorkError("nginx is version %s; it must be %s or newer." % tuple(
                ".".join(map(str, version)) for version in (self.version, nginx_variants.OLDEST)))
        return packages.find_broken(self._run, "*nginx*")

    def _states(self):
        """Return what systemd says of nginx and of the instances, {unit: {property: value}}."""
        names = [UNIT] + [instance["unit"] for instance in self.params["instances"]]
        _status, out, _error = self._run(["systemctl", "show", "--no-pager", PROPERTIES, *names])
        return units.parse_show(out)

    def _ask(self):
        return nginx_registry.ask(self.params["url"] + "/-/revision")

    def _registry_is_loaded(self):
        return not self.params["instances"] or self.registry.is_loaded()

    # Files

    def _flags(self):
        certificate, stapling = self.params["certificate"], False
        if certificate:
            nginx_host.check_tls_files(certificate, self.params["key"])
        if certificate and self.params["stapling"]:
            argv = ["openssl", "x509", "-noout", "-ocsp_uri", "-in", certificate]
            status, out, _error = self._run(argv) if shutil.which("openssl") else (1, "", "")
            stapling = status == 0 and bool(out.strip())
            note = ("OCSP stapling is left out: %s does not say whom to ask." if status == 0 else
                    "OCSP stapling is left out: openssl is missing or cannot read %s.") % certificate
            if not stapling:
                self.notes.append(note)
        return {"ipv6": nginx_host.has_ipv6(), "stapling": stapling}

    def _items(self, revision):
        """Return the files as file_set takes them, those lines left out that are not for this host."""
        version, owner = self.version or nginx_variants.OLDEST, "root" if os.geteuid() == 0 else None
        self._conditions = self._conditions or self._flags()
        items = [dict(item, content=nginx_variants.resolve(item["content"], version, self._conditions), owner=owner,
                      group=owner) for item in self.params["files"]]
        text = nginx_host.read_text(self.params["revision"]) if revision is None else revision
        return items + [{"path": self.params["revision"], "content": text, "mode": "0644", "sensitive": False,
                         "owner": owner, "group": owner}]

    def _absent(self):
        came = nginx_host.came_with_us(nginx_host.read_text(self.params["before"]))
        return self.params["absent"] + (self.params["absent_with_package"] if came else [])

    def _make_plan(self, check_mode):
        """Set the plan; return the token that nginx has to answer, in check mode the one that is written."""
        certificate = self.params["certificate"]
        inputs = nginx_host.digest_of([certificate, self.params["key"]] if certificate else [])
        token = nginx_host.revision_of(nginx_host.read_text(self.params["revision"]), inputs)
        folders = [{"path": path, "mode": "0755"} for path in self.params["directories"]]
        self.plan = file_set.make_plan(self._items(None), self._absent(), folders, check_mode)
        if check_mode or (token and not any(self.plan)):
            return token
        token = nginx_host.new_revision()
        revision = nginx_host.revision_text(token, inputs)
        self.plan = file_set.make_plan(self._items(revision), self._absent(), folders, check_mode)
        return token

    # Doing

    def _keep_before(self):
        """Keep, once, how nginx was; before the package, which brings a unit."""
        path = self.params["before"]
        if os.path.exists(path):
            return
        _status, out, _error = self._run(["systemctl", "show", "--property=ActiveState,UnitFileState", UNIT])
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        atomic.write(path, out.encode())

    def _install(self, broken):
        """Install the package without letting it start nginx: its own site listens where others may listen already."""
        self.actions.append("install")
        self._systemctl("mask", "--runtime", UNIT)
        try:
            packages.install(self._run, self.params["package"], broken)
        finally:
            self._systemctl("unmask", "--runtime", UNIT)
        self._find()
        if not self.version:
            raise WorkError("package %s was installed and brought no nginx in %s." % (self.params["package"], FOLDERS))

    def _systemctl(self, *words):
        """Return what systemctl says when it fails, else ""."""
        status, _out, error = self._run(["systemctl", "--no-pager", *words])
        return "" if status == 0 else error.strip() or "systemctl ended with status %d" % status

    def _must(self, word):
        """Carry out a verb of systemctl and say with nginx's own sentence why it failed."""
        self.actions.append(word)
        error = self._systemctl(word, UNIT)
        if error:
            self._check()
            raise WorkError("nginx could not %s: %s" % (word, self._last_error() or error))

    def _exchange(self, unit, token):
        """Carry the plan out; what fails on the way to nginx's answer has every file put back. Only under the lock."""
        try:
            file_set.apply(self.plan, lambda: self._go_live(unit, token, check=True))
        except file_set.FileSetError:
            if self._has_unit_files():
                self._systemctl("daemon-reload")
            if "load" in self.actions:
                # nginx works on with the old files; now it also knows which state of the registry they came with.
                with contextlib.suppress(nginx_registry.RegistryError):
                    self.registry.load(self.params["wait_seconds"])
            raise

    def _has_unit_files(self):
        return any("/systemd/" in change.path for change in self.plan.files)

    def _check(self):
        status, out, error = self._run([self.program, "-t", "-q"])
        if status:
            raise WorkError("nginx does not accept the configuration: %s" % (error.strip() or out.strip()))

    def _go_live(self, unit, token, check=False):
        """Enable, register, start or load, and see that nginx answers with what was written. Only under the lock."""
        if check:
            self._check()
        self._began = time.time()
        self._log_size = os.path.getsize(ERROR_LOG) if os.path.exists(ERROR_LOG) else 0
        if unit.get("NeedDaemonReload") == "yes" or self._has_unit_files():
            error = self._systemctl("daemon-reload")
            if error:
                raise WorkError("systemd could not read its unit files again: %s" % error)
        if unit.get("UnitFileState") != "enabled":
            self._must("enable")
        self._register()
        try:
            if unit.get("ActiveState") != "active":
                self.registry.load()
                self._must("start")
            elif self._ask() != token or not self._registry_is_loaded():
                self.actions.append("load")
                self.registry.load(self.params["wait_seconds"])
        except nginx_registry.RegistryError as error:
            raise WorkError(("%s; %s" % (error, self._last_error())).rstrip("; ")) from None
        deadline = time.monotonic() + self.params["wait_seconds"]
        while self._ask() != token:
            if time.monotonic() > deadline:
                says = "nginx does not answer at %s with what was written; %s"
                raise WorkError((says % (self.params["url"], self._last_error())).rstrip("; "))
            time.sleep(nginx_registry.POLL_SECONDS)

    def _register(self):
        """Register the instances that run; the units are asked again, since one may have begun to stop."""
        missing, left = self._registration(self._states())
        for service, index in missing:
            self.registry.add(service, index)
        for service, index in left:
            self.registry.remove(service, index)
        if missing or left:
            self.actions.append("register")

    def _registration(self, states):
        """Return (instances that run and are not registered as written, registered ones that should not be)."""
        sources, registered = self.registry.sources(), self.registry.registered()
        active = {(instance["service"], instance["index"]): states.get(instance["unit"], {}).get("ActiveState")
                  for instance in self.params["instances"]}
        missing = [key for key, state in active.items()
                   if state == "active" and (key not in sources or registered.get(key) != sources[key])]
        left = [key for key in registered if active.get(key, "gone") in ("gone", "inactive", "failed")]
        return missing, left

    def _last_error(self):
        """Return what nginx first called an emergency since the work began, "" for nothing.

        Before it has opened its log it says that to systemd's journal.
        """
        argv = ["journalctl", "--no-pager", "--output=cat", "--unit=" + UNIT, "--since=@%d" % self._began]
        lines = self._run(argv)[1].splitlines()
        with contextlib.suppress(OSError), open(ERROR_LOG, encoding="utf-8", errors="replace") as stream:
            stream.seek(self._log_size)
            lines += stream.read().splitlines()
        said = [line.partition("[emerg]")[2].partition(": ")[2].strip() for line in lines if "[emerg]" in line]
        return "nginx says: " + said[0] if said else ""
