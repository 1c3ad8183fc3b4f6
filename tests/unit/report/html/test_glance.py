"""The five questions at the head of the page, answered from runs made up for each answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from folders import ROOT
from report_factory import GATED, make_job, make_parity_run, make_run

from harness.schema.record import Pair
from harness.schema.workload import Training
from report.html.glance import questions
from report.loading.runs import Run, load_run

WHICH, SURE, BATCH, LEARNED, SLOWER = range(5)


def answers(run: Run | Sequence[Run]) -> list[tuple[str, ...]]:
    runs = [run] if isinstance(run, Run) else run
    return [question.answers for question in questions(runs, [], elsewhere=False)]


def run_of(
    arms: Mapping[str, Sequence[float]], batch_size: int = 8, workload: str = "w"
) -> tuple[list, list[Pair]]:
    """Jobs with these seconds for each steady step, replicate by replicate; the first arm is the
    baseline of all others.
    """
    baseline, *candidates = arms
    jobs = [
        make_job(
            arm,
            replicate,
            runtime_s=None,
            step_s=seconds,
            backend="pytorch",
            workload=workload,
            training=Training(batch_size=batch_size, max_steps=100),
        )
        for arm, times in arms.items()
        for replicate, seconds in enumerate(times)
    ]
    return jobs, [
        Pair(workload=workload, baseline=baseline, candidate=candidate) for candidate in candidates
    ]


def around(seconds: float) -> list[float]:
    """Four times within 1% of this; those of 1 s do not go with those of others."""
    signs = (-1, 1, -1, 1) if seconds == 1 else (1, 1, -1, -1)
    return [seconds * (1 + 0.01 * sign) for sign in signs]


def attention(jobs: list) -> list:
    """The jobs with arms that differ in more than their names."""
    return [job.replace(arm=job.arm.replace(options={"of": job.arm.name})) for job in jobs]


def test_the_largest_gain_that_is_told_from_0_is_recommended_with_what_comes_near_it() -> None:
    jobs, pairs = run_of(
        {
            "slow": around(1.0),
            "fast": around(0.5),
            "alike": around(0.503),
            "unsure": [0.2, 2.0, 0.2, 2.0],
        }
    )
    run = make_run(attention(jobs), pairs)
    steady, _ = answers(run)[WHICH]
    assert steady.startswith("In the steady state, fast: +100.0% (")
    assert steady.endswith("over slow; the interval of alike overlaps with its own.")


def test_without_a_gain_that_is_told_from_0_it_is_the_baseline() -> None:
    jobs, pairs = run_of({"base": around(1.0), "unsure": [0.5, 2.0, 0.5, 2.0]})
    steady, end_to_end = answers(make_run(attention(jobs), pairs))[WHICH]
    assert steady == "In the steady state, base: no other arm is shown to be faster."
    assert end_to_end == "End to end, there is no gain: the reasons stand below."


def test_identical_arms_recommend_nothing() -> None:
    jobs, pairs = run_of({"a": around(1.0), "b": around(0.5)})
    (said, *_) = answers(make_run(jobs, pairs))[WHICH]
    assert said == "None: the arms are identical, and what they differ by is the noise floor."


def test_a_published_gain_without_an_interval_is_not_certain() -> None:
    run = load_run(ROOT / "results" / "published")
    which, sure, _, learned, _ = answers(run)
    assert any("without an interval: not certain" in said for said in which)
    assert sure == ("Nothing was measured here, so there is no interval.",)
    assert learned == ("Not known: a publication does not say.",)


def test_how_sure_counts_what_is_told_from_0_and_gives_the_widths() -> None:
    jobs, pairs = run_of({"base": around(1.0), "one": around(0.5), "other": [0.5, 2.0, 0.5, 2.0]})
    first, *rest = answers(make_run(attention(jobs), pairs))[SURE]
    assert first.startswith(
        "The 95% interval excludes 0 in 1 of 2 gains. Intervals over 4 replicates: ±"
    )
    assert first.endswith("percentage points in the steady state.")
    assert rest == []
    jobs, pairs = run_of({"base": [1.0, 1.1], "one": [0.5, 0.51]})
    assert "Fewer than 4 replicates" in answers(make_run(attention(jobs), pairs))[SURE][1]


def test_whether_it_depends_on_the_batch_size() -> None:
    small, pairs = run_of({"base": around(1.0), "one": around(0.5)}, 8, "small")
    assert answers(make_run(attention(small), pairs))[BATCH] == (
        "Not measured: only one batch size was trained (batch 8).",
    )
    for seconds, verdict in ((0.9, "Yes: "), (0.5, "Not that it shows: ")):
        large, more = run_of({"base": around(1.0), "one": around(seconds)}, 64, "large")
        (said,) = answers(make_run(attention([*small, *large]), [*pairs, *more]))[BATCH]
        assert said.startswith(f"{verdict}one over base on tiny in the steady state, batch 8 +")
        assert ", batch 64 +" in said
        assert said.endswith("apart." if verdict == "Yes: " else "overlap.")


def test_whether_the_arms_learned_alike() -> None:
    pairs = [Pair(workload="tiny-sst2", baseline="pytorch", candidate="onnxruntime")]
    jobs = [make_job(arm, k) for k in range(2) for arm in ("pytorch", "onnxruntime")]
    assert answers(make_run(jobs, pairs))[LEARNED] == (
        "Not checked: the suite asked for no parity runs.",
    )
    for last, verdict in ((0.5, "Yes: parity passed."), (0.9, "No: ONNX Runtime over PyTorch on ")):
        parity_runs = [
            make_parity_run("pytorch", [0.7, 0.6, 0.5]),
            make_parity_run("onnxruntime", [0.7, 0.6, last]),
        ]
        run = make_run([*jobs, *parity_runs], pairs)
        gated = dataclasses.replace(run, info=run.info.replace(config=GATED, measurement=None))
        (said,) = answers(gated)[LEARNED]
        assert said.startswith(verdict)


def test_of_many_workloads_the_first_are_told_and_the_others_counted() -> None:
    jobs, pairs = [], []
    for n in range(9):
        more, of = run_of({"base": around(1.0), "one": around(0.5 + n / 50)}, workload=f"w{n}")
        jobs += [job.replace(workload=job.workload.replace(model=model(job, n))) for job in more]
        pairs += of
    said = answers(make_run(attention(jobs), pairs))[WHICH]
    assert len(said) == 4
    assert said[0].startswith("m0, batch 8: in the steady state, one: +100.0%")
    assert said[-1].endswith("more are below.")


def model(job, number: int):
    return job.workload.model.replace(name=f"m{number}")
