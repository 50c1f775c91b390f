# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the instances get when all have their places: ports, environment, command and configuration."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.environment import (
    filled,
    filled_config,
    instance_environment,
)
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError

FOLDER = "/etc/inference.host"


def finish(placed, services, policy, gpu_host=False, uuids=None):
    """Complete the instances. placed: (instance, its GPUs) pairs, service by service. gpu_host: the host has GPUs.
    uuids: {address: UUID or None} where GPUs are to be named by it."""
    give_ports([instance for instance, _gpus in placed], services, policy)
    by_name = {service["name"]: service for service in services}
    for instance, gpus in placed:
        service = by_name[instance["service"]]
        instance["environment_file"] = "%s/environment/%s.env" % (FOLDER, instance["name"])
        wanted = service["config"] is not None
        instance["config_file"] = "%s/config/%s.json" % (FOLDER, instance["name"]) if wanted else None
        instance["environment"] = instance_environment(instance, service, gpus, gpu_host, uuids)
        instance["arguments"] = [filled(word, instance) for word in service["arguments"]]
        instance["command"] = [filled(word, instance) for word in service["command"] or []]
        instance["config"] = filled_config(service["config"], instance)


def give_ports(instances, services, policy):
    """Set each instance's port: the service's own port counting up, else the next free one from `first_port`.

    Raises PlanError when two instances, or an instance and nginx, would listen on the same port.
    """
    own = {service["name"]: service["port"] for service in services if service["port"]}
    taken = {policy["listen_port"]: "nginx (nginx_listen_port)"}

    def give(instance, port, reason):
        if port > 65535:
            raise PlanError("%s: port is %d; ports end at 65535." % (instance["name"], port))
        if port in taken:
            raise PlanError("%s: port %d is already used by %s; give one of them another port." % (
                instance["name"], port, taken[port]))
        taken[port] = instance["name"]
        instance["port"] = port
        instance["reasons"]["port"] = reason

    for instance in instances:
        if instance["service"] in own:
            give(instance, own[instance["service"]] + instance["index"], "port was set by the user")
    port = policy["first_port"]
    for instance in instances:
        if instance["service"] not in own:
            while port in taken:
                port += 1
            give(instance, port, "next free port from topology_first_port")
