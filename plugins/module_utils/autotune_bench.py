# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs llama-bench at the points that autotune asks for, and the guard that brings the service back."""

from __future__ import annotations

import os
import time

from ansible_collections.inference.host.plugins.module_utils import bench_state, bench_stats, bench_unit, llama_bench
from ansible_collections.inference.host.plugins.module_utils.autotune_search import Cut
from ansible_collections.inference.host.plugins.module_utils.autotune_tune import Noisy, TrialFailed

SHOWN = 300
SLOWER = 4
"""A trial that takes so many times as long as the longest that ran is ended: it is not the best."""
LEAST_SECONDS = 60


def guard_unit(instance):
    return "inference-autotune-%s.service" % instance["name"]


def guard_words(instance, pid, seconds):
    """Return the words that start a unit which lives as long as a process, and at its end, however that comes, ends the
    measurement and starts the instance. seconds: when it does so in any case."""
    after = ("stop " + bench_unit.transient_unit(instance), "start --no-block " + instance["unit"])
    return ["systemd-run", "--collect", "--service-type=exec", "--unit=" + guard_unit(instance),
            "--property=RuntimeMaxSec=%d" % seconds] + [
                "--property=ExecStopPost=+%s %s" % (bench_unit.SYSTEMCTL, words) for words in after] + [
                    "--", "/usr/bin/tail", "--pid=%d" % pid, "-f", "/dev/null"]


class Bench:
    """llama-bench where the instance runs."""

    def __init__(self, host, instance, space, program, model, options=(), nice=0, noise_percent=100, check=None):
        """host: Systemd. program, model: paths. options: names that llama-bench has. check: called before each run, and
        raises where it should not be any more."""
        self.host, self.instance, self.space = host, instance, space
        self.program, self.model, self.options, self.nice = program, model, options, nice
        self.noise_percent, self.check = noise_percent, check or (lambda: None)
        self.longest, self.policy, self.until, self.seconds = {}, instance["numa_policy"], 0.0, 0.0

    def allow(self, seconds):
        self.seconds, self.until = seconds, time.monotonic() + seconds

    def left(self):
        return max(0.0, self.until - time.monotonic())

    def speeds(self, point, repeats, depth=0):
        """Return tokens a second of each repeat. One that others disturb is made again, once."""
        why_not = None
        for _attempt in range(2):
            speeds, why_not = self._once(point, repeats, depth)
            if not why_not:
                return speeds
        raise Noisy("the machine is too busy to measure on it: %s." % "; ".join(why_not))

    def _once(self, point, repeats, depth):
        self.check()
        left = self.left()
        if left < 1:
            raise Cut("the time of %d s was over" % self.seconds)
        instance = self.space.instance(self.instance, point)
        self.place_model(instance["numa_policy"])
        tokens = self.space.tokens[point[0]]
        shape = {"prompts": [tokens] if point[0] == "prompt" else [],
                 "generate": [tokens] if point[0] == "generate" else [], "repeats": repeats}
        (command,) = llama_bench.bench_commands(instance, self.program, self.model, shape, self.options)
        command += ["--n-depth", str(depth)] if depth else []
        known = self.longest.get((point[0], depth))
        limit = min(left, max(LEAST_SECONDS, SLOWER * known * repeats)) if known else left
        watch = bench_state.Watch(bench_state.Machine(instance["cpus"]), [], False)
        began = time.monotonic()
        words = bench_unit.transient_words(instance, command, max(1, int(limit)), self.nice)
        status, output, said = self.host.run(words)
        took = time.monotonic() - began
        self.check()
        if status:
            if took >= left - 1:
                raise Cut("the time of %d s was over" % self.seconds)
            if took >= limit - 1:
                raise TrialFailed("it took longer than %d s" % limit)
            raise TrialFailed(" ".join(said.split())[-SHOWN:] or "llama-bench ended with status %d" % status)
        self.longest.setdefault((point[0], depth), took)
        why_not = bench_stats.noise(dict(watch.during(took, bench_unit.cpu_seconds(said)), client_percent=None),
                                    self.noise_percent, "autotune")
        (run,) = llama_bench.parse(output)
        return [repeat["tokens_per_second"] for repeat in run["repeats"]], why_not

    def place_model(self, policy):
        """Let the kernel forget the model's pages where the memory policy changes: they would stay where they are."""
        if policy == self.policy:
            return
        self.policy = policy
        folder = os.path.dirname(self.model)
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                handle = os.open(path, os.O_RDONLY)
                try:
                    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(handle)
