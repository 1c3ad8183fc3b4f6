"""The one clock of all arms: a TrainerCallback that marks step borders and never waits inside the measured window."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from transformers import TrainerCallback

from harness.protocol import Channel
from harness.record import Timing
from harness.worker.losses import LossRecorder

PROGRESS_EVERY_NS = 1_000_000_000
SERIES_CHUNK = 5000  # steps per `series` event


def steady_begin(durations_s: list[float], warmup_steps: int) -> int | None:
    """The first step (1-based) of the steady state, or None if fewer than two steps are left after the warm-up."""
    return warmup_steps + 1 if len(durations_s) >= warmup_steps + 2 else None


class StepClock(TrainerCallback):  # type: ignore[misc]
    """Marks when training begins and each optimizer step ends: CUDA events on a GPU, perf_counter on a CPU.

    A step lasts from the border before it to its own, so data loading, logging and the optimizer are inside. The GPU
    is waited for twice: after the first step, which is set-up, and in `finish`. Host times (`*_ns`, for telemetry) of
    borders on a GPU are when the step had been queued, a few ms at most before it was done, as Trainer itself reads
    the loss of every step. The proof taken after the first step is in no step's duration.
    """

    def __init__(self, channel: Channel, losses: LossRecorder, cuda: bool, prove: Callable[[int], None]) -> None:
        """`prove(step)` is called after the first step and may raise to end the job."""
        self._channel, self._losses, self._cuda, self._prove = channel, losses, cuda, prove
        self._marks: list[Any] = []  # perf_counter seconds or CUDA events; mark k is the end of step k + 1
        self._begin: Any = None
        self._second: Any = None  # where step 2 begins: after the proof
        self._host_ns: list[int] = []
        self._second_ns = 0
        self._told_ns, self._told_step, self._told_samples = 0, 0, 0
        self._called_at: float | None = None
        self.setup_s: float | None = None

    @property
    def steps(self) -> int:
        """Optimizer steps done."""
        return len(self._marks)

    def start(self) -> None:
        """To be called right before trainer.train()."""
        self._called_at = time.perf_counter()

    def _mark(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._begin = self._mark()
        self._told_ns = time.monotonic_ns()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._marks.append(self._mark())
        now = time.monotonic_ns()
        self._host_ns.append(now)
        self._losses.close_step()
        if len(self._marks) == 1:
            self._first_step()
        if now - self._told_ns >= PROGRESS_EVERY_NS or len(self._marks) == state.max_steps:
            self._tell(now, state.max_steps)

    def _first_step(self) -> None:
        if self._cuda:
            import torch

            torch.cuda.synchronize()
        assert self._called_at is not None
        self.setup_s = time.perf_counter() - self._called_at
        self._prove(1)
        self._second, self._second_ns = self._mark(), time.monotonic_ns()

    def _tell(self, now: int, total: int) -> None:
        samples = sum(self._losses.samples[self._told_step :])
        rate = samples / ((now - self._told_ns) / 1e9) if now > self._told_ns else None
        self._told_ns, self._told_step = now, len(self._marks)
        loss = self._losses.last
        self._channel.send("progress", step=len(self._marks), total_steps=total, samples_per_s=rate, loss=loss)

    def finish(self) -> None:
        """Wait for the GPU: every event has happened. Call once, when training is over."""
        if self._cuda and self._marks:
            import torch

            torch.cuda.synchronize()

    def durations_s(self) -> list[float]:
        """Seconds of every step, in order. After `finish`."""
        starts = [self._begin, self._second, *self._marks[1:-1]][: len(self._marks)]
        if self._cuda:
            return [start.elapsed_time(end) / 1e3 for start, end in zip(starts, self._marks, strict=True)]
        return [end - start for start, end in zip(starts, self._marks, strict=True)]

    def timing(self, warmup_steps: int) -> Timing:
        """What steps were measured to take; the steady fields are null if training was too short. After `finish`."""
        durations = self.durations_s()
        fields: dict[str, Any] = {
            "clock": "cuda_events" if self._cuda else "perf_counter",
            "setup_s": self.setup_s,
            "steps": len(durations),
        }
        begin = steady_begin(durations, warmup_steps)
        if begin is not None:
            window = durations[begin - 1 :]
            fields |= {
                "steady_begin_step": begin,
                "steady_steps": len(window),
                "steady_step_s": sum(window) / len(window),
                "steady_step_median_s": median(window),
                "steady_samples_per_s": sum(self._losses.samples[begin - 1 :]) / sum(window),
                "steady_begin_ns": self._second_ns if begin == 2 else self._host_ns[begin - 2],
                "steady_end_ns": self._host_ns[-1],
            }
        return Timing(**fields)

    def send_series(self) -> None:
        """Durations and losses of every step, in chunks; a loss that never left the GPU is null. After `finish`."""
        durations = self.durations_s()
        losses: list[float | None] = [*self._losses.values]
        losses += [None] * (len(durations) - len(losses))
        for first in range(0, len(durations), SERIES_CHUNK):
            part = slice(first, first + SERIES_CHUNK)
            self._channel.send("series", first_step=first + 1, duration_s=durations[part], loss=losses[part])
