# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a search to a verdict: trials, the comparison of what was found with the winner, the context, the sweep."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.autotune_search import (
    Costs,
    Cut,
    Search,
    Spent,
    sweep,
)
from ansible_collections.inference.host.plugins.module_utils.autotune_space import OF_PART, point_words
from ansible_collections.inference.host.plugins.module_utils.bench_compare import BETTER, SAME, UNKNOWN, verdict
from ansible_collections.inference.host.plugins.module_utils.bench_stats import median, spread, tidy, why_not_judged
from ansible_collections.inference.host.plugins.module_utils.llama_bench import BenchError

REPEATS = 3
CLEARLY = 1.15
"""A trial whose first repeat takes so many times as long as the best one gets no second."""
ROUNDS = 5
LEAST_POINTS = 4
SEARCH_PART = 2.0 / 3
"""Of the time; the rest is the comparison's."""


class TrialFailed(Exception):
    """A point that does not run here; `args` has why."""


class Noisy(Exception):
    """The machine is too busy to measure on it; `args` has why, as one sentence."""


class Tuner:
    """What is done for one instance.

    bench: has `speeds(point, repeats, depth)`, which returns tokens a second and raises TrialFailed, Noisy or Cut, and
    `allow(seconds)`, the time from now after which it raises Cut, and `left()`, what is left of it. trials: a Trials.
    """

    def __init__(self, space, bench, trials):
        self.space, self.bench, self.trials = space, bench, trials

    def measure(self, point, best, depth=0):
        """Return the speeds of a point, [] for one that does not run; measured once and remembered."""
        name = point_words(point) + (" depth=%d" % depth if depth else "")
        kept = self.trials.get(name)
        if kept is None:
            kept = {"speeds": [], "failed": None}
            try:
                kept["speeds"] = self.bench.speeds(point, 1, depth)
                slow = best and self.space.tokens[point[0]] / kept["speeds"][0] > CLEARLY * best
                if not slow:
                    kept["speeds"] = kept["speeds"] + self.bench.speeds(point, REPEATS - 1, depth)
            except TrialFailed as error:
                kept = {"speeds": [], "failed": str(error)}
            self.trials.put(name, kept)
        return kept["speeds"]

    def run(self, seconds, contexts=(), loss_percent=0, spread_percent=100, with_sweep=False):
        """Return what became of it.

        {"verdict": better, worse, no difference or not judged, "why_not": a sentence or None, "cut": a sentence or
        None, "found", "winner", "kept": choices, "before", "after": spreads of tokens a second of whole requests or
        None, "trials": points that the search has asked for, "points": all there are, "context": number or None,
        "contexts": {context: spread}, "sweep": None or see `swept`}. kept: what should run from now on.
        """
        size = len(self.space.grid())
        result = {"verdict": UNKNOWN, "why_not": None, "cut": None, "found": self.space.found, "winner": None,
                  "kept": self.space.found, "before": None, "after": None, "trials": 0, "points": size, "context": None,
                  "contexts": {}, "sweep": None}
        costs = Costs(self.space, self.measure, max(LEAST_POINTS, size // 3))
        search = Search(self.space, costs)
        try:
            self.bench.allow(SEARCH_PART * seconds)
            self._search(search, result)
            result.update(winner=search.choice, trials=len(costs.asked))
            self.bench.allow((1 - SEARCH_PART) * seconds + self.bench.left())
            self._decide(costs, search.choice, spread_percent, result)
            if contexts and "context" not in self.space.fixed:
                self._context(result, sorted(contexts), loss_percent)
            if with_sweep:
                self.bench.allow(seconds)
                result["sweep"] = self.swept(search.choice)
        except Noisy as error:
            result.update(verdict=UNKNOWN, why_not=str(error), kept=self.space.found)
        return result

    def _search(self, search, result):
        try:
            search.costs.whole(self.space.found)
            self._check_found()
            search.run()
        except Spent:
            result["cut"] = "the search ended after a third of all %d points" % result["points"]
        except Cut as error:
            result["cut"] = str(error)

    def _check_found(self):
        kept = {name: self.trials.get(name)["failed"] for name in (
            point_words(self.space.point(part, self.space.found)) for part in OF_PART)}
        failed = [name for name in kept if kept[name]]
        if failed:
            # Who has mended it runs the search again.
            self.trials.forget(failed)
            raise BenchError("what the service has now cannot be measured: %s" % kept[failed[0]])

    def _decide(self, costs, winner, spread_percent, result):
        """Compare what was found with the winner, turn by turn."""
        found, parts = self.space.found, {}
        for part in OF_PART:
            parts[part] = [self.space.point(part, choice) for choice in (found, winner)]
            if parts[part][0] not in costs.asked:
                result["why_not"] = "not even what the service has now could be measured in time; a repeat goes on."
                return
        turns = [part for part in OF_PART if parts[part][0] != parts[part][1]]
        if not turns:
            result["verdict"] = SAME
            result["before"] = result["after"] = self._spread([dict(zip(OF_PART, pair)) for pair in zip(*(
                self.trials.get(point_words(parts[part][0]))["speeds"] for part in OF_PART))])
            return
        rounds = self.trials.rounds(" against ".join(
            point_words(parts[part][side]) for part in turns for side in (0, 1)))
        same = {part: median(self.trials.get(point_words(parts[part][0]))["speeds"])
                for part in OF_PART if part not in turns}
        if len(rounds) >= ROUNDS and self._why_not(sides_of(rounds, same), spread_percent):
            # What could not be judged is compared anew.
            del rounds[:]
        try:
            while len(rounds) < ROUNDS:
                rounds.append([{part: self.bench.speeds(parts[part][side], 1)[0] for part in turns} for side in (0, 1)])
                self.trials.save()
        except TrialFailed as error:
            result["why_not"] = "the comparison failed: %s" % error
            return
        except Cut as error:
            result.update(cut=str(error), why_not="the comparison was cut; a repeat goes on from there.")
            return
        before, after = sides_of(rounds, same)
        result.update(before=self._spread(before), after=self._spread(after))
        result["why_not"] = self._why_not((before, after), spread_percent)
        if not result["why_not"]:
            result["verdict"] = verdict(result["before"], result["after"], "more")
            result["kept"] = winner if result["verdict"] == BETTER else found

    def _why_not(self, sides, spread_percent):
        for repeats in sides:
            speeds = [{"tokens_per_second": speed} for speed in self._speeds(repeats)]
            why_not = why_not_judged(speeds, {}, {"noise_percent": 100, "spread_percent": spread_percent}, "autotune")
            if why_not:
                return why_not
        return None

    def _speeds(self, repeats):
        """Return tokens a second of whole requests, from the speeds of their parts."""
        tokens = self.space.tokens
        return [sum(tokens.values()) / sum(tokens[part] / one[part] for part in tokens) for one in repeats]

    def _spread(self, repeats):
        return spread(self._speeds(repeats), "tokens/s", "more")

    def _context(self, result, contexts, loss_percent):
        """Take the largest context whose generation, with a full cache, is not much slower than the smallest's."""
        point = self.space.point("generate", result["kept"])
        try:
            for context in contexts:
                speeds = self.measure(point, None, max(1, context - self.space.tokens["generate"]))
                if not speeds:
                    break
                result["contexts"][context] = spread(speeds, "tokens/s", "more")
                least = (1 - loss_percent / 100.0) * result["contexts"][contexts[0]]["median"]
                if result["contexts"][context]["median"] < least:
                    break
                result["context"] = context
        except (Cut, Noisy) as error:
            result.update(context=None, cut=str(error))

    def swept(self, winner):
        """Return {"points", "measured", "best_tokens_per_second", "winner_tokens_per_second", "loss_percent", "cut"}:
        all that can be chosen against the search's winner, by the same trials; no figures for a sweep that was cut."""
        costs, total = Costs(self.space, self.measure), sum(self.space.tokens.values())
        answer = {"points": len(self.space.grid()), "measured": 0, "best_tokens_per_second": None,
                  "winner_tokens_per_second": None, "loss_percent": None, "cut": None}
        try:
            best, _points = sweep(self.space, costs)
            own = costs.whole(winner)
            answer.update(best_tokens_per_second=tidy(total / best), winner_tokens_per_second=tidy(total / own),
                          loss_percent=round(100 * (own / best - 1), 2))
        except (Cut, Noisy) as error:
            answer["cut"] = str(error)
        return dict(answer, measured=len(costs.asked))


def sides_of(rounds, same):
    """Return the speeds of a comparison's turns, (of what was found, of the winner). same: of parts without turns."""
    return tuple([dict(same, **turn[side]) for turn in rounds] for side in (0, 1))
