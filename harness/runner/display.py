"""What the person at the terminal sees of a run: a live panel on a terminal, one line per event
anywhere else.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from harness.errors import is_no_space
from harness.schema.job import JobSpec
from harness.schema.record import JobRecord, State, Stopping, wall_share_s
from harness.schema.replicates import ONE_GROUP, ReplicateNames

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.progress import Progress


class Display(Protocol):
    """What the runner tells. Called from the runner's thread only. `names`: what the replicates of
    a job's workload are called.
    """

    def run_started(
        self, run: str, jobs: Sequence[JobSpec], finished: Iterable[JobRecord], resumed: bool
    ) -> None: ...
    def jobs_started(self, jobs: Sequence[JobSpec], number: int, names: ReplicateNames) -> None: ...
    def job_event(self, event: dict[str, Any]) -> None: ...
    def job_finished(self, record: JobRecord, names: ReplicateNames) -> None: ...
    def jobs_dropped(self, jobs: Iterable[JobSpec]) -> None: ...
    def jobs_replanned(self, dropped: Sequence[JobSpec], added: Sequence[JobSpec]) -> None: ...
    def message(self, text: str) -> None: ...
    def close(self) -> None: ...


def make_display(stream: TextIO | None = None) -> Display:
    """Live on a terminal, plain lines otherwise; both on stderr, which leaves stdout to the
    tables.
    """
    stream = stream if stream is not None else sys.stderr
    return LiveDisplay(stream) if stream.isatty() else LineDisplay(stream)


class TimeLeft:
    """Seconds that the rest of a run will take, from the jobs that have ended."""

    def __init__(self, jobs: Sequence[JobSpec], finished: Iterable[JobRecord]) -> None:
        self._waiting = {job.id: (job.workload.name, job.arm.name, job.parity_run) for job in jobs}
        self._walls: dict[tuple[str, str, bool], list[float]] = {}
        self._ended: set[str] = set()
        for record in finished:
            self.ended(record)

    def ended(self, record: JobRecord) -> None:
        self._waiting.pop(record.id, None)
        self._ended.add(record.id)
        wall_s = wall_share_s(record)
        if wall_s is not None:
            key = (record.workload.name, record.arm.name, record.parity_run)
            # A job that failed early says little about one that trains to its end: it counts only
            # if nothing else does.
            if record.state is State.OK or key not in self._walls:
                self._walls.setdefault(key, []).append(wall_s)

    def dropped(self, jobs: Iterable[JobSpec]) -> None:
        """These jobs will not run."""
        for job in jobs:
            self._waiting.pop(job.id, None)

    def added(self, jobs: Iterable[JobSpec]) -> None:
        """These jobs will run too, but for those that have ended before the run was resumed."""
        for job in jobs:
            if job.id not in self._ended:
                self._waiting[job.id] = (job.workload.name, job.arm.name, job.parity_run)

    def seconds(self, running: JobSpec | None = None, ran_s: float = 0.0) -> float | None:
        """None as long as no job has ended."""
        if not self._walls:
            return None
        anything = mean(wall for walls in self._walls.values() for wall in walls)
        left = 0.0
        for job_id, key in self._waiting.items():
            wall = mean(self._walls[key]) if key in self._walls else anything
            left += max(0.0, wall - ran_s) if running is not None and job_id == running.id else wall
        return left


def duration(seconds: float) -> str:
    """45 s, 12 min, 3 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def title(
    job: JobSpec | JobRecord, names: ReplicateNames = ONE_GROUP, beside: Sequence[str] = ()
) -> str:
    """What a job is called in lines and panels; of a record also which attempt it was, if not the
    first.

    Args:
        job: The job.
        names: What the replicates of its workload are called.
        beside: The arms whose jobs run at the same time, where they are no group.
    """
    others = [name for name in job.group or beside if name != job.arm.name]
    arm = job.arm.name + (f" beside {listed(others)}" if others else "")
    if job.parity_run:
        return f"{job.workload.name} · {arm} · parity run"
    attempt = f" · attempt {job.attempt}" if isinstance(job, JobRecord) and job.attempt > 1 else ""
    return f"{job.workload.name} · {arm} · {names.name(job.replicate)}{attempt}"


def _arms(jobs: Sequence[JobSpec]) -> list[str]:
    return [job.arm.name for job in jobs]


def ending(record: JobRecord) -> str:
    """One line on how a job ended: state, seconds, steady samples/s; the reason if it is no
    result.
    """
    parts = [record.state.value]
    if record.timing.wall_s is not None:
        parts.append(f"{record.timing.wall_s:.1f} s")
    rate = record.timing.steady_samples_per_s or record.timing.train_samples_per_s
    if rate is not None:
        parts.append(f"{rate:.4g} samples/s")
    return ", ".join(parts) + (f": {record.reason}" if record.reason else "")


def stopped(pair: Stopping) -> str:
    """One line on how adaptive stopping ended for a pair, with what the target would take if it was
    not met.
    """
    text = (
        f"{pair.workload}: {pair.candidate} against {pair.baseline}: {pair.state} after "
        f"{pair.replicates} replicates"
    )
    text += f" and {pair.minutes:.0f} min: " + ("no interval" if pair.half_width_pp is None else "")
    text += f"±{pair.half_width_pp:.2f} pp" if pair.half_width_pp is not None else ""
    text += f" (target ±{pair.target_pp:g} pp)"
    if pair.needed_replicates is not None:
        minutes = f", {pair.needed_minutes:.0f} min" if pair.needed_minutes is not None else ""
        text += f"; it would take about {pair.needed_replicates} replicates{minutes}"
    return text


