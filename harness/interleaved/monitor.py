"""The running jobs of a group watched as one: pumps all, notices at once that one of them cannot go
on, and stops the others when no pair is left.
"""

from __future__ import annotations

import contextlib
import selectors
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from harness.interleaved.turns import MeasuredTurn
from harness.launcher.channel import Event, turn_seconds
from harness.launcher.outcome import Seen, signal_name
from harness.launcher.process import LOOK_EVERY_S, RunningJob
from harness.schema.job import JobSpec


class BrokenError(Exception):
    """The replicate cannot go on; whatever was still running has been told to stop. The message
    says why.
    """


@dataclass(frozen=True)
class Observers:
    """Who watches a replicate, and who may end it.

    Attributes:
        stop_reason: Why the replicate is to end now, else empty. Asked at least once a second and
            whenever `wake_fd` is readable; if it is not empty, all jobs are stopped as
            `interrupted`.
        on_event: Sees every event of all jobs.
        on_started: Gets, for a sampler, the pids above the jobs' process trees, and those of the
            processes that keep the jobs' cores awake. Called again with the new pids when a job
            begins again.
        wake_fd: A file descriptor that wakes up who waits; None: nobody is woken.
    """

    stop_reason: Callable[[], str]
    on_event: Callable[[JobSpec, Event], None]
    on_started: Callable[[tuple[int, ...], tuple[int, ...]], None] | None = None
    wake_fd: int | None = None


class ResidentJob:
    """One job of the group, and where it stands."""

    def __init__(self, spec: JobSpec, running: RunningJob, log: Path) -> None:
        self.spec, self.running, self.log = spec, running, log
        self.begun = False  # it may set itself up
        self._set_up_on: Sequence[int] | None = None  # CPUs
        self._connected = False  # and has been told so, if it may
        self.left = ""  # why it left the group, as the end of a sentence about it
        self.levers: dict[str, Any] | None = None  # of its `ready`
        self.compiled = False  # by its `ready`: would be set up faster if it began again
        self.setup_s: float | None = None  # of its `ready`
        self.compiling_setup_s: float | None = None  # of the process before this one
        self._earlier_s = 0.0  # seconds that the process before this one took
        self.trained = False  # training is over, by `finish` or by itself
        self.turn: MeasuredTurn | None = None  # of the turn under way or just over
        self.begin_ns = self.end_ns = 0  # of that turn
        self.host: dict[str, float] = {}
        self._turn: tuple[int, int] | None = None  # lead-in and timed steps of the turn under way

    @property
    def name(self) -> str:
        return self.spec.arm.name

    @property
    def setting_up(self) -> bool:
        """Whether it warms up and has not got to its first border."""
        return self.begun and self.levers is None and not self.trained and not self.left

    @property
    def waiting(self) -> bool:
        """Whether it is parked at a border."""
        return self.levers is not None and self._turn is None and not self.trained

    def begin(self, cores: Sequence[int] | None = None) -> None:
        """Let it set itself up, as soon as it can be told; on these CPUs, or on those of its
        turns.
        """
        self.begun, self._set_up_on = True, cores
        if self._connected:
            self._send("begin", cores=cores)

    def begin_again(self, running: RunningJob) -> None:
        """Go on with a new process in place of the one that has ended."""
        self.compiling_setup_s, self._earlier_s = self.setup_s, self.running.seen.wall_s or 0.0
        self.running, self.begun, self._connected = running, False, False
        self.levers, self.compiled, self.setup_s = None, False, None

    @property
    def seen(self) -> Seen:
        """What became of it, with the seconds of both of its processes where it had two."""
        seen = self.running.seen
        if seen.wall_s is None:
            return seen
        return replace(seen, wall_s=seen.wall_s + self._earlier_s)

    def go(self, lead_in: int, steps: int, counts: bool) -> None:
        """Start a turn."""
        self.turn, self._turn = None, (lead_in, steps)
        self._send("go", lead_in=lead_in, steps=steps, counts=counts)

    def finish(self) -> None:
        """End its training, if it is still waiting."""
        if self.waiting:
            self._send("finish")
            self.trained = True

    def _send(self, event: str, **fields: Any) -> None:
        for peer in list(self.running.peers):
            with contextlib.suppress(OSError):  # it has died: seen when its exit status comes
                peer.send(event, **fields)

    def take(self, event: Event) -> None:
        """Note what an event means for the turns. Raises ValueError if it comes out of turn."""
        if event["rank"] != 0:
            return
        match event["event"]:
            case "hello":
                self._connected = True
                if self.begun:
                    self._send("begin", cores=self._set_up_on)
            case "ready" if self.levers is None:
                self.levers = dict(event.get("levers") or {})
                self.compiled, self.setup_s = bool(event.get("compiled")), event.get("setup_s")
            case "turn":
                lead_in_s, timed_s = turn_seconds(event)
                if (len(lead_in_s), len(timed_s)) != self._turn:
                    raise ValueError(
                        f"a turn of {len(lead_in_s)} + {len(timed_s)} steps was not asked for"
                    )
                self.turn, self._turn = MeasuredTurn(lead_in_s, timed_s), None
                self.begin_ns, self.end_ns = event["begin_ns"], event["end_ns"]
                self.host = {
                    str(name): float(value) for name, value in dict(event.get("host") or {}).items()
                }
            # Not `series`: a job that fails sends its steps as well, and then the failure.
            case "result":
                self.trained = True

    def refuse(self, why: str) -> None:
        """Its protocol is broken: stop it, whatever it does."""
        if self.running.seen.garbage is None:
            self.running.seen.garbage = why
        self.running.stop("interrupted", why)

    @property
    def trouble(self) -> str:
        """What keeps it from going on, as the end of a sentence about it; empty if nothing does."""
        seen = self.running.seen
        if seen.failure is not None:
            return f"ended as {seen.failure[0].value} ({seen.failure[1]})"
        if seen.garbage is not None:
            return "broke the protocol"
        if seen.exit_code is not None and not (seen.exit_code == 0 and seen.result is not None):
            if seen.exit_code < 0:
                return f"was killed by {signal_name(-seen.exit_code)}"
            return f"exited with {seen.exit_code}" + (
                "" if seen.result is not None else " without a result"
            )
        if seen.supervisor_lost:
            return "lost its supervisor process"
        if seen.stopped is not None or (self.running.done and seen.exit_code is None):
            return "was stopped" if seen.stopped else "could not be killed"
        return ""


