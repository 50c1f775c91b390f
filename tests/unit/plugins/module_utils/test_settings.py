"""The kernel settings of the plan, all roles together: what is chosen, what the user wishes, and where none applies."""

import pytest
from ansible_collections.inference.host.plugins.module_utils import tunables
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from ansible_collections.inference.host.plugins.module_utils.settings import WISHES, check_wishes, plan_settings
from ansible_collections.inference.host.plugins.module_utils.settings_nvidia import WISHES as NVIDIA_WISHES
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from nvidia_topologies import DAEMON
from plan_topologies import service, topologies, topology, wishes

METAL = topology(driver="intel_pstate", nvme=1)
ROLES = {"cpu", "hugepages", "memory", "nvme", "network"}

SOME = {
    "cpu_governor": st.sampled_from(("performance", "schedutil")),
    "cpu_energy_preference": st.sampled_from(("performance", "power")),
    "cpu_boost": st.booleans(),
    "cpu_min_mhz": st.integers(100, 10000),
    "cpu_wakeup_latency_us": st.integers(1, 100000),
    "cpu_irq_affinity": st.booleans(),
    "cpu_smt": st.booleans(),
    "hugepages_count": st.integers(0, 2000),
    "hugepages_gigantic_count": st.integers(0, 2),
    "hugepages_at_boot": st.booleans(),
    "hugepages_group_id": st.integers(0, 1 << 31),
    "hugepages_transparent": st.sampled_from(("always", "madvise", "never")),
    "hugepages_defrag": st.sampled_from(("always", "defer", "defer+madvise", "madvise", "never")),
    "memory_swappiness": st.integers(0, 200),
    "memory_overcommit": st.integers(0, 2),
    "memory_overcommit_ratio": st.integers(0, 100),
    "memory_numa_balancing": st.integers(0, 2),
    "memory_zone_reclaim": st.integers(0, 7),
    "memory_dirty_ratio": st.integers(1, 100),
    "memory_dirty_background_ratio": st.integers(0, 100),
    "memory_swap_file": st.text("/.ab \n", max_size=8).map(lambda text: "/" + text),
    "memory_swap_file_mib": st.sampled_from((1, 8192, 1 << 24)),
    "memory_lock_limit": st.sampled_from(("infinity", "0", "8G")),
    "nvme_scheduler": st.sampled_from(("none", "mq-deadline", "kyber", "bfq")),
    "nvme_nr_requests": st.integers(4, 65536),
    "nvme_read_ahead_kib": st.integers(0, 1 << 16),
    "nvme_rq_affinity": st.integers(0, 2),
    "nvme_mount_options": st.dictionaries(
        st.text("/.ab ", max_size=8).map(lambda text: "/" + text),
        st.sampled_from(("noatime", "lazytime,commit=60", "remount", "x-a", "a,,b", "")), max_size=2),
    "network_somaxconn": st.integers(128, 65535),
    "network_slow_start_after_idle": st.integers(0, 1),
    "network_syn_backlog": st.integers(128, 1 << 20),
    "network_device_backlog": st.integers(128, 1 << 20),
    "network_keepalive_seconds": st.integers(1, 32767),
    "network_receive_buffer": st.sampled_from(("1 1 1", "4096 131072 6291456")),
    "network_send_buffer": st.sampled_from(("1 1 1", "4096 16384 2147483647")),
    "network_open_files": st.integers(1024, 1 << 30),
    "network_service_open_files": st.integers(1024, 1 << 20),
    "nvidia_persistence": st.booleans(),
    "nvidia_power_limit_w": st.integers(1, 5000),
    "nvidia_clock_mhz": st.integers(100, 10000),
    "nvidia_peermem": st.booleans(),
    "nvidia_module_options": st.dictionaries(
        st.sampled_from(("NVreg_EnableMSI", "NVreg_RegistryDwords", "NVreg_")),
        st.sampled_from((0, "ForceP2P=0x11;x=1", "1", "a b", "")), max_size=2),
    "nvidia_iommu_passthrough": st.booleans(),
    "nvidia_disable_acs_redirect": st.booleans(),
    "nvidia_mig": st.booleans(),
    "nvidia_driver_package": st.sampled_from(("nvidia-driver", "nvidia-driver-570-server", "x y")),
}
"""Values that may be wished for, the least and the most among them, and some that only look like it."""


def planned(host, hugepages=None, irq_cpus=(), **wished):
    """The settings by name. hugepages: {node: {size in KiB: pages}} of the plan."""
    rows = plan_settings(host, check_wishes(wished), hugepages or {}, list(irq_cpus))
    return {row["name"]: row for row in rows}


# What is planned


