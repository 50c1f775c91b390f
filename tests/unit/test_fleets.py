"""The five reference fleets: the plans for their recorded hosts, value by value, as their owners' tables have them.

Each whole plan is compared in test_fleet_goldens.py.
"""

import pytest
from ansible_collections.inference.host.plugins.module_utils.build_flags import cflags, cmake_args, rustflags
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from fleet_plans import fleet_plan, topology


def instances(plan):
    return {instance["name"]: instance for instance in plan["instances"]}


def places(plan):
    """{instance: (CPUs, threads, NUMA policy, nodes)}"""
    return {name: (instance["cpu_range"], instance["threads"], instance["numa_policy"], instance["numa_range"])
            for name, instance in instances(plan).items()}


def values(plan):
    """{setting: value} of what applies."""
    return {setting["name"]: setting["value"] for setting in plan["settings"] if setting["applies"]}


def pages(plan):
    """{node: pages of 2 MiB} as the settings ask for them."""
    rows = [setting for setting in plan["settings"] if setting["name"].startswith("hugepages-2048kB")]
    return {setting["path"].split("/")[5]: setting["value"] for setting in rows if setting["applies"]}


def servers(plan):
    return {upstream["service"]: [(server["port"], server["max_conns"]) for server in upstream["servers"]]
            for upstream in plan["nginx"]["upstreams"]}


# 1. alfavoice


@pytest.fixture(scope="module")
def two_sockets():
    return fleet_plan("alfavoice-2s")


def test_two_sockets_are_numbered_as_the_owners_say():
    nodes = topology("alfavoice-2s")["numa_nodes"]
    assert [node["cpus"] for node in nodes] == [
        [*range(0, 44), *range(88, 132)], [*range(44, 88), *range(132, 176)]]


def test_speech_and_chat_share_node_0(two_sockets):
    # 0.73 x 44 = 32.12; 32 + 10 of the 43 cores that housekeeping leaves on the node.
    assert places(two_sockets) == {
        "whisper-0": ("1-32", 32, "bind", "0"),
        "llm-0": ("33-42", 10, "bind", "0"),
        "app-0": ("45-87", 43, "bind", "1"),
    }
    assert two_sockets["housekeeping_cpus"] == [0, 44, 88, 132]
    assert instances(two_sockets)["whisper-0"]["reasons"]["threads"].startswith("cpu_share 0.73 of 44 physical cores")


def test_no_instance_leaves_the_owners_44_cores_or_shares_a_core(two_sockets):
    used = [cpu for name in ("whisper-0", "llm-0") for cpu in instances(two_sockets)[name]["cpus"]]
    assert len(used) == len(set(used)) == 42 and set(used) < set(range(44))


def test_environment_of_speech_and_chat(two_sockets):
    found = {name: instance["environment"] for name, instance in instances(two_sockets).items()}
    assert found == {
        "whisper-0": {"WHISPER_THREADS": "32", "NUMA_NODE": "0", "LARGE_PAGES": "0", "OMP_NUM_THREADS": "32"},
        "llm-0": {"LLM_THREADS": "10", "NUMA_NODE": "0"},
        "app-0": {"WORKER_THREADS": "88", "NUMA_NODE": "1", "LARGE_PAGES": "0", "OMP_NUM_THREADS": "43"},
    }


def test_speech_comes_first_and_chat_yields(two_sockets):
    assert [(service["name"], service["nice"]) for service in two_sockets["services"]] == [
        ("whisper", 0), ("app", 0), ("llm", 10)]


def test_nginx_runs_on_the_housekeeping_cores(two_sockets):
    assert two_sockets["nginx"]["workers"] == 2
    assert two_sockets["nginx"]["cpus"] == two_sockets["irq_cpus"] == two_sockets["housekeeping_cpus"]
    assert servers(two_sockets) == {"whisper": [(18080, 1)], "app": [(18081, 88)], "llm": [(18082, 1)]}


