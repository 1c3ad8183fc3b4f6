"""Who goes first, how long, and when it is enough: the turns of a replicate under the interleaved
protocol. Pure, seeded.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from harness.schema.measurement import Interleaved

PILOT_LENGTHS = (1, 2, 4, 8)
PILOT_PAIRS = 8  # of each length; with fewer a variance is a guess
PILOT_SHARE = 0.2  # of the budget, at most
LONGEST_TURN_S = 2.0  # of the slower arm; longer turns let the host drift between the arms
WORTH_LENGTHENING = 0.5  # of the variance that the shortest turns give
LEAST_PAIRS = 8  # that count, whatever the budget: fewer have no variance worth the name
QUAD = 2  # pairs after which both arms have gone first equally often


@dataclass(frozen=True)
class Turn:
    """What one arm measured in its turn, seconds of each step."""

    lead_in_s: Sequence[float]
    timed_s: Sequence[float]

    @property
    def seconds(self) -> float:
        return math.fsum(self.lead_in_s) + math.fsum(self.timed_s)

    @property
    def log_step(self) -> float:
        """ln of the mean seconds of a timed step."""
        return math.log(fmean(self.timed_s))


@dataclass(frozen=True)
class PairOfTurns:
    """What to do next: both arms do `lead_in + steps` steps."""

    steps: int
    baseline_first: bool
    pilot: bool = False


class Schedule:
    """`next()` says what the next pair of turns is, `add()` takes what it measured; None: it is
    enough.

    The order within pairs is random and balanced: of each two pairs one is begun by the baseline,
    so that whoever goes first (and linear drift) adds the same to both arms. The lead-in is in the
    budget: it is the card's time too.

    `steps: auto` begins with a pilot that goes round the lengths 1, 2, 4, 8 (turns of at most 2 s)
    and looks at the variance of the mean log ratio per second spent: for independent pairs that is
    the variance of a pair times its seconds. Short turns follow the host's drift closely, long
    ones waste less on the lead-in. The shortest is taken unless a longer one halves that variance:
    a ratio of two variances of eight pairs each is up to 3.8 by chance alone (F distribution, 95%),
    and drift favours the short. Pilot pairs never count, so that choosing by their noise biases
    nothing; they also show what the first step of a turn takes more than the others. A budget that
    has no room for a pilot of four pairs of each length takes the length at which the lead-in is a
    third of the time.
    """

    def __init__(self, settings: Interleaved, seed: str) -> None:
        self._settings, self._draw = settings, random.Random(seed)
        self._orders: list[bool] = []
        self._pilot: dict[int, list[tuple[Turn, Turn]]] = {}
        self._lengths: tuple[int, ...] = ()  # of the pilot; known after the first pair
        self._pending: PairOfTurns | None = None
        self.steps: int | None = settings.steps if isinstance(settings.steps, int) else None
        self.spent_s = 0.0  # both arms, lead-in and pilot included
        self.pilot_pairs = 0
        self.counted_pairs = 0

    def next(self) -> PairOfTurns | None:
        """The next pair of turns; None: the budget is spent and at least eight pairs count."""
        if self.steps is None:
            self._settle_pilot()
        if self.steps is not None:
            enough = self.spent_s >= self._settings.seconds and self.counted_pairs >= LEAST_PAIRS
            if enough and self.counted_pairs % QUAD == 0:
                return None
            self._pending = PairOfTurns(self.steps, self._baseline_first())
        else:
            length = (
                self._lengths[(self.pilot_pairs - 1) // QUAD % len(self._lengths)]
                if self._lengths
                else 1
            )
            self._pending = PairOfTurns(length, self._baseline_first(), pilot=True)
        return self._pending

    def add(self, baseline: Turn, candidate: Turn) -> None:
        """What the pair of turns last asked for has measured."""
        assert self._pending is not None
        self.spent_s += baseline.seconds + candidate.seconds
        if not self._pending.pilot:
            self.counted_pairs += 1
            return
        self.pilot_pairs += 1
        if self.pilot_pairs == 1:  # the very first pair only tells how long a step is
            self._lengths = self._affordable(baseline, candidate)
            self._orders = []  # balanced from here on
        else:
            self._pilot.setdefault(self._pending.steps, []).append((baseline, candidate))

    def _baseline_first(self) -> bool:
        if not self._orders:
            first = self._draw.random() < 0.5
            self._orders = [not first, first]
        return self._orders.pop()

    def _affordable(self, baseline: Turn, candidate: Turn) -> tuple[int, ...]:
        """The lengths worth trying; none if the budget cannot bear to try them."""
        step_s = [fmean([*turn.lead_in_s, *turn.timed_s]) for turn in (baseline, candidate)]
        lengths = tuple(
            n
            for n in PILOT_LENGTHS
            if n == 1 or (n + self._settings.lead_in_steps) * max(step_s) <= LONGEST_TURN_S
        )
        round_s = sum(n + self._settings.lead_in_steps for n in lengths) * sum(step_s)
        affordable = (
            len(lengths) > 1 and PILOT_PAIRS / 2 * round_s <= PILOT_SHARE * self._settings.seconds
        )
        if not affordable:
            self.steps = max(n for n in lengths if n == 1 or n <= 2 * self._settings.lead_in_steps)
        return lengths

    def _settle_pilot(self) -> None:
        """Choose the length once each has been tried often enough, or as often as the budget
        bears.
        """
        tried = [len(self._pilot.get(n, ())) for n in self._lengths]
        if not tried or min(tried) < max(tried) or min(tried) < PILOT_PAIRS / 2:
            return
        if min(tried) >= PILOT_PAIRS or self.spent_s >= PILOT_SHARE * self._settings.seconds:
            noise = {n: predicted_variance(self._pilot[n]) for n in self._lengths}
            shortest, quietest = min(noise), min(noise, key=lambda n: noise[n])
            self.steps = (
                quietest if noise[quietest] < WORTH_LENGTHENING * noise[shortest] else shortest
            )
            self._orders = []


def predicted_variance(pairs: Sequence[tuple[Turn, Turn]]) -> float:
    """Variance of the mean log ratio that pairs like these would give in one second (both arms,
    lead-in included).
    """
    ratios = [baseline.log_step - candidate.log_step for baseline, candidate in pairs]
    return variance(ratios) * fmean(
        baseline.seconds + candidate.seconds for baseline, candidate in pairs
    )
