"""Raw losses of every optimizer step, without making the GPU wait; a loss that is not finite ends
the job.
"""

from __future__ import annotations

import math
from typing import Any

from harness.worker.ranks import Ranks

CHUNK_STEPS = 64  # losses copied from the GPU at once
RING = 4  # pinned buffers: copies in flight


class DivergedError(Exception):
    """The loss of a step is not finite."""


class LossRecorder:
    """Wraps a trainer's training_step. `close_step` is called at the end of each optimizer step (by
    the clock).

    The loss of a step is the sum of what training_step returns for its micro-batches: Trainer has
    divided each by their number, so this is their mean. On the CPU it is checked at once; on the
    GPU losses stay there and are copied in chunks by non-blocking copies, looked at only once they
    have arrived, so that nothing is waited for. Until `gather` these are this rank's own.
    """

    def __init__(self, trainer: Any, *, cuda: bool) -> None:
        self.values: list[float] = []
        self.samples: list[int] = []  # per optimizer step
        # per optimizer step: tokens that the batches held, padding included
        self.positions: list[int] = []
        # the module, with all that is wrapped around it, as training_step gets it
        self.trained: Any = None
        self._cuda = cuda
        self._samples_now = self._positions_now = 0
        self._now: Any = None
        self._pending: list[Any] = []
        self._in_flight: list[tuple[Any, Any, int]] = []
        self._free: list[Any] = []
        if cuda:
            import torch

            self._free = [
                torch.empty(CHUNK_STEPS, dtype=torch.float32, pin_memory=True) for _ in range(RING)
            ]
        original = trainer.training_step

        def training_step(model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
            samples, positions = len(inputs["labels"]), _positions(inputs)
            self.trained = model
            loss = original(model, inputs, *rest, **named)
            self._samples_now += samples
            self._positions_now += positions
            value = (
                loss.clone() if cuda else loss.item()
            )  # a CUDA graph puts its next loss into the same place
            self._now = value if self._now is None else self._now + value
            return loss

        trainer.training_step = training_step

    @property
    def last(self) -> float | None:
        """The newest loss known without waiting for the GPU."""
        return self.values[-1] if self.values else None

    def close_step(self) -> None:
        """Take what training_step returned since the last call as one step. Raises
        DivergedError.
        """
        self.samples.append(self._samples_now)
        self.positions.append(self._positions_now)
        value, self._now = self._now, None
        self._samples_now = self._positions_now = 0
        if not self._cuda:
            self._take([value])
            return
        self._pending.append(value)
        if len(self._pending) == CHUNK_STEPS:
            self._copy()
            self._arrived(wait=False)

    def finish(self) -> None:
        """Fetch what is still on the GPU. Raises DivergedError."""
        if self._pending:
            self._copy()
        self._arrived(wait=True)

    def gather(self, ranks: Ranks) -> None:
        """Make every step's loss the mean over ranks, as its gradient is, and its samples and
        positions their sums. After `finish`.
        """
        found = ranks.exchange((self.values, self.samples, self.positions))
        self.values = [
            math.fsum(step) / ranks.size
            for step in zip(*(values for values, _, _ in found), strict=True)
        ]
        self.samples = [sum(step) for step in zip(*(each[1] for each in found), strict=True)]
        self.positions = [sum(step) for step in zip(*(each[2] for each in found), strict=True)]

    def _copy(self) -> None:
        import torch

        stacked = torch.stack(self._pending).float()
        count, self._pending = len(self._pending), []
        buffer = (
            self._free.pop()
            if self._free
            else torch.empty(CHUNK_STEPS, dtype=torch.float32, pin_memory=True)
        )
        buffer[:count].copy_(stacked, non_blocking=True)
        done = torch.cuda.Event()
        done.record()
        self._in_flight.append((buffer, done, count))

    def _arrived(self, wait: bool) -> None:
        while self._in_flight and (wait or self._in_flight[0][1].query()):
            buffer, done, count = self._in_flight.pop(0)
            done.synchronize()
            self._free.append(buffer)
            self._take(buffer[:count].tolist())

    def _take(self, values: list[float]) -> None:
        for value in values:
            self.values.append(value)
            if not math.isfinite(value):
                raise DivergedError(f"the loss became {value} at step {len(self.values)}")


def _positions(inputs: Any) -> int:
    """Tokens of a batch, padding included: those of the source, and of the decoder's side where the
    batch has one. Only shapes are looked at, so nothing waits for the GPU.
    """
    names = ("input_ids", "decoder_input_ids")
    return sum(inputs[name].numel() for name in names if name in inputs)
