"""The units that role service writes, of each fleet's plans and of each runtime: rendered by Ansible, read by systemd.

What systemd finds wrong is asked of `systemd-analyze verify`, how much a unit could do of `systemd-analyze security`.
"""

import json
import re
import shlex

import pytest
from ansible_collections.inference.host.plugins.module_utils.placement_check import contradictions
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from fleet_machines import HOSTS
from fleet_plans import fleet_plan, variable_files
from nvidia_topologies import DAEMON
from plan_topologies import gpu, model, service, topology
from rendered_units import (
    ENGINES,
    SYSTEMD_ANALYZE,
    exposure,
    files_of,
    lay_out,
    render,
    section,
    verify,
)

FLEET_PLANS = {name: (name, []) for name in HOSTS}
FLEET_PLANS.update({f"{name}.{path.stem}": (name, [path.name]) for name in HOSTS for path in variable_files(name)})
UNITS = "/etc/systemd/system/"
MOST_EXPOSED = 3.0
needs_systemd = pytest.mark.skipif(not SYSTEMD_ANALYZE, reason="systemd-analyze is not installed")


def with_stand_in_models(plan):
    """The fleets' models have no source: say where they would be."""
    for instance in plan["instances"]:
        if not instance["model_file"] and instance["runtime"] in ("llama_cpp", "vllm"):
            folder = instance["model"] + "/000000000000"
            instance["model_file"] = folder + ("/model.gguf" if instance["runtime"] == "llama_cpp" else "")
    return plan


@pytest.fixture(scope="module", name="fleets")
def fleets_fixture(tmp_path_factory):
    """{name: (plan, rendered, folder with the files)} of all fleets' plans."""
    folder = tmp_path_factory.mktemp("fleets")
    plans = {key: with_stand_in_models(fleet_plan(name, *files)) for key, (name, files) in FLEET_PLANS.items()}
    rendered = render(folder, plans)
    for name, files in rendered.items():
        lay_out(folder / name, files)
    return {name: (plans[name], rendered[name], folder / name) for name in plans}


@needs_systemd
@pytest.mark.parametrize("name", FLEET_PLANS)
def test_systemd_finds_nothing_wrong_with_a_fleets_units(fleets, name):
    plan, rendered, root = fleets[name]
    assert set(rendered["instances"]) == {instance["unit"] for instance in plan["instances"]}
    for unit in [*rendered["instances"], *("inference-%s.target" % wish["name"] for wish in plan["services"])]:
        assert verify(root, unit) == ""


@needs_systemd
@pytest.mark.parametrize("name", FLEET_PLANS)
def test_a_fleets_units_can_do_little(fleets, name):
    _plan, rendered, root = fleets[name]
    for unit in rendered["instances"]:
        assert exposure(root, unit) <= MOST_EXPOSED


@pytest.mark.parametrize("name", FLEET_PLANS)
def test_no_unit_of_a_fleet_contradicts_its_plan(fleets, name):
    plan, rendered, _root = fleets[name]
    for instance in plan["instances"]:
        files = {file["path"]: file["content"] for file in rendered["instances"][instance["unit"]]}
        pairs = section(files[UNITS + instance["unit"] + ".d/placement.conf"], "Service")
        assert contradictions(instance, shlex.split(dict(pairs)["ExecStart"]), pairs) == []
        assert dict(pairs)["EnvironmentFile"] == instance["environment_file"]
        for variable in instance["environment"]:
            assert re.search(f'^{variable}="', files[instance["environment_file"]], re.MULTILINE)
        assert (instance["config_file"] in files) == (instance["config"] is not None)


