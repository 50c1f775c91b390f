"""Which GPUs an instance gets, and how many layers fit them."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.gpus import (
    ALL_LAYERS,
    check_gpu_sum,
    check_whole_model,
    fit_layers,
    gpus_by_node,
    layer_weights,
    take_gpus,
    usable_gpus,
)
from ansible_collections.inference.host.plugins.module_utils.services import check_services
from plan_topologies import gpu, model, service, topology

MIB = 1 << 20


def addresses(gpus):
    return [gpu["address"][5:7] for gpu in gpus]


def pool(*nodes):
    """Usable GPUs 10, 11, ... of a host of three nodes, at these nodes."""
    return usable_gpus(topology(sockets=3, gpus=[gpu(number, node) for number, node in enumerate(nodes)]))


# Which are there


def test_only_nvidias_gpus_are_usable_in_pci_order():
    host = topology(gpus=[gpu(3), gpu(1, vendor="0x1a03"), gpu(2, memory_mib=8192), gpu(0, memory_mib=None)])
    told = {2: {"index": 2, "memory_mib": 8192}, 3: {"index": 3, "memory_mib": 16384}}
    assert usable_gpus(host) == [{
        "address": "0000:1%d:00.0" % number, "numa_node": 0, "memory_mib": mib, "display": False,
        "told": told.get(number, {}), "index": index,
    } for index, (number, mib) in enumerate([(0, None), (2, 8192), (3, 16384)])]
    assert usable_gpus(topology()) == usable_gpus(dict(topology(), gpus=None)) == []


@pytest.mark.parametrize(("told", "known"), [(1, 1), (0, 0), (None, None), (-1, None), (7, None)])
def test_a_node_that_the_kernel_does_not_have_is_unknown(told, known):
    assert usable_gpus(topology(sockets=2, gpus=[gpu(0, told)]))[0]["numa_node"] == known


def test_gpus_are_counted_by_node():
    assert gpus_by_node(pool(1, 0, 1, None)) == {1: 2, 0: 1, None: 1}


# Who gets which


@pytest.mark.parametrize(("nodes", "count", "numa", "taken"), [
    ((0, 0), 1, "auto", ["10"]),
    ((0, 0), 0, "auto", []),
    # Of the node with the fewest that are enough, so that those who need more find them together.
    ((0, 0, 1), 1, "auto", ["12"]),
    ((0, 1, 1), 2, "auto", ["11", "12"]),
    ((0, 0, 1, 1, 1), 2, "auto", ["10", "11"]),
    # A known node before an unknown one.
    ((None, 0, 0), 1, "auto", ["11"]),
    ((None, None, 0), 2, "auto", ["10", "11"]),
    # Of no node together: the first in PCI order.
    ((0, 1, 2), 2, "auto", ["10", "11"]),
    # The node by wish, else the first.
    ((0, 1, 1), 1, 1, ["11"]),
    ((0, 1), 1, 2, ["10"]),
    ((0, 1), 1, "off", ["10"]),
])
def test_gpus_of_one_node_are_preferred(nodes, count, numa, taken):
    free = pool(*nodes)
    before = addresses(free)
    assert addresses(take_gpus(free, count, numa)) == taken
    assert addresses(free) == [address for address in before if address not in taken]


def test_more_gpus_than_there_are_are_refused_with_the_sum():
    services = check_services([service("a", gpus=2), service("b", instances="per_gpu"), service("c")])
    counts = {"a": 1, "b": 3, "c": 4}
    check_gpu_sum(services, counts, pool(0, 0, 0, 0, 0))
    with pytest.raises(PlanError) as error:
        check_gpu_sum(services, counts, pool(0, 0, 0, 0))
    assert str(error.value) == (
        "inference_services want a 2 + b 3 = 5 GPUs, host has 4 usable; lower gpus or instances.")


# Layers


def facts(output_mib=300, input_mib=200, layers=(100, 200, 400)):
    """A header as far as the layers go."""
    return {"layer_bytes": [size * MIB for size in layers], "output_bytes": int(output_mib * MIB),
            "input_bytes": input_mib * MIB}


def fit(room_mib, kv_cache=30, weights=1200, gpu_layers="auto", **of_model):
    """(gpu_layers, MiB on the GPUs, MiB in RAM too, reason, warning)"""
    (wish,) = check_services([service(gpus=1, gpu_layers=gpu_layers, model=model(**of_model))])
    layers, on_gpus, both, reason, warning = fit_layers(
        wish, "chat-0", {"weights": weights, "kv_cache": kv_cache}, room_mib)
    return layers, round(on_gpus, 3), round(both, 3), reason, warning


@pytest.mark.parametrize(("of_model", "weights", "answer"), [
    ({"header": facts()}, 1200, ([100, 200, 400], 300, 0)),
    # Norms alone: the head is the embedding, which llama.cpp copies to the GPU.
    ({"header": facts(output_mib=0.01)}, 900, ([100, 200, 400], pytest.approx(0.01, rel=0.01), 200)),
    ({"header": facts(), "layers": 2}, 1200, ([100, 200, 400], 300, 0)),
    ({"header": dict(facts(), layer_bytes=[]), "layers": 2}, 500, ([250, 250], 0, 0)),
    ({"layers": 4}, 1000, ([250] * 4, 0, 0)),
    ({"layers": 4}, 0, None),
    ({}, 1000, None),
])
def test_layers_are_those_of_the_header_else_equal_ones(of_model, weights, answer):
    (wish,) = check_services([service(model=model(**of_model))])
    assert layer_weights(wish["model"], weights) == answer


@pytest.mark.parametrize(("room", "layers", "on_gpus", "words"), [
    # The output's 300 come first, then the last layer: 400 + 10 of KV cache, then 200 + 10, then 100 + 10.
    (0, 0, 0, "neither the output nor a layer fit 0 MiB (0 with KV cache)"),
    (299, 0, 0, "neither the output nor a layer fit 299 MiB (0 with KV cache)"),
    (300, 1, 300, "the output and 0 of 3 layers fit 300 MiB (300 with KV cache)"),
    (709, 1, 300, "the output and 0 of 3 layers fit 709 MiB (300 with KV cache)"),
    (710, 2, 710, "the output and 1 of 3 layers fit 710 MiB (710 with KV cache)"),
    (1029, 3, 920, "the output and 2 of 3 layers fit 1029 MiB (920 with KV cache)"),
    (1030, 4, 1030, "the output and 3 of 3 layers fit 1030 MiB (1030 with KV cache)"),
    (9999, 4, 1030, "the output and 3 of 3 layers fit 9999 MiB (1030 with KV cache)"),
])
def test_as_many_layers_as_fit_after_the_output_from_the_last_one(room, layers, on_gpus, words):
    assert fit(room, header=facts()) == (layers, on_gpus, 0, words, None)


def test_a_head_that_is_the_embedding_is_on_both_sides():
    tied = facts(output_mib=0)
    assert fit(199, header=tied)[:3] == (0, 0, 0)
    assert fit(929, header=tied)[:3] == (3, 820, 200)
    assert fit(930, header=tied)[:3] == (4, 930, 200)
    assert fit(None, header=tied)[:3] == (4, 930, 200)
    assert fit(930, header=tied, gpu_layers=99)[:3] == (4, 930, 200)
    assert fit(930, header=tied, gpu_layers=0)[:3] == (0, 0, 0)


def test_without_a_header_layers_are_equal_and_the_output_weighs_nothing():
    assert fit(619, layers=4, weights=1200, kv_cache=40)[:3] == (2, 310, 0)
    assert fit(1240, layers=4, weights=1200, kv_cache=40)[:3] == (5, 1240, 0)


@pytest.mark.parametrize(("wish", "layers", "on_gpus", "reason"), [
    (0, 0, 0, "gpu_layers: 0 was set by the user"),
    (2, 2, 710, "gpu_layers: 2 was set by the user"),
    (4, 4, 1030, "gpu_layers: 4 was set by the user"),
    (99, 4, 1030, "gpu_layers: 99 was set by the user (the model has 3 and the output)"),
])
@pytest.mark.parametrize("room", [1030, None])
def test_the_users_number_holds(wish, layers, on_gpus, reason, room):
    assert fit(room, header=facts(), gpu_layers=wish) == (layers, on_gpus, 0, reason, None)


@pytest.mark.parametrize(("wish", "room", "needed", "fitting"), [(2, 709, 710, 1), (99, 1000, 1030, 3), (1, 0, 300, 0)])
def test_too_many_layers_by_wish_are_refused_with_the_sum(wish, room, needed, fitting):
    with pytest.raises(PlanError) as error:
        fit(room, header=facts(), gpu_layers=wish)
    assert str(error.value) == (
        "chat-0: gpu_layers is %d, which take %d MiB (weights and KV cache) of the GPU memory; %d MiB are free for "
        "them, enough for %d; lower gpu_layers, context or parallel." % (wish, needed, room, fitting))


def test_where_the_gpus_memory_is_not_known_everything_is_tried_and_said():
    assert fit(None, header=facts()) == (
        4, 1030, 0, "all 3 layers and the output; the GPU's memory is not known",
        "chat-0: the memory of its GPU is not known; nothing was checked against it.")


@pytest.mark.parametrize(("room", "wish", "weights", "answer"), [
    (1230, "auto", 1200, (ALL_LAYERS, 1230, 0, "everything fits: 1230 of 1230 MiB", None)),
    (1000, 0, 1200, (0, 0, 0, "gpu_layers: 0 was set by the user", None)),
    (1000, 8, 1200, (8, 1000, 1000, "gpu_layers: 8 was set by the user", None)),
    (2000, 999, 1200, (999, 1230, 0, "gpu_layers: 999 was set by the user", None)),
    (2000, 8, 1200, (8, 1230, 1230, "gpu_layers: 8 was set by the user", None)),
    (None, 8, 1200, (8, 1230, 1230, "gpu_layers: 8 was set by the user", None)),
    (0, 8, 1200, (8, 0, 0, "gpu_layers: 8 was set by the user", None)),
])
def test_a_model_whose_layers_are_not_known_goes_as_a_whole_or_as_the_user_says(room, wish, weights, answer):
    assert fit(room, gpu_layers=wish, weights=weights) == answer


@pytest.mark.parametrize(("room", "weights", "kv_cache"), [(1229, 1200, 30), (None, 1200, 30), (9999, 0, 0)])
def test_where_nothing_is_known_the_engine_decides_and_it_is_said(room, weights, kv_cache):
    assert fit(room, weights=weights, kv_cache=kv_cache) == (
        None, 0, 0, "the model's layers are not known: the engine decides",
        "chat-0: how many layers fit its GPU is not known; give model.layers and model.weights_mib, or gpu_layers.")


@pytest.mark.parametrize("room", [1230, None])
def test_a_model_that_fits_as_a_whole_is_taken(room):
    check_whole_model("chat-0", {"weights": 1200, "kv_cache": 30}, room)


def test_a_model_that_does_not_fit_as_a_whole_is_refused():
    with pytest.raises(PlanError) as error:
        check_whole_model("chat-0", {"weights": 1200, "kv_cache": 30}, 1229)
    assert str(error.value) == (
        "chat-0 needs 1230 MiB of GPU memory (weights 1200 + KV cache 30); its GPUs have 1229 MiB for them; give it "
        "more gpus, or a smaller model, context or parallel.")
