"""The plans of the reference fleets, from their inventories as Ansible loads them and their recorded hosts."""

from __future__ import annotations

import json

from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.manager import VariableManager
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from ansible_collections.inference.host.plugins.module_utils.recording import recorded
from ansible_collections.inference.host.plugins.module_utils.services import with_releases
from fleet_machines import HOSTS
from record_fleets import INVENTORIES, path_of

ROLE = INVENTORIES.parent / "roles" / "topology"


def topology(name):
    """Return the recorded topology of a host."""
    return recorded(path_of(name).read_text(encoding="utf-8"), path_of(name))["topology"]


def variable_files(name):
    """Return the files of further variables that the inventory of the host's fleet has, for -e @FILE."""
    return sorted(path for path in (INVENTORIES / HOSTS[name].fleet).glob("*.yml") if path.name != "hosts.yml")


def variables_of(name, *files, **extra):
    """Return all variables of a host with role topology's, still as templates; `files` are those given by -e @FILE."""
    loader = DataLoader()
    fleet = INVENTORIES / HOSTS[name].fleet
    inventory = InventoryManager(loader=loader, sources=[str(fleet / "hosts.yml")])
    manager = VariableManager(loader=loader, inventory=inventory)

    def read(path):
        return loader.load_from_file(str(path), trusted_as_template=True) or {}

    variables = read(ROLE / "defaults/main.yml")
    variables.update(manager.get_vars(host=inventory.get_host(name)))
    variables.update(read(ROLE / "vars/main.yml"))
    for file in files:
        variables.update(read(fleet / file))
    return Templar(loader=loader, variables=dict(variables, **extra))


def template(templar, text):
    """Return an expression's value without Ansible's tags."""
    return json.loads(json.dumps(templar.template(templar.available_variables[text])))


def fleet_plan(name, *files, **extra):
    """Return the plan of one host, as playbooks/plan.yml makes it; `extra` are further variables."""
    templar = variables_of(name, *files, **extra)
    assert template(templar, "topology_recorded") == str(path_of(name))
    host = recorded(path_of(name).read_text(encoding="utf-8"), path_of(name))
    services = with_releases(template(templar, "inference_services"), host["models"])
    return make_plan(host["topology"], services, template(templar, "__topology_policy"))
