# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What autotune may choose from on one instance, and what has to be measured to know a choice.

A choice is {"threads", "threads_batch", "batch", "ubatch", "smt", "numa", "gpu_layers"}. The time of a request has two
parts, prompt and generation, each of which depends on some of these alone: a point is one part with the values that it
depends on, as a tuple, and is what is measured, once.
"""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.cpulist import format_cpu_list

SHARED = ("smt", "numa", "gpu_layers")
OF_PART = {"prompt": ("threads_batch", "batch", "ubatch") + SHARED, "generate": ("threads",) + SHARED}
"""Part -> what its time depends on, in the order of a point. Tokens come one at a time: batches do not matter then."""
TOKENS = {"prompt": "prompt_tokens", "generate": "generate_tokens"}
LEAST_UBATCH = 16


def powers_of_two(least, most):
    """Return the powers of two from `least`, one itself, to `most`."""
    found = []
    while least <= most:
        found.append(least)
        least *= 2
    return found


class Space:
    """What may be chosen, by a description that can pass as JSON.

    described: {"found": choice, "cpus": [CPUs without siblings, with them or None], "fixed": [names that are not
    searched], "numa": {policy: nodes}, "gpu_layers": most layers or None, "prompt_tokens", "generate_tokens"}.
    """

    def __init__(self, described):
        self.found = dict(described["found"])
        self.sets = {False: described["cpus"][0], True: described["cpus"][1]}
        self.fixed = set(described["fixed"])
        self.nodes = described["numa"]
        self.layers = described["gpu_layers"]
        self.tokens = {part: described[key] for part, key in TOKENS.items()}

    def values(self, name, choice):
        """Return what one value may be while the others are as in `choice`, ordered where there is an order."""
        if name in self.fixed:
            return [choice[name]]
        if name in ("threads", "threads_batch"):
            return list(range(1, len(self.sets[choice["smt"]]) + 1))
        if name == "smt":
            return [smt for smt in (False, True) if self.sets[smt]]
        if name == "numa":
            return sorted(self.nodes)
        if name == "gpu_layers":
            return [choice[name]] if self.layers is None else list(range(self.layers + 1))
        sizes = powers_of_two(LEAST_UBATCH, 2 * self.tokens["prompt"] - 1)
        if name == "ubatch":
            sizes = [size for size in sizes if size <= choice["batch"]]
        else:
            sizes = [size for size in sizes if size >= choice["ubatch"]]
        # What is longer than the prompt computes as one that is as long: it is no other point.
        same = min(choice[name], self.tokens["prompt"])
        return sorted({size for size in sizes if min(size, self.tokens["prompt"]) != same} | {choice[name]})

    def point(self, part, choice):
        """Return what has to be measured for one part of a choice."""
        batch = min(choice["batch"], self.tokens["prompt"])
        choice = dict(choice, batch=batch, ubatch=min(choice["ubatch"], batch))
        return (part,) + tuple(choice[name] for name in OF_PART[part])

    def grid(self):
        """Return all points that can be chosen, each once, in a fixed order."""
        points, start = [], dict(self.found)
        if "ubatch" not in self.fixed:
            # The smallest one, so that no batch is left out.
            start["ubatch"] = LEAST_UBATCH
        for shared in self._combinations(start, SHARED):
            for threads in self.values("threads", shared):
                points.append(self.point("generate", dict(shared, threads=threads)))
            for choice in self._combinations(shared, ("threads_batch", "batch")):
                points += [self.point("prompt", dict(choice, ubatch=size)) for size in self.values("ubatch", choice)]
        return list(dict.fromkeys(points))

    def _combinations(self, choice, names):
        """Return the choices with all values of some names."""
        choices = [dict(choice)]
        for name in names:
            choices = [dict(one, **{name: value}) for one in choices for value in self.values(name, one)]
        return choices

    def instance(self, instance, point):
        """Return the instance of the plan as it would be with a point's values."""
        values = dict(zip(OF_PART[point[0]], point[1:]))
        threads = values.pop("threads", None) or values.pop("threads_batch")
        policy, cpus = values.pop("numa"), self.sets[values.pop("smt")]
        nodes = self.nodes[policy]
        return dict(instance, threads=threads, threads_batch=threads, cpus=cpus, cpu_range=format_cpu_list(cpus),
                    numa_policy=policy, numa_nodes=nodes, numa_range=format_cpu_list(nodes), **values)


def point_words(point):
    """Return a point as text, such as `generate threads=2 smt=no numa=bind gpu_layers=-`."""

    def word(value):
        if isinstance(value, bool):
            return "yes" if value else "no"
        return "-" if value is None else value

    return " ".join([point[0]] + ["%s=%s" % (name, word(value)) for name, value in zip(OF_PART[point[0]], point[1:])])
