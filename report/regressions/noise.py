"""How noisy a host is from night to night, from its own history, and nights made up of that
noise.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.errors import BenchError
from report.analysis.gains import matched
from report.analysis.launches import arms_of
from report.analysis.statistics import usable
from report.regressions.change_points import change_points
from report.regressions.detector import Values
from report.regressions.judge import judge, series_of
from report.regressions.nights import MEASURES, Night
from report.regressions.thresholds import Thresholds

FEWEST_NIGHTS = 10


@dataclass(frozen=True)
class Noise:
    """Residual logarithms of (baseline, candidate) times, an array (n, 2), drawn together: what is
    common stays common.

    `source` nights: one residual per night. launches: one per launch, a night being the mean of
    `launches` of them; what differs from night to night and not from launch to launch is not in it.
    """

    source: Literal["nights", "launches"]
    residuals: Values
    launches: int = 1

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Values:
        """Residuals of nights, independent of each other: an array (*shape, 2)."""
        places = rng.integers(len(self.residuals), size=(*shape, self.launches))
        return np.asarray(self.residuals[places].mean(axis=-2))

    @property
    def percent(self) -> tuple[float, float, float]:
        """Standard deviation of a night, in percent: baseline's time, candidate's time, ratio."""
        one, other = self.residuals.T
        scale = 100 / math.sqrt(self.launches)
        first, second, ratio = (
            float(scale * np.sqrt(np.mean(part**2))) for part in (one, other, other - one)
        )
        return first, second, ratio

    def __str__(self) -> str:
        count = len(self.residuals)
        if self.source == "nights":
            return f"the night-to-night noise of {count} recorded nights"
        return (
            f"the noise between {count} recorded launches, {self.launches} to a night: the "
            "history is shorter than "
            f"{FEWEST_NIGHTS} nights, and what differs from night to night is not in it, so real "
            "alarms are worth less"
        )


def noise_of(nights: Sequence[Night], thresholds: Thresholds) -> Noise:
    """From a pair's nights on one comparable host. BenchError if not even launches tell.

    Levels that the history's change points part are taken out, each by its mean. `nights`: see
    `without_alarm`.
    """
    points = [night.point for night in nights if night.point is not None]
    if len(points) >= FEWEST_NIGHTS:
        edges = [0, *(change.index for change in change_points(points, thresholds)), len(points)]
        logs = np.log(series_of(points)[:2]).T
        parts = [logs[begin:end] for begin, end in itertools.pairwise(edges)]
        return Noise("nights", _centred(parts))
    launches = [found for night in nights if len(found := _launches(night)) > 1]
    if not launches:
        raise BenchError(
            "a single launch of one night says nothing of noise",
            place=nights[-1].name if nights else "",
            fix=f"record a night with two launches or more, better {FEWEST_NIGHTS} nights",
        )
    return Noise("launches", _centred(launches), launches=len(launches[-1]))


def without_alarm(nights: Sequence[Night], thresholds: Thresholds) -> list[Night]:
    """The nights with a result, without those at their end that are in alarm: they are no noise."""
    kept = [night for night in nights if night.point is not None]
    while len(kept) > 1:
        tail = judge([night.point for night in kept if night.point is not None], thresholds)
        if tail.state not in ("regression", "improvement"):
            break
        kept = kept[: len(kept) - max(1, tail.tail)]
    return kept


def _launches(night: Night) -> Values:
    """Logarithms of both arms' times, a row per launch that counts."""
    read = MEASURES[night.measure].time
    times = [
        (read(one), read(other)) for one, other in matched(*arms_of(night.run).of_pair(night.pair))
    ]
    return np.log([(one, other) for one, other in times if usable(one) and usable(other)]).reshape(
        -1, 2
    )


def _centred(parts: Sequence[Values]) -> Values:
    """All rows less the mean of their part, scaled so that their variance is unbiased."""
    rows = np.concatenate([part - part.mean(axis=0) for part in parts if len(part) > 1])
    kept = sum(len(part) > 1 for part in parts)
    return np.asarray(rows * math.sqrt(len(rows) / (len(rows) - kept)))
