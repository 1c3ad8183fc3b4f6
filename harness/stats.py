"""The statistic behind every gain: Student's t interval of the mean log ratio over pairs of fresh launches.

The one piece of arithmetic that the harness (when to stop) and the report (what to print) share. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeGuard

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """The mean of n values with its interval; `low` and `high` are None where n < 2 gives none."""

    n: int
    mean: float
    low: float | None = None
    high: float | None = None


def usable(seconds: float | None) -> TypeGuard[float]:
    """Whether a recorded time can enter a logarithm: there, finite and above zero."""
    return seconds is not None and math.isfinite(seconds) and seconds > 0


def log_ratios(pairs: Iterable[tuple[float, float]]) -> list[float]:
    """d = ln T_baseline − ln T_candidate of each (T_baseline, T_candidate), in one unit; d > 0: candidate faster."""
    return [math.log(baseline) - math.log(candidate) for baseline, candidate in pairs]


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """The mean of independent values and its two-sided Student's t interval.

    mean ± t(1 − (1 − confidence)/2, n − 1) · s / √n, with s² = Σ(x − mean)² / (n − 1).
    Source: Student (W. S. Gosset), "The Probable Error of a Mean", Biometrika 6 (1908) 1–25.
    The values must be independent replicates (fresh launches), never steps of one job. No values: ValueError.
    """
    n = len(values)
    if n == 0:
        raise ValueError("the mean of no values")
    mean = math.fsum(values) / n
    if n < 2:
        return Estimate(n, mean)
    from scipy.special import stdtrit  # the quantile alone: scipy.stats takes a second to import

    deviation = math.hypot(*(value - mean for value in values)) / math.sqrt(n - 1)
    half = float(stdtrit(n - 1, 1 - (1 - confidence) / 2)) * deviation / math.sqrt(n)
    return Estimate(n, mean, mean - half, mean + half)
