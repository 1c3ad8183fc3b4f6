"""report compare: the joint interval against scipy's Welch, what moved, what cannot be told, and
what changed.
"""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import scipy.stats
from folders import ROOT
from report_factory import four_pairs, make_interleaved_job, make_job, make_run, write_run

from harness.schema.record import Host, JobRecord, Pair, Sources, State
from harness.schema.stats import Estimate, mean_interval, turn_interval
from harness.schema.workload import Training
from report.analysis.compare import Compared, Comparison, compare, joint_change
from report.analysis.provenance_diff import differences, flatten
from report.commands import compare as command
from report.loading.runs import Run, load_run
from report.tables.comparison import (
    FORMATS,
    _percent,
    json_text,
    markdown,
    terminal,
    verdict_line,
)

PUBLISHED = ROOT / "results" / "published"
SMOKE = ROOT / "results" / "smoke-20261123-012757"
STEADY = ROOT / "results" / "glue-sst2-steady-20261123-003540"


def noisy(ratio: float, seed: int, n: int = 6, noise: float = 0.01, **fields: object) -> Run:
    """n replicates of both arms; T_baseline / T_candidate is `ratio` but for the noise."""
    draw = random.Random(seed)
    jobs: list[JobRecord] = []
    for replicate in range(n):
        for arm, step_s in (("pytorch", 0.5), ("onnxruntime", 0.5 / ratio)):
            step_s *= math.exp(draw.gauss(0, noise))
            jobs.append(make_job(arm, replicate, step_s=step_s, runtime_s=200 * step_s))
    return make_run(jobs, **{"run": f"run-{seed}", **fields})


def gain(found: Comparison, time: str = "steady state") -> Compared:
    (compared,) = (one for one in found.gains if one.b.time == time)
    return compared


def time_of(found: Comparison, arm: str, time: str = "steady step") -> Compared:
    (compared,) = (one for one in found.times if (one.b.what, one.b.time) == (arm, time))
    return compared


@pytest.mark.parametrize(
    ("n_a", "n_b", "spread"), [(4, 4, 1.0), (3, 12, 5.0), (2, 2, 0.1), (8, 3, 30.0)]
)
def test_the_joint_interval_is_welchs(n_a: int, n_b: int, spread: float) -> None:
    draw = random.Random(n_a * 100 + n_b)
    a = [draw.gauss(0.1, 0.01) for _ in range(n_a)]
    b = [draw.gauss(0.2, 0.01 * spread) for _ in range(n_b)]
    found = joint_change(mean_interval(a), mean_interval(b))
    welch = scipy.stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(welch.low), pytest.approx(welch.high))


def test_the_joint_interval_covers_the_truth_as_often_as_it_says() -> None:
    draw = random.Random(1)
    covered = 0
    for _ in range(2000):
        a, b = (
            [draw.gauss(mean, sd) for _ in range(n)]
            for mean, sd, n in ((0.0, 1.0, 4), (0.5, 3.0, 8))
        )
        found = joint_change(mean_interval(a), mean_interval(b))
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.5 <= found.high
    assert 0.935 <= covered / 2000 <= 0.965


def test_extremes_of_the_joint_interval() -> None:
    still = mean_interval([0.25, 0.25, 0.25])
    assert joint_change(still, still) == Estimate(3, 0.0, 0.0, 0.0)
    assert joint_change(still, mean_interval([0.5])) == Estimate(1, 0.25)
    tiny = joint_change(mean_interval([1e-200, 2e-200]), mean_interval([3e-200, 5e-200]))
    assert tiny.low is not None
    assert math.isfinite(tiny.low)


def test_rounding_is_no_move() -> None:
    a, b = (
        make_run([make_job("pytorch", k, step_s=0.1) for k in range(n)], pairs=[]) for n in (3, 7)
    )
    assert time_of(compare(a, b), "pytorch").moved is False


def test_turns_enter_with_the_noise_of_their_own_interval() -> None:
    draw = random.Random(5)
    replicates = [[(math.exp(draw.gauss(0, 0.01)), 0.9) for _ in range(40)] for _ in range(4)]
    of_turns = turn_interval(replicates)
    assert of_turns.low is not None
    assert of_turns.freedom is not None
    known = Estimate(4, 0.0, -1e-12, 1e-12, 3)  # so precise that all noise is the other's
    found = joint_change(known, of_turns)
    assert found.low == pytest.approx(of_turns.low, rel=1e-6)


