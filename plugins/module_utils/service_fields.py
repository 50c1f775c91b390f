# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The keys of one entry of `inference_services`: their types and ranges, and their defaults."""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils.checks import (
    REQUIRED,
    either,
    integer,
    mapping,
    matching,
    one_line,
    one_of,
    yes_or_no,
)

RUNTIMES = ("llama_cpp", "vllm", "whisper", "command", "container")
CACHE_TYPES = ("f16", "bf16", "q8_0", "q4_0")
LOAD_MODES = ("auto", "mmap", "mlock", "mmap+mlock", "none", "dio")
PREFIXES = ("none", "numactl", "taskset")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
LIBRARY = re.compile(r"/[A-Za-z0-9_.+/@-]+\Z")
"""What LD_PRELOAD takes as one path: blanks and colons part its list."""
IMAGE = re.compile(r"[a-z0-9][a-z0-9.-]*(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+@sha256:[0-9a-f]{64}\Z")
URL_PATH = re.compile(r"/[A-Za-z0-9._~/-]*\Z")
"""A path that neither nginx nor a shell reads anything into."""

# What a profile stands for; a key that the service sets itself wins. The numbers are those of a deployment that serves
# a retrieval (RAG) application on one 8 GB card; the application reads its own three from the environment.
PROFILES = {
    "speed": {"context": 2048, "batch": 1024, "temperature": "0.1", "rag_k": "3", "max_context": "2000"},
    "balanced": {"context": 4096, "batch": 512, "temperature": "0.2", "rag_k": "5", "max_context": "4000"},
    "quality": {"context": 8192, "batch": 256, "temperature": "0.3", "rag_k": "8", "max_context": "6000"},
}


def fraction(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1


def variables_map(value):
    return isinstance(value, dict) and all(
        isinstance(name, str) and VARIABLE.match(name) and one_line(text) for name, text in value.items())


def text_list(value):
    return isinstance(value, list) and all(one_line(part) for part in value)


def command_line(value):
    return text_list(value) and bool(value) and value[0].startswith("/")


def path_list(value):
    return isinstance(value, list) and bool(value) and all(
        isinstance(path, str) and URL_PATH.match(path) for path in value)


POSITIVE = integer(1, 1 << 20)
PORT = integer(1, 65535)

SERVICE_FIELDS = {
    "name": (REQUIRED, matching(NAME, "lower-case letters, digits, '-' and '_', at most 32")),
    "runtime": (REQUIRED, one_of(*RUNTIMES)),
    "model": (None, mapping("a mapping with a name")),
    "command": (None, (text_list, "a list of texts of one line")),
    "image": (None, matching(IMAGE, "registry/name@sha256:DIGEST, with 64 hexadecimal digits")),
    "container_port": (None, PORT),
    "instances": (1, either(integer(1, 1024), "per_numa_node", "per_gpu")),
    "threads": (None, integer(1, 4096)),
    "threads_batch": (None, integer(1, 4096)),
    "cpu_share": (None, (fraction, "a number above 0 and at most 1")),
    "numa": ("auto", either(integer(0, 1023), "auto", "interleave", "off")),
    "prefix": ("none", one_of(*PREFIXES)),
    "gpus": (None, integer(0, 64)),
    "gpu_layers": ("auto", either(integer(0, 4096), "auto")),
    "gpu_memory_mib": (None, POSITIVE),
    "tensor_parallel": (None, integer(1, 64)),
    "hugepages_mib": (0, integer(0, 1 << 24)),
    "port": (None, PORT),
    "health": (None, either(matching(URL_PATH, "a path that begins with /"), "tcp")),
    "paths": (None, (path_list, "a list of URL paths, each beginning with /")),
    "profile": (None, one_of(*PROFILES)),
    "context": (None, integer(128, 1 << 22)),
    "parallel": (1, integer(1, 256)),
    "batch": (None, POSITIVE),
    "ubatch": (None, POSITIVE),
    "cache_type": ("f16", one_of(*CACHE_TYPES)),
    "cache_ram_mib": (None, integer(0, 1 << 20)),
    "load_mode": (None, one_of(*LOAD_MODES)),
    "warm_up": (False, yes_or_no()),
    "memory_lock": (None, either(integer(1, 1 << 24), "infinity")),
    "open_files": (None, integer(64, 1 << 30)),
    "tasks": (None, integer(1, 1 << 22)),
    "oom_score": (None, integer(-1000, 1000)),
    "nice": (0, integer(-20, 19)),
    "io": (None, mapping("a mapping with class and priority")),
    "scheduling": (None, mapping("a mapping with policy and priority")),
    "restart": ({}, mapping("a mapping with delay_seconds, max_delay_seconds, tries and within_seconds")),
    "allocator": (None, matching(LIBRARY, "the absolute path of a shared library, without blanks and colons")),
    "priority": (0, integer(-1000, 1000)),
    "environment": ({}, (variables_map, "a mapping of names (letters, digits and '_') to texts of one line")),
    "config": (None, mapping("a mapping, which becomes a JSON file")),
    "arguments": ([], (text_list, "a list of texts of one line")),
}

IO_FIELDS = {
    "class": (REQUIRED, one_of("realtime", "best-effort", "idle")),
    "priority": (4, integer(0, 7)),
}

SCHEDULING_FIELDS = {
    "policy": (REQUIRED, one_of("other", "batch", "idle", "fifo", "rr")),
    "priority": (None, integer(1, 99)),
}

MAX_DELAY_SECONDS = 60
# Twenty starts in ten minutes end it. With the growing delays of systemd 254 that is never reached.
RESTART_FIELDS = {
    "delay_seconds": (2, integer(1, 3600)),
    "max_delay_seconds": (None, integer(1, 86400)),
    "tries": (20, integer(1, 10000)),
    "within_seconds": (600, integer(1, 604800)),
}
