"""Starts a real worker process and collects what it sends, as the runner would."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from folders import ROOT

from harness.launcher.channel import decode
from harness.launcher.environment import environment_for
from harness.schema.job import JobSpec
from harness.schema.workload import Launch


@dataclass
class Ended:
    """A worker that ended: its events, exit status and log."""

    events: list[dict[str, Any]]
    exit_code: int
    log: str

    def named(self, event: str) -> list[dict[str, Any]]:
        return [each for each in self.events if each["event"] == event]

    @property
    def result(self) -> dict[str, Any]:
        found = self.named("result")
        assert found, f"no result; events: {self.events[-2:]}\n{self.log[-3000:]}"
        return found[0]

    @property
    def failure(self) -> dict[str, Any]:
        found = self.named("failure")
        assert found, (
            f"no failure; exit status {self.exit_code}; events: "
            f"{self.events[-2:]}\n{self.log[-3000:]}"
        )
        return found[0]

    @property
    def losses(self) -> list[float]:
        return [loss for part in self.named("series") for loss in part["loss"]]


@dataclass
class Worker:
    """A running worker. `events` grows as they arrive; use as a context manager: it is killed on
    the way out.
    """

    process: subprocess.Popen[bytes]
    listener: socket.socket
    log: Path
    events: list[dict[str, Any]] = field(default_factory=list)
    connection: socket.socket | None = None
    connected: threading.Event = field(default_factory=threading.Event)
    reader: threading.Thread | None = None

    def _read(self) -> None:
        try:
            self.connection, _ = self.listener.accept()
        except OSError:
            return
        self.connected.set()
        with self.connection.makefile("rb") as lines:
            for line in lines:
                self.events.append(decode(line))

    def __enter__(self) -> Worker:
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.hang_up()

    def send(self, event: str) -> None:
        """Tell the worker something, as its runner."""
        assert self.connected.wait(60)
        assert self.connection is not None
        self.connection.sendall(json.dumps({"event": event}).encode() + b"\n")

    def hang_up(self) -> None:
        """Close the runner's end of the channel."""
        self.listener.close()
        if self.connection is not None:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.connection.close()
            self.connection = None

    def end(self, timeout_s: float = 120) -> Ended:
        exit_code = self.process.wait(timeout_s)
        assert self.reader is not None
        self.reader.join(10)
        return Ended(self.events, exit_code, self.log.read_text(errors="replace"))


def spec(folder: Path, backend: str = "pytorch", **changes: Any) -> dict[str, Any]:
    """A job spec as JSON: roberta-tiny on the built-in corpus. `changes` go to where their names
    belong.
    """
    training = {
        "batch_size": 16,
        "eval_batch_size": 64,
        "max_seq_length": 32,
        "max_steps": 12,
        "learning_rate": 1e-3,
        **changes.pop("training", {}),
    }
    model = {
        "name": "tiny",
        "architecture": "roberta-tiny",
        "weights": "random",
        **changes.pop("model", {}),
    }
    task = {"name": "sst2", "source": "synthetic", "train_samples": 2000, "eval_samples": 200}
    job = {
        "id": "test",
        "suite": "test",
        "workload": {
            "name": "w",
            "model": model,
            "task": {**task, **changes.pop("task", {})},
            "training": training,
        },
        "arm": {"name": backend, "backend": backend, **changes.pop("arm", {})},
        "replicate": 0,
        "position": 0,
        "seed": 42,
        "device": "cpu",
        "warmup_steps": 5,
        # more spin while they wait for each other: on a busy host a step then takes ten times as
        # long
        "threads": 1,
        "cache_dir": str(folder / "cache"),
        **changes,
    }
    return JobSpec.model_validate(job).model_dump(mode="json")


def start(
    folder: Path,
    job: dict[str, Any],
    prefix: tuple[str, ...] = (),
    variables: Mapping[str, str] | None = None,
    program: Sequence[str] = ("-m", "harness.worker"),
) -> Worker:
    """Start a worker for this spec; `prefix` is put before its command line, and `variables` are of
    its environment besides what a job has. `program`: what Python runs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "s"
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(
        os.path.relpath(path)
    )  # a Unix socket's path has at most 107 bytes; pytest's folders can be longer
    listener.listen(1)
    specification = folder / "spec.json"
    validated = JobSpec.model_validate(job)
    specification.write_text(validated.model_dump_json())
    # Temporary files stay where they are short of name, for sockets are among them.
    environment = {
        **os.environ,
        **environment_for(validated, os.environ, folder, harness_path=ROOT),
        "TMPDIR": tempfile.gettempdir(),
        **(variables or {}),
    }
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *prefix,
                sys.executable,
                *program,
                str(specification),
                os.path.relpath(path),
            ],
            stdout=output,
            stderr=output,
            env=environment,
        )
    return Worker(process, listener, log)


def run(
    folder: Path,
    job: dict[str, Any],
    timeout_s: float = 120,
    **how: Any,
) -> Ended:
    """Run a worker to its end; `how` is what `start` takes besides."""
    with start(folder, job, **how) as worker:
        return worker.end(timeout_s)


def job_of(folder: Path, processes: int, backend: str = "pytorch", **changes: Any) -> JobSpec:
    """A job of several processes; `changes` as of `spec`."""
    launch = {"processes": processes, **changes.pop("launch", {})}
    job = JobSpec.model_validate(spec(folder, backend, **changes))
    return job.replace(workload=job.workload.replace(launch=Launch(**launch)))


def spec_of_kind(folder: Path, kind: str, shape: str, **changes: Any) -> dict[str, Any]:
    """As `spec`, of a task of another kind than GLUE."""
    task = {
        "name": "t",
        "kind": kind,
        "train_samples": 300,
        "eval_samples": 60,
        **changes.pop("task", {}),
    }
    return spec(folder, model={"architecture": shape}, task=task, **changes)
