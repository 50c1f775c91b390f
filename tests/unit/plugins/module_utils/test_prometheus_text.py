"""Metrics as text: what Prometheus would read of it is what was to be said, whatever the labels hold."""

import re

from ansible_collections.inference.host.plugins.module_utils.prometheus_text import prometheus_text
from hypothesis import given
from hypothesis import strategies as st

SAMPLE = re.compile(r'([a-z0-9_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\})? (\S+)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\.)*)"')
NAMES = st.sampled_from(("inference_one", "inference_two"))
SAMPLES = st.lists(st.tuples(st.dictionaries(st.sampled_from(("role", "setting")), st.text(max_size=20)),
                             st.one_of(st.booleans(), st.integers(0, 2**60), st.floats(0, 1e18))), max_size=5)


def unescaped(text):
    return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found.group(1), found.group(1)), text)


def parsed(text):
    """Read the format as its description says; return {name: {labels as pairs: value}} and the kinds."""
    assert text == "" or text.endswith("\n")
    found, kinds = {}, {}
    for line in text.split("\n")[:-1]:
        if line.startswith("# TYPE "):
            _mark, _type, name, kind = line.split(" ")
            assert name not in kinds and name not in found
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            name, labels, value = SAMPLE.fullmatch(line).groups()
            key = tuple((label, unescaped(told)) for label, told in LABEL.findall(labels or ""))
            assert name in kinds and key not in found.setdefault(name, {})
            found[name][key] = float(value)
    return found, kinds


@given(st.dictionaries(NAMES, st.tuples(st.sampled_from(("gauge", "counter")), st.text(max_size=20), SAMPLES)))
def test_what_is_read_is_what_was_said(families):
    found, kinds = parsed(prometheus_text([(name, *family) for name, family in families.items()]))
    for name, (kind, _words, samples) in families.items():
        expected = {}
        for labels, value in samples:
            key = tuple((label, re.sub("[\ud800-\udfff]", "?", told)) for label, told in sorted(labels.items()))
            expected.setdefault(key, float(value))
        assert found.get(name, {}) == expected
        assert kinds.get(name) == (kind if expected else None)


def test_a_text_that_is_no_utf8_can_be_written():
    text = prometheus_text([("inference_one", "gauge", "a\nb", [({"path": "/srv/\udcff\"\\"}, 1.5)])])
    assert text.encode() == (b"# HELP inference_one a\\nb\n# TYPE inference_one gauge\n"
                             b'inference_one{path="/srv/?\\"\\\\"} 1.5\n')
