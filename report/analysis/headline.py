"""What a gain comes to in one word, and how many replicates would settle it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from harness.schema.stats import Estimate, needed_replicates, replicates_for
from report.analysis.metrics import Figure

USEFUL = 4  # replicates: with three degrees of freedom Student's t is 3.2, with one 12.7
FEASIBLE = 20  # replicates: as many as somebody may want to make after seeing two or three
TARGETS_PP = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)


class GainVerdict(StrEnum):
    """What a gain comes to by its 95% interval."""

    FASTER = "faster"
    SLOWER = "slower"
    NOT_DISTINGUISHABLE = "not distinguishable"
    NO_INTERVAL = "without an interval"
    NO_RESULT = "without a result"
    IDENTICAL = "identical arms"


def judged(log_ratio: Figure, *, ok: bool = True, a_a: bool = False) -> GainVerdict:
    """The verdict on a gain.

    Args:
        log_ratio: The mean of ln T_baseline − ln T_candidate with its interval.
        ok: Whether the gain is valid.
        a_a: Whether both arms are identical. Such a pair is neither faster nor slower: what it
            gains is the noise of the host.
    """
    if not ok or log_ratio.value is None:
        return GainVerdict.NO_RESULT
    if a_a:
        return GainVerdict.IDENTICAL
    if log_ratio.low is None or log_ratio.high is None:
        return GainVerdict.NO_INTERVAL
    if log_ratio.low > 0:
        return GainVerdict.FASTER
    return GainVerdict.SLOWER if log_ratio.high < 0 else GainVerdict.NOT_DISTINGUISHABLE


def replicates_to_tell(log_ratio: Figure, n: int) -> int | None:
    """How many replicates it would take to tell the gain from 0, if mean and spread stayed what
    they are; at least `USEFUL`.

    None where the `n` replicates have no spread that this follows from, or it takes absurdly many.
    """
    estimate = _estimate(log_ratio, n)
    return replicates_for(estimate, abs(estimate.mean), USEFUL) if estimate else None


def replicates_to_bound(
    log_ratio: Figure, n: int, targets_pp: Sequence[float] = TARGETS_PP
) -> tuple[int | None, float]:
    """How many replicates it would take to know the throughput gain well, and how well: to ± the
    first of `targets_pp` percentage points that takes no more than `FEASIBLE`, else the last.

    None as of `replicates_to_tell`.
    """
    estimate = _estimate(log_ratio, n)
    if estimate is None:
        return None, targets_pp[-1]
    for target in targets_pp:
        needed = needed_replicates(estimate, target, USEFUL)
        if needed is not None and needed <= FEASIBLE:
            break
    return needed, target


def _estimate(log_ratio: Figure, n: int) -> Estimate | None:
    """The estimate whose interval is Student's t over `n` replicates; None where there is none.

    So are the intervals of two and three replicates by every protocol (stats.turn_interval), and
    nobody asks for more replicates of others.
    """
    if n < 2 or log_ratio.value is None or log_ratio.low is None or log_ratio.high is None:
        return None
    return Estimate(n, log_ratio.value, log_ratio.low, log_ratio.high, n - 1)
