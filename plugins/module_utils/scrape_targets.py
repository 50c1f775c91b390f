# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Service discovery for a Prometheus (file_sd), from the plans of the hosts and their variables."""

from __future__ import annotations

import json

from ansible_collections.inference.host.plugins.module_utils.monitoring_endpoints import (
    PORTS,
    has_gpus,
    monitoring_endpoints,
)
from ansible_collections.inference.host.plugins.module_utils.nginx_balancer import address_of
from ansible_collections.inference.host.plugins.module_utils.nginx_settings import bracketed

JOBS = ("inference_node", "inference_nginx", "inference_engine", "inference_dcgm")


def scrape_targets(hosts):
    """Return {"targets": {job: [{targets, labels}]}, "notes": [sentence]} for all JOBS.

    hosts: list of {name, address, port, tls, dcgm, scrapers, ports, plan}; plan is None where none is known, and the
    host's engines are then left out and said. An entry has the one address of the host's monitoring server; its labels
    have host, job and of engines service, instance and runtime besides, and Prometheus' own __scheme__ and
    __metrics_path__.
    """
    targets, notes = {job: [] for job in JOBS}, []
    for host in sorted(hosts, key=lambda one: one["name"]):
        if host["plan"] is None:
            notes.append("%s: its engines are left out, since no plan of it is known; reach it in this run, or keep "
                         "one with playbooks/plan.yml." % host["name"])
        if not host["scrapers"]:
            notes.append("%s: monitoring_scrapers is empty, so it answers a Prometheus on itself alone."
                         % host["name"])
        # That it does not answer is what an alert is for.
        plan = host["plan"] or {"nginx": {"listen_port": None}, "instances": []}
        for endpoint in monitoring_endpoints(plan, host["ports"], host["dcgm"] and has_gpus(plan)):
            targets[endpoint["job"]].append(_target(host, endpoint))
    return {"targets": targets, "notes": notes}


def _target(host, endpoint):
    labels = {"host": host["name"], "job": endpoint["job"], "instance": endpoint["instance"] or host["name"],
              "__metrics_path__": endpoint["path"], "__scheme__": "https" if host["tls"] else "http"}
    labels.update((key, endpoint[key]) for key in ("service", "runtime") if endpoint[key])
    return {"targets": ["%s:%d" % (bracketed(str(host["address"])), host["port"])], "labels": labels}


def scraped_hosts(names, hostvars, plans=None):
    """Return what scrape_targets takes, from the variables of the hosts.

    plans: {name: text of plan.json} for those that were not planned in this run, "" where there is none. Raises
    ValueError for a text that is no JSON.
    """
    found = []
    for name in names:
        variables = hostvars[name]
        text = (plans or {}).get(name)
        found.append({
            "name": name,
            "address": address_of(name, variables),
            "port": variables.get("monitoring_port") or PORTS["monitoring_port"],
            "tls": bool(variables.get("nginx_tls_certificate")),
            "dcgm": bool(variables.get("monitoring_dcgm_source")),
            "scrapers": variables.get("monitoring_scrapers") or [],
            "ports": {key: variables.get(key) for key in PORTS},
            "plan": variables.get("inference_plan") or (_parsed(name, text) if text else None),
        })
    return found


def _parsed(name, text):
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError("The kept plan of %s is no JSON: %s." % (name, error)) from None


def targets_of(names, hostvars, plans=None):
    """Return scrape_targets of scraped_hosts."""
    return scrape_targets(scraped_hosts(names, hostvars, plans))
