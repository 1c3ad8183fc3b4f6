"""Parks a job of the `blocks` protocol at step borders until the runner says how many steps it may
do next.
"""

from __future__ import annotations

import gc
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.launcher.channel import Channel
from harness.schema.workload import JobSpec
from harness.worker import process
from harness.worker.instruments import os_counters

if TYPE_CHECKING:
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


class Gate:
    """Asked by the step clock at every border; the first pause is after the warm-up.

    Before each pause the device is synchronised, so a job that waits leaves it to the partner; the
    time of a pause is in no step's duration. Borders lie where the trainer waits for the device
    anyway (harness.worker.instruments.step_clock), so what the first step after a pause pays is
    that the partner had the caches of the cores. It is measured (BlockTimes.switch_s), and a
    lead-in step keeps it out of the figures.
    """

    def __init__(self, spec: JobSpec, channel: Channel, inbox: process.Inbox) -> None:
        self._spec, self._channel, self._inbox = spec, channel, inbox
        self._cuda = spec.device == "cuda"
        self._next = spec.warmup_steps  # the border to stop at
        self._settled = False
        self._order: dict[str, Any] = {}
        self._begin_ns = 0
        self._pressure: dict[str, float] = {}
        self._primer: Any = None
        self.turns: list[Turn] = []

    def border(self, clock: StepClock, control: Any, last: bool) -> bool:
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
            self._channel.send("ready", step=clock.steps, levers=self._pull_levers())
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
        self._pressure = os_counters.read()
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
        end_ns, host = time.monotonic_ns(), os_counters.since(self._pressure)
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
            "block",
            step=clock.steps,
            lead_in_s=durations[:lead_in],
            timed_s=durations[lead_in:],
            begin_ns=turn.begin_ns,
            end_ns=end_ns,
            host=host,
        )

    def _pull_levers(self) -> dict[str, Any]:
        """What is done against noise from here on, as it went."""
        levers: dict[str, Any] = {
            "cores": sorted(os.sched_getaffinity(0)) if self._spec.cores else None
        }
        if levers["cores"]:
            levers["main_thread_on"] = levers["cores"][0]
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
            levers["dataloader_workers"] = (
                workers  # they go on filling their queue while the job waits
            )
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
