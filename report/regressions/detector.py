"""Whether the last nights of a series of times or ratios left the level of the nights before them.
Pure, by numpy.

A history is a sequence of levels: what is compared with is the level that the pair was on last, not
the nights before whatever happened in them. All is done with logarithms y, so that noise is
relative and one figure holds on every level, and with the last `baseline_nights` nights, anew each
night: nothing is remembered but the values.

1.  Rough noise: r = max over lags 1 and 3 of 1.4826 median |y(i + lag) - y(i)| / sqrt 2, and
    `least_noise_percent` at least. Differences do not see a change of level, but where it happens.
    Lag 1 alone would see too little of noise that lasts for some nights.
2.  One odd night makes no level: z(i) is y(i), clipped to the median of itself and its two
    neighbours -+ CLIP r. Tonight has no neighbour after it and stays as it is.
3.  Known levels: every prefix of z is parted into segments of SHORTEST nights or more so that

        sum of squared deviations from the means of the segments + PENALTY r^2 (segments - 1)

    is least, by dynamic programming over the prefixes. SHORTEST is 5: what is over after one to
    four nights (a busy host) must not become what the nights after it are compared with. A change
    pays for itself when it explains sqrt PENALTY = 5 standard deviations (of a mean); the usual
    2 log n = 8 of independent values parts noise that is not independent.
4.  The date of the change, if there is one: the tail of m nights, 1 to `longest_tail`, for which
    the cost of the prefix before it and the squared deviations of the tail from its own mean are
    least together. So the newest change speaks, however large an older one was.
5.  The level before: the nights b of the last segment before the tail, their median and their mean
    with values clipped to the median -+ CLIP sigma. Noise: the residuals of all segments before the
    tail, pooled (a level of five nights has not five nights' knowledge of noise), clipped to
    -+ CLIP s with s = 1.4826 median |residual| (1 + 1.2 / n), on n - segments degrees of freedom:

        sigma  max(sd(clipped residuals), 0.9 s, `least_noise_percent`)
        level  of the tail: its one night; the milder of two (both must be off); of more the milder
               of their median and their mean
        d      level less the mean or the median of b, the milder one, 0 where they disagree
        phi    correlation of a residual with the next one, 0 to 0.8
        score  d / (sigma sqrt(1/m + 1/len(b)) t), for m of 3 and more also over
               sqrt((1 + phi) / (1 - phi)), where exp d - 1 is beyond `least_change_percent`, else 0

    with t the quantile of Student's t at the tail probability that `sigmas` standard deviations
    have for a normal (`sigmas_long` from 3 nights on). Above 1 is an alarm of something slower,
    below -1 of something faster.
6.  A single night is an alarm only beyond all nights of the level before. Slow nights come in all
    sizes; among n nights as good as tonight, tonight is the slowest once in n + 1, whatever the
    distribution of noise is.
7.  A host that flips: a change is a return where the level after it is nearer to an earlier level
    than half of the step. One return is a recovery and the second one the same regression again,
    both news. From RETURNS on the levels are one noise: all nights are b, the spread of all is
    sigma, and an alarm lies beyond every level that there was.

With fewer than `min_nights` before the tail an alarm must be beyond `fixed_bound_percent` too, and
t is that of `sigmas_few`: there is one test a night and each must be that rare for all of them to
be rare together. With fewer than FEWEST there is no noise to speak of: the bound is
`first_bound_percent` or what the replicates say of a night's error, whichever is larger.

An alarm has its pair measured again the same night. That second run, alone, must be off the same
level to the same side, by `sigmas_again`: a single test that was decided beforehand. It takes away
what one measurement got wrong, and so the first look can afford to be sensitive.

What it is worth: benchmarks/false_alarms.py (simulated) and benchmarks/public_histories.py (real
histories, with known changes; PENALTY, SHORTEST, RETURNS and the sigmas were chosen by one half of
them).

Sources: 1.4826 MAD is consistent for a normal spread: Rousseeuw and Croux, "Alternatives to the
Median Absolute Deviation", JASA 88 (1993) 1273-1283. Clipped means and spreads: Tukey and
McLaughlin, Sankhya A 25 (1963) 331-352. The best partition with a penalty for each change: Jackson
et al., "An Algorithm for Optimal Partitioning of Data on an Interval", IEEE Signal Processing
Letters 12 (2005) 105-108. The variance of a mean of correlated values: Bartlett, J. Roy. Stat. Soc.
98 (1935) 536-543. The rank of the newest of exchangeable values: Vovk, Gammerman and Shafer,
"Algorithmic Learning in a Random World" (2005), conformal prediction.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from report.regressions.thresholds import Thresholds

Values = NDArray[np.float64]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]

MAD_TO_SD = 1.4826
FEW_NIGHTS = 1.2
CLIP = 3.0  # standard deviations
LEAST_SHARE_OF_MAD = 0.9  # the sd of what is clipped is far too small by chance now and then
LAGS = (1, 3)
PENALTY = 25.0
SHORTEST = 5  # nights
RETURNS = 3
RETURN_SHARE = 0.5
MOST_CORRELATION = 0.8
FEWEST = 5  # nights whose spread says anything
RARE = 0.001  # chance of what the replicates do not allow for, one side
AT_ONCE = 256  # series: their windows fit the processor's cache


@dataclass(frozen=True)
class Scores:
    """What the detector says of many series, each array of their shape; positive is slower.

    Attributes:
        score: Alarm beyond 1.
        alone: The same by `sigmas_alone`, for an alarm without a second run.
        level: Of the tail, in the series' unit.
        mean: Of the level before it, in the series' unit.
        noise: One standard deviation of a night, in the series' unit; 0 where it is not known.
        freedom: Degrees of freedom of the noise.
        least: The change, a fraction, that an alarm exceeds.
        tail: Nights in the tail.
        nights: Nights of the level before it.
        flips: Whether the nights before flip between levels.
    """

    score: Values
    alone: Values
    level: Values
    mean: Values
    noise: Values
    freedom: Counts
    least: Values
    tail: Counts
    nights: Counts
    flips: Flags

    @property
    def alarm(self) -> Counts:
        """1: slower, -1: faster, 0: neither."""
        return _beyond(self.score)


def detect(series: ArrayLike, thresholds: Thresholds, replicates: ArrayLike = 0.0) -> Scores:
    """Judge the last night of each series.

    Args:
        series: An array (..., nights), oldest night first.
        thresholds: Of the detector.
        replicates: For the first nights, of each series: the change, a fraction, that the
            replicates of these nights allow for.

    Raises:
        ValueError: There is no night before the last one, or a value is not above 0 and finite.
    """
    values = _checked(series)
    if values.shape[-1] <= FEWEST:
        return _of_first_nights(values, thresholds, np.asarray(replicates, dtype=np.float64))
    return _by_parts(values, 0, thresholds)


def detect_by_tail(series: ArrayLike, tail: int, thresholds: Thresholds) -> Scores:
    """The same of one length of the tail alone, for series of FEWEST nights and `tail` more at
    least.
    """
    return _by_parts(_checked(series), tail, thresholds)


def replicates_allow(spread: ArrayLike, replicates: ArrayLike) -> Values:
    """How far the last night may be off the mean of the nights before by what replicates do.

    Student's t with the replicates' pooled variance, at a chance of RARE.

    Args:
        spread: The standard deviation of the logarithms of each night's replicates, an array
            (..., nights); NaN where it is not known.
        replicates: How many each night has, an array (nights,).

    Returns:
        A fraction of each series; 0 where no night has a spread.
    """
    from scipy.special import stdtrit

    apart, counts = np.asarray(spread, dtype=np.float64), np.asarray(replicates)
    known = np.isfinite(apart) & (counts > 1)
    weights = np.where(known, counts - 1, 0)
    freedom = weights.sum(axis=-1)
    power = (weights * np.where(known, apart, 0.0) ** 2).sum(axis=-1)
    shares = 1 / counts[-1] + (1 / counts[:-1]).sum() / (len(counts) - 1) ** 2
    error = np.sqrt(power / np.maximum(freedom, 1) * shares)
    allowed = np.expm1(error * stdtrit(np.maximum(freedom, 1), 1 - RARE))
    return np.asarray(np.where(freedom > 0, allowed, 0.0))


def again_score(found: Scores, again: ArrayLike, thresholds: Thresholds) -> Values:
    """How far a second run of the last night is off the level before.

    Args:
        found: What the detector says of the last night.
        again: The second run's value of each series, in the series' unit.
        thresholds: Of the detector.

    Returns:
        A score per series. The second run confirms an alarm if it is beyond 1 to the same side.
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # the first nights know no noise
        d = np.log(np.asarray(again, dtype=np.float64) / found.mean)
        change = np.expm1(d)
        error = found.noise / found.mean * np.sqrt(1 + 1 / found.nights)
        score = d / (error * _quantiles(thresholds.sigmas_again, found.freedom))
    score = np.where(found.noise > 0, score, change / found.least)
    return np.where(np.abs(change) > found.least, score, 0.0)


