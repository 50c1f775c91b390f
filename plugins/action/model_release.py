# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's part of module model_release: transfers files and follows downloads."""

from __future__ import annotations

import hashlib
import os

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible.utils.hashing import secure_hash

display = Display()

STALLS = 5
"""Calls in a row that bring no new byte before a download is given up."""


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        source = str(arguments.get("source") or "")
        if source and "://" not in source:
            return self._from_controller(arguments, source, task_vars)
        return self._download(arguments, task_vars)

    def _from_controller(self, arguments, source, task_vars):
        local = os.path.expanduser(source)
        local = local if os.path.isabs(local) else self._loader.path_dwim(local)
        if os.path.isfile(local):
            arguments["size_bytes"] = os.path.getsize(local)
        result = self._call(arguments, task_vars)
        if result.get("failed") or result["status"] in ("present", "installed"):
            return result
        self._check_local(arguments, local)
        if result["status"] == "would_install":
            return result
        display.display("%s: %s: transferring %d MB" % (
            task_vars["inventory_hostname"], arguments["name"], arguments["size_bytes"] // 1000000))
        staged = self._transfer_file(local, self._connection._shell.join_path(self._make_tmp_path(), "model"))
        return self._call(dict(arguments, staged=staged), task_vars)

    def _check_local(self, arguments, local):
        name = arguments["name"]
        if "size_bytes" not in arguments:
            raise AnsibleActionFail("model '%s': source '%s' does not exist on the controller; it must be a file there,"
                                    " or a URL." % (name, arguments["source"]))
        found = secure_hash(local, hashlib.sha256)
        if found != arguments["sha256"]:
            raise AnsibleActionFail("model '%s': sha256 is %s, but the file %s has %s." % (
                name, arguments["sha256"], local, found))

    def _download(self, arguments, task_vars):
        stalls, before = 0, -1
        while True:
            result = self._call(arguments, task_vars)
            if result.get("failed") or result["status"] != "needed":
                return result
            received, size = result["received_bytes"], result["size_bytes"]
            display.display("%s: %s: %d of %s MB" % (
                task_vars["inventory_hostname"], arguments["name"], received // 1000000,
                "unknown" if size is None else size // 1000000))
            stalls = stalls + 1 if received <= before else 0
            before = received
            if stalls >= STALLS:
                raise AnsibleActionFail("model '%s': the server ends the connection without new data, at %d of %s bytes." % (
                    arguments["name"], received, size))

    def _call(self, arguments, task_vars):
        return self._execute_module("inference.host.model_release", module_args=arguments, task_vars=task_vars)
