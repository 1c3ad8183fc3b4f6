"""What an alarm of `report check` is worth: false alarms and power of the detector with its second
runs, simulated.

Each series is 60 nights of a time with log-normal noise (0.5% or 1% from night to night), and a
second run of every night that is as noisy and independent of it. The detector
(report.regressions.detector, thresholds of configs/check.yaml) judges every night that has 10
before it. `alarms` are what it says at first: each costs a second run of the pair; `confirmed` are
the alarms that the second run confirms: only these are told. An alarm counts when it is new, that
is, when there was none the night before; a month is 30 nights. Power: the share of series in which
a step on night 31 is told on that night, or on that or the next.

First nights: series of 10 nights with 2% noise from night to night, four replicates each. The share
that is told a regression on any night, second runs or not: where the noise is that of the
replicates, and where replicates and second run agree and the nights do not.

Outlying measurements: 4% of them, the second runs included, are 3% to 10% slow. (An outlier that
holds for the whole night, second run included, is no false alarm but a slow night: no second run
can tell; the last row shows its price.)

    python benchmarks/false_alarms.py --json benchmarks/false_alarms.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from report.regressions.detector import confirms, detect, replicates_allow
from report.regressions.rehearsal import binomial_interval, new_alarms, walk
from report.regressions.thresholds import CheckConfig, Thresholds, load_config

Array = np.ndarray[Any, np.dtype[np.float64]]

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "check.yaml"
NIGHTS, STEP_NIGHT, MONTH = 60, 30, 30
FIRST_JUDGED = 10  # nights before it
FIRST_NOISE, REPLICATES, FALSE_FIRST = 0.02, 4, 0.01
OUTLIERS, OUTLIER_RANGE = 0.04, (0.03, 0.10)


@dataclass(frozen=True)
class Row:
    """One figure with its 95% interval (Clopper-Pearson).

    `target`: what it must not be above (alarms) or below (`power`).
    """

    what: str
    value: float
    low: float
    high: float
    unit: str
    target: float | None = None
    power: bool = False

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.value >= self.target if self.power else self.value <= self.target


def histories(
    rng: np.random.Generator, series: int, noise: float, step: float = 0.0, outliers: str = ""
) -> tuple[Array, Array]:
    """Times of every night and of its second run, both (series, NIGHTS), level 1 before the step.

    `outliers`: "" none, "measurements" in each independently, "nights" in both of a night alike.
    """
    shape = (series, NIGHTS)
    level = np.where(np.arange(NIGHTS) >= STEP_NIGHT, 1 + step, 1.0)
    first, again = (level * np.exp(noise * rng.standard_normal(shape)) for _ in range(2))
    if outliers:
        slow = [
            1 + np.where(rng.random(shape) < OUTLIERS, rng.uniform(*OUTLIER_RANGE, shape), 0.0)
            for _ in range(2)
        ]
        first, again = first * slow[0], again * slow[outliers == "measurements"]
    return first, again


def false_alarm_rows(
    name: str,
    first: Array,
    again: Array,
    thresholds: Thresholds,
    target: float | None,
    told_only: bool = False,
) -> list[Row]:
    """Alarms on series without any step."""
    alarms, told, alone = walk(first, again, thresholds, range(FIRST_JUDGED, NIGHTS))
    rows = []
    for what, of, goal in (
        ("confirmed", told, target),
        ("alarms (second runs)", alarms, None),
        ("alarms if none can be run again", alone, None),
    ):
        found, nights = new_alarms(of), of.size
        low, high = (MONTH * end for end in binomial_interval(found, nights))
        rows.append(
            Row(f"{name}: {what}", MONTH * found / nights, low, high, "per series and month", goal)
        )
    return rows[:1] if told_only else rows


def power_rows(
    name: str, first: Array, again: Array, thresholds: Thresholds, targets: dict[int, float]
) -> list[Row]:
    """How often a step is told within so many nights; `targets`: by number of nights."""
    _, told, _ = walk(first, again, thresholds, range(STEP_NIGHT, STEP_NIGHT + 3))
    rows = []
    for nights in (1, 2, 3):
        seen = int((told[:, :nights] > 0).any(axis=1).sum())
        low, high = binomial_interval(seen, len(told))
        when = "the first night" if nights == 1 else f"within {nights} nights"
        rows.append(
            Row(
                f"{name} {when}",
                seen / len(told),
                low,
                high,
                "of series",
                targets.get(nights),
                power=True,
            )
        )
    return rows


def first_night_rows(
    name: str, rng: np.random.Generator, series: int, thresholds: Thresholds, between_nights: bool
) -> list[Row]:
    """The share of series that are told a regression in their first FIRST_JUDGED nights."""
    shape = (2, series, FIRST_JUDGED, REPLICATES)  # first run and second run
    apart = FIRST_NOISE * np.sqrt(REPLICATES) * rng.standard_normal(shape)
    if between_nights:
        night = FIRST_NOISE * rng.standard_normal((1, series, FIRST_JUDGED, 1))
        apart = np.broadcast_to(night, shape)
    first, again = np.exp(apart.mean(axis=-1))
    spread = apart[0].std(axis=-1, ddof=1)
    told = {"with second runs": False, "without": False}
    counts = [REPLICATES] * FIRST_JUDGED
    for night in range(1, FIRST_JUDGED):
        allowed = replicates_allow(spread[:, : night + 1], counts[: night + 1])
        found = detect(first[:, : night + 1], thresholds, allowed)
        told["with second runs"] |= confirms(found, again[:, night], thresholds) & (found.alarm > 0)
        told["without"] |= found.alone > 1
    rows = []
    for how, of_series in told.items():
        seen = int(np.sum(of_series))
        low, high = binomial_interval(seen, series)
        what = f"first nights, noise 2% {name}: regressions {how}"
        rows.append(Row(what, seen / series, low, high, "of series", FALSE_FIRST))
    return rows


def simulate(series: int, seed: int, thresholds: Thresholds) -> list[Row]:
    """Every row; the same for the same arguments."""

    def made(
        number: int, noise: float, step: float = 0.0, outliers: str = ""
    ) -> tuple[Array, Array]:
        return histories(np.random.default_rng([seed, number]), series, noise, step, outliers)

    return [
        *false_alarm_rows("noise 0.5%", *made(1, 0.005), thresholds, 0.01),
        *false_alarm_rows("noise 1%", *made(2, 0.01), thresholds, None),
        *false_alarm_rows(
            "noise 0.5%, outlying measurements", *made(3, 0.005, 0, "measurements"), thresholds, 0.1
        ),
        *false_alarm_rows(
            "noise 0.5%, outlying nights",
            *made(4, 0.005, 0, "nights"),
            thresholds,
            None,
            told_only=True,
        ),
        *first_night_rows(
            "between replicates", np.random.default_rng([seed, 8]), series, thresholds, False
        ),
        *first_night_rows(
            "between nights", np.random.default_rng([seed, 9]), series, thresholds, True
        ),
        *power_rows("noise 0.5%: a 2% step", *made(5, 0.005, 0.02), thresholds, {2: 0.95}),
        *power_rows("noise 0.5%: a 5% step", *made(6, 0.005, 0.05), thresholds, {1: 0.99}),
        *power_rows("noise 1%: a 5% step", *made(7, 0.01, 0.05), thresholds, {1: 0.95}),
    ]


def printed(rows: Sequence[Row]) -> str:
    """The table."""
    marks = {None: "", True: "met", False: "MISSED"}

    def number(value: float, row: Row) -> str:
        return f"{100 * value:.1f}%" if row.unit == "of series" else f"{value:.4f}"

    return tabulate(
        [
            [
                row.what,
                number(row.value, row),
                f"{number(row.low, row)} to {number(row.high, row)}",
                row.unit,
                ""
                if row.target is None
                else f"{'≥' if row.power else '≤'} {number(row.target, row)}",
                marks[row.met],
            ]
            for row in rows
        ],
        headers=["", "", "95% interval", "unit", "target", ""],
        disable_numparse=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--series", type=int, default=600, help="per row; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--config", type=Path, default=CONFIG, help="default: configs/check.yaml")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    began = time.monotonic()
    config: CheckConfig = load_config(options.config)
    rows = simulate(options.series, options.seed, config.thresholds)
    print(printed(rows))
    print(
        f"\n{options.series} series of {NIGHTS} nights each, seed {options.seed}, "
        f"{time.monotonic() - began:.0f} s"
    )
    if options.json:
        settings = {"series": options.series, "nights": NIGHTS, "seed": options.seed}
        content = {"settings": settings, "thresholds": config.thresholds.model_dump()}
        lines = ",\n".join("  " + json.dumps({**asdict(row), "met": row.met}) for row in rows)
        head = json.dumps(content, indent=1)[:-2]
        options.json.write_text(f'{head},\n "rows": [\n{lines}\n ]\n}}\n')
    return int(any(row.met is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