def confirms(found: Scores, again: ArrayLike, thresholds: Thresholds) -> Flags:
    """Whether the second run fires too, to the side of the alarm."""
    fires = _beyond(again_score(found, again, thresholds)) == found.alarm
    return np.asarray(fires & (found.alarm != 0))


def levels_of(series: ArrayLike, thresholds: Thresholds) -> tuple[list[int], Values]:
    """The known levels of one series.

    Returns:
        Where each begins, counted from the first night that is looked at, and their means in the
        series' unit.
    """
    y = np.log(_checked(series)[np.newaxis, ...])[..., -_window(thresholds) :]
    parts = _partition(y, thresholds)
    edges = [y.shape[1]]
    while edges[-1] > 0:
        edges.append(int(parts.last[0, edges[-1]]))
    edges.reverse()
    means = [parts.z[0, begin:end].mean() for begin, end in itertools.pairwise(edges)]
    return edges[:-1], np.exp(means)


def _window(thresholds: Thresholds) -> int:
    return max(thresholds.baseline_nights, FEWEST) + 1


def _checked(series: ArrayLike) -> Values:
    values = np.asarray(series, dtype=np.float64)
    if values.shape[-1] < 2:
        raise ValueError("nothing to compare: a single night")
    if not (np.isfinite(values) & (values > 0)).all():
        raise ValueError("a time or a ratio of times that is not above 0 and finite")
    return values


