"""Which replicates make a gain, which leave none, and that the reason stands where the gain would
be.
"""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from property_support import examples
from report_factory import PROVEN, four_pairs, make_job, make_run

from harness.schema.record import Engagement, JobRecord, Pair, State, Timing
from report.analysis.gains import END_TO_END, STEADY_STATE, Gain, gains_of


def gain_of(
    jobs: list[JobRecord], measure: object = END_TO_END, pairs: list[Pair] | None = None
) -> Gain:
    run = make_run(
        jobs, pairs or [Pair(workload="tiny-sst2", baseline="pytorch", candidate="onnxruntime")]
    )
    (gain,) = (gain for gain in gains_of(run) if gain.measure is measure)
    return gain


def test_a_gain_by_hand() -> None:
    # Ratios 100/80 = 1.25, 102/80 = 1.275: d = 0.2231436, 0.2429462; mean 0.2330449, exp(−mean) =
    # 0.7921183; half-width = 12.7062 · |d1 − d2|/2 = 0.1258084 -> latency from 1 − exp(−0.1072365)
    # to 1 − exp(−0.3588533).
    jobs = [make_job("pytorch", 0, runtime_s=100), make_job("pytorch", 1, runtime_s=102)]
    jobs += [make_job("onnxruntime", replicate, runtime_s=80) for replicate in (0, 1)]
    gain = gain_of(jobs)
    assert str(gain.outcome) == "ok"
    assert gain.ratio is not None
    assert gain.ratio.n == 2
    assert gain.latency == pytest.approx((0.2078817, 0.1016868, 0.3015237), abs=2e-5)
    assert gain.throughput[0] == pytest.approx(1 / 0.7921183 - 1, abs=1e-6)


def test_steady_state_is_a_gain_of_its_own() -> None:
    jobs = [
        make_job("pytorch", runtime_s=10, step_s=0.4),
        make_job("onnxruntime", runtime_s=20, step_s=0.2),
    ]
    assert gain_of(jobs).latency[0] == pytest.approx(-1.0)
    assert gain_of(jobs, STEADY_STATE).latency[0] == pytest.approx(0.5)


def test_times_are_not_rounded_first() -> None:
    # 0.04 s and 0.01 s would both print as 0.0: rounding first would lose the gain
    assert gain_of([make_job(runtime_s=0.04), make_job("onnxruntime", runtime_s=0.01)]).latency[
        0
    ] == pytest.approx(0.75)


def test_a_fallback_leaves_its_pair_out_and_is_counted() -> None:
    jobs = four_pairs()
    jobs[3] = make_job("onnxruntime", 1, runtime_s=1.0, state=State.FALLBACK)
    gain = gain_of(jobs)
    assert gain.ratio is not None
    assert (gain.ratio.n, gain.replicates) == (3, 4)
    assert gain.latency[0] == pytest.approx(0.2)
    assert gain.left_out == "onnxruntime: fallback in 1 of 4 replicates"


@pytest.mark.parametrize("state", [state for state in State if state is not State.OK])
def test_no_state_but_ok_makes_a_gain(state: State) -> None:
    jobs = [make_job("pytorch", replicate) for replicate in range(4)]
    jobs += [
        make_job("onnxruntime", replicate, state=state, engagement=PROVEN) for replicate in range(4)
    ]
    gain = gain_of(jobs)
    assert gain.ratio is None
    assert gain.latency == gain.throughput == (None, None, None)
    assert str(gain.outcome) == f"onnxruntime: {state.value.replace('_', ' ')} in 4 of 4 replicates"


@pytest.mark.parametrize(
    "engagement", [None, Engagement(engaged=False, reasons=["the module is a plain torch module"])]
)
def test_onnxruntime_without_proof_is_never_a_gain(engagement: Engagement | None) -> None:
    gain = gain_of([make_job(), make_job("onnxruntime", engagement=engagement)])
    assert gain.ratio is None
    assert str(gain.outcome) == "onnxruntime: not proven engaged in 1 of 1 replicate"


def test_an_unproven_baseline_is_no_result_either() -> None:
    jobs = [make_job(), make_job("onnxruntime", engagement=None)]
    pairs = [Pair(workload="tiny-sst2", baseline="onnxruntime", candidate="pytorch")]
    assert gain_of(jobs, pairs=pairs).ratio is None


def test_replicates_are_paired_by_number() -> None:
    # The baseline's replicates 0 to 3, the candidate's 2 to 5: two pairs.
    jobs = [make_job("pytorch", replicate) for replicate in range(4)]
    jobs += [make_job("onnxruntime", replicate, runtime_s=80) for replicate in range(2, 6)]
    gain = gain_of(jobs)
    assert gain.ratio is not None
    assert (gain.ratio.n, gain.replicates) == (2, 6)
    assert (
        gain.left_out
        == "pytorch: missing in 2 of 6 replicates; onnxruntime: missing in 2 of 6 replicates"
    )


