"""Made-up machines: how fast an engine is at each point that autotune can ask for."""

from __future__ import annotations

import random

from ansible_collections.inference.host.plugins.module_utils.autotune_space import OF_PART, Space


def described(cores=8, smt=False, nodes=1, layers=None, prompt=512, generate=128, **other):
    """A description of a Space as a host with so many cores has it."""
    cpus = list(range(cores))
    policies = {"none": [0]} if nodes == 1 else {
        "bind": [0], "interleave": list(range(nodes)), "none": list(range(nodes))}
    found = {"threads": cores, "threads_batch": cores, "batch": 2048, "ubatch": 512, "smt": False,
             "numa": sorted(policies)[0], "gpu_layers": layers}
    return dict({"found": found, "cpus": [cpus, [*cpus, *range(cores, 2 * cores)] if smt else None], "fixed": [],
                 "numa": policies, "gpu_layers": layers, "prompt_tokens": prompt, "generate_tokens": generate}, **other)


class Machine:
    """Speeds rise with threads up to a best number, and fall beyond it; the same with micro-batches and layers.

    best: threads at which each part is fastest. flat: threads more than that change nothing. steps: how much each
    doubling of the micro-batch off its best costs. siblings: what SMT's threads add, as a part of a core. policies:
    {NUMA policy: factor}. noise: relative, of each sample. failing: whether a point does not run.
    """

    def __init__(self, space, best, flat=False, ubatch=128, steps=0.1, siblings=0.2, policies=None, noise=0.0, seed=0,
                 failing=lambda values: False):
        self.space, self.best, self.flat, self.ubatch, self.steps = space, best, flat, ubatch, steps
        self.siblings, self.policies, self.noise, self.failing = siblings, policies or {}, noise, failing
        self.random, self.calls = random.Random(seed), []

    def speed(self, point):
        """The true speed in tokens a second; 0 for a point that does not run."""
        part, values = point[0], dict(zip(OF_PART[point[0]], point[1:], strict=True))
        if self.failing(values):
            return 0.0
        threads = values.get("threads") or values["threads_batch"]
        cores = len(self.space.sets[False])
        real = min(threads, cores) + self.siblings * max(0, threads - cores)
        over = max(0.0, real - self.best[part])
        found = min(real, self.best[part]) * (1 if self.flat else 1 / (1 + 2 * over / cores))
        if part == "prompt":
            steps = abs((values["ubatch"] / self.ubatch).bit_length() if isinstance(values["ubatch"], str)
                        else values["ubatch"].bit_length() - self.ubatch.bit_length())
            found *= (10 / (1 + self.steps * steps)) * (values["batch"] / 512) ** 0.02
        if values["gpu_layers"]:
            found *= 1 + values["gpu_layers"]
        return found * self.policies.get(values["numa"], 1)

    def measure(self, point, _best):
        self.calls.append(point)
        speed = self.speed(point)
        return [speed * self.random.uniform(1 - self.noise, 1 + self.noise) for _repeat in range(3)] if speed else []

    def seconds(self, choice):
        """The true seconds of a request."""
        return sum(self.space.tokens[part] / speed if speed else float("inf") for part, speed in (
            (part, self.speed(self.space.point(part, choice))) for part in OF_PART))

    def best_seconds(self):
        """The true seconds of the best choice there is."""
        parts = {}
        for point in self.space.grid():
            seconds = self.space.tokens[point[0]] / (self.speed(point) or 1e-9)
            shared = parts.setdefault(point[-3:], {})
            shared[point[0]] = min(seconds, shared.get(point[0], float("inf")))
        return min(sum(shared.values()) for shared in parts.values())


def space(**wishes):
    return Space(described(**wishes))
