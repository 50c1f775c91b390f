# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What repeats of a measurement come to: median, spread, percentiles, and whether they may be judged at all.

The spread is the range of the repeats, lowest to highest: with a handful of repeats anything finer (a deviation, an
interval of confidence) would claim to know a distribution that nobody has seen.
"""

from __future__ import annotations

import math

METRICS = {
    "tokens_per_second": ("tokens/s", "more"),
    "requests_per_second": ("requests/s", "more"),
    "ttft_ms": ("ms", "less"),
    "tpot_ms": ("ms", "less"),
    "request_ms": ("ms", "less"),
}
"""Name -> (unit, which is better). ttft: time to the first token; tpot: time for each further one; request: whole
answer. Tokens are those that were generated, or with llama-bench those that its shape names."""

PER_REQUEST = ("ttft_ms", "tpot_ms", "request_ms")
PERCENTS = (50, 95, 99)

LEAST_REPEATS = 4
"""Of two sets of 3 equal repeats one in ten lies wholly above or below the other by chance (2 of 20 orders); of two
sets of 4 one in 35, of two sets of 5 one in 126."""
MOST_FAILED = 0.01
"""Share of requests that may fail: each that fails makes the load lighter than it is said to be."""
DIGITS = 4
"""Significant digits of what is kept; no repeat agrees with the next one in more."""


def tidy(number):
    """Return a number with as many digits as mean something; None stays None."""
    if number is None or number == 0:
        return number
    return round(number, max(0, DIGITS - 1 - int(math.floor(math.log10(abs(number))))))


def median(values):
    """Return the middle value, or the mean of the two in the middle. Raises ValueError without a value."""
    if not values:
        raise ValueError("there is no median of nothing.")
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def percentile(values, percent):
    """Return the least value that `percent` % of all values do not exceed (the nearest rank), which one request had.

    percent: above 0 to 100. Raises ValueError without a value.
    """
    if not values:
        raise ValueError("there is no percentile of nothing.")
    rank = -(-len(values) * percent // 100)
    return sorted(values)[max(1, int(rank)) - 1]


def spread(values, unit, better):
    """Return what repeats come to: {"median", "low", "high", "n", "unit", "better": "more" or "less"}."""
    return {"median": tidy(median(values)), "low": tidy(min(values)), "high": tidy(max(values)), "n": len(values),
            "unit": unit, "better": better}


def repeat_of(requests, seconds):
    """Return one repeat from its requests, and how long it took.

    requests: [{"tokens", "ttft_ms", "tpot_ms", "request_ms", "error": None or why}]; those that failed are counted and
    left out of the rest. A time that no request had (one token has no next one) is None.
    """
    whole = [one for one in requests if one["error"] is None]
    found = {"errors": len(requests) - len(whole), "requests": len(whole)}
    for name in PER_REQUEST:
        values = [one[name] for one in whole if one[name] is not None]
        found[name] = tidy(median(values)) if values else None
    found["tokens_per_second"] = tidy(sum(one["tokens"] for one in whole) / seconds) if seconds > 0 else None
    found["requests_per_second"] = tidy(len(whole) / seconds) if seconds > 0 else None
    return found


def summary_of(repeats, requests=()):
    """Return {metric: spread} of repeats; times have besides p50, p95 and p99 of all requests of all repeats."""
    summary = {}
    for name, (unit, better) in METRICS.items():
        values = [repeat[name] for repeat in repeats if repeat.get(name) is not None]
        if not values:
            continue
        summary[name] = spread(values, unit, better)
        of_requests = [one[name] for one in requests if one["error"] is None and one.get(name) is not None]
        if name in PER_REQUEST and of_requests:
            summary[name].update({"p%d" % percent: tidy(percentile(of_requests, percent)) for percent in PERCENTS})
    return summary


def why_not_judged(repeats, during, limits, owner="benchmark"):
    """Return why a run says nothing, as one sentence, or None for one that may be compared.

    during: {"stolen_percent", "others_percent", "client_percent"} of the processors' time, None where not known.
    limits: {"noise_percent", "spread_percent"}. owner: the role whose variables these are.
    """
    reasons = noise(during, limits["noise_percent"], owner)
    if len(repeats) < LEAST_REPEATS:
        reasons.append("%d repeats are too few to tell a difference from chance, %d are needed" % (
            len(repeats), LEAST_REPEATS))
    failed = sum(repeat.get("errors", 0) for repeat in repeats)
    asked = failed + sum(repeat.get("requests", 0) for repeat in repeats)
    if asked and failed > MOST_FAILED * asked:
        reasons.append("%d of %d requests failed" % (failed, asked))
    speeds = [repeat["tokens_per_second"] for repeat in repeats if repeat.get("tokens_per_second")]
    if len(speeds) < len(repeats):
        reasons.append("no token came in %d of %d repeats" % (len(repeats) - len(speeds), len(repeats)))
    elif speeds:
        apart = 100.0 * (max(speeds) - min(speeds)) / median(speeds)
        if apart > limits["spread_percent"]:
            reasons.append("the repeats lie %.0f %% apart, more than %s_spread_percent %g" % (
                apart, owner, limits["spread_percent"]))
    return "; ".join(reasons) + "." if reasons else None


def noise(during, most, owner="benchmark"):
    """Return what disturbed a run, as parts of a sentence."""
    reasons = []
    for key, words in (("stolen_percent", "the hypervisor gave %.0f %% of these CPUs' time to others"),
                       ("others_percent", "other programs took %.0f %% of these CPUs' time")):
        if during.get(key) is not None and during[key] > most:
            reasons.append((words + ", more than %s_noise_percent %g") % (during[key], owner, most))
    if (during.get("client_percent") or 0) > 80:
        reasons.append("the program that asks was itself busy for %.0f %% of the time" % during["client_percent"])
    return reasons