class Monitor:
    """Waits for all jobs of a group at once. Use as a context manager."""

    def __init__(
        self,
        arms: Sequence[ResidentJob],
        pairs: Sequence[tuple[str, str]],
        timeout_s: float,
        observers: Observers,
    ) -> None:
        """Watch these arms.

        Args:
            arms: The group's, in the order in which they were started.
            pairs: Names of the arms (baseline, candidate) that are to be compared.
            timeout_s: Seconds that all of it may take.
            observers: Who else watches.
        """
        self.arms, self._pairs = arms, pairs
        self._timeout_s, self._deadline = timeout_s, time.monotonic() + timeout_s
        self._observers = observers
        self._selector = selectors.DefaultSelector()
        for arm in arms:
            self.watch(arm)
        if observers.wake_fd is not None:
            self._selector.register(observers.wake_fd, selectors.EVENT_READ, None)

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def watch(self, arm: ResidentJob) -> None:
        """Hear its process, which has just been started."""
        self._selector.register(arm.running.fileno(), selectors.EVENT_READ, arm)

    def until(self, condition: Callable[[], bool], *, together: bool = True) -> None:
        """Pump all jobs until the condition holds.

        With `together` a job that cannot go on leaves the group (`Arm.left`).

        Raises:
            BrokenError: The runner was told to stop, the time limit is reached, or no pair has both
                its arms any more. The jobs concerned have then been told to stop, and `drain` waits
                for them.
        """
        while True:
            if together:
                self._see_who_left()
            if reason := self._observers.stop_reason():
                for arm in self.arms:
                    arm.running.stop("interrupted", reason)
                raise BrokenError(reason)
            if condition():
                return
            if (left := self._deadline - time.monotonic()) <= 0:
                self._time_out()
            self._pump(min(LOOK_EVERY_S, left))

    def drain(self) -> None:
        """Wait until all jobs, finished or told to stop, are gone. Bounded by
        harness.launcher.process's own graces.
        """
        while not all(arm.running.done for arm in self.arms):
            self._pump(LOOK_EVERY_S)

    def _pump(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            if key.data is None:
                # Not read, for it may be the jobs' too; it has nothing more to say.
                self._selector.unregister(key.fd)
        for arm in self.arms:
            if arm.running.done:
                continue
            fd = arm.running.fileno()
            for event in arm.running.pump(0):
                self._observers.on_event(arm.spec, event)
                try:
                    arm.take(event)
                except ValueError as error:
                    arm.refuse(str(error))
            if arm.running.done:  # or the selector would return at once for ever
                self._selector.unregister(fd)

    def _see_who_left(self) -> None:
        for arm in self.arms:
            if not arm.left:
                arm.left = arm.trouble
        gone = [arm for arm in self.arms if arm.left]
        names = {arm.name for arm in gone}
        if not gone or any(names.isdisjoint(pair) for pair in self._pairs):
            return
        why = " and ".join(f"{arm.name} {arm.left}" for arm in gone)
        whose = "its partner " if len(self.arms) == 2 else ""
        for arm in self.arms:
            if not arm.left:
                arm.running.stop("interrupted", f"stopped because {whose}{why},")
        raise BrokenError(why)

    def _time_out(self) -> NoReturn:
        """Stop all: who still had something to do took too long, who waited is a victim of that."""
        late = [arm for arm in self.arms if not arm.waiting and not arm.running.done] or self.arms
        text = f"killed after the time limit of {self._timeout_s:g} s"
        names = " and ".join(arm.name for arm in late)
        whose = "its partner " if len(self.arms) == 2 else ""
        for arm in self.arms:
            if arm in late:
                arm.running.stop("timeout", text)
            else:
                arm.running.stop("interrupted", f"stopped because {whose}{names} took too long,")
        raise BrokenError(
            f"the time limit of {self._timeout_s:g} s was reached, waiting for {names}"
        )
