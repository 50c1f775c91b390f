"""The picture of a plan: what it shows, on what hosts, and that no text of a host can do anything in it."""

import re
from xml.etree import ElementTree

import pytest
from ansible_collections.inference.host.plugins.module_utils.cpulist import format_cpu_list
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from ansible_collections.inference.host.plugins.module_utils.plan_layout import WIDTH, text_width
from ansible_collections.inference.host.plugins.module_utils.plan_svg import amount, plan_svg
from plan_topologies import model, service, topology

SVG = "{http://www.w3.org/2000/svg}"
SIZES = {"host": 20, "strong": 14, "tiny": 11, "cpu": 9}


def gpu(address, node, name="NVIDIA H100 80GB HBM3", vendor="0x10de"):
    told = {"name": name, "memory_mib": 81920} if name else None
    return {"address": address, "vendor": vendor, "numa_node": node, "nvidia": told}


def instance(name, cpus, nodes=(0,), gpus=(), memory_mib=2048, policy="bind", port=18080):
    """An instance as the plan has it: what the picture shows of one."""
    return {"name": name, "service": name.rpartition("-")[0], "cpus": list(cpus), "cpu_range": format_cpu_list(cpus),
            "threads": len(cpus), "numa_policy": policy, "numa_nodes": list(nodes), "port": port,
            "numa_range": format_cpu_list(nodes), "gpus": list(gpus), "gpu_memory_mib": 40960 if gpus else 0,
            "host_memory_mib": memory_mib}


def plan_of(*instances, kept=(), hugepages=None):
    return {"instances": list(instances), "housekeeping_cpus": list(kept), "irq_cpus": list(kept),
            "hugepages": hugepages or {}}


def hybrid():
    """Eight performance cores with two threads and sixteen efficiency cores, as an i9 has."""
    host = topology(cores=24, gpus=[gpu("0000:01:00.0", None, "NVIDIA GeForce RTX 4090")], nvme=1)
    cpus = list(range(32))
    host.update(threads_per_core=2, core_kinds=[cpus[:16], cpus[16:]], allowed_cpus=cpus,
                cores=[[cpu, cpu + 1] for cpu in range(0, 16, 2)] + [[cpu] for cpu in cpus[16:]],
                cpus={"present": cpus, "online": cpus, "offline": []})
    host["services"]["allowed_cpus"] = host["numa_nodes"][0]["cpus"] = cpus
    return host


