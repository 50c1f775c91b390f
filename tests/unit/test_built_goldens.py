"""Whole plans for hosts that no fleet has, built as those of the fleets are: eight GPUs on two nodes.

    INFERENCE_HOST_RENEW_GOLDENS=1 .venv/bin/pytest tests/unit/test_built_goldens.py; git diff tests/unit/built_goldens
"""

import itertools
import os
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.discovery import copies
from ansible_collections.inference.host.plugins.module_utils.json_text import json_text
from ansible_collections.inference.host.plugins.module_utils.p2p import p2p_pairs
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from builders import Machine, scratch, write_files
from fleet_machines import AVX2, AVX512, HWP, INTEL, FleetHost, Gpu, Processor
from record_fleets import read_host

GOLDENS = Path(__file__).parent / "built_goldens"
# Node of each card. Four cards on each node are linked with each other; PCI between the nodes is all there is.
CARDS = {"0000:1a:00.0": 0, "0000:1b:00.0": 0, "0000:3d:00.0": 0, "0000:3e:00.0": 0,
         "0000:88:00.0": 1, "0000:89:00.0": 1, "0000:b1:00.0": 1, "0000:b2:00.0": 1}
PLACES = list(itertools.combinations(range(8), 2))
TOGETHER = {pair: pair[0] // 4 == pair[1] // 4 for pair in PLACES}

HOST = FleetHost(
    "none",
    Machine(sockets=2, cores=32, threads=2, node_memory_mib=515000, nvme=[0], cpufreq="intel_pstate",
            hugepages={2048: 0, 1048576: 0}, flags=AVX2 + INTEL + HWP + AVX512),
    Processor("GenuineIntel", "Test Processor of 32 Cores", 6, 143, 8), driver="570.86.10",
    gpus=[Gpu(address, node, "0x20b0", bridge="0000:%02x:00.0" % (int(address[5:7], 16) - 2),
              name="Test Card 40 GiB", memory_mib=40960, mig="Disabled", used_mib=4, reserved_mib=512, watts=400,
              mhz=1410)
          for address, node in CARDS.items()],
    links={pair: "NV4" if together else "SYS" for pair, together in TOGETHER.items()},
    peers=dict.fromkeys(PLACES, "OK"), translating=True,
)


def model(name, suffix, **numbers):
    return dict({"name": name, "source": "/srv/%s.%s" % (name, suffix), "sha256": "0" * 64}, **numbers)


SERVICES = [
    {"name": "large", "runtime": "vllm", "gpus": 4, "threads": 16, "context": 8192,
     "model": model("large", "safetensors", weights_mib=100000, layers=80)},
    # Placed first, and so that four cards stay together.
    {"name": "chat", "runtime": "llama_cpp", "gpus": 2, "instances": 2, "threads": 8, "priority": 10,
     "model": model("chat", "gguf", weights_mib=50000, layers=64)},
]


def kept_copies(host):
    """Copies arrived between the linked cards of a host, all but one direction of one pair."""
    ways = [way for pair in itertools.combinations(CARDS, 2) if CARDS[pair[0]] == CARDS[pair[1]]
            for way in (pair, pair[::-1])]
    made = [{"from": source, "to": target, "ok": True, "access": True, "bytes": 16777216, "reason": None}
            for source, target in ways]
    made[-1].update(ok=False, bytes=0, reason="1 of 65537 bytes came back different, the first at 4097")
    return copies.as_text(copies.conditions(host["nvidia"], host["gpus"], host["iommu"]), made)


@pytest.fixture(scope="module", name="hosts")
def hosts_fixture():
    """Return {golden: topology}: the host without copies, and with those of kept_copies."""
    with scratch() as root:
        plain = read_host(HOST, root)
    with scratch() as root:
        write_files(root, {copies.FILE: kept_copies(plain)})
        return {"eight_on_two": plain, "eight_on_two.copied": read_host(HOST, root)}


@pytest.mark.parametrize("name", ["eight_on_two", "eight_on_two.copied"])
def test_plan_is_the_golden_one(hosts, name):
    plan = make_plan(hosts[name], SERVICES)
    golden, text = GOLDENS / (name + ".json"), json_text(plan)
    if os.environ.get("INFERENCE_HOST_RENEW_GOLDENS"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def by_name(host):
    return {instance["name"]: instance for instance in make_plan(host, SERVICES)["instances"]}


def test_groups_do_not_cross_the_nodes(hosts):
    for host in hosts.values():
        found = by_name(host)
        places = {name: {CARDS[address] for address in instance["gpus"]} for name, instance in found.items()}
        assert all(len(nodes) == 1 for nodes in places.values())
        given = [address for instance in found.values() for address in instance["gpus"]]
        assert sorted(given) == sorted(CARDS)


def test_what_was_not_copied_is_not_forbidden_and_llama_cpp_is_not_told_of_it(hosts):
    found = by_name(hosts["eight_on_two"])
    assert {instance["p2p_verdict"] for instance in found.values()} == {"reported_only"}
    assert all("NCCL_P2P_DISABLE" not in instance["environment"] for instance in found.values())
    assert all("GGML_CUDA_P2P" not in instance["environment"] for instance in found.values())


def test_what_was_copied_is_used_and_what_came_back_wrong_is_avoided(hosts):
    found = by_name(hosts["eight_on_two.copied"])
    chats = [instance for instance in found.values() if instance["service"] == "chat"]
    assert all(instance["environment"].get("GGML_CUDA_P2P") == "1" for instance in chats)
    # b1 and b2 do not reach each other: no instance of two has both.
    assert not any({"0000:b1:00.0", "0000:b2:00.0"} <= set(instance["gpus"]) for instance in chats)


def test_the_verdicts_of_all_pairs(hosts):
    verdicts = [pair["verdict"] for pair in p2p_pairs(hosts["eight_on_two"])]
    assert (verdicts.count("reported_only"), verdicts.count("unsafe")) == (12, 16)
    verdicts = [pair["verdict"] for pair in p2p_pairs(hosts["eight_on_two.copied"])]
    assert (verdicts.count("works"), verdicts.count("unsafe")) == (11, 17)
