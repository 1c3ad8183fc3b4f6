"""Inference over nights: the detector's verdict by arm and batch size, second runs, acknowledged,
missing.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from history_support import noisy, verdict_of, write_night
from inference_factory import PROVEN, point, result
from report_process import report

from harness.nightly.state import read_verdict
from harness.schema.record import InferenceResult, State
from harness.schema.verdict import Finding
from report.alerts.events import new_events
from report.alerts.message import compose
from report.alerts.plot import mermaid
from report.loading.runs import load_runs
from report.regressions.acknowledged import Acknowledgement, PairPattern
from report.regressions.check import Rules
from report.regressions.plot import drawing_of
from report.regressions.time_series import courses_of

ARMS = ("pytorch", "onnxruntime")
SIZES = (1, 64)
SLOW = "tiny-sst2/pytorch/inference/batch-64"
FAILED = InferenceResult(state="failed", reason="in the export to ONNX: Unsupported")


def infer(night: int, slower: float = 1.0, **fields: Any) -> dict[str, InferenceResult]:
    """Both arms' inference of a night, noisy by 0.2%; `slower`: ONNX Runtime at batch 64 of what
    pytorch trained.
    """
    found = {}
    for place, arm in enumerate(ARMS):
        factors = [noisy(40, 0.002, seed=100 * place + size)[night].tolist() for size in SIZES]
        points = [
            point(
                0.002 * size * one,
                0.001 * size * other * (slower if (arm, size) == ("pytorch", 64) else 1),
                size,
            )
            for size, (one, other) in zip(SIZES, factors, strict=True)
        ]
        found[arm] = result(*points, **fields)
    return found


def nights(results: Path, count: int = 15, slower: float = 1.0) -> Path:
    """Nights of training and inference, the last one slower."""
    for night, factors in enumerate(noisy(count, 0.002).tolist()):
        write_night(
            results, night, factors, inference=infer(night, slower if night == count - 1 else 1.0)
        )
    return results


def by_name(results: Path, **options: Any) -> dict[str, Finding]:
    return {finding.workload: finding for finding in verdict_of(results, **options).findings}


def test_a_quiet_night_is_steady_in_every_series(tmp_path: Path) -> None:
    verdict = verdict_of(nights(tmp_path))
    assert [(one.workload, one.baseline, one.candidate, one.state) for one in verdict.findings] == [
        ("tiny-sst2", "pytorch", "onnxruntime", "steady"),
        *(
            (f"tiny-sst2/{arm}/inference/batch-{size}", "torch", "onnxruntime", "steady")
            for arm in ARMS
            for size in SIZES
        ),
    ]
    assert [one.measure for one in verdict.findings] == ["steady_state", *["inference"] * 4]
    assert verdict.exit_code == 0
    one = verdict.findings[1]
    assert one.gain == pytest.approx(1.0, abs=0.02)
    assert one.history[0].baseline_s == pytest.approx(0.002, rel=0.02)
    assert len(one.history) == 15


def test_training_is_judged_as_it_is_without_inference(tmp_path: Path) -> None:
    nights(tmp_path / "with")
    for night, factors in enumerate(noisy(15, 0.002).tolist()):
        write_night(tmp_path / "without", night, factors)
    (alone,) = verdict_of(tmp_path / "without").findings
    assert verdict_of(tmp_path / "with").findings[0] == alone


def test_slower_inference_is_an_alarm_of_its_own(tmp_path: Path) -> None:
    verdict = verdict_of(nights(tmp_path, slower=1.08))
    found = {one.workload: one for one in verdict.findings}
    assert {name for name, one in found.items() if one.state != "steady"} == {SLOW}
    assert verdict.exit_code == 1
    slow = found[SLOW]
    assert (slow.state, slow.cause) == ("regression", "candidate regressed")
    assert {change.series: round(change.change, 2) for change in slow.changes} == {
        "baseline_s": 0.0,
        "candidate_s": 0.08,
        "ratio": 0.08,
    }
    # Its jobs are those of the training pair: that is what the nightly command runs again, once.
    assert slow.measure_again
    assert slow.measured_by == "tiny-sst2:pytorch:onnxruntime"
    assert verdict.pairs_to_measure_again == ["tiny-sst2:pytorch:onnxruntime"]
    both = [one.model_copy(update={"measure_again": True}) for one in verdict.findings]
    twice = verdict.model_copy(update={"findings": both})
    assert twice.pairs_to_measure_again == ["tiny-sst2:pytorch:onnxruntime"]
    assert (
        '{"baseline": "pytorch", "candidate": "onnxruntime", "workloads": ["tiny-sst2"]}'
        in slow.reproduce
    )


@pytest.mark.parametrize(
    ("again", "state", "confirmed"), [(1.08, "regression", True), (1.0, "watch", False)]
)
def test_the_second_run_decides(tmp_path: Path, again: float, state: str, confirmed: bool) -> None:
    nights(tmp_path, slower=1.08)
    write_night(tmp_path, 14, name="night-014-again", inference=infer(14, again))
    slow = by_name(tmp_path)[SLOW]
    assert (slow.state, slow.confirmed, slow.measure_again) == (state, confirmed, False)


def test_a_second_run_whose_inference_failed_decides_nothing_and_says_so(tmp_path: Path) -> None:
    nights(tmp_path, slower=1.08)
    write_night(tmp_path, 14, name="night-014-again", inference=dict.fromkeys(ARMS, FAILED))
    verdict = verdict_of(tmp_path)
    assert {one.workload: one.confirmed for one in verdict.findings}[SLOW] is None
    assert any(
        f"{SLOW}: onnxruntime over torch: the second run has no result" in said
        for said in verdict.problems
    )


def test_an_acknowledgement_names_it_or_training(tmp_path: Path) -> None:
    nights(tmp_path, slower=1.08)
    when = dt.datetime(2026, 1, 15, 1, tzinfo=dt.UTC)

    def states(**pair: str) -> tuple[str, str]:
        accepted = Acknowledgement(date=when, pair=PairPattern(**pair), reason="a new exporter")
        found = by_name(tmp_path, rules=Rules(acknowledged=[accepted]))
        return found["tiny-sst2"].state, found[SLOW].state

    assert states(workload="tiny-sst2/*/inference/batch-64") == ("steady", "not enough nights")
    assert states(workload="tiny-sst2", baseline="pytorch") == ("not enough nights", "regression")
    assert states(workload="tiny*") == ("not enough nights", "not enough nights")


def test_inference_that_fails_is_missing_every_night(tmp_path: Path) -> None:
    nights(tmp_path)
    for night in (15, 16):
        write_night(tmp_path, night, inference={**infer(night), "pytorch": FAILED})
        verdict = verdict_of(tmp_path)
        found = {one.workload: one for one in verdict.findings}
        assert len(found) == 5
        gone = [found[f"tiny-sst2/pytorch/inference/batch-{size}"] for size in SIZES]
        assert [(one.state, one.last_good) for one in gone] == [("missing", "night-014")] * 2
        assert "inference failed in 2 of 2 replicates" in gone[0].reason
        assert found["tiny-sst2/onnxruntime/inference/batch-1"].state == "steady"
        assert (found["tiny-sst2"].state, verdict.exit_code) == ("steady", 2)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"agree": False, "disagreement": "logits differ by 0.3"},
            "engines disagree: logits differ by 0.3",
        ),
        (
            {"proof": PROVEN.model_copy(update={"engaged": False})},
            "ONNX Runtime not proven engaged",
        ),
    ],
)
def test_what_the_tables_do_not_count_is_missing(
    tmp_path: Path, fields: dict[str, Any], said: str
) -> None:
    nights(tmp_path, 3)
    write_night(tmp_path, 3, inference=infer(3, **fields))
    slow = by_name(tmp_path)[SLOW]
    assert slow.state == "missing"
    assert said in slow.reason


def test_an_arm_that_crashed_is_missing_once_as_a_pair(tmp_path: Path) -> None:
    nights(tmp_path, 3)
    write_night(
        tmp_path,
        3,
        states={"onnxruntime": State.CRASHED},
        inference={"pytorch": infer(3)["pytorch"]},
    )
    missing = {name for name, one in by_name(tmp_path).items() if one.state == "missing"}
    assert missing == {"tiny-sst2"}


def test_inference_that_was_turned_off_is_told_once(tmp_path: Path) -> None:
    nights(tmp_path, 3)
    write_night(tmp_path, 3)
    found = by_name(tmp_path)
    assert len(found) == 5
    assert "not part of tonight's run" in found[SLOW].reason
    write_night(tmp_path, 4)
    assert set(by_name(tmp_path)) == {"tiny-sst2"}


def test_a_batch_size_that_was_replaced_is_told_once(tmp_path: Path) -> None:
    nights(tmp_path, 3)
    for night, missing in (
        (3, {f"tiny-sst2/{arm}/inference/batch-64" for arm in ARMS}),
        (4, set()),
    ):
        write_night(
            tmp_path,
            night,
            inference={arm: result(point(0.002, 0.001), point(0.01, 0.01, 8)) for arm in ARMS},
        )
        assert {
            name for name, one in by_name(tmp_path).items() if one.state == "missing"
        } == missing


def test_other_threads_are_another_setting(tmp_path: Path) -> None:
    nights(tmp_path, 3)
    write_night(tmp_path, 3, inference=infer(3, proof=PROVEN.model_copy(update={"threads": 2})))
    found = by_name(tmp_path)
    assert len(found["tiny-sst2"].history) == 4
    assert "inference.threads: 1 → 2" in found[SLOW].reason
    assert len(found[SLOW].history) == 1


def test_the_history_has_it(tmp_path: Path) -> None:
    nights(tmp_path)
    write_night(tmp_path, 15, inference={**infer(15), "pytorch": FAILED})
    runs, _ = load_runs([tmp_path])
    courses = {course.pair.workload: course for course in courses_of(runs, Rules())}
    assert next(iter(courses)) == "tiny-sst2"
    assert len(courses) == 5
    slow = courses[SLOW]
    assert (slow.measure, len(slow.points)) == ("inference", 15)
    assert slow.missing == [("night-015", "inference failed in 2 of 2 replicates")]
    drawn = drawing_of(slow)
    assert drawn.title == f"History: {SLOW}"
    assert "Mean time of a batch of both engines" in drawn.caption
    assert drawn.figure is not None
    assert drawn.figure.axes[0].get_ylabel() == "batch (ms)"
    text = report("history", tmp_path, "--pair", "*/inference/batch-64").stdout
    assert f"{SLOW}: onnxruntime over torch\n" in text
    assert "batch-1:" not in text


def test_the_alert_names_inference_and_its_batch_size(tmp_path: Path) -> None:
    nights(tmp_path, slower=1.08)
    done = report("check", tmp_path, "--json", tmp_path / "verdict.json")
    assert done.returncode == 1, done.stderr
    assert f"{SLOW}: onnxruntime over torch: regression, candidate regressed" in done.stdout
    written = read_verdict(tmp_path / "verdict.json")
    assert written is not None
    assert written.pairs_to_measure_again == ["tiny-sst2:pytorch:onnxruntime"]
    (event,), _ = new_events(verdict_of(tmp_path), {})
    message = compose(event)
    assert message.title.startswith(
        f"Regression: {SLOW}, onnxruntime against torch: candidate time +8."
    )
    assert "It was not measured a second time." in message.summary
    assert message.course is not None
    assert '"batch time against before, %"' in mermaid(message.course)