def test_settings_of_a_host_with_two_nodes(two_sockets):
    assert values(two_sockets) == {
        "governor": "performance", "default_smp_affinity": "00000010,00000000,01000000,00001000,00000001",
        "irqbalance": "[Service]\nEnvironmentFile=-/etc/systemd/system/irqbalance.service.d/60-inference.env\n",
        "irqbalance variables": "IRQBALANCE_BANNED_CPULIST=1-43,45-87,89-131,133-175\n",
        "transparent_hugepage": "madvise", "vm.swappiness": "10", "kernel.numa_balancing": "0",
        "vm.zone_reclaim_mode": "0", "scheduler": "none", "net.core.somaxconn": "4096",
        "net.ipv4.tcp_slow_start_after_idle": "0",
    }
    assert two_sockets["hugepages"] == {}


def test_one_process_of_32_threads_draws_a_warning_and_four_of_8_do_not(two_sockets):
    slow = "whisper gets slower beyond about 16"
    assert slow in " ".join(two_sockets["warnings"])
    several = fleet_plan("alfavoice-2s", "several_workers.yml")
    assert [place for name, place in places(several).items() if name.startswith("whisper")] == [
        ("1-8", 8, "bind", "0"), ("9-16", 8, "bind", "0"), ("17-24", 8, "bind", "0"), ("25-32", 8, "bind", "0")]
    assert slow not in " ".join(several["warnings"])
    assert len(servers(several)["whisper"]) == 4


def test_their_numbers_of_alfavoice():
    plan = fleet_plan("alfavoice-2s", "their_numbers.yml")
    assert plan["nginx"]["workers"] == 44
    # 512 pages for the application server on its own node, 512 for nobody on both.
    assert plan["hugepages"] == {"0": {"2048": 256}, "1": {"2048": 768}}
    assert pages(plan) == {"node0": "256", "node1": "768"}
    assert instances(plan)["app-0"]["environment"]["LARGE_PAGES"] == "1"
    said = " ".join(plan["warnings"])
    assert "nginx_workers is 44" in said
    assert "hugepages_count is 1024: no planned service uses 512 of these" in said


def test_32_threads_do_not_fit_a_node_of_22_cores():
    plan = fleet_plan("alfavoice-snc2")
    assert places(plan)["whisper-0"][1:] == (32, "interleave", "0-1")
    assert places(plan)["llm-0"][1] == 10 and places(plan)["app-0"][1] == 1
    said = " ".join(plan["warnings"])
    assert "whisper-0 is interleaved over NUMA nodes 0-1: 32 CPUs and" in said and "fit no single node" in said
    assert "1 core(s) instead of 2 are kept for the OS" in said
    assert instances(plan)["whisper-0"]["environment"]["NUMA_NODE"] == "0-1"


def test_binding_32_threads_to_a_node_of_22_cores_is_refused_with_the_sum():
    # cpu_share would be of that node's cores; 32 threads are what is wanted.
    with pytest.raises(PlanError) as error:
        services = [{"name": "whisper", "runtime": "whisper", "threads": 32, "numa": 0, "model": {"name": "m"}}]
        fleet_plan("alfavoice-snc2", inference_services=services)
    assert "whisper-0: numa is 0, whose free part is 22 CPUs" in str(error.value)
    assert "the instance needs 32" in str(error.value)


def test_build_flags_of_the_xeon():
    xeon = topology("alfavoice-2s")
    named = {"AVX512", "AVX512_VNNI", "AVX512_VBMI", "AVX512_BF16", "AMX_TILE", "AMX_INT8", "AMX_BF16", "AVX2", "FMA"}
    assert {f"-DGGML_{name}=ON" for name in named} <= set(cmake_args(xeon))
    sets = {"avx512f", "avx512dq", "avx512vl", "avx512bw", "avx512vnni"}
    assert {f"-m{name}" for name in sets | {"amx-int8"}} <= set(cflags(xeon))
    features = rustflags(xeon)[-1].partition("=")[2].split(",")
    assert {f"+{name}" for name in sets} <= set(features)
    # LTO belongs in the Cargo profile; in RUSTFLAGS it fails.
    assert not [word for word in rustflags(xeon) + cflags(xeon) if "lto" in word]


# 2. xaichat


@pytest.fixture(scope="module")
def desktop():
    return fleet_plan("xaichat")


