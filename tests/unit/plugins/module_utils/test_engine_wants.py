"""Which engines a plan asks for, and where they come from."""

import copy

import pytest
from ansible_collections.inference.host.plugins.module_utils.engine_wants import engine_wants
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError

SUM, OTHER = "a1" * 32, "b2" * 32
SETTINGS = {
    "cache_dir": "/cache",
    "llama_cpp": {"from": "source", "dir": "/opt/llama", "min_build": 8146, "build": None, "builds": {SUM: 11312},
                  "build_id": "0123456789ab", "source": None, "package": "llama-cpp-python==0.3.36", "sha256": SUM,
                  "archive": None, "archive_sha256": None, "wheel": None, "wheel_sha256": None, "server": None},
    "vllm": {"dir": "/opt/vllm", "package": "vllm==0.33.0", "requirements_text": None, "index_url": None,
             "extra_index_urls": [], "find_links": []},
    "whisper": {"from": "source", "dir": "/opt/whisper", "build_id": "ba9876543210", "source": None, "sha256": None,
                "archive": None, "archive_sha256": None, "server": None, "package": None, "program": None,
                "requirements_text": None, "index_url": None, "extra_index_urls": [], "find_links": []},
}


def wants(*instances, **changes):
    """changes: RUNTIME={variable: value}."""
    settings = copy.deepcopy(SETTINGS)
    for runtime, values in changes.items():
        settings[runtime].update(values)
    plan = {"instances": [one if isinstance(one, dict) else {"runtime": one} for one in instances]}
    return engine_wants(plan, settings)


def want(runtime, **values):
    return wants(runtime, **{runtime: values})[runtime]


def test_a_plan_asks_only_for_what_its_instances_use():
    assert wants() == {}
    assert list(wants("llama_cpp", "vllm", "llama_cpp")) == ["llama_cpp", "vllm"]
    # What whisper lacks here is of no matter to a host without it.
    with pytest.raises(PlanError, match="runtime_whisper_source is null; it must be the source archive"):
        wants("whisper")


def test_llama_cpp_from_source_by_default():
    made = want("llama_cpp")
    assert made["find"] == {
        "runtime": "llama_cpp", "title": "llama.cpp", "kind": "store", "release": "/opt/llama/0123456789ab",
        "program": "bin/llama-server", "distribution": None, "min_build": 8146, "stated_build": 11312,
        "build_variable": "runtime_llama_cpp_build"}
    assert made["origin"] == {
        "from": "source", "archive": "/cache/llama.cpp-0123456789ab.tar.gz", "sha256": SUM,
        "sha256_variable": "runtime_llama_cpp_sha256", "given": None, "package": "llama-cpp-python==0.3.36",
        "distribution": None}


def test_another_source_has_no_known_build_but_a_stated_one():
    other = want("llama_cpp", sha256=OTHER, source="https://example.org/a.tar.gz")
    assert other["find"]["stated_build"] is None
    assert (other["origin"]["given"], other["origin"]["package"]) == ("https://example.org/a.tar.gz", None)
    assert want("llama_cpp", sha256=OTHER, build=12000)["find"]["stated_build"] == 12000


def test_an_archive_is_named_by_its_checksum():
    made = want("llama_cpp", **{"from": "archive", "archive": "~/a.zip", "archive_sha256": OTHER.upper()})
    assert made["find"]["release"] == "/opt/llama/b2b2b2b2b2b2" and made["find"]["program"] == "bin/llama-server"
    assert made["find"]["stated_build"] is None
    assert made["origin"] == {
        "from": "archive", "archive": f"/cache/llama.cpp-archive-{OTHER}", "sha256": OTHER,
        "sha256_variable": "runtime_llama_cpp_archive_sha256", "given": "~/a.zip", "package": None,
        "distribution": None}


