"""JSON for people: the same value, and lines that a person can compare."""

import json

from ansible_collections.inference.host.plugins.module_utils.json_text import json_text
from hypothesis import given
from hypothesis import strategies as st

PLAIN = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=60)


@given(VALUES)
def test_it_is_the_value(value):
    assert json.loads(json_text(value)) == value


def test_what_fits_a_line_stands_on_one():
    assert json_text({"b": [1, 2], "a": {"c": "ü"}}) == '{"a": {"c": "ü"}, "b": [1, 2]}\n'


def test_long_lists_of_numbers_stand_on_one_line_and_mappings_do_not():
    numbers = list(range(200))
    lines = json_text({"cpus": numbers, "nodes": [{"id": 0, "cpus": numbers}, {"id": 1}]}).splitlines()
    row = ", ".join(map(str, numbers))
    assert lines == [
        "{", f' "cpus": [{row}],', ' "nodes": [',
        "  {", f'   "cpus": [{row}],', '   "id": 0', "  },",
        '  {"id": 1}', " ]", "}"]