def test_six_of_eight_cores_as_two_by_three(desktop):
    assert places(desktop) == {"chat-0": ("1-3", 3, "none", "0"), "chat-1": ("4-6", 3, "none", "0")}
    assert desktop["housekeeping_cpus"] == [0, 8]
    assert servers(desktop) == {"chat": [(18080, 2), (18081, 2)]}
    assert desktop["nginx"]["workers"] == 1


def test_one_instance_has_all_six_threads():
    services = [{"name": "chat", "runtime": "llama_cpp", "cpu_share": 0.8, "model": {"name": "qwen3-1.7b"}}]
    assert places(fleet_plan("xaichat", inference_services=services)) == {"chat-0": ("1-6", 6, "none", "0")}


def test_memory_of_the_small_model_comes_from_its_header(desktop):
    memory = instances(desktop)["chat-0"]["memory_mib"]
    # 2 slots x 4096 tokens x 28 layers x 8 heads x (128 + 128) x 2 bytes
    assert memory["kv_cache"] == 2 * 4096 * 114688 // 2**20 == 896
    assert memory["weights"] == 1051
    assert desktop["warnings"] == []


def test_settings_of_the_desktop(desktop):
    assert values(desktop)["governor"] == "performance" and values(desktop)["vm.swappiness"] == "10"
    assert pages(desktop) == desktop["hugepages"] == {}
    assert "kernel.numa_balancing" not in values(desktop)
    assert instances(desktop)["chat-0"]["environment"] == {"STREAM_BATCH": "5"}


def test_a_desktop_processor_without_avx512_gets_none():
    desktop = topology("xaichat")
    assert {"-DGGML_AVX2=ON", "-DGGML_AVX512=OFF"} <= set(cmake_args(desktop))
    assert "-mavx2" in cflags(desktop) and not [word for word in cflags(desktop) if "avx512" in word]


def test_their_numbers_of_xaichat(desktop):
    plan = fleet_plan("xaichat", "their_numbers.yml")
    assert plan["hugepages"] == {"0": {"2048": 1024}} and pages(plan) == {"node0": "1024"}
    assert {"swap file": "8192"}.items() <= values(plan).items()
    assert plan["warnings"] == ["hugepages_count is 1024: no planned service uses 1024 of these reserved huge pages, "
                                "so this memory is only taken away."]
    assert places(plan) == places(desktop)


# 3. wicore


@pytest.fixture(scope="module")
def two_gpus():
    return fleet_plan("wicore")


def test_each_gpu_has_an_instance_with_cores_of_its_node(two_gpus):
    assert places(two_gpus) == {"chat-0": ("1-15", 15, "bind", "0"), "chat-1": ("17-31", 15, "bind", "1")}
    assert [instance["gpus"] for instance in two_gpus["instances"]] == [["0000:65:00.0"], ["0000:b3:00.0"]]
    assert [instance["environment"]["CUDA_VISIBLE_DEVICES"] for instance in two_gpus["instances"]] == ["0", "1"]
    assert servers(two_gpus) == {"chat": [(18080, 8), (18081, 8)]}


def test_as_many_layers_as_fit_15_gb(two_gpus):
    instance = instances(two_gpus)["chat-0"]
    memory = instance["memory_mib"]
    # In each of 8 slots 10 layers keep 4096 tokens and 52 a window of 1024 and a micro-batch of 512. A token takes 16
    # heads x (128 + 128) x 2 bytes.
    assert memory["kv_cache"] == 8 * (10 * 4096 + 52 * 1536) * 16 * 256 * 2 // 2**20 == 7552
    assert memory["weights"] == 15774
    # The output is the token embedding once more, 1.1 GiB. A layer takes 225 to 252 MiB, and 122 MiB of KV cache: 39 of
    # 62 fit what compute buffers and the output leave of 15360 MiB.
    assert instance["gpu_layers"] == 40
    assert 15360 - 122 - 252 < instance["gpu_memory_mib"] <= 15360
    assert instance["reasons"]["gpu_layers"].startswith("the output and 39 of 62 layers fit")


