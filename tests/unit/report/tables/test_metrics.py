"""The table of metrics after training, and parity by the score that a task states."""

from __future__ import annotations

import math
from typing import Any

import pytest
from report_factory import GATED, make_job, make_parity_run, make_run

from harness.schema.record import JobRecord, Pair
from report.analysis.parity import Parity, check_parity
from report.analysis.replicates import arms_of
from report.tables.registry import build
from report.tables.render import render

PAIR = Pair(workload="tiny-sst2", baseline="pytorch", candidate="onnxruntime")


def _jobs(arm: str, replicates: list[dict[str, float]], **fields: Any) -> list[JobRecord]:
    return [
        make_job(arm, replicate, metrics={"loss": 0.5, **metrics}, **fields)
        for replicate, metrics in enumerate(replicates)
    ]


def _cells(jobs: list[JobRecord]) -> list[dict[str, str]]:
    (table,) = build([make_run(jobs)], "metrics").tables
    return [
        dict(zip([column.title for column in table.columns], row, strict=True))
        for row in table.cells
    ]


def test_a_row_for_every_metric_and_arm_beside_chance() -> None:
    # 0.8 and 0.9: mean 0.85; s/√2 = 0.05, t(0.975, 1) = 12.7062: ±0.6353.
    told = {"main_metrics": ["accuracy", "f1"], "chance": {"accuracy": 0.68, "f1": 0.81}}
    jobs = _jobs("pytorch", [{"accuracy": 0.8, "f1": 0.9}, {"accuracy": 0.9, "f1": 0.9}], **told)
    jobs += _jobs("onnxruntime", [{"accuracy": 0.8, "f1": 0.7}], **told)
    rows = _cells(jobs)
    assert [
        (row["Metric"], row["Backend"], row["Value"], row["Chance"], row["n"]) for row in rows
    ] == [
        ("accuracy", "PyTorch", "0.8500", "0.6800", "2"),
        ("accuracy", "ONNX Runtime", "0.8000", "0.6800", "1"),
        ("f1", "PyTorch", "0.9000", "0.8100", "2"),
        ("f1", "ONNX Runtime", "0.7000", "0.8100", "1"),
    ]
    assert [row["Value ±95%"] for row in rows] == ["0.6353", "", "0.0000", ""]
    text = render([make_run(jobs)])
    assert "Metrics after training" in text  # without being asked for
    assert "- score of sst2: mean of accuracy and f1" in text


def test_an_error_says_which_way_is_better() -> None:
    jobs = _jobs("pytorch", [{"mse": 0.8}], main_metrics=["mse"], chance={"mse": 2.0})
    row = _cells(jobs)[0]  # its loss follows
    assert (row["Metric"], row["Value"], row["Chance"]) == ("mse", "0.8000", "2.0000")
    said = "- mse: mean squared error, lower is better; its chance: the mean of the labels"
    assert said in render([make_run(jobs)])
    assert said not in render([make_run(_jobs("pytorch", [{"accuracy": 0.8}]))])


def test_a_metric_that_is_not_defined_has_no_value_and_says_so() -> None:
    rows = _cells(_jobs("pytorch", [{"pearson": 0.8}, {"pearson": math.nan}]))
    assert (rows[0]["Value"], rows[0]["n"]) == ("", "2")
    assert rows[0]["State"] == "no result: pearson is not defined in 1 of 2 replicates"


def test_jobs_that_failed_took_turns_or_were_not_evaluated_have_no_metrics() -> None:
    jobs = [
        make_job("pytorch", metrics={"accuracy": 0.8}),
        make_job("onnxruntime", metrics={"accuracy": 0.9}, engagement=None),
        make_job("third", group=["pytorch", "third"], metrics={"accuracy": 0.9}),
    ]
    values = {row["Backend"]: row["Value"] for row in _cells(jobs)}
    assert values == {"PyTorch": "0.8000", "ONNX Runtime": "", "third": ""}
    (table,) = build([make_run([make_job("pytorch")])], "metrics").tables
    assert table.rows == ()


