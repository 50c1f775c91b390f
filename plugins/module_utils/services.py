# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the user may say in `inference_services` and in the policy: allowed keys, types and ranges, defaults.

Ansible's argument specs neither convert types nor fill defaults, so a wrong value is refused here, before anything
changes.
"""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.checks import (
    check_fields,
    integer,
    kind,
    mapping,
    one_line,
    one_of,
    suggestion,
    yes_or_no,
)
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.service_fields import (
    IO_FIELDS,
    MAX_DELAY_SECONDS,
    PORT,
    PROFILES,
    RESTART_FIELDS,
    SCHEDULING_FIELDS,
    SERVICE_FIELDS,
)
from ansible_collections.inference.host.plugins.module_utils.service_models import check_model, filled_from_release
from ansible_collections.inference.host.plugins.module_utils.service_runtimes import (
    TAKE_A_KEY,
    check_runtime,
    fill_model,
)

POLICY_FIELDS = {
    "housekeeping_cores": (None, integer(0, 4096)),
    "smt": (False, yes_or_no()),
    "memory_headroom_mib": (1024, integer(0, 1 << 30)),
    "gpu_headroom_mib": (1024, integer(0, 1 << 20)),
    "gpu_display_mib": (512, integer(0, 1 << 20)),
    "gpu_ids": ("index", one_of("index", "uuid")),
    "first_port": (18080, PORT),
    "listen_port": (8080, PORT),
    "workers": (None, integer(1, 4096)),
    "settings": ({}, mapping("a mapping of setting names to values")),
}

POLICY_VARIABLES = {
    "housekeeping_cores": "topology_housekeeping_cores",
    "smt": "topology_smt",
    "memory_headroom_mib": "topology_memory_headroom_mib",
    "gpu_headroom_mib": "topology_gpu_headroom_mib",
    "gpu_display_mib": "topology_gpu_display_mib",
    "gpu_ids": "topology_gpu_ids",
    "first_port": "topology_first_port",
    "listen_port": "nginx_listen_port",
    "workers": "nginx_workers",
}


def check_services(services):
    """Return `services` completed with defaults, in the order given.

    Raises PlanError for a value of the wrong type or out of range, an unknown key, a name that is used twice, or one
    model name that stands for two different files.
    """
    if not isinstance(services, list):
        raise PlanError("inference_services is %s; it must be a list of services." % kind(services))
    checked, models = [], {}
    for index, service in enumerate(services):
        where = "inference_services[%d]" % index
        service = check_fields(where, service, SERVICE_FIELDS)
        where = "%s (%s)" % (where, service["name"])
        if any(other["name"] == service["name"] for other in checked):
            raise PlanError("%s.name: '%s' is used twice; each service needs a name of its own." % (
                where, service["name"]))
        fill_model(where, service)
        check_model(where, service, models)
        check_process(where, service)
        check_gpus(where, service)
        fill_sizes(where, service)
        check_runtime(where, service)
        checked.append(service)
    return checked


def check_process(where, service):
    """Complete what the service says of its processes: io, scheduling and restart."""
    if service["io"] is not None:
        service["io"] = check_fields(where + ".io", service["io"], IO_FIELDS)
    if service["scheduling"] is not None:
        scheduling = service["scheduling"] = check_fields(
            where + ".scheduling", service["scheduling"], SCHEDULING_FIELDS)
        real_time = scheduling["policy"] in ("fifo", "rr")
        if real_time != (scheduling["priority"] is not None):
            raise PlanError("%s.scheduling.priority is %s and its policy is %s; %s." % (
                where, scheduling["priority"], scheduling["policy"],
                "give a priority from 1 to 99" if real_time else "only fifo and rr have a priority"))
    restart = service["restart"] = check_fields(where + ".restart", service["restart"], RESTART_FIELDS)
    if restart["max_delay_seconds"] is None:
        restart["max_delay_seconds"] = max(MAX_DELAY_SECONDS, restart["delay_seconds"])
    if restart["max_delay_seconds"] < restart["delay_seconds"]:
        raise PlanError("%s.restart.max_delay_seconds is %d; it must be at least delay_seconds (%d)." % (
            where, restart["max_delay_seconds"], restart["delay_seconds"]))


def check_gpus(where, service):
    """Fill in how many GPUs each instance has: one where there is one instance a GPU, else none."""
    per_gpu = service["instances"] == "per_gpu"
    if service["gpus"] is None:
        service["gpus"] = 1 if per_gpu else 0
    if per_gpu and not service["gpus"]:
        raise PlanError("%s.gpus is 0 and instances is per_gpu; gpus must be at least 1." % where)
    for key, default in (("gpu_layers", "auto"), ("gpu_memory_mib", None)):
        if service[key] != default and not service["gpus"]:
            raise PlanError("%s.%s is %s and gpus is 0; say how many gpus each instance has." % (
                where, key, service[key]))
    if service["instances"] == "per_numa_node" and service["numa"] != "auto":
        raise PlanError("%s.numa is %s and instances is per_numa_node; leave numa at auto." % (where, service["numa"]))


def fill_sizes(where, service):
    """Fill in context, batches and prompt cache: what the service says, else its profile, else the default."""
    profile = PROFILES.get(service["profile"], {})
    service["context"] = service["context"] or profile.get("context", 4096)
    if service["batch"] is None:
        service["batch"] = max(service["ubatch"] or 0, profile.get("batch", 2048))
    if service["ubatch"] is None:
        service["ubatch"] = min(512, service["batch"])
    if service["ubatch"] > service["batch"]:
        raise PlanError("%s.ubatch is %d; it must be at most batch (%d)." % (
            where, service["ubatch"], service["batch"]))
    if service["cache_ram_mib"] is None:
        service["cache_ram_mib"] = 1024 if service["runtime"] == "llama_cpp" else 0


def with_releases(services, releases):
    """Return checked services whose models have `weights_mib` and `header` filled in from what their files hold.

    `releases`: results of module model_release, each {name, size_bytes or None, facts or None}; what the user wrote
    wins. Sizes that the user leaves to the plan stay null, so that it can tell them.
    """
    found = {release["name"]: release for release in releases}
    wishes, services = services, check_services(services)
    for wish, service in zip(wishes, services):
        service.update({key: wish.get(key) for key in ("context", "batch", "ubatch")})
        filled_from_release(service["model"], found.get(service["model"]["name"], {}))
    return services


def check_keys(services, keys):
    """Raise PlanError for a key of a service that is not there or cannot keep it, or one that is not a line of text.

    Shows no key. Only llama.cpp reads its key from a file; from a command line or environment others would read it.
    """
    runtimes = {service["name"]: service["runtime"] for service in services}
    for name, value in keys.items():
        if name not in runtimes:
            raise PlanError("service_api_keys has a key for %s, which is no service; %s" % (
                kind(name), suggestion(name, list(runtimes))))
        if runtimes[name] not in TAKE_A_KEY:
            raise PlanError("service_api_keys has a key for %s, whose runtime %s takes none that stays secret; leave "
                            "it out and set nginx_clients, so that nginx asks for keys in front." % (
                                name, runtimes[name]))
        if not one_line(value) or not value.strip():
            raise PlanError("service_api_keys.%s is not fit for a key; it must be one line of text." % name)


def check_policy(policy):
    """Return the policy completed with defaults; a key that is null means that the plan chooses."""
    return check_fields("policy", {} if policy is None else policy, POLICY_FIELDS, POLICY_VARIABLES)
