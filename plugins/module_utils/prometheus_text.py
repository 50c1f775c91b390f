# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Metrics in the text format that Prometheus reads.

https://prometheus.io/docs/instrumenting/exposition_formats/ (version 0.0.4), without times of samples.
"""

from __future__ import annotations

import re

_UNENCODABLE = re.compile("[\ud800-\udfff]")


def prometheus_text(families):
    """Return the text of metrics. One without samples is left out; of samples with the same labels the first counts.

    families: [(name, kind: gauge or counter, help, [({label: text}, number or bool)])]
    """
    lines = []
    for name, kind, words, samples in families:
        told = {}
        for labels, value in samples:
            told.setdefault(name + _labels(labels), value)
        if told:
            lines.append("# HELP %s %s" % (name, _escaped(words)))
            lines.append("# TYPE %s %s" % (name, kind))
            lines += ["%s %s" % (sample, _number(value)) for sample, value in told.items()]
    return "".join(line + "\n" for line in lines)


def _labels(labels):
    pairs = ['%s="%s"' % (name, _escaped(value).replace('"', '\\"')) for name, value in sorted(labels.items())]
    return "{%s}" % ",".join(pairs) if pairs else ""


def _escaped(value):
    """Half of a surrogate pair, as a path may have that is no UTF-8, becomes a question mark."""
    return _UNENCODABLE.sub("?", str(value)).replace("\\", "\\\\").replace("\n", "\\n")


def _number(value):
    return repr(value) if isinstance(value, float) else str(int(value))