def test_arms_that_never_finished_together_have_no_gain() -> None:
    gain = gain_of(
        [
            make_job("pytorch", 0),
            make_job("pytorch", 1, state=State.CRASHED),
            make_job("onnxruntime", 0, state=State.TIMEOUT),
            make_job("onnxruntime", 1),
        ]
    )
    assert gain.ratio is None
    assert str(gain.outcome) == (
        "no replicate in which both arms finished "
        "(pytorch: crashed in 1 of 2 replicates; onnxruntime: timeout in 1 of 2 replicates)"
    )


def test_an_arm_without_jobs_and_a_pair_without_jobs_say_so() -> None:
    assert str(gain_of([make_job()]).outcome) == "onnxruntime: no job recorded"
    assert str(gain_of([]).outcome) == "no job recorded"


@pytest.mark.parametrize("runtime_s", [None, 0.0, math.nan])
def test_a_job_without_a_time_is_no_result(runtime_s: float | None) -> None:
    broken = make_job("onnxruntime", timing=Timing(train_runtime_s=runtime_s))
    assert (
        str(gain_of([make_job(), broken]).outcome)
        == "onnxruntime: no end to end time in 1 of 1 replicate"
    )


def test_different_work_or_devices_are_not_compared() -> None:
    fewer = make_job("onnxruntime", timing=Timing(train_runtime_s=50, steps=50))
    assert (
        str(gain_of([make_job(), fewer]).outcome)
        == "arms did different numbers of steps in 1 of 1 replicate"
    )
    idle = [
        make_job(arm, timing=Timing(train_runtime_s=50, steps=0))
        for arm in ("pytorch", "onnxruntime")
    ]
    assert str(gain_of(idle).outcome) == "arms did no step in 1 of 1 replicate"
    elsewhere = make_job("onnxruntime", device="NVIDIA Abacus")
    assert (
        str(gain_of([make_job(), elsewhere]).outcome)
        == "arms ran on different devices in 1 of 1 replicate"
    )


def test_parity_runs_are_no_measurement() -> None:
    parity_runs = [
        make_job("pytorch", 0, runtime_s=1, parity_run=True),
        make_job("onnxruntime", 0, runtime_s=1, parity_run=True),
    ]
    assert str(gain_of(parity_runs).outcome) == "no job recorded"
    assert gain_of(four_pairs() + parity_runs).latency[0] == pytest.approx(0.2)


def test_the_latest_attempt_counts_whatever_came_of_it() -> None:
    first = make_job("onnxruntime", runtime_s=50, started_at="2001-01-01T00:00:00Z")
    again = make_job("onnxruntime", state=State.CRASHED, started_at="2001-01-01T01:00:00Z")
    for attempts in ([first, again], [again, first]):
        assert gain_of([make_job(), *attempts]).ratio is None
    rerun = make_job("onnxruntime", runtime_s=80, started_at="2001-01-01T02:00:00Z")
    assert gain_of([make_job(), rerun, again, first]).latency[0] == pytest.approx(0.2)


@examples(30)
@given(
    st.lists(st.tuples(st.floats(1, 1e4), st.floats(1, 1e4)), min_size=1, max_size=6), st.randoms()
)
def test_the_order_of_records_does_not_matter(
    times: list[tuple[float, float]], order: random.Random
) -> None:
    jobs = [
        make_job(arm, replicate, runtime_s=runtime_s)
        for replicate, pair in enumerate(times)
        for arm, runtime_s in zip(("pytorch", "onnxruntime"), pair, strict=True)
    ]
    shuffled = list(jobs)
    order.shuffle(shuffled)
    assert gains_of(make_run(jobs)) == gains_of(make_run(shuffled))


@examples(30)
@given(st.lists(st.tuples(st.floats(1, 1e4), st.floats(1, 1e4)), min_size=1, max_size=6))
def test_swapping_baseline_and_candidate_flips_the_log_ratio(
    times: list[tuple[float, float]],
) -> None:
    jobs = [
        make_job(arm, replicate, runtime_s=runtime_s)
        for replicate, pair in enumerate(times)
        for arm, runtime_s in zip(("pytorch", "onnxruntime"), pair, strict=True)
    ]
    one = gain_of(jobs)
    other = gain_of(
        jobs, pairs=[Pair(workload="tiny-sst2", baseline="onnxruntime", candidate="pytorch")]
    )
    assert one.ratio is not None
    assert other.ratio is not None
    assert other.ratio.mean == pytest.approx(-one.ratio.mean)