def test_a_gain_that_moved_and_what_moved_it() -> None:
    found = compare(noisy(1.2, 1), noisy(1.1, 2))
    moved = gain(found)
    assert moved.moved is True
    assert moved.change is not None
    assert moved.change.low is not None
    assert moved.change.high is not None
    assert moved.change.low < math.log(1.1 / 1.2) < moved.change.high < 0
    assert (
        time_of(found, "pytorch").moved is False
    )  # the candidate got slower, not the baseline faster
    assert time_of(found, "onnxruntime").moved is True
    text = markdown(found)
    assert "| moved: down " in text
    assert "| moved: longer " in text


def test_a_gain_that_did_not_move() -> None:
    found = compare(noisy(1.2, 3), noisy(1.2, 4))
    assert [one.moved for one in found.gains] == [False, False]


def test_the_same_run_against_itself_did_not_change() -> None:
    found = compare(load_run(STEADY), load_run(STEADY))
    assert found.gains
    assert {one.moved for one in (*found.gains, *found.times)} == {False}
    assert all(one.change is not None and one.change.mean == 0 for one in found.gains)
    assert found.differences.found == ()
    assert found.only_a == found.only_b == ()


def test_one_replicate_has_no_interval_and_the_table_says_so() -> None:
    found = compare(noisy(1.2, 1, n=1), noisy(1.1, 2))
    assert (gain(found).moved, gain(found).why) == (None, "no interval in A (n = 1)")
    assert gain(found).change is not None


def test_a_published_run_against_a_measured_one() -> None:
    published = load_run(PUBLISHED)
    jobs = [
        make_job(
            arm,
            replicate,
            model="roberta-large",
            workload="my-large",
            device="NVIDIA H100",
            runtime_s=1000.0 + replicate,
            training=Training(epochs=3.0, precision="fp16"),
            sources={"data": "hub", "weights": "pretrained", "train_samples": 67349},
        )
        for replicate in range(4)
        for arm in ("pytorch", "onnxruntime")
    ]
    found = compare(published, make_run(jobs))
    (compared,) = found.gains  # matched by model, task and backends: the workload has another name
    assert (compared.a.workload, compared.b.workload) == ("roberta-large-sst2", "my-large")
    assert (compared.moved, compared.why) == (None, "no interval in A (published)")
    assert compared.a.estimate is not None
    assert compared.change is not None
    assert compared.change.mean == pytest.approx(-compared.a.estimate.mean)
    assert {item.workload for item in found.only_a} == {"roberta-base-sst2"}
    assert ("packages", "A") in found.differences.unrecorded or not found.b.info.packages
    text = markdown(found)
    assert "unknown: no interval in A (published)" in text
    assert "NVIDIA A100" in text


def test_what_is_not_the_same_work_is_not_compared() -> None:
    short = [
        make_job(arm, k, training=Training(max_steps=10))
        for k in range(2)
        for arm in ("pytorch", "onnxruntime")
    ]
    found = compare(make_run(four_pairs()), make_run(short, run="short"))
    assert gain(found, "end to end").change is None
    assert (
        gain(found, "end to end").why
        == "not the same work: 3 epochs of 800 samples in A, 10 steps in B"
    )
    assert gain(found).change is not None  # the steady state does not depend on it
    large = [make_job("pytorch", k, training=Training(batch_size=64)) for k in range(2)]
    step = time_of(compare(make_run(four_pairs()), make_run(large, pairs=[])), "pytorch")
    assert (step.change, step.why) == (None, "not the same work: batch 8 in A, 64 in B")
    cut = [
        make_job("pytorch", k, sources=Sources(data="synthetic", max_seq_length=16))
        for k in range(2)
    ]
    step = time_of(compare(make_run(four_pairs()), make_run(cut, pairs=[])), "pytorch")
    assert (step.change, step.why) == (None, "not the same work: length 128 in A, 16 in B")


def test_a_record_of_before_the_length_was_told_is_no_difference() -> None:
    told = [
        make_job("pytorch", k, sources=Sources(data="synthetic", max_seq_length=128))
        for k in range(2)
    ]
    before = [make_job("pytorch", k, sources=Sources(data="synthetic")) for k in range(2)]
    found = compare(make_run(before, pairs=[]), make_run(told, pairs=[]))
    assert time_of(found, "pytorch").change is not None
    assert not [one for one in found.differences.found if one.group == "data and weights"]


