"""The training time of all epochs, predicted from set-up and steady steps, in the published form.

Runs of the interleaved protocol measure the steady state in minutes. What a whole training would
take follows from it: set-up + (steps − 1) · steady step. Each replicate predicts one time, so the
interval over replicates holds the spread of both parts. What such predictions are worth is held
against whole trainings by the view `prediction`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from report.analysis.gains import Measure, gains_of, matched, transformed
from report.analysis.metrics import (
    ESSENTIAL,
    PREDICTED,
    PREDICTED_RUNTIME,
    SETUP,
    WARM_SETUP,
    Figure,
    whole_steps,
)
from report.analysis.outcome import no_result
from report.analysis.replicates import arms_of, only_interleaved
from report.analysis.statistics import (
    latency_gain,
    log_ratios,
    mean_interval,
    throughput_gain,
)
from report.loading.runs import Run
from report.tables.arm_rows import backends_are_shared, counted_rows, with_interval
from report.tables.arms import ARM, BACKEND, notes_of, rows_of
from report.tables.columns import (
    ATTENTION,
    BATCH,
    GPU,
    MODEL,
    PAIR_ATTENTION,
    PRECISION,
    STATE,
    TASK,
    TELLING_STATE,
    Column,
    count_column,
    figure_column,
    figure_columns,
    number_column,
    run_column,
    split_facts,
    text,
    workload_column,
)
from report.tables.footnotes import kernel_notes, several_groups_notes, source_notes
from report.tables.gain_rows import gain_rows
from report.tables.gains import gain_columns, pair_labels
from report.tables.padding_footnotes import padding_notes
from report.tables.rows import GainRow, PredictedRow, extended
from report.tables.table import Table, TablePart, make_table, part_of
from report.text import epochs_of

WHOLE = Measure("predicted", "end to end, predicted", PREDICTED_RUNTIME.read)
LEGEND = (
    "predicted: set-up + (steps - 1) x steady step, for all epochs that the suite asks for; first "
    "set-up: of the arm's parity run, with all that was compiled or cached on first use; a "
    "replicate that compiled anew what its arm keeps from job to job predicts nothing",
)
SIDE_BY_SIDE = "the set-ups of jobs that took turns were made side by side"
FIRST_SIDE_BY_SIDE = "; so were those of all parity runs but the first"


def predicted(run: Run) -> TablePart[PredictedRow]:
    """Every measured arm whose number of samples is known."""
    rows = []
    parity_runs = arms_of(run).parity_runs
    for row, jobs in counted_rows(run, (*PREDICTED, WARM_SETUP), (PREDICTED_RUNTIME,)):
        if not jobs or (steps := whole_steps(jobs[0])) is None:
            continue
        parity_run = parity_runs.get((row.workload, row.arm))
        rows.append(
            extended(
                row,
                PredictedRow,
                epochs=jobs[0].workload.training.epochs,
                steps=steps,
                first_setup_s=SETUP.read(parity_run) if parity_run is not None else None,
            )
        )
    return part_of(
        run,
        rows,
        _notes(run) if rows else source_notes(run),
        by_name=backends_are_shared(run),
        usual=bool(rows) and only_interleaved(run),
    )


def _notes(run: Run) -> list[str]:
    beside = any(job.share_s is not None for job in arms_of(run).parity_runs.values())
    side_by_side = SIDE_BY_SIDE + (FIRST_SIDE_BY_SIDE if beside else "")
    return [
        *source_notes(run),
        *several_groups_notes(run),
        *kernel_notes(run),
        *([side_by_side] if only_interleaved(run) else []),
    ]


def predicted_tables(parts: Sequence[TablePart[PredictedRow]]) -> list[Table[PredictedRow]]:
    """The table of `predicted`: Model | Backend | Runtime(s), predicted | Train samples(/s)."""
    rows = rows_of(parts)
    by_name = any(part.by_name for part in parts)
    facts, shared = split_facts(
        rows, (TASK, PRECISION, BATCH, *(() if by_name else (ATTENTION,)), GPU)
    )
    epochs = {row.epochs for row in rows}
    header = PREDICTED_RUNTIME.header
    epochs_column: list[Column[PredictedRow]] = []
    if len(epochs) == 1:
        header = f"Runtime(s), {epochs_of(epochs.pop())}, predicted"
    else:
        epochs_column.append(number_column("Epochs", lambda row: row.epochs))
    runtime, *others = figure_columns(PREDICTED)
    columns: list[Column[PredictedRow]] = [
        *run_column(rows),
        MODEL,
        ARM if by_name else BACKEND,
        *facts,
        *workload_column(rows),
        replace(runtime, title=header),
        *others,
        *epochs_column,
        Column("Steps", text(lambda row: row.steps), right=True),
        number_column("First set-up(s)", lambda row: row.first_setup_s),
        figure_column(WARM_SETUP),
        count_column(),
        STATE,
    ]
    title = f"Training time of all epochs, predicted{shared}:"
    return [make_table("predicted", title, columns, rows, notes_of(parts, LEGEND if rows else ()))]


def predicted_gains(run: Run) -> TablePart[GainRow]:
    """Every declared pair whose predicted times can be compared."""
    arms = arms_of(run)
    rows = []
    shown: set[tuple[str, str, str]] = set()
    for gain, row in zip(gains_of(run, arms), gain_rows(run), strict=True):
        pair = gain.pair
        key = (pair.workload, pair.baseline, pair.candidate)
        if key in shown or row.source != "measured":
            continue
        shown.add(key)
        times = [
            (PREDICTED_RUNTIME.read(baseline) or 0.0, PREDICTED_RUNTIME.read(candidate) or 0.0)
            for baseline, candidate in matched(*arms.of_pair(pair), PREDICTED_RUNTIME.read)
        ]
        outcome = row.outcome
        if outcome.ok and not times:
            outcome = no_result("the number of training samples is not recorded")
        ratio = mean_interval(log_ratios(times)) if outcome.ok else None
        rows.append(
            extended(
                row,
                GainRow,
                measure=WHOLE,
                precision_target=None,
                n=len(times) if ratio else 0,
                log_ratio=with_interval(ratio),
                latency_gain=Figure.of(*transformed(ratio, latency_gain)),
                throughput_gain=Figure.of(*transformed(ratio, throughput_gain)),
                outcome=outcome,
            )
        )
    return part_of(
        run,
        rows,
        [*_notes(run), *padding_notes(run)] if rows else source_notes(run),
        by_name=backends_are_shared(run),
        usual=any(row.outcome.ok for row in rows) and only_interleaved(run),
    )


def predicted_gain_tables(parts: Sequence[TablePart[GainRow]]) -> list[Table[GainRow]]:
    """The table of `predicted_gains`: Model | Latency | Throughput, then the interval, n and
    state.
    """
    rows = rows_of(parts)
    arms = pair_labels(parts)
    labels = sorted({arms(row) for row in rows})
    by_name = any(part.by_name for part in parts)
    facts, shared = split_facts(
        rows, (TASK, PRECISION, BATCH, *(() if by_name else (PAIR_ATTENTION,)))
    )
    columns: list[Column[GainRow]] = [
        *run_column(rows),
        MODEL,
        *facts,
        *workload_column(rows),
        *([Column("Gain of", arms, importance=ESSENTIAL)] if len(labels) > 1 else []),
        *gain_columns(rows),
        count_column(),
        Column("Parity", text(lambda row: row.parity), optional=True),
        TELLING_STATE,
    ]
    of = f"of {labels[0]}" if len(labels) == 1 else "by pair"
    title = f"Gain {of} over all epochs, predicted{shared}:"
    return [make_table("predicted-gains", title, columns, rows, notes_of(parts))]
