"""What nginx itself would refuse in the rendered templates, as far as that can be told without nginx."""

import re
from pathlib import Path

import jinja2
import pytest
from ansible_collections.inference.host.plugins.module_utils.nginx_settings import nginx_settings

TEMPLATES = Path(__file__).resolve().parents[2] / "roles/nginx/templates"
PLAN = {"balances": "instances", "listen_port": 8080, "workers": 1, "cpus": [], "longest_answer_seconds": 600,
        "upstreams": []}
KEYS = {"batch": "key-of-the-batch-5e0f1c"}


def rendered(clients=None, **wishes):
    """Return the text of clients.j2, with blank lines as Ansible leaves them."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), trim_blocks=True,
                                     undefined=jinja2.StrictUndefined)
    return environment.get_template("clients.j2").render(
        nginx=nginx_settings(PLAN, wishes, clients), __nginx_dir="/etc/nginx/inference")


@pytest.mark.parametrize("origins", [["*"], ["https://a.example"], ["*", "https://a.example"]])
def test_no_map_has_two_defaults(origins):
    text = rendered(KEYS, cors_origins=origins, rate_per_minute=60, trusted_proxies=["10.0.0.1"],
                    client_limits={"batch": {"connections": 2}})
    blocks = re.findall(r"^    (?:map|geo) [^{]*\{\n(.*?)^    \}", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 5
    assert [len(re.findall(r"^ +default ", block, re.MULTILINE)) for block in blocks] == [1] * len(blocks)


def test_pages_of_named_origins_or_of_all_may_use_the_answers():
    assert 'default "*";' in rendered(cors_origins=["*"])
    assert '"https://a.example" $http_origin;' in rendered(cors_origins=["https://a.example"])
    assert "$inference_origin" not in rendered()
