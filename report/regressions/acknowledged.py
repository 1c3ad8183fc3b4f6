"""Accepted changes: a small file under version control that says from when on a pair has a new
normal.

acknowledged:
  - date: 2026-11-20            # nights before it (UTC) are no baseline any more; a time may follow
    # each a name or a pattern: "*"
    pair: {workload: roberta-base-b8, baseline: pytorch, candidate: onnxruntime}
    reason: sdpa is the default attention now
    commit: 3ef60dd             # what changed; may be left out
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import Field

from harness.schema.record import Pair
from harness.schema.workload import Strict
from harness.schema.yaml_text import load_model

FILE = "acknowledged.yaml"


class PairPattern(Strict):
    """Names, or shell patterns, of a pair's workload and arms.

    Of inference: `WORKLOAD/ARM/inference/batch-N`, torch and onnxruntime.
    """

    workload: str = "*"
    baseline: str = "*"
    candidate: str = "*"


class Acknowledgement(Strict):
    """One accepted change."""

    date: dt.datetime | dt.date
    pair: PairPattern
    reason: str = Field(min_length=1)
    commit: str = ""

    @property
    def since(self) -> dt.datetime:
        """The first moment (UTC) that counts again."""
        if isinstance(self.date, dt.datetime):
            return (
                self.date.replace(tzinfo=dt.UTC)
                if self.date.tzinfo is None
                else self.date.astimezone(dt.UTC)
            )
        return dt.datetime.combine(self.date, dt.time(), dt.UTC)

    def is_of(self, pair: Pair) -> bool:
        """Whether it speaks of `pair`."""
        names = (pair.workload, pair.baseline, pair.candidate)
        patterns = (self.pair.workload, self.pair.baseline, self.pair.candidate)
        return all(
            fnmatchcase(name, pattern) for name, pattern in zip(names, patterns, strict=True)
        )


class Acknowledged(Strict):
    """The file."""

    acknowledged: list[Acknowledgement] = Field(default_factory=list)


def load_acknowledged(results: Path, file: Path | None = None) -> list[Acknowledgement]:
    """What is accepted: from `file`, else from RESULTS/acknowledged.yaml where it is. BenchError:
    file:line, why.
    """
    if file is None:
        file = results / FILE
        if not file.is_file():
            return []
    return load_model(file, Acknowledged, as_text=("commit",)).acknowledged


def latest_for(
    pair: Pair, when: dt.datetime, entries: Sequence[Acknowledgement]
) -> Acknowledgement | None:
    """The latest accepted change of `pair` up to `when`."""
    of_pair = [entry for entry in entries if entry.is_of(pair) and entry.since <= when]
    return max(of_pair, key=lambda entry: entry.since) if of_pair else None
