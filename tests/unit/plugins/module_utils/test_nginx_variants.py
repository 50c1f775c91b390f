"""Lines for some versions of nginx alone."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.nginx_variants import parse_version, resolve

TEXT = """\
listen 443 ssl http2; #? nginx < 1.25.1
listen 443 ssl;  #?  nginx >= 1.25.1
listen [::]:443 ssl; #? ipv6, nginx >= 1.25.1
# a remark
ssl_stapling on; #? stapling
end
"""


@pytest.mark.parametrize(("said", "version"), [
    ("nginx version: nginx/1.22.1\n", (1, 22, 1)),
    ("nginx version: nginx/1.29.7 (Ubuntu)\nbuilt by gcc", (1, 29, 7)),
    ("nginx version: openresty/1.25.3.1", (1, 25, 3)),
    ("sh: nginx: not found", None),
])
def test_version(said, version):
    assert parse_version(said) == version


@pytest.mark.parametrize(("version", "flags", "lines"), [
    ((1, 22, 1), {"ipv6": True, "stapling": False}, ["listen 443 ssl http2;", "# a remark", "end", ""]),
    ((1, 25, 0), {"ipv6": True, "stapling": True}, [
        "listen 443 ssl http2;", "# a remark", "ssl_stapling on;", "end", ""]),
    ((1, 25, 1), {"ipv6": True, "stapling": False}, [
        "listen 443 ssl;", "listen [::]:443 ssl;", "# a remark", "end", ""]),
    ((1, 29, 7), {"ipv6": False, "stapling": False}, ["listen 443 ssl;", "# a remark", "end", ""]),
])
def test_each_host_gets_its_lines(version, flags, lines):
    assert resolve(TEXT, version, flags).split("\n") == lines


@pytest.mark.parametrize("condition", ["ipv7", "nginx > 1.2.3", "nginx >= 1.25"])
def test_a_condition_that_is_none_is_no_line_that_is_lost(condition):
    with pytest.raises(ValueError, match="is not known"):
        resolve(f"listen 1; #? {condition}", (1, 25, 1), {"ipv6": True})
