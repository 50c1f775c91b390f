# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A load of many users on one service, cut into repeats."""

from __future__ import annotations

import asyncio
import collections
import time

from ansible_collections.inference.host.plugins.module_utils import bench_stream
from ansible_collections.inference.host.plugins.module_utils.bench_prompts import Prompts, words_for
from ansible_collections.inference.host.plugins.module_utils.bench_stats import median, repeat_of

PAUSE_SECONDS = 0.2
"""After a failure, so that one that comes at once is not asked for a thousand times."""
TRIAL_WORDS = (8, 72)
"""Lengths of the two prompts that tell how many tokens a word is, and how many the engine adds."""


class LoadError(Exception):
    """Why nothing was measured, as one sentence."""


Measured = collections.namedtuple("Measured", "repeats requests prompt_tokens cut")
"""repeats: of bench_stats.repeat_of. requests: of bench_stream.ask, of all repeats. prompt_tokens: their median, None
where the engine does not tell. cut: why there are fewer repeats than wished, or None."""


class Load:
    """One shape on one target."""

    def __init__(self, target, shape, seed, clock=time.monotonic):
        """shape: complete, of bench_shapes, with level service. seed: of the prompts."""
        self.target, self.shape, self.clock = target, shape, clock
        self.prompts, self.words, self.deadline = Prompts(seed), 1, None

    async def ask(self, words=None, max_tokens=None):
        return await bench_stream.ask(
            self.target, self.prompts.text(words or self.words), max_tokens or self.shape["max_tokens"],
            self.deadline - self.clock(), self.clock)

    async def warm_up(self):
        """Find the length of prompts in words, and ask as often as there are users; nothing of it is kept.

        Raises LoadError where no request has an answer.
        """
        told = []
        for words in TRIAL_WORDS:
            answer = await self.ask(words, 2)
            if answer["error"]:
                raise LoadError("no answer came: %s." % answer["error"])
            told.append(answer["prompt_tokens"])
        self.words = self.length(*told)
        answers = await asyncio.gather(*(self.ask() for _user in range(self.shape["users"])))
        if all(answer["error"] for answer in answers):
            raise LoadError("no answer came: %s." % answers[0]["error"])

    def length(self, short, long):
        """Return the words of a prompt. short, long: tokens of the two trials, None where not told."""
        if not short or not long or long <= short:
            return words_for(self.shape["prompt_tokens"], TRIAL_WORDS[1], long)
        a_word = (long - short) / (TRIAL_WORDS[1] - TRIAL_WORDS[0])
        without = max(0, round(short - a_word * TRIAL_WORDS[0]))
        return words_for(self.shape["prompt_tokens"], TRIAL_WORDS[1], long, without)

    async def run(self):
        """Warm up, measure and return Measured. What the time limit cuts off is dropped. Raises LoadError."""
        self.deadline = self.clock() + self.shape["limit_seconds"]
        await self.warm_up()
        repeats, kept = await (self.windows() if self.shape["hold_seconds"] else self.rounds())
        tokens = [one["prompt_tokens"] for one in kept if one["prompt_tokens"]]
        cut = None
        if len(repeats) < self.shape["repeats"]:
            cut = "the limit of %d s came after %d of %d repeats" % (
                self.shape["limit_seconds"], len(repeats), self.shape["repeats"])
        return Measured(repeats, kept, round(median(tokens)) if tokens else None, cut)

    async def rounds(self):
        """Measure repeats of a number of requests."""
        repeats, kept = [], []
        for _number in range(self.shape["repeats"]):
            left, answers = list(range(self.shape["requests"])), []
            start = self.clock()
            await asyncio.gather(*(self.user(left, answers) for _user in range(self.shape["users"])))
            if self.clock() >= self.deadline:
                break
            repeats.append(repeat_of(answers, max(one["end"] for one in answers) - start))
            kept += answers
        return repeats, kept

    async def user(self, left, answers):
        while left and self.clock() < self.deadline:
            left.pop()
            answers.append(await self.ask_gently())

    async def ask_gently(self):
        answer = await self.ask()
        if answer["error"]:
            await asyncio.sleep(max(0, min(PAUSE_SECONDS, self.deadline - self.clock())))
        return answer

    async def windows(self):
        """Measure the equal parts of the time between ramp and end. A request belongs to the part in which it ends."""
        shape, answers, begun = self.shape, [], self.clock()
        await asyncio.gather(*(self.guest(number, begun, answers) for number in range(shape["users"])))
        start, width = begun + shape["ramp_seconds"], shape["hold_seconds"] / shape["repeats"]
        parts = [[] for _number in range(shape["repeats"])]
        for answer in answers:
            number = int((answer["end"] - start) // width)
            if 0 <= number < len(parts):
                parts[number].append(answer)
        if begun + shape["ramp_seconds"] + shape["hold_seconds"] > self.deadline:
            # Only where the warm-up has used up what the limit leaves besides.
            parts = parts[:max(0, int((self.deadline - start) // width))]
        return [repeat_of(part, width) for part in parts], [answer for part in parts for answer in part]

    async def guest(self, number, begun, answers):
        """One of the users who come and go evenly, in the same order."""
        shape = self.shape
        share = number / shape["users"]
        await asyncio.sleep(max(0, begun + share * shape["ramp_seconds"] - self.clock()))
        leaves = begun + shape["ramp_seconds"] + shape["hold_seconds"] + share * shape["down_seconds"]
        while self.clock() < min(leaves, self.deadline):
            answers.append(await self.ask_gently())
