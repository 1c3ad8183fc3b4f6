"""What became of a gain or a result: a status that programs test, and the reason for people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class GainStatus(StrEnum):
    """Whether there is a gain (of a row of one arm: a result), or what stands in its place."""

    OK = "ok"
    REFUSED = "refused"
    FAILED_PARITY = "failed parity"
    AMBIGUOUS = "ambiguous"
    ENGINES_DISAGREE = "engines disagree"
    NO_RESULT = "no result"


class PrecisionTarget(StrEnum):
    """How adaptive stopping ended, as records hold it."""

    REACHED = "precision reached"
    NOT_REACHED = "precision not reached"


@dataclass(frozen=True)
class Outcome:
    """A status with its reason; `str` is the text that CSV, JSON and Parquet hold as `state`.

    Attributes:
        status: What became of the gain or result.
        reason: Why it is not ok, as a phrase; empty if it is.
    """

    status: GainStatus = GainStatus.OK
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether there is a gain or result."""
        return self.status is GainStatus.OK

    def __str__(self) -> str:
        """`ok`, the reason why there are no results, or which check failed and its reason."""
        if self.ok:
            return GainStatus.OK.value
        if self.status is GainStatus.NO_RESULT:
            return self.reason
        return f"{self.status}: {self.reason}"

    @property
    def shown(self) -> str:
        """As tables show it: of results that make no gain, which check failed; else `no result`."""
        return f"{self.status}: {self.reason}" if self.reason else self.status.value


HAS_RESULT = Outcome()


def no_result(reason: str) -> Outcome:
    """The outcome of what has no result."""
    return Outcome(GainStatus.NO_RESULT, reason)
