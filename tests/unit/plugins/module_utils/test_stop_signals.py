"""A signal to stop becomes one exception."""

import os
import signal
import subprocess

import pytest
from ansible_collections.inference.host.plugins.module_utils import stop_signals


class Stopped(Exception):
    pass


class Told:
    """Is told to stop where Python drops exceptions, as it does while it forks."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def check():
    before = {one: signal.getsignal(one) for one in stop_signals.NUMBERS}
    yield stop_signals.raise_as(Stopped)
    for one, handler in before.items():
        signal.signal(one, handler)


@pytest.mark.parametrize("number", stop_signals.NUMBERS)
def test_the_first_signal_raises_and_the_next_ones_do_not(check, number):
    check()
    with pytest.raises(Stopped, match=f"stopped by {number.name}"):
        os.kill(os.getpid(), number)
    for one in stop_signals.NUMBERS:
        os.kill(os.getpid(), one)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_whose_exception_was_dropped_is_told_when_asked(check):
    Told()
    with pytest.raises(Stopped, match="stopped by SIGTERM"):
        check()


def test_a_signal_that_reached_a_new_process_first_is_no_fault_of_the_command():
    def torn(_words, handle_exceptions):
        assert not handle_exceptions
        raise subprocess.SubprocessError("Exception occurred in preexec_fn.")

    def told():
        raise Stopped

    with pytest.raises(Stopped):
        stop_signals.commands(torn, told)(["true"])
    with pytest.raises(subprocess.SubprocessError):
        stop_signals.commands(torn, lambda: None)(["true"])
    assert stop_signals.commands(lambda words, **_how: (0, words, ""), told)(["true"]) == (0, ["true"], "")
