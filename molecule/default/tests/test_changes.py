"""What a user changes later: the number of instances, a key."""

import json
import urllib.error
import urllib.request

import pytest

MODEL = {
    "name": "gemma-3-270m",
    "source": "already there",
    "sha256": "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    "filename": "gemma-3-270m-q4_k_m.gguf",
}


def test_instances_that_are_no_longer_wanted_go_and_come_back(play, host):
    def chats():
        return host.check_output("systemctl list-units --plain --no-legend 'inference-chat@*' | cut -d' ' -f1").split()

    one = {"name": "chat", "runtime": "llama_cpp", "model": MODEL, "threads": 1, "cache_ram_mib": 256}
    fewer = play("site.yml", inference_services=[one])
    assert fewer.returncode == 0, fewer.stdout
    assert chats() == ["inference-chat@0.service"]
    assert not host.file("/etc/systemd/system/inference-chat@1.service.d").exists
    more = play("site.yml")
    assert more.returncode == 0, more.stdout
    assert chats() == ["inference-chat@0.service", "inference-chat@1.service"]


def test_a_renamed_service_leaves_nothing_of_the_old_one(play, host):
    def units():
        return host.check_output("systemctl list-units --all --plain --no-legend 'inference-*' | cut -d' ' -f1").split()

    other = {"name": "other", "runtime": "llama_cpp", "model": MODEL, "threads": 1, "cache_ram_mib": 256}
    renamed = play("site.yml", inference_services=[other], service_api_keys={})
    assert renamed.returncode == 0, renamed.stdout
    assert [unit for unit in units() if unit.endswith(".service")] == ["inference-other@0.service"]
    assert "chat" not in host.check_output("ls -R /etc/systemd/system /etc/inference.host")
    assert "changed=0 " in play("site.yml", inference_services=[other], service_api_keys={}).stdout
    assert play("site.yml").returncode == 0


def test_a_new_key_is_taken_over(play, host, key, units):
    def status(word):
        address = host.check_output("hostname --all-ip-addresses").split()[0]
        request = urllib.request.Request(
            f"http://{address}:8080/v1/completions",
            data=json.dumps({"prompt": "The", "max_tokens": 1}).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {word}"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return answer.status

    def pids():
        return [unit.property("MainPID") for unit in units]

    before = pids()
    changed = play("site.yml", service_api_keys={"chat": "another-key-77aa"})
    assert changed.returncode == 0, changed.stdout
    assert "another-key-77aa" not in changed.stdout
    assert not set(before) & set(pids())
    assert status("another-key-77aa") == 200
    with pytest.raises(urllib.error.HTTPError) as refused:
        status(key)
    assert refused.value.code == 401
    assert play("site.yml").returncode == 0
    assert status(key) == 200
