# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What nginx is to have of the plan: its workers, and an upstream for each service."""

from __future__ import annotations

COMPLETIONS = ("/v1/models", "/v1/completions", "/v1/chat/completions", "/v1/embeddings", "/v1/responses",
               "/v1/messages", "/v1/messages/count_tokens", "/v1/rerank")
AUDIO = ("/v1/audio/transcriptions", "/v1/audio/translations")
# What clients may ask of an engine where its service says nothing. Never all of /v1/: vLLM loads adapters there. Of
# other programs nothing is known.
PATHS = {
    "llama_cpp": COMPLETIONS,
    "vllm": COMPLETIONS + AUDIO,
    "whisper": ("/inference",) + AUDIO,
    "command": ("/",),
    "container": ("/",),
}
SHORTEST_SECONDS = 600
LONGEST_SECONDS = 3600
TOKENS_PER_SECOND = 5
"""About as fast as a person reads aloud: an engine that is slower serves nobody who waits (convention)."""


def plan_nginx(instances, services, kept_cpus, kept_cores, policy):
    """Return {balances: instances, listen_port, workers, cpus, longest_answer_seconds, upstreams}.

    One worker a housekeeping core, at least one, or as many as the user wants; one upstream a service, {service,
    health, paths, prefix, servers: [{index, unit, address, port, max_conns}]}. The first service also answers at /.
    """
    upstreams = [dict(upstream_of(service), servers=[
        {"index": instance["index"], "unit": instance["unit"], "address": "127.0.0.1", "port": instance["port"],
         "max_conns": slots(service)}
        for instance in instances if instance["service"] == service["name"]]) for service in services]
    return {"balances": "instances", "listen_port": policy["listen_port"],
            "workers": policy["workers"] or max(1, kept_cores), "cpus": kept_cpus,
            "longest_answer_seconds": longest_answer_seconds(services), "upstreams": upstreams}


def upstream_of(service):
    """Return what clients may ask of a checked service. health: a path, or tcp; a path that ends in / stands for all
    below it; prefix: what stands in front of them at the server."""
    return {"service": service["name"], "health": service["health"], "prefix": "",
            "paths": list(service["paths"] or PATHS[service["runtime"]])}


def slots(service):
    """Return how many requests one instance answers at a time, 0 where that is not known: of any program, unless the
    user says more than one."""
    unknown = service["runtime"] in ("command", "container") and service["parallel"] == 1
    return 0 if unknown else service["parallel"]


def longest_answer_seconds(services):
    """Return how long an answer may take: the largest context at TOKENS_PER_SECOND, within ten minutes and an hour."""
    tokens = max((service["context"] for service in services), default=0)
    return min(LONGEST_SECONDS, max(SHORTEST_SECONDS, -(-tokens // TOKENS_PER_SECOND)))
