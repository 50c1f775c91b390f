"""nginx's part of the plan: upstreams, what clients may ask, slots, the longest answer; and a balancer's plan."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.nginx_balancer import (
    addresses,
    hosts_behind,
    numeric,
    plan_balancer,
)
from ansible_collections.inference.host.plugins.module_utils.nginx_plan import COMPLETIONS, PATHS
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from plan_topologies import service, topology

PROGRAM = {"name": "app", "runtime": "command", "command": ["/usr/bin/app"], "model": {"name": "none"}}


def nginx(*services, **policy):
    return make_plan(topology(cores=8), list(services) or [service()], policy)["nginx"]


def test_an_upstream_names_the_units_behind_it():
    (upstream,) = nginx(service("chat", instances=2, parallel=3))["upstreams"]
    assert upstream == {
        "service": "chat", "health": "/health", "prefix": "", "paths": list(COMPLETIONS), "servers": [
            {"index": index, "unit": f"inference-chat@{index}.service", "address": "127.0.0.1", "port": 18080 + index,
             "max_conns": 3} for index in (0, 1)]}


def test_no_administrative_path_is_let_through():
    for runtime in ("llama_cpp", "vllm", "whisper"):
        # All of /v1/ would have vLLM's adapters in it.
        assert not [path for path in PATHS[runtime] if path.endswith("/") or "lora" in path or "load" in path]
        assert not {"/slots", "/metrics", "/props", "/lora-adapters"} & set(PATHS[runtime])


def test_paths_and_health_are_the_users_where_said():
    (upstream,) = nginx(service("chat", paths=["/v1/models", "/files/"], health="/ready"))["upstreams"]
    assert (upstream["paths"], upstream["health"]) == (["/v1/models", "/files/"], "/ready")


def test_a_program_has_as_many_slots_as_is_said_and_else_no_limit():
    assert nginx(PROGRAM)["upstreams"][0]["servers"][0]["max_conns"] == 0
    assert nginx(dict(PROGRAM, parallel=88))["upstreams"][0]["servers"][0]["max_conns"] == 88
    assert nginx(PROGRAM)["upstreams"][0]["paths"] == ["/"]


@pytest.mark.parametrize(("context", "seconds"), [(2048, 600), (4096, 820), (8192, 1639), (131072, 3600)])
def test_the_longest_answer_follows_the_context(context, seconds):
    assert nginx(service(context=context))["longest_answer_seconds"] == seconds


# Balancers


def host(name, **more):
    return dict({"name": name, "address": f"192.0.2.{name[-1]}", "port": 8080, "tls": False, "queue": 0, "plan": None,
                 "services": [service("chat", instances=2, parallel=4)]}, **more)


def test_a_balancer_sends_to_hosts_with_the_sum_of_their_slots():
    plan = plan_balancer(topology(cores=4), [host("h1"), host("h2", port=80, queue=1)])
    assert (plan["instances"], plan["settings"]) == ([], [])
    found = plan["nginx"]
    assert (found["balances"], found["workers"], found["listen_port"], found["cpus"]) == ("hosts", 4, 8080, [])
    (upstream,) = found["upstreams"]
    assert (upstream["prefix"], upstream["health"]) == ("/chat", "/health")
    assert upstream["servers"] == [
        {"host": "h1", "address": "192.0.2.1", "port": 8080, "max_conns": 8},
        {"host": "h2", "address": "192.0.2.2", "port": 80, "max_conns": 10}]


def test_hosts_may_have_different_services_and_the_first_by_priority_stands_first():
    low, high = service("low", priority=-1), service("high", priority=5)
    plan = plan_balancer(topology(), [host("h1", services=[low, high]), host("h2", services=[low])])
    assert [(upstream["service"], len(upstream["servers"])) for upstream in plan["nginx"]["upstreams"]] == [
        ("high", 1), ("low", 2)]


def test_instances_that_the_inventory_does_not_count_come_from_the_hosts_plan():
    wish = [service("chat", instances="per_numa_node", parallel=2)]
    plan = make_plan(topology(sockets=2, cores=4), wish)
    found = plan_balancer(topology(), [host("h1", services=wish, plan=plan)])
    assert found["nginx"]["upstreams"][0]["servers"][0]["max_conns"] == 4
    with pytest.raises(PlanError) as error:
        plan_balancer(topology(), [host("h1", services=wish)])
    assert str(error.value).startswith("h1: service chat has instances per_numa_node, and how many that are is known")


@pytest.mark.parametrize(("hosts", "sentence"), [
    ([host("h1", tls=True)], "h1: nginx_tls_certificate is set; behind a balancer a host answers in plain HTTP"),
    ([host("h1"), host("h2", services=[service("chat", health="/x")])],
     "h2: the health of service chat are not those of h1"),
    ([host("h1"), host("h2", services=[service("chat", paths=["/x"])])], "h2: the paths of service chat"),
    ([host("h1", services=[service("chat", instances=0)])], "inference_services[0].instances is 0"),
])
def test_what_a_balancer_refuses(hosts, sentence):
    with pytest.raises(PlanError) as error:
        plan_balancer(topology(), hosts)
    assert sentence in str(error.value)


def test_what_is_read_of_other_hosts_comes_from_their_variables():
    variables = {"h1": {"ansible_host": "192.0.2.1", "nginx_listen_port": 80, "nginx_queue": 2,
                        "inference_services": [service()]}, "h2": {"nginx_address": "192.0.2.9"}, "h3": {}}
    first, _second, third = hosts_behind(["h1", "h2", "h3"], variables)
    assert (first["address"], first["port"], first["queue"]) == ("192.0.2.1", 80, 2)
    assert (third["port"], third["queue"], third["services"], third["plan"], third["tls"]) == (8080, 0, [], None, False)
    assert addresses(["h1", "h2", "h3"], variables) == ["192.0.2.1", "192.0.2.9", "h3"]
    assert numeric(["h1", "h2"], variables) == ["192.0.2.1", "192.0.2.9"]
    with pytest.raises(PlanError, match="h3: nginx_address is 'h3'"):
        numeric(["h3"], variables)
