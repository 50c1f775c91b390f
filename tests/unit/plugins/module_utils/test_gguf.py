"""The header reader: what PyPI's `gguf` wrote is read back, and no file makes it hang, grow or say nonsense."""

import os
import struct
import time
import tracemalloc

import pytest
from ansible_collections.inference.host.plugins.module_utils import gguf_types
from ansible_collections.inference.host.plugins.module_utils.gguf import GgufError, read_gguf, read_model
from gguf.constants import GGML_QUANT_SIZES, LlamaFileType
from gguf_models import SCALARS, of_architecture, raw_header, text, write_gguf
from hypothesis import given, settings
from hypothesis import strategies as st

MIB = 1 << 20
HUGE = (2**63 - 1, 2**64 - 1, 2**40, 2**32, 2**31)


def ranges(bits):
    half = 2**(bits - 1)
    return {"uint%d" % bits: st.integers(0, 2 * half - 1), "int%d" % bits: st.integers(-half, half - 1)}


KINDS = {**ranges(8), **ranges(16), **ranges(32), **ranges(64), "bool": st.booleans(), "string": st.text(max_size=40),
         "float32": st.floats(width=32, allow_nan=False), "float64": st.floats(allow_nan=False)}
NAMES = st.text(alphabet=st.characters(min_codepoint=97, max_codepoint=122), min_size=1, max_size=12)
VALUES = st.dictionaries(NAMES.map("x.{}".format), st.sampled_from(sorted(KINDS)).flatmap(
    lambda kind: st.tuples(st.just(kind), KINDS[kind])), max_size=8)
ARRAYS = st.dictionaries(NAMES.map("y.{}".format), st.one_of(
    st.lists(st.integers(-2**31, 2**31 - 1), min_size=1), st.lists(st.booleans(), min_size=1),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1)), max_size=4)
STRINGS = st.dictionaries(NAMES.map("z.{}".format), st.lists(st.text(max_size=9), min_size=1), max_size=3)
TENSORS = st.dictionaries(NAMES, st.tuples(st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple),
                                           st.sampled_from(["float16", "float32", "float64", "int8", "int32"])),
                          min_size=1, max_size=6)
GGML_NAMES = {"float16": "F16", "float32": "F32", "float64": "F64", "int8": "I8", "int32": "I32"}


def refuses(path, seconds=1.0, memory=2 * MIB):
    """Return why `path` is refused, or None; fail when that takes long or much memory."""
    tracemalloc.start()
    begun = time.process_time()
    try:
        read_gguf(str(path))
        said = None
    except GgufError as error:
        said = str(error)
    finally:
        taken, (_now, peak) = time.process_time() - begun, tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert taken < seconds and peak < memory
    return said


@settings(deadline=None)
@given(values=VALUES, arrays=ARRAYS, strings=STRINGS, tensors=TENSORS, big=st.booleans(),
       alignment=st.sampled_from([None, 8, 64]))
def test_what_was_written_is_read(tmp_path_factory, values, arrays, strings, tensors, big, alignment):
    path = tmp_path_factory.mktemp("g") / "m.gguf"
    write_gguf(path, "llama", [(key, *value) for key, value in values.items()], [*arrays.items(), *strings.items()],
               [(name, *tensor) for name, tensor in tensors.items()], big, alignment)
    header = read_gguf(str(path))
    assert header["byte_order"] == ("big" if big else "little") and header["version"] == 3
    expected = {key: value for key, (_kind, value) in values.items()}
    expected.update({**arrays, **dict.fromkeys(strings), "general.architecture": "llama"})
    if alignment:
        expected["general.alignment"] = alignment
    assert header["metadata"] == expected
    assert header["array_lengths"] == {key: len(value) for key, value in [*arrays.items(), *strings.items()]}
    assert {tensor["name"]: (tuple(tensor["shape"]), tensor["type"]) for tensor in header["tensors"]} == {
        name: (shape, GGML_NAMES[kind]) for name, (shape, kind) in tensors.items()}
    assert header["size_bytes"] == os.path.getsize(path)
    assert header["data_offset"] + sum(tensor["bytes"] for tensor in header["tensors"]) <= header["size_bytes"]


