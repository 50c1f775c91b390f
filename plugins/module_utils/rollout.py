# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings one instance to what its files are to say, or back to what they said.

The order: nginx sends no more and running answers end; the files change; the unit restarts; it is healthy, runs where
it should and answers a real request as expected; only then nginx sends to it again. Where anything fails the old files
are put back and the unit restarts with them.

A run that was killed leaves the old files beside the new ones (see atomic.py). The next one puts them back first, so
that it, too, has something to return to. What runs is asked of what runs.
"""

from __future__ import annotations

import time

from ansible_collections.inference.host.plugins.module_utils import file_set, file_set_baseline, nginx_registry, units
from ansible_collections.inference.host.plugins.module_utils.systemd import UnitError, action_needed, process

POLL_SECONDS = 0.2
AFTER_RESTORE = (("systemctl", "daemon-reload"),)
"""Commands for when first-seen unit files are put back."""


class RolloutError(Exception):
    """What failed and what has become of the instance, for the person who must act."""


class Rollout:
    """One instance on its way to its new files."""

    def __init__(self, instance, host, registry, drain_seconds, ask, check_stop):
        """instance: of the plan, with unit, service, index, port, health and its placement. host: systemd.Systemd.
        registry: nginx_registry.Registry. drain_seconds: longest wait for running answers. ask: a function that asks
        the instance for a completion, returns its text and raises where it is not as expected. check_stop: one that
        raises where the run was told to stop."""
        self.instance, self.host, self.registry = instance, host, registry
        self.drain_seconds, self.ask, self.check_stop = drain_seconds, ask, check_stop
        self.unit, self.key = instance["unit"], (instance["service"], instance["index"])
        self.before, self.is_out, self.touched = {}, False, False
        self.answer = self.drained = None

    def properties(self):
        return self.host.show([self.unit]).get(self.unit, {})

    def check_port(self):
        """Raise RolloutError where nginx would send to another port than the one on which the plan has the instance."""
        ports = nginx_registry.ports_of(self.registry.sources().get(self.key, ""))
        if ports - {self.instance["port"]}:
            raise RolloutError("%s is to listen on port %d, and nginx would send to port %d; run site.yml, which "
                               "changes both." % (self.unit, self.instance["port"], max(ports)))

    def is_needed(self, plan):
        """Return whether files differ, or what they say does not run where it should, or nginx does not send to it.

        plan: a file_set.Plan."""
        found = self.properties()
        line = self.registry.sources().get(self.key)
        return bool(
            any(plan) or found.get("NeedDaemonReload") == "yes" or not units.is_enabled(found)
            or action_needed(self.unit, found) or units.placement_fault(self.instance, *process(found))
            or (line is not None and self.registry.registered().get(self.key) != line))

    def carry_out(self, plan, baseline=None, baseline_name=None):
        """Carry a file_set.Plan out and bring the unit to it; only for who holds the lock of file_set.py.

        baseline, baseline_name: where first-seen files are kept, see file_set_baseline.py. Raises RolloutError.
        """
        self.before = self.properties()
        if self.before.get("NeedDaemonReload") == "yes":
            # A killed run let systemd read files that have been put back since.
            self.host.call("daemon-reload")
            self.before = self.properties()
        try:
            self.take_out()
            with file_set_baseline.first_seen(plan, baseline, baseline_name, AFTER_RESTORE):
                if any(plan):
                    file_set.apply(plan, self.bring_up)
                else:
                    self.bring_up()
        except BaseException as fault:
            raise RolloutError("%s did not take the new release: %s\n%s" % (
                self.unit, str(fault).strip(), self.go_back())) from fault

    def take_out(self):
        """Let nginx send no more and running answers end."""
        self.is_out = True
        try:
            self.drained = nginx_registry.drain(self.registry, *self.key, self.instance["port"], self.drain_seconds)
        except nginx_registry.RegistryError:
            self.is_out = False
            # nginx still sends, so that the registry has to say so.
            if self.key in self.registry.sources():
                with self.registry.locked():
                    self.registry.add(*self.key)
            raise

    def bring_up(self):
        """Restart the unit with the files that are there now, and let nginx send to it when it has proved itself."""
        self.host.call("daemon-reload")
        if not units.is_enabled(self.before):
            self.host.must(self.unit, "enable")
        self.host.call("reset-failed", self.unit)
        self.touched = True
        with self.registry.held_back(*self.key):
            restart = self.host.begin(self.unit, "restart")
            try:
                self.await_health(restart)
                fault = units.placement_fault(self.instance, *process(self.properties()))
                if fault:
                    raise UnitError(fault)
                self.answer = self.ask()
                self.check_stop()
            except BaseException:
                # While it cannot register. systemd would go on with the start.
                self.host.call("stop", self.unit)
                restart.wait()
                raise
        if restart.wait():
            raise self.host.failure(self.unit, "could not restart.")
        nginx_registry.register(self.registry, *self.key)

    def await_health(self, restart):
        """Wait until the new process answers; systemd's limit for the start ends the wait.

        restart: the running process of systemctl.
        """
        while True:
            status, found = restart.poll(), self.properties()
            self.check_stop()
            if status:
                raise self.host.failure(self.unit, "could not restart.")
            new = found.get("InvocationID") != self.before.get("InvocationID") and found.get("MainPID", "0") != "0"
            if status == 0 or (new and nginx_registry.healthy(self.instance["port"], self.instance["health"])):
                return
            time.sleep(POLL_SECONDS)

    def summary(self, needed, only_looked):
        """Return what was done, in one line."""
        if not needed:
            return "%s: runs this release already" % self.unit
        if only_looked:
            return "%s: would be drained and restarted" % self.unit
        answers = "is healthy" if self.answer is None else "answers %r" % self.answer
        return "%s: %s, restarted, and %s" % (self.unit, self.drained, answers)

    def go_back(self):
        """Bring the unit back to the old files, which are in their places again; return what came of it, in words."""
        # It may have read the new ones, and would start with them.
        self.host.call("daemon-reload")
        if not self.touched:
            if self.is_out and self.before.get("ActiveState") == "active":
                try:
                    nginx_registry.register(self.registry, *self.key)
                except nginx_registry.RegistryError as fault:
                    return "It runs on with what it had, but nginx does not send to it: %s" % fault
            return "Nothing was changed: it runs on with what it had."
        if self.before.get("LoadState") != "loaded":
            self.host.remove(self.unit)
            return "There was no such instance before, and there is none now."
        self.host.call("reset-failed", self.unit)
        try:
            self.host.must(self.unit, "restart")
        except UnitError as fault:
            return "Its old files are back, and with them it does not run either: %s" % fault
        return "It is back on what it ran before, and answers."
