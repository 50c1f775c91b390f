"""The files of role monitoring as its templates make them, without a host."""

import hashlib
import re
from pathlib import Path

import jinja2
import pytest
import yaml
from ansible_collections.inference.host.plugins.module_utils.monitoring_endpoints import monitoring_endpoints

ROLE = Path(__file__).resolve().parents[2] / "roles/monitoring"
DEFAULTS = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
PLAN = {"nginx": {"listen_port": 8080}, "device_groups": ["nvidia-frontend", "nvidia-uvm"], "instances": [
    {"name": "chat-0", "service": "chat", "runtime": "llama_cpp", "port": 18080, "gpus": ["0000:65:00.0"]},
    {"name": "talk-0", "service": "talk", "runtime": "vllm", "port": 18081, "gpus": []}]}
UNIT_LINE = re.compile(r"(\[(Unit|Service|Install|Journal)\]|#.*|[A-Z][A-Za-z]+=.*)?\Z")


def rendered(name, **variables):
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(ROLE / "templates"), trim_blocks=True,
                                     undefined=jinja2.StrictUndefined)
    environment.filters["ansible.builtin.hash"] = lambda text, kind: hashlib.new(kind, text.encode()).hexdigest()
    values = dict(DEFAULTS, ansible_managed="managed", inference_plan=PLAN, nginx_ipv6=True, __monitoring_secure=False,
                  __monitoring_keys={}, __monitoring_key_dir="/etc/nginx/inference-monitoring",
                  __monitoring_dir="/etc/inference.host/monitoring", __monitoring_dcgm_program="/usr/local/libexec/x",
                  __monitoring_endpoints=monitoring_endpoints(PLAN, {}, True), revision="1")
    values["lookup"] = lambda _kind, other: rendered(other, **variables)
    return environment.get_template(name).render(dict(values, **variables))


@pytest.mark.parametrize("name", ["node.conf.j2", "nginx-exporter.conf.j2", "dcgm.service.j2", "journald.conf.j2",
                                  "revision.conf.j2"])
def test_every_line_of_a_unit_is_one(name):
    lines = rendered(name).splitlines()
    assert len(lines) > 3 and [line for line in lines if not UNIT_LINE.match(line)] == []


def test_exporters_listen_at_loopback_alone():
    assert " --web.listen-address=127.0.0.1:9100 " in rendered("node.conf.j2")
    assert " -web.listen-address=127.0.0.1:9113 " in rendered("nginx-exporter.conf.j2")
    assert " --address 127.0.0.1:9400 " in rendered("dcgm.service.j2")


def test_what_a_unit_reads_makes_its_revision():
    def revisions(**variables):
        return {name: re.search(r"INFERENCE_REVISION=(\w+)", rendered(name, **variables)).group(1)
                for name in ("node.conf.j2", "nginx-exporter.conf.j2", "dcgm.service.j2")}

    plain = revisions()
    assert revisions() == plain
    assert revisions(monitoring_node_collectors=["cpu"])["node.conf.j2"] != plain["node.conf.j2"]
    assert revisions(monitoring_dcgm_sha256="other")["dcgm.service.j2"] != plain["dcgm.service.j2"]
    assert revisions(monitoring_nginx_port=1)["nginx-exporter.conf.j2"] != plain["nginx-exporter.conf.j2"]


def test_the_gpus_exporter_sees_their_devices_alone():
    text = rendered("dcgm.service.j2")
    assert re.findall(r"^DeviceAllow=(.*)$", text, re.MULTILINE) == ["char-nvidia-frontend rw", "char-nvidia-uvm rw"]
    assert "DevicePolicy=closed" in text and "DynamicUser=yes" in text
    assert "\n\n[Install]\n" in text


def test_without_scrapers_nginx_listens_at_loopback():
    text = rendered("nginx.conf.j2")
    assert re.findall(r"listen (.*);", text) == ["127.0.0.1:9180 reuseport"]


def test_scrapers_alone_are_let_in():
    text = rendered("nginx.conf.j2", monitoring_scrapers=["10.0.0.0/8"])
    assert re.findall(r"listen (.*);(.*)", text) == [("9180 reuseport", ""), ("[::]:9180", " #? ipv6")]
    block = re.search(r"geo \$realip_remote_addr \$inference_scraper \{\n(.*?)\}", text, re.DOTALL).group(1).split("\n")
    assert [line.strip() for line in block if line] == ["default 0;", "127.0.0.0/8 1;", "::1 1;", "10.0.0.0/8 1;"]
    assert text.index("return 403") < text.index("location")


def test_tls_is_the_sites_own():
    text = rendered("nginx.conf.j2", __monitoring_secure=True, nginx_tls_certificate="/a.crt", nginx_tls_key="/a.key",
                    monitoring_scrapers=["10.0.0.0/8"])
    assert "listen 9180 ssl reuseport;" in text
    assert "ssl_certificate /a.crt;" in text and "ssl_certificate_key /a.key;" in text


def test_the_engines_key_goes_to_its_own_engine_and_a_scrapers_to_none():
    text = rendered("nginx.conf.j2", __monitoring_keys={"chat": "word-5e0f1c", "talk": "word-77c1d0"})
    assert "word-" not in text
    blocks = dict(re.findall(r"location = (\S+) \{\n(.*?)\n    \}\n(?=    location)", text, re.DOTALL))
    assert set(blocks) == {"/node", "/nginx", "/dcgm", "/engine/chat-0", "/engine/talk-0", "/-/revision"}
    keyed = {path for path, block in blocks.items() if "include /etc/nginx/inference-monitoring/chat.key;" in block}
    assert keyed == {"/engine/chat-0"}
    without = {path for path, block in blocks.items() if 'Authorization "";' in block}
    assert without == set(blocks) - keyed - {"/-/revision"}


def test_every_counter_of_the_gpus_is_one_that_rules_and_dashboard_may_use():
    known = (Path(__file__).parent / "prometheus/metrics/not-recorded.txt").read_text().split()
    fields = [line.split(",")[0] for line in rendered("dcgm.csv.j2").splitlines() if not line.startswith("#")]
    assert sorted(fields) == sorted(name for name in known if name.startswith("DCGM_"))


def test_the_journals_limits_may_be_left_to_systemd():
    text = rendered("journald.conf.j2", monitoring_journal_max_mib=None, monitoring_journal_days=None)
    assert text.split("\n", 1)[1].strip() == "[Journal]"
