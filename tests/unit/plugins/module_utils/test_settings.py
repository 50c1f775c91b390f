"""The kernel settings of the plan: value, reason, and whether they apply here."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.settings import WISHES, check_wishes, plan_settings
from plan_topologies import topology

METAL = topology(driver="intel_pstate", nvme=1)


def planned(host, hugepages=None, **wishes):
    """The settings by name. hugepages: {node: {size in KiB: pages}} of the plan."""
    return {setting["name"]: setting for setting in plan_settings(host, wishes, hugepages or {})}


def test_a_real_server_gets_our_defaults():
    found = planned(METAL)
    assert {name: setting["value"] for name, setting in found.items()} == {
        "governor": "performance", "transparent_hugepage": "madvise", "vm.swappiness": "10", "scheduler": "none",
        "net.core.somaxconn": "4096", "net.ipv4.tcp_slow_start_after_idle": "0"}
    for setting in found.values():
        assert setting["applies"] is True and setting["why_not"] is None
        assert setting["reason"] and setting["evidence"] in ("measured", "vendor", "convention")
        assert (setting["kind"], bool(setting["path"])) in (("sysfs", True), ("sysctl", False))


def test_nothing_is_reserved_unless_asked_for():
    assert "vm.nr_hugepages" not in planned(METAL)
    assert "vm.nr_hugepages" not in planned(METAL, {"0": {"2048": 0}})


def test_pages_that_services_ask_for_are_summed_over_the_nodes():
    setting = planned(METAL, {"0": {"2048": 5}, "1": {"2048": 7}})["vm.nr_hugepages"]
    assert (setting["value"], setting["reason"]) == ("12", "services ask for them with hugepages_mib")
    wished = planned(METAL, {"0": {"2048": 5}}, hugepages_count=20)["vm.nr_hugepages"]
    assert (wished["value"], wished["reason"]) == ("20", "hugepages_count was set by the user")


@pytest.mark.parametrize(("name", "evidence"), [
    ("governor", "convention"), ("vm.swappiness", "convention"), ("kernel.numa_balancing", "vendor"),
    ("scheduler", "vendor")])
def test_evidence_is_named_and_a_wish_is_none(name, evidence):
    host = topology(sockets=2, driver="intel_pstate", nvme=1)
    assert planned(host)[name]["evidence"] == evidence
    wish = {"memory_numa_balancing": 1, "nvme_scheduler": "kyber"}
    assert planned(host, **wish)[name]["evidence"] == "convention"


def test_every_setting_has_a_role_that_applies_it():
    assert {setting["role"] for setting in planned(METAL).values()} == {"cpu", "hugepages", "memory", "nvme", "network"}


@pytest.mark.parametrize(("detail", "shown"), [("podman", "podman"), (None, "unknown kind")])
def test_nothing_applies_in_a_container_and_it_says_why(detail, shown):
    host = topology(kind="container", detail=detail, driver="intel_pstate", nvme=1)
    settings = planned(host, hugepages_count=4, memory_swappiness=1)
    assert len(settings) == 7
    for setting in settings.values():
        assert setting["applies"] is False
        assert setting["why_not"] == "container (%s): the kernel belongs to the machine outside" % shown


def test_a_virtual_machine_without_governor_says_so_and_the_rest_applies():
    found = planned(topology(kind="vm", detail="kvm", nvme=1))
    assert found.pop("governor")["why_not"] == "virtual machine: the clock belongs to its host"
    assert all(setting["applies"] for setting in found.values())


def test_a_virtual_machine_with_a_governor_gets_it():
    assert planned(topology(kind="vm", driver="acpi-cpufreq"))["governor"]["applies"]


def test_metal_without_a_driver_says_so():
    assert planned(topology(nvme=1))["governor"]["why_not"] == "no cpufreq driver"


@pytest.mark.parametrize(("offered", "wish", "why_not"), [
    (["performance", "powersave"], {}, None),
    (["performance", "powersave"], {"cpu_governor": "powersave"}, None),
    (["performance", "powersave"], {"cpu_governor": "ondemand"},
     "the driver offers performance, powersave, not ondemand"),
    (["schedutil"], {}, "the driver offers schedutil, not performance"),
    ([], {"cpu_governor": "ondemand"}, None),
    (None, {"cpu_governor": "ondemand"}, None),
])
def test_a_governor_that_the_driver_does_not_offer_does_not_apply(offered, wish, why_not):
    host = topology(driver="intel_pstate")
    host["cpufreq"]["governors"] = offered
    setting = planned(host, **wish)["governor"]
    assert (setting["applies"], setting["why_not"]) == (why_not is None, why_not)


def test_policies_with_different_drivers_have_a_governor_too():
    host = topology(driver="intel_pstate")
    host["cpufreq"]["driver"] = None
    assert planned(host)["governor"]["applies"]


def test_a_host_without_nvme_says_so():
    found = planned(topology(driver="intel_pstate"), nvme_nr_requests=32)
    assert found["scheduler"]["why_not"] == found["nr_requests"]["why_not"] == "no NVMe disk"


@pytest.mark.parametrize(("key", "name", "why_not"), [
    ("cpufreq", "governor", "no cpufreq driver"), ("block_devices", "scheduler", "no NVMe disk"),
    ("platform", "governor", None)])
def test_a_topology_with_a_gap_is_planned_for_what_it_knows(key, name, why_not):
    assert planned(dict(METAL, **{key: None}))[name]["why_not"] == why_not


def test_numa_balancing_is_off_where_instances_are_bound():
    assert planned(topology(sockets=2))["kernel.numa_balancing"]["value"] == "0"
    assert "kernel.numa_balancing" not in planned(topology())
    assert planned(topology(), memory_numa_balancing=1)["kernel.numa_balancing"]["value"] == "1"


@pytest.mark.parametrize(("wish", "value", "name"), [
    ("cpu_governor", "schedutil", "governor"),
    ("hugepages_count", 1024, "vm.nr_hugepages"),
    ("hugepages_count", 0, "vm.nr_hugepages"),
    ("hugepages_transparent", "always", "transparent_hugepage"),
    ("memory_swappiness", 0, "vm.swappiness"),
    ("memory_overcommit", 1, "vm.overcommit_memory"),
    ("memory_numa_balancing", 0, "kernel.numa_balancing"),
    ("nvme_scheduler", "mq-deadline", "scheduler"),
    ("nvme_nr_requests", 32, "nr_requests"),
    ("nvme_read_ahead_kib", 0, "read_ahead_kb"),
    ("network_somaxconn", 1024, "net.core.somaxconn"),
    ("network_slow_start_after_idle", 1, "net.ipv4.tcp_slow_start_after_idle"),
])
def test_the_users_wish_wins_and_the_reason_says_so(wish, value, name):
    setting = planned(METAL, **{wish: value})[name]
    assert setting["value"] == str(value)
    assert setting["reason"] == "%s was set by the user" % wish


def test_null_leaves_the_choice_to_the_plan():
    assert plan_settings(METAL, dict.fromkeys(WISHES), {}) == plan_settings(METAL, {}, {})
    assert check_wishes(dict(dict.fromkeys(WISHES), hugepages_count=0)) == {"hugepages_count": 0}


@pytest.mark.parametrize(("wish", "value", "shown"), [
    ("cpu_governor", "fast", "'fast'"),
    ("cpu_governor", True, "True"),
    ("hugepages_count", "1024", "'1024'"),
    ("hugepages_count", -1, "-1"),
    ("hugepages_transparent", "on", "'on'"),
    ("memory_swappiness", 201, "201"),
    ("memory_overcommit", True, "True"),
    ("nvme_scheduler", "cfq", "'cfq'"),
    ("nvme_nr_requests", 3, "3"),
    ("network_somaxconn", 65536, "65536"),
])
def test_a_wrong_wish_is_refused_by_name(wish, value, shown):
    with pytest.raises(PlanError) as error:
        plan_settings(METAL, {wish: value}, {})
    assert str(error.value) == "%s is %s; it must be %s." % (wish, shown, WISHES[wish][1])


def test_an_unknown_wish_is_refused_with_a_suggestion():
    with pytest.raises(PlanError) as error:
        plan_settings(METAL, {"memory_swapiness": 1}, {})
    assert str(error.value) == "memory_swapiness is not a known setting; did you mean memory_swappiness?"
