"""The axis that gains are drawn on, in plots and on the page: logarithmic in the ratio of
throughputs, so that twice as fast lies as far from 0 as half as fast.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from report.analysis.statistics import throughput_gain
from report.tables.columns import has_open_gain
from report.tables.rows import GainRow
from report.text import signed_percent

LEAST_REACH = 0.01  # of the gains and zero, in ln of the ratio: a narrower axis would show noise
ROOM = 1.05  # times the median half-width, beyond the gains on either side
MARGIN = 0.04  # of the whole, at both ends
# Throughput gains in percent that may be marked, the first before the others: twice, four and ten
# times as fast or slow, then round numbers.
_ROUND = (
    (0, 100, -50),
    (300, -75),
    (900, -90),
    (50, 20, 10, -30, -20, -10, 1900, -95, 9900, -99),
    (5, -5, 2, -2, 1, -1, 30, -40, 200, -60),
    (0.5, -0.5, 0.2, -0.2, 15, -15, 3, -3, 40, -25, 150),
)
LEAST_APART = 0.17  # of the axis, between two marks


@dataclass(frozen=True)
class GainAxis:
    """Both ends in ln of the ratio of throughputs, and the marked throughput gains, as fractions.

    Attributes:
        low: The left end, below 0.
        high: The right end, above 0.
        marks: Fractions, ascending, with 0 among them.
    """

    low: float
    high: float
    marks: tuple[float, ...]

    def place(self, log_ratio: float) -> float:
        """Where a log ratio lies: 0 at the left end, 1 at the right; beyond the ends, at them."""
        return min(max((log_ratio - self.low) / (self.high - self.low), 0.0), 1.0)

    @property
    def ends(self) -> tuple[float, float]:
        """The throughput gains at both ends, as fractions."""
        return throughput_gain(self.low), throughput_gain(self.high)


def gain_axis(rows: Iterable[GainRow]) -> GainAxis:
    """The axis for all gains of `rows`, zero, and their noise floors; of an interval no more than
    half as much again on either side, for that of two replicates can be so wide that nothing else
    would be seen, and of an open one (report.text.is_open) nothing.
    """
    gains = [row for row in rows if row.log_ratio.value is not None]
    # An open interval goes on beyond every axis on which something else can be seen.
    determined = [row for row in gains if not has_open_gain(row.throughput_gain)]
    points = [0.0, *(row.log_ratio.value for row in gains if row.log_ratio.value is not None)]
    ends = [
        end
        for row in gains
        for end in (
            *((row.log_ratio.low, row.log_ratio.high) if row in determined else ()),
            _log(row.noise_floor_throughput_gain_low),
            _log(row.noise_floor_throughput_gain_high),
        )
        if end is not None
    ]
    widths = sorted(
        row.log_ratio.high - row.log_ratio.value
        for row in determined
        if row.log_ratio.value is not None and row.log_ratio.high is not None
    )
    low, high = min(points), max(points)
    room = max(
        [(high - low) / 2, LEAST_REACH, *(ROOM * width for width in widths[len(widths) // 2 :][:1])]
    )
    low, high = max(min([low, *ends]), low - room), min(max([high, *ends]), high + room)
    margin = MARGIN * (high - low) or LEAST_REACH
    low, high = low - margin, high + margin
    return GainAxis(low, high, tuple(_marks(low, high)))


def mark_label(gain: float) -> str:
    """How a marked gain is written: "+20%", "0", "−0.5%"."""
    return "0" if gain == 0 else signed_percent(gain, 0 if abs(gain) >= 0.01 else 1)


def _marks(low: float, high: float) -> list[float]:
    kept: list[float] = []
    for percents in _ROUND:
        kept += _fitting([percent / 100 for percent in percents], kept, low, high)
    return sorted(kept)


def _fitting(gains: Sequence[float], kept: Sequence[float], low: float, high: float) -> list[float]:
    """The gains that are on the axis and far enough from those kept and from each other."""
    added: list[float] = []
    least = LEAST_APART * (high - low)
    for gain in gains:
        at = math.log1p(gain)
        taken = (*kept, *added)
        if low <= at <= high and all(abs(at - math.log1p(other)) >= least for other in taken):
            added.append(gain)
    return added


def _log(gain: float | None) -> float | None:
    return None if gain is None or gain <= -1 else math.log1p(gain)
