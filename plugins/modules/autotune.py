#!/usr/bin/python
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Searches the fastest values of a service on its host; the thinking is in module_utils/autotune_*.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: autotune
short_description: Searches the threads, batches and placement with which an instance of llama.cpp is fastest
version_added: 0.1.0
author:
  - inference.host contributors (@inference-host)
description:
  - Runs C(llama-bench) of the instance's own build on its model, on its CPUs and with its memory policy, with one
    choice of values after the other, and compares the best with what the service has now, turn by turn.
  - What was measured is kept on the host, so that a run that was cut goes on from there.
  - While the instance's unit runs the module refuses, unless it may stop it. Then nginx drains it first, and it is
    started again at the end, whatever happens. systemd does so as soon as the module is gone, also where it was killed.
  - In check mode nothing runs and nothing is stopped.
options:
  instance:
    description: The instance as it stands in the plan, of runtime C(llama_cpp).
    type: dict
    required: true
  space:
    description: What is searched, as filter P(inference.host.autotune_jobs#filter) says it.
    type: dict
    required: true
  cpu:
    description: Name of the processor; trials of another one do not count.
    type: str
    default: ''
  engine_path:
    description: Path of C(llama-server); C(llama-bench) is looked for beside it.
    type: path
    required: true
  engine_version:
    description: Version of the engine; trials of another one do not count.
    type: str
    default: ''
  models_dir:
    description: Folder of all models on the host.
    type: path
    required: true
  state:
    description: Folder on the host that keeps the trials.
    type: path
    default: /var/lib/inference.host/autotune
  limit_seconds:
    description: Longest time of search and comparison. The full sweep, where it is wished, may take as long again.
    type: int
    default: 1800
  contexts:
    description: Context lengths to choose from; nothing is measured of them where there is none.
    type: list
    elements: int
    default: []
  context_loss_percent:
    description: The largest context that slows generation down by no more than this is taken.
    type: float
    default: 20
  sweep:
    description: Whether everything that can be chosen is measured as well, to judge the search by.
    type: bool
    default: false
  forget:
    description: Whether trials that the host has are forgotten.
    type: bool
    default: false
  stop:
    description: Whether the instance's unit may be stopped for the time.
    type: bool
    default: false
  nice:
    description: Nice level of the instance.
    type: int
    default: 0
  noise_percent:
    description: Share of the engine's CPUs that others may take before nothing is judged.
    type: float
    default: 10
  spread_percent:
    description: How far apart the repeats of the comparison may lie.
    type: float
    default: 25
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - inference.host.attributes.reads
"""

EXAMPLES = r"""
- name: Search for the first service
  inference.host.autotune:
    instance: "{{ job.instance }}"
    space: "{{ job.space }}"
    engine_path: /opt/inference/llama.cpp/1ec1870634b5/bin/llama-server
    models_dir: /var/lib/inference/models
    stop: true
  vars:
    job: "{{ inference_plan | inference.host.autotune_jobs(inference_topology, inference_services) | first }}"
  register: tuned
"""

RETURN = r"""
tuned:
  description: >-
    What became of it. C(verdict) (better, worse, no difference, not judged) with C(why_not), C(found), C(winner) and
    C(kept) (what should run from now on), C(before) and C(after) (tokens a second of a whole request, with spread),
    C(trials), C(points), C(known) (trials that the host had before), C(cut), C(context), C(contexts) and C(sweep). Null
    in check mode.
  returned: success
  type: dict
stopped:
  description: Whether the unit was, or in check mode would be, stopped for the time.
  returned: success
  type: bool
"""

import contextlib
import os
import select

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.inference.host.plugins.module_utils import (
    autotune_bench,
    bench_host,
    bench_unit,
    engine_run,
    llama_bench,
    stop_signals,
    systemd,
)
from ansible_collections.inference.host.plugins.module_utils.autotune_space import Space
from ansible_collections.inference.host.plugins.module_utils.autotune_trials import Trials
from ansible_collections.inference.host.plugins.module_utils.autotune_tune import Tuner
from ansible_collections.inference.host.plugins.module_utils.engine import model_path, needed_path
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError

ARGUMENT_SPEC = {
    "instance": {"type": "dict", "required": True},
    "space": {"type": "dict", "required": True},
    "cpu": {"type": "str", "default": ""},
    "engine_path": {"type": "path", "required": True},
    "engine_version": {"type": "str", "default": ""},
    "models_dir": {"type": "path", "required": True},
    "state": {"type": "path", "default": "/var/lib/inference.host/autotune"},
    "limit_seconds": {"type": "int", "default": 1800},
    "contexts": {"type": "list", "elements": "int", "default": []},
    "context_loss_percent": {"type": "float", "default": 20},
    "sweep": {"type": "bool", "default": False},
    "forget": {"type": "bool", "default": False},
    "stop": {"type": "bool", "default": False},
    "nice": {"type": "int", "default": 0},
    "noise_percent": {"type": "float", "default": 10},
    "spread_percent": {"type": "float", "default": 25},
}
MORE_SECONDS = 600
"""Beyond its limit, the module is given up after so long."""
MEASURED_WITH = ("cache_type", "arguments", "load_mode", "allocator", "memory_lock", "gpus")
"""Of the instance, what trials hold for."""


def main():
    """Carry the arguments to the search and its answer back."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    check_stop = stop_signals.raise_as(llama_bench.BenchError)
    host = systemd.Systemd(stop_signals.commands(module.run_command, check_stop))
    try:
        result = run(module.params, host, module.check_mode, check_stop)
    except (llama_bench.BenchError, PlanError, systemd.UnitError, engine_run.EngineError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


def run(params, host, check_mode, check_stop):
    """Search, and return the module's result."""
    instance, space = params["instance"], Space(params["space"])
    program = bench_host.program_beside(
        params["engine_path"], ", and without it nothing can be measured; install an engine that has it.")
    model = needed_path(instance, model_path(instance, params["models_dir"]))
    guard = autotune_bench.guard_unit(instance)
    if host.is_up(guard):
        raise PlanError("%s runs: another search of %s has not ended; wait for it, or stop that unit, which starts the "
                        "service again." % (guard, instance["name"]))
    running = bench_host.must_stop(
        host, instance["unit"], params["stop"], "autotune_stop_instances is false: set it to true.")
    if check_mode:
        return {"tuned": None, "stopped": running}
    options = bench_host.options_of(program)
    trials = Trials(os.path.join(params["state"], instance["service"] + ".json"), fingerprint(params, model),
                    params["forget"])
    bench = autotune_bench.Bench(
        host, instance, space, program, model, options, params["nice"], params["noise_percent"],
        lambda: still_wanted(host, guard if running else None, check_stop))
    host.call("stop", bench_unit.transient_unit(instance))
    if running:
        start_guard(host, params)
    try:
        if running:
            host.must(instance["unit"], "stop")
        tuned = Tuner(space, bench, trials).run(
            params["limit_seconds"], params["contexts"], params["context_loss_percent"], params["spread_percent"],
            params["sweep"])
    finally:
        host.call("stop", bench_unit.transient_unit(instance))
        with contextlib.suppress(OSError):
            bench.place_model(instance["numa_policy"])
        if running:
            host.call("stop", guard)
            # It also waits until the engine is healthy, which the guard's end has begun already.
            host.must(instance["unit"], "start")
    return {"tuned": dict(tuned, known=trials.known), "stopped": running}


def start_guard(host, params):
    """Start what brings the unit back when this process is gone. It is also a lock: there is one of its name."""
    seconds = params["limit_seconds"] * (2 if params["sweep"] else 1) + MORE_SECONDS
    status, _output, said = host.run(autotune_bench.guard_words(params["instance"], os.getpid(), seconds))
    if status:
        raise llama_bench.BenchError("%s could not be started, so that %s is left running: %s" % (
            autotune_bench.guard_unit(params["instance"]), params["instance"]["unit"], said.strip()))


def still_wanted(host, guard, check_stop):
    """Raise BenchError when the module was told to stop, nobody listens to it any more, or its guard has gone."""
    check_stop()
    poll = select.poll()
    poll.register(1, 0)
    if any(event & (select.POLLERR | select.POLLHUP) for _handle, event in poll.poll(0)):
        raise llama_bench.BenchError("the connection was lost")
    if guard and not host.is_up(guard):
        raise llama_bench.BenchError("%s has ended, and the service runs again; a repeat goes on from here" % guard)


def fingerprint(params, model):
    """Return what trials hold for."""
    space, instance = params["space"], params["instance"]
    return {
        "engine": [os.path.realpath(params["engine_path"]), params["engine_version"]],
        "model": [instance["model_file"], os.stat(model).st_size], "cpu": params["cpu"], "cpus": space["cpus"],
        "numa": space["numa"], "tokens": [space["prompt_tokens"], space["generate_tokens"]], "nice": params["nice"],
        "instance": {key: instance[key] for key in MEASURED_WITH}}


if __name__ == "__main__":
    main()
