"""The statistic behind every gain: the mean log ratio over pairs of fresh replicates, with a
Student's t interval.

The one piece of arithmetic that the harness (when to stop) and the report (what to print) share.
Pure.
"""

from __future__ import annotations

import bisect
import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeGuard

CONFIDENCE = 0.95
# over all replicates of a pair: long enough to hold the turns' autocorrelation, enough for a t
# quantile
BATCHES = 20
MIN_BATCHES = 4  # per replicate
POOL_FROM = 4  # replicates: fewer hardly see their own differences
# ratio of variances; 1 covers just over 97% where replicates do not differ, 1.5 under 93% where
# they do
POOL_BELOW = 1.2
MOST_REPLICATES = 1_000_000  # beyond this no number of replicates is worth naming
SLOW = 3.0  # robust standard deviations; of normal noise alone it limits one pair in 370 at most
MAD_TO_SD = 1.4826  # of a normal distribution
SHORTEST_S, LONGEST_S = 1e-12, 1e12  # no clock tells less, and no job takes 30,000 years
# of a log ratio of two times; with times at the ends of what a number can hold it is off by 4e-13
ROUNDING = 1e-12


@dataclass(frozen=True)
class Estimate:
    """The mean of n values with its interval; `low` and `high` are None where n < 2 gives none.

    `freedom`: the degrees of freedom of the t quantile in the interval, for what is computed from
    it.
    """

    n: int
    mean: float
    low: float | None = None
    high: float | None = None
    freedom: int | None = None


def usable(seconds: float | None) -> TypeGuard[float]:
    """Whether a recorded time can be one: there, a number, and between SHORTEST_S and LONGEST_S."""
    return seconds is not None and SHORTEST_S <= seconds <= LONGEST_S


def log_ratios(pairs: Iterable[tuple[float, float]]) -> list[float]:
    """d = ln T_baseline − ln T_candidate of each (T_baseline, T_candidate), in one unit; d > 0:
    candidate faster.
    """
    return [math.log(baseline) - math.log(candidate) for baseline, candidate in pairs]


def mean_of(values: Sequence[float]) -> float:
    """The mean of values, also where their sum is beyond the largest number. No values:
    ValueError.
    """
    if not values:
        raise ValueError("the mean of no values")
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return math.fsum(value / len(values) for value in values)


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """The mean of independent values and its two-sided Student's t interval.

    mean ± t(1 − (1 − confidence)/2, n − 1) · s / √n, with s² = Σ(x − mean)² / (n − 1). Source:
    Student (W. S. Gosset), "The Probable Error of a Mean", Biometrika 6 (1908) 1–25. The values
    must be independent replicates, never steps of one job. No values: ValueError.
    """
    n = len(values)
    mean = mean_of(values)
    if n < 2:
        return Estimate(n, mean)
    deviation = math.hypot(*(value - mean for value in values)) / math.sqrt(n - 1)
    half = t_quantile(n - 1, confidence) * deviation / math.sqrt(n)
    return Estimate(n, mean, mean - half, mean + half, n - 1)


