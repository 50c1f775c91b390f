"""CPU sets in the kernel's two spellings."""

import time

import pytest
from ansible_collections.inference.host.plugins.module_utils.cpulist import (
    MAX_ID,
    cpu_list,
    cpu_mask,
    cpu_range,
    format_cpu_list,
    format_cpu_mask,
    parse_cpu_list,
    parse_cpu_mask,
)
from hypothesis import given
from hypothesis import strategies as st

IDS = st.sets(st.integers(0, MAX_ID), max_size=40) | st.sets(st.integers(0, 200))


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", []),
        ("\n", []),
        ("\0", []),
        ("0", [0]),
        ("0-3,8", [0, 1, 2, 3, 8]),
        ("8,0-1", [0, 1, 8]),
        ("0-1,1-2", [0, 1, 2]),
        (" 0-1 , 4 \n\0\0", [0, 1, 4]),
        ("0,,2,", [0, 2]),
        (str(MAX_ID), [MAX_ID]),
    ],
)
def test_lists_are_read_as_the_kernel_writes_them(text, ids):
    assert parse_cpu_list(text) == ids


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("all", "'all'"),
        ("-1", "'-1'"),
        ("0-", "'0-'"),
        ("1-2-3", "'1-2-3'"),
        ("0x3", "'0x3'"),
        ("0 1", "'0 1'"),
        ("1.5", "'1.5'"),
        ("\u0663", "neither an id"),
        ("3-1", "backwards"),
        ("0-4294967295", "above 65535"),
        ("9" * 5000, "neither an id"),
        ("65536", "above 65535"),
    ],
)
def test_what_is_no_list_is_refused_in_a_sentence_with_the_entry(text, word):
    with pytest.raises(ValueError, match=r"^CPU list .*\.$") as error:
        parse_cpu_list(text)
    assert word in str(error.value)
    assert len(str(error.value)) < 200


def test_a_huge_range_costs_nothing():
    started = time.perf_counter()
    with pytest.raises(ValueError, match="above"):
        parse_cpu_list("0-99999999999999999999")
    assert time.perf_counter() - started < 0.5  # expanding it would take all the memory there is


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", []),
        ("0", []),
        ("00000000,00000000", []),
        ("ff", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("0xF0", [4, 5, 6, 7]),
        ("1,00000000", [32]),
        ("00000001,00000003\n\0", [0, 1, 32]),
        ("1,ffffffff", list(range(33))),
        ("100000001", [0, 32]),
    ],
)
def test_masks_are_read_as_the_kernel_writes_them(text, ids):
    assert parse_cpu_mask(text) == ids


@pytest.mark.parametrize(
    "text", ["xyz", "1,,2", "1,", "-1", "1,123456789", "f f", "f" * 100000, "1" + "0" * 16384, "0x"])
def test_what_is_no_mask_is_refused_in_a_sentence(text):
    with pytest.raises(ValueError, match=r"^CPU mask '.*\.$"):
        parse_cpu_mask(text)


@pytest.mark.parametrize("ids", [[-1], [MAX_ID + 1], ["1"], [1.0], [True], [None]])
def test_only_ids_are_formatted(ids):
    for form in (format_cpu_list, format_cpu_mask):
        with pytest.raises(ValueError, match="is not an integer from 0"):
            form(ids)


def test_formats():
    assert format_cpu_list([8, 3, 2, 1, 0, 0]) == "0-3,8"
    assert format_cpu_list([0, 1]) == "0-1"
    assert format_cpu_list([]) == ""
    assert format_cpu_mask(range(8)) == "ff"
    assert format_cpu_mask([64]) == "10000000000000000"
    assert format_cpu_mask([]) == "0"


@given(IDS)
def test_what_is_formatted_is_read_back(ids):
    assert parse_cpu_list(format_cpu_list(ids)) == sorted(ids)
    assert parse_cpu_mask(format_cpu_mask(ids)) == sorted(ids)


