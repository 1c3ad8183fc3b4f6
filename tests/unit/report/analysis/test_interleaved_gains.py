"""Pairs measured interleaved: matched with their partner, by turn times, and what such runs have no
figure for.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from folders import RESULTS
from report_factory import (
    GATED,
    clock,
    four_pairs,
    make_interleaved_job,
    make_job,
    make_parity_run,
    make_run,
)

from harness.schema.record import JobRecord, Pair, State
from harness.schema.stats import log_ratios, mean_interval, turn_interval
from report.analysis.gains import END_TO_END, STEADY_STATE, Gain, gains_of
from report.loading.runs import load_run
from report.tables.registry import build
from report.tables.render import render

H100_RUN = RESULTS / "glue-sst2-steady-20261123-003540"
PAIR = Pair(workload="tiny-sst2", baseline="pytorch", candidate="onnxruntime")


def both(
    replicate: int, baseline: list[float], candidate: list[float], **fields: Any
) -> list[JobRecord]:
    return [
        make_interleaved_job("pytorch", "onnxruntime", replicate, baseline, **fields),
        make_interleaved_job("onnxruntime", "pytorch", replicate, candidate, **fields),
    ]


def steady(jobs: list[JobRecord], pair: Pair = PAIR, pairs: list[Pair] | None = None) -> Gain:
    (gain,) = (
        gain
        for gain in gains_of(make_run(jobs, pairs or [pair]))
        if gain.measure is STEADY_STATE and gain.pair == pair
    )
    return gain


def test_a_gain_by_hand_without_the_pilot() -> None:
    # After a pilot of one pair: sums 0.30 + 0.10 = 0.4 and 0.15 + 0.05 = 0.2 a step, the same ratio
    # in every turn: 2.
    gain = steady(both(0, [9.0, 0.30, 0.10], [1.0, 0.15, 0.05], pilot=1))
    assert gain.ratio is not None
    assert gain.ratio.n == 1
    assert gain.throughput == pytest.approx((1.0, 1.0, 1.0))
    assert str(gain.outcome) == "ok"


def test_the_interval_is_that_of_turn_means() -> None:
    replicates = [
        ([0.5, 0.52, 0.51, 0.53, 0.5], [0.4, 0.41, 0.42, 0.4, 0.39]),
        ([0.6, 0.61, 0.58], [0.5, 0.5, 0.47]),
    ]
    jobs = [
        job for k, (one, other) in enumerate(replicates) for job in both(k, one, other, steps=10)
    ]
    expected = turn_interval(
        [[(10 * a, 10 * b) for a, b in zip(*times, strict=True)] for times in replicates]
    )
    ratio = steady(jobs).ratio
    assert ratio is not None
    assert (ratio.mean, ratio.low, ratio.high) == pytest.approx(
        (expected.mean, expected.low, expected.high)
    )


def test_there_is_no_end_to_end_row_and_no_runtimes_table() -> None:
    run = make_run(both(0, [0.5] * 4, [0.4] * 4), [PAIR])
    assert [gain.measure for gain in gains_of(run)] == [STEADY_STATE]
    assert [table.name for table in build([run]).tables] == [
        "steady",
        "gains",
        "predicted",
        "predicted-gains",
    ]
    text = render([run])
    assert "1000" not in text  # the recorded time from end to end has the waiting in it
    assert "- interleaved protocol: the jobs of all arms took turns on the device" in text
    assert "(nothing recorded)" in render([run], view="runtimes")
    assert "- an interval from one replicate (n = 1) holds what varies within it" in text
    planned = make_run([], [PAIR], config={"measurement": {"protocol": "interleaved"}})
    assert [gain.measure for gain in gains_of(planned)] == [STEADY_STATE]


def test_slow_turns_that_the_limit_takes_from_one_arm_are_named() -> None:
    candidate = [0.40, 0.41, 0.39, 0.40] * 5
    slow = [
        9 * candidate[0],
        *candidate[1:],
    ]  # 3.2 of 8 s: T_baseline / T_candidate is 10 / 11.2 with it
    text = render([make_run(both(0, [0.5] * 20, slow), [PAIR])])
    assert "in full, onnxruntime over pytorch on tiny-sst2 has a throughput gain of -10.7%" in text
    assert "in full" not in render([make_run(both(0, [0.5] * 20, candidate), [PAIR])])
    assert "in full" not in render([make_run(both(0, [0.5] * 20, [0.4] * 20), [PAIR])])


def test_what_jobs_that_were_told_to_stop_had_learned_is_not_compared() -> None:
    jobs = [
        job
        for k in range(4)
        for job in both(k, [0.5] * 4, [0.4] * 4, metrics={"accuracy": 0.5 + k / 100})
    ]
    apart = [
        job.model_copy(update={"metrics": {"accuracy": 0.9}}) if job.arm.name == "pytorch" else job
        for job in jobs
    ]
    run = make_run(
        [*apart, *(make_parity_run(arm, [0.7]) for arm in ("pytorch", "onnxruntime"))],
        [PAIR],
        config=GATED,
    )
    (gain,) = gains_of(run)
    assert gain.parity is not None
    assert (str(gain.outcome), gain.parity.outcome) == ("ok", "passed")
    assert (
        gain.parity.metric
        == "metric not compared: jobs that take turns stop wherever their training is"
    )


def test_why_a_job_failed_is_told_under_the_gains_of_such_a_run() -> None:
    jobs = both(0, [0.5] * 4, [0.4] * 4)
    jobs[1] = make_job(
        "onnxruntime",
        0,
        group=["pytorch", "onnxruntime"],
        state=State.CRASHED,
        reason="killed by signal 9",
    )
    text = render([make_run(jobs, [PAIR])], view="gains")
    assert "no result: onnxruntime: crashed in 1 of 1 replicate" in text
    assert "- onnxruntime on tiny-sst2, crashed: killed by signal 9" in text


def test_an_arm_of_two_pairs_is_matched_with_its_partner_alone() -> None:
    # The candidate's replicates 0 and 1 were measured against `eager`, 2 and 3 against `sdpa`.
    jobs = []
    for replicate in range(4):
        baseline, step_s = ("eager", 0.8) if replicate < 2 else ("sdpa", 0.6)
        jobs.append(
            make_interleaved_job(
                baseline, "onnxruntime", replicate, [step_s] * 4, backend="pytorch"
            )
        )
        jobs.append(make_interleaved_job("onnxruntime", baseline, replicate, [0.4] * 4))
    pairs = [
        Pair(workload="tiny-sst2", baseline=name, candidate="onnxruntime")
        for name in ("eager", "sdpa")
    ]
    for pair, gained in zip(pairs, (1.0, 0.5), strict=True):
        gain = steady(jobs, pair, pairs)
        assert gain.ratio is not None
        assert (gain.ratio.n, gain.replicates, gain.left_out) == (2, 2, "")
        assert gain.throughput[0] == pytest.approx(gained)


def test_a_pair_that_did_not_fit_goes_on_by_epochs_beside_one_that_did() -> None:
    # Replicate 0 ran out of memory in turns, then replicates 0 and 1 were run sequentially; the
    # other pair keeps to turns.
    fits = [make_interleaved_job(arm, other, k, [step_s] * 4, backend="pytorch") for k in (2, 3)
            for arm, other, step_s in (("eager", "sdpa", 0.6), ("sdpa", "eager", 0.4))]  # fmt: skip
    unfit = [
        make_job(
            "eager",
            0,
            backend="pytorch",
            group=["eager", "onnxruntime"],
            state=State.INTERRUPTED,
            started_at="1",
        ),
        make_job(
            "onnxruntime",
            0,
            group=["eager", "onnxruntime"],
            state=State.OUT_OF_MEMORY,
            started_at="1",
            attempt=2,
        ),
    ]
    alone = [
        make_job(arm, k, backend=backend, step_s=step_s, started_at="2")
        for k in (0, 1)
        for arm, backend, step_s in (("eager", "pytorch", 0.5), ("onnxruntime", "onnxruntime", 0.4))
    ]
    pairs = [
        Pair(workload="tiny-sst2", baseline="eager", candidate="onnxruntime"),
        Pair(workload="tiny-sst2", baseline="eager", candidate="sdpa"),
    ]
    jobs = [*unfit, *alone, *fits]
    first, second = steady(jobs, pairs[0], pairs), steady(jobs, pairs[1], pairs)
    for gain, gained in ((first, 0.25), (second, 0.5)):
        assert gain.ratio is not None
        assert (gain.ratio.n, gain.replicates, gain.left_out) == (2, 2, "")
        assert gain.throughput[0] == pytest.approx(gained)
    of_first = [gain.measure for gain in gains_of(make_run(jobs, pairs)) if gain.pair == pairs[0]]
    assert of_first == [END_TO_END, STEADY_STATE]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"turns": None}, "no turn times recorded in 1 of 1 replicate"),
        ({"group": []}, "arms were measured by different protocols in 1 of 1 replicate"),
        ({"device": "NVIDIA Abacus"}, "arms ran on different devices in 1 of 1 replicate"),
        ({"attempt": 2}, "arms were not run again together in 1 of 1 replicate"),
    ],
)
def test_jobs_that_cannot_be_compared(change: dict[str, Any], why: str) -> None:
    one, other = both(0, [0.5] * 4, [0.4] * 4)
    assert str(steady([one, other.model_copy(update=change)]).outcome) == why


def test_turns_that_do_not_match_are_no_result() -> None:
    one = make_interleaved_job("pytorch", "onnxruntime", 0, [0.5] * 4)
    for other in (
        make_interleaved_job("onnxruntime", "pytorch", 0, [0.4] * 3),
        make_interleaved_job("onnxruntime", "pytorch", 0, [0.4] * 4, steps=2),
        make_interleaved_job("onnxruntime", "pytorch", 0, [0.4] * 4, pilot=1),
    ):
        assert str(steady([one, other]).outcome) == "arms did different turns in 1 of 1 replicate"
    pilots = both(0, [0.5] * 4, [0.4] * 4)
    only_pilot = [
        job.model_copy(update={"turns": job.turns.model_copy(update={"pilot": 4})})
        for job in pilots
        if job.turns
    ]
    assert str(steady(only_pilot).outcome) == "no pair of turns was timed in 1 of 1 replicate"


def test_both_arms_share_the_cards_clock() -> None:
    gain = steady(both(0, [0.5] * 4, [0.4] * 4, telemetry=clock(1700.0)))
    assert gain.ratio is not None
    assert gain.cycles is not None
    assert gain.cycles.mean == pytest.approx(gain.ratio.mean)


@pytest.mark.skipif(
    not (H100_RUN / "series").is_dir(), reason="the recorded H100 run is not in this checkout"
)
@pytest.mark.parametrize(
    ("baseline", "candidate"), [("pytorch-eager", "onnxruntime"), ("pytorch-sdpa", "onnxruntime")]
)
def test_recorded_steps_cut_into_turns_give_the_gain_of_the_jobs(
    baseline: str, candidate: str
) -> None:
    """Real step times of an H100 as turn records: in full, the same mean as from whole jobs, by
    the same code.
    """
    import pyarrow.parquet as parquet

    recorded = [job for job in load_run(H100_RUN).jobs if job.workload.name == "roberta-base-b8"]
    jobs: list[JobRecord] = []
    whole: dict[tuple[str, int], float] = {}
    for job in recorded:
        if job.arm.name not in (baseline, candidate):
            continue
        partner = candidate if job.arm.name == baseline else baseline
        steps = parquet.read_table(H100_RUN / str(job.series)).column("duration_s").to_pylist()
        counted = steps[(job.timing.steady_begin_step or 1) - 1 :]
        whole[job.arm.name, job.replicate] = math.fsum(counted) / len(counted)
        turns = [math.fsum(counted[k : k + 5]) / 5 for k in range(0, len(counted), 5)]
        made = make_interleaved_job(
            job.arm.name,
            partner,
            job.replicate,
            turns,
            steps=5,
            backend=job.arm.backend,
            device=job.device,
        )
        jobs.append(made)
    pair = Pair(workload="tiny-sst2", baseline=baseline, candidate=candidate)
    gain = steady(jobs, pair)
    of_jobs = mean_interval(
        log_ratios([(whole[baseline, k], whole[candidate, k]) for k in range(4)])
    )
    ratio = gain.ratio
    assert ratio is not None
    assert (ratio.n, gain.in_full) == (4, pytest.approx(of_jobs.mean))
    # Where replicates differ by more than turns within them, the variance between them makes the
    # interval, as by jobs; else the noise inside is pooled with it, which can only say more.
    assert ratio.low is not None
    assert ratio.high is not None
    assert of_jobs.low is not None
    assert of_jobs.high is not None
    assert ratio.high - ratio.low <= of_jobs.high - of_jobs.low + 1e-9
    assert ratio.low < of_jobs.mean < ratio.high  # five-step turns with a stall in them count less


def test_epochs_runs_are_what_they_were() -> None:
    gains = gains_of(make_run(four_pairs()))
    assert [gain.measure for gain in gains] == [END_TO_END, STEADY_STATE]
