"""Builds topologies, in the shape that module `topology` returns, from a short description.

    topology(sockets=2, nodes=1, cores=8, threads=2, numbering="adjacent", allowed=range(4))

Only what the plan reads is there. `cores_of` says which CPUs share a core, worked out from the description alone.
"""

from __future__ import annotations

import itertools

from hypothesis import strategies as st

FLAGS = ["avx", "avx2", "bmi2", "f16c", "fma", "sse4_2"]


def cores_of(total, threads, numbering="split"):
    """The CPUs of each of `total` physical cores: siblings n and n + total ("split"), or neighbours ("adjacent")."""
    if numbering == "adjacent":
        return [list(range(core * threads, (core + 1) * threads)) for core in range(total)]
    return [[core + thread * total for thread in range(threads)] for core in range(total)]


def topology(sockets=1, nodes=1, cores=8, threads=1, numbering="split", memory_mib=65536, node_memory=None, **other):
    """Return a topology of `sockets` x `nodes` a socket x `cores` a node x `threads` a core.

    memory_mib: of each node; node_memory: {node id: MiB or None} where it differs, also for nodes without CPUs.
    allowed, quota, memory_limit: limits of system services. offline: CPUs. kinds: core_kinds. kind, detail: the
    platform. driver: of cpufreq. nvme: how many NVMe disks. flags, architecture, model_name: the processor.
    gpus: as they are.
    """
    known = cores_of(sockets * nodes * cores, threads, numbering)
    offline = set(other.pop("offline", ()))
    online = sorted(cpu for core in known for cpu in core if cpu not in offline)
    allowed = sorted(other.pop("allowed", online))
    memory = dict.fromkeys(range(sockets * nodes), memory_mib)
    memory.update(node_memory or {})
    limits = {"allowed_cpus": allowed, "quota_cpus": other.pop("quota", None),
              "memory_limit_mib": other.pop("memory_limit", None)}
    driver = other.pop("driver", None)
    kind, detail = other.pop("kind", "bare_metal"), other.pop("detail", None)
    answer = {
        "cpus": {"present": sorted(set(online) | offline), "online": online, "offline": sorted(offline)},
        "cores": [core for core in ([cpu for cpu in core if cpu not in offline] for core in known) if core],
        "threads_per_core": threads,
        "core_kinds": other.pop("kinds", []),
        "numa_nodes": [{
            "id": node,
            "cpus": sorted(set(sum(known[node * cores:(node + 1) * cores], [])) - offline),
            "memory_mib": memory[node],
        } for node in sorted(memory)],
        "memory_mib": sum(size or 0 for size in memory.values()),
        "services": limits,
        "cpu": {"flags": other.pop("flags", FLAGS), "model_name": other.pop("model_name", "Test Processor")},
        "cpufreq": {"driver": driver, "policies": [{"cpus": [cpu], "driver": driver} for cpu in online if driver]},
        "block_devices": [{"name": "vda", "kind": "virtio"}] + [
            {"name": "nvme%dn1" % number, "kind": "nvme"} for number in range(other.pop("nvme", 0))],
        "gpus": other.pop("gpus", []),
        "platform": {"kind": kind, "detail": detail, "architecture": other.pop("architecture", "x86_64"),
                     "distribution": {"id": "debian", "version_id": "12"}},
    }
    # What the reading process may do is not what system services may: the plan must not mix the two up.
    answer.update({"allowed_cpus": online, "quota_cpus": None, "memory_limit_mib": None})
    assert not other, "unknown: %s" % ", ".join(other)
    return answer


def gpu(number, node=0, memory_mib=16384, vendor="0x10de"):
    """One entry of `gpus`: address by number; `nvidia` is null where the memory is None."""
    told = {"index": number, "memory_mib": memory_mib} if memory_mib else None
    return {"address": "0000:%02x:00.0" % (16 + number), "vendor": vendor, "numa_node": node, "nvidia": told}


def model(name="m", **other):
    return dict({"name": name, "source": "/srv/%s.gguf" % name, "sha256": "0" * 64}, **other)


IMAGE = "registry.example.org/engines/serve@sha256:" + "a" * 64
NEEDED = {"command": {"command": ["/opt/app/serve", "--port", "{port}"]}, "container": {"image": IMAGE}}


