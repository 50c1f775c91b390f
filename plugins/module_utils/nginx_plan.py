# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What nginx is to have of the plan: its workers, and an upstream for each service."""

from __future__ import annotations


def plan_nginx(instances, services, kept_cpus, kept_cores, policy):
    """One worker a housekeeping core, at least one, or as many as the user wants; one upstream a service. The first
    service also answers at /."""
    upstreams = [{
        "service": service["name"],
        "servers": [{"address": "127.0.0.1", "port": instance["port"], "max_conns": instance["parallel"]}
                    for instance in instances if instance["service"] == service["name"]],
    } for service in services]
    return {"listen_port": policy["listen_port"], "workers": policy["workers"] or max(1, kept_cores), "cpus": kept_cpus,
            "upstreams": upstreams}