def test_their_numbers_of_wicore():
    plan = fleet_plan("wicore", "their_numbers.yml")
    assert [instance["cpu_range"] for instance in plan["instances"]] == ["0-15", "16-31"]
    assert values(plan)["scheduler"] == "mq-deadline" and values(plan)["nr_requests"] == "32"
    assert plan["housekeeping_cpus"] == []
    assert values(plan)["DefaultLimitMEMLOCK"] == "[Manager]\nDefaultLimitMEMLOCK=infinity\n"
    assert "hugepages_count is 1024: no planned service uses 1024" in " ".join(plan["warnings"])
    assert {(instance["load_mode"], instance["memory_lock"]) for instance in plan["instances"]} == {
        ("mlock", "infinity")}


def test_each_instance_has_its_configuration_as_json(two_gpus):
    assert [instance["config"] for instance in two_gpus["instances"]] == [
        {"devices": [card], "memory_limit_mib": instance["gpu_memory_mib"], "enable_p2p": False, "precision": "fp16",
         "threads": 15, "port": port}
        for card, port, instance in zip(("0000:65:00.0", "0000:b3:00.0"), (18080, 18081), two_gpus["instances"],
                                        strict=True)]


def test_cards_behind_a_translating_iommu_do_not_copy_to_each_other():
    (instance,) = fleet_plan("wicore", "across_both.yml")["instances"]
    assert instance["config"]["enable_p2p"] is False
    assert instance["p2p_verdict"] == "unsafe"
    assert instance["reasons"]["p2p"] == (
        "not used: an IOMMU translates between them and ACS redirects at 0000:64:00.0, 0000:b2:00.0")


