# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a module does when it is told to stop."""

from __future__ import annotations

import signal
import subprocess

NUMBERS = (signal.SIGTERM, signal.SIGHUP)


def raise_as(error):
    """Let the first signal to stop raise `error`, an exception class, so that everything is put back before the end.

    Returns a function that raises it, too, when there was one: Python drops an exception that comes while it forks, so
    whoever goes on for long asks now and then.
    """
    told = []

    def stop(number, _frame):
        for name in NUMBERS:
            signal.signal(name, signal.SIG_IGN)
        told.append(error("stopped by %s" % signal.Signals(number).name))
        raise told[0]

    def check():
        if told:
            raise told[0]

    for number in NUMBERS:
        signal.signal(number, stop)
    return check


def commands(run_command, check):
    """Return `run_command` of a module, which lets signals through, and where one has torn a new process before it was
    its program says that the module was told to stop.

    check: what raise_as has returned.
    """
    def run(words):
        try:
            # Else a signal that comes while a command runs would end the module at once.
            return run_command(words, handle_exceptions=False)
        except subprocess.SubprocessError:
            check()
            raise
    return run
