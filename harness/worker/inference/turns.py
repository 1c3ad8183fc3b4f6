"""Two engines taking turns on the same batches. Pure: engines and clock are handed in."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from harness.schema.record import EngineTimes

B = TypeVar("B")
WARM_UP = 3  # batches of each engine before anything is timed, and as many more that tell its pace
# one batch at least: torch's idle threads were seen to spin for 5 ms after its last
LEAD_IN_S = 0.02
# of the slower engine: drift and noise are slower than that, handing over is shorter
TURN_S = 0.05
MOST_TURN_BATCHES = 50
LEAST_PAIRS, MOST_PAIRS = 4, 2000  # of turns; four are two rounds of A B B A


@dataclass
class Turns:
    """Seconds of every timed batch, of both engines in the order they were given; entry i is the
    same batch in both; a turn has `batches` of them.
    """

    batches: int
    seconds: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))


class Alternation(Generic[B]):
    """Times two engines on `batches` (host tensors; a call of an engine returns when its logits are
    on the host).
    """

    def __init__(
        self,
        engines: tuple[Callable[[B], object], Callable[[B], object]],
        batches: Sequence[B],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.engines, self.batches, self.clock = engines, batches, clock

    def run(self, seconds: float, first: int = 0) -> Turns:
        """Alternate for about `seconds`: turns in the order A B B A, A being engine `first`.

        Each turn begins with untimed batches, which pay for the other engine's caches and threads.
        """
        pace = self._warm_up(0), self._warm_up(1)
        size = min(MOST_TURN_BATCHES, max(1, math.ceil(TURN_S / max(pace))))
        a_pair = size * sum(pace) + sum(max(LEAD_IN_S, each) for each in pace)
        pairs = 2 * round(seconds / (2 * a_pair))
        turns = Turns(size)
        for pair in range(min(MOST_PAIRS, max(LEAST_PAIRS, pairs))):
            begin = pair * size
            turn = [self.batches[(begin + index) % len(self.batches)] for index in range(size)]
            order = (first, 1 - first) if pair % 2 == 0 else (1 - first, first)
            for engine in order:
                self._lead_in(engine, turn)
                turns.seconds[engine].extend(self._timed(engine, batch) for batch in turn)
        return turns

    def _lead_in(self, engine: int, turn: Sequence[B]) -> None:
        begin = self.clock()
        for batch in itertools.cycle(turn):
            self.engines[engine](batch)
            if self.clock() - begin >= LEAD_IN_S:
                return

    def _warm_up(self, engine: int) -> float:
        """The fastest of some batches after some more, in seconds."""
        runs = [
            self._timed(engine, self.batches[index % len(self.batches)])
            for index in range(2 * WARM_UP)
        ]
        return min(runs[WARM_UP:])

    def _timed(self, engine: int, batch: B) -> float:
        begin = self.clock()
        self.engines[engine](batch)
        return self.clock() - begin


def summarise(seconds: Sequence[float], batch_size: int) -> EngineTimes:
    """Mean, median and 95th percentile of the seconds of batches of `batch_size` samples, and
    samples per second.
    """
    import numpy as np

    mean = math.fsum(seconds) / len(seconds)
    p50, p95 = (float(value) for value in np.percentile(seconds, (50, 95)))
    return EngineTimes(mean_s=mean, p50_s=p50, p95_s=p95, samples_per_s=batch_size / mean)
