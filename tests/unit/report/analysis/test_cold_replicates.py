"""Replicates that compiled anew beside replicates that loaded compiled kernels, in every view."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
from folders import ROOT
from report_factory import make_interleaved_job, make_job, make_run

import report
from harness.schema.record import Engagement, JobRecord, Pair, Sources
from report.analysis.gains import STEADY_STATE, gains_of, matched, replicate_gains
from report.analysis.metrics import STEADY_STEP
from report.analysis.replicates import arms_of
from report.exports.points import points_of
from report.loading.runs import Run, load_run
from report.plots.breakeven import costs_of
from report.plots.drawing import by_workload
from report.regressions.nights import nights_of
from report.regressions.thresholds import Comparable
from report.tables.full import full_rows
from report.tables.render import render

RESULTS = ROOT / "results"
OF_2026_11_30 = (
    "glue-sst2-today-roberta-base-20261130-030525",
    "glue-sst2-today-roberta-large-20261130-030523",
    "glue-sst2-today-b128-roberta-base-20261130-031846",
)
OF_2026_11_23 = ("glue-sst2-today-20261123-144756", "glue-sst2-today-20261123-145857")
PAIR = Pair(workload="tiny-sst2", baseline="pytorch", candidate="compiled")


def lines_of(name: str) -> list[dict[str, Any]]:
    """The records of a committed run as they are on disk, without parity runs."""
    lines = [json.loads(line) for line in (RESULTS / name / "jobs.jsonl").open()]
    return [line for line in lines if not line.get("parity_run")]


def csv_of(run: Run, view: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(render([run], "csv", view))))


@pytest.mark.parametrize("name", OF_2026_11_30)
def test_recorded_runs_count_warm_replicates_of_compiled_arms(name: str) -> None:
    run = load_run(RESULTS / name)
    numbers = sorted({line["replicate"] for line in lines_of(name)})
    for gain in gains_of(run):
        compiles = "compile" in gain.pair.candidate
        expected = numbers[1:] if compiles else numbers
        assert gain.ratio is not None
        assert (gain.ratio.n, gain.replicates) == (len(expected), len(numbers))
        told = f"{gain.pair.candidate}: compiled anew in 1 of {len(numbers)} replicates"
        assert gain.left_out == (told if compiles else "")
        each = replicate_gains(STEADY_STATE, *arms_of(run).of_pair(gain.pair))
        assert [one.replicate for one in each] == expected
        mean = math.fsum(one.log_ratio for one in each) / len(each)
        assert gain.ratio.mean == pytest.approx(mean, abs=0.002)


def test_recorded_gains_of_compiled_pytorch() -> None:
    """As numbers that were worked out apart from this code, from the turns in jobs.jsonl."""
    name = OF_2026_11_30[0]
    turns = {
        (line["arm"]["name"], line["replicate"]): line["turns"]
        for line in lines_of(name)
        if line["arm"]["name"] in ("pytorch-eager", "latest-compile")
    }

    def log_ratio(replicate: int) -> float:
        # Sums of the seconds that both arms took, without the rounds that chose the turn length.
        sums = []
        for arm in ("pytorch-eager", "latest-compile"):
            of = turns[arm, replicate]
            rounds = [a * b for a, b in zip(of["steps"], of["step_s"], strict=True)]
            sums.append(math.fsum(rounds[of["pilot"] :]))
        return math.log(sums[0] / sums[1])

    warm = [log_ratio(replicate) for replicate in (1, 2, 3)]
    assert log_ratio(0) < min(warm) - 0.02  # what the rule is for
    (gain,) = (
        each
        for each in gains_of(load_run(RESULTS / name))
        if (each.pair.baseline, each.pair.candidate) == ("pytorch-eager", "latest-compile")
    )
    value, low, high = gain.throughput
    assert value == pytest.approx(math.exp(statistics.fmean(warm)) - 1, abs=0.005)
    assert low is not None
    assert high is not None
    assert (round(100 * low, 1), round(100 * high, 1)) == (63.6, 69.3)


@pytest.mark.parametrize("name", OF_2026_11_23)
def test_recorded_runs_whose_jobs_ran_alone_stay_as_they_were_published(name: str) -> None:
    run = load_run(RESULTS / name)
    assert {gain.ratio.n for gain in gains_of(run) if gain.ratio} == {3}
    assert {row["n"] for row in csv_of(run, "steady")} == {"3"}
    assert "compiling_setup_s" not in csv_of(run, "steady")[0]


def test_the_table_of_set_ups_names_cold_and_warm() -> None:
    name = OF_2026_11_30[1]
    lines = [line for line in lines_of(name) if line["arm"]["name"] == "latest-compile"]
    setups = {line["replicate"]: line["timing"]["setup_s"] for line in lines}
    steps = {line["replicate"]: line["timing"]["steady_step_s"] for line in lines}
    run = load_run(RESULTS / name)
    (row,) = (row for row in csv_of(run, "steady") if row["arm"] == "latest-compile")
    assert float(row["compiling_setup_s"]) == pytest.approx(setups[0])
    warm = [setups[number] for number in (1, 2, 3)]
    assert float(row["setup_s"]) == pytest.approx(sum(warm) / 3)
    logs = [math.log(steps[number]) for number in (1, 2, 3)]
    assert float(row["steady_step_s"]) == pytest.approx(math.exp(sum(logs) / 3), rel=1e-3)
    assert (row["n"], row["replicates"]) == ("3", "4")
    assert row["left_out"] == "compiled anew in 1 of 4 replicates"
    (eager,) = (row for row in csv_of(run, "steady") if row["arm"] == "pytorch-eager")
    assert (eager["compiling_setup_s"], eager["n"]) == ("", "4")
    text = render([run], view="steady")
    assert "| Cold set-up(s) | Warm set-up(s) |" in text
    for view in ("steady", "gains", "gpu"):
        assert render([run], view=view).count("(cold set-up) does not count beside those") == 1


def jobs(*graphs: int | None, steps: tuple[float, ...] = (0.6, 0.4, 0.41)) -> list[JobRecord]:
    """Eager replicates of 0.8 s a step in turns with compiled ones, each of which compiled so many
    graphs.
    """
    sources = Sources(data="synthetic", weights="random", train_samples=1000)
    made = []
    for replicate, (found, step_s) in enumerate(zip(graphs, steps, strict=False)):
        made.append(
            make_interleaved_job("pytorch", "compiled", replicate, [0.8] * 8, sources=sources)
        )
        job = make_interleaved_job(
            *("compiled", "pytorch", replicate, [step_s] * 8),
            sources=sources,
            backend="torch-compile",
            engagement=Engagement(engaged=True, graphs_not_in_cache=found),
        )
        made.append(
            job.replace(
                arm=job.arm.replace(options={"compile_cache": True}),
                timing=job.timing.replace(
                    setup_s=30.0 if found else 4.0, steady_samples_per_s=8 / step_s
                ),
            )
        )
    return made


def gain_of(made: list[JobRecord]) -> tuple[float, int, str]:
    (gain,) = gains_of(make_run(made, [PAIR]))
    assert gain.ratio is not None
    return math.exp(gain.ratio.mean), gain.ratio.n, gain.left_out


def test_a_gain_is_of_the_replicates_that_loaded_their_kernels() -> None:
    ratio, n, left_out = gain_of(jobs(2, 0, 0))
    assert ratio == pytest.approx(0.8 / math.sqrt(0.4 * 0.41))
    assert (n, left_out) == (2, "compiled: compiled anew in 1 of 3 replicates")
    ratio, n, left_out = gain_of(jobs(0, 0, 3))  # the cache was emptied meanwhile
    assert ratio == pytest.approx(0.8 / math.sqrt(0.6 * 0.4))
    assert (n, left_out) == (2, "compiled: compiled anew in 1 of 3 replicates")


@pytest.mark.parametrize("graphs", [(0, 0, 0), (2, 1, 2)])
def test_set_ups_of_one_kind_are_not_said_to_differ(graphs: tuple[int, ...]) -> None:
    text = render([make_run(jobs(*graphs), [PAIR])], view="steady")
    assert "Set-up(s)" in text
    assert " cold" not in text


@pytest.mark.parametrize("graphs", [(2,), (None,), (2, 1, 2), (0, 0, 0)])
def test_replicates_of_one_kind_all_count(graphs: tuple[int | None, ...]) -> None:
    made = jobs(*graphs)
    _, n, left_out = gain_of(made)
    assert (n, left_out) == (len(graphs), "")
    run = make_run(made, [PAIR])
    (_, row) = csv_of(run, "steady")
    assert (row["n"], row["left_out"]) == (str(len(graphs)), "")
    assert "Cold set-up" not in render([run], view="steady")


def test_a_warm_replicate_without_a_result_leaves_the_cold_one() -> None:
    made = jobs(2, 0)
    lost = [
        job.replace(state="crashed") if job.replicate == 1 and job.arm.name == "compiled" else job
        for job in made
    ]
    _, n, left_out = gain_of(lost)
    assert (n, left_out) == (1, "compiled: crashed in 1 of 2 replicates")


def test_every_figure_of_the_speed_of_a_pair_goes_by_the_same_replicates() -> None:
    run = make_run(jobs(2, 0, 0), [PAIR])
    of_pair = arms_of(run).of_pair(PAIR)
    assert [one.replicate for one, _ in matched(*of_pair, STEADY_STEP.read)] == [1, 2]
    warm_s = pytest.approx((0.4 + 0.41) / 2, rel=1e-3)
    (row,) = full_rows(run)
    assert row.sides["candidate"][STEADY_STEP].value == warm_s
    assert row.sides["baseline"][STEADY_STEP].value == pytest.approx(0.8)
    (night,) = nights_of(run, "steady_state", Comparable())
    assert night.point is not None
    assert (night.point.candidate_s, night.point.replicates) == (warm_s, 2)
    assert night.left_out == "compiled: compiled anew in 1 of 3 replicates"
    (gain,) = gains_of(run)
    assert gain.break_even is not None
    baseline, candidate = costs_of(gain, arms_of(run))
    assert (candidate.setup_s, candidate.step_s) == (4.0, warm_s)
    # The set-ups are 2 and 4 s, so the step that repays 2 s at 0.395 s each.
    assert gain.break_even.step == pytest.approx(1 + 2 / (0.8 - 0.405), rel=1e-3)
    points = {point.name: point for point in points_of(run)}
    assert points["tiny-sst2/compiled/steady-step-time"].value == warm_s
    assert points["tiny-sst2/compiled/steady-step-time"].n == 2
    drawn = by_workload(run)["tiny-sst2"]
    assert [job.replicate for job in drawn["compiled"]] == [1, 2]
    assert [job.replicate for job in drawn["pytorch"]] == [0, 1, 2]
    losses = by_workload(run, speed=False)["tiny-sst2"]
    assert [job.replicate for job in losses["compiled"]] == [0, 1, 2]
    frame = report.frame(run)
    of_jobs = frame[(frame["kind"] == "job") & (frame["arm"] == "compiled")]
    assert of_jobs["counts"].tolist() == [False, True, True]
    assert of_jobs["compiled_anew"].tolist() == [True, False, False]


def test_predicted_times_say_that_a_replicate_compiled_anew() -> None:
    run = make_run(jobs(2, 0, 0), [PAIR])
    eager, compiled = csv_of(run, "predicted")
    assert (eager["n"], compiled["n"]) == ("3", "2")
    assert compiled["left_out"] == "compiled anew in 1 of 3 replicates"
    assert float(compiled["warm_setup_s"]) == 4.0
    (gain,) = csv_of(run, "predicted-gains")
    assert gain["n"] == "2"


def test_end_to_end_times_of_jobs_that_ran_alone_follow_what_the_record_says() -> None:
    made = []
    for replicate, (graphs, runtime_s) in enumerate(((2, 90.0), (0, 50.0), (0, 52.0))):
        made.append(make_job("pytorch", replicate))
        job = make_job(
            *("compiled", replicate),
            backend="torch-compile",
            runtime_s=runtime_s,
            engagement=Engagement(engaged=True, graphs_not_in_cache=graphs),
        )
        made.append(job.replace(arm=job.arm.replace(options={"compile_cache": True})))
    run = make_run(made, [PAIR])
    end_to_end, _ = gains_of(run)
    assert end_to_end.ratio is not None
    assert end_to_end.ratio.n == 2
    assert math.exp(end_to_end.ratio.mean) == pytest.approx(100 / math.sqrt(50.0 * 52.0))
    _, row = csv_of(run, "runtimes")
    assert (row["n"], float(row["runtime_s"])) == ("2", pytest.approx(51.0, rel=1e-3))


def test_what_was_learned_is_of_all_replicates(tmp_path: Path) -> None:
    made = []
    for replicate, graphs in enumerate((2, 0, 0)):
        for arm in ("pytorch", "compiled"):
            job = make_job(
                *(arm, replicate),
                backend="torch-compile" if arm == "compiled" else "pytorch",
                engagement=Engagement(engaged=True, graphs_not_in_cache=graphs),
                metrics={"accuracy": 0.5 + replicate / 10},
                main_metrics=["accuracy"],
            )
            made.append(job.replace(arm=job.arm.replace(options={"compile_cache": True})))
    rows = csv_of(make_run(made, [PAIR]), "metrics")
    assert [(row["n"], float(row["metric_value"])) for row in rows] == [
        ("3", pytest.approx(0.6)),
        ("3", pytest.approx(0.6)),
    ]
