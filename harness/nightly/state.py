"""What a night keeps on disk: its state, its lock and its verdict.

The state is RESULTS/nightly/NIGHT/nightly.json, replaced whole after every stage. The lock allows
one night at a time on a host, because two nights would share the card and both would measure
nonsense. The verdict is the one of harness.schema.verdict.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.files import take_lock, write_atomically
from harness.schema.terms import suite_now
from harness.schema.verdict import Verdict, VerdictCode

STATE_FILE = "nightly.json"
WAIT_S = 120.0  # for what a killed night left behind: its last program may still be delivering


class Stage(StrEnum):
    """The stages of a night, in their order."""

    BENCH = "bench"
    CHECK = "check"
    AGAIN = "again"
    RECHECK = "recheck"
    ALERT = "alert"


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


class NightState(BaseModel):
    """One night of one suite. It is over when its alerts are delivered."""

    model_config = ConfigDict(extra="ignore", validate_assignment=True)

    schema_version: int = 1
    night: str = Field(description="name, and that of its run")
    suite: str
    config_sha256: str = Field(description="of the resolved suite: another one is another night")
    started_at: datetime
    deadline_at: datetime = Field(description="no training after this")
    stages: dict[Stage, StageDone] = Field(default_factory=dict)
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


def nights_folder(results: Path) -> Path:
    """Where nights keep their state and logs, and alerts what was told. Holds no run, so the report
    passes it by.
    """
    return results / "nightly"


def folder_of(results: Path, night: NightState) -> Path:
    """Where one night keeps its state, logs and verdicts."""
    return nights_folder(results) / night.night


def begin(results: Path, suite: str, config_sha256: str, budget_minutes: float) -> NightState:
    """A new night, on disk."""
    now = datetime.now(UTC)
    name, number = f"{suite}-{now:%Y%m%d-%H%M%S}", 1
    while (results / name).exists() or (nights_folder(results) / name).exists():
        number += 1
        name = f"{suite}-{now:%Y%m%d-%H%M%S}-{number}"
    night = NightState(
        night=name,
        suite=suite,
        config_sha256=config_sha256,
        started_at=now,
        deadline_at=now + timedelta(minutes=budget_minutes),
    )
    save(results, night)
    return night


def save(results: Path, night: NightState) -> None:
    """Replace the state on disk."""
    folder = folder_of(results, night)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / STATE_FILE, night)


def pending(results: Path, suite: str) -> list[NightState]:
    """Nights of the suite that are not over, oldest first. A damaged state file is named on stderr
    and passed by.
    """
    found: list[NightState] = []
    for file in nights_folder(results).glob(f"*/{STATE_FILE}"):
        try:
            night = NightState.model_validate_json(file.read_bytes())
        except (OSError, ValidationError) as error:
            print(
                f"harness: {file}: not a night's state, passed by: {str(error).splitlines()[0]}",
                file=sys.stderr,
            )
            continue
        if suite_now(night.suite) == suite and not night.over:
            found.append(night)
    return sorted(found, key=lambda night: night.started_at)


@contextlib.contextmanager
def night_lock(path: Path, wait_s: float = WAIT_S) -> Iterator[int]:
    """Hold the lock at `path`; yields its descriptor, for children to hold it too.

    A holder that lives is refused at once, by its pid (BenchError). If only the programs of a
    killed one are left, they are waited for, at most `wait_s` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    said, fix = (
        "another night is running (pid {pid})",
        "wait for it to end; two would share the card",
    )
    descriptor = take_lock(path, wait_s, said, place=str(path), fix=fix)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def ended_in_order(run: Path) -> bool:
    """Whether the runner wrote its last word into run.json; one that was killed, or never began,
    did not.
    """
    try:
        info = json.loads((run / "run.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(info, dict) and info.get("status") not in ("running", "incomplete")


def read_verdict(path: Path) -> Verdict | None:
    """The verdict in a file; None if there is none or it is no verdict."""
    try:
        return Verdict.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def write_final(path: Path, judged: Verdict | None, night: NightState) -> Verdict:
    """Write the verdict that `report alert` reads, and return it.

    Args:
        path: Where it goes.
        judged: What `report check` found; None: it made no verdict.
        night: What its stages have to say is added to the problems. Where a runner died there is no
            judgement, whatever could be told from what it left.
    """
    notes = [stage.note for stage in night.stages.values() if stage.note]
    if judged is None:
        judged = Verdict(
            run=night.night,
            created_at=night.started_at.isoformat(timespec="seconds"),
            findings=[],
            exit_code=VerdictCode.NO_JUDGEMENT,
        )
    final = Verdict(
        run=judged.run,
        created_at=judged.created_at,
        findings=judged.findings,
        problems=[*judged.problems, *notes],
        exit_code=VerdictCode.NO_JUDGEMENT if night.died else judged.exit_code,
    )
    _write(path, final)
    return final


def _write(path: Path, model: BaseModel) -> None:
    write_atomically(path, model.model_dump_json(indent=2).encode() + b"\n")