def test_earlier_records_show_metrics_only_where_they_are_asked_for() -> None:
    run = make_run(_jobs("pytorch", [{"accuracy": 0.8}]))
    assert "Metrics after training" not in render([run])
    assert "Metrics after training" in render([run], view="metrics")


def _gate(
    baseline: list[dict[str, float]], candidate: list[dict[str, float]], main: list[str]
) -> Parity:
    parity_runs = [make_parity_run(arm, [0.7, 0.6]) for arm in ("pytorch", "onnxruntime")]
    jobs = [
        *_jobs("pytorch", baseline, main_metrics=main),
        *_jobs("onnxruntime", candidate, main_metrics=main),
    ]
    run = make_run([*jobs, *parity_runs], [PAIR], config=GATED)
    parity = check_parity(run, PAIR, arms_of(run))
    assert parity is not None
    return parity


@pytest.mark.parametrize(
    "main",
    [
        ["matthews_correlation"],
        ["accuracy"],
        ["accuracy", "f1"],
        ["pearson", "spearmanr"],
        ["accuracy", "accuracy_mm"],
        ["perplexity"],
    ],
)
def test_every_tasks_score_is_compared_with_the_spread_between_seeds(main: list[str]) -> None:
    """Scores 0.74 0.76 0.78: s = 0.02, t(0.975, 2) = 4.3027, so 4.3027·0.02·√(1/3 + 1/3) = 0.0703
    is allowed.
    """
    name = main[0] if len(main) == 1 else f"mean of {main[0]} and {main[1]}"

    def replicates(*scores: float) -> list[dict[str, float]]:
        # The first metric above the score, the second below: neither alone is what is compared.
        offsets = [0.0] if len(main) == 1 else [0.1, -0.1]
        return [
            {key: score + off for key, off in zip(main, offsets, strict=True)} for score in scores
        ]

    near = _gate(replicates(0.74, 0.76, 0.78), replicates(0.69, 0.70, 0.68), main)
    assert near.metric == (
        f"{name} 0.6900 against 0.7600, 0.0700 apart: within the 0.0703 that seeds of the "
        "baseline explain"
    )
    assert near.outcome == "passed"
    far = _gate(replicates(0.74, 0.76, 0.78), replicates(0.68, 0.69, 0.68), main)
    assert (far.outcome, far.reason) == ("failed", far.metric)
    assert far.reason.startswith(f"{name} 0.6833 against 0.7600")


def test_a_candidate_that_only_predicts_a_constant_did_not_learn_alike() -> None:
    fine = [{"pearson": value, "spearmanr": value} for value in (0.74, 0.76, 0.78)]
    constant = {"pearson": math.nan, "spearmanr": math.nan}
    main = ["pearson", "spearmanr"]
    parity = _gate(fine, [fine[0], constant, fine[2]], main)
    assert parity.outcome == "failed"
    assert (
        parity.reason
        == "mean of pearson and spearmanr of onnxruntime is not defined in 1 of 3 replicates"
    )
    neither = _gate([constant, *fine[1:]], [constant, *fine[1:]], main)
    assert neither.outcome == "passed"
    assert neither.metric == (
        "metric not compared: mean of pearson and spearmanr of pytorch is not defined in 1 of 3 "
        "replicates; "
        "mean of pearson and spearmanr of onnxruntime is not defined in 1 of 3 replicates"
    )


def test_stand_ins_of_several_tasks_are_named_in_one_note() -> None:
    jobs = []
    for subset in ("cola", "mnli"):
        job = make_job("pytorch", workload=f"tiny-{subset}", metrics={"accuracy": 0.8})
        task = job.workload.task.model_copy(update={"name": subset, "subset": subset})
        jobs.append(
            job.model_copy(update={"workload": job.workload.model_copy(update={"task": task})})
        )
    text = render([make_run(jobs)], view="metrics")
    assert "- synthetic data: the built-in stand-ins for cola, mnli, not the real tasks\n" in text
