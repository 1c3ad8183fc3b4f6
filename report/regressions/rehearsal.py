"""What an alarm is worth on this host: how often the detector would raise a false one, and how
small a slowdown it would find.

A pair's noise from night to night is taken from its recorded history. Nights are simulated by
drawing from that noise, with a second run of every night, and the detector of `report check` judges
each by the nights before it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.errors import BenchError
from report.analysis.gains import matched
from report.analysis.replicates import arms_of
from report.loading.runs import Run
from report.regressions.change_points import change_points
from report.regressions.check import Rules
from report.regressions.detector import Values, confirms, detect
from report.regressions.judge import judge, series_of
from report.regressions.nights import MEASURES, Night, histories, nights_among
from report.regressions.thresholds import Thresholds
from report.regressions.time_series import fits
from report.text import signed_percent

FEWEST_NIGHTS = 10  # a shorter history says less of the noise than its replicates do
MONTH = 30  # nights
WITHIN_NIGHTS = (1, 2, 3, 5)  # of a slowdown, in which it may be told
FOUND_SHARE = 0.95  # of the simulated pairs: what is told in fewer counts as not found
FINEST, LARGEST = 1, 1000  # slowdowns that are tried, in thousandths

Alarms = NDArray[np.int64]


@dataclass(frozen=True)
class Noise:
    """Residual logarithms of (baseline, candidate) times, an array (n, 2), drawn together: what is
    common stays common.

    `source` nights: one residual per night. replicates: one per replicate, a night being the mean
    of `replicates` of them; what differs from night to night and not from replicate to replicate is
    not in it.
    """

    source: Literal["nights", "replicates"]
    residuals: Values
    replicates: int = 1

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Values:
        """Residuals of nights, independent of each other: an array (*shape, 2)."""
        places = rng.integers(len(self.residuals), size=(*shape, self.replicates))
        return np.asarray(self.residuals[places].mean(axis=-2))

    @property
    def percent(self) -> tuple[float, float, float]:
        """Standard deviation of a night, in percent: baseline's time, candidate's time, ratio."""
        one, other = self.residuals.T
        scale = 100 / math.sqrt(self.replicates)
        first, second, ratio = (
            float(scale * np.sqrt(np.mean(part**2))) for part in (one, other, other - one)
        )
        return first, second, ratio

    def __str__(self) -> str:
        count = len(self.residuals)
        if self.source == "nights":
            return f"the night-to-night noise of {count} recorded nights"
        return (
            f"the noise between {count} recorded replicates, {self.replicates} to a night: the "
            f"history is shorter than {FEWEST_NIGHTS} nights, and what differs from night to night "
            "is not in it, so real alarms are worth less"
        )


def noise_of(nights: Sequence[Night], thresholds: Thresholds) -> Noise:
    """The noise of a pair's nights on one comparable host.

    Args:
        nights: With a result each, oldest first (`without_alarm`). Levels that the history's change
            points part are taken out, each by its mean.
        thresholds: Of the detector.

    Raises:
        BenchError: There is no night with two replicates or more.
    """
    points = [night.point for night in nights if night.point is not None]
    if len(points) >= FEWEST_NIGHTS:
        edges = [0, *(change.index for change in change_points(points, thresholds)), len(points)]
        logs = np.log(series_of(points)[:2]).T
        parts = [logs[begin:end] for begin, end in itertools.pairwise(edges)]
        return Noise("nights", _centred(parts))
    replicates = [found for night in nights if len(found := _replicates(night)) > 1]
    if not replicates:
        pair = nights[-1].pair
        raise BenchError(
            "a single replicate of one night says nothing of noise",
            place=f"{pair.workload}: {pair.candidate} over {pair.baseline} ({nights[-1].name})",
            fix=f"record a night with two replicates or more, better {FEWEST_NIGHTS} nights",
        )
    return Noise("replicates", _centred(replicates), replicates=len(replicates[-1]))


def without_alarm(nights: Sequence[Night], thresholds: Thresholds) -> list[Night]:
    """The nights with a result, without those at their end that are in alarm: they are no noise."""
    kept = [night for night in nights if night.point is not None]
    while len(kept) > 1:
        tail = judge([night.point for night in kept if night.point is not None], thresholds)
        if not tail.state.is_change:
            break
        kept = kept[: len(kept) - max(1, tail.tail)]
    return kept


def _replicates(night: Night) -> Values:
    """Logarithms of both arms' times, a row per replicate that counts."""
    read = MEASURES[night.measure].time
    counted = matched(*arms_of(night.run).of_pair(night.pair), read)
    times = [[read(job) or 0.0 for job in jobs] for jobs in counted]
    return np.log(times).reshape(-1, 2)


