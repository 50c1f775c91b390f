"""Kernel command lines: what they say, and parameters put in and taken out."""

import pytest
from ansible_collections.inference.host.plugins.module_utils import kernel_cmdline
from hypothesis import given
from hypothesis import strategies as st

LINE = 'root=/dev/vda ro quiet iommu=off iommu=pt dyndbg="file x +p" hugepagesz=1G hugepages=4\n'


def test_words_values_and_names():
    assert kernel_cmdline.words(LINE)[5] == 'dyndbg="file x +p"'
    assert kernel_cmdline.value_of(LINE, "iommu") == "pt"
    assert kernel_cmdline.value_of(LINE, "quiet") == ""
    assert kernel_cmdline.value_of(LINE, "nosmt") is None
    assert kernel_cmdline.value_of("intel-pstate=x", "intel_pstate") == "x"


@pytest.mark.parametrize(
    ("name", "value", "there"),
    [
        ("iommu", "pt", True),
        ("iommu", "off", False),
        ("quiet", "", True),
        ("nosmt", "", False),
        ("hugepagesz", "1G hugepages=4", True),
        ("hugepagesz", "1G hugepages=5", False),
        ("iommu", "off iommu=pt", True),
        ("iommu", "pt iommu=off", False),
    ],
)
def test_a_parameter_is_in_force_when_nothing_later_says_otherwise(name, value, there):
    assert kernel_cmdline.holds(LINE, name, value) is there


def test_parameters_are_added_once_and_their_former_values_go():
    line = kernel_cmdline.with_parameters("ro quiet\n", [("iommu", "pt"), ("nosmt", "")])
    assert line == "ro quiet iommu=pt nosmt"
    again = kernel_cmdline.with_parameters(line, [("iommu", "on")], ["iommu", "nosmt"], ["ro", "quiet"])
    assert again == "ro quiet iommu=on"


def test_what_was_there_first_stays():
    first = "ro iommu=off"
    line = kernel_cmdline.with_parameters(first, [("iommu", "pt")], [], kernel_cmdline.words(first))
    assert line == "ro iommu=off iommu=pt"
    assert kernel_cmdline.taken_out(line, ["iommu"], kernel_cmdline.words(first)) == first.split()


NAMES = st.sampled_from(["a", "b", "c.d", "e_f"])
VALUES = st.sampled_from(["", "1", "2", "x,y", "1 g=2", "1 g=2 h g=3"])
PARAMETERS = st.dictionaries(NAMES, VALUES, max_size=3).map(lambda found: list(found.items()))
LINES = st.lists(st.tuples(NAMES, VALUES), max_size=5).map(
    lambda found: " ".join(word for name, value in found for word in kernel_cmdline.spelled(name, value))
)


@given(first=LINES, runs=st.lists(PARAMETERS, min_size=1, max_size=4))
def test_any_runs_end_in_force_are_idempotent_and_can_be_taken_back(first, runs):
    line, keep, ours = first, kernel_cmdline.words(first), set()
    for parameters in runs:
        line = kernel_cmdline.with_parameters(line, parameters, sorted(ours), keep)
        ours |= {word for name, value in parameters for word in kernel_cmdline.names_of(name, value)}
        assert all(kernel_cmdline.holds(line, name, value) for name, value in parameters)
        assert kernel_cmdline.with_parameters(line, parameters, sorted(ours), keep) == line
    back = kernel_cmdline.taken_out(line, ours, keep)
    assert set(back) == set(keep)
