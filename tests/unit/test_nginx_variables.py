"""The variables of role nginx: its defaults, its templates and the checks name the same ones with the same defaults."""

from pathlib import Path

import pytest
import yaml
from ansible_collections.inference.host.plugins.module_utils.nginx_fields import FIELDS

ROLE = Path(__file__).resolve().parents[2] / "roles/nginx"
DEFAULTS = yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8"))
WISHES = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))["__nginx_wishes"]
ELSEWHERE = {"nginx_package", "nginx_address", "nginx_clients", "nginx_listen_port", "nginx_workers"}
"""Of the role itself, of other hosts, secret, or the plan's."""


def test_each_field_reads_the_variable_of_its_name():
    assert WISHES == {name: "{{ nginx_%s }}" % name for name in FIELDS}


def test_each_variable_is_checked():
    assert set(DEFAULTS) == {"nginx_" + name for name in FIELDS} | ELSEWHERE


@pytest.mark.parametrize("name", FIELDS)
def test_the_roles_default_is_the_one_that_is_taken_unasked(name):
    default, (accepts, _allowed) = FIELDS[name]
    assert DEFAULTS["nginx_" + name] == default and type(DEFAULTS["nginx_" + name]) is type(default)
    assert default is None or accepts(default)