def _of_first_nights(values: Values, thresholds: Thresholds, replicates: Values) -> Scores:
    before, level = values[..., :-1], values[..., -1]
    mean = np.asarray(np.median(before, axis=-1))
    least = np.maximum(
        thresholds.first_bound_percent / 100, np.broadcast_to(replicates, mean.shape)
    )
    score = (level / mean - 1) / least
    one = np.full(mean.shape, 1, dtype=np.int64)
    nights = one * before.shape[-1]
    nothing = np.zeros_like(mean)
    return Scores(
        score, score, level, mean, nothing, nights, least, one, nights, np.zeros(mean.shape, bool)
    )


def _by_parts(values: Values, tail: int, thresholds: Thresholds) -> Scores:
    """Of series in any shape, a cache's worth at a time. `tail`: 0: the best one."""
    shape, window = values.shape[:-1], values[..., -_window(thresholds) :]
    y = np.log(window.reshape(-1, window.shape[-1]))
    nights_before = values.shape[-1] - 1
    found = [
        _of_rows(y[begin : begin + AT_ONCE], tail, nights_before, thresholds)
        for begin in range(0, len(y), AT_ONCE)
    ]
    return Scores(
        *(
            np.concatenate([getattr(one, name) for one in found]).reshape(shape)
            for name in Scores.__dataclass_fields__
        )
    )


@dataclass(frozen=True)
class _Partition:
    """The best partitions of all prefixes of each row, arrays (rows, nights + 1) by the length of
    the prefix.

    `cost`: least; `last`: where the last segment begins; `changes`: how many there are. `z`: the
    clipped logarithms (rows, nights); `rough`: their rough noise (rows,).
    """

    z: Values
    rough: Values
    cost: Values
    last: Counts
    changes: Counts
    sums: Values
    squares: Values

    def misfit(self, begin: ArrayLike, end: ArrayLike) -> Values:
        """Squared deviations of nights [begin, end) of each row from their mean."""
        rows = np.arange(len(self.z))[:, np.newaxis]
        begin, end = np.asarray(begin), np.asarray(end)
        total = self.sums[rows, end] - self.sums[rows, begin]
        return np.asarray(
            self.squares[rows, end] - self.squares[rows, begin] - total**2 / (end - begin)
        )