def with_gpus():
    gpus = [gpu("0000:%02x:00.0" % number, number // 8) for number in range(16)]
    return topology(sockets=2, cores=56, threads=2, gpus=gpus + [gpu("0000:03:00.1", None, None, "0x1a03")], nvme=2)


TWELVE = [instance("chat-%d" % number, range(number * 2 + 2, number * 2 + 4), gpus=["0000:%02x:00.0" % number])
          for number in range(12)]
LARGE = topology(sockets=2, cores=64, threads=2, memory_mib=515000)
HOSTS = {
    "2 x 64 cores": (LARGE, make_plan(LARGE, [
        service("chat", threads=30, instances=2, model=model(weights_mib=40000)),
        service("big", threads=20, numa="interleave", model=model(weights_mib=120000))])),
    "8 nodes": (topology(sockets=2, nodes=4, cores=8, threads=2),
                make_plan(topology(sockets=2, nodes=4, cores=8, threads=2), [service(threads=6, instances=8)])),
    "16 GPUs": (with_gpus(), plan_of(*TWELVE, kept=[0, 1], hugepages={"0": {"2048": 512}})),
    "hybrid": (hybrid(), make_plan(hybrid(), [service(threads=8), service("coder", threads=6)])),
    "1 CPU": (topology(cores=1), make_plan(topology(cores=1), [service()])),
    "no services": (topology(), make_plan(topology(), [])),
    "limits": (topology(sockets=2, cores=4, threads=2, offline=[3, 11], allowed=[0, 1, 2, 8], quota=3.0,
                        node_memory={2: 128000, 3: 0, 4: None}), plan_of(instance("chat-0", [1, 2]), kept=[0, 8])),
}


def drawn(host, plan, title="h1"):
    return ElementTree.fromstring(plan_svg(host, plan, title))


def texts(root):
    """What can be read: the texts, tooltips left out, in the order in which they were drawn."""
    return [" ".join(part.text for part in (text, *text.iter(SVG + "tspan")) if part.text)
            for text in root.iter(SVG + "text")]


def tooltips(root):
    return [title.text for title in root.iter(SVG + "title")]


def classes_of_cpu(root, cpu):
    """The classes of the boxes under a CPU's number."""
    (group,) = [group for group in root.iter(SVG + "g") if re.match("CPU %d," % cpu, group.findtext(SVG + "title", ""))]
    return [box.get("class") for box in group.iter(SVG + "rect")]


# Every host


@pytest.mark.parametrize("name", HOSTS)
def test_each_cpu_is_there_once_with_number_and_tooltip(name):
    host, plan = HOSTS[name]
    root = drawn(host, plan)
    numbers = [text.text for text in root.iter(SVG + "text") if text.get("class").startswith("cpu ")]
    assert sorted(map(int, numbers)) == host["cpus"]["present"]
    told = [int(re.match(r"CPU (\d+),", text).group(1)) for text in tooltips(root) if text.startswith("CPU ")]
    assert sorted(told) == host["cpus"]["present"]


@pytest.mark.parametrize("name", HOSTS)
def test_no_text_leaves_the_picture(name):
    root = drawn(*HOSTS[name], title="a-host-with-a-long-name." * 9)
    height = int(root.get("viewBox").split()[3])
    for text in root.iter(SVG + "text"):
        kinds = text.get("class").split()
        shown = text.text or " ".join(part.text for part in text)
        width = text_width(shown, next((SIZES[kind] for kind in kinds if kind in SIZES), 12))
        left = float(text.get("x")) - (width if "end" in kinds else width / 2 if "cpu" in kinds else 0)
        assert 0 <= left and left + width <= WIDTH and 0 < float(text.get("y")) < height, shown


@pytest.mark.parametrize("name", HOSTS)
def test_the_table_names_each_instance(name):
    host, plan = HOSTS[name]
    shown = texts(drawn(host, plan))
    for one in plan["instances"]:
        at = shown.index(one["name"])
        assert shown[at + 1] == one["service"]
        assert shown[at + 3:at + 6] == [str(one["threads"]), str(one["port"]), amount(one["host_memory_mib"])]
    assert ("No services are planned on this host." in shown) == (not plan["instances"])


@pytest.mark.parametrize("name", HOSTS)
def test_the_same_input_gives_the_same_text_of_bearable_size(name):
    host, plan = HOSTS[name]
    text = plan_svg(host, plan, "h1")
    assert text == plan_svg(host, plan, "h1")
    assert len(text.encode()) < 250 * 1000


def test_it_grows_with_the_page():
    root = drawn(*HOSTS["8 nodes"])
    assert (root.tag, root.get("width"), root.get("height")) == (SVG + "svg", "100%", None)
    assert root.get("viewBox").startswith("0 0 %d " % WIDTH)


# What it shows


def test_threads_siblings_and_housekeeping_look_different():
    root = drawn(topology(cores=4, threads=2), plan_of(instance("a-0", [1]), instance("b-0", [2, 6]), kept=[0, 4]))
    assert [classes_of_cpu(root, cpu) for cpu in (1, 5, 2, 6, 3)] == [["i0"], ["d0"], ["i1"], ["i1"], ["spare"]]
    assert classes_of_cpu(root, 4) == ["kept", "hatched"]
    (hatch,) = {box.get("fill") for box in root.iter(SVG + "rect") if box.get("class") == "hatched"}
    (pattern,) = root.iter(SVG + "pattern")
    assert hatch == "url(#%s)" % pattern.get("id")
    assert {"CPU 0, housekeeping: system, nginx, interrupts, same core as 4, takes interrupts",
            "CPU 1, a-0, same core as 5", "CPU 5, idle beside a-0, same core as 1",
            "CPU 3, not used, same core as 7"} <= set(tooltips(root))


def test_pictures_in_one_page_have_their_own_ids():
    host, plan = HOSTS["1 CPU"]
    ids = {pattern.get("id") for title in ("h1", "h2") for pattern in drawn(host, plan, title).iter(SVG + "pattern")}
    assert len(ids) == 2


def test_limits_are_shown():
    root = drawn(*HOSTS["limits"])
    assert [classes_of_cpu(root, cpu) for cpu in (10, 3, 11)] == [["barred"], ["offline"], ["offline"]]
    shown = texts(root)
    assert any(text.endswith("quota of 3 CPUs") for text in shown)
    assert "Offline 2 CPUs; the kernel does not tell the cores and nodes of offline CPUs" in shown


def test_the_key_has_what_is_in_the_picture_and_no_more():
    kept = "housekeeping: system, nginx, interrupts"

    def key(name):
        shown = texts(drawn(*HOSTS[name]))
        return shown[2:next(place for place, text in enumerate(shown) if text.startswith("Node 0 "))]

    assert key("1 CPU") == ["instance thread"]
    assert key("no services") == [kept, "not used"]
    assert key("2 x 64 cores") == ["instance thread", "idle SMT sibling", kept, "not used"]
    assert key("limits") == ["instance thread", kept, "not allowed for services", "offline"]


def test_nodes_tell_their_memory():
    shown = texts(drawn(*HOSTS["limits"]))
    assert {"2 GiB of 64 GiB planned", "64 GiB, nothing planned", "125 GiB, nothing planned", "no memory",
            "memory unknown", "Node 2 no CPUs"} <= set(shown)
    assert "3 GiB of 64 GiB planned, 1 GiB as huge pages" in texts(drawn(topology(), plan_of(
        instance("a-0", [1], memory_mib=3072), hugepages={"0": {"2048": 512}})))
    assert "64 GiB, 1 GiB as huge pages" in texts(drawn(topology(), plan_of(hugepages={"0": {"1048576": 1}})))
    unknown = plan_of(instance("a-0", [1], nodes=[1]))
    assert "2 GiB of an unknown size planned" in texts(drawn(topology(sockets=2, node_memory={1: None}), unknown))


def test_efficiency_cores_are_named_and_round():
    root = drawn(*HOSTS["hybrid"])
    shown = texts(root)
    assert shown.index("Performance cores") < shown.index("Efficiency cores")
    radii = {box.get("rx") for box in root.iter(SVG + "rect") if box.get("class") == "core"}
    assert len(radii) == 2
    three = topology(cores=3, kinds=[[0], [1], [2]])
    assert "Cores of kind 3 of 3, the most capable first" in texts(drawn(three, plan_of()))


def test_gpus_have_the_colour_of_who_uses_them():
    host = topology(sockets=2, gpus=[gpu("0000:65:00.0", 1), gpu("0001:66:00.0", 0, None)], nvme=1)
    host["block_devices"][-1].update(size_mib=3662830, mounts=["/models"], model="SAMSUNG", numa_node=0)
    root = drawn(host, plan_of(instance("a-0", [1], gpus=["0000:65:00.0"]), instance("b-0", [2])))
    (used,) = [group for group in root.iter(SVG + "g") if "65:00.0" in group.findtext(SVG + "title", "")]
    assert [box.get("class") for box in used.iter(SVG + "rect")] == ["device", "i0"]
    assert texts(used) == ["H100 80GB HBM3", "65:00.0"]
    assert {"GPU 0000:65:00.0, NVIDIA H100 80GB HBM3, 80 GiB, a-0 with 40 GiB",
            "GPU 0001:66:00.0, NVIDIA GPU, not used",
            "NVMe disk nvme0n1, SAMSUNG, 3.5 TiB, mounted at /models"} <= set(tooltips(root))
    assert {"0001:66:00.0", "nvme0n1 3.5 TiB", "/models", "1 \u00d7 40 GiB"} <= set(texts(root))


def test_devices_of_unknown_nodes_are_said_to_be_so():
    shown = texts(drawn(*HOSTS["16 GPUs"]))
    heading = shown.index("NUMA node unknown the firmware does not tell where these devices are")
    assert shown.index("ASPEED display") > heading > shown.index("Node 1 56 cores, 112 CPUs")


def test_the_ninth_instance_has_the_first_ones_colour_and_a_mark():
    root = drawn(*HOSTS["16 GPUs"])
    assert classes_of_cpu(root, 2) == ["i0"]
    assert classes_of_cpu(root, 18) == ["i0", "mark"]


@pytest.mark.parametrize(("policy", "nodes", "text"), [
    ("bind", [1], "bind to 1"), ("interleave", [0, 1], "interleave 0-1"), ("none", [0, 1], "not bound")])
def test_the_table_says_how_memory_is_bound(policy, nodes, text):
    assert texts(drawn(topology(sockets=2), plan_of(instance("a-0", [1], nodes, policy=policy))))[-1] == text


@pytest.mark.parametrize(("mib", "text"), [
    (0, "0 MiB"), (1023, "1023 MiB"), (1024, "1 GiB"), (1588, "1.6 GiB"), (515000, "503 GiB"), (3662830, "3.5 TiB"),
    (5 << 30, "5120 TiB")])
def test_amounts_are_as_people_say_them(mib, text):
    assert amount(mib) == text


# Texts of hosts and users

HOSTILE = [
    "</title></svg><script>alert(1)</script>", "\"' onload='alert(1)' x=\"", "]]><!-- <![CDATA[", "&lt;&#x3c;&bogus;",
    "a\x00b\x1b[31m\ud800\uffff", "\u202egnp.exe", "url(https://example.org/x)", "javascript:alert(1)", "w" * 5000,
    "\u65e5\u672c\u8a9e" * 40, "{{ 1 + 1 }}"]


def hostile_picture(text):
    host = topology(sockets=2, model_name=text, gpus=[dict(gpu("0000:65:00.0", 1, text), vendor=text)], nvme=1)
    host["block_devices"][-1].update(name=text, mounts=[text], model=text)
    host["gpus"].append(gpu(text, None, None))
    one = dict(instance("x", [1], gpus=["0000:65:00.0"]), name=text, service=text)
    return plan_svg(host, plan_of(one), text)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_texts(text):
    root = ElementTree.fromstring(hostile_picture(text))
    assert {element.tag.replace(SVG, "") for element in root.iter()} <= {
        "svg", "title", "desc", "style", "defs", "pattern", "path", "rect", "g", "text", "tspan"}
    for element in root.iter():
        assert set(element.attrib) <= {"class", "x", "y", "width", "height", "rx", "d", "dx", "fill", "id", "role",
                                       "viewBox", "patternUnits"}
        assert re.fullmatch(r"[-\w .%#()]*", "".join(element.attrib.values()))
    style = root.findtext(SVG + "style")
    assert style == drawn(*HOSTS["1 CPU"]).findtext(SVG + "style")
    assert "url" not in style and "@import" not in style


def test_a_long_name_is_cut_and_whole_in_its_tooltip():
    name = "a-service-whose-name-does-not-end-0"
    root = drawn(topology(), plan_of(instance(name, [1])), "h" * 200)
    cut = [text for text in root.iter(SVG + "text") if text.findtext(SVG + "title") in (name, name[:-2], "h" * 200)]
    assert len(cut) == 3 and all(text.text.endswith("\u2026") for text in cut)


def test_a_picture_has_a_heading_even_without_a_title():
    assert texts(drawn(topology(), plan_of(), ""))[0] == "Plan"


# Wrong input


@pytest.mark.parametrize(("host", "plan", "sentence"), [
    ("h1", plan_of(), "The topology is no mapping; give what module inference.host.topology returns."),
    ({}, plan_of(), "The topology has no cpus; give what module inference.host.topology returns."),
    (topology(), [], "The plan is no mapping; give what filter inference.host.plan returns."),
    (topology(), {"instances": []}, "The plan has no housekeeping_cpus; give what filter inference.host.plan returns."),
])
def test_wrong_input_is_named(host, plan, sentence):
    with pytest.raises(PlanError) as error:
        plan_svg(host, plan)
    assert str(error.value) == sentence
