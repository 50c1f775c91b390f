"""The variables of the roles: defaults, argument specs and the settings of the plan name the same ones."""

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.inference.host.plugins.module_utils.services import (
    POLICY_FIELDS,
    POLICY_VARIABLES,
    check_policy,
)
from ansible_collections.inference.host.plugins.module_utils.settings import WISHES

ROLES = Path(__file__).resolve().parents[2] / "roles"
ROLE_NAMES = sorted(path.name for path in ROLES.iterdir() if path.is_dir())
SETTING_ROLES = sorted({name.split("_")[0] for name in WISHES})


def read(role, path):
    return yaml.safe_load((ROLES / role / path).read_text())


def defaults_of(role):
    return read(role, "defaults/main.yml")


def spec_options(role):
    """Yield (entry point, name, option) of every option that the role's argument spec names."""
    for entry_point, spec in read(role, "meta/argument_specs.yml")["argument_specs"].items():
        for name, option in (spec.get("options") or {}).items():
            yield entry_point, name, option


def is_template(value):
    return isinstance(value, str) and "{{" in value


def wrong_default(defaults, name, option):
    """Return in words what an option's spec says otherwise than defaults/main.yml, or None."""
    if name not in defaults:
        return None if option.get("required") is True else "has no default, so it must be 'required: true'"
    if option.get("required"):
        return "has a default, so it must not be required"
    value = defaults[name]
    if is_template(value):
        return None
    stated = option.get("default")
    # 1 == True in Python, not for a reader.
    if (type(stated), stated) != (type(value), value):
        return f"says default {stated!r}, defaults/main.yml says {value!r}"
    return None


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_every_default_is_specified(role):
    specified = {name for _entry_point, name, _option in spec_options(role)}
    assert sorted(set(defaults_of(role)) - specified) == []


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_spec_and_defaults_agree(role):
    defaults = defaults_of(role)
    found = [(point, name, wrong_default(defaults, name, option)) for point, name, option in spec_options(role)]
    assert [f"{point}: {name} {problem}" for point, name, problem in found if problem] == []


def test_the_plan_takes_every_variable_of_the_roles_that_apply_settings():
    variables = {name for role in SETTING_ROLES for name in defaults_of(role)}
    assert variables == set(WISHES)


def test_a_setting_that_nobody_wished_for_is_left_to_the_plan():
    assert [v for role in SETTING_ROLES for v in defaults_of(role).values() if v is not None] == []


def test_role_topology_hands_every_setting_to_the_plan_under_its_own_name():
    settings = read("topology", "vars/main.yml")["__topology_policy"]["settings"]
    assert settings == {name: "{{ %s | default(none) }}" % name for name in WISHES}


def test_each_key_of_the_policy_reads_the_variable_that_errors_name():
    policy = read("topology", "vars/main.yml")["__topology_policy"]
    assert set(policy) == set(POLICY_FIELDS)
    named = {key: re.findall(r"{{ (\w+)", text) for key, text in policy.items() if key != "settings"}
    assert named == {key: [variable] for key, variable in POLICY_VARIABLES.items()}


def test_each_variable_of_the_policy_is_one_of_a_role():
    variables = {name for role in ROLE_NAMES for name in defaults_of(role)}
    assert set(POLICY_VARIABLES.values()) - variables == set()


def test_the_policy_has_every_variable_of_role_topology_but_what_it_reads_and_writes():
    others = set(defaults_of("topology")) - set(POLICY_VARIABLES.values())
    assert others == {"topology_recorded", "topology_output", "topology_record", "topology_gpu_copy_check"}


@pytest.mark.parametrize(("key", "variable"), sorted(POLICY_VARIABLES.items()))
def test_what_a_role_leaves_as_it_is_is_what_the_plan_takes_unasked(key, variable):
    (default,) = [values[variable] for values in map(defaults_of, ROLE_NAMES) if variable in values]
    assert check_policy({key: default}) == check_policy({})
