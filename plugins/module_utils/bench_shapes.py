# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The loads by name.

A shape of level service: so many `users` ask at the same time, each again as soon as it has its answer, with a prompt
of `prompt_tokens` and for `max_tokens`. A repeat is `requests` answers. One with `hold_seconds` has no such number: its
users come within `ramp_seconds` and go within `down_seconds`, both of which are dropped, and each of the equal
`repeats` parts of the time between is a repeat. One of level engine is what llama-bench does: `prompts` and `generate`
are lengths in tokens, each measured by itself.
"""

from __future__ import annotations

import itertools
import re

from ansible_collections.inference.host.plugins.module_utils.checks import (
    REQUIRED,
    check_fields,
    integer,
    kind,
    matching,
    one_of,
    suggestion,
)
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError

LENGTHS = (128, 256, 512, 1024, 2048)
BATCHES = (1, 4, 8, 16)
USERS = (1, 5, 10, 20, 32)
MOST_TOKENS = 1 << 20
MOST_USERS = 1024
DAY = 86400

NAME = matching(re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z"), "lower case letters, digits, ., _ and -, 64 at most")


def _lengths(value):
    accepts = integer(1, MOST_TOKENS)[0]
    return isinstance(value, list) and len(value) <= 32 and all(accepts(one) for one in value)


FIELDS = {
    "name": (REQUIRED, NAME),
    "level": ("service", one_of("service", "engine")),
    "users": (1, integer(1, MOST_USERS)),
    "prompt_tokens": (512, integer(1, MOST_TOKENS)),
    "max_tokens": (128, integer(2, MOST_TOKENS)),
    "requests": (8, integer(1, 1000000)),
    "repeats": (5, integer(1, 100)),
    "limit_seconds": (1800, integer(1, DAY)),
    "ramp_seconds": (0, integer(0, DAY)),
    "hold_seconds": (0, integer(0, DAY)),
    "down_seconds": (0, integer(0, DAY)),
    "needs_slots": (0, integer(0, MOST_USERS)),
    "prompts": ([], (_lengths, "a list of up to 32 lengths in tokens")),
    "generate": ([], (_lengths, "a list of up to 32 lengths in tokens")),
}
"""needs_slots: a service with fewer slots is not measured, since the rest would only wait."""


def _throughput():
    return [{"name": "throughput-b%d-p%d" % (batch, length), "users": batch, "needs_slots": batch,
             "prompt_tokens": length, "requests": 2 * batch} for batch in BATCHES for length in LENGTHS]


def _latency():
    return [{"name": "latency-u%d" % users, "users": users, "requests": max(10, 2 * users)} for users in USERS]


def _stress(name, users, ramp, hold):
    return {"name": name, "users": users, "prompt_tokens": 256, "ramp_seconds": ramp, "hold_seconds": hold,
            "down_seconds": ramp, "limit_seconds": 2 * ramp + hold + 600}


GROUPS = {
    "throughput": _throughput(),
    "latency": _latency(),
    # An hour of 64 users, who come within 5 minutes; 100 users for 5 minutes, who come within one.
    "stress": [_stress("stress-u64", 64, 300, 3000), _stress("stress-u100", 100, 60, 300)],
    "short": [
        {"name": "short-u1", "users": 1, "prompt_tokens": 64, "max_tokens": 32, "requests": 3, "limit_seconds": 300},
        {"name": "short-u4", "users": 4, "prompt_tokens": 64, "max_tokens": 32, "requests": 8, "limit_seconds": 300},
    ],
    "short-stress": [
        {"name": "short-stress-u4", "users": 4, "prompt_tokens": 64, "max_tokens": 32, "ramp_seconds": 2,
         "hold_seconds": 30, "down_seconds": 2, "limit_seconds": 120}],
    "engine": [{"name": "engine", "level": "engine", "prompts": [128, 512, 2048], "generate": [128],
                "limit_seconds": 3600}],
    "short-engine": [{"name": "short-engine", "level": "engine", "prompts": [64], "generate": [32],
                      "limit_seconds": 300}],
}
"""What a name stands for; each of the shapes in a group has a name, too."""

BY_NAME = {shape["name"]: [shape] for group in GROUPS.values() for shape in group}


def shapes_of(wishes):
    """Return the complete shapes that the user names, in order and each once.

    wishes: a list of names of groups or shapes and of mappings with FIELDS, or such names in one text with commas.
    Raises PlanError.
    """
    named = wishes
    if isinstance(wishes, str):
        named = [word.strip() for word in wishes.split(",") if word.strip()]
    if not isinstance(named, list) or not named:
        raise PlanError("benchmark_shapes is %s; it must be a list of names such as [short]." % kind(wishes))
    found = {}
    for number, wish in enumerate(named):
        where = "benchmark_shapes[%d]" % number
        if isinstance(wish, str):
            shapes = GROUPS.get(wish) or BY_NAME.get(wish)
            if not shapes:
                raise PlanError("%s is %s; %s" % (where, kind(wish), suggestion(wish, {**BY_NAME, **GROUPS})))
        else:
            shapes = [wish]
        for shape in shapes:
            complete = _complete(where, shape)
            if found.setdefault(complete["name"], complete) != complete:
                raise PlanError("%s.name is %s, as that of another shape; give each its own." % (
                    where, complete["name"]))
    _check_lengths(found.values())
    return list(found.values())


def _check_lengths(shapes):
    """Each length of level engine is a run by itself, called by its length: two of them could not be told apart."""
    taken = {}
    for shape, key in itertools.product(shapes, ("prompts", "generate")):
        for length in shape[key]:
            if (key, length) in taken:
                raise PlanError("benchmark_shapes: %s of %s and of %s both have %d; leave it out of one." % (
                    key, taken[key, length], shape["name"], length))
            taken[key, length] = shape["name"]


def _complete(where, shape):
    complete = check_fields(where, shape, FIELDS)
    if complete["level"] == "engine" and not complete["prompts"] + complete["generate"]:
        raise PlanError("%s has level engine and neither prompts nor generate; give lengths in tokens." % where)
    if complete["level"] == "service" and not complete["hold_seconds"] and complete["requests"] < complete["users"]:
        raise PlanError("%s.requests is %d; with %d users it must be %d or more, else some would have nothing to "
                        "ask." % (where, complete["requests"], complete["users"], complete["users"]))
    if complete["hold_seconds"]:
        least = sum(complete[key] for key in ("ramp_seconds", "hold_seconds", "down_seconds"))
        if complete["limit_seconds"] < least:
            raise PlanError("%s.limit_seconds is %d; ramp, hold and down alone take %d." % (
                where, complete["limit_seconds"], least))
    return complete


def in_words(shape):
    """Return what a shape does, as half a sentence."""
    if shape["level"] == "engine":
        parts = ["prompts of %s" % _list(shape["prompts"])] if shape["prompts"] else []
        parts += ["%s generated" % _list(shape["generate"])] if shape["generate"] else []
        return "%s tokens, %d times each" % (" and ".join(parts), shape["repeats"])
    asked = "%d tokens after %d" % (shape["max_tokens"], shape["prompt_tokens"])
    if shape["hold_seconds"]:
        return "%d users within %d s, then %d s in %d parts, %s" % (
            shape["users"], shape["ramp_seconds"], shape["hold_seconds"], shape["repeats"], asked)
    return "%d at a time, %d times %d requests, %s" % (shape["users"], shape["repeats"], shape["requests"], asked)


def _list(numbers):
    return ", ".join(map(str, numbers))
