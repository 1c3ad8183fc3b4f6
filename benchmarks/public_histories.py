"""What the detector of `report check` makes of real benchmark histories whose changes are known.

The data are facts of public sources, not part of this project: `--data` names the folder with
`histories.json`, a list of series: `id`, `group`, `seconds` (a value a night; higher is slower),
`changes` ([night, +1 slower or -1 faster]) and `ambiguous` ([from, to): counts for nobody).

Each night is judged when it comes, by itself and the 59 nights before it, the series being the
candidate's time and the baseline's time 1 s in every night. Two groups of noise without agreed
changes are left out (LEFT_OUT).

- A *claim* of a night is a regression (+1) or an improvement (-1), dated at the first night of the
  tail. It is new if its sign was not claimed the night before.
- A night is *stable* from night 20 on, outside [change - 1, change + 40) and [from, to + 15) of an
  ambiguous stretch. A *false alarm* is a new claim on a stable night, dated on a stable night; they
  are counted per series and month of 30 stable nights.
- A change at night c (from night 11 on) is *found* on the first night from c on, before c + 30 and
  before the next change, on which a claim of its sign is dated c - 3 or later; within k nights if
  that is night c + k - 1 at the latest.
- The *second run* of a night is not in the data: the next night's value stands in for it.

The detector's constants were chosen by the *tuned* half, the series at even places in the order of
their ids, and by simulated noise; the *other* half is at the odd places. It is no blind test: its
totals were looked at between versions. An early one raised three times as many false alarms there;
what was done about it (lag 3, RETURNS and the correlation of the detector) was made with simulated
noise of that kind and with the groups that are left out.

Apache Otava (a change point detector for CI, E-divisive with t tests) sees the same nights. Its
claim is its newest change point, if that is within the last OTAVA_NIGHTS; else none: an older one
was told before. With `--otava PYTHON`, the interpreter of a virtual environment that has
apache-otava; it is no dependency. Where it cannot judge a window (an exception of its own) it
claims nothing; how often is in the JSON.

    python benchmarks/public_histories.py --data FOLDER --json benchmarks/public_histories.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.schema.verdict import FindingState, Point
from report.regressions.judge import judge
from report.regressions.thresholds import Thresholds, load_config

tabulate.MIN_PADDING = 0  # a column is as wide as its widest cell
ROOT = Path(__file__).resolve().parents[1]
FILE = "histories.json"
LEFT_OUT = ("edr-noisy", "TCPD-drift")
SHOWN, MONTH = 60, 30  # nights
FIRST_STABLE, AFTER_CHANGE, AFTER_AMBIGUOUS = 20, 40, 15
FIRST_CHANGE, DATED_BEFORE, LATEST = 11, 3, 30
WITHIN = (1, 2, 5)
OTAVA_NIGHTS = 10  # fewer are fewer false alarms and more changes missed: 8 and 15 are in the JSON
OTAVA_OTHERS = (8, 15)
SIGNS = {FindingState.REGRESSION: 1, FindingState.IMPROVEMENT: -1}

Claim = tuple[int, int] | None  # sign, and the night from which on

# What the interpreter of --otava runs: windows in, the change points of each out.
OTAVA = """
import json, sys
from importlib.metadata import version
from otava.analysis import compute_change_points
out = []
for window in json.load(sys.stdin):
    try:
        points = compute_change_points(window)[0]
        out.append([[int(p.index), 1 if p.stats.mean_2 > p.stats.mean_1 else -1] for p in points])
    except ValueError:
        out.append(None)
json.dump({"version": version("apache-otava"), "found": out}, sys.stdout)
"""


@dataclass(frozen=True)
class History:
    """One series; changes are (night, sign), oldest first."""

    id: int
    seconds: list[float]
    changes: list[tuple[int, int]]
    ambiguous: list[tuple[int, int]]

    def stable(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Whether each night is stable."""
        stable = np.ones(len(self.seconds), dtype=bool)
        stable[:FIRST_STABLE] = False
        for night, _ in self.changes:
            stable[max(0, night - 1) : night + AFTER_CHANGE] = False
        for begin, end in self.ambiguous:
            stable[begin : end + AFTER_AMBIGUOUS] = False
        return stable


@dataclass(frozen=True)
class Tally:
    """What one method made of some series. `within`: changes found, by nights of WITHIN."""

    false_alarms: int
    months: float
    changes: int
    within: tuple[int, ...]
    missed: int

    @classmethod
    def of(cls, parts: Sequence[Tally]) -> Tally:
        """The sum."""
        return cls(
            sum(part.false_alarms for part in parts),
            sum(part.months for part in parts),
            sum(part.changes for part in parts),
            tuple(map(sum, zip(*(part.within for part in parts), strict=True))),
            sum(part.missed for part in parts),
        )

    @property
    def rate(self) -> float:
        """False alarms per series and month."""
        return self.false_alarms / self.months


def load(folder: Path) -> list[History]:
    """The scored series, by id."""
    return sorted(
        (
            History(
                entry["id"],
                [float(value) for value in entry["seconds"]],
                [(night, sign) for night, sign in entry["changes"]],
                [(begin, end) for begin, end in entry["ambiguous"]],
            )
            for entry in json.loads((folder / FILE).read_text())
            if entry["group"] not in LEFT_OUT
        ),
        key=lambda history: history.id,
    )


