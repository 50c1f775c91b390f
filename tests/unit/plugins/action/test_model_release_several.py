"""Models of several files, and several models in one call: what is resumed, what is completed, and what is one sum."""

import hashlib
import os
import re
import shutil
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.gguf import read_model
from ansible_collections.inference.host.plugins.module_utils.gguf_facts import model_facts
from gguf_models import of_architecture, write_gguf
from model_host import (
    DATA,
    SEVERAL,
    SHA256,
    SIZE,
    SUMS,
    contents,
    incoming,
    module,
    on_host,
    several,
    wait_for,
    write_below,
)
from model_server import serving


def test_several_files_from_the_controller(host):
    folder = write_below(host.folder / "repository")
    foretold, _output, starts = host.run("--check", **several(folder))
    assert (foretold["status"], foretold["size_bytes"], starts) == ("would_install", SIZE, 1)
    assert sorted(foretold["missing"]) == sorted(SUMS) and not host.models.exists()
    done, output, _starts = host.run(**several(folder))
    assert (done["changed"], done["status"], done["size_bytes"]) == (True, "installed", SIZE), output
    assert done["path"] == f"{host.models}/m/current" and done["facts"] is None
    assert contents(host, "current") == SEVERAL
    assert incoming(host) == ["lock"]
    shutil.rmtree(folder)
    again, _output, starts = host.run(**several(folder))
    assert (again["changed"], again["status"], starts) == (False, "present", 1)


def test_a_missing_or_wrong_one_of_several_leaves_nothing(host):
    folder = write_below(host.folder / "repository")
    (folder / "config.json").unlink()
    result, _output, starts = host.run(**several(folder))
    assert (result["msg"], starts) == (
        f"model 'm': source {folder}/config.json does not exist on the controller; it must be a file there, a URL that"
        " the host can fetch, or file:///PATH for a file on the host.", 1)
    (folder / "config.json").write_bytes(b"{}")
    result, _output, starts = host.run(**several(folder))
    assert f"model 'm': sha256 {SUMS['config.json']} is expected, but {folder}/config.json has" in result["msg"]
    assert not host.models.exists()


def test_several_models_are_one_call(host):
    write_below(host.folder / "repository")
    models = [{"name": "one", "source": str(host.source), "sha256": SHA256},
              dict(several(f"file://{host.folder}/repository"), name="two"),
              {"name": "three", "source": f"file://{host.source}", "sha256": SHA256, "filename": "y.gguf"}]
    done, output, _starts = host.run(models=models)
    assert [(model["name"], model["status"]) for model in done["results"]] == [
        ("one", "installed"), ("two", "installed"), ("three", "installed")], output
    again, _output, starts = host.run(models=models)
    assert (again["changed"], starts, [model["status"] for model in again["results"]]) == (False, 1, ["present"] * 3)
    more, _output, _starts = host.run(models=[*models, {"name": "four", "source": str(host.source), "sha256": SHA256}])
    assert [(model["status"], model["changed"]) for model in more["results"]] == [
        *[("present", False)] * 3, ("installed", True)]
    twice, _output, _starts = host.run(models=models[:1] * 2)
    assert twice["msg"] == "models has 'one' twice; each model needs a name of its own."


def test_what_an_earlier_call_installed_is_reported(host):
    """The first model is complete while the second still comes."""
    with serving(DATA) as server:
        models = [{"name": name, "source": f"{server.url}/{behaviour}/x.gguf", "sha256": SHA256}
                  for name, behaviour in (("one", "good"), ("two", "stalls"))]
        done, output, starts = host.run(models=models, time_budget_seconds=1)
    assert [(model["status"], model["changed"]) for model in done["results"]] == [("installed", True)] * 2, output
    assert starts > 1


def test_each_of_several_files_is_resumed(host):
    with serving(None, files=SEVERAL) as server:
        result, output, _starts = host.run(**several(server.url + "/drops"))
        assert result["status"] == "installed", output
        ranges = {}
        for path, headers in server.asked:
            ranges.setdefault(path.partition("/drops/")[2], []).append(headers["Range"])
    assert contents(host, "current") == SEVERAL
    # The first request of each looks whether it is there. Of the same content comes one.
    assert ranges == {
        "model-00001-of-00002.safetensors": ["bytes=0-15", "bytes=0-", "bytes=1000000-"],
        "model-00002-of-00002.safetensors": ["bytes=0-15", "bytes=0-"],
        "config.json": ["bytes=0-15", "bytes=0-"],
        "sub/tokenizer.json": ["bytes=0-15"],
    }
    assert incoming(host) == ["lock"]


