# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a user may write in `inference_services` and in the policy: checked by name, completed with defaults.

`argument_specs` neither converts types nor fills defaults, so a wrong value is refused here, before anything changes.
"""

from __future__ import annotations

import difflib
import re

from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.release import NAME as FILE_NAME
from ansible_collections.inference.host.plugins.module_utils.release import SHA256

RUNTIMES = ("llama_cpp",)
CACHE_TYPES = ("f16", "bf16", "q8_0", "q4_0")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def integer(low, high):
    """A check for a whole number in [low, high]; neither `true` nor the text "8" is one."""

    def check(value):
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return check, "a whole number from %d to %d" % (low, high)


def fraction(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1


def one_line(value):
    """Unit files hold neither control characters nor texts of several lines."""
    return isinstance(value, str) and not any(ord(letter) < 32 for letter in value)


def variables_map(value):
    return isinstance(value, dict) and all(
        isinstance(name, str) and VARIABLE.match(name) and one_line(text) for name, text in value.items())


def text_list(value):
    return isinstance(value, list) and all(one_line(part) for part in value)


def one_of(*allowed):
    return (lambda value: isinstance(value, str) and value in allowed), "one of " + ", ".join(allowed)


def matching(pattern, words):
    return (lambda value: isinstance(value, str) and pattern.match(value) is not None), words


def numa(value):
    return (isinstance(value, str) and value in ("auto", "interleave", "off")) or integer(0, 1023)[0](value)


POSITIVE = integer(1, 1 << 20)
PORT = integer(1, 65535)
TEXT = (lambda value: isinstance(value, str) and value != ""), "a text that is not empty"

# field: (default, (check, what is allowed)); REQUIRED and None stand for themselves, None means "the plan chooses".
REQUIRED = object()

SERVICE_FIELDS = {
    "name": (REQUIRED, matching(NAME, "lower-case letters, digits, '-' and '_', at most 32")),
    "runtime": (REQUIRED, one_of(*RUNTIMES)),
    "model": (REQUIRED, ((lambda value: isinstance(value, dict)), "a mapping with name, source and sha256")),
    "instances": (1, integer(1, 1024)),
    "threads": (None, integer(1, 4096)),
    "threads_batch": (None, integer(1, 4096)),
    "cpu_share": (None, (fraction, "a number above 0 and at most 1")),
    "numa": ("auto", (numa, "auto, interleave, off or the number of a NUMA node")),
    "port": (None, PORT),
    "context": (4096, integer(128, 1 << 22)),
    "parallel": (1, integer(1, 256)),
    "batch": (2048, POSITIVE),
    "ubatch": (None, POSITIVE),
    "cache_type": ("f16", one_of(*CACHE_TYPES)),
    "cache_ram_mib": (1024, integer(0, 1 << 20)),
    "nice": (0, integer(-20, 19)),
    "priority": (0, integer(-1000, 1000)),
    "environment": ({}, (variables_map, "a mapping of names (letters, digits and '_') to texts of one line")),
    "arguments": ([], (text_list, "a list of texts of one line")),
}

MODEL_FIELDS = {
    "name": (REQUIRED, matching(FILE_NAME, "letters, digits, '.', '_' and '-'")),
    "source": (REQUIRED, TEXT),
    "sha256": (REQUIRED, matching(SHA256, "64 hexadecimal digits in lower case")),
    "filename": (None, matching(FILE_NAME, "a file name without folders")),
    "weights_mib": (None, POSITIVE),
    "kv_bytes_per_token": (None, integer(1, 1 << 30)),
}

POLICY_FIELDS = {
    "housekeeping_cores": (None, integer(0, 4096)),
    "memory_headroom_mib": (1024, integer(0, 1 << 30)),
    "first_port": (18080, PORT),
    "listen_port": (8080, PORT),
    "settings": ({}, ((lambda value: isinstance(value, dict)), "a mapping of setting names to values")),
}

POLICY_VARIABLES = {
    "housekeeping_cores": "topology_housekeeping_cores",
    "memory_headroom_mib": "topology_memory_headroom_mib",
    "first_port": "topology_first_port",
    "listen_port": "nginx_listen_port",
}

# llama.cpp's names of what engine.py renders from the plan: a second one would contradict it.
PLANNED_OPTIONS = frozenset(
    "--host --port --model -m --alias -a --threads -t --threads-batch -tb --ctx-size -c --parallel -np --batch-size -b"
    " --ubatch-size -ub --cache-type-k -ctk --cache-type-v -ctv --cache-ram -cram --numa --cpu-mask -C --cpu-range -Cr"
    " --cpu-strict --api-key --api-key-file".split())


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
        service["model"] = check_fields(where + ".model", service["model"], MODEL_FIELDS)
        first = models.setdefault(service["model"]["name"], service["model"])
        if first["sha256"] != service["model"]["sha256"]:
            raise PlanError(
                "%s.model.name: '%s' stands for two files with different sha256; give each its own name."
                % (where, first["name"])
            )
        if service["ubatch"] is None:
            service["ubatch"] = min(512, service["batch"])
        if service["ubatch"] > service["batch"]:
            raise PlanError(
                "%s.ubatch is %d; it must be at most batch (%d)." % (where, service["ubatch"], service["batch"])
            )
        for word in service["arguments"]:
            if word.split("=")[0] in PLANNED_OPTIONS:
                raise PlanError("%s.arguments has %s; the plan sets that, use the service's own key for it." % (
                    where, word))
        checked.append(service)
    return checked


def with_sizes(services, releases):
    """Return checked services whose models have `weights_mib` filled in from what was found of their files.

    `releases`: results of module model_release, each {name, size_bytes or None}; the user's own number wins.
    """
    sizes = {release["name"]: -(-release["size_bytes"] // (1 << 20)) for release in releases if release["size_bytes"]}
    services = check_services(services)
    for service in services:
        model = service["model"]
        model["weights_mib"] = model["weights_mib"] or sizes.get(model["name"])
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


def check_fields(where, given, fields, variables=None):
    """Check one mapping against its table of fields and return it complete.

    `variables` names the user's own variable where it is not `where.key`.
    """
    if not isinstance(given, dict):
        raise PlanError("%s is %s; it must be a mapping." % (where, kind(given)))
    for key in given:
        if key not in fields:
            raise PlanError("%s.%s is not known; %s" % (where, key, suggestion(key, fields)))
    complete = {}
    for key, (default, (accepts, allowed)) in fields.items():
        value = given.get(key)
        variable = (variables or {}).get(key, "%s.%s" % (where, key))
        if value is None:
            if default is REQUIRED:
                raise PlanError("%s is missing; it must be %s." % (variable, allowed))
            value = default.copy() if isinstance(default, (dict, list)) else default
        elif not accepts(value):
            raise PlanError("%s is %s; it must be %s." % (variable, kind(value), allowed))
        complete[key] = value
    return complete


def suggestion(key, known):
    close = difflib.get_close_matches(str(key), known, n=1)
    return "did you mean %s?" % close[0] if close else "allowed are %s." % ", ".join(sorted(known))


def kind(value):
    """The value as an error message shows it: texts in quotes, so that "8" is seen to be no number. What a mapping or
    a list holds is not shown, since it may hold secrets."""
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    shown = repr(str(value)) if isinstance(value, str) else str(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
