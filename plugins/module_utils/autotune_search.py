# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The search for the choice with the shortest request: one value after the other, coarse to fine. Nothing is run here.

It is a function of what the points measure: where trials are remembered, a search that was cut goes the same way again
without measuring anything twice.
"""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.autotune_space import OF_PART, SHARED
from ansible_collections.inference.host.plugins.module_utils.bench_stats import median

ALIKE = 1.02
"""Costs that are no further apart count as one on the way; what is better in the end is decided by a comparison."""
GAIN = 0.99
"""A value is given up for another one only where that costs less than so much of it."""
FINE = 32
"""A step below a 32nd of a value is not looked at."""
PASSES = 3
ORDER = ("gpu_layers", "threads", "threads_batch", "ubatch", "batch", "smt", "numa")
NEVER = float("inf")


class Cut(Exception):
    """There is no time for more; `args` has why, as one sentence."""


class Spent(Exception):
    """A search has asked for as many points as it may."""


class Costs:
    """What points cost in seconds, by a function that measures them.

    measure: takes a point and the best cost of its part so far (seconds, or None), and returns its speeds in tokens a
    second, [] for what does not run. It remembers what it has measured.
    """

    def __init__(self, space, measure, most=None):
        self.space, self.measure, self.most, self.asked = space, measure, most, {}

    def of_point(self, point):
        if point not in self.asked:
            if self.most is not None and len(self.asked) >= self.most:
                raise Spent
            best = min((cost for other, cost in self.asked.items() if other[0] == point[0]), default=None)
            speeds = self.measure(point, None if best == NEVER else best)
            self.asked[point] = self.space.tokens[point[0]] / median(speeds) if speeds else NEVER
        return self.asked[point]

    def of_part(self, part, choice):
        return self.of_point(self.space.point(part, choice))

    def whole(self, choice):
        """Return the seconds of a request."""
        return sum(self.of_part(part, choice) for part in OF_PART)


class Search:
    """`choice` is the best so far at any time, also when the measuring function raises Cut."""

    def __init__(self, space, costs):
        self.space, self.costs, self.choice = space, costs, dict(space.found)

    def run(self):
        """Search until no value gets better, and return the choice. Raises Cut, also from the measuring function."""
        self.costs.whole(self.choice)
        for _number in range(PASSES):
            before = self.choice
            for name in ORDER:
                self.choice = self.improved(name, self.choice)
            if self.choice == before:
                break
        return self.choice

    def improved(self, name, choice):
        """Return the choice with the best of one value."""
        if name in ("smt", "numa"):
            return self._another(name, choice)
        parts = [part for part, names in OF_PART.items() if name in names]
        return dict(choice, **{name: best_along(self.space.values(name, choice), choice[name], lambda value: sum(
            self.costs.of_part(part, dict(choice, **{name: value})) for part in parts))})

    def _another(self, name, choice):
        """The best of values without an order. With other CPUs the threads are sought anew."""
        best = choice
        for value in self.space.values(name, choice):
            if value == choice[name]:
                continue
            other = dict(choice, **{name: value})
            if name == "smt":
                for threads in ("threads", "threads_batch"):
                    most = self.space.values(threads, other)[-1]
                    other[threads] = min(most, other[threads]) if threads in self.space.fixed else most
                    other = self.improved(threads, other)
            if self.costs.whole(other) < GAIN * self.costs.whole(best):
                best = other
        return best


def best_along(values, start, cost):
    """Return the value of an ordered list that costs least, or `start` where none is worth leaving it.

    Looks at the middle and the upper end, then halves the gaps beside the best, and ends where both sides have turned
    up. The lower end is looked at when the way leads there: one thread of 64 takes an hour to say what is known.
    Among values that cost alike the lowest is followed: few threads may do as much as many, and still fewer more.
    cost: a function of a value.
    """
    known = {}

    def look(place):
        if place not in known:
            known[place] = cost(values[place])

    for place in (values.index(start), len(values) - 1, (len(values) - 1) // 2):
        look(place)
    while True:
        best = min(known, key=lambda place: (known[place], place))
        lowest = min(place for place in known if known[place] <= ALIKE * known[best])
        gaps = [(place, base) for base in (lowest, best) for place in middles(known, base, len(values))
                if abs(values[place] - values[base]) * FINE >= values[base]]
        if not gaps:
            break
        look(gaps[0][0])
    return values[best] if known[best] < GAIN * known[values.index(start)] else start


def middles(known, base, count):
    """Return the places in the middle of the gaps below and above a known place; a gap may reach to an end."""
    below = max((place for place in known if place < base), default=-1)
    above = min((place for place in known if place > base), default=count)
    return [place for place in ((below + base) // 2, (base + above) // 2) if place >= 0 and place not in known]


def sweep(space, costs):
    """Measure all that can be chosen; return (the best choice's cost in seconds, number of points)."""
    points = space.grid()
    best = {}
    for point in points:
        shared = point[-len(SHARED):]
        parts = best.setdefault(shared, {})
        parts[point[0]] = min(costs.of_point(point), parts.get(point[0], NEVER))
    return min(sum(parts.values()) for parts in best.values()), len(points)
