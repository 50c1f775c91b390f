"""The number of instances goes down and up again."""

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