def _centred(parts: Sequence[Values]) -> Values:
    """All rows less the mean of their part, scaled so that their variance is unbiased."""
    rows = np.concatenate([part - part.mean(axis=0) for part in parts if len(part) > 1])
    kept = sum(len(part) > 1 for part in parts)
    return np.asarray(rows * math.sqrt(len(rows) / (len(rows) - kept)))


def walk(
    first: Values, again: Values, thresholds: Thresholds, nights: Iterable[int]
) -> tuple[Alarms, Alarms, Alarms]:
    """What the detector says of many series on each of `nights`, given all nights before it.

    Args:
        first: A value per series and night, an array (series, nights).
        again: The value of each night's second run, of the same shape.
        thresholds: Of the detector.
        nights: Which nights are judged, by their position from 0.

    Returns:
        Arrays (series, nights judged) of 1 (slower), 0 and -1 (faster): the alarms at first sight,
        those that the second run confirms, and those that count if no second run can be made.
    """
    alarms, told, alone = [], [], []
    for night in nights:
        found = detect(first[:, : night + 1], thresholds)
        alarms.append(found.alarm)
        told.append(np.where(confirms(found, again[:, night], thresholds), found.alarm, 0))
        alone.append(np.where(np.abs(found.alone) > 1, found.alarm, 0))
    return np.stack(alarms, axis=1), np.stack(told, axis=1), np.stack(alone, axis=1)


def new_alarms(alarms: Alarms) -> int:
    """How many alarms there are that were not there the night before; `alarms`: (series,
    nights).
    """
    before = np.concatenate([np.zeros_like(alarms[:, :1]), alarms[:, :-1]], axis=1)
    return int(((alarms != 0) & (alarms != before)).sum())


def binomial_interval(found: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact two-sided interval of a share. Source: Clopper and Pearson, Biometrika 26 (1934)
    404-413.
    """
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = 0.0 if found == 0 else float(betaincinv(found, of - found + 1, tail))
    high = 1.0 if found == of else float(betaincinv(found + 1, of - found, 1 - tail))
    return low, high


@dataclass(frozen=True)
class Share:
    """A share or rate with its exact 95% interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, found: int, among: int, scale: float = 1.0) -> Share:
        """`found` among so many, times `scale`."""
        low, high = binomial_interval(found, among)
        return cls(scale * found / among, scale * low, scale * high)


