"""The gain in clock cycles beside the gain in time: where they disagree, the cards' clocks made
(part of) the gain.
"""

from __future__ import annotations

import math

from harness.schema.record import JobRecord
from harness.schema.stats import Estimate

ROUNDING = 1e-9  # of log ratios: intervals without width that are apart by less are equal


def sm_clock_mhz(job: JobRecord) -> float | None:
    """The median SM clock of a job's steady window, mean over its cards; None unless every card has
    one.
    """
    if job.telemetry is None:
        return None
    clocks = [card.sm_clock_median_mhz for card in job.telemetry.gpus]
    if len(clocks) == 1:
        return clocks[0] or None
    known = [clock for clock in clocks if clock]
    return math.fsum(known) / len(known) if known and len(known) == len(clocks) else None


def disagree(time: Estimate, cycles: Estimate) -> bool:
    """Whether the intervals of two log ratios share no value; without intervals nothing can be
    said, so no.

    That one says faster, the other slower and neither leaves 0 open is a case of it.
    """
    if time.low is None or time.high is None or cycles.low is None or cycles.high is None:
        return False
    return time.high < cycles.low - ROUNDING or cycles.high < time.low - ROUNDING
