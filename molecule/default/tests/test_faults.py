"""What goes wrong, and what is said: one sentence, before anything changes."""

import json
import re

import pytest

MODEL = {
    "name": "gemma-3-270m",
    "source": "/no/such/model.gguf",
    "filename": "gemma-3-270m-q4_k_m.gguf",
    "sha256": "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
}


def service(**changes):
    return {"name": "chat", "runtime": "llama_cpp", "model": MODEL, **changes}


def new_model(**changes):
    """A model that the host does not have yet, so that its source counts."""
    return {**MODEL, "name": "another", **changes}


WRONG = {
    "unknown runtime": ([service(runtime="llamacpp")], r"runtime is 'llamacpp'; it must be one of llama_cpp"),
    "missing model": ([service(model=new_model())], r"/no/such/model\.gguf.*does not exist"),
    "two instances on one port": (
        [service(port=9000), service(name="second", port=9000)], r"port 9000 is already used by chat-0"),
    "too many threads": ([service(threads=4000)], r"chat 4000 = 4000 threads, host has \d+ physical cores"),
    "too little memory": (
        [service(model={**MODEL, "weights_mib": 1000000})], r"chat-0 needs \d+ MiB .*; the host has \d+ MiB left"),
    "a number in quotes": ([service(threads="1")], r"threads is '1'; it must be a whole number"),
    "an unknown key": ([service(thread=1)], r"thread is not known; did you mean threads\?"),
}


@pytest.fixture(scope="module")
def state(host):
    """A picture of everything on the host that a run could change."""

    def read():
        return host.check_output(
            "find /etc /opt/inference /var/lib/inference /usr/local -printf '%p %T@ %s\\n' | sort;"
            " systemctl show --property=MainPID 'inference-*' nginx")

    return read


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_stops_before_anything_changes(play, state, case):
    services, sentence = WRONG[case]
    before = state()
    result = play("site.yml", inference_services=services)
    assert result.returncode != 0
    assert re.search(sentence, " ".join(result.stdout.split())), result.stdout
    assert re.search(r"changed=0 .*failed=1", result.stdout), result.stdout
    assert state() == before


def test_wrong_checksum_leaves_nothing(play, state, tmp_path):
    source = tmp_path / "other.gguf"
    source.write_bytes(b"GGUF" + bytes(1000))
    before = state()
    result = play("site.yml", inference_services=[service(model=new_model(source=str(source)))])
    assert result.returncode != 0
    assert MODEL["sha256"] in result.stdout and "another" in result.stdout
    assert state() == before


def test_too_little_room_is_said_with_both_numbers(play, state, tmp_path):
    source = tmp_path / "huge.gguf"
    with source.open("wb") as handle:
        handle.write(b"GGUF")
        handle.truncate(15 << 40)
    before = state()
    result = play("site.yml", inference_services=[service(model=new_model(source=str(source)))])
    assert result.returncode != 0
    assert re.search(r"model_dir|models_dir", result.stdout) and re.search(r"\d+ MiB", result.stdout), result.stdout
    assert state() == before


@pytest.mark.parametrize("variable, value, sentence", [
    ("nginx_worker_connections", "many", "nginx_worker_connections"),
    ("service_start_timeout_seconds", [1], "service_start_timeout_seconds"),
    ("service_api_keys", {"chta": "word-5e0f1c"}, r"service_api_keys has a key for 'chta', which is no service"),
    ("cpu_governor", "fast", r"cpu_governor is 'fast'; it must be one of performance"),
])
def test_a_wrong_variable_of_any_role_stops_before_anything_changes(play, state, variable, value, sentence):
    before = state()
    result = play("site.yml", **{variable: value})
    assert re.search(sentence, " ".join(result.stdout.split())), result.stdout
    assert re.search(r"changed=0 .*failed=1", result.stdout), result.stdout
    assert "word-5e0f1c" not in result.stdout
    assert state() == before


def test_a_password_in_a_models_address_is_not_shown(play):
    model = new_model(source="http://user:pass-77c1@127.0.0.1:9/model.gguf?token=tok-77c1")
    result = play("site.yml", "-v", inference_services=[service(model=model)], service_api_keys={})
    assert result.returncode != 0 and "127.0.0.1:9" in result.stdout
    assert "77c1" not in result.stdout


def test_unreachable_host_is_named(play):
    result = play("site.yml", ansible_host="127.0.0.77", ansible_port=9)
    assert result.returncode != 0
    assert "ansible_host is '127.0.0.77', which cannot be reached" in " ".join(result.stdout.split())


def test_plan_touches_nothing(play, state):
    before = state()
    result = play("playbooks/plan.yml")
    assert result.returncode == 0, result.stdout
    assert re.search(r"SERVICE +INSTANCE +CPUS", result.stdout)
    assert state() == before


def test_no_key_in_the_loudest_output(play, key):
    result = play("site.yml", "-vvv", "--diff")
    assert result.returncode == 0, result.stdout
    assert key not in result.stdout
    assert json.dumps(key) not in result.stdout
    assert re.search(r"changed=0 .*failed=0", result.stdout)
