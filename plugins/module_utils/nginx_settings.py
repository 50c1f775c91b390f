# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""All numbers and lists of nginx's configuration, from the plan and what the user says; the template only sets them."""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils.checks import check_fields, kind
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.nginx_clients import (
    check_clients,
    check_engine_keys,
    client_settings,
)
from ansible_collections.inference.host.plugins.module_utils.nginx_fields import FIELDS, STATIC_FIELDS

VARIABLES = {name: "nginx_" + name for name in FIELDS}
FILES_MARGIN = 512
"""Open files of a worker that are no connections: listening sockets, logs, request bodies on the disk."""
SHARED_KEEPALIVE = 32
"""Idle connections of a worker to servers of which is not known how many requests they take at a time."""
ENGINE_IDLE_SECONDS = 4
"""The HTTP servers of llama.cpp, whisper.cpp (cpp-httplib) and vLLM (uvicorn) close a connection after 5 idle seconds;
who asks on one at that moment gets no answer, so nginx closes it first."""
HOST_IDLE_SECONDS = 60
EVENT_STREAM = "text/event-stream"


def nginx_settings(plan, wishes, clients=None, engine_keys=None, host="", balancers=()):
    """Return what template nginx.conf.j2 sets.

    plan: the plan's `nginx`. wishes: what the user says, {name: value}, as nginx_fields.py lists it. clients: {client:
    key}. engine_keys: {service: key}, which nginx presents to engines where clients have keys of their own. host: the
    host's name. balancers: addresses of the balancers in front of it. Raises PlanError for what is wrong or contradicts
    the rest.
    """
    wishes = check_fields("nginx", wishes, FIELDS, VARIABLES)
    check_clients(clients or {}, wishes["client_limits"])
    if clients:
        check_engine_keys(engine_keys or {})
    check_tls(wishes)
    check_gzip(wishes)
    settings = dict(wishes, **files_and_connections(plan, wishes))
    settings.update(times(plan, wishes))
    settings.update(client_settings(clients or {}, wishes))
    settings["static"] = static_folders(plan, wishes["static"])
    settings["upstreams"] = upstreams(plan, wishes, bool(clients), engine_keys or {})
    # The first service also answers without its name. Last, for its paths may be all there are.
    settings["locations"] = locations(settings["upstreams"])
    settings.update({
        "balances": plan["balances"],
        "instances": [{"service": upstream["service"], "index": server["index"], "unit": server["unit"]}
                      for upstream in plan["upstreams"] for server in upstream["servers"]
                      if plan["balances"] == "instances"],
        "listen_port": plan["listen_port"],
        "workers": plan["workers"],
        "cpu_mask": cpu_mask(plan["cpus"]) if wishes["cpu_affinity"] else None,
        "tls": wishes["tls_certificate"] is not None,
        "host": host,
        "trusted_proxies": wishes["trusted_proxies"] or list(balancers),
    })
    check_ports(settings)
    return settings


