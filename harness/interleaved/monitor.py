"""Two running jobs watched as one: pumps both, notices at once that one of them cannot go on, and
stops the other.
"""

from __future__ import annotations

import contextlib
import selectors
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from harness.interleaved.turns import Turn
from harness.launcher.channel import Event, turn_seconds
from harness.launcher.outcome import signal_name
from harness.launcher.process import RunningJob
from harness.schema.job import JobSpec

LOOK_EVERY_S = 1.0  # for limits that have no file descriptor


class BrokenError(Exception):
    """The replicate cannot go on; whatever was still running has been told to stop. The message
    says why.
    """


class Arm:
    """One job of the pair, and where it stands."""

    def __init__(self, spec: JobSpec, running: RunningJob) -> None:
        self.spec, self.running = spec, running
        self.levers: dict[str, Any] | None = None  # of its `ready`
        self.trained = False  # training is over, by `finish` or by itself
        self.turn: Turn | None = None  # of the turn under way or just over
        self.begin_ns = 0
        self.host: dict[str, float] = {}
        self._turn: tuple[int, int] | None = None  # lead-in and timed steps of the turn under way

    @property
    def name(self) -> str:
        return self.spec.arm.name

    @property
    def waiting(self) -> bool:
        """Whether it is parked at a border."""
        return self.levers is not None and self._turn is None and not self.trained

    def go(self, lead_in: int, steps: int, *, counts: bool) -> None:
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
            case "ready" if self.levers is None:
                self.levers = dict(event.get("levers") or {})
            case "turn":
                lead_in_s, timed_s = turn_seconds(event)
                if (len(lead_in_s), len(timed_s)) != self._turn:
                    raise ValueError(
                        f"a turn of {len(lead_in_s)} + {len(timed_s)} steps was not asked for"
                    )
                self.turn, self.begin_ns, self._turn = (
                    Turn(lead_in_s, timed_s),
                    event["begin_ns"],
                    None,
                )
                self.host = {
                    str(name): float(value) for name, value in dict(event.get("host") or {}).items()
                }
            case "series" | "result":
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


class Watch:
    """Waits for both jobs at once. Use as a context manager."""

    def __init__(
        self,
        arms: Sequence[Arm],
        timeout_s: float,
        on_event: Callable[[JobSpec, Event], None],
        stop_reason: Callable[[], str],
        wake_fd: int | None,
    ) -> None:
        self.arms = arms
        self._timeout_s, self._deadline = timeout_s, time.monotonic() + timeout_s
        self._on_event, self._stop_reason = on_event, stop_reason
        self._selector = selectors.DefaultSelector()
        for arm in arms:
            self._selector.register(arm.running.fileno(), selectors.EVENT_READ, arm)
        if wake_fd is not None:
            self._selector.register(wake_fd, selectors.EVENT_READ, None)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def until(self, condition: Callable[[], bool], *, together: bool = True) -> None:
        """Pump both jobs until the condition holds.

        Raises BrokenError if the runner is told to stop, at the time limit, or (`together`) as soon
        as a job cannot go on; the jobs concerned have then been told to stop, and `drain` waits for
        them.
        """
        while True:
            if together:
                self._check_partners()
            if reason := self._stop_reason():
                for arm in self.arms:
                    arm.running.stop("interrupted", reason)
                raise BrokenError(reason)
            if condition():
                return
            if (left := self._deadline - time.monotonic()) <= 0:
                self._time_out()
            self._pump(min(LOOK_EVERY_S, left))

    def drain(self) -> None:
        """Wait until both jobs, finished or told to stop, are gone. Bounded by
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
                self._on_event(arm.spec, event)
                try:
                    arm.take(event)
                except ValueError as error:
                    arm.refuse(str(error))
            if arm.running.done:  # or the selector would return at once for ever
                self._selector.unregister(fd)

    def _check_partners(self) -> None:
        for arm, partner in zip(self.arms, reversed(self.arms), strict=True):
            if trouble := arm.trouble:
                partner.running.stop(
                    "interrupted", f"stopped because its partner {arm.name} {trouble},"
                )
                raise BrokenError(f"{arm.name} {trouble}")

    def _time_out(self) -> NoReturn:
        """Stop both: who still had something to do took too long, who waited is the other's
        victim.
        """
        late = [arm for arm in self.arms if not arm.waiting and not arm.running.done] or self.arms
        text = f"killed after the time limit of {self._timeout_s:g} s"
        names = " and ".join(arm.name for arm in late)
        for arm in self.arms:
            if arm in late:
                arm.running.stop("timeout", text)
            else:
                arm.running.stop(
                    "interrupted", f"stopped because its partner {names} took too long,"
                )
        raise BrokenError(
            f"the time limit of {self._timeout_s:g} s was reached, waiting for {names}"
        )
