# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the user may say in `inference_services` and in the policy: allowed keys, types and ranges, defaults.

Ansible's argument specs neither convert types nor fill defaults, so a wrong value is refused here, before anything
changes.
"""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils.checks import (
    REQUIRED,
    check_fields,
    either,
    integer,
    kind,
    mapping,
    matching,
    one_line,
    one_of,
    suggestion,
    yes_or_no,
)
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.service_models import check_model, filled_from_release

RUNTIMES = ("llama_cpp", "vllm", "whisper", "command")
CACHE_TYPES = ("f16", "bf16", "q8_0", "q4_0")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

# What a profile stands for; a key that the service sets itself wins. The numbers are those of a deployment that serves
# a retrieval (RAG) application on one 8 GB card; the application reads its own three from the environment.
PROFILES = {
    "speed": {"context": 2048, "batch": 1024, "temperature": "0.1", "rag_k": "3", "max_context": "2000"},
    "balanced": {"context": 4096, "batch": 512, "temperature": "0.2", "rag_k": "5", "max_context": "4000"},
    "quality": {"context": 8192, "batch": 256, "temperature": "0.3", "rag_k": "8", "max_context": "6000"},
}


def fraction(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1


def variables_map(value):
    return isinstance(value, dict) and all(
        isinstance(name, str) and VARIABLE.match(name) and one_line(text) for name, text in value.items())


def text_list(value):
    return isinstance(value, list) and all(one_line(part) for part in value)


POSITIVE = integer(1, 1 << 20)
PORT = integer(1, 65535)

SERVICE_FIELDS = {
    "name": (REQUIRED, matching(NAME, "lower-case letters, digits, '-' and '_', at most 32")),
    "runtime": (REQUIRED, one_of(*RUNTIMES)),
    "model": (REQUIRED, mapping("a mapping with a name")),
    "instances": (1, either(integer(1, 1024), "per_numa_node", "per_gpu")),
    "threads": (None, integer(1, 4096)),
    "threads_batch": (None, integer(1, 4096)),
    "cpu_share": (None, (fraction, "a number above 0 and at most 1")),
    "numa": ("auto", either(integer(0, 1023), "auto", "interleave", "off")),
    "gpus": (None, integer(0, 64)),
    "gpu_layers": ("auto", either(integer(0, 4096), "auto")),
    "gpu_memory_mib": (None, POSITIVE),
    "hugepages_mib": (0, integer(0, 1 << 24)),
    "port": (None, PORT),
    "profile": (None, one_of(*PROFILES)),
    "context": (None, integer(128, 1 << 22)),
    "parallel": (1, integer(1, 256)),
    "batch": (None, POSITIVE),
    "ubatch": (None, POSITIVE),
    "cache_type": ("f16", one_of(*CACHE_TYPES)),
    "cache_ram_mib": (None, integer(0, 1 << 20)),
    "nice": (0, integer(-20, 19)),
    "io": (None, mapping("a mapping with class and priority")),
    "priority": (0, integer(-1000, 1000)),
    "environment": ({}, (variables_map, "a mapping of names (letters, digits and '_') to texts of one line")),
    "arguments": ([], (text_list, "a list of texts of one line")),
}

IO_FIELDS = {
    "class": (REQUIRED, one_of("realtime", "best-effort", "idle")),
    "priority": (4, integer(0, 7)),
}

POLICY_FIELDS = {
    "housekeeping_cores": (None, integer(0, 4096)),
    "smt": (False, yes_or_no()),
    "memory_headroom_mib": (1024, integer(0, 1 << 30)),
    "gpu_headroom_mib": (1024, integer(0, 1 << 20)),
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
    "first_port": "topology_first_port",
    "listen_port": "nginx_listen_port",
    "workers": "nginx_workers",
}

# llama.cpp's names of what engine.py renders from the plan: a second one would contradict it.
PLANNED_OPTIONS = frozenset(
    "--host --port --model -m --alias -a --threads -t --threads-batch -tb --ctx-size -c --parallel -np --batch-size"
    " -b --ubatch-size -ub --cache-type-k -ctk --cache-type-v -ctv --cache-ram -cram --numa --cpu-mask -C"
    " --cpu-range -Cr --cpu-mask-batch -Cb --cpu-range-batch -Crb --cpu-strict --hf-repo -hf --model-url -mu --swa-full"
    " --kv-unified --gpu-layers --n-gpu-layers -ngl --api-key --api-key-file".split())


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
        check_model(where, service, models)
        if service["io"] is not None:
            service["io"] = check_fields(where + ".io", service["io"], IO_FIELDS)
        check_gpus(where, service)
        fill_sizes(where, service)
        for word in service["arguments"] if service["runtime"] == "llama_cpp" else ():
            if word.split("=")[0] in PLANNED_OPTIONS:
                raise PlanError("%s.arguments has %s; the plan sets that, use the service's own key for it." % (
                    where, word))
        checked.append(service)
    return checked


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
    wins.
    """
    found = {release["name"]: release for release in releases}
    services = check_services(services)
    for service in services:
        filled_from_release(service["model"], found.get(service["model"]["name"], {}))
    return services


def check_keys(services, keys):
    """Raise PlanError for a key of a service that is not there, or one that is not a line of text. Shows no key."""
    names = [service["name"] for service in services]
    for name, value in keys.items():
        if name not in names:
            raise PlanError("service_api_keys has a key for %s, which is no service; %s" % (
                kind(name), suggestion(name, names)))
        if not one_line(value) or not value.strip():
            raise PlanError("service_api_keys.%s is not fit for a key; it must be one line of text." % name)


def check_policy(policy):
    """Return the policy completed with defaults; a key that is null means that the plan chooses."""
    return check_fields("policy", {} if policy is None else policy, POLICY_FIELDS, POLICY_VARIABLES)
