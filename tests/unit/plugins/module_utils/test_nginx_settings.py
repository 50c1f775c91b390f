"""The numbers of nginx's configuration: what follows from the plan, what agrees, and what is refused."""

import re

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.nginx_settings import cpu_mask, nginx_settings

KEY, OTHER = "key-of-the-frontend-5e0f1c", "key+of/the.batch=="


def plan(slots=(2, 2), balances="instances", **more):
    servers = [{"index": index, "unit": f"inference-chat@{index}.service", "host": f"h{index}", "max_conns": count,
                "address": "127.0.0.1", "port": 18080 + index} for index, count in enumerate(slots)]
    upstream = {"service": "chat", "health": "/health", "paths": ["/v1/models", "/files/"], "servers": servers,
                "prefix": "" if balances == "instances" else "/chat"}
    return dict({"balances": balances, "listen_port": 8080, "workers": 2, "cpus": [0, 1, 16, 17],
                 "longest_answer_seconds": 820, "upstreams": [upstream]}, **more)


def settings(made=None, clients=None, keys=None, **wishes):
    return nginx_settings(made or plan(), wishes, clients, keys)


def refused(*arguments, **wishes):
    with pytest.raises(PlanError) as error:
        settings(*arguments, **wishes)
    return str(error.value)


# Connections and files


@pytest.mark.parametrize(("connections", "files"), [(4096, 8704), (32768, 66048), (64, 640)])
def test_files_are_two_a_connection_and_some(connections, files):
    assert settings(worker_connections=connections)["open_files"] == files
    assert settings(worker_connections=connections, open_files=files)["open_files"] == files
    assert refused(worker_connections=connections, open_files=files - 1) == (
        f"nginx_open_files is {files - 1} and nginx_worker_connections {connections}; it must be at least {files} (two "
        "for each connection, and 512), or null.")


def test_connections_that_need_more_files_than_a_process_may_have():
    assert "at most 524032 connections" in refused(worker_connections=524033)
    assert settings(worker_connections=524032)["open_files"] == 1 << 20


def test_connections_hold_all_slots():
    assert settings(plan(slots=(64, 64)), worker_connections=128)["worker_connections"] == 128
    assert "cannot hold 130 requests at a time" in refused(plan(slots=(65, 65)), worker_connections=128)


@pytest.mark.parametrize(("cpus", "mask"), [
    ([], None), ([0], "1"), ([0, 2], "101"), ([1, 3], "1010"), ([64], "1" + "0" * 64)])
def test_the_mask_has_the_lowest_cpu_at_its_right_end(cpus, mask):
    assert cpu_mask(cpus) == mask


def test_workers_stay_on_the_planned_cpus_unless_that_is_not_wanted():
    assert settings()["cpu_mask"] == "110000000000000011"
    assert settings(cpu_affinity=False)["cpu_mask"] is None


# Upstreams


def test_servers_take_their_slots_and_what_may_wait():
    lines = [server["line"] for server in settings()["upstreams"][0]["servers"]]
    assert lines == ["server 127.0.0.1:18080 max_conns=2 max_fails=3 fail_timeout=10s;",
                     "server 127.0.0.1:18081 max_conns=2 max_fails=3 fail_timeout=10s;"]
    assert "max_conns=7 " in settings(queue=5)["upstreams"][0]["servers"][0]["line"]
    assert "max_conns" not in settings(plan(slots=(0,)), queue=5)["upstreams"][0]["servers"][0]["line"]


def test_one_server_is_never_shut_out():
    assert "max_fails=0 " in settings(plan(slots=(1,)))["upstreams"][0]["servers"][0]["line"]
    (upstream,) = settings(max_fails=5, fail_timeout_seconds=30)["upstreams"]
    assert "max_fails=5 fail_timeout=30s;" in upstream["servers"][1]["line"]


def test_a_hosts_slots_have_its_queue_already():
    (upstream,) = settings(plan(balances="hosts", slots=(4, 4, 4)), queue=5)["upstreams"]
    assert "max_conns=4 " in upstream["servers"][0]["line"]
    assert upstream["tries"] == 3 and settings()["upstreams"][0]["tries"] == 2
    assert settings(tries=7)["upstreams"][0]["tries"] == 7


def test_an_address_of_version_6_stands_in_brackets():
    made = plan(balances="hosts")
    made["upstreams"][0]["servers"][0]["address"] = "2001:db8::1"
    assert settings(made)["upstreams"][0]["servers"][0]["line"].startswith("server [2001:db8::1]:18080 ")


@pytest.mark.parametrize(("slots", "wish", "kept"), [
    ((2, 3), None, 5), ((0,), None, 32), ((), None, 32), ((2,), 128, 128), ((2,), 0, 0)])
