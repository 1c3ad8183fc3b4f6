"""Runs made up for tests: round numbers that no machine measured, in the real record format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.schema.record import (
    Engagement,
    Fingerprint,
    GpuTelemetry,
    Host,
    JobRecord,
    Pair,
    RunInfo,
    Sources,
    State,
    Telemetry,
    Timing,
    TurnTimes,
)
from harness.schema.workload import Arm, Model, Task, Training, Workload
from report.loading.runs import Run

PROVEN = Engagement(
    engaged=True, checked_after_steps=[1, 100], torch_module="TorchModuleORT", yield_ops=1
)


def make_job(
    arm: str = "pytorch",
    replicate: int = 0,
    *,
    runtime_s: float | None = 100.0,
    step_s: float | None = 0.5,
    model: str = "tiny",
    state: State = State.OK,
    backend: str | None = None,
    attention: Any = "eager",
    training: Training | None = None,
    workload: str | None = None,
    **fields: Any,
) -> JobRecord:
    """One job; ONNX Runtime is proven engaged and sources are synthetic unless `fields` say
    otherwise.
    """
    backend = backend or arm
    fields.setdefault(
        "engagement", PROVEN if backend == "onnxruntime" and state is State.OK else None
    )
    fields.setdefault("sources", Sources(data="synthetic", weights="random", train_samples=800))
    fields.setdefault("device", "cpu")
    fields.setdefault(
        "timing",
        Timing(
            clock="perf_counter",
            setup_s=2.0,
            train_runtime_s=runtime_s,
            train_samples_per_s=800 / runtime_s if runtime_s else None,
            steady_step_s=step_s,
            steady_samples_per_s=8 / step_s if step_s else None,
            steps=100,
        ),
    )
    workload = workload or f"{model}-sst2"
    return JobRecord(
        id=f"{workload}-{arm}-{replicate}",
        run="made-up",
        suite="test",
        workload=Workload(
            name=workload,
            model=Model(name=model, architecture="bert-tiny"),
            task=Task(name="sst2", source="synthetic"),
            training=training or Training(),
        ),
        arm=Arm(name=arm, backend=backend, attention=attention),
        replicate=replicate,
        position=replicate,
        seed=42 + replicate,
        state=state,
        **fields,
    )


def make_run(jobs: list[JobRecord], pairs: list[Pair] | None = None, **fields: Any) -> Run:
    """A finished run of `jobs`, by default with onnxruntime against pytorch on each of their
    workloads.
    """
    if pairs is None:
        workloads = sorted({job.workload.name for job in jobs})
        pairs = [
            Pair(workload=name, baseline="pytorch", candidate="onnxruntime") for name in workloads
        ]
    given = {
        "run": "made-up",
        "suite": "test",
        "created_at": "2001-02-03T04:05:06Z",
        "status": "complete",
        "host": Host(cpu="Abacus", cores=2),
        "pairs": pairs,
    }
    return Run(Path("made-up"), RunInfo(**{**given, **fields}), list(jobs))


def write_run(folder: Path, run: Run, *, tail: bytes = b"") -> Path:
    """Write a run as the harness does, `tail` after the last record; returns the folder."""
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(run.info.model_dump_json())
    lines = "".join(job.model_dump_json() + "\n" for job in run.jobs)
    (folder / "jobs.jsonl").write_bytes(lines.encode() + tail)
    return folder


def four_pairs(baseline_s: float = 100.0, candidate_s: float = 80.0) -> list[JobRecord]:
    """Four replicates of both arms, the same time in each."""
    return [
        make_job(arm, replicate, runtime_s=runtime_s, step_s=runtime_s / 200)
        for replicate in range(4)
        for arm, runtime_s in (("pytorch", baseline_s), ("onnxruntime", candidate_s))
    ]


ALIKE = Fingerprint(initial_weights_sha256="weights", data_order_sha256="order")
GATED: dict[str, Any] = {
    "measurement": {"protocol": "sequential", "parity": {"steps": 3, "tolerance": None}}
}


def make_parity_run(arm: str, losses: list[float] | None, **fields: Any) -> JobRecord:
    """A parity run with these losses, of the same weights and batches as every other unless
    `fields` say otherwise.
    """
    return make_job(arm, parity_run=True, losses=losses, **{"fingerprint": ALIKE, **fields})


def make_interleaved_job(
    arm: str,
    partner: str,
    replicate: int,
    step_s: list[float],
    *,
    steps: int = 1,
    pilot: int = 0,
    **fields: Any,
) -> JobRecord:
    """A job of the interleaved protocol: `steps` timed steps of `step_s[j]` seconds in round
    j.
    """
    counted = step_s[pilot:]
    times = TurnTimes(lead_in_steps=1, steps=[steps] * len(step_s), step_s=step_s, pilot=pilot)
    timing = Timing(
        clock="perf_counter",
        setup_s=2.0,
        steady_step_s=sum(counted) / len(counted) if counted else None,
        train_runtime_s=1e3,  # with the waiting: it must never be shown
        train_samples_per_s=1.0,
        steps=1000 + replicate,
    )
    return make_job(
        arm, replicate, **{"group": [arm, partner], "turns": times, "timing": timing, **fields}
    )


def clock(mhz: float | None) -> Telemetry:
    """Telemetry of one card with this median SM clock."""
    return Telemetry(gpus=[GpuTelemetry(index=0, samples=10, sm_clock_median_mhz=mhz)])
