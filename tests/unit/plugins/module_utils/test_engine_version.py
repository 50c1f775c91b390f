"""What an engine's `--version` and `--help` say."""

from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.engine_version import (
    build_problem,
    known_build,
    option_names,
    read_version,
)

HELP = Path(__file__).resolve().parents[2] / "engine_help" / "llama-server-b11312.txt"


@pytest.mark.parametrize(("said", "expected"), [
    ("version: 10360 (90e6a9131)\nbuilt with GNU 12\n", (10360, "10360")),
    ("version: 0.1.1-dev (build 10470, commit abc1234)\nbuilt with GNU 12\n", (10470, "0.1.1-dev")),
    ("ggml_cuda_init: found 1 devices:\n  version: 9\nversion: 0.5.0 (build 11312, commit a)\n", (11312, "0.5.0")),
    # From a source archive, and from a clone without its history.
    ("version: 0.5.0-dev (build 0, commit unknown)\n", (None, "0.5.0-dev")),
    ("version: 0.1.0-dev (build 1, commit 7e4c0a9)\n", (None, "0.1.0-dev")),
    ("version: 0 (unknown)\n", (None, "0")),
    ("version: 2.0.0\n", (None, "2.0.0")),
    ("usage: something else\n", (None, "")),
    ("", (None, "")),
])
def test_both_forms_of_a_version(said, expected):
    assert read_version(said) == expected


def test_the_options_of_a_recorded_help():
    names = option_names(HELP.read_text())
    assert len(names) == len(set(names)) == 411
    assert {"-h", "--usage", "-t", "--threads", "--load-mode", "-lm", "--metrics", "--no-kv-offload", "--cors-origins",
            "--no-webui", "--spec-draft-n-cpu-moe", "--cache-ram"} <= set(names)
    # Named in descriptions alone, or in continued lines.
    assert not {"--mlock", "--no-mmap"} & set(names)
    assert all(line.startswith("-") for line in names)


def test_the_options_of_a_help_with_placeholders_before_commas():
    said = ("\nusage: whisper-server [options]\n\noptions:\n"
            "  -h,        --help                      [default] show this help message and exit\n"
            "  -t N,      --threads N                 [4      ] number of threads, not --processors\n"
            "  -d  N,     --duration N                [0      ] duration\n"
            "             --prompt PROMPT             [       ] initial prompt\n"
            "  --host HOST,                           [127.0.0.1] Hostname\n")
    assert option_names(said) == ["-h", "--help", "-t", "--threads", "-d", "--duration", "--prompt", "--host"]


@pytest.mark.parametrize(("build", "minimum", "words"), [
    (8146, 8146, ""), (9000, 8146, ""), (None, 0, ""), (5, None, ""),
    (8145, 8146, "llama.cpp is build 8145; it must be at least 8146, since known vulnerabilities are fixed there."),
    (None, 8146, "llama.cpp does not tell its build number, and at least 8146 is asked for; state the build that it "
                 "was made from in runtime_build."),
])
def test_an_old_or_unknown_build_is_refused(build, minimum, words):
    assert build_problem("llama.cpp", build, minimum, "runtime_build") == words


def test_what_the_engine_says_wins_over_what_was_stated():
    assert [known_build(7, 9), known_build(None, 9), known_build(None, None)] == [7, 9, None]
