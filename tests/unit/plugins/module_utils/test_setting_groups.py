"""A role's settings, and beside them those of the others, each group with a digest of its own."""

from ansible_collections.inference.host.plugins.filter.setting_groups import FilterModule

SETTINGS = [{"role": role, "name": name, "value": "1"} for role, name in (
    ("cpu", "governor"), ("memory", "vm.swappiness"), ("cpu", "boost"), ("nvme", "scheduler"))]
setting_groups = FilterModule().filters()["setting_groups"]


def names(group):
    return group["persist_to"], [setting["name"] for setting in group["settings"]]


def test_each_role_has_its_own_and_sees_the_others():
    group = setting_groups(SETTINGS, "cpu")
    assert names(group) == ("60-inference-cpu", ["governor", "boost"])
    assert list(map(names, group["also_read"])) == [
        ("60-inference-memory", ["vm.swappiness"]), ("60-inference-nvme", ["scheduler"])]


def test_a_role_without_settings_still_has_its_file():
    group = setting_groups(SETTINGS, "network")
    assert names(group) == ("60-inference-network", []) and len(group["also_read"]) == 3


def test_a_group_has_the_same_digest_from_either_side_and_another_when_a_value_changes():
    (memory,) = (one for one in setting_groups(SETTINGS, "cpu")["also_read"] if "memory" in one["persist_to"])
    assert memory["digest"] == setting_groups(SETTINGS, "memory")["digest"]
    changed = [dict(setting, value="2") for setting in SETTINGS]
    assert setting_groups(changed, "memory")["digest"] != memory["digest"]
