"""Which instances are rolled out, and which release a service goes back to."""

import hashlib

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.release import default_release
from ansible_collections.inference.host.plugins.module_utils.rollout_wishes import rolled_back, rollout_instances

PLAN = {"instances": [
    {"service": "chat", "index": 0}, {"service": "voice", "index": 0}, {"service": "chat", "index": 1}]}


def test_all_instances_or_those_of_a_service():
    assert rollout_instances(PLAN) == PLAN["instances"]
    assert [one["index"] for one in rollout_instances(PLAN, "chat")] == [0, 1]


def test_a_service_that_is_not_there_is_refused():
    with pytest.raises(PlanError, match="service is 'chatt', of which the plan has no instance; did you mean chat"):
        rollout_instances(PLAN, "chatt")


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def release(text, current=False, **more):
    return {"release": digest(text)[:12], "current": current, "source": "/srv/" + text, "opened": "m.gguf",
            "check": None, "files": {"m.gguf": digest(text)}, **more}


CHAT = {"name": "chat", "runtime": "llama_cpp", "model": {
    "name": "m", "source": "/srv/new.gguf", "sha256": digest("three"), "weights_mib": 7, "check": {"prompt": "?"}}}
OTHER = {"name": "other", "runtime": "command"}
SAME = {"name": "same", "model": {"name": "m"}}
THREE = {"m": [release("three"), release("two", True), release("one", check={"prompt": "Where?"})]}


def test_a_service_goes_back_to_what_was_installed_before_the_current_release():
    back = rolled_back([CHAT, OTHER], "chat", THREE)
    assert back == [dict(CHAT, model={
        "name": "m", "source": "/srv/one", "sha256": digest("one"), "filename": "m.gguf", "weights_mib": 7,
        "check": {"prompt": "Where?"}}), OTHER]


def test_a_release_that_is_named_is_taken():
    (back,) = rolled_back([CHAT], "chat", THREE, digest("three")[:12])
    assert back["model"]["sha256"] == digest("three")


def test_services_that_share_the_model_go_back_together():
    assert [one["model"]["sha256"] for one in rolled_back([CHAT, SAME], "same", THREE)] == [digest("one")] * 2


def test_a_release_of_several_files_keeps_its_list():
    files = {"a/1.safetensors": digest("1"), "config.json": digest("c")}
    several = dict(release("x"), release=default_release(None, files), files=files, opened="", source="hf://o/r@c")
    (back,) = rolled_back([CHAT], "chat", {"m": [release("two", True), several]})
    assert back["model"] == {
        "name": "m", "source": "hf://o/r@c", "files": files, "weights_mib": 7, "check": None}


def test_a_list_of_one_file_stays_a_list_for_its_release_is_named_after_it():
    files = {"m.gguf": digest("x")}
    one = dict(release("x"), release=default_release(None, files), files=files)
    (back,) = rolled_back([CHAT], "chat", {"m": [release("two", True), one]})
    assert back["model"]["files"] == files and "sha256" not in back["model"]


@pytest.mark.parametrize(("service", "releases", "wanted", "said"), [
    ("chta", THREE, None, "service is 'chta', which is none of inference_services; did you mean chat"),
    ("chat", THREE, "ffff", "release is 'ffff', which this host does not have of model m; it has"),
    ("chat", {}, None, "model m has no release that was installed before the current one; it has none"),
    ("chat", {"m": [release("two", True)]}, None, "no release that was installed before the current one"),
    ("chat", {"m": [release("two"), release("one")]}, None, "no release that was installed before the current one"),
    ("other", THREE, None, "no release that was installed before the current one"),
])
def test_what_cannot_go_back_is_said(service, releases, wanted, said):
    with pytest.raises(PlanError, match=said):
        rolled_back([CHAT, OTHER], service, releases, wanted)
