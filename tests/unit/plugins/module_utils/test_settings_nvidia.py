"""What a host keeps for its NVIDIA cards: the rows with their texts, and in words why one does not apply."""

import pytest
from ansible_collections.inference.host.plugins.module_utils import tunables
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.settings_nvidia import (
    MODULES_FILE,
    OPTIONS_FILE,
    PERSISTENCE,
    START_FILE,
    UNIT_FILE,
    WISHES,
    nvidia_rows,
    persistent,
)
from nvidia_topologies import card, host

SMI = "nvidia-smi -i 0000:65:00.0 "
ACS = {"translating": True, "acs": [
    {"address": "0000:64:00.0", "enabled": ["request_redirect"]}, {"address": "0000:b2:00.0", "enabled": []}]}


def rows(machine, why_not=None, **wishes):
    found = nvidia_rows(machine, wishes, why_not)
    tunables.check_settings(found, "60-inference-nvidia")
    return {row["path"] or row["name"]: row for row in found}


def outcome(row):
    """What happens with a setting: its value, or why it has none."""
    return row["value"] if row["applies"] else row["why_not"]


def lines(row):
    return outcome(row).splitlines()


EVERYTHING = {"nvidia_persistence": True, "nvidia_power_limit_w": 120, "nvidia_clock_mhz": 1200, "nvidia_peermem": True,
              "nvidia_module_options": {"NVreg_EnableMSI": 1}, "nvidia_iommu_passthrough": True,
              "nvidia_disable_acs_redirect": True, "nvidia_mig": True, "nvidia_driver_package": "nvidia-driver"}


def test_the_wishes_here_are_all_that_there_are():
    assert set(EVERYTHING) == set(WISHES)


@pytest.mark.parametrize("gpus", [[], [card(vendor="0x1002")], [card(driver="vfio-pci")]])
@pytest.mark.parametrize("wishes", [{}, EVERYTHING])
def test_a_host_without_a_card_of_its_own_has_no_row(gpus, wishes):
    assert rows(host(gpus), **wishes) == {}


def test_unasked_there_is_persistence_alone():
    assert list(rows(host())) == [PERSISTENCE]


def test_in_a_container_nothing_applies():
    found = rows(host(iommu=ACS), why_not="container", **EVERYTHING)
    assert {row["why_not"] for row in found.values()} == {"container"} and len(found) == 7


# Persistence


def test_the_daemon_keeps_its_own_options_and_gets_persistence_mode():
    row = rows(host())[PERSISTENCE]
    assert lines(row) == [
        "[Unit]", "StopWhenUnneeded=no", "", "[Service]", "ExecStart=",
        "ExecStart=/usr/bin/nvidia-persistenced --user nvidia-persistenced --verbose --persistence-mode"]
    assert row["after"] == [["systemctl", "daemon-reload"],
                            ["systemctl", "try-restart", "nvidia-persistenced[.]service"]]
    assert row["evidence"] == "vendor"


@pytest.mark.parametrize(("command", "wanted"), [
    ("/usr/bin/nvidia-persistenced --user nvpd", "/usr/bin/nvidia-persistenced --user nvpd --persistence-mode"),
    ("/usr/bin/nvidia-persistenced --persistence-mode", "/usr/bin/nvidia-persistenced --persistence-mode"),
    ("/usr/sbin/nvidia-persistenced", "/usr/sbin/nvidia-persistenced --persistence-mode"),
    ("-/usr/bin/nvidia-persistenced", None), ("/bin/sh -c nvidia-persistenced", None),
    ("/usr/bin/nvidia-persistenced $OPTIONS", None), ("/usr/bin/nvidia-persistenced --user %u", None),
    ('/usr/bin/nvidia-persistenced --user "x"', None), ("/usr/bin/nvidia-persistenced \\", None), ("", None),
    (None, None)])
def test_a_command_that_is_not_understood_is_left_alone(command, wanted):
    assert persistent(command) == wanted


@pytest.mark.parametrize(("state", "why"), [
    ({"driver_version": None, "persistenced": None, "persistenced_command": None}, "the NVIDIA driver is not loaded"),
    ({"persistenced": None, "persistenced_command": None}, "nvidia-persistenced is not installed"),
    ({"persistenced_command": "/opt/x"},
     "the command of /usr/lib/systemd/system/nvidia-persistenced.service is not in a form that is known")])
def test_where_the_daemon_cannot_be_told_it_says_why(state, why):
    assert outcome(rows(host(**state))[PERSISTENCE]) == why


