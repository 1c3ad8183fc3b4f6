"""The interval of the interleaved protocol: by hand, properties for any times, coverage of made-up
noise, a real series.
"""

from __future__ import annotations

import math
import random
import statistics
from decimal import Decimal, localcontext

import pytest
from folders import RESULTS
from hypothesis import example, given
from hypothesis import strategies as st
from property_support import examples

from harness.schema.stats import (
    Estimate,
    in_full,
    limit_slow_turns,
    log_ratios,
    mean_interval,
    turn_interval,
)

H100_RUN = RESULTS / "glue-sst2-steady-20261123-003540"

recorded = pytest.mark.skipif(
    not (H100_RUN / "series").is_dir(), reason="the recorded H100 run is not in this checkout"
)

times_s = st.floats(1e-3, 1e3)
turns_s = st.lists(st.tuples(times_s, times_s), min_size=1, max_size=12)
replicates_s = st.lists(turns_s, min_size=1, max_size=5)
extreme_times_s = st.floats(5e-324, 1.7e308) | st.floats(-323, 308).map(lambda digits: 10.0**digits)
extreme_turns_s = st.lists(st.tuples(extreme_times_s, extreme_times_s), min_size=1, max_size=12)
extreme_replicates_s = st.lists(extreme_turns_s, min_size=1, max_size=5)


def half(estimate: Estimate) -> float:
    assert estimate.high is not None
    return estimate.high - estimate.mean


def same(one: Estimate, other: Estimate, sign: int = 1) -> None:
    assert one.n == other.n
    assert one.mean == pytest.approx(sign * other.mean, abs=1e-9)
    assert (one.high is None) == (other.high is None)
    if one.high is not None:
        assert half(one) == pytest.approx(half(other), rel=1e-6, abs=1e-9)


def limited(turns: list[tuple[float, float]]) -> tuple[list[tuple[float, float]], float]:
    """The seconds of `limit_slow_turns` and the share of pairs in which none was cut."""
    replicate = limit_slow_turns(turns)
    return [(math.exp(one), math.exp(other)) for one, other in replicate.log_times], replicate.share


def test_one_replicate_by_hand() -> None:
    # Four batches of one pair each, log ratios 0.1, 0.2, 0.3, 0.4: Σ(d − mean)² = 0.05, V_w =
    # 0.05/3/4 (one replicate), its root 0.0645497; t(0.975, 3) = 3.182446: half-width 0.2054260.
    # The mean is the log ratio of the sums.
    turns = [(math.exp(d), 1.0) for d in (0.1, 0.2, 0.3, 0.4)]
    estimate = turn_interval([turns])
    assert estimate.n == 1
    assert estimate.mean == pytest.approx(
        math.log(sum(math.exp(d) for d in (0.1, 0.2, 0.3, 0.4)) / 4)
    )
    assert half(estimate) == pytest.approx(0.2054260, abs=1e-6)


def test_replicates_that_differ_make_the_interval() -> None:
    # Replicates at d = 0 and 0.02 without noise inside: V_w = 0, so it is Student's interval of the
    # replicates' values.
    apart = [[(1.0, 1.0)] * 8, [(math.exp(0.02), 1.0)] * 8]
    assert half(turn_interval(apart)) == pytest.approx(half(mean_interval([0.0, 0.02])))
    assert half(turn_interval(apart * 2)) == pytest.approx(
        half(mean_interval([0.0, 0.02, 0.0, 0.02]))
    )


def test_replicates_that_agree_are_pooled_with_the_noise_inside() -> None:
    # Four replicates of equal value: V_b = 0. 4 turns of ratio 1.1 and 1/1.1 by turns, one a batch:
    # 16 squares over 16 − 4 = 12 degrees, V_w = 16·0.0953102²/12 · (4/4) / 4², pooled with 3
    # degrees of zero: 15 degrees, t = 2.131450.
    estimate = turn_interval([[(1.1, 1.0), (1.0, 1.1)] * 2] * 4)
    within = 16 * math.log(1.1) ** 2 / 12 / 16
    assert half(estimate) == pytest.approx(2.131450 * math.sqrt(within * 12 / 15), rel=1e-6)
    assert estimate.mean == pytest.approx(0)


