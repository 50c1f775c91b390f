# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the user may say of nginx: the variables nginx_NAME by NAME, their defaults, types and ranges.

A null lets nginx_settings.py choose. What the plan decides on (port and workers) stands in services.py.
"""

from __future__ import annotations

import ipaddress
import re

from ansible_collections.inference.host.plugins.module_utils.checks import (
    REQUIRED,
    integer,
    mapping,
    matching,
    one_of,
    yes_or_no,
)

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")
FILE = re.compile(r"/[A-Za-z0-9._@+/-]+\Z")
FOLDER_PATH = re.compile(r"/([A-Za-z0-9._~-]+/)+\Z")
MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]+\Z")
ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?\Z|\*\Z")
CIPHERS = re.compile(r"[A-Za-z0-9_+!:@=-]+\Z")
KEY = re.compile(r"[A-Za-z0-9._~+/-]{16,512}=*\Z")
"""What may follow `Bearer` in a header (RFC 6750, section 2.1), and is long enough not to be guessed."""
ENGINE_KEY = re.compile(r"[A-Za-z0-9._~+/-]+=*\Z")

SECONDS = integer(1, 86400)
PORT = integer(1, 65535)


def list_of(accepts, words):
    """A check for a list whose parts all pass."""
    return (lambda value: isinstance(value, list) and all(map(accepts, value))), "a list of " + words


def words_matching(pattern, words):
    """A check for a list of texts that match."""
    return list_of(lambda part: isinstance(part, str) and pattern.match(part) is not None, words)


def is_address(value):
    """Tell whether a text is an IP address."""
    return _parses(ipaddress.ip_address, value)


def is_network(value):
    """Tell whether a text is an IP address or a network such as 10.0.0.0/8."""
    return _parses(ipaddress.ip_network, value)


def _parses(parse, value):
    try:
        return isinstance(value, str) and bool(parse(value))
    except ValueError:
        return False


FIELDS = {
    "worker_connections": (4096, integer(64, 1 << 20)),
    "open_files": (None, integer(256, 1 << 20)),
    "cpu_affinity": (True, yes_or_no()),
    "event_method": ("epoll", one_of("epoll", "poll")),
    "multi_accept": (False, yes_or_no()),
    "balancing": ("least_conn", one_of("least_conn", "round_robin", "ip_hash")),
    "upstream_keepalive": (None, integer(0, 1 << 16)),
    "upstream_keepalive_seconds": (None, SECONDS),
    "max_fails": (3, integer(0, 1000)),
    "fail_timeout_seconds": (10, SECONDS),
    "queue": (0, integer(0, 1 << 16)),
    "tries": (None, integer(1, 1000)),
    "connect_timeout_seconds": (5, integer(1, 75)),
    "read_timeout_seconds": (None, SECONDS),
    "shutdown_timeout_seconds": (None, SECONDS),
    "client_timeout_seconds": (60, SECONDS),
    "keepalive_seconds": (75, integer(0, 86400)),
    "keepalive_requests": (1000, integer(1, 1 << 20)),
    "body_mib": (16, integer(1, 1 << 16)),
    "body_buffer_kib": (128, integer(8, 1 << 16)),
    "buffer_kib": (16, integer(4, 1 << 12)),
    "gzip_level": (4, integer(0, 9)),
    "gzip_min_length": (1000, integer(20, 1 << 30)),
    "gzip_types": (["application/json", "application/javascript", "text/plain", "text/css", "image/svg+xml"],
                   words_matching(MEDIA_TYPE, "media types such as application/json")),
    "tls_certificate": (None, matching(FILE, "the absolute path of a file on the host")),
    "tls_key": (None, matching(FILE, "the absolute path of a file on the host")),
    "tls_protocols": (["TLSv1.2", "TLSv1.3"], list_of(("TLSv1.2", "TLSv1.3").__contains__, "TLSv1.2 and TLSv1.3")),
    "tls_ciphers": (None, matching(CIPHERS, "OpenSSL's names of ciphers with ':' between them")),
    "tls_session_cache_mib": (10, integer(1, 4096)),
    "tls_session_seconds": (3600, SECONDS),
    "tls_stapling": (False, yes_or_no()),
    "tls_resolvers": ([], list_of(is_address, "IP addresses")),
    "http2": (True, yes_or_no()),
    "redirect_port": (None, PORT),
    "ipv6": (True, yes_or_no()),
    "static": ([], list_of(lambda part: isinstance(part, dict), "mappings with path, folder, days and public")),
    "log_format": ("text", one_of("text", "json", "none")),
    "rate_per_minute": (None, integer(1, 1 << 20)),
    "rate_burst": (20, integer(0, 1 << 16)),
    "connections_per_client": (None, integer(1, 1 << 16)),
    "client_limits": ({}, mapping("a mapping of clients to their rate_per_minute, rate_burst and connections")),
    "retry_after_seconds": (5, integer(1, 3600)),
    "cors_origins": ([], words_matching(ORIGIN, "origins such as https://app.example.org, or '*'")),
    "trusted_proxies": ([], list_of(is_network, "IP addresses and networks")),
}

STATIC_FIELDS = {
    "path": (REQUIRED, matching(FOLDER_PATH, "a URL path that begins and ends with /, and is not /")),
    "folder": (REQUIRED, matching(FOLDER_PATH, "the absolute path of a folder on the host, with a / at its end")),
    "days": (7, integer(0, 3650)),
    "public": (False, yes_or_no()),
}

LIMIT_FIELDS = {
    "rate_per_minute": (None, integer(1, 1 << 20)),
    "rate_burst": (None, integer(0, 1 << 16)),
    "connections": (None, integer(1, 1 << 16)),
}
