"""What is written to a host for its watch: settings as module tunables takes them, and nothing that is secret."""

import json

import pytest
from ansible_collections.inference.host.plugins.module_utils.tunables import check_settings
from ansible_collections.inference.host.plugins.module_utils.watch_wanted import CLIENTS, KEYS, complete
from ansible_collections.inference.host.plugins.modules import tunables as module
from fleet_machines import HOSTS
from fleet_plans import fleet_plan
from watch_hosts import wanted_of

SECRET = "a-key-that-nobody-may-see"


def by_module(setting):
    """The setting as the module gets it: its options alone, with its defaults."""
    options = module.ARGUMENT_SPEC["settings"]["options"]
    return module._complete({key: setting.get(key) for key in options})


@pytest.mark.parametrize("name", sorted(HOSTS))
def test_a_fleets_host(name, tmp_path):
    plan = fleet_plan(name)
    wanted = wanted_of(plan, tmp_path, probe_tokens=8)
    assert json.loads(json.dumps(wanted)) == wanted
    assert [complete(one) for one in plan["settings"]] == wanted["plan"]["settings"]
    for one in wanted["plan"]["settings"]:
        assert one == dict(one, **by_module(one))
    for role in wanted["setting_roles"]:
        check_settings([one for one in wanted["plan"]["settings"] if one["role"] == role], "60-inference-" + role)
    assert [one["name"] for one in wanted["probe"]["services"]] == [
        one["name"] for one in plan["services"] if one["runtime"] in ("llama_cpp", "vllm")]


def test_no_secret_is_in_it(tmp_path):
    plan = fleet_plan("zigai")
    plan["instances"][0]["environment"]["TOKEN"] = SECRET
    wanted = wanted_of(plan, tmp_path, [{"path": "/etc/key", "content": SECRET, "sensitive": True, "mode": "0600"}])
    assert SECRET not in str(wanted)
    assert wanted["files"]["files"] == [{
        "path": "/etc/key", "mode": "0600", "owner": None, "group": None, "sensitive": True,
        "sha256": "ede6773cf39d0c46cea90ee2cbe3f4d28862c93aebb2ac983b7dbd5d5367f1f6"}]


@pytest.mark.parametrize(("more", "file"), [
    ({}, None), ({"keyed": ["api"]}, KEYS + "api"), ({"keyed": ["api"], "clients": True}, CLIENTS)])
def test_where_the_key_of_the_probe_is(tmp_path, more, file):
    wanted = wanted_of(fleet_plan("zigai"), tmp_path, probe_tokens=8, **more)
    assert {one["name"]: one["key_file"] for one in wanted["probe"]["services"]}["api"] == file


def test_each_probe_has_its_time(tmp_path):
    plan = fleet_plan("zigai")
    none, some = (wanted_of(plan, tmp_path, probe_tokens=tokens) for tokens in (0, 8))
    assert none["probe"]["services"] == [] and len(some["probe"]["services"]) > 0
    assert some["timeout_seconds"] == none["timeout_seconds"] + 30 * len(some["probe"]["services"])


@pytest.mark.parametrize("tokens", [-1, 257, 1.5, "8", True])
def test_a_wrong_length_of_the_probe_is_refused(tmp_path, tokens):
    with pytest.raises(ValueError, match="watch_probe_tokens is .*; it must be a whole number from 0"):
        wanted_of(fleet_plan("zigai"), tmp_path, probe_tokens=tokens)
