"""The change points of `report history` beside those of Apache Otava, on the same histories.

Otava (https://otava.apache.org, E-divisive by t tests) looks at a whole history with hindsight; the
detector of `report check` judges each night when it comes, with a second run. They answer different
questions, so this is a cross-check of what both can say: where the level of a series changed.
Series go to Otava as `report export --format otava` writes them. Otava runs in a virtual
environment that this script makes (--venv), for it is no dependency.

Without RESULTS six histories are made: 60 nights of a recorded run's pair whose times are
multiplied by log-normal noise (0.5%, seeded) and by a change that is known. With RESULTS (a folder
of runs) the histories are those recorded there.

    python benchmarks/otava_crosscheck.py --json benchmarks/otava_crosscheck.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.schema.record import JobRecord
from report.analysis.replicates import arms_of
from report.exports.registry import export
from report.loading.runs import JOBS_FILE, RUN_FILE, Run, load_run, load_runs
from report.regressions.check import Rules
from report.regressions.nights import Night, nights_of
from report.regressions.time_series import Course, courses_of

Factors = np.ndarray[Any, np.dtype[np.float64]]

ROOT = Path(__file__).resolve().parents[1]
OTAVA = "apache-otava==0.8.0"
RECORDED = ROOT / "results" / "smoke-20261123-012757"
NIGHTS, NOISE, SEED = 60, 0.005, 0
CHANGES: dict[
    str, list[tuple[int, int, float, float]]
] = {  # (first night, last night, baseline, candidate), from 1
    "nothing": [],
    "candidate +5% from night 31 on": [(31, 60, 0, 0.05)],
    "candidate +2% from night 31 on": [(31, 60, 0, 0.02)],
    "both arms +5% from night 31 on": [(31, 60, 0.05, 0.05)],
    "baseline -4% from night 21 on, candidate +3% from night 41 on": [
        (21, 60, -0.04, 0),
        (41, 60, 0, 0.03),
    ],
    "candidate +8% in night 31 alone": [(31, 31, 0, 0.08)],
}
SERIES = {
    "baseline": "steady-step-time-seconds",
    "candidate": "steady-step-time-seconds",
    "ratio": "steady-speedup-times",
}


@dataclass(frozen=True)
class Row:
    """Nights, counted from 1, on which a series changed, by either; `report` marks a pair's
    changes, not a series'.
    """

    history: str
    pair: str
    nights: int
    report: list[str]
    otava_baseline: list[str]
    otava_candidate: list[str]
    otava_ratio: list[str]


def made_up(folder: Path) -> Iterator[tuple[str, list[Run]]]:
    """The histories of CHANGES as folders of runs."""
    template = nights_of(load_run(RECORDED), "steady_state", Rules().config.comparable)[-1]
    for number, (name, changes) in enumerate(CHANGES.items()):
        factors = np.exp(NOISE * np.random.default_rng([SEED, number]).standard_normal((NIGHTS, 2)))
        for first, last, *by in changes:
            factors[first - 1 : last] *= 1 + np.array(by)
        here = folder / f"history-{number}"
        yield (
            name,
            [
                write_made_up(template, f"night-{n + 1:03d}", n, row, here)
                for n, row in enumerate(factors)
            ],
        )


def write_made_up(template: Night, name: str, night: int, factors: Factors, folder: Path) -> Run:
    """A run of the template's pair, `night` days later, written and read back as every run is.

    `factors`: of the baseline's and the candidate's times. Inference, whose times are not made up,
    is left out.
    """
    info = template.run.info.model_copy(
        update={
            "run": name,
            "created_at": (template.created_at + timedelta(days=night)).isoformat(),
            "pairs": [template.pair],
            "stopping": [],
            "notes": ["made up by benchmarks/otava_crosscheck.py: no machine measured this"],
        }
    )
    sides = arms_of(template.run).of_pair(template.pair)
    jobs = [
        _scaled(job, float(factor)).model_copy(
            update={"run": name, "series": None, "log": None, "inference": None}
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
    turns = job.turns
    if turns is not None:
        turns = turns.model_copy(update={"step_s": [seconds * factor for seconds in turns.step_s]})
    return job.model_copy(update={"timing": timing, "turns": turns})


def otava_in(folder: Path) -> Path:
    """The otava command in a virtual environment of its own, made where it is not there yet."""
    command = folder / "bin" / "otava"
    if not command.exists():
        print(f"installing {OTAVA}", file=sys.stderr)
        venv.create(folder, with_pip=True)
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "-q", OTAVA], check=True)
    return command


def otava_changes(command: Path, folder: Path, test: str, metric: str) -> list[tuple[str, float]]:
    """(run, change in percent) of each change point that Otava sees in one metric of a test."""
    arguments = [
        "analyze",
        "--config-file",
        "otava.yaml",
        "--since",
        "2000-01-01",
        "--until",
        "2100-01-01",
        "--output",
        "json",
        test,
    ]
    done = subprocess.run(
        [command, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    (points,) = json.loads(done.stdout[done.stdout.index("{") :]).values()
    return [
        (str(point["attributes"]["run"]), 100 * _signed(change))
        for point in points
        for change in point["changes"]
        if change["metric"] == f"{test}/{metric}"
    ]


def _signed(change: dict[str, Any]) -> float:
    return float(change["mean_after"]) / float(change["mean_before"]) - 1


def compare(history: str, runs: list[Run], otava: Path, folder: Path) -> Iterator[Row]:
    """A row per pair and comparable host with two nights or more."""
    for number, course in enumerate(
        course for course in courses_of(runs, Rules()) if len(course.points) > 1
    ):
        names = [point.run for point in course.points]
        out = folder / str(number)
        export([run for run in runs if run.info.run in names], "otava", out)
        tests = _tests(out, course)
        found = {
            series: [
                f"{names.index(run) + 1} ({change:+.1f}%)"
                for run, change in otava_changes(otava, out, test, SERIES[series])
            ]
            for series, test in tests.items()
        }
        marked = [f"{change.index + 1} ({change.cause})" for change in course.changes]
        yield Row(
            history,
            course.title,
            len(names),
            marked,
            found["baseline"],
            found["candidate"],
            found["ratio"],
        )


def _tests(folder: Path, course: Course) -> dict[str, str]:
    """The name of each series' test among those of an export."""
    import yaml

    pair = course.pair
    known = yaml.safe_load((folder / "otava.yaml").read_text())["tests"]
    ends = {
        "baseline": f"/{pair.workload}/{pair.baseline}",
        "candidate": f"/{pair.workload}/{pair.candidate}",
        "ratio": f"/{pair.workload}/{pair.candidate}/over/{pair.baseline}",
    }
    return {
        series: next(test for test in known if test.endswith(end)) for series, end in ends.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "results",
        nargs="?",
        type=Path,
        metavar="RESULTS",
        help="a folder of runs; else made-up ones",
    )
    parser.add_argument(
        "--venv",
        type=Path,
        default=ROOT / ".cache" / "otava",
        metavar="DIR",
        help="default: .cache/otava in the checkout",
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    otava = otava_in(options.venv).absolute()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        histories = (
            [("recorded", load_runs([options.results])[0])] if options.results else made_up(folder)
        )
        for number, (name, runs) in enumerate(histories):
            rows += compare(name, runs, otava, folder / f"export-{number}")
    print(
        tabulate(
            [
                [
                    r.history,
                    r.pair,
                    *(
                        "; ".join(c) or "-"
                        for c in (r.report, r.otava_baseline, r.otava_candidate, r.otava_ratio)
                    ),
                ]
                for r in rows
            ],
            headers=[
                "history",
                "pair",
                "report: night (cause)",
                "Otava: baseline",
                "Otava: candidate",
                "Otava: speed-up",
            ],
            maxcolwidths=28,
        )
    )
    if options.json:
        settings = {
            "otava": OTAVA,
            "nights": NIGHTS,
            "noise": NOISE,
            "seed": SEED,
            "of": RECORDED.name,
        }
        content = {
            "settings": {"otava": OTAVA} if options.results else settings,
            "rows": [asdict(row) for row in rows],
        }
        options.json.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