def test_two_replicates_cannot_tell_whether_replicates_differ() -> None:
    noisy = [[(1.1, 1.0), (1.0, 1.1)] * 4, [(1.2, 1.0), (1.0, 1.1)] * 4]
    values = [
        math.log(4 * 1.1 + 4) - math.log(4 * 1.1 + 4),
        math.log(4 * 1.2 + 4) - math.log(4 * 1.1 + 4),
    ]
    assert half(turn_interval(noisy)) == pytest.approx(half(mean_interval(values)))


def test_long_replicates_are_cut_into_twenty_batches() -> None:
    # 400 pairs alternate fast and slow: within each of 20 batches of 20 that cancels, so nothing is
    # left of it.
    by_turns = [(1.3, 1.0), (1.0, 1.3)] * 200
    assert half(turn_interval([by_turns])) == pytest.approx(0, abs=1e-12)
    # Ten replicates still have four batches each: a replicate of 8 is cut in pairs, which cancel
    # too.
    assert half(turn_interval([[(1.3, 1.0), (1.0, 1.3)] * 4] * 10)) == pytest.approx(0, abs=1e-12)


def test_too_little_for_an_interval_has_none_and_nothing_has_no_mean() -> None:
    assert turn_interval([[(2.0, 1.0)]]).low is None
    assert turn_interval([[(2.0, 1.0)], [(2.2, 1.0)]]) == mean_interval(
        log_ratios([(2.0, 1.0), (2.2, 1.0)])
    )
    for nothing in ([], [[(1.0, 1.0)], []]):
        with pytest.raises(ValueError, match="no turns"):
            turn_interval(nothing)


def test_a_slow_turn_by_hand() -> None:
    # Median ratio 1, |a − b|: 0, 1, 1, 1, 41, so K = 3 · 1.4826. With the slow one limited to R·50
    # + K, the ratio is (50 + 51 + 49 + 51 + 50R + K) / 250: R = (201 + K) / 200 = 1.027239, where
    # all others are within (1.4 + 1 < K).
    turns = [(50.0, 50.0), (51.0, 50.0), (49.0, 50.0), (51.0, 50.0), (91.0, 50.0)]
    times, share = limited(turns)
    limit = 3 * 1.4826
    assert times[:4] == [pytest.approx(pair) for pair in turns[:4]]
    assert times[4] == pytest.approx((50 * (201 + limit) / 200 + limit, 50.0))
    assert share == 0.8
    estimate = turn_interval([turns])
    assert estimate.mean == pytest.approx(math.log((201 + limit) / 200))
    assert in_full([turns]) == pytest.approx(math.log(292 / 250))
    # Five batches of one pair: s²/5 of their log ratios, over the share; t(0.975, 4) = 2.776445.
    values = [math.log(one / other) for one, other in times]
    variance = sum((value - sum(values) / 5) ** 2 for value in values) / 4 / 5 / 0.8**2
    assert half(estimate) == pytest.approx(2.776445 * math.sqrt(variance), rel=1e-6)


def test_what_agrees_but_for_one_pair_is_the_ratio() -> None:
    times, share = limited([(3.0, 2.0), (1.5, 1.0), (6.0, 4.0), (9.0, 1.0)])
    assert times == [
        pytest.approx(pair) for pair in [(3.0, 2.0), (1.5, 1.0), (6.0, 4.0), (1.5, 1.0)]
    ]
    assert share == 0.75
    assert limited([(3.0, 2.0)])[0][0] == pytest.approx((3.0, 2.0))