def test_connections_to_hosts_are_kept_by_their_slots(slots, wish, kept):
    made = plan(slots=slots, balances="hosts")
    assert settings(made, upstream_keepalive=wish)["upstreams"][0]["keepalive"] == kept


@pytest.mark.parametrize(("wish", "kept"), [(None, 0), (0, 0), (4, 4)])
def test_connections_to_engines_are_not_kept_unasked(wish, kept):
    assert settings(plan(slots=(2, 3)), upstream_keepalive=wish)["upstreams"][0]["keepalive"] == kept


def test_idle_connections_end_before_the_server_ends_them():
    assert settings()["upstream_keepalive_seconds"] == 4
    assert settings(plan(balances="hosts"))["upstream_keepalive_seconds"] == 60
    assert settings(upstream_keepalive_seconds=9)["upstream_keepalive_seconds"] == 9


# What clients may ask


def asked(path, **more):
    """The (service, path at the server) pairs of the locations that a path matches, in order."""
    found = []
    for location in settings(**more)["locations"]:
        if re.search(location["pattern"], path):
            prefix = location["prefix"]
            assert path.startswith(prefix)
            found.append((location["upstream"]["service"], path[len(prefix):], location["health"]))
    return found


def test_locations_are_exact_but_below_folders():
    assert asked("/chat/v1/models") == [("chat", "/v1/models", False)]
    assert asked("/v1/models") == [("chat", "/v1/models", False)]
    assert asked("/chat/files/a/b") == [("chat", "/files/a/b", False)]
    assert asked("/health") == asked("/chat/health") == [("chat", "/health", True)]
    for path in ("/slots", "/chat/slots", "/v1/models/x", "/v1/modelsx", "/chat/v1/models/", "/v1xmodels", "/chat", "/",
                 "/other/v1/models", "/files"):
        assert asked(path) == [], path


def test_other_services_come_before_a_first_one_that_takes_everything():
    made = plan()
    made["upstreams"][0]["paths"] = ["/"]
    made["upstreams"].append(dict(plan()["upstreams"][0], service="llm", servers=[]))
    assert asked("/llm/v1/models", made=made)[0][0] == "llm"
    assert asked("/anything", made=made)[0] == ("chat", "/anything", False)


def test_a_health_of_tcp_has_no_location():
    made = plan()
    made["upstreams"][0]["health"] = "tcp"
    assert not [location for location in settings(made)["locations"] if location["health"]]


# Times


def test_times_follow_the_longest_answer():
    found = settings()
    assert (found["read_timeout_seconds"], found["shutdown_timeout_seconds"]) == (820, 820)
    found = settings(read_timeout_seconds=1000)
    assert (found["read_timeout_seconds"], found["shutdown_timeout_seconds"]) == (1000, 1000)
    assert settings(read_timeout_seconds=60)["shutdown_timeout_seconds"] == 820
    said = refused(shutdown_timeout_seconds=100)
    assert "nginx_shutdown_timeout_seconds is 100 and nginx_read_timeout_seconds 820" in said


# Clients


def test_keys_are_matched_whole_and_in_their_case():
    found = settings(clients={"frontend": KEY, "batch": OTHER}, keys={"chat": "engine-key"})
    assert found["with_clients"]
    for line, key, name in zip(found["client_map"], (KEY, OTHER), ("frontend", "batch")):
        pattern, owner = re.fullmatch(r'"~(.*)" (\w+);', line).groups()
        assert owner == name and re.search(pattern, key)
        for other in (key.upper(), key + "x", "x" + key, key.replace("-", "x", 1).replace(".", "x", 1)):
            assert not re.search(pattern, other)
    assert found["upstreams"][0]["engine_key"] == "engine-key" and found["upstreams"][0]["drops_key"]


def test_without_clients_keys_go_through_and_so_they_do_at_a_balancer():
    upstream = settings(keys={"chat": "engine-key"})["upstreams"][0]
    assert (upstream["engine_key"], upstream["drops_key"]) == (None, False)
    upstream = settings(plan(balances="hosts"), clients={"frontend": KEY}, keys={"chat": "k"})["upstreams"][0]
    assert (upstream["engine_key"], upstream["drops_key"]) == (None, False)


def test_each_limit_has_a_zone_and_nobody_is_counted_twice():
    found = settings(clients={"frontend": KEY, "batch": OTHER}, rate_per_minute=60, connections_per_client=4,
                     client_limits={"batch": {"rate_per_minute": 600, "rate_burst": 0}})
    assert [(rate["owner"], rate["per_minute"], rate["burst"], rate["others"]) for rate in found["rates"]] == [
        (None, 60, 20, ["batch"]), ("batch", 600, 0, [])]
    (limit,) = found["connection_limits"]
    assert (limit["owner"], limit["count"], limit["others"]) == (None, 4, [])
    zones = [limit["zone"] for limit in found["rates"] + found["connection_limits"]]
    assert len(set(zones)) == 3 and settings()["rates"] == settings()["connection_limits"] == []


