"""Command lines of engines, and how a unit file holds them."""

import re
import shutil
import subprocess

import pytest
from ansible_collections.inference.host.plugins.module_utils.engine import engine_command, systemd_quote, unit_text
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from hypothesis import example, given, settings
from hypothesis import strategies as st
from plan_topologies import gpu, model, service, topology

SYSTEMD_ANALYZE = shutil.which("systemd-analyze")


def options_of(host, **wish):
    """The command line of the first instance as {option: value}, flags with None."""
    instance = make_plan(host, [service(**wish)])["instances"][0]
    command = engine_command(instance, "/opt/llama-server", "/models")
    assert command[0] == "/opt/llama-server" and all(isinstance(word, str) for word in command)
    answer = {}
    for word in command[1:]:
        if word.startswith("--"):
            name = word
            answer[name] = None
        else:
            answer[name] = word
    return answer


def test_the_command_line_says_what_the_plan_says():
    wish = dict(threads=3, threads_batch=2, port=9000, context=1024, parallel=4, batch=64, ubatch=32, cache_type="q8_0",
                cache_ram_mib=0)
    assert options_of(topology(), **wish) == {
        "--host": "127.0.0.1", "--port": "9000", "--model": "/models/m/000000000000/m.gguf", "--alias": "chat",
        "--threads": "3", "--threads-batch": "2", "--ctx-size": "4096", "--parallel": "4", "--batch-size": "64",
        "--ubatch-size": "32", "--cache-type-k": "q8_0", "--cache-type-v": "q8_0", "--cache-ram": "0",
        "--metrics": None, "--offline": None}


@pytest.mark.parametrize(("numa", "option"), [(0, "numactl"), ("interleave", "numactl"), ("off", None)])
def test_the_engine_keeps_the_placement_that_systemd_gave(numa, option):
    assert options_of(topology(sockets=2), threads=2, numa=numa).get("--numa") == option


@pytest.mark.parametrize(("wish", "layers"), [
    ({}, None),
    ({"gpus": 1, "model": model(layers=4, weights_mib=9)}, "5"),
    ({"gpus": 1, "gpu_layers": 0, "model": model(layers=4, weights_mib=9)}, "0"),
    # What is not known is left to the engine.
    ({"gpus": 1}, None),
])
def test_the_engine_is_told_its_layers_on_gpus(wish, layers):
    options = options_of(topology(gpus=[gpu(0)]), **wish)
    assert options.get("--gpu-layers") == layers
    assert ("--gpu-layers" in options) == (layers is not None)


def test_the_users_arguments_come_last_and_as_they_are():
    instance = make_plan(topology(), [service(arguments=["--seed", "1", "a b"])])["instances"][0]
    assert engine_command(instance, "x", "/m")[-3:] == ["--seed", "1", "a b"]


def test_another_runtime_has_no_command_line_here():
    with pytest.raises(PlanError, match=r"^chat-0: runtime is 'vllm'; allowed is llama_cpp\.$"):
        engine_command({"name": "chat-0", "runtime": "vllm"}, "x", "/m")


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
