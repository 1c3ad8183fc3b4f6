"""Where the warm-up ends: a change-point test on the step times, robust to slow steps,
autocorrelation and drift.

Pure, standard library only; 100,000 steps take a few hundredths of a second.

1. Steps after the configured minimum become medians of 5 (a single slow step moves nothing), and
   those become batch means, 40 to 79 of them or as many as there are: a busy host's noise is
   averaged over a fixed share of the job.
2. The likelihood-ratio test for one change in the mean: the split k at which |mean before - mean
   after| is the most standard errors. D. M. Hawkins, "Testing a sequence of observations for a
   shift in location", JASA 72 (1977) 180-186. What comes before a significant split is cut, and the
   test is repeated on the rest until it finds nothing.
3. Significant: beyond Student's t quantile at `ALPHA` over the number of splits (Bonferroni: K. J.
   Worsley, "On the likelihood ratio test for a shift in location of normal populations", JASA 74
   (1979) 365-367).
4. The noise is taken around a straight line on each side of the split, so that neither the change
   nor a trend hides itself by passing for noise, and its variance is multiplied by (1 + r) / (1 -
   r) for its lag-1 autocorrelation r: neighbouring batches on a busy host are alike, and no change.
5. A short warm-up drowns in a long job. So the test is made first on the head of the job, from
   `FIRST_HEAD` steps on, then on heads twice as long, up to the whole. Only the whole decides
   whether the job settled: not if the cut would be in the second half of what follows the minimum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist, fmean, median

ALPHA = 0.005  # false cuts of independent noise, per test
MEDIAN_OF = 5  # steps: two slow ones of five do not move their median
MOST_BATCHES = 80
LEAST_BATCHES = 8
LEAST_STEPS = (
    LEAST_BATCHES * MEDIAN_OF
)  # after the minimum; fewer are too few to tell a warm-up from noise
FIRST_HEAD = 200  # steps
LEAST_CHANGE = 0.001  # of the mean: less is no warm-up, however regular the clock
LEAST_AFTER = 3  # batches after a split: the last one alone, slowed by the job's end, is no change
HIGHEST_AUTOCORRELATION = 0.95


@dataclass(frozen=True)
class Steady:
    """`begin`: the first step (1-based) of the steady state; None: fewer than two steps follow the
    minimum.

    `settled`: true: a steady state was found; false: step times still change in the second half of
    the job, and only the minimum is cut; None: too few steps to tell, and only the minimum is cut.
    """

    begin: int | None
    settled: bool | None


def find_steady(durations_s: Sequence[float], minimum: int) -> Steady:
    """Where the steady state of a job begins, never before step `minimum` + 1. `durations_s`:
    seconds of every step.
    """
    after = durations_s[minimum:]
    if len(after) < 2:
        return Steady(None, None)
    if len(after) < LEAST_STEPS:
        return Steady(minimum + 1, None)
    medians = [
        median(after[i : i + MEDIAN_OF]) for i in range(0, len(after) - MEDIAN_OF + 1, MEDIAN_OF)
    ]
    cut = 0
    for head in _heads(len(medians)):
        found = _last_change(medians[:head], cut)
        if found <= head / 2:
            cut = found
        elif head == len(medians):
            return Steady(minimum + 1, False)
    return Steady(minimum + 1 + cut * MEDIAN_OF, True)


def _heads(count: int) -> list[int]:
    """How many medians each test sees: all, half, a quarter, ... down to FIRST_HEAD steps; shortest
    first.
    """
    heads = [count]
    while heads[-1] // 2 * MEDIAN_OF >= FIRST_HEAD:
        heads.append(heads[-1] // 2)
    return heads[::-1]


def _last_change(medians: Sequence[float], cut: int) -> int:
    """Where the last significant change is, looking from `cut` on; `cut` itself if there is
    none.
    """
    size = max(1, 2 * (len(medians) - cut) // MOST_BATCHES)
    means = [fmean(medians[i : i + size]) for i in range(cut, len(medians) - size + 1, size)]
    changed = 0
    while len(means) - changed >= LEAST_BATCHES and (split := _change(means[changed:])):
        changed += split
    return cut + changed * size


def _change(values: Sequence[float]) -> int:
    """How many values come before the one significant change in the mean; 0: there is none."""
    count, total = len(values), math.fsum(values)
    before, furthest, split, jump = 0.0, 0.0, 0, 0.0
    for k in range(1, count - LEAST_AFTER + 1):
        before += values[k - 1]
        change = abs(before / k - (total - before) / (count - k))
        distance = change * math.sqrt(
            k * (count - k) / count
        )  # divided by the noise: standard errors
        if distance > furthest:
            furthest, split, jump = distance, k, change
    if jump < LEAST_CHANGE * abs(total / count) or split == 0:
        return 0
    bound = _student(ALPHA / (count - LEAST_AFTER), count - 4)
    return split if furthest > bound * _noise(values, split) else 0


def _noise(values: Sequence[float], split: int) -> float:
    """Standard deviation around a line on each side of the split, inflated for what neighbours have
    in common.
    """
    residuals = _around_line(values[:split]) + _around_line(values[split:])
    count, squares = len(residuals), math.fsum(e * e for e in residuals)
    if squares == 0:
        return 0.0
    lag1 = math.fsum(a * b for a, b in pairwise(residuals)) / squares
    # The lag-1 autocorrelation of residuals of two lines through n values is about (2 + 6 r) / n
    # too low.
    r = min(max(lag1 + (2 + 6 * lag1) / count, 0.0), HIGHEST_AUTOCORRELATION)
    return math.sqrt(squares / (count - 4) * (1 + r) / (1 - r))


def _around_line(values: Sequence[float]) -> list[float]:
    """Residuals of the least-squares line; of the mean, if there are too few values to have a slope
    of their own.
    """
    mean, middle = fmean(values), (len(values) - 1) / 2
    slope = 0.0
    if len(values) > 2:
        spread = math.fsum((i - middle) ** 2 for i in range(len(values)))
        slope = math.fsum((i - middle) * value for i, value in enumerate(values)) / spread
    return [value - mean - slope * (i - middle) for i, value in enumerate(values)]


def _student(share: float, freedom: int) -> float:
    """Student's t quantile that leaves `share` in both tails: Cornish-Fisher (Abramowitz and Stegun
    26.7.5).
    """
    z = NormalDist().inv_cdf(1 - share / 2)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / freedom + second / freedom**2
