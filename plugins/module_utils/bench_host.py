# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What modules benchmark_engine and autotune need of a host before they measure an engine on it."""

from __future__ import annotations

import os

from ansible_collections.inference.host.plugins.module_utils import engine_run, llama_bench
from ansible_collections.inference.host.plugins.module_utils.engine_version import option_names
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError

HELP_SECONDS = 30


def program_beside(engine_path, advice):
    """Return the path of llama-bench beside llama-server; raise PlanError where it is not there.

    advice: the rest of the sentence, which begins "PATH is not there".
    """
    program = os.path.join(os.path.dirname(engine_path), llama_bench.PROGRAM)
    if not os.access(program, os.X_OK):
        raise PlanError("%s is not there%s" % (program, advice))
    return program


def options_of(program):
    """Return the names of a program's options, as its --help has them. Raises EngineError."""
    return option_names(engine_run.ask([program, "--help"], HELP_SECONDS)[1])


def must_stop(host, unit, allowed, advice):
    """Return whether a unit has to be stopped to measure its engine; raise PlanError where it runs and may not be.

    host: Systemd. advice: the rest of the sentence, which names the variable that allows it.
    """
    running = host.is_up(unit)
    if running and not allowed:
        raise PlanError("%s runs, and beside it its engine cannot be measured; %s" % (unit, advice))
    return running