class LineDisplay:
    """One line when a job starts and one when it ends, for logs and CI."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._total = 0
        self._number = 0
        self._left = TimeLeft((), ())

    def run_started(
        self, run: str, jobs: Sequence[JobSpec], finished: Iterable[JobRecord], resumed: bool
    ) -> None:
        records = list(finished)
        self._total, self._left = len(jobs), TimeLeft(jobs, records)
        done = f", resumed with {len(records)} finished" if resumed else ""
        self.message(f"run {run}: {len(jobs)} jobs{done}")

    def jobs_started(
        self, jobs: Sequence[JobSpec], number: int, names: ReplicateNames = ONE_GROUP
    ) -> None:
        self._number = number
        left = self._left.seconds(jobs[0])
        self.message(
            f"[{number}/{self._total}] {title(jobs[0], names, _arms(jobs))}"
            + (f" (about {duration(left)} left)" if left else "")
        )

    def job_event(self, event: dict[str, Any]) -> None:
        pass

    def job_finished(self, record: JobRecord, names: ReplicateNames = ONE_GROUP) -> None:
        self._left.ended(record)
        self.message(f"[{self._number}/{self._total}] {title(record, names)}: {ending(record)}")

    def jobs_dropped(self, jobs: Iterable[JobSpec]) -> None:
        self._left.dropped(jobs)

    def jobs_replanned(self, dropped: Sequence[JobSpec], added: Sequence[JobSpec]) -> None:
        self._total += len(added) - len(dropped)
        self._left.dropped(dropped)
        self._left.added(added)

    def message(self, text: str) -> None:
        try:
            print(text, file=self._stream, flush=True)
        except OSError as error:
            if not is_no_space(
                error
            ):  # a log on a full disk; the run itself says what becomes of it
                raise

    def close(self) -> None:
        pass


class LiveDisplay:
    """The running job in a panel that redraws itself; ended jobs stay above it as lines."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console: Console = Console(file=stream, highlight=False)
        self._total = 0
        self._number = 0
        self._left = TimeLeft((), ())
        self._job: JobSpec | None = None
        self._names = ONE_GROUP
        self._beside: Sequence[str] = ()
        self._began = 0.0
        self._phase = "start"
        self._progress: dict[str, Any] = {}
        # Twice a second: drawing more often would take time from the job on a small host.
        self._live: Live = Live(
            console=self._console, get_renderable=self._render, refresh_per_second=2, transient=True
        )

    def run_started(
        self, run: str, jobs: Sequence[JobSpec], finished: Iterable[JobRecord], resumed: bool
    ) -> None:
        records = list(finished)
        self._total, self._left = len(jobs), TimeLeft(jobs, records)
        self.message(
            f"run {run}: {len(jobs)} jobs"
            + (f", resumed with {len(records)} finished" if resumed else "")
        )
        self._live.start()

    def jobs_started(
        self, jobs: Sequence[JobSpec], number: int, names: ReplicateNames = ONE_GROUP
    ) -> None:
        self._beside = _arms(jobs)
        self._number, self._began, self._phase, self._progress = (
            number,
            time.monotonic(),
            "start",
            {},
        )
        self._job, self._names = jobs[0], names

    def job_event(self, event: dict[str, Any]) -> None:
        if event["event"] == "phase":
            self._phase = str(event.get("name", ""))
        elif event["event"] == "progress":
            self._progress = event

    def job_finished(self, record: JobRecord, names: ReplicateNames = ONE_GROUP) -> None:
        from rich.text import Text

        self._left.ended(record)
        self._job = None
        self._live.refresh()  # or the ended job's panel is drawn once more below its line
        line = Text(f"{self._number}/{self._total} {title(record, names)}: ")
        self._console.print(
            line.append(ending(record), "green" if record.state is State.OK else "red")
        )

    def jobs_dropped(self, jobs: Iterable[JobSpec]) -> None:
        self._left.dropped(jobs)

    def jobs_replanned(self, dropped: Sequence[JobSpec], added: Sequence[JobSpec]) -> None:
        self._total += len(added) - len(dropped)
        self._left.dropped(dropped)
        self._left.added(added)

    def message(self, text: str) -> None:
        self._console.print(text, markup=False)

    def close(self) -> None:
        self._live.stop()

    def _render(self) -> Progress | str:
        from rich.progress import BarColumn, Progress, TextColumn

        job = self._job
        if job is None:
            return ""
        ran = time.monotonic() - self._began
        progress = self._progress
        step, total = progress.get("step") or 0, progress.get("total_steps")
        facts = [f"{ran:.0f} s"]
        if isinstance(progress.get("samples_per_s"), int | float):
            facts.append(f"{progress['samples_per_s']:.4g} samples/s")
        left = self._left.seconds(job, ran)
        if left is not None:
            facts.append(f"about {duration(left)} left")
        bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn(", ".join(facts), markup=False),
            console=self._console,
        )
        where = f"{self._phase} {step}/{total}" if total else self._phase
        bar.add_task(
            f"{self._number}/{self._total} {title(job, self._names, self._beside)} · {where}",
            total=total or None,
            completed=step,
        )
        return bar
