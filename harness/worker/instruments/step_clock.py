"""The one clock of all arms: a TrainerCallback that marks step borders and never waits inside the
measured window.

Source for the order of a step: transformers 4.48 Trainer._inner_training_loop and Optimum 1.24's
copy of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from transformers import TrainerCallback

from harness.launcher.channel import Channel
from harness.schema.record import Timing
from harness.worker.instruments.loss_recorder import LossRecorder
from harness.worker.instruments.steady_state import find_steady
from harness.worker.ranks import Ranks

PROGRESS_EVERY_NS = 1_000_000_000
SERIES_CHUNK = 5000  # steps per `series` event


class StepClock(TrainerCallback):  # type: ignore[misc]
    """Marks when training begins and each optimizer step ends: CUDA events on a GPU, perf_counter
    on a CPU.

    A step lasts from the border before it to its own, so data loading, logging and the optimizer
    are inside. The GPU is waited for after the first step, which is set-up, and in `finish`. Host
    times (`*_ns`, for telemetry) of borders on a GPU are when the step had been queued, a few ms at
    most before it was done, as Trainer itself reads the loss of every step. The proof taken after
    the first step is in no step's duration.

    Of several ranks each measures its own steps; from `gather` on a step takes as long as on the
    slowest of them.
    """

    # Whether Trainer's own time is that of the training, end to end.
    end_to_end = True

    def __init__(
        self,
        channel: Channel,
        losses: LossRecorder,
        prove: Callable[[int], None],
        *,
        cuda: bool,
        ranks: Ranks | None = None,
    ) -> None:
        """`prove(step)` is called after the first step and may raise to end the job."""
        self._channel, self._losses, self._cuda, self._prove = channel, losses, cuda, prove
        self._ranks = ranks or Ranks()
        # seconds of every step, on the rank that took longest
        self._slowest: list[float] | None = None
        # Marks are perf_counter seconds or CUDA events. Step k + 1 runs from _starts[k] to
        # _ends[k].
        self._starts: list[Any] = []
        self._ends: list[Any] = []
        self._starts_ns: list[int] = []
        self._ends_ns: list[int] = []
        self._told_ns, self._told_step = 0, 0
        self._called_at: float | None = None
        self.setup_s: float | None = None

    @property
    def steps(self) -> int:
        """Optimizer steps done."""
        return len(self._ends)

    def start(self) -> None:
        """To be called right before trainer.train()."""
        self._called_at = time.perf_counter()

    def synchronise(self) -> None:
        """Wait for the GPU."""
        if self._cuda:
            import torch

            torch.cuda.synchronize()

    def _mark(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def attach(self, trainer: Any) -> None:
        """Make `trainer` run by this clock."""
        trainer.add_callback(self)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._told_ns = time.monotonic_ns()
        self._next_starts(self._mark(), self._told_ns)

    def _next_starts(self, mark: Any, now_ns: int) -> None:
        self._starts.append(mark)
        self._starts_ns.append(now_ns)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        now, mark = time.monotonic_ns(), self._mark()
        self._end(mark, now)
        self._losses.close_step()
        if self.steps == 1:
            self._first_step()
            mark, now = self._mark(), time.monotonic_ns()
        self._tell_at_times(now, state.max_steps)
        self._next_starts(mark, now)

    def _end(self, mark: Any, now_ns: int) -> None:
        self._ends.append(mark)
        self._ends_ns.append(now_ns)

    def _first_step(self) -> None:
        self.synchronise()
        assert self._called_at is not None
        self.setup_s = time.perf_counter() - self._called_at
        self._prove(1)

    def _tell_at_times(self, now: int, total: int) -> None:
        """Send progress once a second and after the last step."""
        if now - self._told_ns >= PROGRESS_EVERY_NS or self.steps == total:
            self._tell(now, total)

    def _tell(self, now: int, total: int) -> None:
        samples = self._ranks.size * sum(self._losses.samples[self._told_step :])
        rate = samples / ((now - self._told_ns) / 1e9) if now > self._told_ns else None
        self._told_ns, self._told_step = now, self.steps
        loss = self._losses.last
        self._channel.send(
            "progress", step=self.steps, total_steps=total, samples_per_s=rate, loss=loss
        )

    def finish(self) -> None:
        """Wait for the GPU: every event has happened. Call once, when training is over."""
        if self._ends:
            self.synchronise()

    def release(self) -> None:
        """Undo what was done against noise; call when training is over."""

    def gather(self) -> None:
        """Hear of every rank how long its steps took, and its set-up. After `finish`, on every
        rank.
        """
        found = self._ranks.exchange((self.durations_s(), self.setup_s or 0.0))
        self._slowest = [
            max(step) for step in zip(*(durations for durations, _ in found), strict=True)
        ]
        self.setup_s = max(setup for _, setup in found)

    def durations_s(self, begin: int = 0, end: int | None = None) -> list[float]:
        """Seconds of the steps with 0-based indices from `begin` up to `end`, in order. After
        `synchronise`.
        """
        if self._slowest is not None:
            return self._slowest[begin:end]
        borders = zip(
            self._starts[begin:end], self._ends[begin:end], strict=False
        )  # the next step's start is known
        if self._cuda:
            return [start.elapsed_time(end) / 1e3 for start, end in borders]
        return [end - start for start, end in borders]

    def timing(self, warmup_steps: int, tokens: Sequence[int] | None = None) -> Timing:
        """What steps were measured to take; the steady fields are null if training was too short.
        After `finish`.

        `tokens`: of each step's samples, without padding; None: not known.
        """
        durations = self.durations_s()
        window, settled = self._steady(durations, warmup_steps)
        fields: dict[str, Any] = {
            "clock": "cuda_events" if self._cuda else "perf_counter",
            "setup_s": self.setup_s,
            "steps": len(durations),
        }
        if window:
            seconds = [durations[index] for index in window]
            fields |= {
                "steady_begin_step": window[0] + 1,
                "steady_steps": len(window),
                "steady_step_s": sum(seconds) / len(window),
                "steady_step_median_s": median(seconds),
                "settled": settled,
                "steady_begin_ns": self._starts_ns[window[0]],
                "steady_end_ns": self._ends_ns[window[-1]],
                "steady_samples_per_s": sum(self._losses.samples[index] for index in window)
                / sum(seconds),
            }
            positions = sum(self._losses.positions[index] for index in window)
            if tokens is not None and positions:
                real = sum(tokens[index] for index in window)
                fields |= {
                    "steady_tokens_per_s": real / sum(seconds),
                    "padding_share": max(0.0, 1 - real / positions),
                }
        return Timing(**fields)

    def _steady(
        self, durations: list[float], warmup_steps: int
    ) -> tuple[Sequence[int], bool | None]:
        """0-based indices of the steps that count, and whether the job was seen to settle before
        them.
        """
        steady = find_steady(durations, warmup_steps)
        return range(
            steady.begin - 1, len(durations)
        ) if steady.begin is not None else (), steady.settled

    def send_series(self) -> None:
        """Durations and losses of every step, in chunks; a loss that never left the GPU is null.
        After `finish`.
        """
        durations = self.durations_s()
        losses: list[float | None] = [*self._losses.values]
        losses += [None] * (len(durations) - len(losses))
        for first in range(0, len(durations), SERIES_CHUNK):
            part = slice(first, first + SERIES_CHUNK)
            self._channel.send(
                "series", first_step=first + 1, duration_s=durations[part], loss=losses[part]
            )
