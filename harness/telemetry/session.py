"""The runner's side of the sampler: start it beside a job, stop it, and put what it saw into the
job's record.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from harness.paths import CHECKOUT
from harness.telemetry.sampler import INTERVAL_S

if TYPE_CHECKING:  # pydantic is no business of those who only start and stop a sampler
    from harness.schema.job import JobSpec
    from harness.schema.record import Telemetry, Timing
    from harness.telemetry.series import TelemetrySeries

STOP_S = 3.0  # a driver call that hangs (a card falling off the bus) must not hold up the runner


class Sampling:
    """A running sampler. Use as a context manager around the job; then `summarise`.

    Nothing here raises because of telemetry: what went wrong is in the record's
    `telemetry.unreadable`, and with its traceback in the job's log.
    """

    def __init__(
        self,
        roots: Sequence[int],
        *,
        gpus: str | None = None,
        spinners: Sequence[int] = (),
        interval_s: float = INTERVAL_S,
        python: str = "",
        log: Path | None = None,
    ) -> None:
        """Sample the processes `roots` with all below them, and the cards that
        CUDA_VISIBLE_DEVICES=`gpus` shows (None: all; empty: none). `spinners`: processes that only
        keep cores awake, whose CPU time counts as idle. `interval_s`: seconds between ticks. `log`:
        the job's log, to which tracebacks are added.
        """
        self.problem = ""
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        # A file without a name: the sampler never waits for a reader, and no kill leaves anything
        # behind.
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        command = [
            python or sys.executable,
            "-m",
            "harness.telemetry.sampler",
            "--parent",
            str(os.getpid()),
        ]
        command += ["--roots", ",".join(map(str, roots)), "--interval", str(interval_s)]
        command += [] if gpus is None else ["--gpus", gpus]
        command += ["--spinners", ",".join(map(str, spinners))] if spinners else []
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=self._output,
                stderr=self._errors,
                env=_environment(),
                start_new_session=True,  # out of Ctrl-C's reach
            )
        except OSError as error:
            self._fail(f"the sampler could not be started: {error}", traceback.format_exc())

    def _fail(self, problem: str, details: str = "") -> None:
        """Note what went wrong, for the record and for the job's log."""
        self.problem = problem
        if self._log is not None:
            # Without room for its log a job still has an end and a record.
            with contextlib.suppress(OSError), self._log.open("a", encoding="utf-8") as log:
                log.write(f"\n--- telemetry: {problem} ---\n{details.rstrip()}\n")

    @classmethod
    def start(
        cls,
        job: JobSpec,
        roots: Sequence[int],
        *,
        spinners: Sequence[int] = (),
        interval_s: float = INTERVAL_S,
        log: Path | None = None,
    ) -> Sampling:
        """For a job: the cards it sees, none if it trains on the CPU."""
        from harness.launcher.environment import cards_of

        gpus = cards_of(job, os.environ)
        return cls(roots, gpus=gpus, spinners=spinners, interval_s=interval_s, log=log)

    @property
    def pid(self) -> int | None:
        """The sampler's process id; None if it could not be started."""
        return self._process.pid if self._process else None

    def __enter__(self) -> Sampling:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the sampler; it writes its last lines first. Idempotent."""
        if self._process is None or self._process.returncode is not None:
            return
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._fail(f"the sampler did not end within {STOP_S:g} s and was killed")
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
        if self._process.returncode not in (0, None) and not self.problem:
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip()
            last = said.splitlines()[-1] if said else "no message"
            self._fail(f"the sampler exited with {self._process.returncode}: {last}", said)

    def lines_so_far(self) -> int:
        """Lines that the sampler has written."""
        data = os.pread(self._output.fileno(), os.fstat(self._output.fileno()).st_size, 0)
        return data.count(b"\n")

    def series(self) -> TelemetrySeries:
        """What the sampler wrote; call after `stop`."""
        from harness.telemetry.series import TelemetrySeries

        self._output.seek(0)
        try:
            return TelemetrySeries.from_lines(self._output)
        except ValueError as error:
            self._fail(f"the sampler's output is damaged: {error}", traceback.format_exc())
            return TelemetrySeries()

    def summarise(
        self, timing: Timing, run_folder: Path, relative: str, *, until_ns: int | None = None
    ) -> Telemetry:
        """Stop, and say what was seen of a job; its series goes to `run_folder`/`relative`.

        Args:
            timing: The job's, which says when its steady window was.
            run_folder: The folder of the run.
            relative: Place of the series within it (series/NAME.telemetry.parquet).
            until_ns: What comes later is no part of the training (CLOCK_MONOTONIC).
        """
        from harness.files import write_atomically
        from harness.telemetry.summary import summarise

        self.stop()
        series, written = self.series(), None
        if series.ticks:
            try:
                write_atomically(run_folder / relative, series.to_parquet())
                written = relative
            except OSError as error:
                problem = f"the series could not be written: {error.strerror}"
                self._fail(problem, traceback.format_exc())
        telemetry = summarise(series, timing, written, until_ns)
        if self.problem:
            telemetry = telemetry.replace(unreadable=[*telemetry.unreadable, self.problem])
        return telemetry

    def look_at(self, timing: Timing) -> Telemetry:
        """Stop, and say what was seen in another steady window; nothing is written."""
        from harness.telemetry.summary import summarise

        self.stop()
        return summarise(self.series(), timing)


def _environment() -> dict[str, str]:
    """The runner's own, in which `harness` can be imported from wherever this package lies."""
    path = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{path}" if path else str(CHECKOUT),
        "PYTHONSAFEPATH": "1",
    }
