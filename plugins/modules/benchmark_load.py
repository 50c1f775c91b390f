#!/usr/bin/python
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measures a service under a load; the thinking is in module_utils/bench_load.py and bench_stats.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: benchmark_load
short_description: Measures a service that completes texts, by asking it as its clients do
version_added: 0.1.0
author:
  - inference.host contributors (@inference-host)
description:
  - Asks a service for completions as event streams, so many at a time, counts the tokens as they come, and returns
    tokens and requests per second, the time to the first token and for each further one, in repeats with their spread.
  - No two prompts begin alike, so that caches of prefixes do not flatter. The length of a word in tokens is what the
    engine says in two trial requests. These and one request of each user before the first repeat are dropped.
  - Records beside it how busy, fast and warm the machine was. Where others took its CPUs, too many requests failed or
    the repeats lie far apart, the run says so instead of being judged.
  - Needs nothing but Python. It changes nothing, but it is work for the service. In check mode nothing is asked.
options:
  url:
    description: URL of the service, to which C(/v1/completions) is added.
    type: str
    required: true
  service:
    description: Name of the service, which is the name of its model to clients.
    type: str
    required: true
  shape:
    description: The load, as filter P(inference.host.benchmark_jobs#filter) completes it, with C(level) V(service).
    type: dict
    required: true
  api_key:
    description: Key that clients have to show.
    type: str
  instances:
    description:
      - The instances of the service on the machine that the module runs on, as they stand in the plan. Of each are read
        C(name), C(unit) and C(cpus). Without any the machine is not watched.
    type: list
    elements: dict
    default: []
  cpus:
    description: CPUs on which the module itself runs, so that it takes none of the engine's. Empty means any.
    type: list
    elements: int
    default: []
  ca_file:
    description: File with the certificates of who is trusted, for C(https).
    type: path
  validate_certs:
    description: Whether certificates are checked, for C(https).
    type: bool
    default: true
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
- name: Four users who ask one after the other
  inference.host.benchmark_load:
    url: http://127.0.0.1:8080/chat
    service: chat
    shape:
      name: mine
      level: service
      users: 4
      prompt_tokens: 512
      max_tokens: 128
      requests: 8
      repeats: 5
      limit_seconds: 600
      ramp_seconds: 0
      hold_seconds: 0
      down_seconds: 0
    instances: "{{ inference_plan.instances | selectattr('service', 'equalto', 'chat') }}"
  register: measured
"""

RETURN = r"""
run:
  description: What was measured; null in check mode.
  returned: success
  type: dict
  contains:
    level:
      description: Always V(service).
      type: str
    service:
      description: Name of the service.
      type: str
    shape:
      description: Name of the shape.
      type: str
    parameters:
      description: The shape's numbers, and how many tokens the prompts really had (C(prompt_tokens_told)).
      type: dict
    repeats:
      description: What each repeat came to.
      type: list
      elements: dict
    summary:
      description: Median, lowest and highest repeat of each metric; of times the percentiles of all requests, too.
      type: dict
    judged:
      description: Whether the run may be compared with another.
      type: bool
    why_not:
      description: Why it may not, or null.
      type: str
    first_error:
      description: What was wrong with the first request that failed, or null.
      type: str
    state:
      description: The machine before and after, and whose time its CPUs were during the run; null where not watched.
      type: dict
"""

import asyncio
import os
import secrets
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.inference.host.plugins.module_utils import (
    bench_load,
    bench_shapes,
    bench_state,
    bench_stats,
    bench_stream,
    systemd,
)

ARGUMENT_SPEC = {
    "url": {"type": "str", "required": True},
    "service": {"type": "str", "required": True},
    "shape": {"type": "dict", "required": True},
    "api_key": {"type": "str", "no_log": True},
    "instances": {"type": "list", "elements": "dict", "default": []},
    "cpus": {"type": "list", "elements": "int", "default": []},
    "ca_file": {"type": "path"},
    "validate_certs": {"type": "bool", "default": True},
    "noise_percent": {"type": "float", "default": 10},
    "spread_percent": {"type": "float", "default": 25},
}
KEPT = ("users", "prompt_tokens", "max_tokens", "requests", "ramp_seconds", "hold_seconds", "down_seconds")


def main():
    """Carry the arguments to the load and its answer back."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    try:
        (shape,) = bench_shapes.shapes_of([params["shape"]])
        target = bench_stream.target_of(params["url"], params["service"], params["api_key"], params["ca_file"],
                                        params["validate_certs"])
    except ValueError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg="benchmark_ca_file is '%s', which cannot be used (%s); it must be a file with "
                             "certificates." % (params["ca_file"], error.strerror or error))
    if shape["level"] != "service":
        module.fail_json(msg="shape %s has level engine; module benchmark_engine measures that." % shape["name"])
    if module.check_mode:
        module.exit_json(changed=False, run=None)
    try:
        stay_on(params["cpus"])
        run = measure(target, shape, params, systemd.Systemd(module.run_command))
    except bench_load.LoadError as error:
        module.fail_json(msg="%s at %s: %s" % (shape["name"], params["url"], error))
    module.exit_json(changed=False, run=run)


def stay_on(cpus):
    """Leave the engine's CPUs, where there are others for us."""
    allowed = set(cpus) & os.sched_getaffinity(0)
    if allowed:
        os.sched_setaffinity(0, allowed)


def measure(target, shape, params, host):
    """Return the run."""
    instances = params["instances"]
    cpus = sorted({int(cpu) for instance in instances for cpu in instance["cpus"]})
    machine, pids = bench_state.Machine(cpus), engines(host, instances)
    before = machine.snapshot(pids) if cpus else None
    watch = bench_state.Watch(machine, pids.values(), bool(os.sched_getaffinity(0) & set(cpus)))
    began = time.monotonic()
    measured = asyncio.run(bench_load.Load(target, shape, secrets.randbits(64)).run())
    during, ended = watch.during(time.monotonic() - began), watch.ended()
    reasons = [measured.cut + "."] if measured.cut else []
    if ended:
        reasons.append("an engine ended, or was started anew, during the run.")
    reasons.append(bench_stats.why_not_judged(measured.repeats, during, params))
    why_not = " ".join(filter(None, reasons)) or None
    return {
        "level": "service", "service": params["service"], "shape": shape["name"],
        "parameters": dict({key: shape[key] for key in KEPT}, prompt_tokens_told=measured.prompt_tokens),
        "repeats": measured.repeats,
        "summary": bench_stats.summary_of(measured.repeats, measured.requests),
        "judged": why_not is None, "why_not": why_not,
        "first_error": next((one["error"] for one in measured.requests if one["error"]), None),
        "state": {"before": before, "after": machine.snapshot(pids), "during": during} if cpus else None,
    }


def engines(host, instances):
    """Return {name of an instance: its engine's process id} of those that run."""
    if not instances:
        return {}
    found = host.show([instance["unit"] for instance in instances])
    pids = {instance["name"]: systemd.engine_pid(found.get(instance["unit"], {})) for instance in instances}
    return {name: pid for name, pid in pids.items() if pid != "0"}


if __name__ == "__main__":
    main()
