# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may ask nginx, and how often: clients' keys and the zones that count for each client."""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils.checks import check_fields, kind, suggestion
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.nginx_fields import ENGINE_KEY, KEY, LIMIT_FIELDS, NAME


def check_clients(clients, limits):
    """Raise PlanError for names, keys and limits that are not allowed, or a key that two clients have. Shows no key."""
    if not isinstance(clients, dict):
        raise PlanError("nginx_clients is %s; it must be a mapping of clients to their keys." % kind(clients))
    owners = {}
    for name, key in clients.items():
        if not isinstance(name, str) or not NAME.match(name):
            raise PlanError("nginx_clients has a client %s; a name must be lower-case letters, digits, '-' and '_', at "
                            "most 32." % kind(name))
        if not isinstance(key, str) or not KEY.match(key):
            raise PlanError("nginx_clients.%s is not fit for a key; it must be 16 to 512 letters, digits and any of "
                            "._~+/-, with = only at its end." % name)
        if key in owners:
            raise PlanError("nginx_clients: %s and %s have the same key; give each its own." % (owners[key], name))
        owners[key] = name
    for name in limits:
        if name not in clients:
            raise PlanError("nginx_client_limits has %s, which is no client; %s" % (
                kind(name), suggestion(name, clients) if clients else "nginx_clients has none."))


def check_engine_keys(keys, wish="nginx_clients asks for"):
    """Raise PlanError for an engine's key that nginx could not present, since `$` begins a variable. Shows no key.

    wish: what has nginx present it.
    """
    for service, key in keys.items():
        if not isinstance(key, str) or not ENGINE_KEY.match(key):
            raise PlanError("service_api_keys.%s cannot be presented by nginx, as %s; it must be letters, digits and "
                            "any of ._~+/-, with = only at its end." % (service, wish))


def client_settings(clients, wishes):
    """Return {with_clients, client_map, rates, connection_limits} of checked clients.

    client_map: the lines of a map from keys to names. Its patterns are regular expressions, since a map of plain texts
    would not tell upper from lower case. rates: [{zone, variable, owner, per_minute, burst}] and connection_limits:
    [{zone, variable, owner, count}], the one of everybody else (owner None) first.
    """
    limits = {name: check_fields("nginx_client_limits.%s" % name, limit, LIMIT_FIELDS)
              for name, limit in wishes["client_limits"].items()}
    rates = [{"owner": None, "per_minute": wishes["rate_per_minute"], "burst": wishes["rate_burst"]}]
    counts = [{"owner": None, "count": wishes["connections_per_client"]}]
    for name in clients:
        limit = limits.get(name, {})
        if limit.get("rate_per_minute"):
            burst = wishes["rate_burst"] if limit["rate_burst"] is None else limit["rate_burst"]
            rates.append({"owner": name, "per_minute": limit["rate_per_minute"], "burst": burst})
        if limit.get("connections"):
            counts.append({"owner": name, "count": limit["connections"]})
    return {
        "with_clients": bool(clients),
        "client_map": ['"~^%s$" %s;' % (re.escape(key), name) for name, key in clients.items()],
        "rates": _zones("rate", [rate for rate in rates if rate["per_minute"]]),
        "connection_limits": _zones("connections", [count for count in counts if count["count"]]),
    }


def _zones(what, limits):
    """Give each limit its zone and the variable that it counts by; what has a zone of its own is not counted twice."""
    owners = [limit["owner"] for limit in limits if limit["owner"]]
    named = []
    for number, limit in enumerate(limits):
        zone = "inference_%s_%d" % (what, number)
        named.append(dict(limit, zone=zone, variable="$" + zone, others=owners if limit["owner"] is None else []))
    return named
