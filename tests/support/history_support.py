"""Histories made up for tests: a run folder per night, in the real record format, of times nobody
measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from report_factory import make_job, make_run, write_run

from harness.schema.record import Host, InferenceResult, JobRecord, State
from harness.schema.verdict import Point, Verdict
from report.loading.runs import load_runs
from report.regressions.check import Rules, check

PACKAGES = {
    "torch": "2.6.0",
    "onnxruntime-training": "1.19.2",
    "transformers": "4.48.3",
    "rich": "13.9",
}
CARD = {
    "name": "Abacus GPU",
    "uuid": "GPU-0123456789abcdef",
    "memory_bytes": 1,
    "compute_capability": "9.0",
}
HOST = Host(
    name_sha256="a" * 64, cpu="Abacus", cores=2, gpus=[CARD], driver="550.1", cuda_driver="12.4"
)
BEGIN = datetime(2026, 1, 1, 2, tzinfo=UTC)
BASELINE_S, CANDIDATE_S = 0.5, 0.4


def noisy(nights: int, noise: float = 0.005, seed: int = 0) -> np.ndarray:
    """Factors of nights around 1, (nights, 2)."""
    return np.exp(noise * np.random.default_rng(seed).standard_normal((nights, 2)))


def points(factors: np.ndarray) -> list[Point]:
    """Nights of these factors, without any run."""
    return [
        Point(
            run=f"night-{index:03d}",
            created_at=(BEGIN + timedelta(days=index)).isoformat(),
            baseline_s=BASELINE_S * one,
            candidate_s=CANDIDATE_S * other,
        )
        for index, (one, other) in enumerate(factors.tolist())
    ]


def write_night(
    results: Path,
    night: int,
    factors: Sequence[float] = (1.0, 1.0),
    name: str | None = None,
    **changes: Any,
) -> Path:
    """Two replicates of both arms; `factors`: of the baseline's and the candidate's times.

    `changes`: `states` and `inference` of arms, `packages`, `jobs` fields for every job; everything
    else goes into run.json.
    """
    states: Mapping[str, State] = changes.pop("states", {})
    inference: Mapping[str, InferenceResult] = changes.pop("inference", {})
    packages = changes.pop("packages", PACKAGES)
    fields = {"device": "Abacus GPU", "packages": packages, **changes.pop("jobs", {})}
    name = name or f"night-{night:03d}"
    jobs: list[JobRecord] = []
    for replicate in range(2):
        for arm, seconds, factor in zip(
            ("pytorch", "onnxruntime"), (BASELINE_S, CANDIDATE_S), factors, strict=True
        ):
            state = states.get(arm, State.OK)
            step_s = seconds * factor * (1 + 0.001 * replicate) if state is State.OK else None
            jobs.append(
                make_job(
                    arm,
                    replicate,
                    step_s=step_s,
                    state=state,
                    inference=inference.get(arm),
                    **fields,
                )
            )
    run = make_run(
        jobs,
        **{
            "run": name,
            "created_at": (BEGIN + timedelta(days=night)).isoformat(),
            "host": HOST,
            "packages": packages,
            "command": [
                "cli.py",
                "run",
                "tiny-suite",
                "--set",
                "training.batch_size=8",
                "--results",
                "<path>",
                "--new",
            ],
            "git": {"commit": f"{night:040x}", "dirty": False},
            **changes,
        },
    )
    return write_run(results / name, run)


def write_history(results: Path, factors: np.ndarray, **changes: Any) -> Path:
    """A night per row of `factors`; returns the folder."""
    for night, row in enumerate(factors.tolist()):
        write_night(results, night, row, **changes)
    return results


def verdict_of(results: Path, **options) -> Verdict:
    runs, problems = load_runs([results])
    assert problems == options.pop("problems", [])
    rules = options.pop("rules", Rules())
    return check(runs, rules, **options)