def turn_interval(
    replicates: Sequence[Sequence[tuple[float, float]]], confidence: float = CONFIDENCE
) -> Estimate:
    """The mean log ratio of the interleaved protocol and its interval by batch means.

    `replicates[k][j]`: the seconds that (baseline, candidate) took for pair of turns j of replicate
    k, both for the same steps, in one unit and above 0. A replicate's value is the log ratio of the
    sums of its times, slow turns limited (`limit_slow_turns`); the mean is over replicates (`n` of
    them). Neighbouring turns are correlated, so each replicate's are cut into contiguous batches
    (BATCHES over all replicates, MIN_BATCHES per replicate at least, each pair of turns one batch
    where there are fewer), whose log ratios of sums are nearly independent. Source of batch means:
    Schmeiser, "Batch Size Effects in the Analysis of Simulation Output", Operations Research 30
    (1982) 556–568; Law and Kelton, "Simulation Modeling and Analysis", chapter 9. A limited pair no
    longer answers to the ratio, so deviations are divided by the share of the pairs that do: the
    variance of an M-estimator, Huber, "Robust Estimation of a Location Parameter", Annals of
    Mathematical Statistics 35 (1964) 73–101.

    Two variances of the mean: within replicates, V_w = Σ s² / m / L² pooled over them (batches − L
    degrees of freedom), and between them, V_b = s² of the replicates' values / L (L − 1 degrees).
    If V_b is more than POOL_BELOW · V_w, the replicates differ in themselves, and V_b makes the
    interval. Else both estimate the same noise and are pooled, weighted by their degrees of
    freedom, which add up: the preliminary test of Bancroft, "On biases in estimation due to the use
    of preliminary tests of significance", Annals of Mathematical Statistics 15 (1944) 190–204.
    Fewer than POOL_FROM replicates cannot tell: V_b alone. One replicate: V_w alone, which says
    nothing of other replicates. Simulated coverage, with and without differences between
    replicates: benchmarks/coverage.json. No replicate, or one without turns: ValueError.
    """
    if not replicates or not all(replicates):
        raise ValueError("the mean of no turns")
    count = len(replicates)
    if all(
        len(replicate) == 1 for replicate in replicates
    ):  # as of the sequential protocol: nothing is known from within one
        return mean_interval(log_ratios(replicate[0] for replicate in replicates), confidence)
    solved = [limit_slow_turns(replicate) for replicate in replicates]
    values = [replicate.log_ratio for replicate in solved]
    between = mean_interval(values, confidence)
    batches = [
        _batch_values(replicate.log_times, max(MIN_BATCHES, BATCHES // count))
        for replicate in solved
    ]
    freedom = sum(map(len, batches)) - count
    squares = math.fsum(
        ((value - math.fsum(of) / len(of)) / replicate.share) ** 2
        for of, replicate in zip(batches, solved, strict=True)
        for value in of
    )
    within = squares / freedom * math.fsum(1 / len(of) for of in batches) / count**2
    if count == 1:
        variance = within
    elif count < POOL_FROM:
        return between
    else:
        replicate_variance = (
            math.fsum((value - between.mean) ** 2 for value in values) / (count - 1) / count
        )
        if replicate_variance > POOL_BELOW * within:
            return between
        variance = ((count - 1) * replicate_variance + freedom * within) / (count - 1 + freedom)
        freedom += count - 1
    half = t_quantile(freedom, confidence) * math.sqrt(variance)
    return Estimate(count, between.mean, between.mean - half, between.mean + half, freedom)


@dataclass(frozen=True)
class Limited:
    """A replicate with its slow turns cut to a limit, as `limit_slow_turns` says.

    Attributes:
        log_times: ln of the seconds of (baseline, candidate) for each pair of turns, slow turns
            cut.
        log_ratio: ln R, the log ratio of the sums of these times.
        share: the share of the pairs of turns in which nothing was cut.
        limit_s: K, the seconds that a turn may take beyond what its partner's time says.
    """

    log_times: list[tuple[float, float]]
    log_ratio: float
    share: float
    limit_s: float


def limit_slow_turns(turns: Sequence[tuple[float, float]]) -> Limited:
    """A replicate's times with its slow turns cut to a limit, and the ratio that comes out.

    A turn's time counts up to what its partner's says, plus K seconds: min(a, R·b + K) of the
    baseline's a, min(b, a/R + K) of the candidate's b, where R = Σ min(a, R·b + K) / Σ min(b, a/R +
    K) is the ratio that comes out. With r the median ratio, K is SLOW robust standard deviations of
    the slower arm's seconds: the larger of the medians of |a − r·b| and |a/r − b|, times MAD_TO_SD.
    Without slow turns this is the ratio of sums.

    Why: a host that stalls for 80 ms every two seconds makes the ratio of sums several times as
    noisy. K is the same seconds for both arms because stalls come to them in proportion to their
    time: what is cut of each is again in proportion, so R does not move, whatever the length of
    turns. Trimmed means of the pairwise log ratios cut the same share of both tails, and are off
    by 0.1% in single steps and 1% in turns of eight. What one arm alone is slow in is limited too:
    `in_full` has it. Source: Gwet and Rivest, "Outlier Resistant Alternatives to the Ratio
    Estimator", Journal of the American Statistical Association 87 (1992) 1174–1182 (an M-estimate
    of a ratio); the limit in seconds is this module's.

    Any finite times above 0 will do: R is kept as its logarithm, so that no product overflows.
    Exchanging the arms exchanges `log_times` and negates `log_ratio`, to the last bit.
    """
    center = statistics.median(log_ratios(turns))
    swapped = [(other, one) for one, other in turns]
    # One of the two orders is solved and the other read from it, or their rounding would differ.
    if (center, list(turns)) >= (-center, swapped):
        return _limited(turns, center)
    solved = _limited(swapped, -center)
    log_times = [(one, other) for other, one in solved.log_times]
    return replace(solved, log_times=log_times, log_ratio=-solved.log_ratio)


def _limited(turns: Sequence[tuple[float, float]], center: float) -> Limited:
    """`limit_slow_turns` where ln r = `center` is not negative: the baseline's seconds are the
    slower arm's.

    Multiplied out, the equation of R is Σ clip(a − R·b, −R·K, K) = 0, whose left side falls with R.
    It is linear between the values of R at which a pair of turns begins or ends to be cut, so the
    solution is found among those by bisection, and between two of them in closed form: R = (Σ a +
    K·m) / (Σ b + K·n), the sums over pairs in which nothing is cut, m and n the numbers of pairs
    whose baseline's or candidate's time is.
    """
    ratios = log_ratios(turns)
    spread = statistics.median(
        # |a − r·b|; what is due to rounding is no spread
        0.0 if abs(ratio - center) <= ROUNDING else abs(_gap(one, other, ratio, center))
        for (one, other), ratio in zip(turns, ratios, strict=True)
    )
    limit = SLOW * MAD_TO_SD * spread
    if (
        limit == 0
    ):  # most pairs agree on r, and any R solves the equation where all others are cut to it
        low = [ratio - ROUNDING for ratio in ratios]
        high = [ratio + ROUNDING for ratio in ratios]
        solution = center
    else:
        # ln R below which the baseline's time is cut, and above which the candidate's is.
        low = [
            ratio + math.log1p(-limit / one) if limit < one else -math.inf
            for (one, _), ratio in zip(turns, ratios, strict=True)
        ]
        high = [
            ratio - math.log1p(-limit / other) if limit < other else math.inf
            for (_, other), ratio in zip(turns, ratios, strict=True)
        ]
        solution = _solve(turns, low, high, limit)
    log_limit = math.log(limit) if limit > 0 else -math.inf
    log_times = []
    cut = 0
    for (one, other), begin, end in zip(turns, low, high, strict=True):
        log_one, log_other = math.log(one), math.log(other)
        if solution < begin:
            log_one = min(log_one, _log_sum_exp((solution + log_other, log_limit)))
        elif solution > end:
            log_other = min(log_other, _log_sum_exp((log_one - solution, log_limit)))
        log_times.append((log_one, log_other))
        cut += solution < begin or solution > end
    # K is beyond a median, so in half of the pairs nothing is cut: less is rounding, or arms
    # tenfold apart
    return Limited(log_times, solution, max(0.5, 1 - cut / len(turns)), limit)


def _solve(
    turns: Sequence[tuple[float, float]], low: Sequence[float], high: Sequence[float], limit: float
) -> float:
    """ln R of `_limited`: pair i's baseline is cut below `low[i]`, its candidate above `high[i]`,
    to `limit` seconds.

    Two borders of a pair may round to one number, between which the solution may still lie: borders
    are told apart by their place in the order, not by their value.
    """
    pairs = range(len(turns))
    ratios = log_ratios(turns)
    lows = [(low[pair], 0, pair) for pair in pairs if math.isfinite(low[pair])]
    highs = [(high[pair], 1, pair) for pair in pairs if math.isfinite(high[pair])]
    borders = sorted([*lows, *highs])
    low_place, high_place = [-1] * len(turns), [len(borders)] * len(turns)
    for place, (_, kind, pair) in enumerate(borders):
        (high_place if kind else low_place)[pair] = place

    def is_past(place: int) -> bool:
        """Whether the solution is at this border or below: the sign of Σ clip(a − R·b, −R·K, K) /
        max(1, R) / K.
        """
        at = borders[place][0]
        most, least = (1.0, -math.exp(at)) if at <= 0 else (math.exp(-at), -1.0)
        terms = []
        for pair, (one, other) in enumerate(turns):
            if place <= low_place[pair]:
                terms.append(most)
            elif place >= high_place[pair]:
                terms.append(least)
            else:
                apart = ratios[pair] - at
                gap = (
                    one * most * -math.expm1(-apart)
                    if apart >= 0
                    else other * -least * math.expm1(apart)
                )
                terms.append(max(least, min(gap / limit, most)))
        return math.fsum(terms) <= 0

    first = bisect.bisect_left(range(len(borders)), True, key=is_past)
    ones = [
        limit if first <= low_place[pair] else one
        for pair, (one, _) in enumerate(turns)
        if first <= high_place[pair]
    ]
    others = [
        limit if first > high_place[pair] else other
        for pair, (_, other) in enumerate(turns)
        if first > low_place[pair]
    ]
    begin = borders[first - 1][0] if first > 0 else -math.inf
    end = borders[first][0] if first < len(borders) else math.inf
    if not ones or not others:  # the solution has rounded to the border
        return begin if others else end
    return min(max(_log_sum(ones) - _log_sum(others), begin), end)


def in_full(replicates: Sequence[Sequence[tuple[float, float]]]) -> float:
    """The mean of `turn_interval` with no turn limited: of all seconds, whoever was slow and
    why.
    """
    sums = [[_log_sum(arm) for arm in zip(*replicate, strict=True)] for replicate in replicates]
    return math.fsum(baseline - candidate for baseline, candidate in sums) / len(replicates)


def half_width_pp(estimate: Estimate) -> float | None:
    """Half-width of the interval of the throughput gain, in percentage points; None where there is
    no interval.
    """
    if estimate.low is None or estimate.high is None:
        return None
    return 100 * (math.exp(estimate.high) - math.exp(estimate.low)) / 2


def needed_replicates(estimate: Estimate, target_pp: float, at_least: int = 2) -> int | None:
    """The smallest number of replicates whose half-width would meet the target if mean and spread
    stayed what they are.

    Half-width in percentage points is 100 · exp(mean) · sinh(t(n-1) · s / √n). None: not to be
    told, or absurdly many.
    """
    return replicates_for(estimate, math.asinh(target_pp / 100 / math.exp(estimate.mean)), at_least)


def replicates_for(estimate: Estimate, half_width: float, at_least: int = 2) -> int | None:
    """The smallest number of replicates, `at_least` of them, whose interval of the log ratio would
    reach no further than `half_width` from its mean if the spread stayed what it is.

    None: not to be told, or absurdly many.
    """
    if estimate.low is None or estimate.high is None or estimate.freedom is None:
        return None
    root = math.sqrt(estimate.n) / t_quantile(estimate.freedom)
    deviation = (estimate.high - estimate.low) / 2 * root

    def enough(n: int) -> bool:
        return t_quantile(n - 1) * deviation / math.sqrt(n) <= half_width

    low, high = 1, max(2, at_least)  # t · s / √n falls with n
    while not enough(high):
        low, high = high, 2 * high
        if high > MOST_REPLICATES:
            return None
    low = max(low, at_least - 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


@lru_cache(maxsize=1024)
def t_quantile(freedom: float, confidence: float = CONFIDENCE) -> float:
    """Student's t that a two-sided interval of `confidence` needs with `freedom` degrees of
    freedom.
    """
    from scipy.special import stdtrit  # the quantile alone: scipy.stats takes a second to import

    return float(stdtrit(freedom, 1 - (1 - confidence) / 2))


def _gap(one: float, other: float, ratio: float, log_ratio: float) -> float:
    """a − R·b of a pair of turns by ln a/b = `ratio` and ln R = `log_ratio`; minus infinity beyond
    all numbers.
    """
    if ratio >= log_ratio:
        return one * -math.expm1(log_ratio - ratio)
    return _exp(log_ratio + math.log(other)) * math.expm1(ratio - log_ratio)


def _exp(exponent: float) -> float:
    try:
        return math.exp(exponent)
    except OverflowError:
        return math.inf


def _log_sum(values: Sequence[float]) -> float:
    """ln Σ values, also where the sum is beyond the largest number."""
    try:
        return math.log(math.fsum(values))
    except OverflowError:
        return math.log(math.fsum(value * 2.0**-64 for value in values)) + 64 * math.log(2)


def _log_sum_exp(logs: Sequence[float]) -> float:
    """ln Σ exp(logs)."""
    largest = max(logs)
    return largest + math.log(math.fsum(math.exp(value - largest) for value in logs))


def _log_ratio_of_sums(log_times: Sequence[tuple[float, float]]) -> float:
    """The log ratio of the sums of times given by their logarithms."""
    ones, others = zip(*log_times, strict=True)
    return _log_sum_exp(ones) - _log_sum_exp(others)


def _batch_values(log_times: Sequence[tuple[float, float]], batches: int) -> list[float]:
    """The log ratio of sums of contiguous batches, as equal in length as they can be."""
    batches = min(batches, len(log_times))
    edges = [len(log_times) * index // batches for index in range(batches + 1)]
    return [_log_ratio_of_sums(log_times[begin:end]) for begin, end in itertools.pairwise(edges)]