def test_tables_are_those_of_the_gguf_package():
    ours = gguf_types.TENSOR_TYPES
    theirs = {int(kind): (kind.name, *sizes) for kind, sizes in GGML_QUANT_SIZES.items()}
    # Q8_1 and Q8_K are for computing, no file has them; newer types may be on one side only.
    assert {number: row for number, row in theirs.items() if number in ours} == {
        number: row for number, row in ours.items() if number in theirs}
    assert set(theirs) - set(ours) == {9, 15}
    named = {int(kind): kind.name.replace("MOSTLY_", "").replace("ALL_", "") for kind in LlamaFileType}
    shared = set(named) & set(gguf_types.FILE_TYPES)
    assert {number: named[number] for number in shared} == {number: gguf_types.FILE_TYPES[number] for number in shared}
    assert set(named) - set(gguf_types.FILE_TYPES) == {1024}


def test_version_2_is_read(tmp_path):
    path = write_gguf(tmp_path / "m.gguf", tensors=[("a", (4,), "float32")])
    with open(path, "r+b") as stream:
        stream.seek(4)
        stream.write(struct.pack("<I", 2))
    assert read_gguf(path)["version"] == 2 and len(read_gguf(path)["tensors"]) == 1


@pytest.mark.parametrize("version", [0, 1, 4, 2**31])
def test_other_versions_are_refused(tmp_path, version):
    path = tmp_path / "m.gguf"
    path.write_bytes(raw_header(version=version))
    assert "version is" in refuses(path) and "2 and 3 can be read" in refuses(path)


def test_long_values_are_passed_over_and_what_follows_is_read(tmp_path):
    values = [("a.text", "string", "x" * 70000), ("a.number", "uint32", 7)]
    arrays = [("tokenizer.ggml.tokens", ["t%d" % number for number in range(90000)]),
              ("tokenizer.ggml.scores", [0.5] * 90000)]
    path = write_gguf(tmp_path / "m.gguf", values=values, arrays=arrays, tensors=[("a", (4,), "float32")])
    header = read_gguf(path)
    assert header["metadata"]["a.text"] is None and header["metadata"]["a.number"] == 7
    assert header["metadata"]["tokenizer.ggml.tokens"] is None
    assert header["array_lengths"] == {"tokenizer.ggml.tokens": 90000, "tokenizer.ggml.scores": 90000}
    assert header["tensors"] == [{"name": "a", "shape": [4], "type": "F32", "elements": 4, "bytes": 16}]
    # Nothing of the arrays is kept.
    assert refuses(path, memory=3 * MIB) is None


def test_the_data_are_never_read(tmp_path):
    path = tmp_path / "m.gguf"
    rows = 2**31
    path.write_bytes(raw_header(tensors=1) + text(b"a") + struct.pack("<IQQIQ", 2, 4, rows, 0, 0))
    os.truncate(path, 24 + 9 + 32 + 32 + 16 * rows)  # sparse
    assert refuses(path, memory=MIB) is None
    assert read_gguf(str(path))["tensors"][0]["bytes"] == 16 * rows


# What a small but complete file has: every kind of value, arrays, two tensors.
COMPLETE = {
    "values": [("k.%s" % kind, kind, "text" if kind == "string" else 1) for kind in sorted(SCALARS)],
    "arrays": [("k.texts", ["a", "bc"]), ("k.numbers", [1, 2, 3])],
    "tensors": [("blk.0.a", (8, 2), "float16"), ("blk.1.a", (8,), "float32")]}


