"""From what was seen of a job to the state it ended in and one sentence why."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.schema.record import State, WorkerResult

SERIES_COLUMNS = ("duration_s", "loss")


@dataclass
class StepSeries:
    """Per-step values of one job, in the order they came: seconds and raw loss (NaN where there is
    none).
    """

    step: list[int] = field(default_factory=list)
    duration_s: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)

    def extend(self, event: dict[str, Any]) -> None:
        """Append a `series` event. Raises ValueError if its columns do not fit together."""
        first, durations, losses = (
            event.get("first_step"),
            event.get("duration_s"),
            event.get("loss"),
        )
        if (
            not isinstance(first, int)
            or not isinstance(durations, list)
            or not isinstance(losses, list)
        ):
            raise ValueError("series needs first_step, duration_s and loss")
        if len(durations) != len(losses):
            raise ValueError(f"series has {len(durations)} durations and {len(losses)} losses")
        self.step += range(first, first + len(durations))
        self.duration_s += [float("nan") if value is None else float(value) for value in durations]
        self.loss += [float("nan") if value is None else float(value) for value in losses]


@dataclass
class Seen:
    """Everything the runner saw of one job."""

    phase: str = "start"
    step: int | None = None
    total_steps: int | None = None
    result: WorkerResult | None = None
    failure: tuple[State, str] | None = None
    lost_rank: int | None = None  # of several processes the first that ended without a word
    garbage: str | None = None
    stopped: Literal["timeout", "interrupted"] | None = None
    stop_reason: str = ""
    exit_code: int | None = None  # negative: killed by that signal; None: never seen to exit
    supervisor_lost: bool = False
    leftovers: int = 0
    oom_kills: int = 0
    wall_s: float | None = None
    series: StepSeries = field(default_factory=StepSeries)

    @property
    def where(self) -> str:
        if self.step is None or self.phase != "train":
            return f"in phase {self.phase}"
        return f"in phase {self.phase} at step {self.step}" + (
            f" of {self.total_steps}" if self.total_steps else ""
        )


def signal_name(number: int) -> str:
    """SIGSEGV for 11; the number itself where the signal has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def judge(seen: Seen, log: Path) -> tuple[State, str]:
    """The state of a job that ended and the sentence for its record (empty for `ok`).

    A state the worker itself reported wins over how its process then ended; a stop by the runner
    wins over the damage that the stop did; only what nobody announced is a crash.
    """
    if seen.garbage is not None:
        return State.CRASHED, f"protocol error {seen.where}: {seen.garbage}"
    if seen.failure is not None:
        state, reason = seen.failure
        if seen.lost_rank is not None:  # the others only say that they miss it
            reason = f"rank {seen.lost_rank} was killed or ended without a word; {reason}"
        if state is State.CRASHED and seen.oom_kills:
            return (
                State.OUT_OF_MEMORY,
                f"{seen.where}: the kernel's OOM killer killed a process of the job; {reason}",
            )
        return state, f"{seen.where}: {reason}"
    if seen.result is not None and seen.exit_code == 0:
        engagement = seen.result.engagement
        if engagement is not None and not engagement.engaged:
            return State.FALLBACK, f"{seen.where}: " + (
                "; ".join(engagement.reasons) or "not proven engaged"
            )
        return State.OK, ""
    if seen.stopped is not None:
        return State(seen.stopped), f"{seen.stop_reason} {seen.where}"
    return _crash(seen, log)


def _crash(seen: Seen, log: Path) -> tuple[State, str]:
    tail = log_tail(log)
    last = f"; last line of the log: {tail[-1]}" if tail else "; the log is empty"
    if seen.lost_rank is not None:  # torchrun, not the rank, has written that line
        last = ""
    code = seen.exit_code
    if code is not None and code != 0 and seen.oom_kills:
        return State.OUT_OF_MEMORY, f"killed by the kernel's OOM killer {seen.where}{last}"
    if code == -signal.SIGABRT and any("std::bad_alloc" in line for line in tail):
        return State.OUT_OF_MEMORY, f"host memory ran out (std::bad_alloc) {seen.where}{last}"
    if seen.lost_rank is not None:
        how = f"rank {seen.lost_rank} was killed or ended without a word"
    elif code is None:
        how = "its supervisor process was killed" if seen.supervisor_lost else "could not be killed"
    elif code < 0:
        how = f"killed by {signal_name(-code)}"
    elif seen.result is not None:
        how = f"sent a result but exited with {code}"
    else:
        how = f"exited with {code} without a result"
    return State.CRASHED, f"{how} {seen.where}{last}"


def log_tail(log: Path, lines: int = 20, last_bytes: int = 16384) -> list[str]:
    """The last non-empty lines of a log, each cut to 300 characters; none if there is no log."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - last_bytes))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    printable = (
        "".join(c if c.isprintable() else " " for c in line).strip() for line in text.splitlines()
    )
    return [line[:300] for line in printable if line][-lines:]


class OomCounter:
    """How often the kernel's OOM killer struck where the job runs: this process' memory cgroup,
    else the whole host.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.file = file if file is not None else _oom_file()
        self.before = self.read()

    def read(self) -> int:
        """The counter; 0 where the kernel has none."""
        try:
            for line in self.file.read_text().splitlines() if self.file else ():
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
        except (OSError, ValueError):
            pass
        return 0

    def rise(self) -> int:
        """Kills since this counter was made."""
        return max(0, self.read() - self.before)


def _oom_file() -> Path | None:
    candidates = []
    try:
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "memory":
                candidates.append(Path("/sys/fs/cgroup/memory" + path) / "memory.oom_control")
            elif controllers == "":
                candidates.append(Path("/sys/fs/cgroup" + path) / "memory.events")
    except (OSError, ValueError):
        pass
    candidates.append(Path("/proc/vmstat"))
    for candidate in candidates:
        try:
            if any(line.startswith("oom_kill ") for line in candidate.read_text().splitlines()):
                return candidate
        except OSError:
            continue
    return None
