# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host shows to a Prometheus: a path of its one monitoring server for each exporter and each engine."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.checks import integer, kind
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.nginx_clients import check_engine_keys

PORTS = {"monitoring_port": 9180, "monitoring_node_port": 9100, "monitoring_nginx_port": 9113,
         "monitoring_dcgm_port": 9400}
"""Where the server and the exporters listen, as role monitoring's defaults say; the exporters at loopback alone."""
WITH_METRICS = ("llama_cpp", "vllm")
"""Runtimes whose engines have metrics of their own, at /metrics; of other programs nothing is known."""


def monitoring_endpoints(plan, ports=None, dcgm=False, keys=None):
    """Return [{path, port, job, service, instance, runtime}]: what nginx hands out, and from which loopback port.

    plan: of a host with engines. ports: {variable: port} as PORTS, which is the default. dcgm: whether its GPUs have an
    exporter. keys: {service: its key}, which nginx presents. service, instance and runtime are None where it is none of
    an engine. Raises PlanError for a port that is none, or is taken, and a key that nginx cannot present.
    """
    ports = {name: PORTS[name] if (ports or {}).get(name) is None else ports[name] for name in PORTS}
    check_ports(plan, ports, dcgm)
    check_engine_keys(keys or {}, "its metrics need")
    jobs = ["node", "nginx"] + (["dcgm"] if dcgm else [])
    found = [{"path": "/" + job, "port": ports["monitoring_%s_port" % job], "job": "inference_" + job, "service": None,
              "instance": None, "runtime": None} for job in jobs]
    return found + [
        {"path": "/engine/" + one["name"], "port": one["port"], "job": "inference_engine", "service": one["service"],
         "instance": one["name"], "runtime": one["runtime"]}
        for one in plan["instances"] if one["runtime"] in WITH_METRICS]


def check_ports(plan, ports, dcgm):
    """Raise PlanError where two would listen on one port."""
    accepts, allowed = integer(1, 65535)
    taken = {plan["nginx"]["listen_port"]: "nginx_listen_port"}
    taken.update((one["port"], "instance %s" % one["name"]) for one in plan["instances"])
    for name, port in ports.items():
        if not accepts(port):
            raise PlanError("%s is %s; it must be %s." % (name, kind(port), allowed))
        if name == "monitoring_dcgm_port" and not dcgm:
            continue
        if port in taken:
            raise PlanError("%s is %d, which is the port of %s; give it another." % (name, port, taken[port]))
        taken[port] = name


def has_gpus(plan):
    """Tell whether the plan gives GPUs to an instance."""
    return any(one["gpus"] for one in plan["instances"])