def service(name="chat", **other):
    """One entry of `inference_services`: the least that is allowed for its runtime, and what the test sets."""
    runtime = other.get("runtime")
    least = NEEDED.get(runtime, {}) if isinstance(runtime, str) else {}
    return dict({"name": name, "runtime": "llama_cpp", "model": model()}, **dict(least, **other))


@st.composite
def topologies(draw):
    """Hosts of up to 4 nodes, with and without SMT, cpuset, quota, offline CPUs, unlike cores, GPUs (some at no known
    node), and nodes that lack memory or CPUs."""
    sockets, nodes = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    cores, threads = draw(st.integers(1, 12)), draw(st.sampled_from((1, 2, 4)))
    cpus = range(sockets * nodes * cores * threads)
    memory = draw(st.dictionaries(st.integers(0, sockets * nodes), st.sampled_from((None, 0, 2048, 16384)), max_size=2))
    some = st.sets(st.sampled_from(cpus), min_size=1)
    options = {}
    if draw(st.booleans()):
        options["allowed"] = draw(some)
    if draw(st.booleans()):
        options["quota"] = draw(st.floats(0.1, len(cpus)))
    if draw(st.booleans()):
        options["offline"] = draw(some) - {0}
        options["allowed"] = options.get("allowed", set(cpus)) - options["offline"] or {0}
    numbering = draw(st.sampled_from(("split", "adjacent")))
    if draw(st.booleans()):
        known = cores_of(sockets * nodes * cores, threads, numbering)
        small = sorted(cpu for core in draw(st.sets(st.sampled_from(range(len(known))))) for cpu in known[core])
        options["kinds"] = [kind for kind in (sorted(set(cpus) - set(small)), small) if kind]
    where = st.none() | st.integers(0, sockets * nodes)
    options["gpus"] = [gpu(number, node, draw(st.sampled_from((None, 8192, 16384))))
                       for number, node in enumerate(draw(st.lists(where, max_size=4)))]
    host = topology(sockets, nodes, cores, threads, numbering, node_memory=memory, **options)
    return dict(host, **draw(peers(host["gpus"])))


@st.composite
def peers(draw, gpus):
    """What is told of copies between the GPUs: nothing, or a word and a link for each pair."""
    if len(gpus) < 2 or draw(st.booleans()):
        return {}
    names = {"GPU%d" % number: gpu["address"] for number, gpu in enumerate(gpus)}
    reads, links = ({name: {} for name in names} for _matrix in range(2))
    for one, other in itertools.combinations(names, 2):
        word, link = draw(st.sampled_from(("OK", "OK", "CNS"))), draw(st.sampled_from(("NV2", "NV4", "PIX", "SYS")))
        reads[one][other] = reads[other][one] = word
        links[one][other] = links[other][one] = link
    told = [{"index": number, "address": address} for number, address in enumerate(names.values())]
    return {"nvidia": {"smi": {"gpus": told, "p2p_read": reads, "topology": links}},
            "iommu": {"translating": draw(st.booleans()), "acs": []}}


@st.composite
def wishes(draw):
    """One to four services that say this and that about their threads, their place and their GPUs."""
    some = []
    for number in range(draw(st.integers(1, 4))):
        wish = service("s%d" % number, instances=draw(st.sampled_from((1, 1, 2, 3, "per_numa_node", "per_gpu"))),
                       priority=draw(st.integers(0, 3)), cache_ram_mib=draw(st.sampled_from((0, 1024))))
        if wish["instances"] != "per_numa_node":
            wish["numa"] = draw(st.sampled_from(("auto", "auto", "interleave", "off", 0, 1, 2)))
        if draw(st.booleans()) and wish["instances"] != "per_gpu":
            wish["gpus"] = draw(st.integers(0, 2))
        if draw(st.booleans()):
            wish["model"] = model(weights_mib=draw(st.sampled_from((100, 9000, 20000))), layers=32)
        wish["hugepages_mib"] = draw(st.sampled_from((0, 0, 101)))
        size = draw(st.sampled_from((None, "threads", "cpu_share")))
        if size:
            wish[size] = draw(st.integers(1, 6) if size == "threads" else st.floats(0.01, 1))
        some.append(wish)
    return some
