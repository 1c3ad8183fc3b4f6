"""Gains from log ratios of times; the interval itself is harness.stats, which decides when to stop by it too."""

from __future__ import annotations

import math

from harness.stats import CONFIDENCE, Estimate, log_ratios, mean_interval, usable

__all__ = [
    "CONFIDENCE",
    "Estimate",
    "format_gain",
    "latency_gain",
    "log_ratios",
    "mean_interval",
    "throughput_gain",
    "usable",
]


def latency_gain(d: float) -> float:
    """1 − T_candidate / T_baseline = 1 − exp(−d), as a fraction: 0.15 is "15% less time"."""
    try:
        return -math.expm1(-d)
    except OverflowError:
        return -math.inf


def throughput_gain(d: float) -> float:
    """T_baseline / T_candidate − 1 = exp(d) − 1, as a fraction: 0.18 is "18% more samples per second"."""
    try:
        return math.expm1(d)
    except OverflowError:
        return math.inf


def format_gain(ratio: Estimate) -> str:
    """The throughput gain of a log ratio with its interval: "18.0% (17.1% to 18.9%)"."""
    value, low, high = (
        None if d is None else f"{throughput_gain(d) * 100:z.2f}%" for d in (ratio.mean, ratio.low, ratio.high)
    )
    return f"{value} ({low} to {high})" if low and high else f"{value}"
