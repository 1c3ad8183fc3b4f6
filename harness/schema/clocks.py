"""Whether the cards of two jobs ran at the same clock: one rule for what is run again and what is
told of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.schema.record import JobRecord

# Median SM clocks, as a share of the lower one; a step's time follows the clock nearly one to one.
CLOCKS_APART = 0.01


@dataclass(frozen=True)
class ClocksApart:
    """A card whose median SM clocks under two jobs do not allow to compare them.

    Attributes:
        gpu: NVML's index of the card.
        one_mhz: The clock under the first job.
        other_mhz: The clock under the second job.
    """

    gpu: int
    one_mhz: float
    other_mhz: float


def clocks_apart(one: JobRecord, other: JobRecord) -> ClocksApart | None:
    """The first card whose median SM clocks under two jobs are more than CLOCKS_APART apart.

    Cards without a reading under both jobs are passed over.
    """
    clocks = [
        {gpu.index: gpu.sm_clock_median_mhz for gpu in job.telemetry.gpus} if job.telemetry else {}
        for job in (one, other)
    ]
    for index in sorted(clocks[0].keys() & clocks[1].keys()):
        left, right = clocks[0][index], clocks[1][index]
        if left and right and max(left, right) / min(left, right) - 1 > CLOCKS_APART:
            return ClocksApart(index, left, right)
    return None
