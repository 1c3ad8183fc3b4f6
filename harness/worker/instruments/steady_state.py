"""Where the warm-up ends: a change-point test on the step times, robust to slow steps,
autocorrelation and drift.

Pure; 100,000 steps take a few hundredths of a second.

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

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

ALPHA = 0.005  # false cuts of independent noise, per test
MEDIAN_OF = 5  # steps: two slow ones of five do not move their median
MOST_BATCHES = 80
LEAST_BATCHES = 8
# after the minimum; fewer are too few to tell a warm-up from noise
LEAST_STEPS = LEAST_BATCHES * MEDIAN_OF
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
    medians = np.median(_groups(np.asarray(after, dtype=np.float64), MEDIAN_OF), axis=1)
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


def _groups(values: Values, size: int) -> Values:
    """The values as rows of `size` each, without the few that are left over at the end."""
    whole = len(values) // size * size
    return values[:whole].reshape(-1, size)


def _last_change(medians: Values, cut: int) -> int:
    """Where the last significant change is, looking from `cut` on; `cut` itself if there is
    none.
    """
    size = max(1, 2 * (len(medians) - cut) // MOST_BATCHES)
    means = _groups(medians[cut:], size).mean(axis=1)
    changed = 0
    while len(means) - changed >= LEAST_BATCHES and (split := _change(means[changed:])):
        changed += split
    return cut + changed * size


def _change(values: Values) -> int:
    """How many values come before the one significant change in the mean; 0: there is none."""
    # Imported at the end of a job, and so outside the time that its set-up takes.
    from scipy.special import stdtrit

    count, total = len(values), values.sum()
    before = np.arange(1, count - LEAST_AFTER + 1)
    after = count - before
    sums = np.cumsum(values)[: len(before)]
    changes = np.abs(sums / before - (total - sums) / after)
    # Divided by the noise, these are standard errors.
    distances = changes * np.sqrt(before * after / count)
    best = int(np.argmax(distances))
    if distances[best] == 0 or changes[best] < LEAST_CHANGE * abs(total / count):
        return 0
    split = int(before[best])
    bound = stdtrit(count - 4, 1 - ALPHA / len(before) / 2)
    return split if distances[best] > bound * _noise(values, split) else 0


def _noise(values: Values, split: int) -> float:
    """Standard deviation around a line on each side of the split, inflated for what neighbours have
    in common.
    """
    residuals = np.concatenate([_around_line(values[:split]), _around_line(values[split:])])
    count, squares = len(residuals), float(residuals @ residuals)
    if squares == 0:
        return 0.0
    lag1 = float(residuals[:-1] @ residuals[1:]) / squares
    # The lag-1 autocorrelation of residuals of two lines through n values is about (2 + 6 r) / n
    # too low.
    r = min(max(lag1 + (2 + 6 * lag1) / count, 0.0), HIGHEST_AUTOCORRELATION)
    return math.sqrt(squares / (count - 4) * (1 + r) / (1 - r))


def _around_line(values: Values) -> Values:
    """Residuals of the least-squares line; of the mean, if there are too few values to have a slope
    of their own.
    """
    position = np.arange(len(values)) - (len(values) - 1) / 2
    slope = position @ values / (position @ position) if len(values) > 2 else 0.0
    residuals: Values = values - values.mean() - slope * position
    return residuals
