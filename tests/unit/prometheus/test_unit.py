"""The unit of a Prometheus that is installed: where it listens, and where it is asked."""

import hashlib

import jinja2
import pytest
import yaml
from rendered import DEFAULTS, ROLE

VARS = yaml.safe_load((ROLE / "vars/main.yml").read_text())


def render(text, **variables):
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.filters["ansible.builtin.hash"] = lambda text, kind: hashlib.new(kind, text.encode()).hexdigest()
    environment.filters["to_json"] = str
    environment.filters["dict2items"] = lambda texts: [{"key": key, "value": text} for key, text in texts.items()]
    environment.tests["match"] = lambda text, start: text.startswith(start)
    return environment.from_string(text).render(dict(
        DEFAULTS, ansible_managed="managed", __prometheus_dir="/etc/x", __prometheus_texts={}, **variables))


@pytest.mark.parametrize(("listen", "flag", "url"), [
    ("127.0.0.1", "127.0.0.1:9090", "http://127.0.0.1:9090"),
    ("0.0.0.0", "0.0.0.0:9090", "http://127.0.0.1:9090"),
    ("::", "[::]:9090", "http://127.0.0.1:9090"),
    ("[::]", "[::]:9090", "http://127.0.0.1:9090"),
    ("2001:db8::9", "[2001:db8::9]:9090", "http://[2001:db8::9]:9090"),
    ("[2001:db8::9]", "[2001:db8::9]:9090", "http://[2001:db8::9]:9090"),
])
def test_an_address_of_ipv6_has_brackets(listen, flag, url):
    address = render(VARS.get("__prometheus_address", "{{ prometheus_listen }}"), prometheus_listen=listen)
    more = {"prometheus_listen": listen, "__prometheus_address": address}
    unit = render((ROLE / "templates/unit.conf.j2").read_text(), **more)
    assert unit.rstrip().endswith(" --web.listen-address=" + flag)
    assert render(VARS["__prometheus_url"], **more) == url
