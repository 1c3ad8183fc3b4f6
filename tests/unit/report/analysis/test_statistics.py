"""The statistic against values worked out by hand, and properties it must have for any times."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from report.analysis.statistics import (
    latency_gain,
    log_ratios,
    mean_above_zero,
    mean_interval,
    throughput_gain,
    usable,
)

times_s = st.floats(1e-3, 1e6)
pairs_s = st.lists(st.tuples(times_s, times_s), min_size=2, max_size=12)


def test_gains_by_hand() -> None:
    # T_baseline 100 s, T_candidate 80 s: 1 − 80/100 = 20% less time; 100/80 − 1 = 25% more samples
    # per second.
    (d,) = log_ratios([(100.0, 80.0)])
    assert d == pytest.approx(math.log(1.25))
    assert latency_gain(d) == pytest.approx(0.20)
    assert throughput_gain(d) == pytest.approx(0.25)


def test_interval_by_hand() -> None:
    # d = 0.1, 0.2, 0.3, 0.4: mean 0.25; Σ(d − mean)² = 2 · 0.0225 + 2 · 0.0025 = 0.05; s =
    # √(0.05/3) = 0.1290994; s/√4 = 0.0645497; t(0.975, 3) = 3.182446 (any t table); half-width =
    # 0.2054260.
    estimate = mean_interval([0.1, 0.2, 0.3, 0.4])
    assert estimate.n == 4
    assert estimate.mean == pytest.approx(0.25)
    assert (estimate.low, estimate.high) == (
        pytest.approx(0.0445740, abs=1e-6),
        pytest.approx(0.4554260, abs=1e-6),
    )


def test_two_values_by_hand() -> None:
    # d = 0, 0.02: mean 0.01, s = 0.02/√2, s/√2 = 0.01; t(0.975, 1) = tan(0.475 π) = 12.7062.
    estimate = mean_interval([0.0, 0.02])
    assert estimate.high is not None
    assert estimate.high - estimate.mean == pytest.approx(0.01 * math.tan(0.475 * math.pi))


def test_the_interval_of_a_time_is_on_a_logarithmic_scale() -> None:
    # 1 and 3 s: mean 2, half-width 12.7062 · √2 / √2 = 12.7062: 2 · exp(±6.3531), never below 0.
    estimate = mean_above_zero([1.0, 3.0])
    half = math.tan(0.475 * math.pi)
    assert estimate.mean == 2.0
    assert estimate.low == pytest.approx(2 * math.exp(-half / 2))
    assert estimate.high == pytest.approx(2 * math.exp(half / 2))
    small = mean_above_zero([100.0, 100.1, 99.9, 100.0])
    plain = mean_interval([100.0, 100.1, 99.9, 100.0])
    assert small.low == pytest.approx(plain.low, rel=1e-5), "a small one is mean ± h"
    assert mean_above_zero([5.0]).low is None
    assert mean_above_zero([5.0]).mean == 5.0
    widest = mean_above_zero([1e-9, 1e9])
    assert widest.high == pytest.approx(5e8 * math.exp(half))


def test_a_rate_is_the_samples_over_the_mean_time() -> None:
    # 800 samples in 100 and in 60 s: 800/80, not the mean of 8 and 13.3.
    rate = mean_above_zero([800 / 100, 800 / 60], rate=True)
    time = mean_above_zero([100.0, 60.0])
    assert rate.mean == pytest.approx(800 / 80)
    assert rate.low is not None
    assert rate.high is not None
    assert time.low is not None
    assert time.high is not None
    assert (rate.low, rate.high) == (
        pytest.approx(800 / time.high),
        pytest.approx(800 / time.low),
    )
    assert mean_above_zero([0.1, 0.1, 0.1], rate=True).mean == 0.1


@given(st.lists(times_s, min_size=2, max_size=12))
def test_no_interval_of_times_reaches_below_zero(times: list[float]) -> None:
    estimate = mean_above_zero(times)
    assert estimate.low is not None
    assert estimate.high is not None
    assert 0 <= estimate.low <= estimate.mean <= estimate.high


def test_one_value_has_no_interval_and_none_has_no_mean() -> None:
    assert mean_interval([0.5]).low is None
    assert mean_interval([0.5]).high is None
    with pytest.raises(ValueError, match="no values"):
        mean_interval([])


@pytest.mark.parametrize("seconds", [None, 0.0, -1.0, math.nan, math.inf])
def test_times_without_a_logarithm_are_not_usable(seconds: float | None) -> None:
    assert not usable(seconds)
    assert usable(1e-9)


@given(pairs_s, st.floats(1e-3, 1e3))
def test_the_unit_of_time_does_not_matter(pairs: list[tuple[float, float]], factor: float) -> None:
    plain = mean_interval(log_ratios(pairs))
    scaled = mean_interval(log_ratios([(factor * one, factor * other) for one, other in pairs]))
    assert scaled.mean == pytest.approx(plain.mean, abs=1e-9)
    assert scaled.low == pytest.approx(plain.low, abs=1e-6)
    assert scaled.high == pytest.approx(plain.high, abs=1e-6)


@given(pairs_s)
def test_swapping_the_arms_flips_the_sign(pairs: list[tuple[float, float]]) -> None:
    plain = mean_interval(log_ratios(pairs))
    swapped = mean_interval(log_ratios([(other, one) for one, other in pairs]))
    assert swapped.mean == pytest.approx(-plain.mean, abs=1e-12)
    assert plain.low is not None
    assert swapped.high == pytest.approx(-plain.low, abs=1e-9)


@given(pairs_s)
def test_an_interval_holds_its_mean_and_its_transforms_keep_the_order(
    pairs: list[tuple[float, float]],
) -> None:
    estimate = mean_interval(log_ratios(pairs))
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low <= estimate.mean <= estimate.high
    for gain in (latency_gain, throughput_gain):
        assert gain(estimate.low) <= gain(estimate.mean) <= gain(estimate.high)


@given(st.floats(-5, 5))
def test_both_gains_are_of_one_ratio(d: float) -> None:
    # (1 − latency gain) (1 + throughput gain) = exp(−d) exp(d) = 1
    assert (1 - latency_gain(d)) * (1 + throughput_gain(d)) == pytest.approx(1)
