# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's part of module model_release: sends files that are here, and follows downloads."""

from __future__ import annotations

import os
import time

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.inference.host.plugins.module_utils.gguf_facts import facts_of_file
from ansible_collections.inference.host.plugins.module_utils.release import ReleaseError, check_content, scheme

display = Display()

INTERNAL = ("size_bytes", "uploader", "uploaded")
FRUITLESS_CALLS = 3
"""So many calls in a row that bring no new byte end a download."""
MB = 1000000


class ActionModule(ActionBase):
    """Calls the module once when nothing is to be done, and as often as a transfer or download needs it."""

    _supports_check_mode = True
    _supports_diff = False
    _requires_connection = True

    def run(self, tmp=None, task_vars=None):
        """Return the result of the last call of the module; raise AnsibleActionFail with one sentence."""
        super().run(tmp, task_vars)
        self._task_vars = task_vars
        for name in INTERNAL:
            if name in self._task.args:
                raise AnsibleActionFail(self._sentence("%s is set by the action plugin alone" % name))
        source = str(self._task.args.get("source") or "")
        if source and not scheme(source):
            return self._from_controller(source)
        return self._follow_download()

    def _from_controller(self, source):
        local = self._local_path(source)
        size = os.path.getsize(local) if local else None
        result = self._call(size_bytes=size)
        if result.get("failed") or not result["needed"]:
            return result
        if local is None:
            raise AnsibleActionFail(self._sentence(
                "source %s does not exist on the controller; it must be a file there, a URL that the host can fetch, or"
                " file:///PATH for a file on the host" % source))
        self._check(local, os.path.basename(result["path"]))
        if result["status"] == "would_install":
            return dict(result, **facts_of_file(local))
        self._say("transferring %d MB" % (size // MB))
        return self._send(local, size)

    def _local_path(self, source):
        """Return the file that `source` names on the controller, or None. It is missed only if the host needs it."""
        try:
            found = self._find_needle("files", os.path.expanduser(source))
        except AnsibleError:
            return None
        return found if os.path.isfile(found) else None

    def _check(self, local, filename):
        try:
            check_content(local, filename, str(self._task.args["sha256"]).lower(), local)
        except (ReleaseError, OSError) as error:
            raise AnsibleActionFail(self._sentence(str(error))) from None

    def _send(self, local, size):
        """Transfer the file to a folder beside its place, where the host can give one, else to the usual one."""
        become = self._connection.become
        uploader = (self._get_remote_user() or "?") if become else ""
        result = self._call(size_bytes=size, uploader=uploader)
        if result.get("failed") or not result["needed"]:
            return result
        folder = result["upload_folder"]
        shell = self._connection._shell
        try:
            target = shell.join_path(folder or self._make_tmp_path(), "model")
            self._transfer_file(local, target)
            if not folder:
                self._fixup_perms2((shell.tmpdir, target))
            return self._call(size_bytes=size, uploaded=target)
        except AnsibleError:
            if not folder:
                raise
            self._low_level_execute_command(shell.remove(folder, recurse=True))
            result = self._call(size_bytes=size)
            if not result.get("failed") and not result["needed"]:
                return result  # another run was faster, and removed all uploads of this file
            raise

    def _follow_download(self):
        fruitless, before = 0, 0
        while True:
            result = self._call()
            if result.get("failed") or result["status"] != "incomplete":
                return result
            received, size = result["received_bytes"], result["size_bytes"]
            self._say("%d of %s MB" % (received // MB, "?" if size is None else size // MB))
            fruitless = 0 if received > before else fruitless + 1
            before = received
            if fruitless == FRUITLESS_CALLS:
                raise AnsibleActionFail(self._sentence("%s; %d bytes are there, and %d attempts brought no more" % (
                    result["reason"], received, fruitless)))
            time.sleep(fruitless)

    def _call(self, **internal):
        arguments = dict(self._task.args, **internal)
        return self._execute_module("inference.host.model_release", module_args=arguments, task_vars=self._task_vars)

    def _say(self, text):
        display.display("%s: %s: %s" % (self._task_vars["inventory_hostname"], self._task.args["name"], text))

    def _sentence(self, text):
        return "model '%s': %s." % (self._task.args.get("name"), text)