def test_a_real_server_gets_our_defaults():
    found = planned(METAL, irq_cpus=[0])
    assert {name: setting["value"] for name, setting in found.items() if setting["kind"] != "file"} == {
        "governor": "performance", "default_smp_affinity": "00000001", "transparent_hugepage": "madvise",
        "vm.swappiness": "10", "scheduler": "none", "net.core.somaxconn": "4096",
        "net.ipv4.tcp_slow_start_after_idle": "0"}
    assert [name for name, setting in found.items() if setting["kind"] == "file"] == [
        "irqbalance", "irqbalance variables"]
    for setting in found.values():
        assert setting["applies"] is True and setting["why_not"] is None
        assert setting["reason"] and setting["evidence"] in ("measured", "vendor", "convention")


def test_no_pages_are_reserved_or_given_back_unless_somebody_asks():
    assert [name for name in planned(METAL) if "hugepages-" in name or "hugepagesz" in name] == []


@pytest.mark.parametrize(("name", "evidence"), [
    ("governor", "convention"), ("vm.swappiness", "convention"), ("kernel.numa_balancing", "vendor"),
    ("scheduler", "vendor")])
def test_evidence_is_named_and_a_wish_is_none(name, evidence):
    host = topology(sockets=2, driver="intel_pstate", nvme=1)
    assert planned(host)[name]["evidence"] == evidence
    wished = {"memory_numa_balancing": 1, "nvme_scheduler": "kyber"}
    assert planned(host, **wished)[name]["evidence"] == "convention"


def test_every_setting_has_a_role_that_applies_it():
    assert {setting["role"] for setting in planned(METAL).values()} == ROLES


@pytest.mark.parametrize(("detail", "shown"), [("podman", "podman"), (None, "unknown kind")])
def test_nothing_applies_in_a_container_and_it_says_why(detail, shown):
    host = topology(kind="container", detail=detail, driver="intel_pstate", nvme=1)
    found = planned(host, {"0": {"2048": 4}}, [0], hugepages_count=4, memory_swappiness=1)
    assert {setting["role"] for setting in found.values()} == ROLES
    for setting in found.values():
        assert setting["applies"] is False
        assert setting["why_not"] == "container (%s): the kernel belongs to the machine outside" % shown


def test_a_virtual_machine_without_governor_says_so_and_the_rest_applies():
    found = planned(topology(kind="vm", detail="kvm", nvme=1), irq_cpus=[0])
    assert found.pop("governor")["why_not"] == "virtual machine: the clock belongs to its host"
    assert all(setting["applies"] for setting in found.values())


@pytest.mark.parametrize(("key", "name", "why_not"), [
    ("cpufreq", "governor", "no cpufreq driver"), ("block_devices", "scheduler", "no NVMe disk"),
    ("platform", "governor", None)])
def test_a_topology_with_a_gap_is_planned_for_what_it_knows(key, name, why_not):
    assert planned(dict(METAL, **{key: None}))[name]["why_not"] == why_not


# What the user wishes


@pytest.mark.parametrize("wish", sorted(
    set(WISHES) - set(NVIDIA_WISHES) - {"hugepages_count", "hugepages_gigantic_count"}))
def test_each_wish_is_seen_in_the_settings(wish):
    # Those of huge pages come with the plan's pages; those of NVIDIA cards have tests of their own.
    value = {"cpu_irq_affinity": False, "memory_swap_file": "/srv/swap", "hugepages_at_boot": True,
             "memory_swappiness": 5, "cpu_governor": "powersave", "hugepages_transparent": "never",
             "nvme_scheduler": "kyber", "nvme_mount_options": {"/": "noatime"}, "network_somaxconn": 128,
             "network_slow_start_after_idle": 1, "cpu_energy_preference": "power", "hugepages_defrag": "defer",
             "memory_lock_limit": "8G", "network_receive_buffer": "1 2 3", "network_send_buffer": "1 2 3",
             "network_service_open_files": 2048, "network_open_files": 2048, "cpu_min_mhz": 800,
             "network_syn_backlog": 256, "network_device_backlog": 256, "nvme_nr_requests": 8}.get(wish, 1)
    value = bool(value) if wish in ("cpu_boost", "cpu_smt") else value
    others = {"memory_swap_file_mib": 1} if wish == "memory_swap_file" else {}
    host, pages = topology(threads=2, driver="intel_pstate", nvme=1), {"0": {"2048": 1}}
    assert planned(host, pages, [0], **dict(others, **{wish: value})) != planned(host, pages, [0], **others)


def test_null_leaves_the_choice_to_the_plan():
    assert check_wishes(dict.fromkeys(WISHES)) == {}
    assert check_wishes(dict(dict.fromkeys(WISHES), hugepages_count=0)) == {"hugepages_count": 0}