@given(IDS)
def test_a_list_has_no_range_that_could_be_shorter(ids):
    ends = [int(number) for number in format_cpu_list(ids).replace("-", ",").split(",") if number]
    assert ends == sorted(set(ends))
    starts = [int(entry.split("-")[0]) for entry in format_cpu_list(ids).split(",") if entry]
    assert all(start - 1 not in ids for start in starts)


@given(st.text(alphabet="0123456789-, \0\nfx", max_size=30) | st.text(max_size=20))
def test_any_text_is_a_set_or_a_sentence(text):
    for parse in (parse_cpu_list, parse_cpu_mask):
        try:
            ids = parse(text)
        except ValueError as error:
            assert str(error).startswith("CPU ") and str(error).endswith(".")
        else:
            assert ids == sorted(set(ids)) and all(0 <= number <= MAX_ID for number in ids)


@pytest.mark.parametrize(("value", "ids"), [
    ([], []),
    ("", []),
    ("0x0", []),
    ([8, 1, 0, 1], [0, 1, 8]),
    ((3, 2), [2, 3]),
    (range(2), [0, 1]),
    ((number for number in (5, 4)), [4, 5]),
    ("8,0-1", [0, 1, 8]),
    ("10", [10]),
    ("0x10", [4]),
    (" 0XF0\n", [4, 5, 6, 7]),
    ("0x00000001,ffffffff", list(range(33))),
])
def test_a_set_is_read_in_any_spelling(value, ids):
    assert cpu_list(value) == ids


@pytest.mark.parametrize(("value", "word"), [
    ("ff", "'ff'"),
    ("fe,1", "'fe'"),
    ("0xfg", "'0xfg'"),
    ("0x", "'0x'"),
    ("[0, 1]", "'[0'"),
    (8, "CPUs '8'"),
    (None, "CPUs 'None'"),
    (True, "CPUs 'True'"),
    (1.5, "CPUs '1.5'"),
    (b"0-3", "0-3"),
    ({0: 1}, "neither"),
    (["0"], "'0'"),
    ([[0]], "'[0]'"),
    ([True], "'True'"),
    ([-1], "'-1'"),
])
def test_what_is_no_set_in_any_spelling_is_refused_in_a_sentence(value, word):
    for read in (cpu_list, cpu_range, cpu_mask):
        with pytest.raises(ValueError, match=r"^CPU.*\.$") as error:
            read(value)
        assert word in str(error.value)


@pytest.mark.parametrize(("ids", "mask", "grouped"), [
    ([], "0x0", "00000000"),
    ([0], "0x1", "00000001"),
    ([31], "0x80000000", "80000000"),
    ([32], "0x100000000", "00000001,00000000"),
    (range(33), "0x1ffffffff", "00000001,ffffffff"),
    ([64, 1], "0x10000000000000002", "00000001,00000000,00000002"),
])
def test_masks(ids, mask, grouped):
    assert cpu_mask(list(ids)) == mask
    assert cpu_mask(list(ids), groups=True) == grouped


@pytest.mark.parametrize("groups", [1, "yes", None])
def test_groups_is_a_switch(groups):
    with pytest.raises(ValueError, match=r"^groups is .*; it must be true or false\.$"):
        cpu_mask([0], groups=groups)


@given(IDS)
def test_each_spelling_gives_each_other(ids):
    spellings = [sorted(ids), format_cpu_list(ids), "0x" + format_cpu_mask(ids)]
    for value in [*spellings, "0x" + cpu_mask(ids, groups=True)]:
        assert [cpu_list(value), cpu_range(value), cpu_mask(value)] == spellings


@given(IDS)
def test_grouped_masks_are_as_the_kernel_prints_them(ids):
    """`%*pb` prints 32 bits a group, eight digits each; see bitmap_parse_user in the kernel's lib/bitmap-str.c."""
    groups = cpu_mask(ids, groups=True).split(",")
    assert all(len(group) == 8 for group in groups)
    assert {32 * place + bit for place, group in enumerate(reversed(groups)) for bit in range(32)
            if int(group, 16) >> bit & 1} == set(ids)
