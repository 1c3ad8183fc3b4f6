"""What an alarm is worth on this host: its own noise, a slowdown put into it, and the whole path
from run to alert.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np

from harness.schema.record import JobRecord
from harness.schema.verdict import Verdict
from report.analysis.launches import arms_of
from report.loading.runs import JOBS_FILE, RUN_FILE, Run, load_run
from report.regressions.check import Rules, check
from report.regressions.nights import AGAIN, Night
from report.regressions.noise import Noise
from report.regressions.simulate import binomial_interval, new_alarms, walk
from report.regressions.thresholds import Thresholds

MONTH = 30  # nights
POWER_NIGHTS = (1, 2, 3, 5)


@dataclass(frozen=True)
class Share:
    """A share or rate with its exact 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Worth:
    """`power`: told on one of the first n nights of the slowdown, by n; the others are per series
    and month.
    """

    power: dict[int, Share]
    false_alarms: Share
    second_runs: Share


def worth(
    noise: Noise,
    thresholds: Thresholds,
    *,
    slower: float,
    arm: int,
    nights: int,
    pairs: int,
    seed: int,
) -> Worth:
    """By `pairs` simulated pairs of `nights` nights, arm 0 or 1 slower by the fraction `slower`
    from the middle on.
    """
    rng = np.random.default_rng(seed)
    first, again = (_series(noise.draw(rng, (pairs, nights))) for _ in range(2))
    alarms, told, _ = walk(
        _flat(first), _flat(again), thresholds, range(thresholds.min_nights, nights)
    )
    begin = nights // 2
    for series in (first, again):
        series[:, arm, begin:] *= 1 + slower
        series[:, 2] = series[:, 1] / series[:, 0]
    _, seen, _ = walk(
        _flat(first), _flat(again), thresholds, range(begin, min(nights, begin + max(POWER_NIGHTS)))
    )
    by_pair = seen.reshape(pairs, 3, -1)
    right = (by_pair[:, arm] == np.sign(slower)) | (
        by_pair[:, 2] == np.sign(slower) * (1 if arm == 1 else -1)
    )
    power = {
        n: _share(int(right[:, :n].any(axis=1).sum()), pairs)
        for n in POWER_NIGHTS
        if n <= right.shape[1]
    }
    return Worth(
        power, _monthly(new_alarms(told), told.size), _monthly(new_alarms(alarms), alarms.size)
    )


def _series(logs: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """(pairs, nights, 2) logarithms as the three series of each pair: (pairs, 3, nights)."""
    times = np.exp(np.moveaxis(logs, 2, 1))
    return np.concatenate([times, times[:, 1:] / times[:, :1]], axis=1)


def _flat(series: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    return series.reshape(-1, series.shape[-1])


def _share(found: int, of: int) -> Share:
    return Share(found / of, *binomial_interval(found, of))


def _monthly(found: int, nights: int) -> Share:
    share = _share(found, nights)
    return Share(MONTH * share.value, MONTH * share.low, MONTH * share.high)


@dataclass(frozen=True)
class Told:
    """One rehearsed night from the slowdown on: `since` counts from 1. `second` is the verdict with
    the second run.
    """

    since: int
    first: Verdict
    second: Verdict | None

    @property
    def verdict(self) -> Verdict:
        """The one that would be told."""
        return self.second or self.first


def rehearse(
    template: Night,
    noise: Noise,
    rules: Rules,
    folder: Path,
    *,
    slower: float,
    arm: int,
    nights: int,
    seed: int,
) -> Iterator[Told]:
    """Nights as run folders in `folder`, each judged by `check` as it comes, from the slowdown to
    its alert.

    Made of the template's jobs with their times multiplied. The rules' acknowledgements are left
    out: what is rehearsed is no history of theirs.
    """
    rng = np.random.default_rng([seed, 1])
    logs, again = noise.draw(rng, (nights,)), noise.draw(rng, (nights,))
    begin = nights // 2
    for factors in (logs, again):
        factors[begin:, arm] += math.log1p(slower)
    rules = Rules(rules.config, (), rules.measure)
    runs: list[Run] = []
    for night in range(nights):
        name = f"rehearsal-{night + 1:03d}"
        runs.append(write_made_up(template, name, night, np.exp(logs[night]), folder))
        if night < begin:
            continue
        first = check(runs, rules)
        second = None
        if any(finding.measure_again for finding in first.findings):
            rerun = write_made_up(template, name + AGAIN, night, np.exp(again[night]), folder)
            second = check(runs, rules, again=rerun)
        told = Told(night - begin + 1, first, second)
        yield told
        if any(finding.state in ("regression", "improvement") for finding in told.verdict.findings):
            return


def write_made_up(template: Night, name: str, night: int, factors: np.ndarray, folder: Path) -> Run:  # type: ignore[type-arg]
    """A run of the template's pair, `night` days later, written and read back as every run is.

    `factors`: of the baseline's and the candidate's times.
    """
    info = template.run.info.model_copy(
        update={
            "run": name,
            "created_at": (template.created_at + timedelta(days=night)).isoformat(),
            "pairs": [template.pair],
            "stopping": [],
            "notes": ["made up by `report rehearse`: no machine measured this"],
        }
    )
    sides = arms_of(template.run).of_pair(template.pair)
    jobs = [
        _scaled(job, float(factor)).model_copy(
            update={
                "run": name,
                "series": None,
                "log": None,
                "inference": None,
            }  # its times are not what is rehearsed
        )
        for side, factor in zip(sides, factors, strict=True)
        for job in side.values()
    ]
    path = folder / name
    path.mkdir(parents=True)
    (path / RUN_FILE).write_text(info.model_dump_json(), encoding="utf-8")
    (path / JOBS_FILE).write_text(
        "".join(job.model_dump_json() + "\n" for job in jobs), encoding="utf-8"
    )
    return load_run(path)


def _scaled(job: JobRecord, factor: float) -> JobRecord:
    """The job with all its times so many times as long."""
    times = ("steady_step_s", "train_runtime_s", "setup_s")
    known = {key: value for key in times if (value := getattr(job.timing, key)) is not None}
    timing = job.timing.model_copy(update={key: value * factor for key, value in known.items()})
    blocks = job.blocks
    if blocks is not None:
        blocks = blocks.model_copy(
            update={"step_s": [seconds * factor for seconds in blocks.step_s]}
        )
    return job.model_copy(update={"timing": timing, "blocks": blocks})
