"""Runs replicates of a pair, of scripted or of real jobs, and looks for what they leave behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import worker_helpers

from harness.interleaved import Observers, PairOutcome, run_pair_replicate
from harness.launcher.channel import Event
from harness.launcher.process import LaunchOptions, RunningJob
from harness.schema.job import JobSpec
from harness.schema.measurement import Interleaved

SCRIPTED = (sys.executable, str(Path(__file__).parent / "scripted_interleaved.py"))


def pair_of(
    folder: Path, arms: Sequence[str] = ("pytorch", "onnxruntime"), **changes: Any
) -> tuple[JobSpec, JobSpec]:
    """The two specs of a replicate: roberta-tiny on the built-in corpus; `options`: of both
    scripted arms.
    """
    options = changes.pop("options", ({}, {}))
    specs = []
    for index, arm in enumerate(arms):
        backend = arm if arm in ("pytorch", "onnxruntime") else "pytorch"
        job = worker_helpers.spec(
            folder,
            backend,
            arm={"name": arm, "options": options[index]},
            partner=arms[1 - index],
            do_eval=False,
            **{
                key: value.copy() if isinstance(value, dict) else value
                for key, value in changes.items()
            },
        )
        specs.append(JobSpec.model_validate(job))
    return specs[0], specs[1]


class Replicate:
    """Runs a replicate in this process; `jobs` are its running jobs and `events` what they said, by
    arm.
    """

    def __init__(self, folder: Path, *, command: Sequence[str] | None = None) -> None:
        self.folder, self.command = folder, command
        self.jobs: list[RunningJob] = []
        self.events: list[tuple[str, Event]] = []
        self.pids: tuple[int, int] | None = None
        self.reason = ""
        self.watch: Callable[[str, Event], None] = lambda arm, event: None

    def _start(self, spec: JobSpec, log: Path) -> RunningJob:
        mark = {**os.environ, "BENCH_TEST_FOLDER": str(self.folder)}
        options = LaunchOptions(command=self.command, caller=mark)
        self.jobs.append(RunningJob(spec, log, options))
        return self.jobs[-1]

    def _event(self, spec: JobSpec, event: Event) -> None:
        self.events.append((spec.arm.name, event))
        self.watch(spec.arm.name, event)

    def _started(self, pids: tuple[int, int]) -> None:
        self.pids = pids

    def run(
        self, pair: tuple[JobSpec, JobSpec], settings: Interleaved, timeout_s: float = 120
    ) -> PairOutcome:
        return run_pair_replicate(
            pair,
            self.logs,
            settings=settings,
            start=self._start,
            timeout_s=timeout_s,
            observers=Observers(
                stop_reason=lambda: self.reason,
                on_event=self._event,
                on_started=self._started,
            ),
        )

    @property
    def logs(self) -> tuple[Path, Path]:
        return self.folder / "baseline.log", self.folder / "candidate.log"

    def named(self, name: str) -> list[tuple[str, Event]]:
        return [(arm, event) for arm, event in self.events if event["event"] == name]