@pytest.mark.parametrize(("clients", "keys", "wishes", "sentence"), [
    ({"a": "short"}, {}, {}, "nginx_clients.a is not fit for a key"),
    ({"a": KEY + '"; evil'}, {}, {}, "nginx_clients.a is not fit for a key"),
    ({"a": KEY, "b": KEY}, {}, {}, "nginx_clients: a and b have the same key"),
    ({"A b": KEY}, {}, {}, "nginx_clients has a client 'A b'"),
    ([KEY], {}, {}, "nginx_clients is a list"),
    ({"a": KEY}, {"chat": "with$dollar"}, {}, "service_api_keys.chat cannot be presented by nginx"),
    ({"a": KEY}, {}, {"client_limits": {"aa": {}}}, "nginx_client_limits has 'aa', which is no client; did you"),
    ({"a": KEY}, {}, {"client_limits": {"a": {"rate": 1}}}, "nginx_client_limits.a.rate is not known"),
    ({}, {}, {"client_limits": {"a": {}}}, "nginx_client_limits has 'a', which is no client; nginx_clients has none."),
])
def test_clients_that_are_refused_and_no_key_is_shown(clients, keys, wishes, sentence):
    said = refused(None, clients, keys, **wishes)
    assert said.startswith(sentence) and KEY not in said and "with$dollar" not in said


# TLS and the rest


@pytest.mark.parametrize(("wishes", "sentence"), [
    ({"tls_certificate": "/c"}, "nginx_tls_certificate is set and nginx_tls_key is not; TLS needs both."),
    ({"tls_key": "/k"}, "nginx_tls_key is set and nginx_tls_certificate is not; TLS needs both."),
    ({"tls_stapling": True}, "nginx_tls_stapling is True and nginx_tls_certificate is not set"),
    ({"redirect_port": 80}, "nginx_redirect_port is 80 and nginx_tls_certificate is not set"),
    ({"tls_certificate": "/c", "tls_key": "/k", "redirect_port": 8080}, "nginx_redirect_port is 8080, which is"),
    ({"tls_certificate": "/c", "tls_key": "/k", "redirect_port": 18081}, "the port of an instance of chat"),
    ({"tls_certificate": "/c", "tls_key": "/k", "tls_protocols": []}, "nginx_tls_protocols is empty"),
    ({"tls_protocols": ["TLSv1.1"]}, "nginx_tls_protocols is a list; it must be a list of TLSv1.2 and TLSv1.3."),
    ({"tls_certificate": "/c; evil"}, "nginx_tls_certificate is '/c; evil'"),
    ({"gzip_types": ["text/event-stream"]}, "nginx_gzip_types has text/event-stream"),
    ({"gzip_level": 10}, "nginx_gzip_level is 10; it must be a whole number from 0 to 9."),
    ({"cors_origins": ["app.example.org"]}, "nginx_cors_origins is a list; it must be a list of origins"),
    ({"trusted_proxies": ["proxy"]}, "nginx_trusted_proxies is a list; it must be a list of IP addresses"),
    ({"gzip_lvl": 1}, "nginx.gzip_lvl is not known; did you mean gzip_level?"),
    ({"static": [{"path": "/chat/x/", "folder": "/srv/x/"}]}, "nginx_static[0].path is /chat/x/, which is taken"),
    ({"static": [{"path": "/-/", "folder": "/srv/x/"}]}, "nginx_static[0].path is /-/"),
    ({"static": [{"path": "/v1/", "folder": "/srv/x/"}]}, "nginx_static[0].path is /v1/, which is taken"),
    ({"static": [{"path": "/files/", "folder": "/srv/x/"}]}, "nginx_static[0].path is /files/, which is taken"),
    ({"static": [{"path": "/", "folder": "/srv/x/"}]}, "nginx_static[0].path is '/'"),
    ({"static": [{"path": "/a/", "folder": "/srv/x"}]}, "nginx_static[0].folder is '/srv/x'"),
])
def test_what_is_refused(wishes, sentence):
    assert sentence in refused(**wishes)


def test_static_folders_are_kept_for_days():
    assert settings(static=[{"path": "/outputs/", "folder": "/srv/outputs/"}])["static"] == [
        {"path": "/outputs/", "folder": "/srv/outputs/", "days": 7, "public": False, "seconds": 604800}]


def test_balancers_are_trusted_unless_others_are_named():
    assert nginx_settings(plan(), {}, balancers=["192.0.2.1"])["trusted_proxies"] == ["192.0.2.1"]
    named = nginx_settings(plan(), {"trusted_proxies": ["10.0.0.0/8"]}, balancers=["192.0.2.1"])
    assert named["trusted_proxies"] == ["10.0.0.0/8"]
