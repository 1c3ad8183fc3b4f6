"""The fault that an arm may ask for: a sleep before every batch, measured around itself.

A sleep takes longer than asked for, by the kernel's timer slack and by what the host does meanwhile
(on one virtual machine 0.06 to 0.4 ms). What a measurement has to find again is what was slept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


class InjectedDelay:
    """Wraps data collators and counts what their sleeps took."""

    def __init__(self, asked_s: float) -> None:
        """`asked_s`: seconds before every batch; 0: none."""
        self.asked_s = asked_s
        self.slept_s = 0.0
        self._batches = 0

    def before(self, collate: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """The collator with the sleep before it; the collator itself where there is none."""
        if not self.asked_s:
            return collate

        def slow(features: Any) -> Any:
            begin = time.perf_counter()
            time.sleep(self.asked_s)
            self.slept_s += time.perf_counter() - begin
            self._batches += 1
            return collate(features)

        return slow

    @property
    def mean_s(self) -> float | None:
        """Mean seconds of a sleep; None where no batch was made in this process (workers of the
        data loader make them elsewhere).
        """
        return self.slept_s / self._batches if self._batches else None