def test_a_recording_of_an_older_release_does_not_tell_of_the_daemon():
    machine = host()
    machine["nvidia"] = {"driver_version": "550.163.01", "smi": None}
    assert outcome(rows(machine)[PERSISTENCE]) == "whether nvidia-persistenced is installed is not known"


def test_the_daemon_is_left_as_it_is_on_request():
    assert rows(host(), nvidia_persistence=False) == {}


# Clocks and power


def test_a_unit_sets_clocks_and_power_of_each_card_and_takes_them_back():
    cards = [card(), card("0000:b3:00.0", {"power_default_w": 140}, driver=None)]
    found = rows(host(cards), nvidia_power_limit_w=120, nvidia_clock_mhz=1200)
    unit = lines(found[UNIT_FILE])
    assert [line for line in unit if line.startswith("ExecStart=")] == [
        "ExecStart=%s-pl 120" % SMI, "ExecStart=%s-lgc 1200,1200" % SMI,
        "ExecStart=nvidia-smi -i 0000:b3:00.0 -pl 120", "ExecStart=nvidia-smi -i 0000:b3:00.0 -lgc 1200,1200"]
    assert [line for line in unit if line.startswith("ExecStop")] == [
        "ExecStopPost=-%s-pl 150" % SMI, "ExecStopPost=-%s-rgc" % SMI,
        "ExecStopPost=-nvidia-smi -i 0000:b3:00.0 -pl 140", "ExecStopPost=-nvidia-smi -i 0000:b3:00.0 -rgc"]
    assert {"Type=oneshot", "RemainAfterExit=yes", "TimeoutStartSec=60", "TimeoutStopSec=60",
            "After=nvidia-persistenced.service", "PartOf=nvidia-persistenced.service"} <= set(unit)
    assert lines(found[START_FILE]) == ["[Unit]", "Wants=inference-nvidia.service"]
    assert found[UNIT_FILE]["reason"] == "nvidia_power_limit_w and nvidia_clock_mhz were set by the user"


def test_one_of_the_two_is_enough():
    assert "-lgc" not in outcome(rows(host(), nvidia_power_limit_w=100)[UNIT_FILE])
    found = rows(host(), nvidia_clock_mhz=1590)[UNIT_FILE]
    assert "-pl" not in outcome(found) and found["reason"] == "nvidia_clock_mhz was set by the user"


def test_the_unit_is_stopped_before_systemd_forgets_its_commands():
    after = [argv for row in rows(host(), nvidia_power_limit_w=120).values() for argv in row["after"]]
    stop, reload = ["systemctl", "stop", "inference-nvidia[.]service"], ["systemctl", "daemon-reload"]
    assert after.index(stop) < after.index(reload)
    # A restore runs them in the order of the paths.
    assert UNIT_FILE < START_FILE < PERSISTENCE


@pytest.mark.parametrize(("wish", "value", "sentence"), [
    ("nvidia_power_limit_w", 99, "nvidia_power_limit_w is 99; card 0000:65:00.0 takes 100 to 150.5 W."),
    ("nvidia_power_limit_w", 151, "nvidia_power_limit_w is 151; card 0000:65:00.0 takes 100 to 150.5 W."),
    ("nvidia_clock_mhz", 1591,
     "nvidia_clock_mhz is 1591; the highest graphics clock of card 0000:65:00.0 is 1590 MHz."),
])
def test_what_a_card_does_not_take_is_refused(wish, value, sentence):
    with pytest.raises(PlanError) as error:
        rows(host(), **{wish: value})
    assert str(error.value) == sentence


def test_limits_that_are_not_known_are_left_to_nvidia_smi():
    told = {"power_min_w": None, "power_max_w": None, "power_default_w": None, "clock_max_mhz": None}
    unit = lines(rows(host([card(told=told)]), nvidia_power_limit_w=900, nvidia_clock_mhz=9000)[UNIT_FILE])
    assert [line for line in unit if line.startswith("ExecStop")] == ["ExecStopPost=-%s-rgc" % SMI]


def test_a_card_that_nvidia_smi_says_nothing_of_keeps_the_unit_as_it_is():
    found = rows(host([card(), card("0000:b3:00.0", told=None)]), nvidia_power_limit_w=120)
    assert outcome(found[UNIT_FILE]) == outcome(found[START_FILE]) == "nvidia-smi says nothing of 0000:b3:00.0"


def test_without_a_driver_there_are_no_limits():
    found = rows(host(driver_version=None), nvidia_power_limit_w=120)
    assert outcome(found[UNIT_FILE]) == outcome(found[START_FILE]) == "the NVIDIA driver is not loaded"


# Modules