def _partition(y: Values, thresholds: Thresholds) -> _Partition:
    """Steps 1 to 3."""
    rows, nights = y.shape
    rough = np.full(rows, thresholds.least_noise_percent / 100)
    for lag in LAGS:
        if nights > lag + 1:
            steps = np.abs(y[:, lag:] - y[:, :-lag])
            rough = np.maximum(rough, MAD_TO_SD / math.sqrt(2) * np.median(steps, axis=1))
    z = y.copy()
    if nights > 2:
        three = np.sort(np.stack([y[:, :-2], y[:, 1:-1], y[:, 2:]]), axis=0)[1]
        room = CLIP * rough[:, np.newaxis]
        z[:, 1:-1] = np.clip(y[:, 1:-1], three - room, three + room)
    moved = z - z[:, :1]  # sums of squares of small numbers keep their digits
    sums, squares = (
        np.concatenate([np.zeros((rows, 1)), np.cumsum(part, axis=1)], axis=1)
        for part in (moved, moved**2)
    )
    cost = np.zeros((rows, nights + 1))
    last = np.zeros((rows, nights + 1), dtype=np.int64)
    changes = np.zeros((rows, nights + 1), dtype=np.int64)
    penalty = (PENALTY * rough**2)[:, np.newaxis]
    every = np.arange(rows)
    for end in range(1, nights + 1):
        most = max(end - SHORTEST, 0)
        begins = np.array([0, *range(SHORTEST, most + 1)])
        total = sums[:, end : end + 1] - sums[:, begins]
        whole = squares[:, end : end + 1] - squares[:, begins] - total**2 / (end - begins)
        whole += cost[:, begins]
        whole[:, 1:] += penalty
        best = whole.argmin(axis=1)
        cost[:, end] = whole[every, best]
        last[:, end] = begins[best]
        changes[:, end] = np.where(best > 0, changes[every, begins[best]] + 1, 0)
    return _Partition(z, rough, cost, last, changes, sums, squares)


def _of_rows(y: Values, tail: int, nights_before: int, thresholds: Thresholds) -> Scores:
    """Steps 1 to 7 of rows of logarithms (rows, nights)."""
    rows, nights = y.shape
    parts = _partition(y, thresholds)
    if tail:
        tails = np.full(rows, tail)
    else:
        fewest = thresholds.min_nights if nights_before >= thresholds.min_nights else FEWEST
        lengths = np.arange(1, max(1, min(thresholds.longest_tail, nights - fewest)) + 1)
        ends = np.broadcast_to(nights - lengths, (rows, len(lengths)))
        both = parts.misfit(ends, np.full_like(ends, nights))
        both += np.take_along_axis(parts.cost, ends, axis=1)
        tails = lengths[both.argmin(axis=1)]
    return _score(y, parts, tails, nights_before, thresholds)


def _score(
    y: Values, parts: _Partition, tails: Counts, nights_before: int, thresholds: Thresholds
) -> Scores:
    """Steps 5 to 7 with the tail of each row."""
    rows, nights = y.shape
    every, place = np.arange(rows), np.arange(nights)
    ends = nights - tails
    before = place < ends[:, np.newaxis]
    z = parts.z
    levels, residuals = _residuals(parts, ends)
    flips = _returns(levels) >= RETURNS
    one_level = z - _median(z, before)[:, np.newaxis]
    residuals = np.where(flips[:, np.newaxis], np.where(before, one_level, 0.0), residuals)
    freedom = np.maximum(np.where(flips, ends - 1, ends - parts.changes[every, ends] - 1), 1)
    begins = np.where(flips, 0, parts.last[every, ends])
    spread = MAD_TO_SD * _median(np.abs(residuals), before) * (1 + FEW_NIGHTS / ends)
    room = CLIP * spread[:, np.newaxis]
    clipped = np.clip(residuals, -room, room)  # 0 after the end
    power = (clipped**2).sum(axis=1)
    sigma = np.maximum(
        np.maximum(np.sqrt(power / freedom), LEAST_SHARE_OF_MAD * spread),
        thresholds.least_noise_percent / 100,
    )

    level_before = before & (place >= begins[:, np.newaxis])
    count = ends - begins
    middle = _median(z, level_before)
    room = CLIP * sigma[:, np.newaxis]
    kept = np.clip(z, middle[:, np.newaxis] - room, middle[:, np.newaxis] + room)
    mean = np.where(level_before, kept, 0.0).sum(axis=1) / count

    level = _level(y, z, tails, mean)
    d = _milder(level - mean, level - middle)
    tonight = y[:, -1]
    highest = np.where(level_before, y, -np.inf).max(axis=1)
    lowest = np.where(level_before, y, np.inf).min(axis=1)
    unseen = np.where(d > 0, tonight > highest, tonight < lowest)
    d = np.where((tails > 1) | unseen, d, 0.0)
    beyond = np.where(d > 0, level > np.nanmax(levels, axis=0), level < np.nanmin(levels, axis=0))
    d = np.where(flips & ~beyond, 0.0, d)

    long = tails > 2
    with np.errstate(divide="ignore", invalid="ignore"):  # no residual at all: no correlation
        phi = (clipped[:, 1:] * clipped[:, :-1]).sum(axis=1) / power
    phi = np.clip(np.nan_to_num(phi), 0.0, MOST_CORRELATION)
    lasting = np.where(long, np.sqrt((1 + phi) / (1 - phi)), 1.0)
    raw = d / (sigma * np.sqrt(1 / tails + 1 / count) * lasting)
    few = (nights_before + 1 - tails) < thresholds.min_nights
    least = np.where(few, thresholds.fixed_bound_percent, thresholds.least_change_percent) / 100
    large = np.abs(np.expm1(d)) > least
    sigmas = np.where(long, thresholds.sigmas_long, thresholds.sigmas)
    sigmas = np.where(few, np.maximum(sigmas, thresholds.sigmas_few), sigmas)
    score, alone = (
        np.where(large, raw / _quantiles(wanted, freedom), 0.0)
        for wanted in (sigmas, np.maximum(sigmas, thresholds.sigmas_alone))
    )
    before_it = np.exp(mean)
    return Scores(
        score,
        alone,
        np.exp(level),
        before_it,
        sigma * before_it,
        freedom,
        least,
        tails.astype(np.int64),
        count,
        flips,
    )


