"""Module model_releases as Ansible runs it: it lists, switches and removes, and in check mode only says so."""

import hashlib
import shutil

import pytest


@pytest.fixture
def models(tmp_path, run_module):
    """A folder with releases v1 and v2 of model m, v2 being current."""
    source = tmp_path / "x.gguf"
    source.write_bytes(b"GGUF" + bytes(1000))
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    for release in ("v1", "v2"):
        wish = {"name": "m", "source": f"file://{source}", "sha256": sha256, "release": release}
        done = run_module("model_release", {"models_dir": str(tmp_path / "models"), "models": [wish]})
        assert done["changed"] is True, done
    return tmp_path / "models"


def names(result):
    return [(one["release"], one["current"]) for one in result["models"].get("m", [])]


def test_the_list_changes_nothing(models, run_module, snapshot):
    before = snapshot(models)
    result = run_module("model_releases", {"models_dir": str(models)})
    assert (result["changed"], names(result)) == (False, [("v2", True), ("v1", False)])
    (sha256,) = result["models"]["m"][0]["files"].values()
    assert result["models"]["m"][0]["files"] == {"x.gguf": sha256} and len(sha256) == 64
    assert snapshot(models) == before


def test_a_folder_that_cannot_be_made_is_said_in_one_sentence(tmp_path, run_module):
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    wish = {"name": "m", "source": f"file://{tmp_path}/x.gguf", "sha256": hashlib.sha256(b"GGUF").hexdigest()}
    folder = tmp_path / "x.gguf/models"
    result = run_module("model_release", {"models_dir": str(folder), "models": [wish]})
    assert result["failed"] and result["msg"].startswith(f"{folder}/")
    assert result["msg"].endswith(" cannot be used: not a directory.")


def test_a_host_without_models_has_none(tmp_path, run_module):
    for keep in (0, 2):
        result = run_module("model_releases", {"models_dir": str(tmp_path / "none"), "keep": keep})
        assert (result["changed"], result["models"]) == (False, {})
    assert not (tmp_path / "none").exists()


def test_current_goes_back_and_old_ones_go(models, run_module, snapshot):
    wish = {"models_dir": str(models), "current": {"m": "v1"}, "keep": 1}
    before = snapshot(models)
    foretold = run_module("model_releases", wish, check=True)
    assert (foretold["changed"], foretold["switched"], snapshot(models)) == (True, ["m"], before)
    done = run_module("model_releases", wish)
    # v2 is the newest and stays, v1 is in use.
    assert (done["changed"], done["switched"], done["pruned"]) == (True, ["m"], [])
    assert names(done) == [("v2", False), ("v1", True)]
    assert run_module("model_releases", wish)["changed"] is False
    done = run_module("model_releases", dict(wish, current={"m": "v2"}))
    assert done["pruned"] == ["m/v1"] and names(done) == [("v2", True)]


def test_what_is_needed_stays(models, run_module):
    done = run_module("model_releases", {"models_dir": str(models), "keep": 1, "needed": {"m": "v1"}})
    assert (done["changed"], names(done)) == (False, [("v2", True), ("v1", False)])


def test_a_release_that_is_not_installed_is_refused(models, run_module):
    result = run_module("model_releases", {"models_dir": str(models), "current": {"m": "v3"}})
    assert result["msg"] == "model 'm': release 'v3' is not installed; there are v2, v1."
    shutil.rmtree(models)
    result = run_module("model_releases", {"models_dir": str(models), "current": {"m": "v1"}})
    assert result["msg"] == "model 'm': release 'v1' is not installed; there are none."
    assert not models.exists()