@pytest.mark.parametrize(("wish", "value", "shown"), [
    ("cpu_governor", "fast", "'fast'"),
    ("cpu_governor", True, "True"),
    ("cpu_boost", "yes", "'yes'"),
    ("cpu_wakeup_latency_us", 0, "0"),
    ("hugepages_count", "1024", "'1024'"),
    ("hugepages_count", -1, "-1"),
    ("hugepages_gigantic_count", 1.5, "1.5"),
    ("hugepages_transparent", "on", "'on'"),
    ("memory_swappiness", 201, "201"),
    ("memory_overcommit", True, "True"),
    ("memory_swap_file", "swap", "'swap'"),
    ("memory_lock_limit", "8 G", "'8 G'"),
    ("nvme_scheduler", "cfq", "'cfq'"),
    ("nvme_nr_requests", 3, "3"),
    ("nvme_mount_options", {"/": "remount"}, "a mapping"),
    ("network_somaxconn", 65536, "65536"),
    ("network_receive_buffer", "3 2 1", "'3 2 1'"),
])
def test_a_wrong_wish_is_refused_by_name(wish, value, shown):
    with pytest.raises(PlanError) as error:
        check_wishes({wish: value})
    assert str(error.value) == "%s is %s; it must be %s." % (wish, shown, WISHES[wish][1])


def test_an_unknown_wish_is_refused_with_a_suggestion():
    with pytest.raises(PlanError) as error:
        check_wishes({"memory_swapiness": 1})
    assert str(error.value) == "memory_swapiness is not a known setting; did you mean memory_swappiness?"


@pytest.mark.parametrize(("smt", "wished", "refused"), [
    (True, False, True), (True, True, False), (True, None, False), (False, False, False)])
def test_siblings_that_are_to_run_threads_cannot_be_offline(smt, wished, refused):
    policy = {"smt": smt, "settings": {"cpu_smt": wished}}
    if not refused:
        assert make_plan(topology(threads=2), [service()], policy)["instances"]
        return
    with pytest.raises(PlanError) as error:
        make_plan(topology(threads=2), [service()], policy)
    assert str(error.value) == (
        "topology_smt is true and cpu_smt is false; siblings that are offline run no threads: change one of them.")


# What module tunables takes


@st.composite
def hosts(draw):
    """Hosts of plan_topologies with frequency drivers, disks and platforms."""
    host = draw(topologies())
    driver = draw(st.sampled_from((None, "intel_pstate", "intel_cpufreq", "acpi-cpufreq", "amd-pstate-epp")))
    host["platform"]["kind"] = draw(st.sampled_from(("bare_metal", "vm", "container")))
    host["cpufreq"] = {
        "driver": driver, "governors": draw(st.sampled_from(([], ["performance"], ["powersave", "schedutil"]))),
        "boost_file": draw(st.sampled_from((None, "/sys/devices/system/cpu/intel_pstate/no_turbo"))),
        "policies": [{"driver": driver, "min_khz": 800000, "max_khz": 3600000, "epp_choices": draw(
            st.sampled_from(([], ["performance", "power"])))}] if driver else []}
    host["block_devices"] += draw(st.lists(st.sampled_from(
        ({"name": "nvme0n1", "kind": "nvme", "schedulers": ["none", "kyber"]}, {"name": "nvme1n1", "kind": "nvme"})),
        max_size=2))
    host["nvidia"] = draw(st.sampled_from((None, {}, {
        "driver_version": "570.86.15", "persistenced": "/lib/x", "persistenced_command": DAEMON, "params": {}})))
    host["iommu"] = draw(st.sampled_from((None, {"acs": [{"address": "0000:64:00.0", "enabled": []}]})))
    return host


def test_the_property_has_every_wish():
    assert set(SOME) == set(WISHES)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(hosts(), wishes() | st.just([service()]), st.fixed_dictionaries({}, optional=SOME))
def test_every_setting_that_can_be_planned_is_one_that_the_module_takes(host, services, wished):
    wished = {name: value for name, value in wished.items() if WISHES[name][0](value)}
    try:
        rows = make_plan(host, services, {"settings": wished})["settings"]
    except PlanError:
        assume(False)
    for role in ROLES | {"nvidia"}:
        of_role = [row for row in rows if row["role"] == role]
        tunables.check_settings(of_role, "60-inference-" + role)
        assert len({row["name"] for row in of_role}) == len(of_role)
    for row in rows:
        assert (row["why_not"] is None) is row["applies"]
        assert row["reason"] and row["evidence"] in ("measured", "vendor", "convention")
    wanted = [row for row in rows if "hugepages-" in row["name"] or row["name"] == "hugepagesz"]
    asked = "hugepages_count" in wished or "hugepages_gigantic_count" in wished
    assert bool(wanted) == (asked or any(wish.get("hugepages_mib") for wish in services))
