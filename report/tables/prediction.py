"""What a job's first steps foretell of its whole training time, held against the time that it took.

A steady-state measurement is short. Whether it speaks for a training of hours is a claim that jobs
which ran to their end can test: their first FIRST_STEPS steps are read as if the job had ended
there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.schema.record import JobRecord
from harness.schema.replicates import ReplicateNames
from report.analysis.metrics import ESSENTIAL, RUNTIME, SETUP
from report.analysis.replicates import arms_of, is_result, names_of
from report.analysis.statistics import usable
from report.loading.runs import Run
from report.loading.series import Files
from report.tables.arm_rows import arm_rows, backends_are_shared
from report.tables.arms import ARM, BACKEND, notes_of, rows_of
from report.tables.columns import (
    ATTENTION,
    BATCH,
    GPU,
    MODEL,
    PRECISION,
    TASK,
    Column,
    number_column,
    percent,
    run_column,
    split_facts,
    text,
    workload_column,
)
from report.tables.footnotes import source_notes
from report.tables.rows import ArmRow, PredictionRow, extended
from report.tables.table import Table, TablePart, make_table, part_of

FIRST_STEPS = 200
WORTH_A_NOTE = 0.01  # relative difference from which a note says where it comes from
DEFAULT_WARMUP_STEPS = 10  # of harness.schema.measurement, for runs that do not say
LEGEND = (
    f"predicted: set-up + (steps - 1) x the mean of the first {FIRST_STEPS} steps without the "
    "suite's "
    "warm-up steps; runtime: end to end, as Trainer prints it; difference: predicted over "
    "runtime, less 1",
)


@dataclass(frozen=True)
class Prediction:
    """The training time of one job in seconds, foretold from its first FIRST_STEPS steps.

    Attributes:
        steps: Optimizer steps of the whole job.
        first_step_s: Mean seconds of the first FIRST_STEPS steps without the warm-up.
        later_step_s: Mean seconds of all steps after these.
        predicted_s: Set-up, then `steps - 1` steps of `first_step_s`.
        runtime_s: What the job took, end to end.
    """

    steps: int
    first_step_s: float
    later_step_s: float
    predicted_s: float
    runtime_s: float

    @property
    def difference(self) -> float:
        """How much too long (above 0) or too short the prediction is, as a fraction of the
        runtime.
        """
        return self.predicted_s / self.runtime_s - 1


def predict(
    durations_s: Sequence[float], setup_s: float | None, runtime_s: float | None, warmup_steps: int
) -> Prediction | None:
    """The prediction for a job whose steps took `durations_s`, the first of which is part of
    set-up.

    Args:
        durations_s: Seconds of every optimizer step.
        setup_s: Seconds from the call of train() to the end of the first step.
        runtime_s: Seconds of the whole training.
        warmup_steps: Steps at the beginning that the mean leaves out; the first always is.

    Returns:
        None where a time is missing or unusable, or the job is too short: it needs as many steps
        again after the first FIRST_STEPS.
    """
    steps = len(durations_s)
    window = durations_s[max(1, warmup_steps) : FIRST_STEPS]
    if not usable(setup_s) or not usable(runtime_s) or steps < 2 * FIRST_STEPS or not len(window):
        return None
    first = math.fsum(window) / len(window)
    later = math.fsum(durations_s[FIRST_STEPS:]) / (steps - FIRST_STEPS)
    if not usable(first) or not usable(later):
        return None
    return Prediction(steps, first, later, setup_s + (steps - 1) * first, runtime_s)


def prediction(run: Run) -> TablePart[PredictionRow]:
    """Every replicate that counts, was trained without turns and has at least twice FIRST_STEPS
    steps.
    """
    files = Files()
    rows: list[PredictionRow] = []
    notes: list[str] = []
    replicates = arms_of(run).replicates
    for row in arm_rows(run, ()):
        for job in replicates[row.workload, row.arm].values():
            found = _of_job(run, job, files)
            if found is None:
                continue
            shown = _row(row, job, found, names_of(run)[row.workload])
            rows.append(shown)
            if abs(found.difference) > WORTH_A_NOTE:
                notes.append(_note(shown, found))
    notes = [*source_notes(run), *notes, *files.take()] if rows else []
    return part_of(run, rows, notes, by_name=backends_are_shared(run))


def prediction_tables(parts: Sequence[TablePart[PredictionRow]]) -> list[Table[PredictionRow]]:
    """The table of `prediction`: a row per job."""
    rows = rows_of(parts)
    by_name = any(part.by_name for part in parts)
    facts, shared = split_facts(
        rows, (TASK, PRECISION, BATCH, *(() if by_name else (ATTENTION,)), GPU)
    )
    columns: list[Column[PredictionRow]] = [
        *run_column(rows),
        MODEL,
        ARM if by_name else BACKEND,
        *facts,
        *workload_column(rows),
        Column("Replicate", _replicate, right=True, importance=ESSENTIAL),
        Column("Steps", text(lambda row: row.steps), right=True),
        number_column(SETUP.header, lambda row: row.setup_s),
        number_column(f"First {FIRST_STEPS}(ms)", lambda row: row.first_step_s, 1e3),
        number_column("Later(ms)", lambda row: row.later_step_s, 1e3),
        number_column("Predicted(s)", lambda row: row.predicted_runtime_s, importance=ESSENTIAL),
        number_column(RUNTIME.header, lambda row: row.runtime_s, importance=ESSENTIAL),
        Column(
            "Difference",
            lambda row: percent(row.prediction_difference),
            right=True,
            importance=ESSENTIAL,
        ),
    ]
    title = f"Training time predicted from the first {FIRST_STEPS} steps{shared}:"
    return [make_table("prediction", title, columns, rows, notes_of(parts, LEGEND if rows else ()))]


def _of_job(run: Run, job: JobRecord, files: Files) -> Prediction | None:
    if not is_result(job) or job.group or job.source != "measured":
        return None
    series = files.read(run, job.series, ["duration_s"])
    if series is None:
        return None
    timing = job.timing
    durations = [float(value) for value in series["duration_s"]]
    return predict(durations, timing.setup_s, timing.train_runtime_s, _warmup_steps(run))


def _warmup_steps(run: Run) -> int:
    measurement = run.info.measurement
    found = measurement.warmup_steps if measurement is not None else None
    return DEFAULT_WARMUP_STEPS if found is None else found


def _row(row: ArmRow, job: JobRecord, found: Prediction, names: ReplicateNames) -> PredictionRow:
    return extended(
        row,
        PredictionRow,
        replicate=names.number(job.replicate),
        group=names.group(job.replicate),
        steps=found.steps,
        setup_s=SETUP.read(job),
        first_step_s=found.first_step_s,
        later_step_s=found.later_step_s,
        predicted_runtime_s=found.predicted_s,
        runtime_s=found.runtime_s,
        prediction_difference=found.difference,
    )


def _replicate(row: PredictionRow) -> str:
    return f"{row.replicate}" + (f" of group {row.group}" if row.group is not None else "")


def _note(row: PredictionRow, found: Prediction) -> str:
    """Which job the prediction misses by more than WORTH_A_NOTE, and from which steps the
    difference comes.
    """
    difference = row.prediction_difference
    which = "long" if difference > 0 else "short"
    compared = found.later_step_s / found.first_step_s - 1
    changed = "less" if compared < 0 else "more"
    return (
        f"{row.model}, {row.arm}, replicate {_replicate(row)}: predicted {abs(difference):.1%} "
        f"too {which}, "
        f"for the steps after the first {FIRST_STEPS} took {abs(compared):.1%} {changed} time each"
    )