def test_workloads_that_are_known_to_differ_are_not_matched_by_kind() -> None:
    jobs = [
        make_job(arm, k, workload="other", training=Training(batch_size=64))
        for k in range(2)
        for arm in ("pytorch", "onnxruntime")
    ]
    found = compare(make_run(four_pairs()), make_run(jobs, run="large"))
    assert found.gains == ()
    assert {(item.workload, item.what) for item in found.only_b} >= {
        ("other", "onnxruntime over pytorch")
    }
    assert "Only in one of them:" in markdown(found)


def test_arms_of_different_stacks_are_not_matched_by_kind() -> None:
    def run(baseline: str, candidates: dict[str, str], name: str) -> Run:
        arms = {baseline: "ort", **candidates}
        jobs = [
            make_job(arm, k, backend="pytorch", attention="eager" if arm == baseline else "sdpa")
            for k in range(2)
            for arm in arms
        ]
        jobs = [
            job.model_copy(update={"arm": job.arm.model_copy(update={"stack": arms[job.arm.name]})})
            for job in jobs
        ]
        pairs = [
            Pair(workload="tiny-sst2", baseline=baseline, candidate=candidate)
            for candidate in candidates
        ]
        return make_run(jobs, pairs, run=name)

    today = run("pytorch-eager", {"pytorch-sdpa": "ort", "latest-sdpa": "latest"}, "today")
    found = compare(today, run("pytorch", {"sdpa": "ort"}, "bench"))
    assert [(one.a.what, one.b.what) for one in found.gains if one.b.time == "steady state"] == [
        ("pytorch-sdpa over pytorch-eager", "sdpa over pytorch")
    ]
    assert {item.what for item in found.only_a} >= {"latest-sdpa over pytorch-eager", "latest-sdpa"}


def test_a_gain_without_a_result_says_why() -> None:
    failed = [make_job("pytorch", k) for k in range(4)]
    failed += [make_job("onnxruntime", k, state=State.OUT_OF_MEMORY) for k in range(4)]
    found = compare(noisy(1.2, 1), make_run(failed))
    assert gain(found).change is None
    assert "none in B: onnxruntime: out of memory in 4 of 4 replicates" in gain(found).why


def in_turns(name: str, candidate_s: float, replicates: int = 4) -> Run:
    """A run of a pair that took turns; the candidate's step takes so many seconds, the baseline's
    half a second, each by 1% of noise.
    """
    draw = random.Random(name)
    jobs = []
    for replicate in range(replicates):
        noise = [math.exp(draw.gauss(0, 0.01)) for _ in range(20)]
        jobs.append(
            make_interleaved_job("pytorch", "onnxruntime", replicate, [0.5 * x for x in noise])
        )
        jobs.append(
            make_interleaved_job(
                "onnxruntime", "pytorch", replicate, [candidate_s * x * x for x in noise]
            )
        )
    return make_run(jobs, run=name)


def test_runs_by_turns_have_no_times_end_to_end() -> None:
    found = compare(in_turns("a", 0.4), in_turns("b", 0.5))
    assert [(one.b.time, one.moved) for one in found.gains] == [("steady state", True)]
    assert {one.b.time for one in found.times} == {"set-up", "steady step"}


def test_the_interval_within_one_replicate_says_nothing_of_a_move() -> None:
    """It is there, for the replicate's rounds have one, but not of what replicates differ by."""
    (one,) = compare(in_turns("a", 0.4, replicates=1), in_turns("b", 0.5)).gains
    assert one.a.estimate is not None
    assert one.a.estimate.low is not None
    assert one.moved is None
    assert one.why == "one replicate in A does not say how replicates vary"