@pytest.mark.parametrize(("groups", "told"), [
    (["infiniband_mad", "mem"], "nvidia_peermem\n"),
    (["mem"], "no RDMA device: the kernel has no infiniband devices"),
    (None, "no RDMA device: the kernel has no infiniband devices")])
def test_peer_memory_is_for_hosts_with_rdma(groups, told):
    machine = dict(host(), device_groups=groups)
    row = rows(machine, nvidia_peermem=True)[MODULES_FILE]
    assert outcome(row) == told
    assert row["after"] == [["/bin/sh", "-c", "test ! -e %s || exec modprobe nvidia_peermem" % MODULES_FILE]]
    assert MODULES_FILE not in rows(machine, nvidia_peermem=False)
    machine["nvidia"]["driver_version"] = None
    assert outcome(rows(machine, nvidia_peermem=True)[MODULES_FILE]) == "the NVIDIA driver is not loaded"


def test_module_options_are_in_a_fixed_order_also_for_the_name_that_debian_gives_the_module():
    row = rows(host(), nvidia_module_options={"NVreg_RegistryDwords": "ForceP2P=0x11;x=1", "NVreg_EnableMSI": 1})[
        OPTIONS_FILE]
    assert lines(row) == ["options %s NVreg_EnableMSI=1 NVreg_RegistryDwords=ForceP2P=0x11;x=1" % module
                          for module in ("nvidia", "nvidia-current")]


@pytest.mark.parametrize(("state", "waits"), [
    ({"params": {"EnableMSI": "0"}}, True), ({"params": {"EnableMSI": "1"}}, False), ({"params": {}}, True),
    ({"params": None}, True), ({"params": {"NVreg_EnableMSI": "1"}}, False), ({"driver_version": None}, False)])
def test_a_reboot_is_needed_for_options_that_are_not_in_force(state, waits):
    row = rows(host(**state), nvidia_module_options={"NVreg_EnableMSI": 1})[OPTIONS_FILE]
    assert bool(row["reboot"]) is waits


def test_no_option_is_no_row():
    assert OPTIONS_FILE not in rows(host(), nvidia_module_options={})


@pytest.mark.parametrize("options", [
    {"EnableMSI": 1}, {"NVreg_EnableMSI": True}, {"NVreg_EnableMSI": "1 nvidia"}, {"NVreg_X": "a\nb"}, {"NVreg_X": ""},
    {"NVreg_X": '"'}, {"NVreg_X Y": 1}, {1: 1}, {"NVreg_X": None}, "NVreg_X=1", ["NVreg_X=1"]])
def test_what_is_no_option_is_refused(options):
    assert not WISHES["nvidia_module_options"][0](options)


# Kernel parameters


def test_passing_the_iommu_through_says_what_it_costs():
    row = rows(host(iommu=ACS), nvidia_iommu_passthrough=True)["iommu"]
    assert (row["kind"], outcome(row)) == ("kernel_parameter", "pt")
    assert "nvidia_iommu_passthrough was set by the user" in row["reason"] and "reaches all memory" in row["reason"]


def test_the_parameter_has_another_name_on_arm():
    machine = host()
    machine["platform"]["architecture"] = "aarch64"
    assert outcome(rows(machine, nvidia_iommu_passthrough=True)["iommu.passthrough"]) == "1"


def test_redirection_is_turned_off_for_each_bridge_also_after_the_reboot_that_did_it():
    row = rows(host(iommu=ACS), nvidia_disable_acs_redirect=True)["pci"]
    assert (row["kind"], outcome(row)) == ("kernel_parameter", "disable_acs_redir=0000:64:00.0;0000:b2:00.0")
    assert "past the IOMMU" in row["reason"]
    after = {"translating": True, "acs": [dict(bridge, enabled=[]) for bridge in ACS["acs"]]}
    assert rows(host(iommu=after), nvidia_disable_acs_redirect=True)["pci"]["value"] == row["value"]


@pytest.mark.parametrize("iommu", [None, {}, {"acs": []}])
def test_without_a_bridge_there_is_no_redirection_to_turn_off(iommu):
    row = rows(dict(host(), iommu=iommu), nvidia_disable_acs_redirect=True)["pci"]
    assert outcome(row) == "no bridge above a GPU is known to have ACS"


@pytest.mark.parametrize("wish", ["nvidia_iommu_passthrough", "nvidia_disable_acs_redirect"])
def test_isolation_is_never_weakened_unasked(wish):
    assert list(rows(host(iommu=ACS))) == list(rows(host(iommu=ACS), **{wish: False})) == [PERSISTENCE]
