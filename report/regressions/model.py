"""What `report check` finds and `report alert` tells: the file between them, as pydantic models
(`--json FILE`).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

State = Literal["regression", "improvement", "watch", "steady", "missing", "not enough nights"]
Cause = Literal[
    "candidate regressed",
    "candidate improved",
    "baseline regressed",
    "baseline improved",
    "host or driver",
    "unclear",
    "",
]


class Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Point(Frozen):
    """One night of one pair: mean seconds per step of both arms over the launches that count.

    Of inference: mean seconds per batch of both engines.
    """

    run: str
    created_at: str = Field(description="UTC, ISO 8601")
    commit: str = ""
    baseline_s: float
    candidate_s: float


class Change(Frozen):
    """One series tonight against the nights before its tail. Times and ratios in the series' own
    unit.
    """

    series: Literal["baseline_s", "candidate_s", "ratio"]
    level: float = Field(description="of the tail")
    mean: float = Field(description="of the nights before the tail, winsorised")
    change: float = Field(
        description="level / mean - 1; above 0 is slower (ratio: the candidate lost ground)"
    )
    score: float = Field(description="alarm above 1 (slower), below -1 (faster)")
    tail: int = Field(description="nights in the tail that scored highest")
    nights: int = Field(description="nights before the tail")


class Finding(Frozen):
    """What became of one pair tonight. `state` and `cause` say it; the rest is the evidence.

    Of inference the workload is `WORKLOAD/ARM/inference/batch-N`, and the engines are baseline and
    candidate.
    """

    workload: str
    baseline: str
    candidate: str
    measure: Literal["steady_state", "end_to_end", "inference"] = "steady_state"
    measured_by: str = Field(
        "",
        description="WORKLOAD:BASELINE:CANDIDATE, the declared pair whose jobs measure it; empty: "
        "the pair itself",
    )
    host: str = Field(description="label of the comparable host: GPU, driver, stack")
    state: State
    cause: Cause = ""
    reason: str = Field("", description="one sentence for a reader")
    run: str = Field(description="tonight's run")
    since: str | None = Field(None, description="first run of the tail")
    last_good: str | None = Field(None, description="last run before the tail")
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
    """`report check`: every pair of the newest night. Exit code 0: nothing worse; 1: a regression;
    2: no judgement.
    """

    run: str
    created_at: str
    findings: list[Finding]
    problems: list[str] = Field(
        default_factory=list, description="what could not be read or judged, a sentence each"
    )
    exit_code: Literal[0, 1, 2]