def test_what_changed_between_runs() -> None:
    host = Host(
        cpu="Abacus", cores=2, driver="550.1", gpus=[{"name": "NVIDIA A100", "uuid": "GPU-1"}]
    )
    a = make_run(
        four_pairs(),
        host=host,
        packages={"torch": "2.6.0", "numpy": "1.26.4", "gone": "1"},
        config={"training": {"batch_size": 8}, "workloads": [{"model": "x"}]},
        git={"commit": "aaaa", "dirty": False},
        environment={"CUDA_HOME": "/usr/local/cuda"},
    )
    info = a.info.model_copy(
        update={
            "host": host.model_copy(update={"driver": "560.2", "cores": 4}),
            "packages": {"torch": "2.7.0", "numpy": "1.26.4", "latest/torch": "2.11"},
            "config": {
                "training": {"batch_size": 16},
                "workloads": [{"model": "x"}, {"model": "y"}],
            },
            "git": {"commit": "bbbb", "dirty": True},
            "environment": {},
        }
    )
    found = differences(a, replace(a, info=info))
    assert [(one.group, one.key, one.a, one.b) for one in found.found] == [
        ("driver", "driver", "550.1", "560.2"),
        ("packages", "gone", "1", None),
        ("packages", "latest/torch", None, "2.11"),
        ("packages", "torch", "2.6.0", "2.7.0"),
        ("config", "training.batch_size", 8, 16),
        ("config", "workloads.1.model", None, "y"),
        ("code", "commit", "aaaa", "bbbb"),
        ("code", "dirty", False, True),
        ("host", "cores", 2, 4),
    ]
    assert found.unrecorded == (("environment", "B"),)


@pytest.mark.parametrize(
    ("config", "key", "shown"),
    [
        ({"measurement": {"threads": 1}}, "measurement.same_cores", "not recorded"),
        ({"arms": {"a": {"name": "a"}}}, "arms.a.injected_delay_ms", "not recorded"),
        ({"measurement": {"same_cores": None, "x": 1}}, "measurement.same_cores", "(none)"),
        (
            {"measurement": {"adaptive": None, "x": 1}},
            "measurement.adaptive.budget_minutes",
            "(none)",
        ),
        ({"arms": {"b": {"name": "b"}}}, "arms.a.name", "(none)"),
        ({"arms": {"a": {"options": {"x": 1}}}}, "arms.a.options.y", "(none)"),
        ({"workloads": [{"training": {"x": 1}}]}, "workloads.0.training.y", "(none)"),
        ({"workloads": ["x"]}, "workloads.1", "(none)"),
    ],
)
def test_what_a_run_did_not_record_is_not_taken_for_nothing(
    config: dict[str, object], key: str, shown: str
) -> None:
    other: object = True
    for part in reversed(key.split(".")):
        other = ["x", other] if part == "1" else [other] if part == "0" else {part: other}
    a = make_run(four_pairs(), config=config)
    b = replace(a, info=a.info.model_copy(update={"config": other}))
    cells = next(line for line in markdown(compare(a, b)).splitlines() if f" {key} " in line)
    assert [cell.strip() for cell in cells.split("|")[3:5]] == [shown, "True"]


def test_of_a_card_that_was_there_a_missing_fact_is_not_recorded() -> None:
    cards = [{"name": "A100", "uuid": "1"}, {"name": "A100", "uuid": "2"}]
    a = make_run(four_pairs(), host=Host(gpus=[{"name": "A100"}]))
    b = replace(a, info=a.info.model_copy(update={"host": Host(gpus=cards)}))
    found = {one.key: one.unrecorded for one in differences(a, b).found}
    assert found == {"0.uuid": ("A",), "1.name": (), "1.uuid": ()}


@pytest.mark.parametrize(
    ("value", "sign", "shown"),
    [
        (0.5, "+", "+50.00%"),
        (10.0, "+", "+1000.00%"),
        (10.01, "+", "> +1000%"),
        (math.inf, "", "> 1000%"),
        (-10.01, "+", "< -1000%"),
    ],
)
def test_a_change_beyond_1000_percent_is_only_said_to_be_beyond(
    value: float, sign: str, shown: str
) -> None:
    assert _percent(value, sign) == shown


def test_flatten() -> None:
    tree = {"a": {"b": [1, {"c": None, "d": False}]}, "e": {}, "f": "x"}
    assert flatten(tree) == {"a.b.0": 1, "a.b.1.d": False, "f": "x"}


def test_long_values_are_shown_where_they_differ() -> None:
    run = make_run(four_pairs(), environment={"OMP_LONG": "x" * 500 + "left" + "y" * 500})
    info = run.info.model_copy(
        update={"environment": {"OMP_LONG": "x" * 500 + "right" + "y" * 500}}
    )
    found = compare(run, replace(run, info=info))
    line = next(line for line in markdown(found).splitlines() if "OMP_LONG" in line)
    assert "left" in line
    assert "right" in line
    assert len(line) < 250
    assert json.loads(json_text(found))["differences"][0]["a"] == run.info.environment["OMP_LONG"]


