"""Whether the last nights of a series of times or ratios left the level of the nights before them.
Pure, by numpy.

The detector of the design: a tail of 1 to 10 nights against up to 30 nights before it, whose level
and spread are robust to outlying nights. For each length m of the tail

    b      the nights before the tail: up to `baseline_nights`, `min_nights` at least
    s      1.4826 MAD(b) (1 + 1.2 / len(b)): a robust spread, corrected for few nights
    w      b clipped to median(b) -+ 3 s; mu its mean
    sigma  max(sd(w), 0.8 s, `least_noise_percent` of mu)
    level  of the tail: its one night; the milder of two (both must be off); the median of more
    score  (level - mu) / (sigma sqrt(1/m + 1/len(b)) t) where level / mu - 1 is beyond
           `least_change_percent`, else 0

with t the quantile of Student's t (len(b) - 1 degrees of freedom) at the tail probability that
`sigmas` standard deviations have for a normal (`sigmas_long` from 3 nights on). The m of the
largest |score| speaks: above 1 it is an alarm of something slower, below -1 of something faster.

An alarm has its pair measured again the same night. That second run, alone, must be off the same b
to the same side, by `sigmas_again`: a single test that was decided beforehand. It takes nearly all
false alarms away (those of long tails too, which one more night would hardly move), and so the
first look can afford to be sensitive. What the alarms are worth: benchmarks/false_alarms.py.

Sources: 1.4826 MAD is consistent for a normal spread: Rousseeuw and Croux, "Alternatives to the
Median Absolute Deviation", JASA 88 (1993) 1273-1283. Winsorised mean and spread: Tukey and
McLaughlin, Sankhya A 25 (1963) 331-352. Tails of every length, the loudest speaking, are how Page,
"Continuous Inspection Schemes", Biometrika 41 (1954) 100-115, finds a step of unknown age. The
quantile allows for a mean and spread that are estimated: the prediction interval of one more value
from a normal sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from report.regressions.thresholds import Thresholds

Values = NDArray[np.float64]

MAD_TO_SD = 1.4826
FEW_NIGHTS = 1.2
CLIP_SIGMAS = 3.0
LEAST_SHARE_OF_MAD = 0.8  # sd(w) is far too small by chance now and then


@dataclass(frozen=True)
class Scores:
    """What the detector says of many series, each array of their shape; positive is slower.

    `score`, `alone` (by `sigmas_alone`): alarm beyond 1; `level` of the tail, `mean` and `noise`
    (one standard deviation) of the nights before it, in the series' unit; `tail` and `nights` count
    nights.
    """

    score: Values
    alone: Values
    level: Values
    mean: Values
    noise: Values
    tail: NDArray[np.int64]
    nights: NDArray[np.int64]

    @property
    def alarm(self) -> NDArray[np.int64]:
        """1: slower, -1: faster, 0: neither."""
        return _beyond(self.score)


def detect(series: ArrayLike, thresholds: Thresholds) -> Scores:
    """Judge the last night of each series.

    With fewer than `min_nights` before the last one the bound is fixed: tonight against their
    median, alarm beyond `fixed_bound_percent`.

    Args:
        series: An array (..., nights), oldest night first, all values positive.
        thresholds: Of the detector.

    Raises:
        ValueError: There is no night before the last one.
    """
    values = np.asarray(series, dtype=np.float64)
    count = values.shape[-1]
    if count < 2:
        raise ValueError("nothing to compare: a single night")
    if count - 1 < thresholds.min_nights:
        return _by_fixed_bound(values, thresholds)
    best = detect_by_tail(values, 1, thresholds)
    for tail in range(2, min(thresholds.longest_tail, count - thresholds.min_nights) + 1):
        best = _louder(best, detect_by_tail(values, tail, thresholds))
    return best


def again_score(found: Scores, again: ArrayLike, thresholds: Thresholds) -> Values:
    """How far a second run of the last night is off the nights before.

    Args:
        found: What the detector says of the last night.
        again: The second run's value of each series, in the series' unit.
        thresholds: Of the detector.

    Returns:
        A score per series. The second run confirms an alarm if it is beyond 1 to the same side.
    """
    values = np.asarray(again, dtype=np.float64)
    change = values / found.mean - 1
    few = found.nights < thresholds.min_nights
    fixed = change / (thresholds.fixed_bound_percent / 100)
    quantile = np.vectorize(_quantile, otypes=[float])(
        thresholds.sigmas_again, np.maximum(found.nights - 1, 1)
    )
    with np.errstate(divide="ignore", invalid="ignore"):  # a fixed bound knows no noise
        score = (values - found.mean) / (found.noise * np.sqrt(1 + 1 / found.nights) * quantile)
    return np.where(few, fixed, _if_large(score, change, thresholds))


def confirms(found: Scores, again: ArrayLike, thresholds: Thresholds) -> NDArray[np.bool_]:
    """Whether the second run fires too, to the side of the alarm."""
    fires = _beyond(again_score(found, again, thresholds)) == found.alarm
    return np.asarray(fires & (found.alarm != 0))


def detect_by_tail(series: ArrayLike, tail: int, thresholds: Thresholds) -> Scores:
    """The same of one length of the tail alone, for series of `min_nights` and `tail` nights at
    least.
    """
    values = np.asarray(series, dtype=np.float64)
    end = values.shape[-1] - tail
    before = values[..., max(0, end - thresholds.baseline_nights) : end]
    nights = before.shape[-1]
    middle = np.median(before, axis=-1, keepdims=True)
    spread = (
        MAD_TO_SD
        * np.median(np.abs(before - middle), axis=-1, keepdims=True)
        * (1 + FEW_NIGHTS / nights)
    )
    kept = np.clip(before, middle - CLIP_SIGMAS * spread, middle + CLIP_SIGMAS * spread)
    mean = kept.mean(axis=-1)
    least = thresholds.least_noise_percent / 100 * mean
    noise = np.maximum(
        np.maximum(kept.std(axis=-1, ddof=1), LEAST_SHARE_OF_MAD * spread[..., 0]), least
    )
    level = _level(values[..., end:], mean)
    raw = (level - mean) / (noise * math.sqrt(1 / tail + 1 / nights))
    sigmas = thresholds.sigmas if tail < 3 else thresholds.sigmas_long
    change = level / mean - 1
    score, alone = (
        _if_large(raw / _quantile(wanted, nights - 1), change, thresholds)
        for wanted in (sigmas, max(sigmas, thresholds.sigmas_alone))
    )
    counts = np.full(mean.shape, 1, dtype=np.int64)
    return Scores(score, alone, level, mean, noise, counts * tail, counts * nights)


def _level(tail: Values, mean: Values) -> Values:
    if tail.shape[-1] != 2:
        return np.asarray(np.median(tail, axis=-1))
    above, below = tail.min(axis=-1), tail.max(axis=-1)
    # Two nights on both sides of the mean are no change.
    return np.where(above > mean, above, np.where(below < mean, below, mean))


def _by_fixed_bound(values: Values, thresholds: Thresholds) -> Scores:
    before, level = values[..., :-1], values[..., -1]
    mean = np.asarray(np.median(before, axis=-1))
    score = (level / mean - 1) / (thresholds.fixed_bound_percent / 100)
    counts = np.full(mean.shape, 1, dtype=np.int64)
    return Scores(score, score, level, mean, np.zeros_like(mean), counts, counts * before.shape[-1])


def _louder(one: Scores, other: Scores) -> Scores:
    """Of each series the one whose score is larger, whatever its sign; the shorter tail if they are
    equal.
    """
    chosen = np.abs(other.score) > np.abs(one.score)
    fields: dict[str, Any] = {
        name: np.where(chosen, getattr(other, name), getattr(one, name)) for name in vars(one)
    }
    return Scores(**fields)


def _if_large(score: Values, change: Values, thresholds: Thresholds) -> Values:
    return np.where(np.abs(change) > thresholds.least_change_percent / 100, score, 0.0)


def _beyond(score: Values) -> NDArray[np.int64]:
    return np.where(np.abs(score) > 1, np.sign(score), 0).astype(np.int64)


@lru_cache(maxsize=4096)
def _quantile(sigmas: float, freedom: int) -> float:
    """Student's t with `freedom` degrees of freedom at the tail probability of `sigmas` of a normal
    distribution.
    """
    from scipy.special import ndtr, stdtrit

    return float(stdtrit(freedom, ndtr(sigmas)))
