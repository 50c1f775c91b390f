# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run a long command on the host and show its last line of output while it runs. See the module of the same name."""

from __future__ import annotations

import re
import shlex

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()

# The command inherits descriptor 9 and with it the lock, so waiting for the lock is waiting for the command. Where the
# lock is taken, the command of an earlier, interrupted run is still at work and is followed instead.
START = (
    "mkdir -p {folder} && cd {folder} && exec 9>lock &&"
    " if flock -n 9; then rm -f status; setsid sh -c {script} >/dev/null 2>&1 </dev/null & fi"
)
SCRIPT = "{command} >log 2>&1 </dev/null; echo $? >status.new; mv status.new status"
FOLLOW = (
    "cd {folder} && if flock -w {seconds} lock true; then cat status 2>/dev/null || echo lost; else echo running; fi;"
    " tail -n 30 log"
)


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = False
    _requires_connection = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        _validated, args = self.validate_argument_spec(argument_spec={
            "argv": {"type": "list", "elements": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "title": {"type": "str", "required": True},
            "report_seconds": {"type": "int", "default": 15},
            "progress": {"type": "str", "default": ""},
        })
        if self._task.check_mode:
            return {"changed": True, "msg": "%s would run" % args["title"]}
        folder = shlex.quote(args["folder"])
        script = shlex.quote(SCRIPT.format(command=shlex.join(args["argv"])))
        self._remote(START.format(folder=folder, script=script), args)
        follow = FOLLOW.format(folder=folder, seconds=args["report_seconds"])
        status, output = "running", []
        while status == "running":
            status, *output = self._remote(follow, args).splitlines()
            shown = [line.strip() for line in output if re.search(args["progress"], line)][-1:]
            display.display("%s: %s: %s" % (task_vars["inventory_hostname"], args["title"], "".join(shown)[:120]))
        if status != "0":
            raise AnsibleActionFail("%s failed with status %s; the end of %s/log is:\n%s" % (
                args["title"], status, args["folder"], "\n".join(output)))
        return {"changed": True, "rc": 0}

    def _remote(self, command, args):
        # Something on standard input keeps ssh from asking for a terminal, whose end would take the command along.
        result = self._low_level_execute_command(command, in_data=b"\n")
        if result["rc"] != 0:
            raise AnsibleActionFail("%s could not be followed in %s: %s" % (
                args["title"], args["folder"], (result["stderr"] or result["stdout"]).strip()))
        return result["stdout"]