def test_what_the_fleets_ask_of_their_units_is_there(fleets):
    def text(name, path):
        return files_of(fleets[name][1])[path]

    numactl = text("alfavoice-2s.their_numbers", UNITS + "inference-whisper@0.service.d/placement.conf")
    assert "ExecStart=/usr/bin/numactl --physcpubind=1-32 --membind=0 -- /opt/inference/whisper-server" in numactl
    assert 'WHISPER_THREADS="32"' in text("alfavoice-2s", "/etc/inference.host/environment/whisper-0.env")
    assert "Nice=10\n" in text("alfavoice-2s", UNITS + "inference-llm@.service")
    config = json.loads(text("wicore", "/etc/inference.host/config/chat-1.json"))
    assert (config["devices"], config["precision"], config["enable_p2p"]) == (["0000:b3:00.0"], "fp16", False)
    locked = text("wicore.their_numbers", UNITS + "inference-chat@0.service.d/placement.conf")
    assert "LimitMEMLOCK=infinity\n" in locked and "--load-mode mlock" in locked
    unit = text("zigai.their_numbers", UNITS + "inference-api@.service")
    assert "CPUSchedulingPolicy=fifo\nCPUSchedulingPriority=1\n" in unit
    assert 'Environment="LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"\n' in text(
        "zigai.their_numbers", UNITS + "inference-api@0.service.d/placement.conf")
    unit = text("ragserver", UNITS + "inference-rag@.service")
    assert "Nice=-10\nIOSchedulingClass=realtime\nIOSchedulingPriority=4\n" in unit
    assert 'LLAMACPP_PROFILE="balanced"' in text("ragserver", "/etc/inference.host/environment/rag-0.env")


# Each runtime


def everything():
    """One service of each runtime, with and without GPUs, and all that can be said of a unit."""
    host = topology(sockets=2, cores=16, threads=2, gpus=[gpu(0, 0), gpu(1, 1)])
    host["platform"]["systemd_version"] = 252
    host["device_groups"] = ["mem", "nvidia", "nvidia-uvm"]
    host["nvidia"] = {"driver_version": "570.86.15", "persistenced": "/lib/x", "persistenced_command": DAEMON}
    folder = model("big", source="/srv/big.safetensors", weights_mib=4000)
    return host, [
        service("chat", instances=2, threads=2, prefix="taskset", warm_up=True, memory_lock=100, open_files=9000,
                tasks=500, oom_score=-100, config={"file": "{model_file}", "port": "{port}"}, load_mode="mmap",
                scheduling={"policy": "rr", "priority": 5}, io={"class": "best-effort", "priority": 1}, nice=-5,
                restart={"delay_seconds": 5, "tries": 3}, environment={"A": 'it\'s 50% "off" \\ $x `y`'}),
        service("cards", gpus=1, threads=2, model=model("n", weights_mib=1000, layers=10)),
        service("v", runtime="vllm", threads=2, model=folder),
        service("vg", runtime="vllm", gpus=1, threads=2, model=folder),
        service("w", runtime="whisper", threads=2),
        service("app", runtime="command", threads=1, command=["/opt/app/serve", "{port}", 'say "a" $b 5%']),
        service("c", runtime="container", threads=1, instances=2, command=["serve", "{model_file}"], warm_up=True,
                memory_lock="infinity"),
    ]


TOOLS = {"podman": ENGINES["container"], "quadlet": {"path": "/usr/bin/podman", "options": ["quadlet"]},
         "docker": {"path": "/usr/bin/docker"}}
PACKAGE = {"path": "/opt/inference/faster-whisper-server", "options": [], "package": "faster-whisper-server"}


@pytest.fixture(scope="module", name="runtimes")
def runtimes_fixture(tmp_path_factory):
    """{container tool: (plan, rendered, folder)}"""
    plan, answer = make_plan(*everything()), {}
    for name, engine in TOOLS.items():
        folder = tmp_path_factory.mktemp(name)
        engines = dict(ENGINES, container=engine, **({"whisper": PACKAGE} if name == "docker" else {}))
        rendered = render(folder, {"here": plan}, runtime_engines=engines,
                          service_api_keys={"chat": "not-a-real-key", "v": "not-a-real-key-either"})["here"]
        lay_out(folder / "root", rendered)
        answer[name] = (plan, rendered, folder / "root")
    return answer


@needs_systemd
@pytest.mark.parametrize("tool", TOOLS)
def test_systemd_finds_nothing_wrong_with_any_runtimes_units(runtimes, tool):
    _plan, rendered, root = runtimes[tool]
    for unit in rendered["instances"]:
        # Of a Quadlet file podman makes the unit.
        if tool != "quadlet" or not unit.startswith("inference-c@"):
            assert verify(root, unit) == ""


@needs_systemd
def test_systemd_would_say_what_is_wrong(runtimes, tmp_path):
    _plan, rendered, _root = runtimes["podman"]
    files = [{"path": path, "content": text.replace("AllowedCPUs=", "AllowedCPU=").replace("UMask=0077", "UMask=x")}
             for path, text in files_of(rendered).items()]
    lay_out(tmp_path, {"shared": files, "services": {}, "instances": {}})
    (tmp_path / "usr/bin/taskset").unlink()
    said = verify(tmp_path, "inference-chat@0.service")
    for word in ("Unknown key 'AllowedCPU'", "Failed to parse mode value", "taskset is not executable"):
        assert word in said


