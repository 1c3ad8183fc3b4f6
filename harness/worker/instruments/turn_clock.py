"""The clock of a job that takes turns: it parks the job at step borders until the runner says how
many steps it may do next.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.launcher.channel import Channel
from harness.schema.job import JobSpec
from harness.worker import process
from harness.worker.instruments import os_counters
from harness.worker.instruments.injected_delay import InjectedDelay
from harness.worker.instruments.loss_recorder import LossRecorder
from harness.worker.instruments.step_clock import StepClock


@dataclass(frozen=True)
class Turn:
    """Steps done between two pauses; `first` is the 0-based index of the first of them."""

    first: int
    lead_in: int
    steps: int
    counts: bool
    begin_ns: int
    end_ns: int

    @property
    def timed(self) -> range:
        """0-based indices of the timed steps."""
        return range(self.first + self.lead_in, self.first + self.lead_in + self.steps)


class TurnClock(StepClock):
    """A step clock whose gate may pause at borders; pauses are in no step's duration.

    The border is not the end of the optimizer step but the end of the backward pass (of the first
    micro-batch): there both trainers wait for the GPU themselves, to see whether the loss is
    finite. A job that is parked there loses no overlap of host and GPU. At the end of the optimizer
    step a pause would add the time that the GPU lags behind to both arms, and the ratio would
    shrink.
    """

    # It has the waiting in it, and its steps are not what was planned.
    end_to_end = False

    def __init__(
        self,
        channel: Channel,
        losses: LossRecorder,
        prove: Callable[[int], None],
        *,
        cuda: bool,
        gate: Gate,
    ) -> None:
        super().__init__(channel, losses, prove, cuda=cuda)
        self._gate = gate
        self._fresh = True  # no micro-batch of this optimizer step is through yet

    def attach(self, trainer: Any) -> None:
        """Make `trainer` run by this clock. After the LossRecorder, which must see a step before it
        pauses.
        """
        super().attach(trainer)
        original = trainer.training_step

        def training_step(*arguments: Any, **named: Any) -> Any:
            loss = original(*arguments, **named)
            if self._fresh:
                self._fresh = False
                self._border(trainer)
            return loss

        trainer.training_step = training_step

    def release(self) -> None:
        """Undo what was done against noise; call when training is over."""
        self._gate.release()

    def _border(self, trainer: Any) -> None:
        mark, now = self._mark(), time.monotonic_ns()
        self._end(mark, now)
        control, state = trainer.control, trainer.state
        last = control.should_training_stop or state.global_step + 1 >= state.max_steps
        if self._gate.border(self, control, last=last):
            before, (mark, now) = now, (self._mark(), time.monotonic_ns())
            self._told_ns += now - before  # a rate of samples is one of work, not of waiting
        self._next_starts(mark, now)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        now = time.monotonic_ns()
        self._losses.close_step()
        self._fresh = True
        if self.steps == 1:
            self._first_step()
            # The second step has begun: leave out the proof (and, in it, an optimizer step).
            self._starts[-1], self._starts_ns[-1] = self._mark(), time.monotonic_ns()
            now = self._starts_ns[-1]
        self._tell_at_times(now, state.max_steps)

    def _steady(
        self, durations: list[float], warmup_steps: int
    ) -> tuple[Sequence[int], bool | None]:
        """The timed steps that count, wherever they lie."""
        return [index for turn in self._gate.turns if turn.counts for index in turn.timed], None


class Gate:
    """Asked by the turn clock at every border; the first pause is after the warm-up.

    Before each pause the device is synchronised, so a job that waits leaves it to the others; the
    time of a pause is in no step's duration. Borders lie where the trainer waits for the device
    anyway (TurnClock), so what the first step after a pause pays is
    that another job had the caches of the cores. It is measured (TurnTimes.switch_s), and a
    lead-in step keeps it out of the figures.
    """

    def __init__(
        self,
        spec: JobSpec,
        channel: Channel,
        inbox: process.Inbox,
        delay: InjectedDelay | None = None,
        compiled: Callable[[], bool] = lambda: False,
    ) -> None:
        """`compiled`: whether the job has compiled what it would find on disk if it began again."""
        self._spec, self._channel, self._inbox, self._delay = spec, channel, inbox, delay
        self._compiled = compiled
        self._cuda = spec.device == "cuda"
        self._next = spec.warmup_steps  # the border to stop at
        self._settled = False
        self._order: dict[str, Any] = {}
        self._begin_ns = 0
        self._pressure: dict[str, float] = {}
        self._primer: Any = None
        self.turns: list[Turn] = []

    def border(self, clock: StepClock, control: Any, *, last: bool) -> bool:
        """Pause if a turn ends here; whether it did. `last`: training ends at this border anyway,
        nothing is awaited.

        Sets `control.should_training_stop` when the runner says that it is enough.
        """
        if clock.steps < self._next or (last and not self._settled):
            return False
        clock.synchronise()
        if self._settled:
            self._end_turn(clock)
        else:
            self._settle()
            self._channel.send(
                "ready",
                step=clock.steps,
                levers=self._pull_levers(),
                setup_s=clock.setup_s,
                compiled=self._compiled(),
            )
        if last:
            return False
        self._order = self._inbox.get()
        match self._order["event"]:
            case "go":
                self._next = clock.steps + self._order["lead_in"] + self._order["steps"]
            case "finish":
                self._next = clock.steps + 1  # not reached
                control.should_training_stop = True
            case unknown:
                raise ValueError(f"the runner sent {unknown!r} to a parked job")
        if self._spec.cores:  # anew in each turn, for the threads that came meanwhile
            process.place_threads(sorted(self._spec.cores))
        self._pressure = self._counters()
        self._prime()
        self._begin_ns = time.monotonic_ns()
        return True

    def _settle(self) -> None:
        self._settled = True
        if self._cuda:
            import torch

            self._primer = torch.zeros(1, device="cuda")
            torch.cuda.synchronize()

    def _prime(self) -> None:
        """One trivial kernel before the clock starts: handing the GPU to another process is not the
        step's doing.
        """
        if self._cuda:
            import torch

            self._primer.add_(1)
            torch.cuda.synchronize()

    def _end_turn(self, clock: StepClock) -> None:
        end_ns, now = time.monotonic_ns(), self._counters()
        host = os_counters.between(self._pressure, now)
        lead_in, steps = self._order["lead_in"], self._order["steps"]
        turn = Turn(
            clock.steps - lead_in - steps,
            lead_in,
            steps,
            self._order["counts"],
            self._begin_ns,
            end_ns,
        )
        self.turns.append(turn)
        durations = clock.durations_s(turn.first, turn.timed.stop)
        if self._spec.freeze_collector:
            # of the little made since the freeze: nothing collects within steps any more
            gc.collect()
        self._channel.send(
            "turn",
            step=clock.steps,
            lead_in_s=durations[:lead_in],
            timed_s=durations[lead_in:],
            begin_ns=turn.begin_ns,
            end_ns=end_ns,
            host=host,
        )

    def _counters(self) -> dict[str, float]:
        injected = self._delay.slept_s if self._delay and self._delay.asked_s else None
        return os_counters.read() | ({} if injected is None else {"injected_sleep_s": injected})

    def _pull_levers(self) -> dict[str, Any]:
        """What is done against noise from here on, as it went."""
        levers: dict[str, Any] = {"cores": None}
        if self._spec.cores:  # until now it may have been on others (process.pin)
            cores = sorted(self._spec.cores)
            process.place_threads(cores)
            levers |= {"cores": cores, "main_thread_on": cores[0]}
        if self._spec.freeze_collector:
            gc.collect()
            gc.freeze()
            gc.disable()
        levers["collector"] = "frozen" if self._spec.freeze_collector else "as usual"
        refused = process.real_time(True) if self._spec.realtime else ""
        levers["scheduler"] = "SCHED_FIFO" if self._spec.realtime and not refused else "SCHED_OTHER"
        if refused:
            levers["scheduler_refused"] = refused
        if workers := self._spec.workload.training.dataloader_workers:
            # they go on filling their queue while the job waits
            levers["dataloader_workers"] = workers
        return levers

    def release(self) -> None:
        """Undo the levers; call when training is over."""
        if self._settled and self._spec.freeze_collector:
            gc.enable()
            gc.unfreeze()
        if self._settled and self._spec.realtime:
            process.real_time(False)
        if self._settled and self._spec.cores:
            process.place_threads(self._spec.cores, apart=False)