@pytest.mark.parametrize("big", [False, True])
def test_every_truncation_is_refused(tmp_path, big):
    whole = open(write_gguf(tmp_path / "m.gguf", big=big, **COMPLETE), "rb").read()
    header = read_gguf(str(tmp_path / "m.gguf"))
    needed = header["data_offset"] + 32 + 32
    path = tmp_path / "part.gguf"
    for length in range(needed):
        path.write_bytes(whole[:length])
        assert "it ends too early" in refuses(path), length
    path.write_bytes(whole[:needed])
    assert refuses(path) is None


@pytest.mark.parametrize("number", HUGE)
def test_a_huge_number_anywhere_neither_hangs_nor_grows(tmp_path, number):
    whole = open(write_gguf(tmp_path / "m.gguf", **COMPLETE), "rb").read()
    end = read_gguf(str(tmp_path / "m.gguf"))["data_offset"]
    path = tmp_path / "wrong.gguf"
    refused = 0
    for offset in range(4, end - 8):
        path.write_bytes(whole[:offset] + struct.pack("<Q", number) + whole[offset + 8:])
        refused += refuses(path) is not None
    # Elsewhere than in a length it is a value or a name.
    assert refused > end // 2


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_refused(tmp_path_factory, junk):
    path = tmp_path_factory.mktemp("g") / "m.gguf"
    for start in (b"", b"GGUF", raw_header(1, 1), raw_header(0, 3), raw_header(2, 0, 2)):
        path.write_bytes(start + junk)
        said = refuses(path)
        assert said and said.startswith(str(path) + ": ") and said.endswith(".") and "\n" not in said


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8))
def test_changed_bytes_give_a_header_or_a_sentence(tmp_path_factory, changes):
    folder = tmp_path_factory.mktemp("g")
    whole = bytearray(open(write_gguf(folder / "m.gguf", **COMPLETE), "rb").read())
    for offset, value in changes:
        whole[offset % len(whole)] = value
    path = folder / "changed.gguf"
    path.write_bytes(whole)
    refuses(path)


def one_key(kind, value):
    return raw_header(keys=1) + text(b"k") + struct.pack("<I", kind) + value


def tensor(name=b"a", shape=(4,), kind=0, offset=0):
    layout = "<I%dQIQ" % len(shape)
    return text(name) + struct.pack(layout, len(shape), *shape, kind, offset)