@needs_systemd
def test_units_can_do_little_with_and_without_gpus(runtimes):
    _plan, rendered, root = runtimes["podman"]
    found = {unit.split("@")[0].split("-")[1]: exposure(root, unit) for unit in rendered["instances"]}
    # A container tool is root; what the container may do is its own matter (--cap-drop, no-new-privileges).
    del found["c"]
    assert set(found) == {"chat", "cards", "v", "vg", "w", "app"} and max(found.values()) <= MOST_EXPOSED


def test_gpus_are_all_that_a_unit_with_gpus_may_open(runtimes):
    _plan, rendered, _root = runtimes["podman"]
    files = files_of(rendered)
    for name, gpus in (("chat", False), ("cards", True), ("v", False), ("vg", True), ("app", False)):
        pairs = section(files[UNITS + f"inference-{name}@.service"], "Service")
        devices = [pair for pair in pairs if "Device" in pair[0]]
        assert devices == ([("DevicePolicy", "closed"), ("DeviceAllow", "char-nvidia rw"), (
            "DeviceAllow", "char-nvidia-uvm rw")] if gpus else [("PrivateDevices", "yes")])
        unit = dict(section(files[UNITS + f"inference-{name}@.service"], "Unit"))
        after, wants = unit["After"].split(), unit["Wants"].split()
        assert "nginx.service" in after and ("nvidia-persistenced.service" in after) == gpus
        assert ("inference-nvidia.service" in after) == ("modprobe@nvidia_uvm.service" in wants) == gpus
        assert ("nvidia-persistenced.service" in wants) == gpus
        limits = section(files[UNITS + f"inference-{name}@0.service.d/placement.conf"], "Service")
        assert (("LimitMEMLOCK", "infinity") in limits) == gpus


def test_the_daemon_is_wanted_only_where_it_is_to_hold_the_cards_state(tmp_path):
    host, services = everything()
    plan = make_plan(host, services[1:2], {"settings": {"nvidia_persistence": False}})
    files = files_of(render(tmp_path, {"host": plan})["host"])
    unit = dict(section(files[UNITS + "inference-cards@.service"], "Unit"))
    assert "nvidia-persistenced.service" in unit["After"].split()
    assert "nvidia-persistenced.service" not in unit["Wants"].split()
    assert "modprobe@nvidia_uvm.service" in unit["Wants"].split()


def test_code_may_be_made_at_run_time_only_where_it_is(runtimes):
    files = files_of(runtimes["podman"][1])
    found = {name: ("MemoryDenyWriteExecute", "yes") in section(files[UNITS + f"inference-{name}@.service"], "Service")
             for name in ("chat", "cards", "v", "vg", "w", "app")}
    assert found == {"chat": True, "cards": False, "v": False, "vg": False, "w": True, "app": False}


def test_a_python_packages_engine_may_do_what_python_needs(runtimes):
    for tool, python in (("podman", False), ("docker", True)):
        unit = section(files_of(runtimes[tool][1])[UNITS + "inference-w@.service"], "Service")
        assert (("MemoryDenyWriteExecute", "yes") in unit, ("ProcSubset", "pid") in unit) == (not python, not python)
        assert (("CacheDirectory", "%p-%i") in unit) == python
        assert dict(unit)["RestrictAddressFamilies"].endswith("AF_NETLINK") == python


def test_a_key_goes_to_the_engine_that_takes_it_from_a_file_alone(runtimes):
    _plan, rendered, _root = runtimes["podman"]
    assert "not-a-real-key" not in json.dumps(rendered)
    files = files_of(rendered)
    assert "/etc/inference.host/keys/chat" in files[UNITS + "inference-chat@.service"]
    placement = files[UNITS + "inference-chat@0.service.d/placement.conf"]
    assert re.search(r"^ExecStart=.* --api-key-file \${CREDENTIALS_DIRECTORY}/api_key$", placement, re.MULTILINE)
    assert not [path for path, text in files.items() if "inference-v@" in path and "key" in text]