class Simulation:
    """`pairs` simulated pairs of `nights` nights each, whose noise is drawn once: every question is
    answered by the same nights.
    """

    def __init__(
        self, noise: Noise, thresholds: Thresholds, *, nights: int, pairs: int, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        self._first, self._again = (_series(noise.draw(rng, (pairs, nights))) for _ in range(2))
        self._thresholds, self._nights, self._pairs = thresholds, nights, pairs

    def alarms_of_noise(self) -> tuple[Share, Share]:
        """False alarms and needless second runs, each per series and month."""
        judged = range(self._thresholds.min_nights, self._nights)
        alarms, told, _ = walk(_flat(self._first), _flat(self._again), self._thresholds, judged)
        false_alarms, second_runs = (
            Share.of(new_alarms(found), found.size, MONTH) for found in (told, alarms)
        )
        return false_alarms, second_runs

    def power(self, slower: float, arm: int) -> dict[int, Share]:
        """The share of pairs in which a change is told by its arm's time or by the ratio.

        Args:
            slower: By how much arm's times grow from the middle of the nights on, a fraction.
            arm: 0: the baseline; 1: the candidate.

        Returns:
            The share that is told on one of the first n nights of the change, by n.
        """
        begin = self._nights // 2
        end = min(self._nights, begin + max(WITHIN_NIGHTS))
        changed = []
        for noise in (self._first, self._again):
            series = noise[..., :end].copy()
            series[:, arm, begin:] *= 1 + slower
            series[:, 2] = series[:, 1] / series[:, 0]
            changed.append(_flat(series))
        _, told, _ = walk(changed[0], changed[1], self._thresholds, range(begin, end))
        of_pair = told.reshape(self._pairs, 3, -1)
        sign = np.sign(slower)
        right = (of_pair[:, arm] == sign) | (of_pair[:, 2] == (sign if arm == 1 else -sign))
        return {
            n: Share.of(int(right[:, :n].any(axis=1).sum()), self._pairs)
            for n in WITHIN_NIGHTS
            if n <= right.shape[1]
        }

    def smallest_found(self, arm: int, within: int) -> float | None:
        """The smallest slowdown, a fraction, that FOUND_SHARE of the pairs are told of within so
        many nights; None: not even the largest one that is tried.
        """

        def is_found(thousandths: int) -> bool:
            return self.power(thousandths / 1000, arm)[within].value >= FOUND_SHARE

        low, high = FINEST - 1, LARGEST
        if not is_found(high):
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if is_found(middle) else (middle, high)
        return high / 1000


def _series(logs: Values) -> Values:
    """(pairs, nights, 2) logarithms as the three series of each pair: (pairs, 3, nights)."""
    times = np.exp(np.moveaxis(logs, 2, 1))
    return np.concatenate([times, times[:, 1:] / times[:, :1]], axis=1)


def _flat(series: Values) -> Values:
    return series.reshape(-1, series.shape[-1])


@dataclass(frozen=True)
class RehearsalPlan:
    """`slower`: a fraction; the change begins in the middle of `nights`; `simulated`: pairs."""

    slower: float
    nights: int = 60
    arm: Literal["baseline", "candidate"] = "candidate"
    simulated: int = 600
    seed: int = 0


@dataclass(frozen=True)
class Rehearsal:
    """What the detector is worth for one pair. Rates are per series and month.

    `left_out`: nights at the end that are in alarm and therefore no noise. `power`: by number of
    nights, of the plan's change. `smallest`: the smallest slowdown of the plan's arm that is found,
    a fraction, by number of nights; None: none is.
    """

    template: Night
    noise: Noise
    left_out: int
    plan: RehearsalPlan
    false_alarms: Share
    second_runs: Share
    power: dict[int, Share]
    smallest: dict[int, float | None]

    @property
    def found(self) -> bool:
        """Whether the plan's change is told in time in nearly all simulated pairs."""
        return self.power[max(self.power)].value >= FOUND_SHARE


def rehearse(
    runs: Sequence[Run], patterns: Sequence[str], rules: Rules, plan: RehearsalPlan
) -> tuple[list[Rehearsal], list[str]]:
    """Rehearse every pair that fits.

    Args:
        runs: The recorded history.
        patterns: Which pairs, as in `report history`; none: all pairs.
        rules: How nights are judged. Acknowledged changes play no part: simulated nights have none.
        plan: What is rehearsed.

    Returns:
        The rehearsals, and of every pair that says too little of its noise why it was left out.

    Raises:
        BenchError: There is nothing to rehearse with, or the plan cannot be carried out.
    """
    least = 2 * (rules.config.thresholds.min_nights + 1)
    if plan.nights < least:
        raise BenchError(
            f"{plan.nights} nights are too few", place="--nights", fix=f"{least} or more"
        )
    if plan.simulated < 1:
        raise BenchError(
            "must be 1 or more", place="--simulated", fix="600 give rates to about 2 points"
        )
    recorded = histories(nights_among(runs), rules.measure, rules.config.comparable)
    pairs = [
        comparable
        for nights in recorded.values()
        if fits(nights[-1].pair, patterns) and (comparable := _comparable(nights))
    ]
    if not pairs:
        raise BenchError(
            "no pair with a result to rehearse with", fix="`report history` lists what there is"
        )
    rehearsals: list[Rehearsal] = []
    left_out: list[BenchError] = []
    for nights in pairs:
        usable_nights = without_alarm(nights, rules.config.thresholds)
        try:
            noise = noise_of(usable_nights, rules.config.thresholds)
        except BenchError as error:
            left_out.append(error)
            continue
        rehearsals.append(_rehearse(nights, usable_nights, noise, rules.config.thresholds, plan))
    if not rehearsals:
        raise left_out[0]
    return rehearsals, [f"{error.place}: {error.message}; left out" for error in left_out]


def _comparable(nights: Sequence[Night]) -> list[Night]:
    """The nights with a result that are comparable with the newest one of them."""
    with_result = [night for night in nights if night.point is not None]
    return [night for night in with_result if night.setting == with_result[-1].setting]


def _rehearse(
    nights: Sequence[Night],
    usable_nights: Sequence[Night],
    noise: Noise,
    thresholds: Thresholds,
    plan: RehearsalPlan,
) -> Rehearsal:
    simulation = Simulation(
        noise, thresholds, nights=plan.nights, pairs=plan.simulated, seed=plan.seed
    )
    arm = int(plan.arm == "candidate")
    false_alarms, second_runs = simulation.alarms_of_noise()
    power = simulation.power(plan.slower, arm)
    return Rehearsal(
        template=usable_nights[-1],
        noise=noise,
        left_out=len(nights) - len(usable_nights),
        plan=plan,
        false_alarms=false_alarms,
        second_runs=second_runs,
        power=power,
        smallest={n: simulation.smallest_found(arm, n) for n in (min(power), max(power))},
    )


def as_text(one: Rehearsal) -> str:
    """The figures of one pair, for a terminal."""
    return "\n".join(_lines(one)) + "\n"


def _lines(one: Rehearsal) -> Iterator[str]:
    pair, plan = one.template.pair, one.plan
    yield f"{pair.workload}: {pair.candidate} over {pair.baseline}"
    yield f"  made of {one.noise}"
    if one.left_out:
        yield (f"  left out as in alarm: the last {one.left_out} night{'s' * (one.left_out != 1)}")
    baseline, candidate, ratio = one.noise.percent
    yield (
        f"  a night's standard deviation: {pair.baseline} {baseline:.2f}%, {pair.candidate} "
        f"{candidate:.2f}%, ratio {ratio:.2f}%"
    )
    yield f"  over {plan.simulated} simulated pairs of {plan.nights} nights:"
    yield f"    false alarms per series and month: {_rate(one.false_alarms)}"
    yield f"    second runs of nothing per series and month: {_rate(one.second_runs)}"
    for nights, share in one.power.items():
        change = f"{plan.arm} {signed_percent(plan.slower)}"
        yield f"    {change} told {_when(nights)}: {_percent(share)}"
    for nights, slower in one.smallest.items():
        what = f"none up to {LARGEST / 1000:.0%}" if slower is None else f"{slower:.1%}"
        yield (
            f"    smallest slowdown of the {plan.arm} told {_when(nights)} in "
            f"{FOUND_SHARE:.0%} of the pairs: {what}"
        )


def _when(nights: int) -> str:
    return "on the first night" if nights == 1 else f"within {nights} nights"


def _percent(share: Share) -> str:
    return f"{share.value:.1%} (95% interval {share.low:.1%} to {share.high:.1%})"


def _rate(share: Share) -> str:
    return f"{share.value:.4f} (95% interval {share.low:.4f} to {share.high:.4f})"


def as_json(one: Rehearsal) -> dict[str, Any]:
    """The figures of one pair as JSON values."""
    pair, setting = one.template.pair, one.template.setting
    return {
        "workload": pair.workload,
        "baseline": pair.baseline,
        "candidate": pair.candidate,
        "host": setting.label if setting else "",
        "noise": {
            "source": one.noise.source,
            "n": len(one.noise.residuals),
            "percent": one.noise.percent,
        },
        "plan": asdict(one.plan),
        "found": one.found,
        "power_by_night": {str(n): asdict(share) for n, share in one.power.items()},
        "smallest_slowdown_by_night": {str(n): slower for n, slower in one.smallest.items()},
        "false_alarms_per_series_and_month": asdict(one.false_alarms),
        "second_runs_per_series_and_month": asdict(one.second_runs),
    }
