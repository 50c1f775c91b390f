"""What is said after a restore: what went back, what others had changed, what stands in the way."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.restore_report import restore_report


def value(status="changed", detail="", **more):
    return {"name": "vm.swappiness", "kind": "sysctl", "path": "/proc/sys/vm/swappiness", "wanted": "60",
            "before": "10", "after": "60", "status": status, "detail": detail, **more}


def answer(*results, host="gpu1", **more):
    return {"host": host, "failure": {}, "values": {"results": list(results), "reboot_required": []}, "instances": {},
            "did": [], **more}


FOREIGN = value(name="/etc/nginx/nginx.conf", kind="file", path="/etc/nginx/nginx.conf", before="9 lines",
                wanted="80 lines", after="80 lines", detail="is neither the first-seen file nor as written here")
TEXT = """\
HOST  WHAT                   FIRST SEEN  FOUND    NOW       STATUS           NOTE
gpu1  /etc/nginx/nginx.conf  80 lines    9 lines  80 lines  put back         is neither the first-seen file nor as written here
gpu1  vm.swappiness          60          10       60        put back         -
gpu1  vm.swappiness          60          60       60        was back already -

gpu1: stopped and disabled inference-chat@0.service
gpu1: hugepages=8 stays until the next boot
1 of these had been changed by another tool since; see the notes.
all is back"""  # noqa: E501


def test_the_text():
    one = answer(value(), value("ok", before="60"), FOREIGN, instances={"stopped": ["inference-chat@0.service"]})
    one["values"]["reboot_required"] = ["hugepages=8 stays until the next boot"]
    report = restore_report([one])
    assert report["done"]
    assert [line.split() for line in report["text"].splitlines()] == [line.split() for line in TEXT.splitlines()]


def test_nothing_to_put_back_is_done():
    assert restore_report([answer()]) == {"done": True, "text": "all is back"}


@pytest.mark.parametrize("wrong", [
    answer(value("refused", "permission denied", after="10"), host="gpu2"),
    answer(value("partial", "the kernel has 8", after="8"), host="gpu2"),
    answer(host="gpu2", values={"unreachable": True, "msg": "timed out"}),
    answer(host="gpu2", values={}, failure={"msg": "no room"}),
    # After the values were back something else failed.
    answer(value(), host="gpu2", failure={"msg": "nginx does not load its configuration"}),
])
def test_what_is_not_back_is_named_and_others_are_shown(wrong):
    report = restore_report([answer(value()), wrong])
    assert not report["done"] and report["text"].splitlines()[-1] == "not all is back on: gpu2"
    assert "gpu1  vm.swappiness" in report["text"]
    said = wrong["failure"].get("msg") or wrong["values"].get("msg")
    assert not said or f"gpu2: failed: {said}" in report["text"]


def test_hostile_texts_stay_on_their_line():
    report = restore_report([answer(value(before="a\nb\x1b[31m"), did=["x\ny"])])
    assert len(report["text"].splitlines()) == 5 and "\x1b" not in report["text"]
