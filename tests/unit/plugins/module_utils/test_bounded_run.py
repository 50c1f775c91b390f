"""Programs that hang, fail or print without end are stopped, and what they said is kept short."""

import os
import time
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.bounded_run import Ran, in_brackets, run_bounded


def shell(script, seconds=20):
    return run_bounded(["/bin/sh", "-c", script], seconds)


def test_what_a_program_prints():
    assert shell("echo one; echo two >&2; echo three") == Ran("one\nthree\n", None, False)


def test_a_failure_has_the_first_lines_and_what_was_printed():
    ran = shell("echo part; echo 'no   card\t!' >&2; exit 6")
    assert ran == Ran("part\n", "it ended with status 6 (no   card?!; part)", False)
    assert shell("exit 9") == Ran("", "it ended with status 9", False)
    assert shell("kill -9 $$").reason == "it ended with status -9"


def test_no_more_than_three_short_printable_lines_are_kept():
    words = in_brackets("\n\n" + "\x1b[31m" + "x" * 999 + "\n\u00fc\nthree\nfour\n")
    assert words == " (?[31m%s; ?; three)" % ("x" * 155)
    assert in_brackets(" \n") == ""


@pytest.mark.parametrize("script", ["yes", "yes >&2", "yes & yes >&2"])
def test_output_without_end_is_stopped(script):
    assert shell(script) == Ran(None, "it printed more than 1048576 bytes", False)


def test_output_on_both_ways_does_not_block():
    ran = shell("head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero; exit 1")
    assert (len(ran.output), ran.hung) == (300000, False)


@pytest.mark.parametrize(
    "script",
    [
        "sleep 600 & echo $! > child; wait",
        # It closes what it prints to, and stays.
        "exec sh -c 'echo $$ > child; exec sleep 600' > /dev/null 2>&1",
    ],
)
def test_a_program_that_hangs_is_killed_with_its_children(tmp_path, script):
    started = time.monotonic()
    ran = shell("cd %s; %s" % (tmp_path, script), 0.5)
    assert ran == Ran(None, "it did not end in time", True)
    assert time.monotonic() - started < 30
    child = int((tmp_path / "child").read_text())
    for _attempt in range(1000):  # the kernel ends it, and init collects it, in their own time
        if not os.path.exists(f"/proc/{child}") or "\nState:\tZ" in Path(f"/proc/{child}/status").read_text():
            break
        os.sched_yield()
    else:
        pytest.fail("the child of the program is still there")


@pytest.mark.parametrize("path", ["/nonexistent/nvidia-smi", "nul\0byte"])
def test_a_program_that_is_not_there(path):
    ran = run_bounded([path], 1)
    assert ran.output is None and not ran.hung
    assert ran.reason.startswith("it cannot be started (")
