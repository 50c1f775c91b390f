"""What may stand in a service's model, and what module model_release is asked for."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.model_formats import check_path
from ansible_collections.inference.host.plugins.module_utils.release import Release, ReleaseError, release_file
from ansible_collections.inference.host.plugins.module_utils.service_models import check_model, model_wishes
from hypothesis import given
from hypothesis import strategies as st

SHA256, OTHER = "0" * 64, "1" * 64
COMMIT = "0123456789abcdef" * 2 + "01234567"
FILES = {"model.safetensors": SHA256, "config.json": OTHER}


def checked(*models, **model):
    """Check services with these models; return the models complete."""
    found, services = {}, [{"model": one} for one in models or [dict({"name": "m"}, **model)]]
    for service in services:
        check_model("inference_services[0] (chat)", service, found)
    return [service["model"] for service in services]


def refused(*models, **model):
    with pytest.raises(PlanError) as raised:
        checked(*models, **model)
    return str(raised.value)


def test_a_model_of_several_files():
    (model,) = checked(source=f"hf://owner/repo@{COMMIT}", files=FILES)
    assert (model["files"], model["sha256"], model["filename"], model["check"]) == (FILES, None, None, None)
    (model,) = checked(source="/a", files={"a.gguf": SHA256, "mmproj.gguf": OTHER}, filename="a.gguf")
    assert release_file(model).endswith("/a.gguf")


@pytest.mark.parametrize(("model", "sentence"), [
    ({"source": "/a.gguf", "sha256": SHA256, "files": FILES}, " has sha256 and files; files has the SHA-256 of each"),
    ({"files": {"a.bin": SHA256, "b.gguf": SHA256}}, ": files has 'a.bin'; allowed are .gguf, .safetensors,"),
    ({"files": {"../a.gguf": SHA256}}, ": files has '../a.gguf'; it must be letters"),
    ({"files": {"a.gguf": 1}}, ".files is not what it must be, a mapping of paths below source to their SHA-256."),
    ({"files": {1: SHA256}}, ".files is not what it must be"),
    ({"files": {}}, ": files has 0 entries; it must have 1 to 1024."),
    ({"files": ["a.gguf"]}, ".files is a list; it must be a mapping of paths"),
    ({"files": FILES, "filename": "x.gguf"}, ": filename is 'x.gguf'; it must be one of files."),
    ({"filename": "a/b.gguf"}, ".filename is 'a/b.gguf'; it must be a file name without folders."),
    ({"source": "hf://owner/repo@main/x.gguf"}, ": source is hf://owner/repo@main/x.gguf; it must be hf://OWNER/REPO@"),
    ({"source": "ftp://u:secret@h/x.gguf"}, ": source is ftp://h/x.gguf; it must be a path on the controller"),
    ({"source": "/m-00001-of-00002.gguf", "sha256": SHA256}, "name all parts in files."),
    ({"check": {}}, ".check.prompt is missing; it must be a text that is not empty."),
    ({"check": {"prompt": "a", "expects": "b"}}, ".check.expects is not known; did you mean expect?"),
    ({"check": {"prompt": "a", "max_tokens": 0}}, ".check.max_tokens is 0; it must be a whole number from 1 to 4096."),
])
def test_what_a_model_cannot_be(model, sentence):
    said = refused(**model)
    assert said.startswith("inference_services[0] (chat).model") and sentence in said and "secret" not in said


def test_a_check_is_completed():
    (model,) = checked(check={"prompt": "1+1="})
    assert model["check"] == {"prompt": "1+1=", "expect": None, "max_tokens": 16}


@pytest.mark.parametrize(("key", "values", "words"), [
    ("sha256", (SHA256, OTHER), "two files with different sha256"),
    ("files", (FILES, dict(FILES, **{"config.json": SHA256})), "two lists of files"),
    ("check", ({"prompt": "a"}, {"prompt": "b"}), "two checks"), ("check", (None, {"prompt": "b"}), "two checks")])
def test_one_name_is_one_model(key, values, words):
    assert refused(*({"name": "m", key: value} for value in values)) == (
        f"inference_services[0] (chat).model.name: 'm' stands for {words}; give each its own name.")
    assert len(checked(*({"name": "m", key: values[1]} for _time in range(2)))) == 2


def test_each_model_is_wished_once_with_what_its_download_needs():
    first = {"name": "m", "source": "https://h/a.gguf", "sha256": SHA256, "check": {"prompt": "a"}}
    models = [first, {"name": "planned"}, {"name": "n", "source": "/a", "files": FILES}, first,
              {"name": "half", "sha256": SHA256}]
    services = [{"model": model} for model in checked(*models)]
    assert model_wishes(services, {"m": {"X-Key": "k"}, "planned": {}}) == [
        {"name": "m", "source": "https://h/a.gguf", "sha256": SHA256, "release": "0" * 12, "headers": {"X-Key": "k"},
         "check": {"prompt": "a", "expect": None, "max_tokens": 16}},
        {"name": "n", "source": "/a", "files": FILES, "release": release_file(services[2]["model"]).split("/")[1]},
    ]


@pytest.mark.parametrize(("headers", "sentence"), [
    ({"mm": {}}, "model_headers has headers for 'mm', which is no model; did you mean m?"),
    ({"m": "Bearer secret"}, "model_headers.m is a text; it must be a mapping of header names to values."),
])
def test_wrong_headers_are_named_and_not_shown(headers, sentence):
    with pytest.raises(PlanError) as raised:
        model_wishes([{"model": model} for model in checked(name="m")], headers)
    assert str(raised.value) == sentence


NAMES = st.text("ab./-_%\n é", min_size=1, max_size=12)


@given(name=NAMES, source=NAMES, filename=st.none() | NAMES,
       files=st.none() | st.dictionaries(NAMES.map(lambda name: name + ".gguf"), st.just(SHA256), max_size=3))
def test_what_passes_here_is_a_release_at_the_planned_place(name, source, filename, files):
    """The plan and the host mean the same file, and it is below the model's own folder."""
    one = {"files": files} if files is not None else {"sha256": SHA256}
    wish = {"name": name, "source": "/" + source + ".gguf", "filename": filename, **one}
    try:
        (model,) = checked(wish)
        if files is None:
            check_path(filename or wish["source"].rsplit("/", 1)[-1])
    except (PlanError, ReleaseError):
        return
    release = Release("/models", name, wish["source"], filename=filename, **one)
    assert release.path == "/models/" + release_file(model)
    assert release.path.startswith(f"/models/{name}/")
