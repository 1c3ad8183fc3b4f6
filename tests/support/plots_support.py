"""Runs with series made up for the tests of plots, written as the harness writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import parquet, table
from report_factory import make_job, make_run

from harness.schema.record import JobRecord, Pair, Telemetry, Timing
from harness.telemetry.series import TelemetrySeries
from report.loading.runs import Run, load_run

HOSTILE = "<script>alert(1)</script>"
STEPS = 60


def write_run(
    folder: Path, jobs: Sequence[JobRecord], series: Mapping[str, Sequence[float]], **fields: Any
) -> Path:
    """A run whose jobs' `series` are names within series/; `series`: seconds of every step, by that
    name.
    """
    (folder / "series").mkdir(parents=True)
    named = [
        job.model_copy(update={"series": f"series/{job.series}.parquet"}) if job.series else job
        for job in jobs
    ]
    run = make_run(named, **fields)
    (folder / "run.json").write_text(run.info.model_dump_json())
    (folder / "jobs.jsonl").write_text("".join(job.model_dump_json() + "\n" for job in named))
    for name, durations in series.items():
        write_series(folder, name, durations)
    return folder


def write_series(folder: Path, name: str, durations: Sequence[float]) -> None:
    """Step times and falling losses."""
    steps = np.arange(1, len(durations) + 1)
    columns = {
        "step": steps,
        "duration_s": np.asarray(durations, float),
        "loss": losses_of(len(durations)),
    }
    parquet.write_table(table(columns), folder / "series" / f"{name}.parquet")


def losses_of(steps: int) -> np.ndarray:
    return 0.7 * np.exp(-np.arange(steps) / 50)


def write_telemetry(folder: Path, name: str, seconds: int, cards: int = 1) -> str:
    """A tick a second: card k at (10 + k) % of its time, 100 W, 2 GiB, 1500 MHz; the job on one of
    two cores.
    """
    ticks = [
        {
            "kind": "tick",
            "t_ns": (100 + second) * 10**9,
            "job_cpu_s": float(second),
            "job_rss_bytes": 2**30,
            "gpus": {
                str(card): {
                    "utilization_gpu": 10 + card,
                    "power_w": 100.0,
                    "memory_used_bytes": 2**31,
                    "sm_clock_mhz": 1500,
                }
                for card in range(cards)
            },
        }
        for second in range(seconds)
    ]
    path = f"series/{name}.telemetry.parquet"
    (folder / path).write_bytes(TelemetrySeries(start={"kind": "start"}, ticks=ticks).to_parquet())
    return path


def a_run(
    folder: Path,
    name: str = "made-up",
    arms: Sequence[str] = ("pytorch", "onnxruntime"),
    cards: int = 1,
    backends: Sequence[str] = ("pytorch", "onnxruntime"),
) -> Run:
    """Three replicates of two arms on one workload, with everything that plots can show."""
    jobs, series = [], {}
    (folder / "series").mkdir(parents=True)
    for replicate in range(3):
        for arm, backend, step_s, setup_s in zip(
            arms, backends, (0.05, 0.04), (1.0, 5.0), strict=True
        ):
            noise = 1 + 0.01 * replicate
            timing = Timing(
                clock="perf_counter",
                setup_s=setup_s * noise,
                steady_step_s=step_s * noise,
                steady_samples_per_s=8 / (step_s * noise),
                steady_begin_step=11,
                steady_begin_ns=110 * 10**9,
                steady_end_ns=130 * 10**9,
                train_runtime_s=setup_s + STEPS * step_s * noise,
                steps=STEPS,
            )
            key = f"{'bc'[arm == arms[1]]}{replicate}"
            telemetry = Telemetry(cores=2, series=write_telemetry(folder, key, 40, cards))
            jobs.append(
                make_job(
                    arm,
                    replicate,
                    backend=backend,
                    timing=timing,
                    telemetry=telemetry,
                    series=f"series/{key}.parquet",
                )
            )
            series[key] = [setup_s, *np.linspace(0.9, 1.1, STEPS - 1) * step_s * noise]
    for key, durations in series.items():
        write_series(folder, key, durations)
    pairs = [Pair(workload="tiny-sst2", baseline=arms[0], candidate=arms[1])]
    run = make_run(jobs, pairs, run=name)
    (folder / "run.json").write_text(run.info.model_dump_json())
    (folder / "jobs.jsonl").write_text("".join(job.model_dump_json() + "\n" for job in jobs))
    return load_run(folder)
