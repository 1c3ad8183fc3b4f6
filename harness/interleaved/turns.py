"""Who goes next, how long, and when it is enough: the turns of a replicate under the interleaved
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
PILOT_ROUNDS = 8  # of each length; with fewer a variance is a guess
PILOT_SHARE = 0.2  # of the budget, at most
PILOT_RUN = 2  # rounds of one length before the next: a pair of arms is then measured both ways
LONGEST_TURN_S = 2.0  # of the slowest arm; longer turns let the host drift between the arms
WORTH_LENGTHENING = 0.5  # of the variance that the shortest turns give
LEAST_ROUNDS = 8  # that count, whatever the budget: fewer have no variance worth the name


@dataclass(frozen=True)
class MeasuredTurn:
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
class Round:
    """What to do next: each arm does `lead_in + steps` steps, in this order (indices of arms)."""

    steps: int
    order: tuple[int, ...]
    pilot: bool = False


def williams_design(arms: int) -> list[tuple[int, ...]]:
    """Orders of turns in which each arm follows each other arm equally often.

    The first row goes 0, 1, n − 1, 2, n − 2, …, so that its neighbours differ by 1, 2, 3, … modulo
    n; each further row adds 1 to every entry. With an even number of arms the n rows hold each
    ordered pair of neighbours once. With an odd number they hold half of the pairs twice, and the n
    rows read backwards hold the others. Each arm also has each place in a row equally often. Linear
    drift within a round then adds the same to all arms, and so does what a turn leaves in caches
    for the next one, whoever took it, but that an arm follows itself only from row to row.

    Source: E. J. Williams, "Experimental designs balanced for the estimation of residual
    effects of treatments", Australian Journal of Scientific Research A 2 (1949) 149–168.

    Args:
        arms: Their number, 2 or more.

    Returns:
        n rows for an even number n of arms, 2n for an odd one; each a permutation of range(n).
    """
    first = [0]
    low, high = 1, arms - 1
    while low <= high:
        first.append(low)
        if low < high:
            first.append(high)
        low, high = low + 1, high - 1
    rows = [tuple((entry + shift) % arms for entry in first) for shift in range(arms)]
    return rows if arms % 2 == 0 else rows + [row[::-1] for row in rows]


class TurnSchedule:
    """`next()` says what the next round is, `add()` takes what it measured; None: it is enough.

    In a round every arm has one turn. Rounds take their orders from the rows of a Williams design,
    drawn in random order; when all rows are used up they are drawn anew, and a replicate ends at
    such a border. The lead-in is in the budget: it is the card's time too.

    `steps: auto` begins with a pilot that goes round the lengths 1, 2, 4, 8 (turns of at most 2 s)
    and looks at the variance of the mean log ratio per second spent: for independent rounds that is
    the variance of a round times its seconds, of the noisiest pair. Short turns follow the host's
    drift closely, long ones waste less on the lead-in. The shortest is taken unless a longer one
    halves that variance: a ratio of two variances of eight rounds each is up to 3.8 by chance alone
    (F distribution, 95%), and drift favours the short. Pilot rounds never count, so that choosing
    by their noise biases nothing; they also show what the first step of a turn takes more than the
    others. A budget that has no room for a pilot of four rounds of each length takes the length at
    which the lead-in is a third of the time.

    An arm that `leave`s has no further turns; the design is drawn anew for those that are left.
    """

    def __init__(
        self, settings: Interleaved, seed: str, arms: int, pairs: Sequence[tuple[int, int]]
    ) -> None:
        """Plan for so many arms.

        Args:
            settings: How they take turns.
            seed: Decides the order of rows.
            arms: Their number.
            pairs: Indices (baseline, candidate) of the pairs that are to be compared.
        """
        self._settings, self._draw = settings, random.Random(seed)
        self._arms, self._pairs = list(range(arms)), list(pairs)
        self._rows: list[tuple[int, ...]] = []
        self._pilot: dict[int, list[dict[int, MeasuredTurn]]] = {}
        self._lengths: tuple[int, ...] = ()  # of the pilot; known after the first round
        self._pending: Round | None = None
        self.steps: int | None = settings.steps if isinstance(settings.steps, int) else None
        self.spent_s = 0.0  # all arms, lead-in and pilot included
        self.pilot_rounds = 0
        self.counted_rounds = 0

    def next(self) -> Round | None:
        """The next round; None: the budget is spent, at least eight rounds count, and the design is
        complete.
        """
        if self.steps is None:
            self._settle_pilot()
        if self.steps is not None:
            enough = self.spent_s >= self._settings.seconds and self.counted_rounds >= LEAST_ROUNDS
            if enough and not self._rows:
                return None
            self._pending = Round(self.steps, self._order())
        else:
            length = (
                self._lengths[(self.pilot_rounds - 1) // PILOT_RUN % len(self._lengths)]
                if self._lengths
                else 1
            )
            self._pending = Round(length, self._order(), pilot=True)
        return self._pending

    def add(self, turns: dict[int, MeasuredTurn]) -> None:
        """What the round last asked for has measured, by the index of the arm."""
        assert self._pending is not None
        self.spent_s += math.fsum(turn.seconds for turn in turns.values())
        if not self._pending.pilot:
            self.counted_rounds += 1
            return
        self.pilot_rounds += 1
        if self.pilot_rounds == 1:  # the very first round only tells how long a step is
            self._lengths = self._affordable(list(turns.values()))
            self._rows = []  # balanced from here on
        else:
            self._pilot.setdefault(self._pending.steps, []).append(turns)

    def leave(self, arm: int) -> None:
        """An arm has no further turns. The round under way is not `add`ed."""
        self._arms.remove(arm)
        self._pairs = [pair for pair in self._pairs if arm not in pair]
        self._rows = []

    def _order(self) -> tuple[int, ...]:
        if not self._rows:
            self._rows = williams_design(len(self._arms))
            self._draw.shuffle(self._rows)
        return tuple(self._arms[place] for place in self._rows.pop())

    def _affordable(self, turns: Sequence[MeasuredTurn]) -> tuple[int, ...]:
        """The lengths worth trying; none if the budget cannot bear to try them."""
        step_s = [fmean([*turn.lead_in_s, *turn.timed_s]) for turn in turns]
        lengths = tuple(
            n
            for n in PILOT_LENGTHS
            if n == 1 or (n + self._settings.lead_in_steps) * max(step_s) <= LONGEST_TURN_S
        )
        all_lengths_s = sum(n + self._settings.lead_in_steps for n in lengths) * sum(step_s)
        affordable = (
            len(lengths) > 1
            and PILOT_ROUNDS / 2 * all_lengths_s <= PILOT_SHARE * self._settings.seconds
        )
        if not affordable:
            self.steps = max(n for n in lengths if n == 1 or n <= 2 * self._settings.lead_in_steps)
        return lengths

    def _settle_pilot(self) -> None:
        """Choose the length once each has been tried often enough, or as often as the budget
        bears.
        """
        tried = [len(self._pilot.get(n, ())) for n in self._lengths]
        if not tried or min(tried) < max(tried) or min(tried) < PILOT_ROUNDS / 2:
            return
        if min(tried) >= PILOT_ROUNDS or self.spent_s >= PILOT_SHARE * self._settings.seconds:
            noise = {n: predicted_variance(self._pilot[n], self._pairs) for n in self._lengths}
            shortest, quietest = min(noise), min(noise, key=lambda n: noise[n])
            self.steps = (
                quietest if noise[quietest] < WORTH_LENGTHENING * noise[shortest] else shortest
            )
            self._rows = []


def predicted_variance(
    rounds: Sequence[dict[int, MeasuredTurn]], pairs: Sequence[tuple[int, int]]
) -> float:
    """Variance of the mean log ratio that rounds like these would give in one second (all arms,
    lead-in included), of the noisiest of these pairs.
    """
    seconds = fmean(math.fsum(turn.seconds for turn in turns.values()) for turns in rounds)
    return seconds * max(
        variance(
            turns[baseline].log_step - turns[candidate].log_step
            for turns in rounds
            if baseline in turns and candidate in turns
        )
        for baseline, candidate in pairs
    )
