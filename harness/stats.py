"""The statistic behind every gain: the mean log ratio over pairs of fresh launches, with a Student's t interval.

The one piece of arithmetic that the harness (when to stop) and the report (what to print) share. Pure.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeGuard

CONFIDENCE = 0.95
BATCHES = 20  # over all launches of a pair: long enough to hold the blocks' autocorrelation, enough for a t quantile
MIN_BATCHES = 4  # per launch
POOL_FROM = 4  # launches: fewer hardly see their own differences
POOL_BELOW = 1.2  # ratio of variances; 1 covers just over 97% where launches do not differ, 1.5 under 93% where they do
SLOW = 3.0  # robust standard deviations; of normal noise alone it limits one pair in 370 at most
MAD_TO_SD = 1.4826  # of a normal distribution


@dataclass(frozen=True)
class Estimate:
    """The mean of n values with its interval; `low` and `high` are None where n < 2 gives none.

    `freedom`: the degrees of freedom of the t quantile in the interval, for what is computed from it.
    """

    n: int
    mean: float
    low: float | None = None
    high: float | None = None
    freedom: int | None = None


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
    deviation = math.hypot(*(value - mean for value in values)) / math.sqrt(n - 1)
    half = t_quantile(n - 1, confidence) * deviation / math.sqrt(n)
    return Estimate(n, mean, mean - half, mean + half, n - 1)


def block_interval(launches: Sequence[Sequence[tuple[float, float]]], confidence: float = CONFIDENCE) -> Estimate:
    """The mean log ratio of the `blocks` protocol and its interval by batch means.

    `launches[k][j]`: the seconds that (baseline, candidate) took for pair of blocks j of launch k, both for the same
    steps, in one unit and above 0. A launch's value is the log ratio of the sums of its times, slow blocks limited
    (`limited`); the mean is over launches (`n` of them). Neighbouring blocks are correlated, so each launch's are cut
    into contiguous batches (BATCHES over all launches, MIN_BATCHES per launch at least, each pair of blocks one batch
    where there are fewer), whose log ratios of sums are nearly independent. Source of batch means: Schmeiser, "Batch
    Size Effects in the Analysis of Simulation Output", Operations Research 30 (1982) 556–568; Law and Kelton,
    "Simulation Modeling and Analysis", chapter 9. A limited pair no longer answers to the ratio, so deviations are
    divided by the share of the pairs that do: the variance of an M-estimator, Huber, "Robust Estimation of a Location
    Parameter", Annals of Mathematical Statistics 35 (1964) 73–101.

    Two variances of the mean: within launches, V_w = Σ s² / m / L² pooled over them (batches − L degrees of freedom),
    and between them, V_b = s² of the launches' values / L (L − 1 degrees). If V_b is more than POOL_BELOW · V_w, the
    launches differ in themselves, and V_b makes the interval. Else both estimate the same noise and are pooled,
    weighted by their degrees of freedom, which add up: the preliminary test of Bancroft, "On biases in estimation due
    to the use of preliminary tests of significance", Annals of Mathematical Statistics 15 (1944) 190–204. Fewer than
    POOL_FROM launches cannot tell: V_b alone. One launch: V_w alone, which says nothing of other launches.
    Simulated coverage, with and without differences between launches: benchmarks/coverage.json. No launch, or
    one without blocks: ValueError.
    """
    if not launches or not all(launches):
        raise ValueError("the mean of no blocks")
    count = len(launches)
    if all(len(launch) == 1 for launch in launches):  # as of the `epochs` protocol: nothing is known from within one
        return mean_interval(log_ratios(launch[0] for launch in launches), confidence)
    times, shares = zip(*map(limited, launches), strict=True)
    values = [_log_ratio_of_sums(launch) for launch in times]
    between = mean_interval(values, confidence)
    batches = [_batch_values(launch, max(MIN_BATCHES, BATCHES // count)) for launch in times]
    freedom = sum(map(len, batches)) - count
    squares = math.fsum(
        ((value - math.fsum(of) / len(of)) / share) ** 2
        for of, share in zip(batches, shares, strict=True)
        for value in of
    )
    within = squares / freedom * math.fsum(1 / len(of) for of in batches) / count**2
    if count == 1:
        variance = within
    elif count < POOL_FROM:
        return between
    else:
        launch_variance = math.fsum((value - between.mean) ** 2 for value in values) / (count - 1) / count
        if launch_variance > POOL_BELOW * within:
            return between
        variance = ((count - 1) * launch_variance + freedom * within) / (count - 1 + freedom)
        freedom += count - 1
    half = t_quantile(freedom, confidence) * math.sqrt(variance)
    return Estimate(count, between.mean, between.mean - half, between.mean + half, freedom)


def limited(blocks: Sequence[tuple[float, float]]) -> tuple[list[tuple[float, float]], float]:
    """A launch's times with its slow blocks cut to a limit, and the share of its pairs in which none was.

    A block's time counts up to what its partner's says, plus K seconds: min(a, R·b + K) of the baseline's a, min(b,
    a/R + K) of the candidate's b, where R = Σ min(a, R·b + K) / Σ min(b, a/R + K) is the ratio that comes out. With
    r the median ratio, K is SLOW robust standard deviations of the slower arm's seconds: the larger of the medians of
    |a − r·b| and |a/r − b|, times MAD_TO_SD. Without slow blocks this is the ratio of sums.

    Why: a host that stalls for 80 ms every two seconds makes the ratio of sums several times as noisy. K is the same
    seconds for both arms because stalls come to them in proportion to their time: what is cut of each is again in
    proportion, so R does not move, whatever the length of blocks. Trimmed means of the pairwise log ratios cut the
    same share of both tails, and are off by 0.1% in single steps and 1% in blocks of eight. What one arm alone is slow
    in is limited too: `in_full` has it.
    Source: Gwet and Rivest, "Outlier Resistant Alternatives to the Ratio Estimator", Journal of the American
    Statistical Association 87 (1992) 1174–1182 (an M-estimate of a ratio); the limit in seconds is this module's.
    """
    ratio = math.exp(statistics.median(log_ratios(blocks)))
    spread = statistics.median(
        0.0 if math.isclose(one, ratio * other, rel_tol=1e-12) else abs(one - ratio * other)  # rounding is no spread
        for one, other in blocks
    )
    limit = SLOW * MAD_TO_SD * spread * max(1.0, 1 / ratio)
    one_s, other_s = (math.fsum(arm) for arm in zip(*blocks, strict=True))
    for _ in range(100):  # each round leaves the share of limited pairs of the way to go, and never leaps over the end
        gaps = [one - ratio * other for one, other in blocks]
        cut = [gap - limit for gap in gaps if gap > limit]
        other_cut = [-gap / ratio - limit for gap in gaps if -gap > ratio * limit]
        before, ratio = ratio, (one_s - math.fsum(cut)) / (other_s - math.fsum(other_cut))
        if abs(ratio - before) <= 1e-12 * ratio:
            break
    times = [(min(one, ratio * other + limit), min(other, one / ratio + limit)) for one, other in blocks]
    share = 1 - (len(cut) + len(other_cut)) / len(blocks)
    return times, max(0.5, share)  # K is beyond a median, so half are within: less is rounding, or arms tenfold apart


def in_full(launches: Sequence[Sequence[tuple[float, float]]]) -> float:
    """The mean of `block_interval` with no block limited: of all seconds, whoever was slow and why."""
    return math.fsum(map(_log_ratio_of_sums, launches)) / len(launches)


@lru_cache(maxsize=1024)
def t_quantile(freedom: float, confidence: float = CONFIDENCE) -> float:
    """Student's t that a two-sided interval of `confidence` needs with `freedom` degrees of freedom."""
    from scipy.special import stdtrit  # the quantile alone: scipy.stats takes a second to import

    return float(stdtrit(freedom, 1 - (1 - confidence) / 2))


def _log_ratio_of_sums(blocks: Sequence[tuple[float, float]]) -> float:
    return math.log(math.fsum(one for one, _ in blocks)) - math.log(math.fsum(other for _, other in blocks))


def _batch_values(blocks: Sequence[tuple[float, float]], batches: int) -> list[float]:
    """The log ratio of sums of contiguous batches, as equal in length as they can be."""
    batches = min(batches, len(blocks))
    edges = [len(blocks) * index // batches for index in range(batches + 1)]
    return [_log_ratio_of_sums(blocks[begin:end]) for begin, end in itertools.pairwise(edges)]