@pytest.mark.parametrize("steps", [1, 2, 8, 64])
def test_stalls_in_proportion_to_time_do_not_move_the_ratio(steps: int) -> None:
    """80 ms more every 1.8 s, whoever is running; turns of any length give the ratio of
    undisturbed times.
    """
    rng = random.Random(steps)
    turns, to_stall, stalls = [], 1.8, 0
    for _ in range(24000 // steps):
        pair = []
        for step_s in (0.050, 0.034):
            seconds = steps * step_s * math.exp(rng.gauss(0, 0.06))
            to_stall -= seconds
            while to_stall < 0:
                seconds, to_stall, stalls = (
                    seconds + 0.08,
                    to_stall + rng.uniform(1.4, 2.2),
                    stalls + 1,
                )
            pair.append(seconds)
        turns.append((pair[0], pair[1]))
    assert stalls > 1000
    value = turn_interval([turns]).mean
    assert value == pytest.approx(math.log(50 / 34), abs=0.003)


@given(replicates_s, st.floats(1e-3, 1e3))
def test_the_unit_of_time_does_not_matter(
    replicates: list[list[tuple[float, float]]], factor: float
) -> None:
    scaled = [[(factor * one, factor * other) for one, other in turns] for turns in replicates]
    same(turn_interval(scaled), turn_interval(replicates))


@given(replicates_s | extreme_replicates_s)
@example([[(513.0, 0.5), (0.001953125, 245.0), (0.001953125, 245.0)]])
@example([[(1e300, 1e-300), (1e-300, 1e300)]])
@example([[(1e308, 5e-324), (5e-324, 1e308), (1e308, 1e308)], [(1e308, 1.0)] * 30])
def test_swapping_the_arms_negates(replicates: list[list[tuple[float, float]]]) -> None:
    """To the last bit: which arm is called the baseline must not decide anything."""
    swapped = [[(other, one) for one, other in turns] for turns in replicates]
    one, other = turn_interval(replicates), turn_interval(swapped)
    assert (one.n, one.freedom) == (other.n, other.freedom)
    assert one.mean == -other.mean
    assert math.isfinite(one.mean)
    assert (one.high is None) == (other.low is None)
    if one.low is not None and one.high is not None and other.low is not None:
        assert (one.low, one.high) == (-(other.high or 0.0), -other.low)
        assert math.isfinite(one.high - one.low)
    assert in_full(replicates) == -in_full(swapped)


def test_slow_turns_that_took_many_rounds_to_limit() -> None:
    # The arms by turns a hundred times slower: each fixed-point round from the median covers a
    # small share of the way.
    turns = [(1.0, 1.0)] * 3 + [(1.01, 1.0)] * 2 + [(1.0, 300.0)] * 2 + [(200.0, 1.0)] * 2
    assert_solved(turns)


def assert_solved(turns: list[tuple[float, float]]) -> None:
    """The ratio of the sums of limited times is the ratio that they were limited by, in exact
    arithmetic.
    """
    replicate = limit_slow_turns(turns)
    center = statistics.median(log_ratios(turns))
    if replicate.limit_s == 0:  # most pairs agree
        assert replicate.log_ratio == center
        return
    if math.isinf(replicate.limit_s):
        assert replicate.log_ratio == pytest.approx(in_full([turns]), abs=1e-12)
        return
    limit = Decimal(replicate.limit_s)
    with localcontext(prec=60, Emax=10**6, Emin=-(10**6)):

        def excess(log_ratio: float) -> Decimal:
            """Σ min(a, R·b + K) − R · Σ min(b, a/R + K), which falls with R, term by term."""
            ratio = Decimal(log_ratio).exp()
            gaps = (Decimal(one) - ratio * Decimal(other) for one, other in turns)
            return sum((max(-ratio * limit, min(gap, limit)) for gap in gaps), Decimal(0))

        slack = 1e-12 + 1e-15 * abs(replicate.log_ratio)  # what the logarithms round to
        assert excess(replicate.log_ratio - slack) >= 0 >= excess(replicate.log_ratio + slack)


@given(extreme_turns_s | turns_s)
@example([(1.0, 0.5), (1.359780960673878e287, 1.391396752153034e301), (1.0, 1.0)])
@example([(1.0, 1.0)] * 3 + [(1.0, 5e-324), (2.0, 0.125), (20.0, 1.0)])
@example([(5e-324, 1.0)] * 2 + [(1e308, 1.0)] * 4)
def test_the_ratio_is_that_of_the_limited_times(turns: list[tuple[float, float]]) -> None:
    assert_solved(turns)


@given(replicates_s, st.randoms())
def test_the_order_of_replicates_does_not_matter(
    replicates: list[list[tuple[float, float]]], order: random.Random
) -> None:
    shuffled = list(replicates)
    order.shuffle(shuffled)
    same(turn_interval(shuffled), turn_interval(replicates))


@given(replicates_s, st.floats(0.1, 10))
def test_a_constant_ratio_has_no_width(
    replicates: list[list[tuple[float, float]]], ratio: float
) -> None:
    # Whatever the drift that hits both arms alike
    estimate = turn_interval(
        [[(ratio * other, other) for _, other in turns] for turns in replicates]
    )
    assert estimate.mean == pytest.approx(math.log(ratio), abs=1e-9)
    if estimate.high is not None:
        assert half(estimate) == pytest.approx(0, abs=1e-6)


@given(st.lists(st.lists(st.booleans(), min_size=2, max_size=6), min_size=1, max_size=5))
def test_without_slow_turns_it_is_the_ratio_of_sums(replicates: list[list[bool]]) -> None:
    # 10% faster or slower, whoever: nothing stands out. Then a candidate of twice the time changes
    # the mean by ln 2.
    times = [[(1.1, 1.0) if one else (1.0, 1.1) for faster in turns for one in (faster, not faster)]
             for turns in replicates]  # fmt: skip
    plain = turn_interval(times)
    assert plain.mean == pytest.approx(in_full(times), abs=1e-12)
    slower = turn_interval([[(one, 2 * other) for one, other in turns] for turns in times])
    assert slower.mean == pytest.approx(plain.mean - math.log(2), abs=1e-9)
    assert half(slower) == pytest.approx(half(plain), rel=1e-6, abs=1e-9)


@examples(30)
@given(turns_s.filter(lambda turns: len(turns) > 1), st.integers(2, 4))
def test_repeating_a_replicate_does_not_move_the_mean(
    turns: list[tuple[float, float]], times: int
) -> None:
    once, often = turn_interval([turns]), turn_interval([turns] * times)
    assert often.mean == pytest.approx(once.mean)
    assert (often.n, once.n) == (times, 1)


@pytest.mark.parametrize("replicates", [1, 2, 4])
def test_coverage_under_autocorrelated_noise(replicates: int) -> None:
    """Turn means with sd 8% and lag-1 autocorrelation 0.4 in each arm, as on an H100; the true
    ratio is 1.
    """
    rng = random.Random(replicates)

    def turns(count: int) -> list[tuple[float, float]]:
        def arm() -> list[float]:
            state, values = rng.gauss(0, 1), []
            for _ in range(count):
                values.append(math.exp(0.08 * state))
                state = 0.4 * state + math.sqrt(1 - 0.4**2) * rng.gauss(0, 1)
            return values

        return list(zip(arm(), arm(), strict=True))

    trials = 800
    inside = 0
    for _ in range(trials):
        estimate = turn_interval([turns(400 // replicates) for _ in range(replicates)])
        assert estimate.low is not None
        assert estimate.high is not None
        inside += estimate.low <= 0 <= estimate.high
    assert 0.92 <= inside / trials <= 0.99  # a t interval of raw turns covers 80%


def recorded_halves(workload: str, arm: str) -> list[list[tuple[float, float]]]:
    """Real step times: halves of an arm's jobs against each other as one-step turns by turns, an
    A/A pair.
    """
    import pyarrow.parquet as parquet

    from report.loading.runs import load_run

    replicates = []
    for job in load_run(H100_RUN).jobs:
        if (job.workload.name, job.arm.name, job.state.value) == (workload, arm, "ok"):
            steps = parquet.read_table(H100_RUN / str(job.series)).column("duration_s").to_pylist()
            steady = steps[(job.timing.steady_begin_step or 11) - 1 :]
            replicates.append(list(zip(steady[::2], steady[1::2], strict=False)))
    return replicates


@recorded
def test_recorded_steps_of_two_identical_replicates() -> None:
    replicates = recorded_halves("roberta-base-b8", "pytorch-eager")
    assert len(replicates) == 4
    estimate = turn_interval(replicates)
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low <= 0 <= estimate.high
    unpaired = [
        math.log(math.fsum(one + other for one, other in replicate)) for replicate in replicates
    ]
    # The drift between replicates is common to both halves, so the interval is narrower than that
    # of the times.
    assert half(estimate) < half(mean_interval(unpaired))


@recorded
@pytest.mark.parametrize(
    ("workload", "arm"),
    [
        ("roberta-base-b8", "pytorch-eager"),
        ("roberta-base-b8", "pytorch-sdpa"),
        ("roberta-base-b8", "onnxruntime"),
    ],
)
def test_recorded_stalls_widen_it_less(
    workload: str, arm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That host stalled for 50 to 180 ms a few times in each of these jobs."""
    replicates = recorded_halves(workload, arm)
    of_all = [(a, b) for replicate in replicates for a, b in replicate]
    limited_ones = turn_interval([of_all])
    monkeypatch.setattr("harness.schema.stats.SLOW", 1e9)
    in_sum = turn_interval([of_all])
    assert in_sum.mean == pytest.approx(in_full([of_all]))
    assert limited_ones.low is not None
    assert limited_ones.high is not None
    assert limited_ones.low <= 0 <= limited_ones.high
    assert half(limited_ones) < 0.75 * half(in_sum)
