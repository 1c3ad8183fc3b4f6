"""Gains from log ratios of times; the interval itself is harness.schema.stats, which decides when
to stop by it too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from harness.schema.stats import (
    CONFIDENCE,
    Estimate,
    log_ratios,
    mean_interval,
    mean_of,
    t_quantile,
    usable,
)
from report.text import OPEN, is_open_gain

__all__ = [
    "CONFIDENCE",
    "Estimate",
    "format_gain",
    "latency_gain",
    "log_ratios",
    "mean_above_zero",
    "mean_interval",
    "mean_of",
    "throughput_gain",
    "usable",
    "welch_interval",
]


def latency_gain(d: float) -> float:
    """1 − T_candidate / T_baseline = 1 − exp(−d), as a fraction: 0.15 is "15% less time"."""
    try:
        return -math.expm1(-d)
    except OverflowError:
        return -math.inf


def throughput_gain(d: float) -> float:
    """T_baseline / T_candidate − 1 = exp(d) − 1, as a fraction: 0.18 is "18% more samples per
    second".
    """
    try:
        return math.expm1(d)
    except OverflowError:
        return math.inf


def mean_above_zero(values: Sequence[float], *, rate: bool = False) -> Estimate:
    """The mean of values above 0, as times and rates are, and its interval on the logarithmic
    scale.

    With the Student's t interval mean ± h, the ends are mean · exp(±h / mean): the delta method for
    ln of the mean, so that no end is below 0. Where h is small beside the mean, they are mean ± h.

    Args:
        values: One of each independent replicate, in one unit.
        rate: The values are rates, each the same number over a time: the mean is that number over
            the mean time, and the ends are those of the time.

    Raises:
        ValueError: There are no values.
    """
    times = mean_interval([1 / value for value in values] if rate else values)
    mean = values[0] if len(set(values)) == 1 else 1 / times.mean if rate else times.mean
    if times.low is None or times.high is None:
        return replace(times, mean=mean)
    # Of values above 0, the deviation is √n means at most, so this is at most Student's t.
    apart = (times.high - times.low) / 2 / times.mean
    return replace(times, mean=mean, low=mean * math.exp(-apart), high=mean * math.exp(apart))


def welch_interval(
    ones: Sequence[float], others: Sequence[float], confidence: float = CONFIDENCE
) -> Estimate:
    """mean(ones) − mean(others) of independent values and its two-sided interval; `n` is of the
    smaller sample.

    Difference ± t(1 − (1 − confidence)/2, f) · √(a + b), with a = s²/n of each sample (a, b) and
    Satterthwaite's f = (a + b)² / (a²/(n_a − 1) + b²/(n_b − 1)). No interval where a sample has
    fewer than two values. Source: B. L. Welch, "The generalization of 'Student's' problem when
    several different population variances are involved", Biometrika 34 (1947) 28–35. A sample
    without values: ValueError.
    """
    if not ones or not others:
        raise ValueError("the mean of no values")
    difference = math.fsum(ones) / len(ones) - math.fsum(others) / len(others)
    smaller = min(len(ones), len(others))
    if smaller < 2:
        return Estimate(smaller, difference)
    parts = [(_variance(values) / len(values), len(values) - 1) for values in (ones, others)]
    variance = math.fsum(part for part, _ in parts)
    weight = math.fsum(part**2 / freedom for part, freedom in parts)
    half = t_quantile(variance**2 / weight, confidence) * math.sqrt(variance) if weight > 0 else 0.0
    return Estimate(smaller, difference, difference - half, difference + half)


def _variance(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


def format_gain(ratio: Estimate) -> str:
    """The throughput gain of a log ratio with its interval: "18.0% (17.1% to 18.9%)"."""
    gains = [None if d is None else throughput_gain(d) for d in (ratio.mean, ratio.low, ratio.high)]
    value, low, high = (None if gain is None else f"{gain * 100:z.2f}%" for gain in gains)
    if is_open_gain(*gains):
        return f"{value} ({OPEN})"
    return f"{value} ({low} to {high})" if low and high else f"{value}"
