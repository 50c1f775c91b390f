"""The processor's settings, by driver: what applies, with which value, and in words why not."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.cpulist import parse_cpu_list, parse_cpu_mask
from ansible_collections.inference.host.plugins.module_utils.settings_cpu import WISHES, cpu_rows
from plan_topologies import topology

PREFERENCES = ["balance_performance", "balance_power", "default", "performance", "power"]


def host(driver, governors=("performance", "powersave"), choices=(), boost_file=None, **other):
    """A host whose policies have this driver, 800 to 3600 MHz, and these energy preferences."""
    made = topology(driver=driver, **other)
    made["cpufreq"].update({"governors": list(governors), "boost_file": boost_file})
    for policy in made["cpufreq"]["policies"]:
        policy.update({"epp_choices": list(choices), "min_khz": 800000, "max_khz": 3600000})
    return made


ACTIVE = host("intel_pstate", choices=PREFERENCES, boost_file="/sys/devices/system/cpu/intel_pstate/no_turbo")
PASSIVE = host("intel_cpufreq", ["performance", "powersave", "schedutil"], PREFERENCES)
OLD = host("acpi-cpufreq", ["ondemand", "performance", "userspace"], boost_file="/sys/devices/system/cpu/cpufreq/boost")
AMD = host("amd-pstate-epp", choices=PREFERENCES)
AMD_PASSIVE = host("amd-pstate", ["performance", "schedutil"])
NONE = topology()


def rows(machine, irq_cpus=(), why_not=None, **wishes):
    return {row["name"]: row for row in cpu_rows(machine, wishes, list(irq_cpus), why_not)}


def outcome(row):
    """What happens with a setting: its value, or why it has none."""
    return row["value"] if row["applies"] else row["why_not"]


# Frequency


@pytest.mark.parametrize("machine", [ACTIVE, PASSIVE, OLD, AMD, AMD_PASSIVE], ids=lambda one: one["cpufreq"]["driver"])
def test_every_driver_gets_the_governor_performance(machine):
    row = rows(machine)["governor"]
    assert outcome(row) == "performance" and row["evidence"] == "convention"
    assert row["path"] == "/sys/devices/system/cpu/cpufreq/policy*/scaling_governor"


@pytest.mark.parametrize(("machine", "governor", "told"), [
    (ACTIVE, "powersave", "powersave"),
    (ACTIVE, "schedutil", "the driver offers performance, powersave, not schedutil"),
    (PASSIVE, "schedutil", "schedutil"),
    (OLD, "ondemand", "ondemand"),
    (OLD, "powersave", "the driver offers ondemand, performance, userspace, not powersave"),
    (host("acpi-cpufreq", []), "ondemand", "ondemand"),
    (NONE, "ondemand", "no cpufreq driver"),
    (topology(kind="vm"), "ondemand", "virtual machine: the clock belongs to its host"),
    (host("acpi-cpufreq", kind="vm"), "powersave", "powersave"),
])
def test_a_governor_is_set_where_the_driver_offers_it(machine, governor, told):
    assert outcome(rows(machine, cpu_governor=governor)["governor"]) == told


def test_policies_with_different_drivers_have_a_governor_too():
    mixed = host("intel_pstate")
    mixed["cpufreq"]["driver"] = None
    assert rows(mixed)["governor"]["applies"]


@pytest.mark.parametrize(("machine", "wishes", "value"), [
    # Active drivers: their governor performance already holds it there.
    (ACTIVE, {}, None), (AMD, {}, None),
    # The passive mode's governor does not touch the hint that the hardware has.
    (PASSIVE, {}, "performance"), (PASSIVE, {"cpu_governor": "schedutil"}, None),
    (ACTIVE, {"cpu_governor": "powersave"}, None),
    (OLD, {}, None), (AMD_PASSIVE, {}, None), (NONE, {}, None),
])
def test_the_energy_preference_follows_the_governor_where_it_is_a_choice_of_its_own(machine, wishes, value):
    found = rows(machine, **wishes).get("energy_performance_preference")
    assert (found and found["value"]) == value


@pytest.mark.parametrize(("machine", "governor", "preference", "told"), [
    (ACTIVE, None, "performance", "performance"),
    (ACTIVE, None, "power", "the governor performance keeps it at performance"),
    (AMD, "performance", "power", "the governor performance keeps it at performance"),
    (ACTIVE, "powersave", "balance_performance", "balance_performance"),
    (PASSIVE, "performance", "power", "power"),
    (host("amd-pstate-epp", choices=["performance", "power"]), "powersave", "default",
     "the driver offers performance, power, not default"),
    (OLD, None, "performance", "the driver has no energy preference"),
    (NONE, None, "performance", "no cpufreq driver"),
])
def test_a_wished_energy_preference_is_set_where_it_exists_and_matters(machine, governor, preference, told):
    wishes = {"cpu_energy_preference": preference, **({"cpu_governor": governor} if governor else {})}
    assert outcome(rows(machine, **wishes)["energy_performance_preference"]) == told


def test_policies_of_different_drivers_are_each_asked_for_the_energy_preference():
    mixed = host("intel_pstate", choices=PREFERENCES)
    mixed["cpufreq"]["driver"] = None
    told = rows(mixed, cpu_energy_preference="power")["energy_performance_preference"]["why_not"]
    assert told == "the governor performance keeps it at performance"
    mixed["cpufreq"]["policies"][0].update({"driver": "acpi-cpufreq", "epp_choices": []})
    told = rows(mixed, cpu_energy_preference="performance")["energy_performance_preference"]["why_not"]
    assert told == "the driver has no energy preference"


@pytest.mark.parametrize(("machine", "boost", "value", "file"), [
    (ACTIVE, True, "0", "intel_pstate/no_turbo"), (ACTIVE, False, "1", "intel_pstate/no_turbo"),
    (OLD, True, "1", "cpufreq/boost"), (OLD, False, "0", "cpufreq/boost")])
def test_boost_is_written_as_the_drivers_file_means_it(machine, boost, value, file):
    row = rows(machine, cpu_boost=boost)["boost"]
    assert (outcome(row), row["path"]) == (value, "/sys/devices/system/cpu/" + file)


@pytest.mark.parametrize(("machine", "told"), [
    (AMD, "the driver has no switch for boost"), (NONE, "no cpufreq driver")])
def test_boost_without_a_file_says_so(machine, told):
    assert outcome(rows(machine, cpu_boost=False)["boost"]) == told
    assert "boost" not in rows(machine)


@pytest.mark.parametrize(("machine", "mhz", "told"), [
    (ACTIVE, 800, "800000"), (OLD, 3600, "3600000"),
    (ACTIVE, 799, "the hardware has 800 to 3600 MHz"), (ACTIVE, 3601, "the hardware has 800 to 3600 MHz"),
    (topology(driver="intel_pstate"), 5000, "5000000"), (NONE, 1000, "no cpufreq driver")])
def test_the_lowest_frequency_is_one_that_the_hardware_has(machine, mhz, told):
    row = rows(machine, cpu_min_mhz=mhz)["scaling_min_freq"]
    assert outcome(row) == told and row["path"].endswith("policy*/scaling_min_freq")


# Idle states and SMT


def test_idle_states_are_left_alone_unless_asked():
    assert "pm_qos_resume_latency_us" not in rows(ACTIVE)
    row = rows(NONE, cpu_wakeup_latency_us=10)["pm_qos_resume_latency_us"]
    assert outcome(row) == "10"
    assert row["path"] == "/sys/devices/system/cpu/cpu[0-9]*/power/pm_qos_resume_latency_us"


def test_no_latency_is_written_that_would_mean_no_limit():
    # The kernel reads 0 as "no constraint" (pm_qos_resume_latency_us in sysfs-devices-power).
    accepts, _allowed = WISHES["cpu_wakeup_latency_us"]
    assert not accepts(0) and accepts(1)


@pytest.mark.parametrize(("machine", "smt", "told"), [
    (topology(threads=2), False, "off"), (topology(threads=2), True, "on"),
    # Off by an earlier run: no core shows siblings any more.
    (topology(cores=2, threads=2, offline=[2, 3]), True, "on"),
    (topology(cores=2, threads=2, offline=[2, 3]), False, "off"),
    (topology(threads=1), False, "no core has SMT siblings"), (topology(threads=1), True, "no core has SMT siblings")])
def test_smt_is_changed_only_if_asked(machine, smt, told):
    assert "smt" not in rows(machine)
    assert outcome(rows(machine, cpu_smt=smt)["smt"]) == told


# Interrupts


def test_interrupts_go_to_the_housekeeping_cpus_for_the_kernel_and_for_irqbalance():
    found = rows(topology(cores=8, threads=2), [0, 8])
    mask, daemon, variables = (found[name] for name in ("default_smp_affinity", "irqbalance", "irqbalance variables"))
    assert (mask["value"], mask["path"], mask["kind"]) == ("00000101", "/proc/irq/default_smp_affinity", "sysfs")
    assert variables["value"] == "IRQBALANCE_BANNED_CPULIST=1-7,9-15\n"
    # In a file: /etc/default/irqbalance, which the unit names as such, would beat a variable of the drop-in's own.
    assert daemon["value"] == "[Service]\nEnvironmentFile=-%s\n" % variables["path"]
    assert variables["path"] == "/etc/systemd/system/irqbalance.service.d/60-inference.env"
    assert daemon["path"] == "/etc/systemd/system/irqbalance.service.d/60-inference.conf"
    assert {mask["reason"], daemon["reason"], variables["reason"]} == {"interrupts stay on the housekeeping CPUs 0,8"}


def test_a_host_without_irqbalance_is_no_failure():
    # systemctl fails for a unit that does not exist, and not for a pattern that no unit matches.
    found = rows(topology(), [0])
    for name in ("irqbalance", "irqbalance variables"):
        assert found[name]["after"] == [
            ["systemctl", "daemon-reload"], ["systemctl", "try-restart", "irqbalance[.]service"]]


def test_a_mask_of_many_cpus_is_in_groups_of_32():
    # The kernel takes no more than eight digits between commas (bitmap_parse).
    kept = [0, 44, 88, 132]
    found = rows(topology(sockets=2, cores=44, threads=2), kept)
    mask = found["default_smp_affinity"]["value"]
    assert mask == "00000010,00000000,01000000,00001000,00000001"
    assert parse_cpu_mask(mask) == kept
    banned = found["irqbalance variables"]["value"].strip().rpartition("=")[2]
    assert sorted(parse_cpu_list(banned) + kept) == list(range(176))


@pytest.mark.parametrize(("machine", "kept", "wishes"), [
    (topology(cores=2), [], {}), (topology(), [0], {"cpu_irq_affinity": False}),
    # All are kept: there is nobody to keep interrupts from.
    (topology(cores=2), [0, 1], {})])
def test_interrupts_are_left_alone_without_housekeeping_cpus_or_if_the_user_says_so(machine, kept, wishes):
    assert not {"default_smp_affinity", "irqbalance", "irqbalance variables"} & set(rows(machine, kept, **wishes))


def test_nothing_applies_where_the_role_does_not():
    everything = {"cpu_energy_preference": "power", "cpu_boost": True, "cpu_min_mhz": 800, "cpu_wakeup_latency_us": 1,
                  "cpu_smt": False}
    assert {row["why_not"] for row in rows(ACTIVE, [0], "outside", **everything).values()} == {"outside"}
