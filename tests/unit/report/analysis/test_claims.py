"""Which measured pairs answer a published claim, and where their gains lie."""

from __future__ import annotations

from typing import Any

import pytest
from folders import PUBLISHED
from report_factory import make_job

from harness.schema.record import JobRecord
from harness.schema.workload import Model, Task, Training
from report.analysis.claims import (
    Placed,
    Published,
    is_narrow,
    is_related,
    place,
    published_rows,
    same_work,
    whole_training,
)
from report.analysis.published import Range
from report.loading.runs import load_run


def _rows(folder: str = "") -> list[Published]:
    return published_rows(load_run(PUBLISHED / folder))


def _job(arm: str, model: dict[str, Any], task: dict[str, Any]) -> JobRecord:
    job = make_job(arm)
    workload = job.workload.replace(
        model=Model.model_validate({"name": "m", "architecture": "bert-tiny", **model}),
        task=Task.model_validate({"name": "t", "source": "synthetic", **task}),
    )
    return job.replace(workload=workload)


def _answers(published: Published, model: dict[str, Any], task: dict[str, Any]) -> bool:
    arms = ("pytorch", "onnxruntime")
    return same_work(published, *(_job(arm, model, task) for arm in arms))


@pytest.mark.parametrize(
    ("model", "task", "answers"),
    [
        ({"name": "roberta-base"}, {"name": "sst2"}, True),
        ({"path": "FacebookAI/Roberta-Base"}, {"name": "sst2"}, True),
        ({"architecture": "roberta-base"}, {"name": "my-data", "subset": "sst2"}, True),
        ({"name": "roberta-large"}, {"name": "sst2"}, False),
        ({"name": "roberta-base"}, {"name": "rte", "subset": "rte"}, False),
        ({"name": "distilroberta-base"}, {"name": "sst2"}, False),
    ],
)
def test_models_go_by_any_of_their_names_and_tasks_too(
    model: dict[str, Any], task: dict[str, Any], answers: bool
) -> None:
    assert _answers(_rows()[0], model, task) is answers


@pytest.mark.parametrize(
    ("folder", "model", "task"),
    [
        (
            "conll2003",
            {"path": "google-bert/bert-large-cased"},
            {"name": "conll2003", "kind": "token-classification"},
        ),
        (
            "wmt16-en-ro",
            {"path": "google-t5/t5-large"},
            {"name": "wmt16-en-ro", "kind": "translation"},
        ),
    ],
)
def test_the_other_claims_by_the_hub_names_of_their_models(
    folder: str, model: dict[str, Any], task: dict[str, Any]
) -> None:
    (row,) = _rows(folder)
    assert _answers(row, model, task)
    assert not _answers(row, {"name": "roberta-base"}, task)


def test_other_backends_are_no_answer() -> None:
    model, task = {"name": "roberta-base"}, {"name": "sst2"}
    row = _rows()[0]
    assert not same_work(row, _job("pytorch", model, task), _job("torch-compile", model, task))
    assert not same_work(row, _job("onnxruntime", model, task), _job("pytorch", model, task))


def test_what_bears_on_a_claim_is_named_by_its_suite() -> None:
    (guide,) = _rows("guide")
    assert (guide.pair, guide.baseline) == (None, None)
    assert is_related(guide.claim, "optimizers-ort")
    assert not is_related(guide.claim, "glue-sst2")
    assert guide.throughput_gain == Range(0.39, 1.30)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.028, 0.035, Placed.INSIDE),
        (0.0308, 0.0308, Placed.INSIDE),
        (0.0309, 0.05, Placed.ABOVE),
        (-0.02, 0.0307, Placed.BELOW),
        (-0.01, 0.2, Placed.UNDECIDED),  # meets it because it meets nearly everything
        (0.1, 0.9, Placed.ABOVE),  # wide, and still above
        (None, None, Placed.UNKNOWN),
    ],
)
def test_a_gain_is_placed_by_its_interval_and_the_rounding_of_the_published_one(
    low: float | None, high: float | None, said: Placed
) -> None:
    """3.08% as printed is 3.075% to 3.085%."""
    published = _rows()[0].throughput_gain
    assert published == Range(pytest.approx(0.03075), pytest.approx(0.03085))
    assert place(published, low, high) is said


def test_narrow_is_five_points_to_a_side_at_most() -> None:
    assert is_narrow(0.0, 0.1)
    assert not is_narrow(0.0, 0.101)
    assert not is_narrow(None, None)


def test_a_whole_training_has_the_published_epochs_and_no_limit_in_steps() -> None:
    published = [job for job in (_rows()[0].baseline, _rows()[0].candidate) if job is not None]
    assert whole_training(published, make_job(training=Training(epochs=3)))
    assert not whole_training(published, make_job(training=Training(epochs=1)))
    assert not whole_training(published, make_job(training=Training(epochs=3, max_steps=300)))