@pytest.mark.parametrize(("content", "words"), [
    (b"", "it ends too early: the fixed part of the header would take 24 bytes, 0 are left"),
    (b"GGML" + bytes(30), "it is no GGUF file; it begins with b'GGML' instead of b'GGUF'"),
    # PyPI's gguf 0.19.0 does not come back from this one.
    (one_key(9, struct.pack("<IQ", 0, 2**60)), "the array of key 'k' would take 1152921504606846976 bytes, 0 are left"),
    (one_key(9, struct.pack("<IQ", 8, 2**61)[:6]), "it ends too early"),
    (one_key(9, struct.pack("<IQ", 8, 2**61)), "the array of key 'k' would take 18446744073709551616 bytes"),
    (one_key(9, struct.pack("<IQ", 4, 2**62)), "the array of key 'k' would take"),
    (one_key(9, struct.pack("<IQ", 9, 1)), "key 'k' has an array of the unknown type 9"),
    (one_key(8, struct.pack("<Q", 2**63)), "the value of key 'k' would take"),
    (one_key(99, b""), "key 'k' has a value of the unknown type 99"),
    (raw_header(keys=2**50), "it says that it has 1125899906842624 keys; at most 65536 are read"),
    (raw_header(keys=60000), "60000 keys would take 780000 bytes, 0 are left"),
    (raw_header(tensors=2**50), "tensors; at most 262144 are read"),
    (raw_header(tensors=1) + tensor(shape=(1,) * 5) + bytes(64), "tensor 'a' has 5 dimensions; there are at most 4"),
    (raw_header(tensors=1) + tensor(kind=99) + bytes(64), "tensor 'a' has the unknown type 99"),
    (raw_header(tensors=1) + tensor(shape=(33,), kind=8) + bytes(64), "rows of 33 numbers; Q8_0 has blocks of 32"),
    (raw_header(tensors=1) + tensor(offset=32) + bytes(64), "begins at byte 32 of the data instead of 0"),
    (raw_header(tensors=1) + tensor(shape=(2**40, 2**40, 2**40, 2**40)) + bytes(64), "it ends too early: tensor 'a'"),
    (raw_header(tensors=2) + tensor() + tensor() + bytes(64), "tensor 'a' is there twice"),
    (raw_header(tensors=2) + tensor() + tensor(b"b") + bytes(64), "begins at byte 0 of the data instead of 32"),
    (raw_header(keys=2) + 2 * (text(b"k") + struct.pack("<IB", 0, 1)), "key 'k' is there twice"),
    (raw_header(keys=1) + text(b"general.alignment") + struct.pack("<II", 4, 0), "it must be a power of two"),
    (raw_header(keys=1) + text(b"k" * 1025) + bytes(64), "a key's name has 1025 bytes; 1024 are allowed"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_refusals_say_why(tmp_path, content, words):
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    assert words in refuses(path)


def test_a_file_with_too_many_texts_is_refused_at_once(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(one_key(9, struct.pack("<IQ", 8, 2**27)))
    os.truncate(path, 2**31)  # room for all the texts, each empty
    assert "more than 4194304 texts" in refuses(path)


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "it is no file" in refuses(tmp_path / "pipe")
    with pytest.raises(OSError):
        read_gguf(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        read_gguf(str(tmp_path / "missing"))


def shards(folder, count, says=None):
    paths = []
    for number in range(count):
        given = of_architecture("llama", block_count=count)
        given["values"] += [("split.no", "uint16", number), ("split.count", "uint16", says or count)]
        paths.append(write_gguf(folder / ("m-%05d-of-%05d.gguf" % (number + 1, count)),
                                tensors=[("blk.%d.a" % number, (4, number + 1), "float32")], **given))
    return paths


@pytest.mark.parametrize("count", [1, 2, 3])
def test_all_parts_of_a_model_are_read_from_any_of_them(tmp_path, count):
    paths = shards(tmp_path, count)
    for path in paths:
        model = read_model(path)
        assert [shard["path"] for shard in model["shards"]] == paths
        assert [tensor["name"] for tensor in model["tensors"]] == ["blk.%d.a" % number for number in range(count)]
        assert model["size_bytes"] == sum(map(os.path.getsize, paths))
        assert model["metadata"]["split.no"] == 0


def test_a_missing_part_is_named(tmp_path):
    paths = shards(tmp_path, 3)
    os.unlink(paths[1])
    with pytest.raises(GgufError, match="1 of 3 parts of the model are missing, first m-00002-of-00003.gguf"):
        read_model(paths[0])


def test_a_huge_number_of_parts_is_refused_at_once(tmp_path):
    path = tmp_path / "m-00001-of-99999.gguf"
    path.write_bytes(raw_header())
    with pytest.raises(GgufError, match="99998 of 99999 parts"):
        read_model(str(path))


def test_parts_that_do_not_belong_together_are_refused(tmp_path):
    with pytest.raises(GgufError, match="count are 0 and 7; in a part of that name they are 0 and 2"):
        read_model(shards(tmp_path, 2, says=7)[0])
    with pytest.raises(GgufError, match="part 3 of 2 cannot be"):
        read_model(str(tmp_path / "m-00003-of-00002.gguf"))


def test_a_model_in_one_file_is_one_part(tmp_path):
    path = write_gguf(tmp_path / "m.gguf", tensors=[("a", (4,), "float32")])
    assert read_model(path)["shards"] == [{"path": path, "size_bytes": os.path.getsize(path), "tensors": 1}]
