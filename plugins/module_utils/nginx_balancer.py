# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of a host that only balances: its nginx sends to the nginx of the hosts with engines.

How many requests such a host takes at a time comes from its plan where one was made in the same run, else from its
inventory alone, and so does what it serves.
"""

from __future__ import annotations

import ipaddress

from ansible_collections.inference.host.plugins.module_utils.checks import kind
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.nginx_plan import (
    longest_answer_seconds,
    slots,
    upstream_of,
)
from ansible_collections.inference.host.plugins.module_utils.placement import check_topology, usable_cores
from ansible_collections.inference.host.plugins.module_utils.services import check_policy, check_services


def plan_balancer(topology, hosts, policy=None):
    """Return the plan of a balancer: `nginx` as plan_nginx has it, and nothing else to be done.

    topology: of the balancer itself. hosts: list of {name, address, port, tls, queue, services: inference_services,
    plan: the host's plan or None}. policy: see POLICY_FIELDS in services.py. One worker a core, since nothing else runs
    here. Raises PlanError for what is wrong with one of the hosts.
    """
    check_topology(topology)
    policy = check_policy(policy)
    upstreams, services = {}, []
    for host in hosts:
        if host["tls"]:
            raise PlanError("%s: nginx_tls_certificate is set; behind a balancer a host answers in plain HTTP: set it "
                            "for the group inference_balancers alone." % host["name"])
        found = sorted(check_services(host["services"]), key=lambda service: -service["priority"])
        for service in found:
            add_host(upstreams, service, host)
        services += found
    return {
        "services": [{"name": name} for name in upstreams],
        "instances": [],
        "settings": [],
        "warnings": [],
        "nginx": {
            "balances": "hosts",
            "listen_port": policy["listen_port"],
            "workers": policy["workers"] or max(1, len(usable_cores(topology, False))),
            "cpus": [],
            "longest_answer_seconds": longest_answer_seconds(services),
            "upstreams": list(upstreams.values()),
        },
    }


def add_host(upstreams, service, host):
    """Add a host to the upstream of one of its services; `upstreams` is {service: upstream}."""
    wanted = dict(upstream_of(service), prefix="/" + service["name"])
    upstream = upstreams.setdefault(service["name"], dict(wanted, servers=[]))
    for key in ("health", "paths"):
        if upstream[key] != wanted[key]:
            raise PlanError("%s: the %s of service %s are not those of %s; hosts behind one balancer need the same." % (
                host["name"], key, service["name"], upstream["servers"][0]["host"]))
    upstream["servers"].append({"host": host["name"], "address": host["address"], "port": host["port"],
                                "max_conns": most_requests(service, host)})


def most_requests(service, host):
    """Return how many requests of the service the host takes at a time, 0 for no limit."""
    each = slots(service)
    if not each:
        return 0
    plan = host["plan"]
    if plan:
        (count,) = [len(upstream["servers"]) for upstream in plan["nginx"]["upstreams"]
                    if upstream["service"] == service["name"]]
    else:
        count = service["instances"]
    if not isinstance(count, int):
        raise PlanError("%s: service %s has instances %s, and how many that are is known only after its plan is made; "
                        "run the playbook for all hosts, or give a number." % (host["name"], service["name"], count))
    return count * (each + host["queue"])


def addresses(names, hostvars):
    """Return the addresses at which hosts reach each other, in the order of their names.

    hostvars: {name: variables}; `nginx_address` wins over `ansible_host`, and that over the name.
    """
    return [address_of(name, hostvars[name]) for name in names]


def address_of(name, variables):
    """Return the address at which other hosts reach this one."""
    return variables.get("nginx_address") or variables.get("ansible_host") or name


def numeric(names, hostvars):
    """Return addresses like `addresses`, and raise PlanError for one that is a name: who a client is cannot be told
    from a name."""
    found = addresses(names, hostvars)
    for name, address in zip(names, found):
        try:
            ipaddress.ip_address(str(address))
        except ValueError:
            raise PlanError("%s: nginx_address is %s; the hosts behind a balancer need its IP address, to tell it from "
                            "clients." % (name, kind(address))) from None
    return found


def hosts_behind(names, hostvars):
    """Return what plan_balancer takes of the hosts, from the variables of each."""
    found = []
    for name in names:
        variables = hostvars[name]
        found.append({
            "name": name,
            "address": address_of(name, variables),
            "port": variables.get("nginx_listen_port") or check_policy({})["listen_port"],
            "tls": bool(variables.get("nginx_tls_certificate")),
            "queue": variables.get("nginx_queue") or 0,
            "services": variables.get("inference_services") or [],
            "plan": variables.get("inference_plan"),
        })
    return found
