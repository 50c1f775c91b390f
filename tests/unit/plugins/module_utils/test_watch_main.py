"""The program of the watch: the file that it writes, what it says, and what it shows a person."""

import os
import stat

import pytest
from ansible_collections.inference.host.plugins.module_utils import watch_main
from test_prometheus_text import parsed
from test_watch_metrics import ANSWER, NOTHING

ROW = {"area": "nginx", "setting": "/etc/nginx/nginx.conf", "wanted": "as written", "found": "not there",
       "status": "drift", "note": "-"}


@pytest.fixture(name="wanted")
def wanted_fixture(tmp_path):
    return {"host": "box1", "digest": "0", "textfile_dir": str(tmp_path), "probe": {"services": [1]},
            "plan": {"settings": [], "instances": [], "hugepages": {}}}


class Reader:
    def __init__(self, **found):
        self.found = dict(dict(NOTHING, rows=[], failures=[]), **found)

    def read(self):
        return self.found


def written(wanted):
    path = os.path.join(wanted["textfile_dir"], watch_main.NAME)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o644 and os.listdir(wanted["textfile_dir"]) == [watch_main.NAME]
    with open(path, encoding="utf-8") as stream:
        return parsed(stream.read())[0]


def test_the_time_of_the_last_whole_reading_stays(wanted, capsys):
    assert watch_main.write(wanted, Reader()) == 0
    whole = written(wanted)
    assert whole["inference_watch_success"] == {(): 1} and capsys.readouterr() == ("", "")
    assert watch_main.write(wanted, Reader(failures=["nginx: it is gone"])) == 0
    partly = written(wanted)
    assert partly["inference_watch_success"] == {(): 0}
    assert partly["inference_watch_timestamp_seconds"] == whole["inference_watch_timestamp_seconds"]
    assert capsys.readouterr() == ("", "Not read: nginx: it is gone.\n")


def test_a_probe_that_failed_is_said(wanted, capsys):
    watch_main.write(wanted, Reader(probes={"chat": dict(ANSWER, error="status 503: busy"), "good": ANSWER}))
    assert capsys.readouterr().err == "The probe of chat failed: status 503: busy.\n"
    assert written(wanted)["inference_watch_success"] == {(): 1}


@pytest.mark.parametrize(("found", "status", "said"), [
    ({"rows": [dict(ROW, status="ok")]}, 0, "box1 is as planned.\n"),
    ({"rows": [ROW, dict(ROW, status="ok", setting="other")]}, 1, "nginx.conf  as written  not there  drift"),
    ({"rows": None, "failures": ["nginx: it is gone"]}, 2, ""),
    ({"rows": [ROW], "failures": ["nginx: it is gone"]}, 2, "nginx.conf"),
])
def test_a_person_is_shown_what_differs(wanted, capsys, found, status, said):
    assert watch_main.show(wanted, Reader(**found)) == status
    shown = capsys.readouterr()
    assert said in shown.out and "other" not in shown.out
    assert ("Not read: nginx: it is gone." in shown.err) == (status == 2)


def test_a_last_reading_is_found_in_what_was_written():
    assert watch_main.last_whole("inference_watch_timestamp_seconds 17.5\n") == 17.5
    assert watch_main.last_whole("") is None
