# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
module: long_command
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: Run a long command on the host and show its progress
description:
  - Runs a command detached from the connection and prints the last line of its output while it runs.
  - A lost connection or an interrupted run does not end it. The next run with the same O(folder) follows the command
    that is still running instead of starting another.
options:
  argv:
    description: The command and its arguments. No shell is involved.
    type: list
    elements: str
    required: true
  folder:
    description: Folder for the lock, the output (C(log)) and the exit status (C(status)); the command starts in it.
    type: path
    required: true
  title:
    description: What is shown before each line of progress.
    type: str
    required: true
  report_seconds:
    description: Seconds between two lines of progress.
    type: int
    default: 15
  progress:
    description: Regular expression; only lines of output that it is found in are shown as progress.
    type: str
    default: ""
requirements:
  - flock and setsid (util-linux) on the host
attributes:
  check_mode:
    support: full
    description: The command is not run in check mode; the task reports a change.
  diff_mode:
    support: none
    description: There is nothing to compare.
  action:
    support: full
    description: Runs on the controller.
"""

EXAMPLES = """
- name: Build the engine
  inference.host.long_command:
    title: llama.cpp
    folder: /var/tmp/inference-build
    argv:
      - /bin/sh
      - /var/tmp/inference-build/build.sh
"""

RETURN = """
rc:
  description: Exit status of the command; anything but 0 fails the task and shows the end of its output.
  type: int
  returned: success
"""
