"""A pair's nights on one comparable host: what `report history` lists, draws and writes as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from harness.schema.record import Pair
from harness.schema.verdict import Point
from report.loading.runs import Run
from report.regressions.acknowledged import Acknowledgement
from report.regressions.change_points import ChangePoint, change_points
from report.regressions.check import Rules
from report.regressions.comparable import Setting
from report.regressions.inference import inference_histories
from report.regressions.nights import Night, histories, nights_among


@dataclass(frozen=True)
class Course:
    """`points`: nights with a result, oldest first; `missing`: runs of the pair here without one,
    and why.

    `acknowledged`: accepted changes of the pair within its time. `changed`: what is not as in the
    course before (another host, driver, package or setting), empty for a pair's first.
    """

    pair: Pair
    measure: str
    setting: Setting
    points: list[Point]
    changes: list[ChangePoint]
    acknowledged: list[Acknowledgement]
    missing: list[tuple[str, str]]
    changed: list[str]

    @property
    def title(self) -> str:
        """The pair's name for a reader."""
        return f"{self.pair.workload}: {self.pair.candidate} over {self.pair.baseline}"

    @property
    def heading(self) -> str:
        """The title of a figure: of inference without its engines, which the legend has, so that
        its end stays.
        """
        return self.pair.workload if self.measure == "inference" else self.title


def courses_of(runs: Sequence[Run], rules: Rules) -> list[Course]:
    """Every pair on every comparable host, pairs as first declared, hosts by time. Nothing is mixed
    between hosts.

    After the pairs inference, likewise, whatever measure the rules ask for.
    """
    courses = []
    among, comparable = nights_among(runs), rules.config.comparable
    of_pairs = histories(among, rules.measure, comparable)
    for nights in (*of_pairs.values(), *inference_histories(among, comparable).values()):
        settings = list(
            dict.fromkeys(night.setting for night in nights if night.setting is not None)
        )
        for place, setting in enumerate(settings):
            here = [night for night in nights if night.setting == setting]
            earlier = settings[place - 1] if place else None
            courses.append(
                _course(here, setting, rules, setting.against(earlier) if earlier else [])
            )
    return courses


def _course(nights: Sequence[Night], setting: Setting, rules: Rules, changed: list[str]) -> Course:
    points = [night.point for night in nights if night.point is not None]
    pair = nights[-1].pair
    accepted = [
        entry
        for entry in rules.acknowledged
        if entry.is_of(pair) and nights[0].created_at <= entry.since <= nights[-1].created_at
    ]
    return Course(
        pair=pair,
        measure=nights[-1].measure,
        setting=setting,
        points=points,
        changes=change_points(points, rules.config.thresholds),
        acknowledged=sorted(accepted, key=lambda entry: entry.since),
        missing=[(night.name, night.why) for night in nights if night.point is None],
        changed=changed,
    )


def as_json(course: Course) -> dict[str, Any]:
    """A course as JSON values; times in seconds per step (end to end; per batch of inference),
    changes as fractions.
    """
    return {
        "workload": course.pair.workload,
        "baseline": course.pair.baseline,
        "candidate": course.pair.candidate,
        "measure": course.measure,
        "host": course.setting.label,
        "setting": dict(course.setting.facts),
        "not_comparable_with_the_nights_before": course.changed,
        "nights": [point.model_dump() for point in course.points],
        "change_points": [vars(change) for change in course.changes],
        "acknowledged": [entry.model_dump(mode="json") for entry in course.acknowledged],
        "without_result": [{"run": run, "why": why} for run, why in course.missing],
    }


def fits(pair: Pair, patterns: Sequence[str]) -> bool:
    """Whether a pair fits any of `patterns` (shell patterns of its workload or its whole name), or
    there are none.
    """
    names = (pair.workload, f"{pair.workload}/{pair.candidate}/over/{pair.baseline}")
    return not patterns or any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