def tally(history: History, claims: Sequence[Claim]) -> Tally:
    """The score of a claim (or none) per night."""
    stable = history.stable()
    false_alarms, before = 0, 0
    for night, claim in enumerate(claims):
        sign = claim[0] if claim else 0
        new = sign not in (0, before)
        false_alarms += bool(new and claim and stable[night] and stable[max(0, claim[1])])
        before = sign
    delays = []
    edges = [*(night for night, _ in history.changes), len(claims)]
    for place, (night, sign) in enumerate(history.changes):
        if night < FIRST_CHANGE:
            continue
        end = min(night + LATEST, edges[place + 1], len(claims))
        delays.append(
            next(
                (
                    at - night + 1
                    for at in range(night, end)
                    if (claim := claims[at]) and claim[0] == sign
                    if claim[1] >= night - DATED_BEFORE
                ),
                None,
            )
        )
    found = [delay for delay in delays if delay is not None]
    return Tally(
        false_alarms,
        float(stable.sum()) / MONTH,
        len(delays),
        tuple(sum(delay <= nights for delay in found) for nights in WITHIN),
        len(delays) - len(found),
    )


def claims_of(history: History, thresholds: Thresholds, second_run: bool) -> list[Claim]:
    """What `report check` says of each night."""
    points = [
        Point(run=f"night-{night}", created_at="", baseline_s=1.0, candidate_s=seconds)
        for night, seconds in enumerate(history.seconds)
    ]
    claims: list[Claim] = [None]
    for night in range(1, len(points)):
        again = points[night + 1] if second_run and night + 1 < len(points) else None
        found = judge(points[max(0, night + 1 - SHOWN) : night + 1], thresholds, again)
        sign = SIGNS.get(found.state)
        claims.append((sign, night - found.tail + 1) if sign else None)
    return claims


def otava_points(histories: Sequence[History], python: Path) -> tuple[list[list[Claim]], str, int]:
    """Otava's newest change point of each night (sign, night) by series, its version, and how many
    windows it could not judge.
    """
    windows = [
        history.seconds[max(0, night + 1 - SHOWN) : night + 1]
        for history in histories
        for night in range(2, len(history.seconds))
    ]
    done = subprocess.run(
        [python, "-c", OTAVA],
        input=json.dumps(windows),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    found = iter(answer["found"])
    newest: list[list[Claim]] = []
    for history in histories:
        of_series: list[Claim] = [None, None]
        for night in range(2, len(history.seconds)):
            points = next(found)
            begin = max(0, night + 1 - SHOWN)
            of_series.append((points[-1][1], begin + points[-1][0]) if points else None)
        newest.append(of_series)
    return newest, answer["version"], sum(one is None for one in answer["found"])


def recent(points: Sequence[Claim], nights: int) -> list[Claim]:
    """The points of the last so many nights, as claims."""
    return [
        point if point and night - point[1] < nights else None for night, point in enumerate(points)
    ]


def rows_of(method: str, parts: Sequence[Tally]) -> list[dict[str, Any]]:
    """The method's rows: both halves and all."""
    halves = (("tuned half", parts[::2]), ("other half", parts[1::2]), ("all", parts))
    rows = []
    for half, of_half in halves:
        total = Tally.of(of_half)
        rows.append(
            {
                "method": method,
                "half": half,
                "series": len(of_half),
                "false_alarms_per_series_and_month": round(total.rate, 4),
                **asdict(total),
                "months": round(total.months, 2),
                "within": dict(zip(map(str, WITHIN), total.within, strict=True)),
            }
        )
    return rows


def printed(rows: Sequence[dict[str, Any]]) -> str:
    """The table, in Markdown."""
    return tabulate.tabulate(
        [
            [
                row["method"],
                row["half"],
                f"{row['false_alarms_per_series_and_month']:.2f}",
                " / ".join(str(row["within"][str(nights)]) for nights in WITHIN),
                row["missed"],
                row["changes"],
            ]
            for row in rows
        ],
        headers=["method", "series", "false alarms", "within 1 / 2 / 5", "missed", "changes"],
        tablefmt="github",
        disable_numparse=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "check.yaml")
    parser.add_argument("--otava", type=Path, metavar="PYTHON", help="leave out: no row of Otava")
    parser.add_argument("--json", type=Path, metavar="OUT")
    options = parser.parse_args()
    began = time.monotonic()
    if not (options.data / FILE).is_file():
        parser.error(f"{options.data / FILE}: no such file; --data is the folder that has it")
    histories = load(options.data)
    thresholds = load_config(options.config).thresholds
    rows: list[dict[str, Any]] = []
    for method, second_run in (("report check", False), ("report check, second run", True)):
        claims = [claims_of(history, thresholds, second_run) for history in histories]
        rows += rows_of(method, [tally(*one) for one in zip(histories, claims, strict=True)])
    settings: dict[str, Any] = {"nights_shown": SHOWN, "series": len(histories)}
    if options.otava:
        points, version, refused = otava_points(histories, options.otava)
        settings |= {"otava": version, "otava_windows_not_judged": refused}
        for nights in (OTAVA_NIGHTS, *OTAVA_OTHERS):
            claims = [recent(one, nights) for one in points]
            name = f"Otava {version}" + (f", {nights} nights" if nights != OTAVA_NIGHTS else "")
            rows += rows_of(name, [tally(*one) for one in zip(histories, claims, strict=True)])
    print(printed(rows))
    print(f"\n{len(histories)} series, {time.monotonic() - began:.0f} s")
    if options.json:
        content = {"settings": settings, "thresholds": thresholds.model_dump()}
        lines = ",\n".join("  " + json.dumps(row) for row in rows)
        options.json.write_text(
            f'{json.dumps(content, indent=1)[:-2]},\n "rows": [\n{lines}\n ]\n}}\n'
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
