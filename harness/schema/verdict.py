"""The verdict on a night: what `report check` writes and what `harness nightly` and `report alert`
read.

A verdict is a JSON file (`report check --json FILE`). Every finding has a state, which is one of a
fixed set, and beside it a reason in words. Programs decide by the state alone.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

# Which time was compared: of a step, of a whole job, or of a batch of inference.
FindingMeasure = Literal["steady_state", "end_to_end", "inference"]


class FindingState(StrEnum):
    """What became of one pair in one night."""

    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    WATCH = "watch"
    STEADY = "steady"
    MISSING = "missing"
    NOT_ENOUGH_NIGHTS = "not enough nights"

    @property
    def is_change(self) -> bool:
        """Whether the pair became slower or faster for certain."""
        return self in (FindingState.REGRESSION, FindingState.IMPROVEMENT)


class Cause(StrEnum):
    """Which arm of a pair changed."""

    CANDIDATE_REGRESSED = "candidate regressed"
    CANDIDATE_IMPROVED = "candidate improved"
    BASELINE_REGRESSED = "baseline regressed"
    BASELINE_IMPROVED = "baseline improved"
    HOST = "host or driver"
    UNCLEAR = "unclear"
    NONE = ""


class Series(StrEnum):
    """The three series of a pair that the detector judges."""

    BASELINE = "baseline_s"
    CANDIDATE = "candidate_s"
    RATIO = "ratio"


class VerdictCode(IntEnum):
    """The verdict on the night as a whole, and the exit status of `report check`."""

    NOTHING_WORSE = 0
    REGRESSION = 1
    NO_JUDGEMENT = 2


class Frozen(BaseModel):
    """Unknown fields are errors; values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Point(Frozen):
    """One night of one pair: mean seconds per step of both arms over the replicates that count.

    Of inference: mean seconds per batch of both engines. `spread` is of a replicate: the standard
    deviations of the logarithms of baseline's time, candidate's time and their ratio; None where
    there is one replicate, or it was not recorded.
    """

    run: str
    created_at: str = Field(description="UTC, ISO 8601")
    commit: str = ""
    baseline_s: float
    candidate_s: float
    replicates: int = Field(1, description="that count")
    spread: tuple[float, float, float] | None = None


class Change(Frozen):
    """One series tonight against the nights before its tail. Times and ratios in the series' own
    unit.
    """

    series: Series
    level: float = Field(description="of the tail")
    mean: float = Field(description="of the level before the tail, winsorised")
    change: float = Field(
        description="level / mean - 1; above 0 is slower (ratio: the candidate lost ground)"
    )
    score: float = Field(description="alarm above 1 (slower), below -1 (faster)")
    tail: int = Field(description="nights in the tail that scored highest")
    nights: int = Field(description="nights of the level before the tail")


class Finding(Frozen):
    """What became of one pair tonight. `state` and `cause` say it; the rest is the evidence.

    Of inference the workload is `WORKLOAD/ARM/inference/batch-N`, and the engines are baseline and
    candidate.
    """

    workload: str
    baseline: str
    candidate: str
    measure: FindingMeasure = "steady_state"
    measured_by: str = Field(
        "",
        description="WORKLOAD:BASELINE:CANDIDATE, the declared pair whose jobs measure it; empty: "
        "the pair itself",
    )
    host: str = Field(description="label of the comparable host: GPU, driver, stack")
    state: FindingState
    cause: Cause = Cause.NONE
    reason: str = Field("", description="one sentence for a reader")
    run: str = Field(description="tonight's run")
    since: str | None = Field(None, description="first run of the tail")
    last_good: str | None = Field(None, description="last run before the tail")
    level_from: str = Field(
        "",
        description="when the first night of the level before the tail was, as created_at",
    )
    level_to: str = Field("", description="the same of its last night")
    accepted_since: str = Field(
        "",
        description="from when on an acknowledgement counts, UTC, ISO 8601; empty: none does",
    )
    flips: str = Field(
        "",
        description="which arm's time flips between which levels, a sentence; empty: none does",
    )
    gain: float | None = Field(None, description="tonight's throughput gain, fraction")
    gain_low: float | None = None
    gain_high: float | None = None
    changes: list[Change] = Field(default_factory=list)
    confirmed: bool | None = Field(
        None, description="true or false once the pair ran again tonight; null: it did not"
    )
    measure_again: bool = Field(
        False,
        description="an alarm that was not measured a second time tonight: do, then `report check "
        "--again`",
    )
    different: list[str] = Field(
        default_factory=list, description="what changed in provenance since the last good run"
    )
    reproduce: str = Field("", description="the command that measures this pair again")
    history: list[Point] = Field(
        default_factory=list, description="nights on comparable hosts, oldest first"
    )


class Verdict(Frozen):
    """Every pair of one night."""

    run: str
    created_at: str = Field(description="UTC, ISO 8601")
    findings: list[Finding]
    problems: list[str] = Field(
        default_factory=list, description="what could not be read or judged, a sentence each"
    )
    exit_code: VerdictCode = Field(
        description="0: nothing is worse; 1: a regression; 2: no judgement"
    )

    @property
    def pairs_to_measure_again(self) -> list[str]:
        """The declared pairs, as WORKLOAD:BASELINE:CANDIDATE and each once, that have an alarm
        without a second measurement. An alarm of inference names the pair whose jobs measure it.
        """
        return list(
            dict.fromkeys(
                finding.measured_by or f"{finding.workload}:{finding.baseline}:{finding.candidate}"
                for finding in self.findings
                if finding.measure_again
            )
        )
