"""Names that stay below their release, and formats that hold data only."""

import io
import os
import pickle
import zipfile

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import ReleaseError
from ansible_collections.inference.host.plugins.module_utils.model_formats import (
    START,
    check_content,
    check_files,
    check_path,
    check_start,
    digest,
    opened_file,
)
from hypothesis import given
from hypothesis import strategies as st

SUM = "0" * 64
TENSORS = (30).to_bytes(8, "little") + b'{"__metadata__":{"a":"b"}}' + b" " * 4


def archive():
    """What PyTorch writes today: a zip archive with a pickle."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        packed.writestr("archive/data.pkl", pickle.dumps([1]))
    return stream.getvalue()


PICKLES = {**{f"protocol {number}": pickle.dumps({"a": 1}, number) for number in (2, 3, 4, 5)},
           "archive": archive(), "numpy": b"\x93NUMPY\x01\0"}


@pytest.mark.parametrize("filename", ["a.gguf", "a.safetensors", "a.ggml", "a.json", "a.model", "a.txt", "a.jinja"])
@pytest.mark.parametrize("kind", PICKLES)
def test_no_pickle_passes_under_another_name(filename, kind):
    with pytest.raises(ReleaseError, match="^PLACE is no "):
        check_start(filename, PICKLES[kind][:START], "PLACE")


@pytest.mark.parametrize(
    "suffix", ["bin", "pt", "pth", "pkl", "ckpt", "npz", "npy", "h5", "py", "onnx", "gguf.bin", "JSON"])
def test_other_formats_are_refused_by_name(suffix):
    with pytest.raises(ReleaseError, match=f"files has 'x.{suffix}'; allowed are .*can run code when they are loaded"):
        check_files({"m.gguf": SUM, "x." + suffix: SUM})


@pytest.mark.parametrize(("filename", "start"), [
    ("a.gguf", b"GGUF\3\0\0\0"), ("a.safetensors", TENSORS), ("a.ggml", b"lmgg\1\0"), ("a.json", b'{"a": 1}'),
    ("a.json", b"\xef\xbb\xbf\n [1]"), ("a.json", b"  \n   \n   \n     "), ("a.model", b"\n\x0e\n\x05<unk>"),
    ("a.txt", "ü§ 1\n".encode()), ("a.txt", b""), ("a.md", b"# x\r\n"), ("a.jinja", b"{{ x }}"),
    ("a.tiktoken", b"IQ== 0\n")])
def test_what_is_what_its_name_says_passes(filename, start):
    check_start(filename, start[:START], "PLACE")


@pytest.mark.parametrize(("filename", "start", "what"), [
    ("a.gguf", b"<html>", "GGUF file: it begins with b'<htm' instead of b'GGUF'"),
    ("a.ggml", b"GGUF", "ggml file"), ("a.safetensors", b"<html><body>text", "safetensors file"),
    ("a.safetensors", b"\2\0\0\0\0\0\0\0[", "safetensors file"),
    ("a.safetensors", b"\xff" * 8 + b"{", "safetensors file"), ("a.safetensors", b"", "safetensors file"),
    ("a.json", b"<html>", "JSON"), ("a.model", b"version https", "SentencePiece model"),
])
def test_what_is_something_else_is_said(filename, start, what):
    with pytest.raises(ReleaseError, match="PLACE is no " + what):
        check_start(filename, start[:START], "PLACE")


def test_a_whole_file_is_checked_by_its_sum_and_header(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(TENSORS)
    check_content(path, "a.safetensors", digest(path), "PLACE")
    with pytest.raises(ReleaseError, match="sha256 0{64} is expected, but PLACE has [0-9a-f]{64}"):
        check_content(path, "a.safetensors", SUM, "PLACE")
    path.write_bytes(TENSORS[:-1])
    with pytest.raises(ReleaseError, match="its header would be longer than the file"):
        check_content(path, "a.safetensors", digest(path), "PLACE")


@pytest.mark.parametrize(("files", "filename", "sentence"), [
    ({}, None, "files has 0 entries; it must have 1 to 1024"),
    ({"a.json": SUM}, None, "files has no weights; one of them must end in .gguf, .safetensors, .ggml"),
    ({"a.gguf": "1"}, None, "files has '1' for a.gguf; it must be 64 hexadecimal digits"),
    ({"a.gguf": SUM, "manifest.json": SUM}, None, "files has 'manifest.json'; that name is the release's own"),
    ({"../a.gguf": SUM}, None, "files has '../a.gguf'; it must be letters"),
    ({"/a.gguf": SUM}, None, "files has '/a.gguf'; it must be letters"),
    ({"a/.hidden/b.gguf": SUM}, None, "it must be letters, digits, '.', '_' and '-', no '.' in front"),
    ({"a//b.gguf": SUM}, None, "it must be letters"),
    ({"/".join("abcdefghi") + ".gguf": SUM}, None, "it must have at most 7 folders and 512 characters"),
    ({"a.gguf": SUM, "a.gguf/b.json": SUM}, None, "files has 'a.gguf' as a file and as a folder"),
    ({"a.gguf": SUM}, "b.gguf", "filename is 'b.gguf'; it must be one of files"),
    ({"a.gguf": SUM, "b.gguf": SUM}, None, "files has a.gguf and b.gguf; say with filename which one the engine opens"),
    ({"m-00001-of-00002.gguf": SUM}, None, "m-00001-of-00002.gguf is a part of a split model, and m-00002-of-00002.gguf"
                                           " is not there; name all parts in files"),
    ({"m-00002-of-00002.gguf": SUM}, None, "is a part of a split model, and m-00001-of-00002.gguf"),
])
def test_files_that_are_no_model_are_refused(files, filename, sentence):
    with pytest.raises(ReleaseError) as raised:
        check_files(files, filename)
    assert sentence in str(raised.value)


@pytest.mark.parametrize(("files", "filename", "opened"), [
    (["a.gguf", "config.json"], None, "a.gguf"),
    (["q/m-00002-of-00002.gguf", "q/m-00001-of-00002.gguf"], None, "q/m-00001-of-00002.gguf"),
    (["m.gguf", "mmproj.gguf"], "m.gguf", "m.gguf"),
    (["model.safetensors", "config.json"], None, ""),
    (["model.safetensors"], "model.safetensors", "model.safetensors"),
    (["x.ggml"], None, "x.ggml"),
])
def test_what_the_engine_opens(files, filename, opened):
    check_files(dict.fromkeys(files, SUM), filename)
    assert opened_file(files, filename) == opened


@given(st.one_of(st.text(), st.text("./a-_\\~ \0\n")))
def test_no_path_leads_out_of_its_release_or_hides(path):
    for name in (path, path + ".gguf", path + "/x.gguf"):
        try:
            check_path(name, "files", (".gguf",))
        except ReleaseError:
            continue
        assert os.path.normpath(os.path.join("/r", name)) == "/r/" + name
        assert not any(part.startswith(".") for part in name.split("/"))
    try:
        check_path(path)
    except ReleaseError:
        return
    assert "/" not in path


@given(st.binary(max_size=START), st.sampled_from(["a.gguf", "a.safetensors", "a.json", "a.model", "a.txt", "a.ggml"]))
def test_any_start_is_judged_without_a_crash(start, filename):
    try:
        check_start(filename, start, "PLACE")
    except ReleaseError as error:
        assert str(error).startswith("PLACE is no ")  # noqa: PT017