def test_one_instance_over_both_gpus_is_spread_over_both_nodes():
    plan = fleet_plan("wicore", "across_both.yml")
    (instance,) = plan["instances"]
    assert instance["gpus"] == ["0000:65:00.0", "0000:b3:00.0"]
    assert (instance["numa_policy"], instance["numa_nodes"]) == ("interleave", [0, 1])
    assert instance["gpu_layers"] == 61
    assert instance["environment"]["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert servers(plan) == {"chat": [(18080, 16)]}


# 4. zigai


@pytest.fixture(scope="module")
def four_gpus():
    return fleet_plan("zigai")


def test_one_pod_a_gpu_with_cores_of_its_node(four_gpus):
    assert places(four_gpus) == {
        "api-0": ("1-5", 5, "bind", "0"), "api-1": ("6-10", 5, "bind", "0"),
        "api-2": ("13-17", 5, "bind", "1"), "api-3": ("18-22", 5, "bind", "1"),
    }
    assert [instance["gpus"] for instance in four_gpus["instances"]] == [
        ["0001:00:00.0"], ["0002:00:00.0"], ["0003:00:00.0"], ["0004:00:00.0"]]


def test_libraries_use_no_more_than_their_pods_cores(four_gpus):
    assert instances(four_gpus)["api-3"]["environment"] == {
        "OPENBLAS_NUM_THREADS": "5", "MKL_NUM_THREADS": "5", "OMP_NUM_THREADS": "5", "IO_THREADS": "8",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "3", "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1", "VLLM_HOST_IP": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo",
    }


def test_the_whole_model_lies_on_its_gpu(four_gpus):
    instance = instances(four_gpus)["api-0"]
    # 16 sequences of 8192 tokens of 36864 bytes
    assert instance["memory_mib"]["kv_cache"] == 16 * 8192 * 36864 // 2**20 == 4608
    assert instance["gpu_memory_mib"] == 5886 + 4608 + 512 < 16384 - 1024
    assert instance["gpu_layers"] is None


def test_a_virtual_machine_has_no_governor_and_this_one_no_nvme(four_gpus):
    assert {setting["name"]: setting["why_not"] for setting in four_gpus["settings"] if not setting["applies"]} == {
        "governor": "virtual machine: the clock belongs to its host", "scheduler": "no NVMe disk"}
    assert values(four_gpus)["transparent_hugepage"] == "madvise"


def test_their_numbers_of_zigai():
    plan = fleet_plan("zigai", "their_numbers.yml")
    assert places(plan) == {"api-0": ("0-23", 24, "interleave", "0-1")}
    (instance,) = plan["instances"]
    assert len(instance["gpus"]) == 4
    environment = instance["environment"]
    assert (environment["OPENBLAS_NUM_THREADS"], environment["MKL_NUM_THREADS"]) == ("24", "24")
    # One instance over all GPUs: the cloud's cards do not reach each other.
    assert environment["NCCL_P2P_DISABLE"] == "1" and instance["tensor_parallel"] == 4
    assert instance["allocator"].endswith("libjemalloc.so.2") and "LD_PRELOAD" not in environment
    assert plan["services"][0]["scheduling"] == {"policy": "fifo", "priority": 1}
    assert pages(plan) == {"node0": "512", "node1": "512"}
    assert {
        "transparent_hugepage": "always", "vm.overcommit_memory": "1", "vm.overcommit_ratio": "80",
        "net.core.somaxconn": "2000", "net.ipv4.tcp_keepalive_time": "60", "net.ipv4.tcp_rmem": "4096 65536 6291456",
        "net.ipv4.tcp_wmem": "4096 65536 4194304"}.items() <= values(plan).items()
    said = " ".join(plan["warnings"])
    for name in ("hugepages_count is 1024", "hugepages_transparent is always", "memory_overcommit is 1",
                 "memory_overcommit_ratio is 80"):
        assert name in said


# 5. ragserver


@pytest.fixture(scope="module")
def one_gpu():
    return fleet_plan("ragserver")


def test_all_layers_fit_the_card(one_gpu):
    instance = instances(one_gpu)["rag-0"]
    assert instance["gpus"] == ["0000:01:00.0"]
    # 32 layers and the output.
    assert instance["gpu_layers"] == 33
    assert instance["memory_mib"]["kv_cache"] == 4096 * 131072 // 2**20 == 512
    assert instance["gpu_memory_mib"] <= 8192 - 1024


def test_a_card_of_unknown_node_needs_no_binding_on_a_host_with_one(one_gpu):
    assert places(one_gpu) == {"rag-0": ("1-7", 7, "none", "0")}
    assert "node" in instances(one_gpu)["rag-0"]["reasons"]["gpus"].lower()
    assert one_gpu["warnings"] == []


def test_priorities_are_passed_on(one_gpu):
    (rag,) = one_gpu["services"]
    assert (rag["name"], rag["nice"], rag["io"]) == ("rag", -10, {"class": "realtime", "priority": 4})


def test_its_unit_may_open_the_cards_devices(one_gpu):
    assert one_gpu["device_groups"] == ["nvidia", "nvidia-caps", "nvidia-modeset", "nvidia-uvm", "nvidiactl"]


@pytest.mark.parametrize(("profile", "numbers"), {
    "speed": (2048, 1024, "0.1", "3", "2000"),
    "balanced": (4096, 512, "0.2", "5", "4000"),
    "quality": (8192, 256, "0.3", "8", "6000"),
}.items())
def test_profiles_are_the_owners(profile, numbers):
    instance = instances(fleet_plan("ragserver", rag_profile=profile))["rag-0"]
    said = instance["environment"]
    assert (instance["context"], instance["batch"], said["LLAMACPP_TEMPERATURE"], said["LLAMACPP_RAG_K"],
            said["LLAMACPP_MAX_CONTEXT"]) == numbers
    assert said["LLAMACPP_CTX_SIZE"] == str(numbers[0]) and said["LLAMACPP_BATCH_SIZE"] == str(numbers[1])
    assert said["LLAMACPP_GPU_LAYERS"] == "33"


def test_their_numbers_of_ragserver(one_gpu):
    plan = fleet_plan("ragserver", "their_numbers.yml")
    assert plan["hugepages"] == {"0": {"2048": 2048}}
    assert instances(plan)["rag-0"]["reasons"]["gpu_layers"] == (
        "gpu_layers: 35 was set by the user (the model has 32 and the output)")
    assert instances(plan)["rag-0"]["gpu_layers"] == instances(one_gpu)["rag-0"]["gpu_layers"]
    assert "hugepages_count is 2048: no planned service uses 2048" in " ".join(plan["warnings"])
