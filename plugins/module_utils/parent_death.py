# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A process that does not outlive the one that started it."""

from __future__ import annotations

import ctypes
import signal

PR_SET_PDEATHSIG = 1
# Loaded now: between fork and exec it may be too late.
LIBC = ctypes.CDLL(None)


def die_with_parent():
    """Let the kernel end this process when its parent ends. A change of user afterwards takes that back."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
