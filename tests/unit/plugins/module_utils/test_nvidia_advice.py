"""Warnings of the plan about NVIDIA cards."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.nvidia_advice import nvidia_warnings
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from ansible_collections.inference.host.plugins.module_utils.settings_nvidia import nvidia_rows
from nvidia_topologies import card, host
from plan_topologies import service

CARD = "0000:65:00.0"


def warnings(machine, instances=(), **wishes):
    return nvidia_warnings(machine, wishes, nvidia_rows(machine, wishes, None), list(instances))


def instance(**environment):
    return {"name": "chat-0", "gpus": [CARD], "environment": environment}


@pytest.mark.parametrize("wish", ["nvidia_mig", "nvidia_persistence", "nvidia_peermem"])
def test_a_wish_on_a_host_without_a_card_comes_to_nothing(wish):
    assert warnings(host([]), **{wish: True}) == ["%s is set, and no NVIDIA card of the host is on PCI." % wish]
    assert warnings(host([]), **{wish: False}) == warnings(host([])) == []


def test_limits_without_the_daemon_are_forgotten():
    gone = {"persistenced": None, "persistenced_command": None}
    (said,) = warnings(host(**gone), nvidia_power_limit_w=120)
    assert "install nvidia-persistenced" in said
    assert len(warnings(host(), nvidia_power_limit_w=120, nvidia_persistence=False)) == 1
    assert warnings(host(), nvidia_power_limit_w=120) == warnings(host(**gone)) == []
    assert warnings(host(driver_version=None, **gone), nvidia_power_limit_w=120) == []


def test_a_card_with_the_kernels_own_driver_may_get_nvidias():
    assert warnings(host([card(told=None, driver="nouveau")]), nvidia_driver_package="nvidia-driver") == []


@pytest.mark.parametrize(("mig", "wish", "warned"), [
    (True, None, True), (False, None, False), (None, None, False), (True, False, False), (False, True, True)])
def test_an_instance_on_a_divided_card_is_warned_of(mig, wish, warned):
    found = warnings(host([card(told={"mig": mig})]), [instance()], nvidia_mig=wish)
    assert bool(found) is warned
    if warned:
        assert found[0].startswith("chat-0 has GPU 0000:65:00.0, which is in MIG mode, or is to be")


def test_who_names_a_part_of_the_card_knows_it():
    divided = host([card(told={"mig": True})])
    assert warnings(divided, [instance(CUDA_VISIBLE_DEVICES="MIG-1")]) == []
    assert warnings(divided, [instance(CUDA_VISIBLE_DEVICES="0")])


# How CUDA_VISIBLE_DEVICES names them


def planned(machine, ids=None):
    services = [service(gpus=1, gpu_layers=1), service("other")]
    return [one["environment"] for one in make_plan(machine, services, {"gpu_ids": ids})["instances"]]


@pytest.mark.parametrize(("ids", "name"), [(None, "0"), ("index", "0"), ("uuid", "GPU-of-0000:65:00.0")])
def test_gpus_are_named_by_index_or_uuid(ids, name):
    found, other = planned(host(), ids)
    assert found["CUDA_VISIBLE_DEVICES"] == name and found["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert other["CUDA_VISIBLE_DEVICES"] == ""


def test_a_card_that_a_guest_has_is_not_counted():
    machine = host([card("0000:17:00.0", told=None, driver="vfio-pci"), card()])
    (found,) = make_plan(machine, [service(gpus=1, gpu_layers=1)])["instances"]
    assert found["gpus"] == [card()["address"]] and found["environment"]["CUDA_VISIBLE_DEVICES"] == "0"


@pytest.mark.parametrize("told", [None, {"uuid": None}])
def test_a_uuid_that_is_not_known_cannot_be_given(told):
    with pytest.raises(PlanError) as error:
        planned(host([card(told=told)]), "uuid")
    assert str(error.value) == ("topology_gpu_ids is uuid, and nvidia-smi does not tell the UUID of 0000:65:00.0; set "
                                "it to index.")


def test_memory_that_gpus_copy_from_may_be_locked():
    plan = make_plan(host(), [service(gpus=1, gpu_layers=1), service("other")])
    assert [one["memory_lock"] for one in plan["instances"]] == ["infinity", None]
    asked = make_plan(host(), [service(gpus=1, gpu_layers=1, memory_lock=100)])
    assert asked["instances"][0]["memory_lock"] == 100
