# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program of role watch: reads the host back, writes what it found as metrics, or shows what is not as planned.

    inference-watch              what the timer runs: reads watch.json, writes inference.prom
    inference-watch --print      shows the rows that are not as planned; exit status 1 where there are any
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time

from ansible_collections.inference.host.plugins.module_utils import atomic
from ansible_collections.inference.host.plugins.module_utils.plan_table import table
from ansible_collections.inference.host.plugins.module_utils.prometheus_text import prometheus_text
from ansible_collections.inference.host.plugins.module_utils.watch_metrics import not_as_planned, watch_metrics
from ansible_collections.inference.host.plugins.module_utils.watch_read import Reader
from ansible_collections.inference.host.plugins.module_utils.watch_sealed import text_of

WANTED = "/etc/inference.host/watch.json"
NAME = "inference.prom"
COLUMNS = ("area", "setting", "wanted", "found", "status", "note")


def main(arguments=None):
    """Return the exit status: 0 also where parts could not be read, which the metrics say."""
    parser = argparse.ArgumentParser(prog="inference-watch", description="Compares this host with its plan.")
    parser.add_argument("--print", action="store_true", dest="show", help="show what is not as planned, write nothing")
    parser.add_argument("--wanted", default=WANTED, help="the file of role watch (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        with open(options.wanted, encoding="utf-8") as stream:
            wanted = json.load(stream)
        return show(wanted) if options.show else write(wanted)
    except ValueError as error:
        say("%s is not as role watch has written it: %s." % (options.wanted, error), sys.stderr)
    except OSError as error:
        say("%s cannot be used: %s." % (error.filename, atomic.words(error)), sys.stderr)
    return 2


def write(wanted, reader=None):
    """Read the host and replace the file of metrics as a whole."""
    path = "%s/%s" % (wanted["textfile_dir"], NAME)
    found = (reader or Reader(wanted)).read()
    families = watch_metrics(wanted, found, round(time.time(), 3), last_whole(text_of(path)))
    atomic.write(path, prometheus_text(families).encode("utf-8"), 0o644)
    for sentence in found["failures"]:
        say("Not read: %s." % sentence, sys.stderr)
    for service, answer in (found["probes"] or {}).items():
        if answer["error"] is not None:
            say("The probe of %s failed: %s." % (service, answer["error"].rstrip(".")), sys.stderr)
    return 0


def show(wanted, reader=None):
    """Print the rows that are not as planned; return 1 where there are any, 2 where something could not be read."""
    wanted = dict(wanted, probe=dict(wanted["probe"], services=[]))
    found = (reader or Reader(wanted)).read()
    rows = not_as_planned(found["rows"] or [])
    if rows:
        say("\n".join(table([name.upper() for name in COLUMNS], [[row[name] for name in COLUMNS] for row in rows])))
    elif not found["failures"]:
        say("%s is as planned." % wanted["host"])
    for sentence in found["failures"]:
        say("Not read: %s." % sentence, sys.stderr)
    return 2 if found["failures"] else 1 if rows else 0


def say(text, stream=None):
    """Write a line: to the terminal or the journal, where this runs as a program of its own."""
    (stream or sys.stdout).write(text + "\n")


def last_whole(text):
    """Return the time of the last whole reading in a file of metrics, None without one."""
    found = re.search(r"^inference_watch_timestamp_seconds ([0-9]+(?:\.[0-9]+)?)$", text, re.MULTILINE)
    return float(found.group(1)) if found else None
