"""Containers: the plan's CPUs, nodes, limits and GPUs in the words of podman, Docker and Quadlet."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.container_command import (
    container_command,
    has_quadlet,
    quadlet_lines,
    tool_of,
)
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from plan_topologies import IMAGE, gpu, service, topology

PODMAN = {"path": "/usr/bin/podman", "version": "4.3.1"}
FOLDER = "/m/m/000000000000"


def planned(host=None, **wish):
    wish = dict({"runtime": "container", "threads": 2, "numa": 1}, **wish)
    return make_plan(host or topology(sockets=2), [service(**wish)])["instances"][0]


def words(engine=None, path=FOLDER + "/m.gguf", **wish):
    return container_command(planned(**wish), engine or PODMAN, path)


def values(command, option):
    return [command[place + 1] for place, word in enumerate(command) if word == option]


def test_the_whole_command_of_podman():
    assert words(command=["serve", "{model_file}", "--port", "{port}"], arguments=["-v"]) == [
        "/usr/bin/podman", "run", "--rm", "--name", "inference-chat-0", "--log-driver", "none", "--network", "host",
        "--volume", "%s:%s:ro" % (FOLDER, FOLDER), "--cap-drop", "all", "--security-opt",
        "no-new-privileges", "--cpuset-cpus=9-10", "--cpuset-mems=1", "--env=OMP_NUM_THREADS", IMAGE, "serve",
        FOLDER + "/m.gguf", "--port", "18080", "-v"]


def test_docker_gets_the_same_words():
    docker, podman = words(engine={"path": "/usr/bin/docker"}), words()
    assert docker[0] == "/usr/bin/docker" and docker[1:] == podman[1:]


@pytest.mark.parametrize(("wish", "nodes"), [({"numa": 1}, "--cpuset-mems=1"), ({"numa": "off"}, None),
                                             ({"numa": "interleave"}, "--cpuset-mems=0-1")])
def test_memory_nodes_are_those_of_the_plan(wish, nodes):
    found = [word for word in words(**wish) if word.startswith("--cpuset-mems")]
    assert found == ([nodes] if nodes else [])


@pytest.mark.parametrize(("wish", "word"), [
    ({"memory_lock": "infinity"}, "--ulimit=memlock=-1:-1"), ({"memory_lock": 3}, "--ulimit=memlock=3145728:3145728"),
    ({"open_files": 9000}, "--ulimit=nofile=9000:9000"), ({"tasks": 99}, "--pids-limit=99"),
    ({"environment": {"A": "1"}}, "--env=A")])
def test_limits_are_the_containers_own(wish, word):
    assert word in words(**wish) and word not in words()


def test_a_port_of_the_image_is_published_on_loopback():
    command = words(container_port=8000, port=9000)
    assert values(command, "--publish") == ["127.0.0.1:9000:8000"] and "--network" not in command
    assert values(words(), "--network") == ["host"]


def test_gpus_are_named_by_cdi_in_pci_order():
    host = topology(sockets=2, gpus=[gpu(1, 1), gpu(0, 0)])
    command = words(host=host, gpus=1, numa=1)
    assert values(command, "--device") == ["nvidia.com/gpu=1"]
    assert not values(words(host=host, gpus=0), "--device")


@pytest.mark.parametrize(("path", "file", "folder"), [
    ("/m/m/000000000000/m.gguf", "m/000000000000/m.gguf", "/m/m/000000000000"),
    # Of several files the path is the folder, or the first shard in it.
    ("/m/m/0123456789ab", "m/0123456789ab", "/m/m/0123456789ab"),
    ("/m/m/0123456789ab/q4/m-00001-of-00002.gguf", "m/0123456789ab/q4/m-00001-of-00002.gguf", "/m/m/0123456789ab"),
])
def test_the_release_is_there_to_be_read(path, file, folder):
    instance = dict(planned(config={"a": 1}), model_file=file)
    assert values(container_command(instance, PODMAN, path), "--volume") == [
        "%s:%s:ro" % (folder, folder),
        "/etc/inference.host/config/chat-0.json:/etc/inference.host/config/chat-0.json:ro"]


def test_without_a_model_nothing_is_mounted():
    assert not values(words(path=None, model=None), "--volume")


@pytest.mark.parametrize(("engine", "tool", "quadlet"), [
    (PODMAN, "podman", False),
    ({"path": "/usr/bin/podman", "options": ["quadlet"]}, "podman", True),
    ({"path": "/usr/bin/podman", "options": []}, "podman", False),
    ({"path": "/usr/bin/podman", "options": None}, "podman", False),
    ({"path": "/usr/bin/docker", "options": ["quadlet"]}, "docker", False),
    ({"path": "/usr/bin/docker.io"}, "docker", False),
])
def test_quadlet_is_what_podman_is_found_to_have(engine, tool, quadlet):
    assert (tool_of(engine), has_quadlet(engine)) == (tool, quadlet)


def test_quadlet_says_the_same_in_its_own_words():
    host = topology(sockets=2, gpus=[gpu(0, 1)])
    instance = planned(host, gpus=1, memory_lock="infinity", command=["serve", "{model_file}", "50% $x"], config={})
    config = "/etc/inference.host/config/chat-0.json"
    assert quadlet_lines(instance, FOLDER + "/m.gguf") == [
        ("Image", IMAGE), ("ContainerName", "inference-chat-0"), ("Network", "host"),
        ("Volume", "%s:%s:ro" % (FOLDER, FOLDER)), ("Volume", "%s:%s:ro" % (config, config)),
        ("AddDevice", "nvidia.com/gpu=0"), ("DropCapability", "all"), ("NoNewPrivileges", "true"),
        ("PodmanArgs", "--cpuset-cpus=9-10 --cpuset-mems=1 --ulimit=memlock=-1:-1 --env=CUDA_DEVICE_ORDER "
                       "--env=CUDA_VISIBLE_DEVICES --env=OMP_NUM_THREADS"),
        ("Exec", 'serve %s/m.gguf "50%%%% $$x"' % FOLDER)]
    plain = quadlet_lines(planned(container_port=80, model=None), None)
    assert ("PublishPort", "127.0.0.1:18080:80") in plain and "Exec" not in dict(plain) and "Volume" not in dict(plain)
