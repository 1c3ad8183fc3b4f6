"""The geometric mean of the gains of two arms over their workloads."""

from __future__ import annotations

import math
from collections.abc import Sequence


def geometric_mean(log_ratios: Sequence[float | None]) -> tuple[float | None, int]:
    """The geometric mean of throughput ratios T_baseline / T_candidate.

    The mean is exp of the mean log ratio over the pairs with a valid gain, losses included as they
    are (nothing is clipped at 1). Ratios are averaged geometrically because only then does the
    result not depend on which arm is the baseline. Source: Fleming and Wallace, "How Not to Lie
    with Statistics: The Correct Way to Summarize Benchmark Results", Communications of the ACM 29
    (1986) 218–221.

    Args:
        log_ratios: ln T_baseline - ln T_candidate of each pair; None of one without a valid gain.

    Returns:
        The mean ratio, None where no gain is valid; and of how many gains it is.
    """
    valid = [ratio for ratio in log_ratios if ratio is not None]
    return math.exp(math.fsum(valid) / len(valid)) if valid else None, len(valid)
