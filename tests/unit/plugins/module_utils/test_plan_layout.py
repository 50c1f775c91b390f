"""Where things stand in a plan's picture: what each CPU is for, and boxes that neither overlap nor stick out."""

import itertools

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from ansible_collections.inference.host.plugins.module_utils.plan_layout import (
    WIDTH,
    cpu_states,
    devices,
    layout,
    node_cores,
    node_memory,
    split_kinds,
    text_width,
)
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from plan_topologies import service, topologies, topology, wishes


def instance(cpus=(), nodes=(0,), memory_mib=1024, gpus=()):
    """What the picture's layout reads of an instance."""
    return {"cpus": list(cpus), "numa_nodes": list(nodes), "host_memory_mib": memory_mib, "gpus": list(gpus)}


def plan_of(*instances, kept=()):
    return {"instances": list(instances), "housekeeping_cpus": list(kept)}


# CPUs


def test_each_cpu_has_a_state():
    host = topology(cores=6, threads=2, offline=[5], allowed=[0, 1, 2, 3, 6, 7, 8, 9])
    assert cpu_states(host, plan_of(instance([1]), instance([2, 8]), kept=[0, 6])) == {
        0: ("kept", None), 6: ("kept", None), 1: ("busy", 0), 7: ("idle", 0), 2: ("busy", 1), 8: ("busy", 1),
        3: ("spare", None), 9: ("spare", None), 4: ("barred", None), 10: ("barred", None),
        5: ("offline", None), 11: ("barred", None)}


def test_a_sibling_that_services_may_not_use_is_not_idle():
    assert cpu_states(topology(cores=2, threads=2, allowed=[0, 1]), plan_of(instance([1])))[3] == ("barred", None)


def test_the_limits_are_those_of_services():
    host = dict(topology(cores=2), allowed_cpus=[0])
    assert cpu_states(host, plan_of())[1] == ("spare", None)
    assert cpu_states(dict(host, services=None), plan_of())[1] == ("barred", None)


def test_cpus_are_their_own_cores_where_the_kernel_does_not_tell():
    host = dict(topology(cores=2), cores=[])
    assert cpu_states(host, plan_of(instance([1]))) == {0: ("spare", None), 1: ("busy", 0)}
    assert node_cores(host)[0][1] == [[0], [1]]


def test_a_core_belongs_to_the_first_node_that_has_it_and_to_none_where_no_node_has_it():
    host = topology(cores=3)
    host["numa_nodes"] = [{"id": 0, "cpus": [0], "memory_mib": 1}, {"id": 4, "cpus": [0, 1], "memory_mib": 1}]
    assert [(node and node["id"], cores) for node, cores in node_cores(host)] == [(0, [[0]]), (4, [[1]]), (None, [[2]])]


def test_kinds_of_cores_are_kept_apart_the_most_capable_first():
    host = topology(cores=4, kinds=[[2, 3], [0, 1]])
    assert split_kinds(host, [[0], [1], [2], [3]]) == [(0, [[2], [3]]), (1, [[0], [1]])]
    assert split_kinds(topology(cores=2), [[0], [1]]) == [(None, [[0], [1]])]
    assert split_kinds(host, []) == []


# Memory and devices


def test_memory_is_counted_on_the_nodes_of_the_instance():
    host = topology(sockets=2, cores=2, memory_mib=4096, node_memory={2: None})
    assert node_memory(host, plan_of(instance(nodes=[1], memory_mib=500), instance(nodes=[0, 1], memory_mib=300))) == {
        0: (4096, [(1, 150)]), 1: (4096, [(0, 500), (1, 150)]), 2: (None, [])}


def test_the_only_node_has_the_machines_memory_if_it_has_none_of_its_own():
    host = dict(topology(node_memory={0: 0}), memory_mib=2048)
    assert node_memory(host, plan_of()) == {0: (2048, [])}


def test_devices_stand_at_their_node_and_those_of_unknown_nodes_apart():
    host = topology(sockets=2, cores=1, nvme=1, gpus=[
        {"address": "a", "numa_node": 1}, {"address": "b", "numa_node": None}, {"address": "c", "numa_node": 7}])
    found = devices(host, plan_of(instance(gpus=["a"]), instance(gpus=["a", "c"])))
    assert [(entry["device"]["address"], entry["users"]) for entry in found[1]] == [("a", [0, 1])]
    assert [(entry["kind"], entry["users"]) for entry in found[None]] == [("gpu", []), ("gpu", [1]), ("nvme", [])]