@pytest.mark.parametrize(("wheel", "key"), [
    ("llama-server-wheel==1.0", "package"), ("https://example.org/a-1-py3-none-any.whl", "given"),
    ("/srv/a.whl", "given"),
])
def test_a_wheel_is_a_package_or_a_file(wheel, key):
    origin = want("llama_cpp", **{"from": "wheel", "wheel": wheel, "wheel_sha256": SUM})["origin"]
    assert origin[key] == wheel and origin["archive"] == f"/cache/llama.cpp-wheel-{SUM}"


def test_a_program_that_is_there_has_a_place_by_its_path():
    first, second = (want("llama_cpp", **{"from": "binary", "server": path}) for path in ("/usr/bin/a", "/usr/bin/b"))
    assert first["find"]["program"] == "/usr/bin/a" and first["origin"]["archive"] is None
    assert first["find"]["release"] != second["find"]["release"]


def test_an_environment_changes_with_what_it_holds_and_not_with_a_password():
    def place(**values):
        return want("vllm", **values)["find"]["release"]

    made = want("vllm", package="vllm[audio]==0.33.0+cpu")
    assert (made["find"]["program"], made["find"]["distribution"]) == ("bin/vllm", "vllm")
    assert made["origin"]["package"] == "vllm[audio]==0.33.0+cpu"
    places = [place(), place(package="vllm==0.34.0"), place(requirements_text="vllm==0.33.0"),
              place(index_url="https://example.org/cpu"), place(find_links=["/srv/wheels"])]
    assert len(set(places)) == len(places)
    assert place(index_url="https://me:secret@example.org/cpu") == place(index_url="https://example.org/cpu")


def test_whisper_of_a_package_has_the_named_program():
    made = want("whisper", **{"from": "package", "package": "faster-whisper-server==1.0", "program": "serve"})
    assert made["find"]["program"] == "bin/serve" and made["find"]["distribution"] == "faster-whisper-server"
    assert "min_build" not in made["find"]


def test_commands_and_images_are_those_of_the_instances():
    made = wants({"runtime": "command", "command": ["/opt/a", "-x"]}, {"runtime": "command", "command": ["/opt/a"]},
                 {"runtime": "command", "command": ["/opt/b"]}, {"runtime": "container", "image": "r/i@sha256:0"})
    assert made["command"]["find"] == {"runtime": "command", "title": "command", "kind": "command",
                                       "commands": ["/opt/a", "/opt/b"]}
    assert made["container"]["find"]["images"] == ["r/i@sha256:0"]


@pytest.mark.parametrize(("runtime", "values", "words"), [
    ("llama_cpp", {"from": "apt"}, "runtime_llama_cpp_from is 'apt'; it must be one of source, archive, wheel, binary"),
    ("llama_cpp", {"from": "archive"}, "runtime_llama_cpp_archive is null and runtime_llama_cpp_from is archive"),
    ("llama_cpp", {"from": "archive", "archive": "/a"}, "runtime_llama_cpp_archive_sha256 is None; it must be the"),
    ("llama_cpp", {"sha256": "xyz"}, "runtime_llama_cpp_sha256 is 'xyz'; it must be the file's SHA-256"),
    ("llama_cpp", {"from": "wheel", "wheel": "a>=1"}, "runtime_llama_cpp_wheel is 'a>=1'; it must be NAME==VERSION"),
    ("llama_cpp", {"from": "binary"}, "runtime_llama_cpp_server is None; it must be the absolute path of llama-server"),
    ("llama_cpp", {"from": "binary", "server": "bin/x"}, "runtime_llama_cpp_server is 'bin/x'; it must be the abs"),
    ("vllm", {"package": "vllm"}, "runtime_vllm_package is 'vllm'; it must be NAME==VERSION"),
    ("whisper", {"from": "wheel"}, "runtime_whisper_from is 'wheel'; it must be one of source, archive, binary, pack"),
    ("whisper", {"from": "binary"}, "runtime_whisper_server is None; it must be the absolute path of whisper-server"),
])
def test_what_is_missing_or_wrong_is_said(runtime, values, words):
    with pytest.raises(PlanError) as error:
        want(runtime, **values)
    assert words in str(error.value)