def files_and_connections(plan, wishes):
    """Return worker_connections and open_files, which agree.

    A request has two connections, the client's and the server's, and either may have a file beside it.
    """
    connections = wishes["worker_connections"]
    least = 2 * connections + FILES_MARGIN
    files = wishes["open_files"] or least
    if files < least:
        raise PlanError("nginx_open_files is %d and nginx_worker_connections %d; it must be at least %d (two for each "
                        "connection, and %d), or null." % (files, connections, least, FILES_MARGIN))
    if files > 1 << 20:
        raise PlanError("nginx_worker_connections is %d, which needs %d open files; the kernel allows a process %d "
                        "(fs.nr_open): at most %d connections." % (
                            connections, files, 1 << 20, ((1 << 20) - FILES_MARGIN) // 2))
    slots = sum(server["max_conns"] for upstream in plan["upstreams"] for server in upstream["servers"])
    if 2 * slots > plan["workers"] * connections:
        raise PlanError("nginx_worker_connections is %d: %d worker(s) with so many cannot hold %d requests at a time, "
                        "which the instances answer; it must be at least %d." % (
                            connections, plan["workers"], slots, -(-2 * slots // plan["workers"])))
    return {"open_files": files}


def times(plan, wishes):
    """Return the timeouts that follow the longest answer."""
    read = wishes["read_timeout_seconds"] or plan["longest_answer_seconds"]
    shutdown = wishes["shutdown_timeout_seconds"] or max(read, plan["longest_answer_seconds"])
    if shutdown < read:
        raise PlanError("nginx_shutdown_timeout_seconds is %d and nginx_read_timeout_seconds %d; a reload would cut "
                        "answers that may still come: it must be at least as long." % (shutdown, read))
    idle = ENGINE_IDLE_SECONDS if plan["balances"] == "instances" else HOST_IDLE_SECONDS
    return {"read_timeout_seconds": read, "shutdown_timeout_seconds": shutdown,
            "upstream_keepalive_seconds": wishes["upstream_keepalive_seconds"] or idle}


def check_tls(wishes):
    """Raise PlanError for half of what TLS needs, and for what needs TLS."""
    certificate, key = wishes["tls_certificate"], wishes["tls_key"]
    if (certificate is None) != (key is None):
        there, missing = ("certificate", "key") if certificate else ("key", "certificate")
        raise PlanError("nginx_tls_%s is set and nginx_tls_%s is not; TLS needs both." % (there, missing))
    if not wishes["tls_protocols"]:
        raise PlanError("nginx_tls_protocols is empty; name TLSv1.2, TLSv1.3 or both.")
    for name in ("tls_stapling", "redirect_port"):
        if wishes[name] and certificate is None:
            raise PlanError("nginx_%s is %s and nginx_tls_certificate is not set; it is for TLS alone." % (
                name, kind(wishes[name])))


def check_gzip(wishes):
    """Raise PlanError for an event stream that is to be packed: it would arrive in blocks, not word by word."""
    if EVENT_STREAM in wishes["gzip_types"]:
        raise PlanError("nginx_gzip_types has %s; a packed stream arrives in blocks, leave it out." % EVENT_STREAM)


def static_folders(plan, folders):
    """Return the static folders complete; their paths are none of a service, nor stand above one that the first service
    answers without its name."""
    services = ["/%s/" % upstream["service"] for upstream in plan["upstreams"]]
    unnamed = [path for upstream in plan["upstreams"][:1] for path in [upstream["health"]] + upstream["paths"]]
    complete, taken = [], ["/-/"] + services
    for index, folder in enumerate(folders):
        folder = check_fields("nginx_static[%d]" % index, folder, STATIC_FIELDS)
        first = folder["path"].split("/")[1]
        if (folder["path"] in taken or "/%s/" % first in services + ["/-/"]
                or any(path.startswith(folder["path"]) for path in unnamed)):
            raise PlanError("nginx_static[%d].path is %s, which is taken already; give it another." % (
                index, folder["path"]))
        taken.append(folder["path"])
        complete.append(dict(folder, seconds=folder["days"] * 86400))
    return complete


def upstreams(plan, wishes, with_clients, engine_keys):
    """Return the upstreams with their servers' lines and the rest of what stands in their blocks."""
    return [dict(
        upstream,
        name="inference-" + upstream["service"],
        servers=[dict(server, line=server_line(plan, upstream, server, wishes)) for server in upstream["servers"]],
        keepalive=kept_connections(plan, upstream) if wishes["upstream_keepalive"] is None
        else wishes["upstream_keepalive"],
        tries=wishes["tries"] or (len(upstream["servers"]) if plan["balances"] == "hosts" else 2),
        # Only where clients have keys of their own is theirs taken away.
        engine_key=engine_keys.get(upstream["service"]) if with_clients and plan["balances"] == "instances" else None,
        drops_key=with_clients and plan["balances"] == "instances",
    ) for upstream in plan["upstreams"]]


def kept_connections(plan, upstream):
    """Return how many idle connections a worker keeps to the servers of an upstream: none to engines.

    llama-server promises `Keep-Alive` in the head of an event stream and closes at its end all the same. Every fifth
    of streams that followed each other at once was sent on such a connection and lost; a new one costs nothing here.
    """
    if plan["balances"] == "instances":
        return 0
    return sum(server["max_conns"] or SHARED_KEEPALIVE for server in upstream["servers"]) or SHARED_KEEPALIVE


def server_line(plan, upstream, server, wishes):
    """Return the `server` line of one instance or host.

    Where there is but one, failures do not shut it out: nginx would answer nothing at all for that time.
    """
    words = ["server %s:%d" % (bracketed(server["address"]), server["port"])]
    if server["max_conns"]:
        waiting = wishes["queue"] if plan["balances"] == "instances" else 0
        words.append("max_conns=%d" % (server["max_conns"] + waiting))
    words.append("max_fails=%d" % (wishes["max_fails"] if len(upstream["servers"]) > 1 else 0))
    words.append("fail_timeout=%ds" % wishes["fail_timeout_seconds"])
    return " ".join(words) + ";"


def bracketed(address):
    """Return an address as it stands in front of a port."""
    return "[%s]" % address if ":" in address else address


def locations(complete):
    """Return [{upstream, prefix, pattern, health}]: for each service one location of its health, one of the rest.

    A pattern is a regular expression over the normalised path; without the prefix that is what the server is asked.
    """
    found = []
    for upstream in complete:
        found += _of_service(upstream, "/" + upstream["service"])
    return found + (_of_service(complete[0], "") if complete else [])


def _of_service(upstream, prefix):
    health = [] if upstream["health"] == "tcp" else [upstream["health"]]
    paths = [path for path in upstream["paths"] if path not in health]
    return [{"upstream": upstream, "prefix": prefix, "health": part is health,
             "pattern": "^%s(%s)$" % (prefix, "|".join(map(_pattern, part)))} for part in (health, paths) if part]


def _pattern(path):
    return re.escape(path) + (".*" if path.endswith("/") else "")


def cpu_mask(cpus):
    """Return worker_cpu_affinity's mask, the lowest CPU at its right end; None where all CPUs will do."""
    if not cpus:
        return None
    wanted = set(cpus)
    return "".join("1" if cpu in wanted else "0" for cpu in range(max(wanted), -1, -1))


def check_ports(settings):
    """Raise PlanError where the redirect would listen on a port that is taken."""
    port = settings["redirect_port"]
    local = settings["balances"] == "instances"
    taken = {server["port"]: "an instance of %s" % upstream["service"]
             for upstream in settings["upstreams"] if local for server in upstream["servers"]}
    taken[settings["listen_port"]] = "nginx itself (nginx_listen_port)"
    if port in taken:
        raise PlanError("nginx_redirect_port is %d, which is the port of %s; give it another." % (port, taken[port]))
