"""Which of a pair's two arms moved, from what its three series say (the design's pattern of
causes).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from harness.schema.verdict import Cause

# 1: slower (ratio: the candidate lost ground), -1: faster, 0: neither.
Direction = Literal[-1, 0, 1]
# An arm without an alarm of its own moved too if its change is this share of the largest one that
# fired.
SHARE = 0.5
# The same where the ratio alone fired: what both arms share evenly is nobody's.
OF_RATIO = 2 / 3


@dataclass(frozen=True)
class Pattern:
    """Alarms of the three series, and by how much each arm's time changed (level / before - 1) in
    the same tail.
    """

    baseline: Direction
    candidate: Direction
    ratio: Direction
    baseline_change: float
    candidate_change: float


def cause_of(seen: Pattern) -> tuple[Cause, Direction]:
    """What happened, and whether it is worse (1: some time got slower) or better (-1);
    (`Cause.NONE`, 0) without an alarm.

    Candidate's time and ratio worse: the candidate regressed. Ratio worse, candidate's time flat:
    the baseline improved. Both times worse, ratio flat: the host or driver. The better ones
    likewise. Where an arm has no alarm of its own (its series may be noisier than the ratio, in
    which a host's drift cancels), its share decides.
    """
    if not (seen.baseline or seen.candidate or seen.ratio):
        return Cause.NONE, 0
    baseline, candidate = _moved(seen)
    # Where the arms moved apart, the arm that has the alarm is named; the slower one if both have.
    if baseline * candidate < 0:
        if not seen.baseline or (seen.candidate and candidate > 0):
            baseline = 0
        else:
            candidate = 0
    if baseline == candidate == 0:
        return Cause.UNCLEAR, seen.ratio or 1
    if baseline == candidate:
        if not seen.ratio:
            return Cause.HOST, candidate
        # Alike, but not equally: the one that went further.
        further = "candidate" if seen.ratio == candidate else "baseline"
        return _CAUSES[further, candidate], candidate
    return (
        (_CAUSES["candidate", candidate], candidate)
        if candidate
        else (_CAUSES["baseline", baseline], baseline)
    )


def _moved(seen: Pattern) -> tuple[Direction, Direction]:
    b, c = math.log1p(seen.baseline_change), math.log1p(seen.candidate_change)
    sizes = ((seen.baseline, b), (seen.candidate, c), (seen.ratio, c - b))
    share = SHARE if seen.baseline or seen.candidate else OF_RATIO
    enough = share * max(abs(size) for fired, size in sizes if fired)
    return (
        seen.baseline or (_direction(b) if abs(b) >= enough else 0),
        seen.candidate or (_direction(c) if abs(c) >= enough else 0),
    )


def _direction(change: float) -> Direction:
    return 1 if change > 0 else -1 if change < 0 else 0


_CAUSES: dict[tuple[str, Direction], Cause] = {
    ("candidate", 1): Cause.CANDIDATE_REGRESSED,
    ("candidate", -1): Cause.CANDIDATE_IMPROVED,
    ("baseline", 1): Cause.BASELINE_REGRESSED,
    ("baseline", -1): Cause.BASELINE_IMPROVED,
}
