"""How unit files and environment files hold texts, asked of systemd itself where it is there."""

import re
import shutil
import subprocess

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.unit_quoting import (
    environment_text,
    systemd_quote,
    unit_text,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

SYSTEMD_ANALYZE = shutil.which("systemd-analyze")


def read_exec_start(line):
    """The arguments that systemd makes of an ExecStart= line, after systemd.syntax(7) and systemd.service(5).

    Written for this test: quotes may open anywhere, backslash escapes the next letter, a bare `;` ends the command,
    `%` starts a specifier and `$` a variable, and each of those two is doubled to stand for itself.
    """
    words, word, quote, rest = [], None, None, list(line)
    while rest:
        letter = rest.pop(0)
        if letter == "\\":
            word = (word or "") + rest.pop(0)
        elif letter in "%$":
            assert rest.pop(0) == letter, "a specifier or a variable in %r" % line
            word = (word or "") + letter
        elif quote or letter in "\"'":
            opens_or_closes = letter == quote or not quote
            quote = quote if not opens_or_closes else None if quote else letter
            word = (word or "") + ("" if opens_or_closes else letter)
        elif letter == " ":
            words += [] if word is None else [word]
            word = None
        else:
            assert letter != ";" or word is not None or rest[:1] not in ([], [" "]), "a command ends in %r" % line
            word = (word or "") + letter
    assert quote is None, "unbalanced quotes in %r" % line
    return words + ([] if word is None else [word])


HARD = ["", " ", "a b", "it's", "'q'", '"', 'say "a"', "50%", "%i", "%%", "$HOME", "${A}", "$$", "\\", "a\\", "\\n",
        ";", "a;b", "#x", "*", "~", "é", '{"a": [1, "b c"]}', "-x=1"]
PLAIN_TEXT = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=12)


@given(st.lists(PLAIN_TEXT | st.sampled_from(HARD), max_size=6))
@example(HARD)
def test_systemd_reads_the_words_that_were_written(words):
    assert read_exec_start(systemd_quote(words)) == words


def test_plain_words_stay_readable():
    assert systemd_quote(["/usr/bin/x", "--ctx-size", "4096", "a=b,c:/d"]) == "/usr/bin/x --ctx-size 4096 a=b,c:/d"


@pytest.mark.parametrize("word", ["a\nb", "\n", "a\0", "a\tb", "a\r", "\x1b[0m"])
def test_control_characters_are_refused(word):
    with pytest.raises(PlanError, match="^argument .* has a control character; write arguments as one line of text"):
        systemd_quote(["/usr/bin/x", word])
    with pytest.raises(PlanError, match=r"^environment value .* has a control character"):
        unit_text(word)
    with pytest.raises(PlanError, match=r"^environment value .* has a control character"):
        environment_text({"A": word})


@given(PLAIN_TEXT | st.sampled_from(HARD))
def test_a_text_between_quotes_is_read_as_it_was(text):
    escaped = unit_text(text)
    assert "%" not in escaped.replace("%%", "")
    assert not re.search(r'(?<!\\)(\\\\)*"', escaped), "a quote that ends the value"
    assert re.sub(r"\\(.)", r"\1", escaped).replace("%%", "%") == text


@pytest.mark.skipif(not SYSTEMD_ANALYZE, reason="systemd-analyze is not installed")
def test_the_real_systemd_finds_nothing_wrong(tmp_path):
    unit = tmp_path / "probe.service"
    environment = "".join('Environment="E%d=%s"\n' % (number, unit_text(text)) for number, text in enumerate(HARD))
    unit.write_text("[Service]\n%sExecStart=%s\n" % (environment, systemd_quote(["/bin/true", *HARD])))
    assert verify(unit) == ""
    unit.write_text("[Service]\nExecStart=/bin/true it's\n")
    assert "Unbalanced quoting" in verify(unit), "systemd-analyze no longer says what it finds"


# As the program's name systemd shows a word as it reads it; without `$`, which it does not expand in that place.
@pytest.mark.skipif(not SYSTEMD_ANALYZE, reason="systemd-analyze is not installed")
@settings(max_examples=15, deadline=None)
@given(text=st.text(st.sampled_from("ab'\"%\\; é#*"), min_size=1, max_size=12))
def test_the_real_systemd_reads_the_word_that_was_written(tmp_path_factory, text):
    unit = tmp_path_factory.mktemp("unit") / "probe.service"
    unit.write_text("[Service]\nExecStart=%s\n" % systemd_quote(["/nowhere/%s-" % text, "'", ";", '"']))
    assert "/nowhere/%s-" % text in verify(unit)


def verify(unit):
    command = [SYSTEMD_ANALYZE, "verify", "--man=no", str(unit)]
    return subprocess.run(command, capture_output=True, text=True, check=False,
                          env={"LC_ALL": "C.UTF-8", "SYSTEMD_LOG_COLOR": "0"}).stderr


def read_environment_file(text):
    """The variables that systemd makes of a file for EnvironmentFile=, after systemd.exec(5).

    Written for this test: between double quotes a backslash stands for the next letter if that is one of "\\`$.
    """
    found = {}
    # Not splitlines: to systemd only this ends a line.
    for line in text.split("\n")[:-1]:
        name, _equals, value = line.partition("=")
        assert value[:1] == value[-1:] == '"' and len(value) > 1
        found[name] = re.sub(r'\\(["\\`$])', r"\1", value[1:-1])
    return found


@given(st.dictionaries(st.sampled_from(["A", "B", "C_1"]), PLAIN_TEXT | st.sampled_from(HARD)))
def test_an_environment_file_is_read_as_it_was(variables):
    assert read_environment_file(environment_text(variables)) == variables


def test_a_shell_reads_an_environment_file_as_systemd_does(tmp_path):
    hard = {"E%d" % number: text for number, text in enumerate(HARD)}
    path = tmp_path / "chat-0.env"
    path.write_text(environment_text(hard), encoding="utf-8")
    names = " ".join("\"$%s\"" % name for name in hard)
    shell = subprocess.run(["sh", "-c", '. "$1"; printf "%%s\\0" %s' % names, "sh", str(path)], capture_output=True,
                           check=True, env={})
    assert shell.stdout.decode().split("\0")[:-1] == list(hard.values())
