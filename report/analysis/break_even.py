"""The step from which a candidate has repaid its longer set-up, with Fieller's interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.schema.stats import CONFIDENCE, t_quantile

FIRST_STEP = 1.0


@dataclass(frozen=True)
class BreakEven:
    """A number of optimizer steps from the start of training; from `step` on the candidate is
    ahead.

    `step` is infinite if it never is, 1 if it is from the first step. `low` and `high` are the 95%
    interval, None where there are fewer than two replicates; `high` is infinite where the
    replicates cannot exclude that it never is.
    """

    n: int
    step: float
    low: float | None = None
    high: float | None = None

    @property
    def is_never(self) -> bool:
        """Whether the candidate never repays its set-up."""
        return math.isinf(self.step)

    @property
    def is_at_once(self) -> bool:
        """Whether the candidate is ahead from the first step."""
        return not self.is_never and _whole(self.step) <= FIRST_STEP

    @property
    def possible_step(self) -> str:
        """Where it is never: the step that the interval leaves open, " (or from 40)"; else
        nothing.
        """
        if not self.is_never or self.low is None or math.isinf(self.low):
            return ""
        return f" (or from {_whole(self.low)})"

    def __str__(self) -> str:
        """ "95 (80 to 120)", "95 (40 to ∞)", "first step", "never", "never (or from 40)"."""
        if self.is_never:
            return f"never{self.possible_step}"
        repaid = _whole(self.step)
        said = str(repaid) if repaid > FIRST_STEP else "first step"
        if self.low is None or self.high is None:
            return said
        high = "∞" if math.isinf(self.high) else str(_whole(self.high))
        if repaid <= FIRST_STEP:
            return said if self.high <= FIRST_STEP else f"{said} (to {high})"
        return f"{said} ({_whole(self.low)} to {high})"


def break_even(
    replicates: Sequence[tuple[float, float, float, float]], confidence: float = CONFIDENCE
) -> BreakEven:
    """The break-even step of replicates of (S_b, S_c, t_b, t_c): set-up and steady step of baseline
    and candidate, in s.

    After n steps an arm has spent S + (n − 1) · t, for the recorded set-up S ends with the first
    step; both have spent the same at n = 1 + (S_c − S_b) / (t_b − t_c). Steps of the warm-up after
    the first count as steady ones. The quotient is of the means of the differences over replicates;
    its interval is that of a ratio of two correlated means: all θ with |ΔS − θ·Δt| ≤ t(n − 1) ·
    se(ΔS − θ·Δt). Source: Fieller, "Some Problems in Interval Estimation", Journal of the Royal
    Statistical Society B 16 (1954) 175–185. Where Δt is not significantly above 0 that set has no
    upper end. No replicate: ValueError.
    """
    count = len(replicates)
    if count == 0:
        raise ValueError("the break-even of no replicates")
    setups = [candidate - baseline for baseline, candidate, _, _ in replicates]
    saved = [baseline - candidate for _, _, baseline, candidate in replicates]
    setup, save = math.fsum(setups) / count, math.fsum(saved) / count
    step = math.inf if save <= 0 else max(FIRST_STEP, FIRST_STEP + setup / save)
    if count < 2:
        return BreakEven(count, step)

    def covariance(
        one: Sequence[float], of_one: float, other: Sequence[float], of_other: float
    ) -> float:
        products = ((x - of_one) * (y - of_other) for x, y in zip(one, other, strict=True))
        return math.fsum(products) / (count - 1) / count

    squared_t = t_quantile(count - 1, confidence) ** 2
    # The limits are the roots of a·θ² + 2·b·θ + c = 0.
    a = save**2 - squared_t * covariance(saved, save, saved, save)
    b = squared_t * covariance(setups, setup, saved, save) - setup * save
    c = setup**2 - squared_t * covariance(setups, setup, setups, setup)
    root = b * b - a * c
    if save > 0 and a > 0:  # the saving per step is significant: a bounded interval
        half = math.sqrt(max(root, 0.0)) / a
        low, high = -b / a - half, -b / a + half
    elif save <= 0 and a >= 0:  # the loss per step is
        return BreakEven(count, step, math.inf, math.inf)
    else:
        # What is left is all outside of two roots, or everything. Only where no positive step below
        # the upper root is left does it bound the break-even from below.
        low = 0.0
        if setup > 0 and a < 0 < root:
            lower, upper = (-b + math.sqrt(root)) / a, (-b - math.sqrt(root)) / a
            low = upper if lower <= 0 < upper else 0.0
        high = math.inf
    return BreakEven(
        count, step, max(FIRST_STEP, FIRST_STEP + low), max(FIRST_STEP, FIRST_STEP + high)
    )


def _whole(step: float) -> int:
    """The first whole step at or after `step`, whatever rounding left behind its decimal point."""
    return math.ceil(step - 1e-6)