def test_a_download_of_several_that_fails_half_way_goes_on(host, run_module, snapshot):
    """The third file is wrong: the old release stays as it is, and no half of the new one is there."""
    module(host, run_module, **on_host(host))
    before = snapshot(host.models / "m")
    files = dict(SEVERAL, **{"config.json": b'{"other": 1}'})
    with serving(None, files=files) as server:
        result = module(host, run_module, **several(server.url + "/good"))
        assert result["msg"].startswith(f"model 'm': sha256 {SUMS['config.json']} is expected, but the file from"
                                        f" {server.url}/good/config.json has ")
        assert snapshot(host.models / "m") == before
        assert incoming(host) == sorted([f"{SUMS[path]}.whole" for path in list(SUMS)[:2]] + ["lock"])
        files["config.json"] = SEVERAL["config.json"]
        server.asked.clear()
        assert module(host, run_module, **several(server.url + "/good"))["status"] == "installed"
        assert not [path for path, _headers in server.asked if "safetensors" in path]
    assert contents(host, "current") == SEVERAL
    assert incoming(host) == ["lock"]


def test_the_room_is_that_of_all_models_together(host, run_module):
    """Each alone would have room."""
    free = shutil.disk_usage(host.folder).free
    names = ("one", "two", "three")
    models = [{"name": name, "source": f"/{name}.gguf", "sha256": hashlib.sha256(name.encode()).hexdigest()}
              for name in names]
    sizes = {name: {f"{name}.gguf": free * 2 // 5} for name in names}
    result = module(host, run_module, preflight=True, models=models, sizes=sizes)
    assert re.fullmatch(r"models 'one, two, three': models_dir \(.*/models\) has \d+ MiB free; \d+ MiB are needed\.",
                        result["msg"])
    result = module(host, run_module, preflight=True, models=models[:1], sizes=sizes)
    assert result["status"] == "would_install"
    assert not host.models.exists()


@pytest.mark.parametrize("steps", range(1, 6))
def test_an_installation_of_several_that_was_killed_is_completed(host, run_module, steps):
    """The steps are: whole files, one of them in place, all, manifest, current."""
    folder = write_below(host.folder / "repository")
    arguments = several(f"file://{folder}")
    release = Path(module(host, run_module, **arguments)["manifest"]).parent
    (host.models / "m/current").unlink()
    if steps < 5:
        (release / "manifest.json").unlink()
    if steps < 3:
        for path in list(SEVERAL)[steps - 1:]:
            whole = host.models / f".incoming/{SUMS[path]}.whole"
            if (release / path).exists():
                os.rename(release / path, whole)
    done = module(host, run_module, **arguments)
    assert (done["changed"], done["status"]) == (True, "installed")
    assert contents(host, "current") == SEVERAL
    assert incoming(host) == ["lock"]
    assert module(host, run_module, **arguments)["status"] == "present"


def test_a_killed_run_of_several_downloads_goes_on(host, start_module, run_module):
    with serving(None, files=SEVERAL) as server:
        process = start_module("model_release", host.arguments(**several(server.url + "/stalls")))
        partial = host.models / f".incoming/{SUMS['model-00001-of-00002.safetensors']}.partial"
        wait_for(lambda: partial.exists() and partial.stat().st_size == server.piece)
        process.kill()
        process.wait()
        process.stdout.close()
        assert not (host.models / "m").exists()
        assert module(host, run_module, **several(server.url + "/good"))["status"] == "installed"
    assert contents(host, "current") == SEVERAL


def split_model(folder):
    """Write a split GGUF model; return {name: content}."""
    files = {}
    for number in range(2):
        name = f"q-0000{number + 1}-of-00002.gguf"
        model = of_architecture("llama", block_count=1, embedding_length=8, attention__head_count=2)
        model["values"] += [("split.no", "uint16", number), ("split.count", "uint16", 2)]
        write_gguf(folder / name, tensors=[(f"blk.0.{number}", (8, 16), "float32")], **model)
        files[name] = (folder / name).read_bytes()
    return files


def test_the_facts_of_a_split_model_are_those_of_all_parts(host, tmp_path):
    (tmp_path / "split").mkdir()
    files = split_model(tmp_path / "split")
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    sources = [str(tmp_path / "split"), f"file://{tmp_path}/split"]
    with serving(None, files=files) as server:
        sources.append(server.url + "/good")
        found = [host.run(preflight=True, **several(source, files=sums))[0] for source in sources]
        installed, output, _starts = host.run(**several(server.url + "/good", files=sums))
    assert installed["path"].endswith("/current/q-00001-of-00002.gguf"), output
    facts = model_facts(read_model(str(tmp_path / "split/q-00001-of-00002.gguf")))
    assert facts["weights_bytes"] == 2 * 8 * 16 * 4
    assert [one["facts"] for one in [*found, installed]] == [facts] * 4
