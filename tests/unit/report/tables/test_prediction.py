"""The training time that a job's first steps foretell, against the time that it took."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from report_factory import make_job, make_run

from harness.schema.record import State, Timing
from report.loading.runs import Run
from report.tables.prediction import FIRST_STEPS, predict, prediction
from report.tables.registry import build
from report.tables.render import render
from report.tables.table import raw

STEPS = 1000


def durations(first_s: float, later_s: float, steps: int = STEPS) -> list[float]:
    """A set-up step of 5 s, nine slow warm-up steps, then `first_s` until step 200 and
    `later_s`.
    """
    return [5.0] + [1.0] * 9 + [first_s] * (FIRST_STEPS - 10) + [later_s] * (steps - FIRST_STEPS)


def job_with_series(folder: Path, arm: str, seconds: list[float], **fields: object) -> object:
    path = folder / "series" / f"{arm}.parquet"
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"step": range(1, len(seconds) + 1), "duration_s": seconds}), path)
    timing = Timing(setup_s=6.0, train_runtime_s=math.fsum(seconds) + 1.0, steps=len(seconds))
    return make_job(arm, timing=timing, series=f"series/{arm}.parquet", **fields)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """One job whose steps stay as they are, one whose later steps take half as long again."""
    jobs = [
        job_with_series(tmp_path, "pytorch", durations(0.1, 0.1)),
        job_with_series(tmp_path, "onnxruntime", durations(0.1, 0.15)),
    ]
    config = {"measurement": {"warmup_steps": 10}}
    return replace(make_run(jobs, config=config), folder=tmp_path)  # type: ignore[arg-type]


def test_set_up_and_as_many_steps_of_the_first_ones() -> None:
    found = predict(durations(0.1, 0.2), 6.0, 250.0, warmup_steps=10)
    assert found is not None
    assert found.first_step_s == pytest.approx(0.1)
    assert found.later_step_s == pytest.approx(0.2)
    assert found.predicted_s == pytest.approx(6.0 + (STEPS - 1) * 0.1)
    assert found.difference == pytest.approx((6.0 + 99.9) / 250.0 - 1)


def test_the_first_step_is_never_steady() -> None:
    found = predict([5.0] + [0.1] * 999, 6.0, 105.9, warmup_steps=0)
    assert found is not None
    assert found.first_step_s == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("seconds", "setup_s", "runtime_s"),
    [
        (durations(0.1, 0.1, 2 * FIRST_STEPS - 1), 6.0, 50.0),
        (durations(0.1, 0.1), None, 50.0),
        (durations(0.1, 0.1), 6.0, 0.0),
        (durations(0.1, 0.1), 6.0, math.nan),
        (durations(math.nan, 0.1), 6.0, 50.0),
    ],
)
def test_no_prediction_from_a_short_job_or_unusable_times(
    seconds: list[float], setup_s: float | None, runtime_s: float
) -> None:
    assert predict(seconds, setup_s, runtime_s, warmup_steps=10) is None


def test_the_table_shows_both_times_and_says_where_a_difference_comes_from(run: Run) -> None:
    (table,) = build([run], "prediction").tables
    shown = {row["backend"]: row for row in raw(table)}
    assert shown["PyTorch"]["prediction_difference"] == pytest.approx(105.9 / 114.0 - 1)
    assert shown["ONNX Runtime"]["later_step_s"] == pytest.approx(0.15)
    text = render([run], "markdown", "prediction")
    assert "tiny, onnxruntime, replicate 1: predicted 31.2% too short" in text
    assert "took 50.0% more time each" in text


def test_only_jobs_that_count_are_held_against_their_prediction(tmp_path: Path) -> None:
    good = job_with_series(tmp_path, "pytorch", durations(0.1, 0.1))
    bad = job_with_series(tmp_path, "onnxruntime", durations(0.1, 0.1), state=State.CRASHED)
    found = prediction(replace(make_run([good, bad]), folder=tmp_path))  # type: ignore[list-item]
    assert [row["arm"] for row in raw(found)] == ["pytorch"]


def test_a_missing_series_is_named(run: Run) -> None:
    (run.folder / "series" / "pytorch.parquet").unlink()
    found = prediction(run)
    assert [row["arm"] for row in raw(found)] == ["onnxruntime"]
    assert any("pytorch.parquet: no such file" in note for note in found.notes)


def test_it_is_shown_only_where_it_is_asked_for(run: Run) -> None:
    assert "prediction" not in [table.name for table in build([run]).tables]
