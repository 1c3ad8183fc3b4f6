"""What a night has done so far: RESULTS/nightly/NIGHT/nightly.json, replaced whole after every
stage.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.files import write_atomically

StageName = Literal["bench", "check", "again", "recheck", "alert"]
STATE_FILE = "nightly.json"


class StageDone(BaseModel):
    """A stage that need not run again tonight."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    exit_code: int | None = Field(
        None, description="of its program; null: the stage was left out, `note` says why"
    )
    seconds: float = 0.0
    output: str | None = Field(None, description="what it made, relative to the folder of results")
    note: str = Field("", description="what a reader of the alerts must know of it; empty: nothing")
    died: bool = Field(False, description="its program did not do its work: there is no judgement")


class Night(BaseModel):
    """One night of one suite. It is over when its alerts are delivered."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    schema_version: int = 1
    night: str = Field(description="name, and that of its run")
    suite: str
    config_sha256: str = Field(description="of the resolved suite: another one is another night")
    started_at: datetime
    deadline_at: datetime = Field(description="no training after this")
    stages: dict[StageName, StageDone] = Field(default_factory=dict)
    over: bool = False
    exit_code: int | None = None

    @property
    def again(self) -> str:
        """The run of the alarmed pairs. `report check` finds it by this name and never takes it for
        a night.
        """
        return f"{self.night}-again"

    @property
    def died(self) -> bool:
        """Whether a runner died: there is no judgement then."""
        return any(stage.died for stage in self.stages.values())

    def seconds_left(self) -> float:
        """Until the deadline; not below 0."""
        return max(0.0, (self.deadline_at - datetime.now(UTC)).total_seconds())

    def notes(self) -> list[str]:
        """What its stages have to say to a reader of the alerts."""
        return [stage.note for stage in self.stages.values() if stage.note]


def nights_folder(results: Path) -> Path:
    """Where nights keep their state and logs, and alerts what was told. Holds no run, so the report
    passes it by.
    """
    return results / "nightly"


def folder_of(results: Path, night: Night) -> Path:
    return nights_folder(results) / night.night


def begin(results: Path, suite: str, config_sha256: str, budget_minutes: float) -> Night:
    """A new night, on disk."""
    now = datetime.now(UTC)
    name, number = f"{suite}-{now:%Y%m%d-%H%M%S}", 1
    while (results / name).exists() or (nights_folder(results) / name).exists():
        number += 1
        name = f"{suite}-{now:%Y%m%d-%H%M%S}-{number}"
    night = Night(
        night=name,
        suite=suite,
        config_sha256=config_sha256,
        started_at=now,
        deadline_at=now + timedelta(minutes=budget_minutes),
    )
    save(results, night)
    return night


def save(results: Path, night: Night) -> None:
    folder = folder_of(results, night)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / STATE_FILE, night.model_dump_json(indent=2).encode() + b"\n")


def pending(results: Path, suite: str) -> list[Night]:
    """Nights of the suite that are not over, oldest first. A damaged state file is named on stderr
    and passed by.
    """
    found: list[Night] = []
    for file in nights_folder(results).glob(f"*/{STATE_FILE}"):
        try:
            night = Night.model_validate_json(file.read_bytes())
        except (OSError, ValidationError) as error:
            print(
                f"harness: {file}: not a night's state, passed by: {str(error).splitlines()[0]}",
                file=sys.stderr,
            )
            continue
        if night.suite == suite and not night.over:
            found.append(night)
    return sorted(found, key=lambda night: night.started_at)
