"""The interval of the blocks protocol: by hand, properties for any times, coverage of made-up noise, a real series."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.stats import Estimate, block_interval, log_ratios, mean_interval

H100_RUN = Path(__file__).parent.parent / "results" / "glue-sst2-steady-20261123-003540"

times_s = st.floats(1e-3, 1e3)
blocks_s = st.lists(st.tuples(times_s, times_s), min_size=1, max_size=12)
launches_s = st.lists(blocks_s, min_size=1, max_size=5)


def half(estimate: Estimate) -> float:
    assert estimate.high is not None
    return estimate.high - estimate.mean


def same(one: Estimate, other: Estimate, sign: int = 1) -> None:
    assert one.n == other.n
    assert one.mean == pytest.approx(sign * other.mean, abs=1e-9)
    assert (one.high is None) == (other.high is None)
    if one.high is not None:
        assert half(one) == pytest.approx(half(other), rel=1e-6, abs=1e-9)


def test_one_launch_by_hand() -> None:
    # Four batches of one pair each, log ratios 0.1, 0.2, 0.3, 0.4: Σ(d − mean)² = 0.05, V_w = 0.05/3/4 (one launch),
    # its root 0.0645497; t(0.975, 3) = 3.182446: half-width 0.2054260. The mean is the log ratio of the sums.
    blocks = [(math.exp(d), 1.0) for d in (0.1, 0.2, 0.3, 0.4)]
    estimate = block_interval([blocks])
    assert estimate.n == 1
    assert estimate.mean == pytest.approx(math.log(sum(math.exp(d) for d in (0.1, 0.2, 0.3, 0.4)) / 4))
    assert half(estimate) == pytest.approx(0.2054260, abs=1e-6)


def test_launches_that_differ_make_the_interval() -> None:
    # Launches at d = 0 and 0.02 without noise inside: V_w = 0, so it is Student's interval of the launches' values.
    apart = [[(1.0, 1.0)] * 8, [(math.exp(0.02), 1.0)] * 8]
    assert half(block_interval(apart)) == pytest.approx(half(mean_interval([0.0, 0.02])))
    assert half(block_interval(apart * 2)) == pytest.approx(half(mean_interval([0.0, 0.02, 0.0, 0.02])))


def test_launches_that_agree_are_pooled_with_the_noise_inside() -> None:
    # Four launches of equal value: V_b = 0. 4 blocks of ratio 1.1 and 1/1.1 by turns, one a batch: 16 squares over
    # 16 − 4 = 12 degrees, V_w = 16·0.0953102²/12 · (4/4) / 4², pooled with 3 degrees of zero: 15 degrees, t = 2.131450.
    estimate = block_interval([[(1.1, 1.0), (1.0, 1.1)] * 2] * 4)
    within = 16 * math.log(1.1) ** 2 / 12 / 16
    assert half(estimate) == pytest.approx(2.131450 * math.sqrt(within * 12 / 15), rel=1e-6)
    assert estimate.mean == pytest.approx(0)


def test_two_launches_cannot_tell_whether_launches_differ() -> None:
    noisy = [[(1.1, 1.0), (1.0, 1.1)] * 4, [(1.2, 1.0), (1.0, 1.1)] * 4]
    values = [math.log(4 * 1.1 + 4) - math.log(4 * 1.1 + 4), math.log(4 * 1.2 + 4) - math.log(4 * 1.1 + 4)]
    assert half(block_interval(noisy)) == pytest.approx(half(mean_interval(values)))


def test_long_launches_are_cut_into_twenty_batches() -> None:
    # 400 pairs alternate fast and slow: within each of 20 batches of 20 that cancels, so nothing is left of it.
    by_turns = [(1.3, 1.0), (1.0, 1.3)] * 200
    assert half(block_interval([by_turns])) == pytest.approx(0, abs=1e-12)
    # Ten launches still have four batches each: a launch of 8 is cut in pairs, which cancel too.
    assert half(block_interval([[(1.3, 1.0), (1.0, 1.3)] * 4] * 10)) == pytest.approx(0, abs=1e-12)


def test_too_little_for_an_interval_has_none_and_nothing_has_no_mean() -> None:
    assert block_interval([[(2.0, 1.0)]]).low is None
    assert block_interval([[(2.0, 1.0)], [(2.2, 1.0)]]) == mean_interval(log_ratios([(2.0, 1.0), (2.2, 1.0)]))
    for nothing in ([], [[(1.0, 1.0)], []]):
        with pytest.raises(ValueError, match="no blocks"):
            block_interval(nothing)


@given(launches_s, st.floats(1e-3, 1e3))
def test_the_unit_of_time_does_not_matter(launches: list[list[tuple[float, float]]], factor: float) -> None:
    scaled = [[(factor * one, factor * other) for one, other in blocks] for blocks in launches]
    same(block_interval(scaled), block_interval(launches))


@given(launches_s)
def test_swapping_the_arms_negates(launches: list[list[tuple[float, float]]]) -> None:
    swapped = [[(other, one) for one, other in blocks] for blocks in launches]
    same(block_interval(swapped), block_interval(launches), sign=-1)


@given(launches_s, st.randoms())
def test_the_order_of_launches_does_not_matter(launches: list[list[tuple[float, float]]], order: random.Random) -> None:
    shuffled = list(launches)
    order.shuffle(shuffled)
    same(block_interval(shuffled), block_interval(launches))


@given(launches_s, st.floats(0.1, 10))
def test_a_constant_ratio_has_no_width(launches: list[list[tuple[float, float]]], ratio: float) -> None:
    # Whatever the drift that hits both arms alike
    estimate = block_interval([[(ratio * other, other) for _, other in blocks] for blocks in launches])
    assert estimate.mean == pytest.approx(math.log(ratio), abs=1e-9)
    if estimate.high is not None:
        assert half(estimate) == pytest.approx(0, abs=1e-6)


@given(launches_s)
def test_slower_candidates_lower_the_mean_and_keep_the_width(launches: list[list[tuple[float, float]]]) -> None:
    plain = block_interval(launches)
    slower = block_interval([[(one, 2 * other) for one, other in blocks] for blocks in launches])
    assert slower.mean == pytest.approx(plain.mean - math.log(2), abs=1e-9)
    if plain.high is not None:
        assert half(slower) == pytest.approx(half(plain), rel=1e-6, abs=1e-7)


@settings(max_examples=30)
@given(blocks_s.filter(lambda blocks: len(blocks) > 1), st.integers(2, 4))
def test_repeating_a_launch_does_not_move_the_mean(blocks: list[tuple[float, float]], times: int) -> None:
    once, often = block_interval([blocks]), block_interval([blocks] * times)
    assert often.mean == pytest.approx(once.mean)
    assert (often.n, once.n) == (times, 1)


@pytest.mark.parametrize("launches", [1, 2, 4])
def test_coverage_under_autocorrelated_noise(launches: int) -> None:
    """Block means with sd 8% and lag-1 autocorrelation 0.4 in each arm, as on an H100; the true ratio is 1."""
    rng = random.Random(launches)

    def blocks(count: int) -> list[tuple[float, float]]:
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
        estimate = block_interval([blocks(400 // launches) for _ in range(launches)])
        assert estimate.low is not None
        assert estimate.high is not None
        inside += estimate.low <= 0 <= estimate.high
    assert 0.92 <= inside / trials <= 0.99  # a t interval of raw blocks covers 80%


@pytest.mark.skipif(not (H100_RUN / "series").is_dir(), reason="the recorded H100 run is not in this checkout")
def test_recorded_steps_of_two_identical_launches() -> None:
    """Real step times: halves of PyTorch jobs of one arm against each other are an A/A pair: 0 lies inside."""
    import pyarrow.parquet as parquet

    from report.load import load_run

    jobs = [
        job
        for job in load_run(H100_RUN).jobs
        if (job.workload.name, job.arm.name, job.state.value) == ("roberta-base-b8", "pytorch-eager", "ok")
    ]
    assert len(jobs) == 4
    launches = []
    for job in jobs:
        steps = parquet.read_table(H100_RUN / str(job.series)).column("duration_s").to_pylist()
        steady = steps[(job.timing.steady_begin_step or 11) - 1 :]
        launches.append(list(zip(steady[::2], steady[1::2], strict=False)))  # one-step blocks by turns
    estimate = block_interval(launches)
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low <= 0 <= estimate.high
    unpaired = [math.log(job.timing.steady_step_s or 0) for job in jobs]
    # The drift between launches is common to both halves, so the interval is narrower than that of the times.
    assert half(estimate) < half(mean_interval(unpaired))
