# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's part of module engine_release: takes the archive to the host for as long as the module needs it."""

from __future__ import annotations

import os

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Transfers the archive, calls the module, and removes the archive."""

    _supports_check_mode = True
    _supports_diff = False
    _requires_connection = True

    def run(self, tmp=None, task_vars=None):
        """Return the module's result; raise AnsibleActionFail for an archive that is not there."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if "archive" in arguments:
            raise AnsibleActionFail("archive is set by the action plugin alone; name the controller's file in src.")
        source = arguments.get("src")
        try:
            if source and not self._task.check_mode:
                arguments["archive"] = self._send(os.path.realpath(os.path.expanduser(source)))
            return self._execute_module("inference.host.engine_release", module_args=arguments, task_vars=task_vars)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)

    def _send(self, source):
        if not os.path.isfile(source):
            raise AnsibleActionFail("src is '%s', which is no file on the controller." % source)
        self._make_tmp_path()
        target = self._connection._shell.join_path(self._connection._shell.tmpdir, "archive")
        self._transfer_file(source, target)
        self._fixup_perms2((self._connection._shell.tmpdir, target))
        return target
