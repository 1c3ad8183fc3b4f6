"""Runs replicates of a group, of scripted or of real jobs, and looks for what they leave behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import worker_helpers

from harness.interleaved import GroupOutcome, Observers, run_replicate
from harness.launcher.channel import Event
from harness.launcher.process import LaunchOptions, RunningJob
from harness.schema.job import JobSpec
from harness.schema.measurement import Interleaved

SCRIPTED = (sys.executable, str(Path(__file__).parent / "scripted_interleaved.py"))


def group_of(
    folder: Path,
    arms: Sequence[str] = ("pytorch", "onnxruntime"),
    *,
    options: Sequence[dict[str, Any]] | None = None,
    **changes: Any,
) -> tuple[JobSpec, ...]:
    """The specs of a replicate: roberta-tiny on the built-in corpus; `options`: of scripted
    arms.
    """
    specs = []
    for arm, own in zip(arms, options or [{}] * len(arms), strict=True):
        backend = arm if arm in ("onnxruntime", "torch-compile") else "pytorch"
        job = worker_helpers.spec(
            folder,
            backend,
            arm={"name": arm, "options": own},
            group=list(arms),
            do_eval=False,
            **{
                key: value.copy() if isinstance(value, dict) else value
                for key, value in changes.items()
            },
        )
        specs.append(JobSpec.model_validate(job))
    return tuple(specs)


class Replicate:
    """Runs a replicate in this process; `jobs` are its running jobs and `events` what they said, by
    arm.
    """

    def __init__(self, folder: Path, *, command: Sequence[str] | None = None) -> None:
        self.folder, self.command = folder, command
        self.jobs: list[RunningJob] = []
        self.events: list[tuple[str, Event]] = []
        self.pids: tuple[int, ...] | None = None
        self.spinners: tuple[int, ...] | None = None
        self.reason = ""
        self.watch: Callable[[str, Event], None] = lambda arm, event: None
        self.on_started: Callable[[tuple[int, ...]], None] = lambda pids: None

    def _start(self, spec: JobSpec, log: Path) -> RunningJob:
        mark = {**os.environ, "BENCH_TEST_FOLDER": str(self.folder)}
        options = LaunchOptions(command=self.command, caller=mark)
        self.jobs.append(RunningJob(spec, log, options))
        return self.jobs[-1]

    def _event(self, spec: JobSpec, event: Event) -> None:
        self.events.append((spec.arm.name, event))
        self.watch(spec.arm.name, event)

    def _started(self, pids: tuple[int, ...], spinners: tuple[int, ...]) -> None:
        self.pids, self.spinners = pids, spinners
        self.on_started(pids)

    def run(
        self,
        jobs: Sequence[JobSpec],
        settings: Interleaved,
        timeout_s: float = 120,
        pairs: Sequence[tuple[str, str]] | None = None,
        alone_s: float = 0.0,
        may_begin_again: Sequence[str] | None = None,
    ) -> GroupOutcome:
        """Run the jobs; by default the first arm is the baseline of all others."""
        names = [job.arm.name for job in jobs]
        return run_replicate(
            jobs,
            self.logs(len(jobs)),
            pairs=pairs or [(names[0], name) for name in names[1:]],
            settings=settings,
            start=self._start,
            timeout_s=timeout_s,
            observers=Observers(
                stop_reason=lambda: self.reason,
                on_event=self._event,
                on_started=self._started,
            ),
            alone_s=alone_s,
            may_begin_again=may_begin_again,
        )

    def logs(self, jobs: int = 2) -> list[Path]:
        return [self.folder / f"{job}.log" for job in range(jobs)]

    def named(self, name: str) -> list[tuple[str, Event]]:
        return [(arm, event) for arm, event in self.events if event["event"] == name]
