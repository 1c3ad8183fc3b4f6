"""Runs made up for tests: round numbers that no machine measured, in the real record format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.record import Engagement, Host, JobRecord, Pair, RunInfo, Sources, State, Timing
from harness.settings import Arm, Model, Task, Training, Workload
from report.load import Run

PROVEN = Engagement(engaged=True, checked_after_steps=[1, 100], torch_module="TorchModuleORT", yield_ops=1)


def make_job(
    arm: str = "pytorch",
    launch: int = 0,
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
    """One job; ONNX Runtime is proven engaged and sources are synthetic unless `fields` say otherwise."""
    backend = backend or arm
    fields.setdefault("engagement", PROVEN if backend == "onnxruntime" and state is State.OK else None)
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
        id=f"{workload}-{arm}-{launch}",
        run="made-up",
        suite="test",
        workload=Workload(
            name=workload,
            model=Model(name=model, architecture="bert-tiny"),
            task=Task(name="sst2", source="synthetic"),
            training=training or Training(),
        ),
        arm=Arm(name=arm, backend=backend, attention=attention),
        launch=launch,
        position=launch,
        seed=42 + launch,
        state=state,
        **fields,
    )


def make_run(jobs: list[JobRecord], pairs: list[Pair] | None = None, **fields: Any) -> Run:
    """A finished run of `jobs`, by default with onnxruntime against pytorch on each of their workloads."""
    if pairs is None:
        workloads = sorted({job.workload.name for job in jobs})
        pairs = [Pair(workload=name, baseline="pytorch", candidate="onnxruntime") for name in workloads]
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
    """Four launches of both arms, the same time in each."""
    return [
        make_job(arm, launch, runtime_s=runtime_s, step_s=runtime_s / 200)
        for launch in range(4)
        for arm, runtime_s in (("pytorch", baseline_s), ("onnxruntime", candidate_s))
    ]
