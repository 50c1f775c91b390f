# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Starts a program that is not trusted yet: as user nobody, in a folder of its own, under a time limit."""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import resource
import shutil
import signal
import subprocess
import tempfile

from ansible_collections.inference.host.plugins.module_utils.atomic import words
from ansible_collections.inference.host.plugins.module_utils.parent_death import die_with_parent

SCRATCH = "inference-engine-"

SHOWN_LINES = 4
"""So many last lines of a program's output stand in an error."""
LONGEST = 600


class EngineError(ValueError):
    """One sentence that names the engine and what is wrong with it."""


@contextlib.contextmanager
def scratch():
    """A folder that only user nobody may enter (or the caller, who is not root); it goes with all that is in it."""
    folder = tempfile.mkdtemp(prefix="%s%d-" % (SCRATCH, os.getpid()))
    try:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep():
    """Remove the folders of runs that were killed."""
    for folder in glob.glob(os.path.join(tempfile.gettempdir(), SCRATCH + "*")):
        number = os.path.basename(folder)[len(SCRATCH):].split("-")[0]
        if not os.path.exists("/proc/" + number) and not os.path.islink(folder):
            shutil.rmtree(folder, ignore_errors=True)


def give(path, data):
    """Write a file that the program may read."""
    with open(path, "wb") as stream:
        stream.write(data)
        os.fchmod(stream.fileno(), 0o644)


def start(argv, folder):
    """Start a program in a session of its own, with `folder` as its home; its output goes to `folder`/log.

    Returns the subprocess.Popen. Raises EngineError for what cannot be started.
    """
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8",
                   "OMP_NUM_THREADS": "1"}
    with open(os.path.join(folder, "log"), "wb") as log:
        try:
            return subprocess.Popen(  # pylint: disable=ansible-bad-function
                argv, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=_become_nobody)
        except (OSError, subprocess.SubprocessError) as error:
            says = words(error) if isinstance(error, OSError) else str(error)
            raise EngineError("%s cannot be started: %s" % (argv[0], says)) from None


def _become_nobody():
    """In the new process: no core files, no rights, and no life without the one that started it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
    # Last, for a change of user takes it back.
    die_with_parent()


def stop(process):
    """End the program with all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def output(folder):
    """Return what the program has said."""
    with open(os.path.join(folder, "log"), "rb") as log:
        return log.read().decode("utf-8", "replace")


def last_words(folder):
    """Return the end of what the program has said, on one line."""
    said = " | ".join(line.strip() for line in output(folder).splitlines()[-SHOWN_LINES:] if line.strip())
    return said[-LONGEST:] or "it said nothing"


def death(status, folder, doing):
    """Return in words how a program ended that should not have; `doing`: at what.

    A shell that started it says 128 and the signal's number.
    """
    if 128 < status < 128 + signal.NSIG:
        status = 128 - status
    if status == -signal.SIGILL:
        return "died of an illegal instruction (SIGILL) %s: it was built for another processor" % doing
    if status < 0:
        return "was ended by signal %s %s; its last words: %s" % (
            signal.Signals(-status).name, doing, last_words(folder))
    return "ended with status %d %s; its last words: %s" % (status, doing, last_words(folder))


def ask(argv, seconds):
    """Return (exit status, output) of a program that only says something, such as its version.

    Raises EngineError for one that does not start, is ended by a signal, or takes too long.
    """
    with scratch() as folder:
        process = start(argv, folder)
        doing = "on %s" % " ".join(argv[1:])
        try:
            status = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise EngineError("%s did not end within %d s %s" % (argv[0], seconds, doing)) from None
        finally:
            stop(process)
        if status < 0 or status in (126, 127):
            raise EngineError("%s %s" % (argv[0], death(status, folder, doing)))
        return status, output(folder)
