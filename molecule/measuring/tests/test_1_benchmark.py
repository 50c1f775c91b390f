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


def test_the_numbers_of_a_run_agree(measured):
    runs = [run for run in measured[0]["runs"] if run["level"] == "service"]
    assert len(runs) == 2
    for one in [one for run in runs for one in run["repeats"]]:
        assert one["tokens_per_second"] == pytest.approx(32 * one["requests_per_second"], rel=0.01)
        assert 0 < one["tpot_ms"] < one["ttft_ms"] < one["request_ms"]


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
