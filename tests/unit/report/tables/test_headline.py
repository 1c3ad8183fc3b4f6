"""The view `headline`: every pair in a sentence that claims no more than its interval does."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import pytest
from folders import PUBLISHED
from report_factory import (
    ALIKE,
    GATED,
    four_pairs,
    make_interleaved_job,
    make_job,
    make_parity_run,
    make_run,
)

from harness.schema.record import GpuTelemetry, JobRecord, Pair, State, Stopping, Telemetry
from harness.schema.stats import mean_interval
from report.analysis.headline import (
    GainVerdict,
    judged,
    replicates_to_bound,
    replicates_to_tell,
)
from report.analysis.metrics import Figure
from report.loading.runs import Run, load_run
from report.tables.registry import build
from report.tables.render import render
from report.tables.table import Table, raw


def headline(*runs: Run) -> Table:
    (table,) = build(runs, "headline").tables
    return table


def sentence(run: Run) -> str:
    """The one sentence of a run of one pair, which is all that is printed."""
    (said,) = headline(run).sentences
    assert render([run], "markdown", "headline") == said + "\n"
    return said


def jobs_of(times: Sequence[tuple[float, float]], **fields: object) -> list[JobRecord]:
    """A replicate for each (baseline, candidate) in seconds end to end; steps of equal time."""
    return [
        make_job(arm, replicate, runtime_s=seconds, step_s=0.5, **fields)
        for replicate, both in enumerate(times)
        for arm, seconds in zip(("pytorch", "onnxruntime"), both, strict=True)
    ]


def test_a_faster_candidate_in_a_sentence() -> None:
    jobs = [
        make_job(arm, k, runtime_s=seconds + k / 10, step_s=seconds / 200)
        for k in range(4)
        for arm, seconds in (("pytorch", 100.0), ("onnxruntime", 80.0))
    ]
    said = sentence(make_run(jobs))
    assert said.startswith(
        "ONNX Runtime trains tiny on sst2 (fp32, batch 8, eager attention, CPU, synthetic data, "
        "random weights) 25.00% faster than PyTorch in steady state (25.00 to 25.00%, n = 4) and "
        "24.95% faster end to end (24."
    )
    assert said.endswith("n = 4); parity not checked.")


def test_a_slower_candidate_is_told_by_how_much_it_is_slower() -> None:
    times = [(80.0, 100.0), (80.0, 104.0), (80.0, 96.0), (80.0, 100.0)]
    run = make_run(jobs_of(times))
    said = sentence(run)
    row = next(row for row in raw(headline(run)) if row["measure"] == "end_to_end")
    low, high = -100 * float(row["throughput_gain_high"]), -100 * float(row["throughput_gain_low"])
    assert f"% slower than PyTorch end to end ({low:.1f} to {high:.1f}%, n = 4)" in said
    assert 0 < low < high
    assert row["verdict"] == "slower"


def test_a_gain_whose_interval_holds_zero_is_its_interval_alone() -> None:
    times = [(100.0, 60.0), (100.0, 130.0), (100.0, 62.0), (100.0, 128.0)]
    run = make_run(jobs_of(times))
    (row,) = [row for row in raw(headline(run)) if row["measure"] == "end_to_end"]
    low, high = (100 * float(row[f"throughput_gain_{end}"]) for end in ("low", "high"))
    said = sentence(run)
    assert f"end to end (−{-low:.1f} to {high:.1f}%, n = 4)" in said
    assert said.startswith("ONNX Runtime and PyTorch are not distinguishable in training tiny")
    assert f"{100 * float(row['throughput_gain']):.1f}%" not in said
    assert "faster" not in said
    assert row["verdict"] == "not distinguishable"


def test_few_replicates_say_how_many_it_would_take() -> None:
    times = [(100.0, 70.0), (100.0, 96.0)]
    run = make_run(jobs_of(times))
    (row,) = [row for row in raw(headline(run)) if row["measure"] == "end_to_end"]
    ratio = mean_interval([math.log(one / other) for one, other in times])
    needed = replicates_to_tell(Figure(ratio.mean, ratio.low, ratio.high), 2)
    assert needed is not None
    assert needed > 4
    assert row["needed_replicates"] == needed
    told = f"; with about {needed} replicates in all, the interval end to end would no longer "
    assert f"{told}contain 0" in sentence(run)


def test_the_number_it_would_take_is_the_least_whose_interval_excludes_zero() -> None:
    ratio = mean_interval([0.1, 0.2, 0.6])
    deviation = math.sqrt(sum((x - 0.3) ** 2 for x in (0.1, 0.2, 0.6)) / 2)
    needed = replicates_to_tell(Figure(ratio.mean, ratio.low, ratio.high), 3)
    from scipy.stats import t

    def half(n: int) -> float:
        return float(t.ppf(0.975, n - 1)) * deviation / math.sqrt(n)

    assert needed is not None
    assert half(needed) <= 0.3 < half(needed - 1)
    assert replicates_to_tell(Figure(0.3), 1) is None
    assert replicates_to_tell(Figure(0.0, -0.1, 0.1), 2) is None, "no number of them would"


def test_a_distinguished_gain_of_few_replicates_is_bounded_as_well_as_is_feasible() -> None:
    ratio = mean_interval([0.30, 0.31, 0.32])
    figure = Figure(ratio.mean, ratio.low, ratio.high)
    needed, target = replicates_to_bound(figure, 3)
    assert (needed, target) == (10, 1.0)
    assert replicates_to_bound(figure, 3, [0.5]) == (32, 0.5)
    stopping = Stopping(
        workload="tiny-sst2",
        baseline="pytorch",
        candidate="onnxruntime",
        state="precision not reached",
        replicates=3,
        target_pp=0.5,
        minutes=1.0,
    )
    times = [(math.exp(d), 1.0) for d in (0.30, 0.31, 0.32)]
    narrow = (
        "; with about 10 replicates in all, the interval end to end would be no wider than ±1 pp"
    )
    assert narrow in sentence(make_run(jobs_of(times)))
    asked = make_run(jobs_of(times), stopping=[stopping])
    assert "with about 32 replicates in all, the interval" in sentence(asked)
    assert "would be no wider than ±0.5 pp" in sentence(asked)


def test_one_replicate_says_what_an_interval_takes() -> None:
    said = sentence(make_run(jobs_of([(100.0, 80.0)])))
    assert (
        "25.0% faster than PyTorch end to end (n = 1)" in said or "25.0% faster end to end" in said
    )
    assert said.endswith("an interval takes two at least, a useful one four.")
    several = headline(
        make_run(jobs_of([(100.0, 80.0)]) + jobs_of([(100.0, 80.0)], model="small")),
    )
    assert len(several.sentences) == 2
    assert not any("useful one" in each for each in several.sentences)
    assert several.notes == (
        "one replicate says nothing of others: an interval takes two at least, a useful one four",
    )


def test_many_pairs_are_counted_first_and_share_their_facts() -> None:
    jobs = (
        jobs_of([(100.0, 80.0 + k) for k in range(4)], model="a")
        + jobs_of([(100.0, 120.0 + k) for k in range(4)], model="b")
        + jobs_of([(100.0, 121.0 + k) for k in range(4)], model="c")
        + [make_job(model="d"), make_job("onnxruntime", model="d", state=State.CRASHED)]
    )
    table = headline(make_run(jobs))
    assert table.title.startswith(
        "steady state: 3 not distinguishable, 1 without a result; "
        "end to end: 1 faster, 2 slower, 1 without a result (all: fp32, batch 8,"
    )
    assert len(table.sentences) == 4
    assert not any("fp32" in each for each in table.sentences)
    assert table.sentences[3] == (
        "Whether ONNX Runtime trains d on sst2 faster than PyTorch is not known; onnxruntime: "
        "crashed in 1 of 1 replicate."
    )
    for form in ("markdown", "terminal", "latex"):
        assert "1 faster, 2 slower" in " ".join(render([make_run(jobs)], form, "headline").split())


def test_identical_arms_are_neither_faster_nor_slower() -> None:
    times = [(100.0, 80.0 + k) for k in range(4)]
    jobs = [
        make_job(arm, k, backend="pytorch", runtime_s=seconds, step_s=0.5)
        for k, both in enumerate(times)
        for arm, seconds in zip(("pytorch-a", "pytorch-b"), both, strict=True)
    ]
    run = make_run(jobs, [Pair(workload="tiny-sst2", baseline="pytorch-a", candidate="pytorch-b")])
    said = sentence(run)
    assert said.startswith("Identical arms (pytorch-b, pytorch-a) training tiny on sst2 (")
    assert "show the noise floor in steady state (0.00 to 0.00%, n = 4)" in said
    assert "0 is outside, so something tells these arms apart" in said
    assert "faster" not in said
    assert {row["verdict"] for row in raw(headline(run))} == {"identical arms"}


def test_what_was_recorded_beside_the_gain_is_told() -> None:
    def used(percent: float) -> Telemetry:
        card = GpuTelemetry(index=0, samples=10, utilization_mean=percent)
        return Telemetry(samples=10, gpus=[card])

    jobs = [
        make_job("pytorch", telemetry=used(84.4), device="NVIDIA H200", fingerprint=ALIKE),
        make_job("onnxruntime", telemetry=used(90.6), device="NVIDIA H200", fingerprint=ALIKE),
        make_parity_run("pytorch", [1.0, 0.9, 0.8], device="NVIDIA H200"),
        make_parity_run("onnxruntime", [1.0, 0.9, 0.8], device="NVIDIA H200"),
    ]
    said = sentence(make_run(jobs, **GATED))
    assert ", H200, " in said
    assert "; GPU utilization 91% against 84%; parity passed; " in said


def test_a_failed_check_is_the_reason_why_there_is_no_gain() -> None:
    jobs = [
        *jobs_of([(100.0, 80.0)] * 4, fingerprint=ALIKE),
        make_parity_run("pytorch", [1.0, 0.9, 0.8]),
        make_parity_run("onnxruntime", [1.0, 1.9, 2.8]),
    ]
    said = sentence(make_run(jobs, **GATED))
    assert said.startswith("Whether ONNX Runtime trains tiny on sst2 (")
    assert ") faster than PyTorch is not known; " in said
    assert "failed parity: " in said
    assert "25" not in said.split("failed parity")[0]


def test_turns_tell_the_steady_state_and_what_is_predicted_of_the_epochs() -> None:
    jobs = [
        make_interleaved_job(arm, partner, replicate, [step_s + replicate / 1000] * 8)
        for replicate in range(4)
        for arm, partner, step_s in (
            ("pytorch", "onnxruntime", 0.5),
            ("onnxruntime", "pytorch", 0.4),
        )
    ]
    said = sentence(make_run(jobs))
    assert " faster than PyTorch in steady state (" in said
    assert " faster over all epochs as predicted (" in said
    assert "end to end" not in said


def test_published_gains_are_as_printed() -> None:
    table = headline(load_run(PUBLISHED))
    assert [each.split("roberta-")[1] for each in table.sentences] == [
        "base on sst2 3.08% faster than PyTorch end to end (as published).",
        "large on sst2 17.98% faster than PyTorch end to end (as published).",
    ]


def test_the_verdicts() -> None:
    assert judged(Figure(0.2, 0.1, 0.3)) is GainVerdict.FASTER
    assert judged(Figure(-0.2, -0.3, -0.1)) is GainVerdict.SLOWER
    assert judged(Figure(0.2, 0.0, 0.4)) is GainVerdict.NOT_DISTINGUISHABLE
    assert judged(Figure(0.2)) is GainVerdict.NO_INTERVAL
    assert judged(Figure()) is GainVerdict.NO_RESULT
    assert judged(Figure(0.2, 0.1, 0.3), ok=False) is GainVerdict.NO_RESULT
    assert judged(Figure(0.2, 0.1, 0.3), a_a=True) is GainVerdict.IDENTICAL


def test_people_get_the_words_first_and_files_do_not() -> None:
    run = make_run(four_pairs())
    for form in ("markdown", "terminal"):
        assert render([run], form).startswith("ONNX Runtime trains tiny on sst2 (")
    assert "headline" not in json.loads(render([run], "json"))["tables"]
    asked = json.loads(render([run], "json", "headline"))["tables"]["headline"]
    assert {row["sentence"] for row in asked} == {sentence(run)}


def test_several_views_are_made_in_order_without_those_that_have_nothing() -> None:
    run = make_run(four_pairs())
    names = [table.name for table in build([run], ["headline", "predicted", "gains"]).tables]
    assert names == ["headline", "gains"]
    assert build([run], ["headline", "gains"]).footer
    assert not build([run], "headline").footer


@pytest.mark.parametrize("name", ["a|b", "two\nlines"])
def test_no_pairs_is_a_sentence_too(name: str) -> None:
    assert sentence(make_run([], [], run=name)) == "No pair of arms is declared."
