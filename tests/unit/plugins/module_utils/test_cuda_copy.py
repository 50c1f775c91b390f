"""Copies between GPUs, against a stand-in for CUDA's driver library that the C compiler makes. No card is used."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.cuda_copy import (
    SMALLEST,
    WAYS,
    difference,
    pattern,
    pieces,
)
from ansible_collections.inference.host.plugins.module_utils.cuda_copy_run import compare_copies
from ansible_collections.inference.host.plugins.module_utils.gpu_copies import ways_between

SOURCE = Path(__file__).parents[2] / "stand_ins" / "libcuda.c"
ONE, TWO, THREE = "0000:10:00.0", "0000:11:00.0", "0000:12:00.0"
COMPILER = shutil.which("cc")
needs_compiler = pytest.mark.skipif(not COMPILER, reason="no C compiler (cc) for the stand-in")


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """Return {name: path} of the stand-in, and of one that is too old to have cuMemcpyPeer."""
    folder = tmp_path_factory.mktemp("stand_in")
    made = {}
    for name, flags in {"whole": [], "old": ["-DLACKS_PEER"]}.items():
        made[name] = str(folder / (name + ".so"))
        subprocess.run([COMPILER, "-shared", "-fPIC", "-Wall", "-Werror", *flags, "-o", made[name], str(SOURCE)],
                       check=True)
    return made


@pytest.fixture
def copies(libraries, monkeypatch):
    """Return a function that compares copies: copies(GPUS=..., CORRUPT=..., ...) -> (results, why not)."""

    def run(addresses=(ONE, TWO), library="whole", seconds=10, **wishes):
        wishes.setdefault("GPUS", ",".join(addresses))
        for name, value in wishes.items():
            if value is not None:
                monkeypatch.setenv("STAND_IN_" + name, value)
        return compare_copies(ways_between(addresses), SMALLEST, seconds, libraries.get(library, library))

    return run


def told(results):
    return {(copy["from"], copy["to"]): copy["ok"] for copy in results}


def reason(results, source, target):
    (found,) = [copy["reason"] for copy in results if (copy["from"], copy["to"]) == (source, target)]
    return found


@needs_compiler
def test_copies_that_arrive_are_right_in_both_directions(copies, tmp_path):
    results, why = copies(REST=str(tmp_path / "rest"))
    assert why is None
    assert results == [
        {"from": ONE, "to": TWO, "ok": True, "access": True, "bytes": SMALLEST, "reason": None},
        {"from": TWO, "to": ONE, "ok": True, "access": True, "bytes": SMALLEST, "reason": None}]
    # Nothing is left on the cards.
    assert (tmp_path / "rest").read_text() == "0"


@needs_compiler
def test_all_pairs_are_copied(copies):
    results, _why = copies((ONE, TWO, THREE))
    assert list(told(results)) == [(ONE, TWO), (TWO, ONE), (ONE, THREE), (THREE, ONE), (TWO, THREE), (THREE, TWO)]
    assert set(told(results).values()) == {True}


@needs_compiler
@pytest.mark.parametrize(("fault", "says"), [
    ("CORRUPT", "1 of 262144 bytes came back different, the first at 131072 (copied by the sender)"),
    # Where the pattern happens to have the byte that the memory was filled with, nothing differs.
    ("LOST", "of 262144 bytes came back different, the first at 0 (copied by the sender)"),
    ("BESIDE", "bytes beside the 4096 that were copied were changed (copied by the sender)"),
])
def test_a_fault_in_one_direction_is_found_in_that_one_alone(copies, fault, says):
    results, _why = copies((ONE, TWO, THREE), **{fault: "%s>%s" % (TWO, ONE)})
    assert {way for way, ok in told(results).items() if ok is False} == {(TWO, ONE)}
    assert sum(ok is True for ok in told(results).values()) == 5
    assert reason(results, TWO, ONE).endswith(says)


@needs_compiler
@pytest.mark.parametrize(("wish", "says"), [
    ("cuMemcpyDtoD_v2=719", "cuMemcpyDtoD_v2: the launch failed"),
    ("cuMemcpyPeer=700", "cuMemcpyPeer: an illegal address"),
    ("cuCtxEnablePeerAccess=205", "cuCtxEnablePeerAccess: mapping failed"),
    ("cuMemcpyDtoD_v2=4242", "cuMemcpyDtoD_v2: result 4242"),
])
def test_an_error_once_p2p_is_tried_is_a_failed_copy(copies, wish, says):
    results, _why = copies(FAIL=wish)
    assert set(told(results).values()) == {False} and reason(results, ONE, TWO) == says


@needs_compiler
@pytest.mark.parametrize(("wishes", "says"), [
    ({"FAIL": "cuMemAlloc_v2=2"}, "cuMemAlloc_v2: out of memory"),
    ({"FAIL": "cuMemAlloc_v2=2@2"}, "cuMemAlloc_v2: out of memory"),
    ({"FAIL": "cuDevicePrimaryCtxRetain=46"},
     "cuDevicePrimaryCtxRetain: the device is taken by another process or not usable"),
    ({"FAIL": "cuCtxEnablePeerAccess=2"}, "cuCtxEnablePeerAccess: out of memory"),
    ({"APART": "%s>%s" % (ONE, TWO)}, "CUDA gives no access"),
])
def test_what_keeps_a_copy_from_being_tried_is_no_fault(copies, wishes, says):
    results, _why = copies(**wishes)
    assert told(results)[ONE, TWO] is None and reason(results, ONE, TWO) == says


@needs_compiler
@pytest.mark.parametrize(("wishes", "why"), [
    ({"library": "libcuda-that-is-nowhere.so.1"}, "libcuda-that-is-nowhere.so.1 cannot be loaded"),
    ({"GPUS": None}, "cuInit: no device"),
    ({"addresses": (ONE, TWO), "GPUS": ONE}, "CUDA shows fewer than two GPUs"),
    ({"FAIL": "cuInit=304"}, "cuInit: the operating system refused"),
    ({"FAIL": "cuInit=803"}, "cuInit: driver and library do not agree"),
    ({"CRASH": "cuInit"}, "the process ended (signal 11)"),
])
def test_where_nothing_can_be_copied_the_reason_is_told(copies, wishes, why):
    assert copies(**wishes) == ([], why)


@needs_compiler
def test_a_library_without_a_function_is_named(copies):
    results, why = copies(library="old")
    assert results == [] and why.endswith("old.so has no cuMemcpyPeer")


@needs_compiler
def test_a_gpu_that_cuda_does_not_show_is_not_judged(copies):
    results, _why = copies((ONE, TWO, THREE), GPUS="%s,%s" % (ONE, TWO))
    assert told(results)[ONE, TWO] is True and told(results)[ONE, THREE] is None
    assert reason(results, ONE, THREE) == "cuDeviceGetByPCIBusId: no such device"


@needs_compiler
def test_a_copy_that_hangs_is_ended_and_nothing_more_is_tried(copies):
    began = time.monotonic()
    results, why = copies((ONE, TWO, THREE), seconds=1, HANG="cuMemcpyPeer")
    assert time.monotonic() - began < 8 and why is None
    assert told(results)[ONE, TWO] is False and reason(results, ONE, TWO) == "the copy did not end within 1 s"
    assert [copy["reason"] for copy in results[1:]] == ["not tried after a copy that hung"] * 5


@needs_compiler
def test_a_driver_that_hangs_at_the_start_is_no_verdict(copies):
    assert copies(seconds=1, HANG="cuInit") == ([], "CUDA did not start within 1 s")


@needs_compiler
def test_a_crash_is_a_failed_copy_and_the_others_are_still_made(copies):
    results, _why = copies(CRASH="cuMemcpyPeer")
    assert told(results) == {(ONE, TWO): False, (TWO, ONE): False}
    assert reason(results, ONE, TWO) == "the copy ended the process that made it (signal 11)"


@needs_compiler
def test_no_process_is_left(copies):
    copies(seconds=1, HANG="cuMemcpyPeer")
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@needs_compiler
def test_gpus_are_found_whatever_is_visible_to_programs(copies, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert set(told(copies()[0]).values()) == {True}


@needs_compiler
@pytest.mark.parametrize("wishes", [
    {"CORRUPT": "%s>%s" % (ONE, TWO)}, {"FAIL": "cuMemAlloc_v2=2@2"}, {"FAIL": "cuDevicePrimaryCtxRetain=46@2"},
    {"FAIL": "cuCtxEnablePeerAccess=205@2"}, {"FAIL": "cuMemcpyPeer=700"},
])
def test_a_copy_that_fails_leaves_nothing_on_the_cards_either(copies, tmp_path, wishes):
    rest = tmp_path / "rest"
    copies(REST=str(rest), **wishes)
    assert rest.read_text() == "0"


# What is compared


def test_patterns_differ_with_direction_and_way():
    made = {pattern(64, *ways, way) for ways in ((ONE, TWO), (TWO, ONE)) for way in WAYS}
    assert len(made) == 6 and pattern(64, ONE, TWO, "peer") == pattern(64, ONE, TWO, "peer")


def test_pieces_lie_inside_and_are_aligned_and_odd():
    for size in (SMALLEST, 1 << 24):
        assert all(0 <= start <= size - length and 0 <= target <= size - length and length > 0
                   for start, target, length in pieces(size))
        assert any(start % 4096 == target % 4096 == length % 4096 == 0 for start, target, length in pieces(size))
        assert any(start % 2 and target % 2 and length % 2 for start, target, length in pieces(size))


def test_one_changed_byte_anywhere_is_a_difference():
    sent = bytes(range(100, 120))
    memory = b"\xa5" * 4 + sent[2:8] + b"\xa5" * 10
    assert difference(memory, sent, 2, 4, 6) is None
    for place in range(len(memory)):
        changed = bytearray(memory)
        changed[place] ^= 1
        assert difference(bytes(changed), sent, 2, 4, 6)
