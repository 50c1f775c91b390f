# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What became of the requests of load.py that ran during each event, as a table."""

HEADINGS = ("event", "seconds", "streams", "plain", "failed", "streams cut", "slowest")


def during(requests, start, end):
    """Return the requests that ran at any moment between two times."""
    return [one for one in requests if one["start"] < end and one["end"] > start]


def failed(requests):
    return [one for one in requests if one["outcome"] != "ok"]


def was_streaming(request, moment):
    """Tell whether a stream had begun at that moment and ended after it.

    It begins with its head, which llama.cpp sends when a slot takes the request (#23884): from there on nobody can ask
    another instance in its place.
    """
    return request["kind"] == "stream" and request["head"] is not None and request["head"] <= moment < request["end"]


def table(requests, events):
    """Return the table as text. events: [(name, start, end)], seconds since 1970."""
    rows = [HEADINGS]
    for name, start, end in events:
        ran = during(requests, start, end)
        bad = failed(ran)
        cut = [one for one in bad if one["kind"] == "stream" and one["head"]]
        slowest = max((one["end"] - one["start"] for one in ran), default=0)
        kinds = [sum(one["kind"] == kind for one in ran) for kind in ("stream", "plain")]
        rows.append((name, f"{end - start:.0f}", *map(str, kinds), str(len(bad) - len(cut)), str(len(cut)),
                     f"{slowest:.1f} s"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows)