def test_whatever_a_run_holds_stays_text() -> None:
    run = make_run(four_pairs(), run="<script>|a", environment={"OMP_X": "a|b\n<b>`c`"})
    info = run.info.model_copy(update={"environment": {"OMP_X": "[d](e)"}})
    text = markdown(compare(run, replace(run, info=info)))
    assert "<script>" not in text
    assert "<b>" not in text
    row = next(line for line in text.splitlines() if line.startswith("| environment"))
    assert row.replace("\\|", "").count("|") == 5


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "folders", [(PUBLISHED, STEADY), (SMOKE, STEADY), (STEADY, SMOKE), (SMOKE, SMOKE)]
)
def test_committed_runs_come_out_the_same_twice(form: str, folders: tuple[Path, Path]) -> None:
    first, second = (FORMATS[form](compare(*map(load_run, folders))) for _ in range(2))
    assert first == second
    assert "nan" not in first.lower().split()
    if form == "json":
        assert json.loads(first)["a"] == load_run(folders[0]).info.run


def test_the_command(tmp_path: Path) -> None:
    def report(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "report.cli", "compare", *map(str, arguments)]
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60)

    done = report("published", STEADY)
    assert (done.returncode, done.stderr) == (0, "")
    verdict, _, rest = done.stdout.partition("\n")
    assert verdict.startswith("6 gains cannot be judged; 9 times cannot be judged; other device")
    assert rest.lstrip().startswith("Gains, B against A:")
    assert "  3.08% |" in done.stdout
    assert "3.10%" not in done.stdout
    slower = report(
        *(write_run(tmp_path / run.info.run, run) for run in (noisy(1.2, 1), noisy(1.0, 2)))
    )
    assert slower.returncode == 0  # a comparison is no gate
    torn = write_run(tmp_path / "torn", make_run(four_pairs()), tail=b"{")
    assert report(torn, STEADY, "--format", "json").returncode == 1
    assert report("nowhere", STEADY).returncode == 2


def test_the_first_line_is_the_verdict() -> None:
    one, other = noisy(1.2, 1), noisy(1.1, 2)
    change = gain(compare(one, other)).change
    assert change is not None
    moved = verdict_line(compare(one, other))
    assert moved.startswith(
        "2 of 2 gains moved (onnxruntime over pytorch on tiny-sst2, end to end: "
    )
    assert "steady state: " in moved
    assert f"{100 * math.expm1(change.mean):+.2f}%" in moved
    driver = one.info.host.model_copy(update={"driver": "9.9"})
    newer = replace(one, info=one.info.model_copy(update={"host": driver}))
    old = one.info.host.model_copy(update={"driver": "9.8"})
    older = replace(one, info=one.info.model_copy(update={"host": old, "git": {"commit": "a"}}))
    said = verdict_line(compare(older, newer))
    assert said == "0 of 2 gains moved; 0 of 6 times moved; other driver, code not recorded in both"
    same = replace(newer, info=newer.info.model_copy(update={"git": {"commit": "a"}}))
    assert verdict_line(compare(older, same)).endswith("; other driver, same code")
    again = replace(same, info=same.info.model_copy(update={"git": {"commit": "b"}}))
    assert verdict_line(compare(same, again)).endswith("; other code")
    assert verdict_line(compare(same, same)).endswith("; nothing else that was recorded changed")
    assert verdict_line(compare(make_run([], []), one)).startswith("no gains that both runs have")


def test_every_row_has_a_state() -> None:
    found = compare(noisy(1.2, 3), noisy(1.2, 4))
    text = terminal(found)
    assert "not distinguishable" in text
    assert "| not distinguishable |" in markdown(found)
    still = make_run([make_job("pytorch", k, step_s=0.1) for k in range(3)], pairs=[])
    assert "| the same" in markdown(compare(still, still))


def test_the_choices_named_for_a_fast_help_are_those_there_are() -> None:
    assert tuple(FORMATS) == command.FORMATS


@pytest.mark.parametrize("width", [60, 80, 110])
def test_a_narrow_terminal_keeps_what_is_now_and_both_sides_of_what_changed(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    before, now = (
        load_run(STEADY.with_name(f"glue-sst2-steady-20261123-{time}"))
        for time in ("003540", "021821")
    )
    shown = terminal(compare(before, now))
    gains = shown.split("Times, B against A:")[0]
    assert "40.55%" in gains, "the gain of B"
    assert "-6.67%" in gains, "the change"
    changed = shown.split("What changed:")[1].split("Only in one of them:")[0]
    assert "192" in changed
    assert "320" in changed
    assert "left out" not in changed
