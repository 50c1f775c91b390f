"""Two instances, their placement, nginx and the model, asked of the host and not of what was written."""

import json
import urllib.error
import urllib.request

import pytest

SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"


def complete(host, path, key):
    """Ask for a completion as a client on the network does."""
    address = host.check_output("hostname --all-ip-addresses").split()[0]
    request = urllib.request.Request(
        f"http://{address}:8080{path}",
        data=json.dumps({"prompt": "The capital of France is", "max_tokens": 8, "temperature": 0}).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {key}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as answer:
        return json.load(answer)


def test_each_instance_runs_on_cpus_of_its_own(units):
    effective = [unit.status("Cpus_allowed_list") for unit in units]
    # One thread each: one CPU each, and not the same one.
    assert all(cpus.isdigit() for cpus in effective) and len(set(effective)) == 2
    assert [unit.argument("--threads") for unit in units] == ["1", "1"]


def test_memory_policy_is_the_planned_one(host, units):
    nodes = host.check_output("ls -d /sys/devices/system/node/node[0-9]* | wc -l")
    for unit in units:
        maps = host.check_output(f"cat /proc/{unit.pid}/numa_maps").splitlines()
        assert maps
        policies = {line.split()[1].split(":")[0] for line in maps}
        # On one node there is nothing to bind; on several the weights belong to the instance's own node.
        assert policies == {"default"} if nodes == "1" else any(policy.startswith("bind") for policy in policies)


def test_units_are_enabled_ready_and_hardened(host, units):
    for unit in units:
        assert host.service(unit.name).is_enabled
        assert unit.property("ActiveState") == "active"
        assert unit.status("NoNewPrivs") == "1"
        assert unit.status("CapEff").strip("0") == ""
        assert int(host.check_output(f"stat -c %u /proc/{unit.pid}")) > 0


def test_units_could_do_little(host, units):
    # At most 3.0 of 10, in systemd's own measure.
    for unit in units:
        host.check_output(f"systemd-analyze security --no-pager --threshold=30 {unit.name}")


def test_the_target_names_all_instances(host, units):
    wants = host.check_output("systemctl show --property=Wants --value inference-chat.target").split()
    assert sorted(wants) == sorted(unit.name for unit in units)


def test_an_application_beside_reads_the_environment_too(host, units):
    for index, _unit in enumerate(units):
        path = f"/etc/inference.host/environment/chat-{index}.env"
        assert host.file(path).mode == 0o644
        assert host.check_output(f'. {path}; printf %s "$GREETING"') == '50% "off"'


def test_engine_listens_on_loopback_only(host, units):
    for unit in units:
        port = unit.argument("--port")
        assert host.socket(f"tcp://127.0.0.1:{port}").is_listening
        assert not host.socket(f"tcp://0.0.0.0:{port}").is_listening


def test_environment_reaches_the_engine_unchanged(host, units):
    environ = host.check_output(f"tr '\\0' '\\n' </proc/{units[0].pid}/environ")
    assert 'GREETING=50% "off"' in environ.splitlines()


def test_model_file_has_its_checksum(host):
    folder = host.check_output("readlink --canonicalize /var/lib/inference/models/gemma-3-270m/current")
    assert host.file(f"{folder}/gemma-3-270m-q4_k_m.gguf").sha256sum == SHA256
    assert host.check_output("ls -A /var/lib/inference/models/.incoming 2>/dev/null | grep -c partial || true") == "0"


def test_nginx_has_loaded_both_instances(host, units):
    written = host.check_output("nginx -T 2>/dev/null")
    for unit in units:
        assert f"server 127.0.0.1:{unit.argument('--port')} max_conns=1 " in written
    # The running nginx answers with the token that the written file carries.
    loaded = host.check_output("python3 -c 'import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:8080/-/revision\").read().decode())'")
    assert loaded.strip() and loaded.strip() in written


@pytest.mark.parametrize("path", ["/v1/completions", "/chat/v1/completions"])
def test_completion_through_nginx(host, key, path):
    answer = complete(host, path, key)
    assert "France" in answer["choices"][0]["text"]
    assert answer["timings"]["predicted_per_second"] > 0


def test_completion_without_the_key_is_refused(host):
    with pytest.raises(urllib.error.HTTPError) as refused:
        complete(host, "/v1/completions", "another")
    assert refused.value.code == 401


def test_revision_is_not_shown_to_the_network(host):
    address = host.check_output("hostname --all-ip-addresses").split()[0]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises(urllib.error.HTTPError) as refused:
        opener.open(f"http://{address}:8080/-/revision", timeout=10)
    assert refused.value.code == 403


def test_kernel_settings_were_left_to_the_machine_outside(host):
    assert host.check_output("systemd-detect-virt --container") == "podman"
    assert host.check_output("ls /etc/sysctl.d /etc/tmpfiles.d | grep -c inference || true") == "0"


def test_key_is_nowhere_to_be_seen(host, key):
    assert key not in host.check_output("ps -eo args")
    assert key not in host.check_output("journalctl --no-pager")
    assert key not in host.check_output("systemctl cat 'inference-*'")
    assert host.file("/etc/inference.host/keys/chat").mode == 0o600
    assert host.file("/etc/inference.host/keys").mode == 0o700
