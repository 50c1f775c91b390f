#!/usr/bin/python
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measures an instance's engine without its server; the thinking is in module_utils/llama_bench.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: benchmark_engine
short_description: Measures an instance of llama.cpp by llama-bench, where the instance runs
version_added: 0.1.0
author:
  - inference.host contributors (@inference-host)
description:
  - Runs C(llama-bench) of the instance's own build on the instance's model, with its threads and batches, on its CPUs
    and with its memory policy (a transient unit of systemd), and returns the speed of prompts and of generation.
  - Measuring beside the running engine would measure two that share the CPUs. While the instance's unit runs the module
    refuses, unless it may stop it; then nginx drains the unit first, and it is started again at the end, whatever
    happens. systemd does so even where the module is killed.
  - In check mode nothing runs and nothing is stopped.
options:
  instance:
    description: The instance as it stands in the plan, of runtime C(llama_cpp).
    type: dict
    required: true
  engine_path:
    description: Path of C(llama-server); C(llama-bench) is looked for beside it.
    type: path
    required: true
  models_dir:
    description: Folder of all models on the host.
    type: path
    required: true
  shape:
    description: What is measured, as filter P(inference.host.benchmark_jobs#filter) completes it, of level V(engine).
    type: dict
    required: true
  stop:
    description: Whether the instance's unit may be stopped for the time.
    type: bool
    default: false
  nice:
    description: Nice level of the instance.
    type: int
    default: 0
  noise_percent:
    description: A run during which others took more than this share of the engine's CPUs is not judged.
    type: float
    default: 10
  spread_percent:
    description: A run whose repeats lie further apart is not judged.
    type: float
    default: 25
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - inference.host.attributes.reads
"""

EXAMPLES = r"""
- name: Measure the first instance without its server
  inference.host.benchmark_engine:
    instance: "{{ inference_plan.instances | first }}"
    engine_path: /opt/inference/llama.cpp/1ec1870634b5/bin/llama-server
    models_dir: /var/lib/inference/models
    stop: true
    shape:
      name: mine
      level: engine
      prompts: [512]
      generate: [128]
  register: measured
"""

RETURN = r"""
runs:
  description: What was measured, a length each, with the keys of M(inference.host.benchmark_load)'s C(run).
  returned: success
  type: list
  elements: dict
stopped:
  description: Whether the unit was, or in check mode would be, stopped for the time.
  returned: success
  type: bool
"""

import math
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.inference.host.plugins.module_utils import (
    bench_host,
    bench_shapes,
    bench_state,
    bench_stats,
    bench_unit,
    engine_run,
    llama_bench,
    stop_signals,
    systemd,
)
from ansible_collections.inference.host.plugins.module_utils.engine import model_path, needed_path
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError

ARGUMENT_SPEC = {
    "instance": {"type": "dict", "required": True},
    "engine_path": {"type": "path", "required": True},
    "models_dir": {"type": "path", "required": True},
    "shape": {"type": "dict", "required": True},
    "stop": {"type": "bool", "default": False},
    "nice": {"type": "int", "default": 0},
    "noise_percent": {"type": "float", "default": 10},
    "spread_percent": {"type": "float", "default": 25},
}
SHOWN = 400


def main():
    """Carry the arguments to llama-bench and its answer back."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    check_stop = stop_signals.raise_as(llama_bench.BenchError)
    host = systemd.Systemd(stop_signals.commands(module.run_command, check_stop))
    try:
        result = run(module.params, host, module.check_mode, check_stop)
    except (llama_bench.BenchError, PlanError, systemd.UnitError, engine_run.EngineError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


def run(params, host, check_mode, check_stop):
    """Measure, and return the module's result."""
    instance = params["instance"]
    (shape,) = bench_shapes.shapes_of([params["shape"]])
    if shape["level"] != "engine":
        raise PlanError("shape %s has level service; module benchmark_load measures that." % shape["name"])
    program = bench_host.program_beside(
        params["engine_path"], "; the engine was installed without it, so leave shapes of level engine out of "
        "benchmark_shapes, or install one that has it.")
    model = needed_path(instance, model_path(instance, params["models_dir"]))
    running = bench_host.must_stop(
        host, instance["unit"], params["stop"], "benchmark_stop_instances is false: set it to true, or leave shapes of "
        "level engine out of benchmark_shapes.")
    if check_mode:
        return {"runs": [], "stopped": running}
    options = bench_host.options_of(program)
    commands = llama_bench.bench_commands(instance, program, model, shape, options)
    deadline = time.monotonic() + shape["limit_seconds"]
    try:
        runs = [one for command in commands
                for one in measure(params, deadline, command, host, instance["unit"] if running else None, check_stop)]
    finally:
        host.call("stop", bench_unit.transient_unit(instance))
        if running:
            # Our stops and starts are no failures that its restart.tries may count.
            host.call("reset-failed", instance["unit"])
            # It also waits until the engine is healthy, which systemd may have begun already.
            host.must(instance["unit"], "start")
    return {"runs": runs, "stopped": running}


def measure(params, deadline, command, host, unit, check_stop):
    """Run llama-bench once, until a time of the clock at most, and return its runs."""
    instance, cpus = params["instance"], [int(cpu) for cpu in params["instance"]["cpus"]]
    if unit:
        # Once more before a second call: after the first systemd brings it back.
        host.must(unit, "stop")
    machine = bench_state.Machine(cpus)
    before, watch, began = machine.snapshot({}), bench_state.Watch(machine, [], False), time.monotonic()
    seconds = max(1, math.ceil(deadline - began))
    check_stop()
    status, output, said = host.run(bench_unit.transient_words(instance, command, seconds, params["nice"], unit))
    check_stop()
    if status:
        raise llama_bench.BenchError("llama-bench on the CPUs of %s did not succeed within %d s (status %d): %s" % (
            instance["name"], seconds, status, " ".join(said.split())[-SHOWN:] or "it said nothing"))
    during = watch.during(time.monotonic() - began, bench_unit.cpu_seconds(said))
    state = {"before": before, "after": machine.snapshot({}), "during": during}
    return [finish(one, instance, during, state, params) for one in llama_bench.parse(output)]


def finish(one, instance, during, state, limits):
    """Return a run of llama-bench with what the results have besides."""
    why_not = bench_stats.why_not_judged(one["repeats"], dict(during, client_percent=None), limits)
    left = llama_bench.shared_arguments(instance["arguments"])[1]
    return dict(
        one, level="engine", service=instance["service"], state=state, first_error=None,
        parameters=dict(one["parameters"], instance=instance["name"], not_taken=left),
        summary=bench_stats.summary_of(one["repeats"]), judged=why_not is None, why_not=why_not)


if __name__ == "__main__":
    main()