def test_there_are_panels_for_what_belongs_to_no_node_only_where_there_is_something():
    def roles(host):
        return [panel["role"] for panel in layout(host, plan_of(), [])["panels"]]

    assert roles(topology(sockets=2)) == ["node", "node"]
    assert roles(topology(nvme=1, offline=[3])) == ["node", "unplaced", "offline"]


def test_a_bar_of_memory_is_as_long_as_what_is_planned():
    host = topology(sockets=2, cores=2, memory_mib=1000)
    places = layout(host, plan_of(instance(nodes=[0], memory_mib=250), instance(nodes=[1], memory_mib=5000)), [])
    (first, second) = (panel["memory"] for panel in places["panels"])
    assert first["parts"][0]["box"][2] == pytest.approx(first["box"][2] / 4)
    assert second["parts"][0]["box"][2] == pytest.approx(second["box"][2])


# Boxes


def inside(inner, outer):
    slack = 0.01
    return (inner[0] >= outer[0] - slack and inner[1] >= outer[1] - slack
            and inner[0] + inner[2] <= outer[0] + outer[2] + slack
            and inner[1] + inner[3] <= outer[1] + outer[3] + slack)


def apart(one, other):
    return (one[0] + one[2] <= other[0] or other[0] + other[2] <= one[0]
            or one[1] + one[3] <= other[1] or other[1] + other[3] <= one[1])


def check_boxes(places):
    """Everything is inside its panel and the picture, and nothing lies on anything else."""
    picture = (0, 0, WIDTH, places["height"])
    for panel in places["panels"]:
        assert inside(panel["box"], picture)
        things = [core["box"] for core in panel["cores"]] + [entry["box"] for entry in panel["devices"]]
        things += [panel["memory"]["box"]] if panel["memory"] and panel["memory"]["size_mib"] else []
        assert all(inside(box, panel["box"]) for box in things)
        assert all(apart(*pair) for pair in itertools.combinations(things, 2))
        for core in panel["cores"]:
            cells = [cell["box"] for cell in core["cells"]]
            assert all(inside(cell, core["box"]) for cell in cells)
            assert all(apart(*pair) for pair in itertools.combinations(cells, 2))
        for part in panel["memory"]["parts"] if panel["memory"] else []:
            assert inside(part["box"], panel["memory"]["box"])
    boxes = [panel["box"] for panel in places["panels"]]
    assert all(apart(*pair) for pair in itertools.combinations(boxes, 2))
    bottom = max(box[1] + box[3] for box in boxes)
    assert all(bottom < row < places["height"] for row in places["table"]["rows"])


@given(host=topologies(), services=wishes(), data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.filter_too_much], deadline=None)
def test_nothing_overlaps_on_any_host(host, services, data):
    nodes = st.one_of(st.none(), st.integers(0, 5))
    host["gpus"] = [{"address": "%d" % number, "numa_node": data.draw(nodes)}
                    for number in range(data.draw(st.integers(0, 9)))]
    if data.draw(st.booleans()):
        online = host["cpus"]["online"]
        host["core_kinds"] = [online[::2], online[1::2]]
    try:
        plan = make_plan(host, services)
    except PlanError:
        assume(False)
    places = layout(host, plan, ["one", "another label"])
    check_boxes(places)
    drawn = [cell["cpu"] for panel in places["panels"] for core in panel["cores"] for cell in core["cells"]]
    assert sorted(drawn) == host["cpus"]["present"]


def test_a_large_host_has_room():
    gpus = [{"address": "%d" % number, "numa_node": number % 2} for number in range(16)]
    check_boxes(layout(topology(sockets=2, cores=64, threads=2, gpus=gpus), plan_of(), []))
    check_boxes(layout(topology(sockets=2, nodes=4, cores=8), make_plan(topology(), [service()]), []))


def test_labels_of_the_key_go_to_the_next_row_where_one_is_full():
    key = layout(topology(), plan_of(), ["x" * 40] * 3)["key"]
    assert key[0][1] == key[1][1] < key[2][1] and key[0][0] == key[2][0] < key[1][0]


def test_wide_letters_are_wide():
    assert text_width("ill", 10) < text_width("abc", 10) < text_width("ABC", 10) < text_width("\u65e5\u672c\u8a9e", 10)
