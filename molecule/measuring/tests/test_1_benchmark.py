"""A host is measured under two labels, and the two are compared."""

import json

import pytest
from conftest import KEY

# The machine of a test has other work as well: what is tested is that numbers come, not which.
NOISY = {"benchmark_noise_percent": 1000, "benchmark_spread_percent": 1000}
SHAPES = ["short", "short-engine"]


@pytest.fixture(scope="module")
def measured(play, kept):
    """Measure twice and return both results."""
    results = []
    for label in ("before", "after"):
        done = play("benchmark", label=label, output=str(kept / "benchmarks"), benchmark_shapes=SHAPES,
                    benchmark_stop_instances=True, **NOISY)
        assert done.returncode == 0, done.stdout
        results.append(json.loads((kept / "benchmarks/lab1" / f"{label}.json").read_text()))
    return results


def test_all_shapes_have_numbers_and_no_request_fails(measured):
    for result in measured:
        runs = {run["shape"]: run for run in result["runs"]}
        assert set(runs) == {"short-u1", "short-u4", "engine-p64", "engine-n32"}
        for run in runs.values():
            assert run["judged"], run["why_not"]
            assert [one["errors"] for one in run["repeats"]] == [0] * 5
            assert run["summary"]["tokens_per_second"]["median"] > 1
        for name in ("short-u1", "short-u4"):
            assert runs[name]["summary"]["ttft_ms"]["median"] > 0
            assert runs[name]["parameters"]["prompt_tokens_told"] == pytest.approx(64, abs=8)
            # Of the engine, on the only node of the lab's host.
            assert set(runs[name]["state"]["after"]["pages_per_node_mib"]) == {"chat-0"}


def test_one_user_gets_about_what_the_engine_makes_alone(measured):
    speeds = {run["shape"]: run["summary"]["tokens_per_second"]["median"] for run in measured[0]["runs"]}
    # A part of the time goes for the prompt and the server; more than the engine makes cannot be, but for noise.
    assert 0.3 < speeds["short-u1"] / speeds["engine-n32"] < 1.3


def test_the_service_answers_again(measured, host):
    assert host.service("inference-chat@0.service").is_running
    units = host.check_output("systemctl list-units --all --plain --no-legend 'inference-benchmark*'")
    assert units == ""


def test_a_label_is_not_replaced_unasked(measured, play, kept):
    done = play("benchmark", label="after", output=str(kept / "benchmarks"))
    assert done.returncode != 0
    assert "set benchmark_replace to true" in " ".join(done.stdout.split())


def test_an_engine_is_not_measured_beside_itself(measured, play, tmp_path):
    done = play("benchmark", label="one", output=str(tmp_path), benchmark_shapes=["short-engine"])
    assert done.returncode != 0
    assert "benchmark_stop_instances is false" in " ".join(done.stdout.split())


def test_two_results_are_compared(measured, play, kept):
    done = play("compare", before="before", after="after", output=str(kept / "benchmarks"))
    assert done.returncode == 0, done.stdout
    compared = json.loads((kept / "benchmarks/before-to-after.json").read_text())
    (lab1,) = compared["hosts"]
    rows = lab1["rows"]
    assert len(rows) > 10
    assert {row["verdict"] for row in rows} <= {"better", "worse", "no difference"}
    for row in rows:
        overlap = row["after"]["low"] <= row["before"]["high"] and row["before"]["low"] <= row["after"]["high"]
        assert overlap == (row["verdict"] == "no difference")


def test_no_key_is_kept(measured, kept):
    assert KEY not in "".join(path.read_text() for path in kept.rglob("*.json"))
