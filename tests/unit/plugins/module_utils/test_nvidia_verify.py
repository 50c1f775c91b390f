"""What was found of NVIDIA cards, as rows of verify."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.nvidia_verify import nvidia_verify_rows
from ansible_collections.inference.host.plugins.module_utils.settings_nvidia import nvidia_rows
from nvidia_topologies import card, host

CARD = "0000:65:00.0"


def rows(machine, mig=None, instances=(), **wishes):
    plan = {"settings": nvidia_rows(machine, wishes, None), "instances": list(instances)}
    return {row["setting"]: row for row in nvidia_verify_rows(plan, machine, mig)}


def statuses(found):
    return {setting: row["status"] for setting, row in found.items()}


def test_a_host_without_a_card_has_no_row():
    assert rows(host([])) == rows(host([card(driver="vfio-pci")])) == {}


def test_a_host_in_good_state():
    assert statuses(rows(host())) == {
        "driver": "ok", "problem": "ok", CARD: "ok", CARD + " persistence mode": "ok",
        CARD + " uncorrected ECC errors": "ok", "errors in the kernel log": "ok"}
    assert {row["area"] for row in rows(host()).values()} == {"nvidia"}


@pytest.mark.parametrize(("gpus", "status"), [([], "not_applicable"), ([CARD], "drift")])
def test_a_driver_that_is_not_loaded_matters_to_those_who_have_a_gpu(gpus, status):
    found = rows(host(driver_version=None), instances=[{"gpus": gpus}])
    assert statuses(found) == {"driver": status}


@pytest.mark.parametrize(("library", "status"), [
    ("570.86.15", "ok"), ("550.54.15", "drift"), (None, "not_applicable")])
def test_driver_and_library_agree(library, status):
    assert rows(host(library_version=library))["driver"]["status"] == status


def test_a_problem_is_drift_and_says_what_to_do():
    row = rows(host(problem="Reboot."))["problem"]
    assert (row["status"], row["note"]) == ("drift", "Reboot.")


def test_a_card_that_does_not_answer_is_drift():
    found = rows(host([card(), card("0000:b3:00.0", told=None)]))
    assert statuses(found)["0000:b3:00.0"] == "drift" and statuses(found)[CARD] == "ok"
    assert "0000:b3:00.0 persistence mode" not in found


@pytest.mark.parametrize(("told", "status"), [(True, "ok"), (False, "drift"), (None, "not_applicable")])
def test_persistence_mode_is_on_where_it_is_planned(told, status):
    machine = host([card(told={"persistence": told})])
    assert rows(machine)[CARD + " persistence mode"]["status"] == status
    assert CARD + " persistence mode" not in rows(machine, nvidia_persistence=False)
    without = host([card(told={"persistence": told})], persistenced=None, persistenced_command=None)
    assert CARD + " persistence mode" not in rows(without)


@pytest.mark.parametrize(("wish", "told", "status"), [
    (True, True, "ok"), (True, False, "drift"), (False, False, "ok"), (False, True, "drift"),
    (True, None, "not_applicable")])
def test_the_mig_mode_is_compared_where_one_is_wished_for(wish, told, status):
    machine = host([card(told={"mig": told})])
    assert rows(machine, mig=wish)[CARD + " MIG mode"]["status"] == status
    assert CARD + " MIG mode" not in rows(machine)


@pytest.mark.parametrize(("told", "status", "found"), [
    ({"power_limit_w": 120}, "ok", "120 W"), ({"power_limit_w": 150.5}, "drift", "150.5 W"),
    ({"power_limit_w": None}, "not_applicable", "not known")])
def test_the_power_limit_is_compared_where_one_is_wished_for(told, status, found):
    machine = host([card(told=told), card("0000:b3:00.0")])
    row = rows(machine, nvidia_power_limit_w=120)[CARD + " power limit"]
    assert (row["status"], row["wanted"], row["found"]) == (status, "120 W", found)
    silent = host([card(told=told), card("0000:b3:00.0", told=None)])
    assert not [setting for setting in rows(silent, nvidia_power_limit_w=120) if "power limit" in setting]
    assert CARD + " power limit" not in rows(machine) and CARD + " power limit" not in rows(
        machine, nvidia_clock_mhz=1200)


@pytest.mark.parametrize(("ecc", "errors", "status"), [
    (True, 0, "ok"), (True, 3, "drift"), (True, None, None), (False, 0, None), (None, None, None)])
def test_uncorrected_errors_of_memory(ecc, errors, status):
    row = rows(host([card(told={"ecc": ecc, "ecc_errors": errors})])).get(CARD + " uncorrected ECC errors")
    assert (row and row["status"]) == status


@pytest.mark.parametrize(("code", "status"), [(31, "ok"), (79, "drift"), (999, "ok")])
def test_errors_of_cards_are_drift_and_those_of_programs_are_told(code, status):
    row = rows(host(xid=[{"address": CARD, "code": code, "count": 2}]))["%s Xid %d" % (CARD, code)]
    assert row["status"] == status and "2 times" in row["note"]


def test_a_kernel_log_that_cannot_be_read_is_no_fault():
    assert rows(host(xid=None))["errors in the kernel log"]["status"] == "not_applicable"


@pytest.mark.parametrize(("params", "status", "found"), [
    ({"EnableMSI": "1"}, "ok", "1"), ({"EnableMSI": "0"}, "drift", "0"), (None, "drift", "not known")])
def test_options_of_the_loaded_module_are_compared(params, status, found):
    row = rows(host(params=params), nvidia_module_options={"NVreg_EnableMSI": 1})["module option NVreg_EnableMSI"]
    assert (row["status"], row["found"], row["wanted"]) == (status, found, "1")


@pytest.mark.parametrize(("modules", "status"), [
    (["nvidia", "nvidia_peermem"], "ok"), (["nvidia"], "drift"), (None, "drift")])
def test_peer_memory_is_loaded_where_it_is_asked_for(modules, status):
    machine = dict(host(modules=modules), device_groups=["infiniband_mad"])
    assert rows(machine, nvidia_peermem=True)["module nvidia_peermem"]["status"] == status
    assert "module nvidia_peermem" not in rows(machine)


def test_an_option_whose_value_has_an_equals_sign():
    machine = host(params={"RegistryDwords": '"ForceP2P=0x11"'})
    row = rows(machine, nvidia_module_options={"NVreg_RegistryDwords": "ForceP2P=0x11"})[
        "module option NVreg_RegistryDwords"]
    assert (row["status"], row["wanted"]) == ("ok", "ForceP2P=0x11")