def test_an_instance_is_ready_when_healthy_and_drains_before_it_stops(runtimes):
    script = "/usr/bin/env python3 -I /usr/local/libexec/inference-instance"
    files = files_of(runtimes["podman"][1])
    for name, health in (("chat", "/health"), ("v", "/health"), ("w", "/health"), ("app", "tcp"), ("c", "tcp")):
        pairs = section(files[UNITS + f"inference-{name}@0.service.d/placement.conf"], "Service")
        port = next(instance["port"] for instance in runtimes["podman"][0]["instances"]
                    if instance["name"] == f"{name}-0")
        assert [value for key, value in pairs if key == "ExecStartPost"] == [
            f"{script} wait $MAINPID {port} {health}", f"+{script} register {name} 0"]
        first, *more = [value for key, value in pairs if key == "ExecStop"]
        # As long as the longest answer may take: 4096 tokens at 5 a second.
        assert first == f"+{script} drain {name} 0 {port} 820"
        assert more == (["-/usr/bin/podman stop --time 30 inference-c-0"] if name == "c" else [])
        assert dict(section(files[UNITS + f"inference-{name}@.service"], "Service"))["TimeoutStopSec"] == "820s 90s"


def test_limits_and_priorities_are_the_services(runtimes):
    files = files_of(runtimes["podman"][1])
    unit = section(files[UNITS + "inference-chat@.service"], "Service")
    assert {("Nice", "-5"), ("IOSchedulingClass", "best-effort"), ("IOSchedulingPriority", "1"), ("RestartSec", "5"),
            ("CPUSchedulingPolicy", "rr"), ("CPUSchedulingPriority", "5"), ("OOMScoreAdjust", "-100")} <= set(unit)
    assert {("StartLimitBurst", "3"), ("StartLimitIntervalSec", "600"), ("PartOf", "inference-chat.target")} <= set(
        section(files[UNITS + "inference-chat@.service"], "Unit"))
    placement = section(files[UNITS + "inference-chat@1.service.d/placement.conf"], "Service")
    assert {("LimitMEMLOCK", "100M"), ("LimitNOFILE", "9000"), ("TasksMax", "500")} <= set(placement)
    (warm_up,) = [value for key, value in placement if key == "ExecStartPre"]
    assert warm_up.endswith("/var/lib/inference/models/m/000000000000")
    wants = dict(section(files[UNITS + "inference-chat.target"], "Unit"))["Wants"].split()
    assert wants == ["inference-chat@0.service", "inference-chat@1.service"]


def test_each_container_tool_gets_what_it_takes(runtimes):
    podman, quadlet, docker = (files_of(runtimes[tool][1]) for tool in ("podman", "quadlet", "docker"))
    quadlet_file = "/etc/containers/systemd/inference-c@1.container"
    assert quadlet_file in quadlet and quadlet_file not in podman and quadlet_file not in docker
    assert UNITS + "inference-c@.service" in podman and UNITS + "inference-c@.service" not in quadlet
    # What it does before and after the container is podman's own; draining comes first.
    pairs = section(quadlet[quadlet_file], "Service")
    assert [key for key, _value in pairs if key.startswith("Exec")] == [
        "ExecStartPre", "ExecStartPost", "ExecStartPost", "ExecStop"]
    assert ("Image", everything()[1][-1]["image"]) in section(quadlet[quadlet_file], "Container")
    placement = section(quadlet[UNITS + "inference-c@1.service.d/placement.conf"], "Service")
    assert not [key for key, _value in placement if key.startswith("Exec")]
    assert {"AllowedCPUs", "EnvironmentFile", "Environment"} <= {key for key, _value in placement}
    assert ("Requires", "docker.service") in section(docker[UNITS + "inference-c@.service"], "Unit")
    assert "ExecStopPost=-/usr/bin/docker rm --force inference-c-1\n" in docker[
        UNITS + "inference-c@1.service.d/placement.conf"]


def test_the_revision_changes_with_all_that_an_instance_reads(tmp_path):
    host, services = everything()
    changes = [{}, {"environment": {"A": "b"}}, {"config": {"a": 1}}, {"nice": 1}, {"context": 512}]
    plans = {"p%d" % number: make_plan(host, [dict(services[0], **change)]) for number, change in enumerate(changes)}
    rendered = render(tmp_path, plans)
    revisions = {re.search("INFERENCE_REVISION=([0-9a-f]{64})\n", files["instances"]["inference-chat@0.service"][-1][
        "content"]).group(1) for files in rendered.values()}
    assert len(revisions) == len(changes)
