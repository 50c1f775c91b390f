"""What all instances of a service share, and what the host must have for them."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from ansible_collections.inference.host.plugins.module_utils.service_units import needed_files, planned_restart
from ansible_collections.inference.host.plugins.module_utils.services import check_services
from plan_topologies import gpu, service, topology

JEMALLOC = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"


@pytest.mark.parametrize(("delay", "longest", "version", "steps"), [
    (2, 60, 254, 5), (2, 64, 257, 5), (1, 60, 254, 6), (5, 6, 254, 1), (2, 2, 254, None),
    # Before, and where the version is not known, the delay stays as it is.
    (2, 60, 253, None), (2, 60, 252, None), (2, 60, None, None)])
def test_delays_grow_where_systemd_can_do_that(delay, longest, version, steps):
    restart = {"delay_seconds": delay, "max_delay_seconds": longest, "tries": 3, "within_seconds": 9}
    assert planned_restart(restart, version) == dict(restart, steps=steps)


def test_the_plan_has_what_all_instances_share():
    host = topology()
    host["platform"]["systemd_version"] = 255
    wish = service(oom_score=-500, nice=-5, scheduling={"policy": "rr", "priority": 7}, io={"class": "idle"})
    assert make_plan(host, [wish])["services"] == [{
        "name": "chat", "runtime": "llama_cpp", "nice": -5, "io": {"class": "idle", "priority": 4}, "gpus": 0,
        "scheduling": {"policy": "rr", "priority": 7}, "oom_score": -500,
        "restart": {"delay_seconds": 2, "max_delay_seconds": 60, "tries": 20, "within_seconds": 600, "steps": 5}}]


@pytest.mark.parametrize(("groups", "gpus", "allowed"), [
    (["mem", "nvidia", "nvidia-caps", "nvidia-uvm", "pts"], 1, ["nvidia", "nvidia-caps", "nvidia-uvm"]),
    # The module that CUDA needs is loaded later than the driver.
    (["nvidia"], 1, ["nvidia", "nvidia-uvm"]),
    (["mem", "pts"], 1, ["nvidia*"]),
    (None, 1, ["nvidia*"]),
    (["mem", "nvidia"], 0, []),
])
def test_units_with_gpus_may_open_the_devices_that_the_kernel_names(groups, gpus, allowed):
    host = dict(topology(gpus=[gpu(0)]), device_groups=groups)
    assert make_plan(host, [service(gpus=gpus)])["device_groups"] == allowed


def test_what_a_service_names_is_looked_for():
    services = check_services([
        service("a", allocator=JEMALLOC, prefix="numactl"), service("b", prefix="taskset"), service("c"),
        service("d", runtime="command", command=["/srv/app", "x"])])
    assert needed_files(services) == {
        JEMALLOC: ("a", "allocator"), "/usr/bin/numactl": ("a", "prefix"), "/usr/bin/taskset": ("b", "prefix")}


@pytest.mark.parametrize(("wish", "path", "sentence"), [
    ({"allocator": JEMALLOC}, JEMALLOC,
     "chat: allocator needs %s, which is not on the host; install it first, or leave allocator out." % JEMALLOC),
    ({"prefix": "numactl"}, "/usr/bin/numactl",
     "chat: prefix needs /usr/bin/numactl, which is not on the host; install it first, or leave prefix out."),
])
def test_what_is_not_there_stops_the_plan(wish, path, sentence):
    with pytest.raises(PlanError) as error:
        make_plan(dict(topology(), files={path: False}), [service(**wish)])
    assert str(error.value) == sentence
    for there in ({path: True}, {}, {"/other": False}):
        assert make_plan(dict(topology(), files=there), [service(**wish)])["instances"]
    assert make_plan(topology(), [service(**wish)])["instances"]
