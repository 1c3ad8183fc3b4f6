"""The parity gate: parity runs step by step, the metric against the spread between seeds, and what
a row says of it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from folders import ROOT
from report_factory import ALIKE, GATED, four_pairs, make_job, make_parity_run, make_run, write_run

from harness.schema.record import JobRecord, Pair, State
from harness.schema.workload import Training
from report.analysis.gains import gains_of
from report.analysis.parity import LOSS_TOLERANCE, Parity, check_parity
from report.analysis.replicates import arms_of
from report.loading.runs import Run, load_run
from report.tables.registry import build
from report.tables.render import render
from report.tables.table import raw

PAIR = Pair(workload="tiny-sst2", baseline="pytorch", candidate="onnxruntime")


def gated(jobs: list[JobRecord], pair: Pair = PAIR, config: dict[str, Any] = GATED) -> Run:
    return make_run(jobs, [pair], config=config)


def gate(jobs: list[JobRecord], pair: Pair = PAIR, config: dict[str, Any] = GATED) -> Parity:
    run = gated(jobs, pair, config)
    parity = check_parity(run, pair, arms_of(run))
    assert parity is not None
    return parity


def parity_runs(
    baseline: list[float] | None, candidate: list[float] | None, **fields: Any
) -> list[JobRecord]:
    return [
        make_parity_run("pytorch", baseline),
        make_parity_run("onnxruntime", candidate, **fields),
    ]


def with_accuracy(baseline: list[float], candidate: list[float]) -> list[JobRecord]:
    return [
        make_job(arm, replicate, metrics={"loss": 0.5, "accuracy": value})
        for arm, values in (("pytorch", baseline), ("onnxruntime", candidate))
        for replicate, value in enumerate(values)
    ]


def test_parity_runs_that_agree_pass_and_the_gain_stays() -> None:
    jobs = [*four_pairs(), *parity_runs([0.7, 0.6, 0.5], [0.7, 0.60005, 0.5])]
    parity = gate(jobs)
    assert (parity.outcome, parity.steps, parity.tolerance) == ("passed", 3, 1e-4)
    assert parity.difference == pytest.approx(5e-5)
    (table,) = build([gated(jobs)], "gains").tables
    titles = [column.title for column in table.columns]
    rows = [dict(zip(titles, row, strict=True)) for row in table.cells]
    assert {(row["Parity"], row["Throughput (95%)"], row["State"]) for row in rows} == {
        ("passed", "25.00% (25.00 to 25.00)", "ok")
    }
    (said,) = (note for note in table.notes if note.startswith("parity passed"))
    assert said == (
        "parity passed: losses of parity runs at dropout 0 differ by 5e-05 in a step at most "
        "(allowed: 0.0001, over 3 steps)"
    )


def test_parity_runs_that_differ_fail_and_the_row_has_the_reason_instead_of_the_gain() -> None:
    # A loss scale that is wrong by a factor: step 1 is the same forward pass, then one arm learns
    # at another rate.
    jobs = [*four_pairs(), *parity_runs([0.7, 0.6, 0.5], [0.7, 0.65, 0.62])]
    parity = gate(jobs)
    assert parity.outcome == "failed"
    assert parity.reason == (
        "losses of the parity runs differ by 0.12 in step 3 of 3 (0.5000 and 0.6200; fp32 is "
        "given 0.0001)"
    )
    for gain in gains_of(gated(jobs)):
        assert gain.ratio is None
        assert gain.break_even is None
        assert gain.latency == (None, None, None)
    (table,) = build([gated(jobs)], "gains").tables
    titles = [column.title for column in table.columns]
    for row in (dict(zip(titles, cells, strict=True)) for cells in table.cells):
        assert (row["Throughput"], row["Parity"]) == ("", "failed")
        assert row["State"] == f"failed parity: {parity.reason}"
    assert raw(table)[0]["parity_loss_difference"] == pytest.approx(0.12)


@pytest.mark.parametrize(("precision", "allowed"), LOSS_TOLERANCE.items())
def test_the_tolerance_is_the_precisions(precision: Any, allowed: float) -> None:
    def outcome(difference: float, config: dict[str, Any] = GATED) -> str:
        training = Training(precision=precision)
        losses = {"pytorch": [0.5], "onnxruntime": [0.5 + difference]}
        return gate(
            [make_parity_run(arm, of, training=training) for arm, of in losses.items()],
            config=config,
        ).outcome

    assert outcome(0.9 * allowed) == "passed"
    assert outcome(1.1 * allowed) == "failed"
    wider = {"measurement": {"parity": {"steps": 3, "tolerance": 2 * allowed}}}
    assert outcome(1.1 * allowed, wider) == "passed"


@pytest.mark.parametrize("field", ["initial_weights_sha256", "data_order_sha256"])
def test_other_weights_or_another_order_fail_whatever_the_losses(field: str) -> None:
    other = ALIKE.model_copy(update={field: "other"})
    parity = gate(parity_runs([0.7, 0.6], [0.7, 0.6], fingerprint=other))
    assert parity.outcome == "failed"
    assert parity.reason.endswith("of the parity runs: not the same")
    unknown = ALIKE.model_copy(update={field: None})
    assert gate(parity_runs([0.7, 0.6], [0.7, 0.6], fingerprint=unknown)).outcome == "not checked"


def test_a_declared_difference_is_named_with_the_failure() -> None:
    pair = PAIR.model_copy(update={"differs": ["stack", "training.learning_rate"]})
    assert gate(parity_runs([0.7, 0.6], [0.7, 0.4]), pair).reason.endswith(
        "; the pair declares training.learning_rate"
    )


def test_a_loss_that_is_not_finite_or_a_step_that_is_missing_fails() -> None:
    parity = gate(parity_runs([0.7, 0.6], [0.7, math.nan]))
    assert (parity.outcome, parity.reason) == (
        "failed",
        "the loss of onnxruntime's parity run is not finite in step 2",
    )
    assert gate(parity_runs([0.7, 0.6], [0.7])).reason == "the parity runs did 2 and 1 steps"
    diverged = gate(
        [
            make_parity_run("pytorch", [0.7]),
            make_parity_run("onnxruntime", None, state=State.DIVERGED),
        ]
    )
    assert diverged.outcome == "failed"
    assert "diverged" in diverged.reason


def test_a_loss_of_nan_survives_the_record(tmp_path: Path) -> None:
    # pydantic writes NaN as null, which is no float
    run = load_run(
        write_run(tmp_path / "run", gated(parity_runs([0.7, 0.6, 0.5], [0.7, math.nan, 0.5])))
    )
    assert run.problems == []
    assert gate(run.jobs).reason == "the loss of onnxruntime's parity run is not finite in step 2"


@pytest.mark.parametrize(
    ("jobs", "reason"),
    [
        ([], "there is no parity run of pytorch and onnxruntime"),
        ([make_parity_run("pytorch", [0.7])], "there is no parity run of onnxruntime"),
        (
            parity_runs([0.7], None, state=State.CRASHED, reason="a signal"),
            "the parity run of onnxruntime: crashed (a signal)",
        ),
        (
            parity_runs([0.7], [0.7], engagement=None),
            "the parity run of onnxruntime: not proven engaged",
        ),
        (parity_runs(None, [0.7]), "the losses of the parity runs: not recorded"),
    ],
)
def test_what_cannot_be_checked_keeps_its_gain_and_says_why(
    jobs: list[JobRecord], reason: str
) -> None:
    parity = gate(jobs)
    assert (parity.outcome, parity.reason) == ("not checked", reason)
    run = gated([*four_pairs(), *jobs])
    assert all(gain.ratio is not None for gain in gains_of(run))
    text = render([run], view="gains")
    assert "not checked |" in text
    assert f"- parity not checked: {reason} (onnxruntime over pytorch on tiny-sst2)" in text


def test_the_latest_parity_run_counts() -> None:
    late, early = {"started_at": "2001-01-02"}, {"started_at": "2001-01-01"}
    jobs = [
        make_parity_run("pytorch", [0.7]),
        make_parity_run("onnxruntime", [0.9], **early),
        make_parity_run("onnxruntime", [0.7], **late),
    ]
    assert gate(jobs).outcome == gate(jobs[::-1]).outcome == "passed"


def test_the_metric_by_hand() -> None:
    # Baseline 0.74, 0.76, 0.78: mean 0.76, s 0.02. t(0.975, 2) = 4.302653; √(1/3 + 1/3) =
    # 0.8164966: 0.0702617.
    alike = parity_runs([0.7], [0.7])
    near = gate([*with_accuracy([0.74, 0.76, 0.78], [0.70, 0.69, 0.68]), *alike])
    assert near.outcome == "passed"
    assert near.metric == (
        "accuracy 0.6900 against 0.7600, 0.0700 apart: within the 0.0703 that seeds of the "
        "baseline explain"
    )
    far = gate([*with_accuracy([0.74, 0.76, 0.78], [0.69, 0.69, 0.68]), *alike])
    assert (far.outcome, far.reason) == ("failed", far.metric)
    assert "0.0733 apart: more than the 0.0703" in far.reason


def test_a_metric_that_is_far_off_fails_even_without_parity_runs() -> None:
    assert gate(with_accuracy([0.74, 0.76, 0.78], [0.5, 0.5, 0.5])).outcome == "failed"
    near = gate(with_accuracy([0.74, 0.76, 0.78], [0.76, 0.76, 0.76]))
    assert near.outcome == "not checked"


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        (
            with_accuracy([0.7, 0.8], [0.1, 0.1]),
            "metric not compared: the spread between seeds needs 3 replicates of pytorch that "
            "count, "
            "and there are 2",
        ),
        (
            with_accuracy([0.7] * 4, [0.1] * 4),
            "metric not compared: accuracy of pytorch is 0.7 whatever the seed",
        ),
        (four_pairs(), "metric not compared: not evaluated after training"),
        (
            [job.model_copy(update={"state": State.CONTAMINATED}) for job in four_pairs()],
            "metric not compared: no replicate counts",
        ),
    ],
)
def test_a_metric_without_a_spread_is_not_compared(jobs: list[JobRecord], said: str) -> None:
    parity = gate([*jobs, *parity_runs([0.7], [0.7])])
    assert (parity.outcome, parity.metric) == ("passed", said)


def test_runs_from_before_the_gate_say_so_in_a_note_and_keep_their_gains() -> None:
    for config in (
        {},
        {"measurement": {"protocol": "sequential"}},
        {"measurement": {"parity": None}},
    ):
        run = make_run([*four_pairs(), *parity_runs([0.7], [0.1])], [PAIR], config=config)
        (table,) = build([run], "gains").tables
        assert "parity: not checked, the suite asked for no parity runs" in table.notes
        assert "Parity" not in [column.title for column in table.columns]
        assert {row["state"] for row in raw(table)} == {"ok"}


def test_recorded_accuracies_of_real_replicates() -> None:
    """The committed smoke run, as if its suite had the gate: no parity runs, and accuracies as
    close as seeds.
    """
    run = load_run(ROOT / "results" / "smoke-20261123-012757")
    # Without a measurement of its own it has that of the suite.
    info = run.info.replace(config=GATED, measurement=None)
    for pair in info.pairs:
        parity = check_parity(Run(run.folder, info, run.jobs), pair, arms_of(run))
        assert parity is not None
        assert parity.outcome == "not checked"
        assert ": within the " in parity.metric
    # Parity runs from what was recorded of real jobs: losses of two replicates with other seeds are
    # no parity runs.
    import pyarrow.parquet as parquet

    jobs = [
        job
        for job in run.jobs
        if job.workload.name == "roberta-tiny-sst2" and job.replicate in (0, 1)
    ]
    losses = {
        (job.arm.name, job.replicate): parquet.read_table(run.folder / str(job.series))
        .column("loss")
        .to_pylist()[:20]
        for job in jobs
    }
    unlike = gate(
        [
            make_parity_run("pytorch", losses["pytorch", 0]),
            make_parity_run("onnxruntime", losses["onnxruntime", 1]),
        ]
    )
    assert unlike.outcome == "failed"
    same = gate(
        [
            make_parity_run("pytorch", losses["pytorch", 0]),
            make_parity_run("onnxruntime", losses["pytorch", 0]),
        ]
    )
    assert (same.outcome, same.difference) == ("passed", 0.0)
