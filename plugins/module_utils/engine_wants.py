# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which engines a host's plan asks for, where each is to be, and where it comes from.

A want is {"find": what module engine_info looks for, "origin": {"from", "archive": path on the controller where the
engine's archive is kept, or null, "sha256", "given": file, URL or null, "package": of the Python package registry or
null, "distribution": or null, "sha256_variable": name of the variable}}.
"""

from __future__ import annotations

import hashlib
import json
import os
import re

from ansible_collections.inference.host.plugins.module_utils.checks import kind
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError

TITLES = {"llama_cpp": "llama.cpp", "vllm": "vLLM", "whisper": "whisper", "command": "command",
          "container": "container engine"}
PROGRAMS = {"llama_cpp": "llama-server", "whisper": "whisper-server", "vllm": "vllm"}
ORIGINS = {"llama_cpp": ("source", "archive", "wheel", "binary"), "whisper": ("source", "archive", "binary", "package"),
           "vllm": ("package",)}
SHA256 = re.compile(r"[0-9a-f]{64}\Z")
PINNED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[a-z0-9,_-]+\])?==[^\s=]+\Z")
ID_DIGITS = 12


def engine_wants(plan, settings):
    """Return {runtime: want} for the runtimes that the plan's instances use.

    settings: {"cache_dir": folder on the controller, and by runtime a mapping of its variables by their names without
    `runtime_NAME_`, with "build_id": name of the build where it is made from source}. Raises PlanError for a variable
    that is missing or wrong.
    """
    wants = {}
    for instance in plan["instances"]:
        runtime = instance["runtime"]
        if runtime not in wants:
            wants[runtime] = _want(runtime, settings)
        find = wants[runtime]["find"]
        if runtime == "command":
            _add(find["commands"], (instance.get("command") or [None])[0])
        elif runtime == "container":
            _add(find["images"], instance.get("image"))
    return wants


def _add(words, word):
    if word is not None and word not in words:
        words.append(word)


def _want(runtime, settings):
    find = {"runtime": runtime, "title": TITLES[runtime], "kind": runtime}
    if runtime == "command":
        return {"find": dict(find, commands=[]), "origin": {"from": "host"}}
    if runtime == "container":
        return {"find": dict(find, images=[]), "origin": {"from": "host"}}
    mine = settings[runtime]
    variable = "runtime_%s_" % runtime
    origin = dict.fromkeys(("archive", "sha256", "sha256_variable", "given", "package", "distribution"))
    origin["from"] = mine.get("from", "package")
    if origin["from"] not in ORIGINS[runtime]:
        raise PlanError("%sfrom is %s; it must be one of %s." % (
            variable, kind(origin["from"]), ", ".join(ORIGINS[runtime])))
    identity = ORIGIN_READERS[origin["from"]](runtime, mine, variable, origin, settings["cache_dir"])
    release = os.path.join(mine["dir"], identity)
    find.update(kind="store", release=release, program=_program(runtime, mine, origin),
                distribution=origin["distribution"])
    if runtime == "llama_cpp":
        find.update(min_build=mine["min_build"], stated_build=mine["build"] or mine["builds"].get(origin["sha256"]),
                    build_variable=variable + "build")
    return {"find": find, "origin": origin}


def _program(runtime, mine, origin):
    if origin["from"] == "binary":
        return mine["server"]
    return "bin/" + ((origin["from"] == "package" and mine.get("program")) or PROGRAMS[runtime])


def _source(runtime, mine, variable, origin, cache):
    package = mine.get("package") if not mine["source"] else None
    if not mine["source"] and not package:
        raise PlanError("%ssource is null; it must be the source archive, a file on the controller or URL." % variable)
    origin.update(given=mine["source"], package=package, **_checksum(variable + "sha256", mine["sha256"]),
                  archive=os.path.join(cache, "%s-%s.tar.gz" % (TITLES[runtime], mine["build_id"])))
    return mine["build_id"]


def _archive(runtime, mine, variable, origin, cache):
    if not mine["archive"]:
        raise PlanError("%sarchive is null and %sfrom is archive; it must be a file on the controller or a URL." % (
            variable, variable))
    origin.update(given=mine["archive"], **_checksum(variable + "archive_sha256", mine["archive_sha256"]))
    origin["archive"] = os.path.join(cache, "%s-archive-%s" % (TITLES[runtime], origin["sha256"]))
    return origin["sha256"][:ID_DIGITS]


def _wheel(runtime, mine, variable, origin, cache):
    wheel = str(mine["wheel"] or "")
    if not (PINNED.match(wheel) or wheel.endswith(".whl")):
        raise PlanError("%swheel is %s; it must be NAME==VERSION, or a file on the controller or URL that ends in "
                        ".whl." % (variable, kind(mine["wheel"])))
    origin["given" if wheel.endswith(".whl") else "package"] = wheel
    origin.update(_checksum(variable + "wheel_sha256", mine["wheel_sha256"]))
    origin["archive"] = os.path.join(cache, "%s-wheel-%s" % (TITLES[runtime], origin["sha256"]))
    return origin["sha256"][:ID_DIGITS]


def _binary(runtime, mine, variable, origin, _cache):
    server = mine["server"]
    if not isinstance(server, str) or not server.startswith("/"):
        raise PlanError("%sserver is %s; it must be the absolute path of %s on the host." % (
            variable, kind(server), PROGRAMS[runtime]))
    return _digest(["binary", server])


def _package(runtime, mine, variable, origin, _cache):
    package = str(mine["package"] or "")
    if not PINNED.match(package):
        raise PlanError("%spackage is %s; it must be NAME==VERSION." % (variable, kind(mine["package"])))
    origin.update(package=package, distribution=re.split(r"[\[=]", package)[0])
    places = [mine.get("index_url"), mine.get("extra_index_urls"), mine.get("find_links")]
    return _digest(["package", package, mine.get("requirements_text"), _without_secrets(places)])


ORIGIN_READERS = {"source": _source, "archive": _archive, "wheel": _wheel, "binary": _binary, "package": _package}


def _checksum(variable, value):
    text = str(value or "").lower()
    if not SHA256.match(text):
        raise PlanError("%s is %s; it must be the file's SHA-256, 64 hexadecimal digits." % (variable, kind(value)))
    return {"sha256": text, "sha256_variable": variable}


def _digest(parts):
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:ID_DIGITS]


def _without_secrets(value):
    """Return URLs less what stands before `@`."""
    if isinstance(value, list):
        return [_without_secrets(part) for part in value]
    return re.sub(r"//[^/@]*@", "//", value) if isinstance(value, str) else value
