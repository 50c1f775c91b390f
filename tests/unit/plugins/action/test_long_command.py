"""The action plugin long_command, run by ansible-playbook on this machine."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
PATIENCE_SECONDS = 60
# Counts its starts, says that it works and waits for the word to end.
WAITING = "echo x >>starts; echo noise; echo 'step 1'; echo 'more noise'; while [ ! -e go ]; do sleep 0.1; done"


class Run:
    """One run of a playbook with the task, whose output can be awaited."""

    def __init__(self, book, flags):
        environment = dict(os.environ, ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".collections"),
                           ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_CALLBACK_RESULT_FORMAT="json",
                           ANSIBLE_LOCAL_TEMP=str(book.parent / "tmp"), ANSIBLE_NOCOLOR="1", LC_ALL="C.UTF-8")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", str(book), *flags],
            env=environment, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True)
        self.lines = []
        # A run that hangs is ended, so that reading its output comes to an end too.
        self.watchdog = threading.Timer(PATIENCE_SECONDS, self.kill)
        self.watchdog.start()

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)

    def wait_for(self, words):
        for line in self.process.stdout:
            self.lines.append(line)
            if words in line:
                return
        raise AssertionError("%r did not come in:\n%s" % (words, "".join(self.lines)))

    def end(self):
        """The exit status and all output."""
        if not self.process.stdout.closed:
            with self.process.stdout:
                self.lines += self.process.stdout
        status = self.process.wait()
        self.watchdog.cancel()
        return status, "".join(self.lines)


@pytest.fixture
def start(tmp_path):
    """A function that starts a playbook with the task; the task's folder is `work folder` in tmp_path."""
    runs = []

    def start(*argv, check=False, **arguments):
        task = {"argv": list(argv), "folder": str(tmp_path / "work folder"), "title": "engine", "report_seconds": 1}
        task.update(arguments)
        book = tmp_path / ("%d.yml" % len(runs))
        tasks = [{"inference.host.long_command": task, "register": "answer"},
                 {"ansible.builtin.debug": {"msg": "{{ answer | to_json }}"}}]
        book.write_text(json.dumps([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks,
                                     "vars": {"ansible_python_interpreter": sys.executable}}]))
        runs.append(Run(book, ["--check"] if check else []))
        return runs[-1]

    yield start
    (tmp_path / "work folder").mkdir(exist_ok=True)
    (tmp_path / "work folder" / "go").touch()
    for run in runs:
        run.kill()
        run.end()


def test_progress_is_shown_while_the_command_runs(start, tmp_path):
    run = start("sh", "-c", WAITING, progress="^step")
    run.wait_for("localhost: engine: step 1")
    assert not (tmp_path / "work folder" / "status").exists()
    (tmp_path / "work folder" / "go").touch()
    status, output = run.end()
    assert status == 0 and "changed=1" in output
    assert "noise" not in output
    assert (tmp_path / "work folder" / "status").read_text() == "0\n"


def test_a_failing_command_shows_the_end_of_its_output(start, tmp_path):
    status, output = start("sh", "-c", "seq 100 140; echo 'the compiler is missing' >&2; exit 3").end()
    assert status == 2 and "failed=1" in output
    assert "engine failed with status 3; the end of %s/log is:" % (tmp_path / "work folder") in output
    assert "the compiler is missing" in output and "140" in output and "100" not in output.split("log is:")[1]


def test_words_reach_the_command_as_they_are(start, tmp_path):
    words = ["it's", "$HOME", "a  b", "{folder}", '"', "\\", "*", ";", "", "é"]
    status, output = start("printf", "%s\n", *words).end()
    assert status == 0, output
    assert (tmp_path / "work folder" / "log").read_text() == "".join(word + "\n" for word in words)


def test_a_second_run_follows_the_command_of_the_first(start, tmp_path):
    first = start("sh", "-c", WAITING)
    first.wait_for("engine: more noise")
    second = start("sh", "-c", WAITING)
    second.wait_for("engine: more noise")
    (tmp_path / "work folder" / "go").touch()
    for run in (first, second):
        status, output = run.end()
        assert status == 0 and "changed=1" in output, output
    assert (tmp_path / "work folder" / "starts").read_text() == "x\n"


def test_an_interrupted_run_is_taken_up_by_the_next(start, tmp_path):
    first = start("sh", "-c", WAITING)
    first.wait_for("engine: more noise")
    first.kill()
    second = start("sh", "-c", WAITING)
    second.wait_for("engine: more noise")
    (tmp_path / "work folder" / "go").touch()
    assert second.end()[0] == 0
    assert (tmp_path / "work folder" / "starts").read_text() == "x\n"


def test_what_ended_before_is_run_again_and_its_status_is_not_believed(start, tmp_path):
    assert start("sh", "-c", "echo x >>starts").end()[0] == 0
    assert start("sh", "-c", "echo x >>starts; exit 1").end()[0] == 2
    assert (tmp_path / "work folder" / "starts").read_text() == "x\nx\n"


def test_a_command_that_was_killed_is_lost_and_not_well(start):
    status, output = start("sh", "-c", "echo 'about to go'; kill -9 $PPID").end()
    assert status == 2
    assert "engine failed with status lost" in output and "about to go" in output


def test_check_mode_runs_nothing(start, tmp_path):
    status, output = start("touch", str(tmp_path / "touched"), check=True).end()
    assert status == 0 and "changed=1" in output and "engine would run" in output
    assert not (tmp_path / "touched").exists() and not (tmp_path / "work folder").exists()


def test_a_folder_that_cannot_be_made_is_named(start, tmp_path):
    (tmp_path / "file").touch()
    status, output = start("true", folder=str(tmp_path / "file" / "below")).end()
    assert status == 2
    assert "engine could not be followed in %s/file/below: " % tmp_path in output
    assert "Not a directory" in output or "cannot create" in output