def _residuals(parts: _Partition, ends: Counts) -> tuple[Values, Values]:
    """Of the best partition of each row's first `ends` nights: the means of its segments, newest
    first (segments, rows), NaN where a row has fewer; and each night less its segment's mean
    (rows, nights), 0 after the end.
    """
    z, every, place = parts.z, np.arange(len(parts.z)), np.arange(parts.z.shape[1])
    residuals, levels, end = np.zeros_like(z), [], ends
    while (end > 0).any():
        begin = parts.last[every, end]
        inside = (place >= begin[:, np.newaxis]) & (place < end[:, np.newaxis])
        mean = np.where(inside, z, 0.0).sum(axis=1) / np.maximum(end - begin, 1)
        residuals = np.where(inside, z - mean[:, np.newaxis], residuals)
        levels.append(np.where(end > 0, mean, np.nan))
        end = np.where(end > 0, begin, 0)
    return np.array(levels), residuals


def _returns(levels: Values) -> Counts:
    """How often each row came back to a level that it had left. `levels`: (segments, rows), newest
    first.
    """
    count = np.zeros(levels.shape[1], dtype=np.int64)
    for index in range(len(levels) - 2):
        step = np.abs(levels[index] - levels[index + 1])
        nearest = np.abs(levels[index + 2 :] - levels[index])
        nearest = np.where(np.isnan(nearest), np.inf, nearest).min(axis=0)
        count += nearest < RETURN_SHARE * step
    return count


def _level(y: Values, z: Values, tails: Counts, mean: Values) -> Values:
    inside = np.arange(y.shape[1]) >= (y.shape[1] - tails)[:, np.newaxis]
    low = np.where(inside, y, np.inf).min(axis=1)
    high = np.where(inside, y, -np.inf).max(axis=1)
    # Two nights on both sides of the mean are no change.
    two = np.where(low > mean, low, np.where(high < mean, high, mean))
    of_more = _milder(
        _median(y, inside) - mean, np.where(inside, z, 0.0).sum(axis=1) / tails - mean
    )
    return np.where(tails == 1, y[:, -1], np.where(tails == 2, two, mean + of_more))


def _milder(one: Values, other: Values) -> Values:
    """Of each two the one nearer to 0; 0 where they disagree on the sign."""
    nearer = np.where(np.abs(one) < np.abs(other), one, other)
    return np.where(one * other > 0, nearer, 0.0)


def _median(values: Values, inside: Flags) -> Values:
    """The median of each row where `inside` is true, which it is once at least."""
    counts = inside.sum(axis=1)
    ordered = np.sort(np.where(inside, values, np.inf), axis=1)
    every = np.arange(len(values))
    return np.asarray((ordered[every, (counts - 1) // 2] + ordered[every, counts // 2]) / 2)


def _beyond(score: Values) -> Counts:
    return np.where(np.abs(score) > 1, np.sign(score), 0).astype(np.int64)


def _quantiles(sigmas: ArrayLike, freedom: Counts) -> Values:
    """Student's t with `freedom` degrees of freedom at the tail probability of `sigmas` of a normal
    distribution, for each.
    """
    wanted, freedom = np.broadcast_arrays(np.asarray(sigmas, dtype=np.float64), freedom)
    found = np.empty(wanted.shape)
    for sigma in np.unique(wanted):
        table = _table(float(sigma), int(freedom.max(initial=1)))
        found = np.where(wanted == sigma, table[freedom], found)
    return found


@lru_cache(maxsize=512)
def _table(sigmas: float, most: int) -> Values:
    """The quantiles by degrees of freedom, 0 (none) to `most`."""
    from scipy.special import ndtr, stdtrit

    freedom = np.arange(1, most + 1)
    return np.concatenate([[np.inf], stdtrit(freedom, ndtr(sigmas))])
