"""What the playbooks have kept becomes a page, and the page says what needs somebody."""

import html
import json
import re
import shutil

import pytest
from conftest import KEY


@pytest.fixture
def page(play, kept):
    """Read the host back and return the report's text without its marks, and verify's exit status.

    Of the benchmarks one alone, as other work of the machine may well make one worse than the other.
    """
    (kept / "last/lab1").mkdir(parents=True, exist_ok=True)
    shutil.copy(kept / "benchmarks/lab1/after.json", kept / "last/lab1")
    assert play("plan", output=str(kept / "plans")).returncode == 0
    verified = play("verify", output=str(kept / "reports"))
    done = play("report", output=str(kept / "report.html"), plans=str(kept / "plans"), reports=str(kept / "reports"),
                benchmarks=str(kept / "last"), title="The <lab>")
    assert done.returncode == 0, done.stdout
    text = (kept / "report.html").read_text()
    assert KEY not in text
    assert "<script" not in text
    assert "The &lt;lab&gt;" in text
    words = html.unescape(re.sub(r"<style.*?</style>|<[^>]*>", " ", text, flags=re.S)).split()
    return " ".join(words), verified.returncode


def test_a_host_as_planned(page, kept):
    text, verified = page
    assert verified == 0
    assert "lab1" in text
    assert "As planned" in text
    assert "inference-chat@0.service" in text
    result = json.loads((kept / "benchmarks/lab1/after.json").read_text())
    (alone,) = [run["summary"]["tokens_per_second"] for run in result["runs"] if run["shape"] == "engine-n32"]
    assert f"{alone['median']:.3g}" in text


def test_a_host_that_has_drifted(host, play, kept, request):
    host.check_output("systemctl stop inference-chat@0.service")
    try:
        text, verified = request.getfixturevalue("page")
    finally:
        host.check_output("systemctl start inference-chat@0.service")
    assert verified != 0
    assert "Drift" in text
