"""llama.cpp's options by the names of the engine that was found."""

from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.engine_flags import (
    LOAD_MODES,
    cors_words,
    knows,
    load_mode_words,
    no_ui_words,
    unknown_arguments,
)
from ansible_collections.inference.host.plugins.module_utils.engine_version import option_names
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError

RECORDED = Path(__file__).resolve().parents[2] / "engine_help"
PINNED = option_names((RECORDED / "llama-server-b11312.txt").read_text())
# Recorded in between, when the old names of load modes were still there.
BETWEEN = (RECORDED / "llama-server-b10434.options").read_text().split()
# Names of one from before.
OLD = ["--host", "--port", "--mlock", "--mmap", "--no-mmap", "-dio", "--direct-io", "--webui", "--no-webui"]
OLDEST = ["--host", "--port", "--mlock", "--no-mmap"]


@pytest.mark.parametrize("options", [PINNED, BETWEEN, []])
@pytest.mark.parametrize("mode", LOAD_MODES)
def test_a_load_mode_has_one_option_where_the_engine_has_it(mode, options):
    assert load_mode_words(mode, options) == ["--load-mode", mode]


@pytest.mark.parametrize(("mode", "words"), [
    ("auto", []), ("mmap", []), ("none", ["--no-mmap"]), ("mlock", ["--no-mmap", "--mlock"]),
    ("mmap+mlock", ["--mlock"]), ("dio", ["--direct-io"]),
])
def test_a_load_mode_before_it_had_an_option(mode, words):
    assert load_mode_words(mode, OLD) == words


@pytest.mark.parametrize("options", [PINNED, BETWEEN, OLD, OLDEST, []])
def test_without_a_load_mode_the_engine_chooses(options):
    assert load_mode_words(None, options) == []


def test_a_load_mode_that_the_engine_lacks_or_nobody_has_is_refused():
    with pytest.raises(PlanError, match=r"load_mode is dio; .* neither --load-mode nor --direct-io"):
        load_mode_words("dio", OLDEST)
    with pytest.raises(PlanError, match="load_mode is 'fast'; it must be one of auto, mmap, mlock"):
        load_mode_words("fast", PINNED)


def test_browsers_pages_are_named_where_that_is_possible():
    assert cors_words("localhost", PINNED) == cors_words("localhost", []) == ["--cors-origins", "localhost"]
    assert cors_words("localhost", OLD) == []


def test_the_own_page_by_both_names():
    assert no_ui_words(PINNED) == no_ui_words([]) == ["--no-ui"]
    assert (no_ui_words(OLD), no_ui_words(OLDEST)) == (["--no-webui"], [])


def test_arguments_that_the_engine_would_not_start_with():
    arguments = ["--mlock", "--seed", "-1", "--temp=0.5", "--nonsense=1", "-fa", "on", "-", "-x"]
    assert unknown_arguments(arguments, PINNED) == ["--mlock", "--nonsense", "-x"]
    assert unknown_arguments(arguments, BETWEEN) == ["--nonsense", "-x"]
    assert unknown_arguments(arguments, []) == []


def test_an_unknown_list_knows_everything():
    assert knows([], "--anything") and knows(OLD, "--mlock") and not knows(PINNED, "--mlock")
