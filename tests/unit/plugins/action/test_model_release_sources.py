"""Where models come from and how they replace each other: repositories, stores, mirrors, releases that go."""

import json
import os
from pathlib import Path

import pytest
from model_host import DATA, SECRETS, SEVERAL, SHA256, SUMS, contents, incoming, module, on_host, several
from model_server import S3_KEYS, serving

# Switching and keeping


def test_without_a_switch_the_release_is_only_installed(host, run_module):
    assert module(host, run_module, **on_host(host), release="v1", switch=False)["status"] == "installed"
    assert not (host.models / "m/current").exists()
    assert module(host, run_module, **on_host(host), release="v1", switch=False)["status"] == "present"
    switched = module(host, run_module, **on_host(host), release="v1")
    assert (switched["changed"], switched["needed"]) == (True, False)


def test_old_releases_go_when_a_new_one_is_in_use(host, run_module):
    pruned = [module(host, run_module, **on_host(host), release=f"v{number}", keep=2)["pruned"] for number in range(4)]
    assert pruned == [[], [], ["m/v0"], ["m/v1"]]
    assert module(host, run_module, **on_host(host), release="v3", keep=1)["pruned"] == []
    assert sorted(os.listdir(host.models / "m")) == ["current", "v2", "v3"]


def test_another_check_is_kept_in_the_manifest(host, run_module):
    module(host, run_module, **on_host(host))
    check = {"prompt": "1+1=", "expect": "2", "max_tokens": 4}
    foretold = module(host, run_module, check=True, **on_host(host), check_of_model=check)
    assert foretold["changed"] is True
    done = module(host, run_module, **on_host(host), check_of_model=check)
    assert (done["changed"], json.loads(Path(done["manifest"]).read_text())["check"]) == (True, check)
    assert module(host, run_module, **on_host(host), check_of_model=check)["changed"] is False


# Other sources

COMMIT = "0123456789abcdef" * 2 + "01234567"


def test_a_repository_at_a_commit(host, run_module):
    files = {f"owner/repo/resolve/{COMMIT}/q/x.gguf": DATA}
    with serving(None, files=files) as server:
        done = module(host, run_module, source=f"hf://owner/repo@{COMMIT}/q/x.gguf", hf_endpoint=server.url + "/good",
                      headers={"Authorization": "Bearer " + SECRETS["header"]})
        assert done["status"] == "installed", done
        assert {headers["Authorization"] for _path, headers in server.asked} == {"Bearer " + SECRETS["header"]}
    assert json.loads(Path(done["manifest"]).read_text())["source"] == f"hf://owner/repo@{COMMIT}/q/x.gguf"


def test_objects_of_a_store(host):
    """The bucket's server verifies each signature."""
    with serving(None, files=SEVERAL) as server:
        keys = dict(S3_KEYS, endpoint=server.url)
        done, output, _starts = host.run("-vvv", s3=keys, **several("s3://s3/"))
        assert done["status"] == "installed", output
        assert S3_KEYS["secret_key"] not in output and S3_KEYS["access_key"] not in output
        wrong, output, _starts = host.run(
            "-vvv", s3=dict(keys, secret_key="wrong-secret-key"), preflight=True, **several("s3://s3/", name="n"))
    assert "answers 403 (Forbidden); check the S3 keys" in wrong["msg"] and "wrong-secret-key" not in output
    assert contents(host, "current") == SEVERAL


def test_mirrors_stand_in_for_a_source(host, run_module):
    with serving(DATA) as server:
        mirrors = {"https://models.invalid/": [server.url + "/404/", server.url + "/drops/"]}
        done = module(host, run_module, source="https://models.invalid/a/x.gguf", mirrors=mirrors,
                      headers={"X-Key": SECRETS["header"]})
        assert done["status"] == "installed", done
        assert not [headers for _path, headers in server.asked if "X-Key" in headers]
    assert json.loads(Path(done["manifest"]).read_text())["source"] == "https://models.invalid/a/x.gguf"


def test_a_mirror_with_another_file_is_named_and_not_used(host, run_module):
    with serving(DATA[:-1] + b"!") as server:
        mirrors = {"https://models.invalid/": [server.url + "/good/"]}
        result = module(host, run_module, source="https://models.invalid/x.gguf", mirrors=mirrors)
    assert (f"sha256 {SHA256} is expected, but the file from https://models.invalid/x.gguf, by"
            f" {server.url}/good/x.gguf, has") in result["msg"]
    assert incoming(host) == ["lock"] and not (host.models / "m").exists()


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"mirrors": {"https://h/": "https://m/"}}, "mirrors has no list for https://h/; it must be one of URL prefixes."),
    ({"s3": {"access_key": "a"}},
     "s3 has only one of access_key and secret_key; give both, or none for public objects."),
    ({"source": "hf://owner/repo@main/x.gguf"}, "model 'm': source is hf://owner/repo@main/x.gguf; it must be hf://OWNER"
     "/REPO@COMMIT/PATH with the commit's 40 hexadecimal digits, for branches and tags move."),
    ({"files": SUMS}, "model 'm': a model has either sha256, of its one file, or files."),
])
def test_wrong_arguments_are_said(host, run_module, changes, sentence):
    assert module(host, run_module, **changes)["msg"] == sentence
