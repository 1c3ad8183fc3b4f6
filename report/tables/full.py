"""The full form of a gain: the times of both arms and what the machine did, beside the gain and its
checks.
"""

from __future__ import annotations

from collections.abc import Sequence

from report.analysis import metrics
from report.analysis.gains import END_TO_END, compiled_apart
from report.analysis.metrics import DETAIL, NORMAL, JobMetric
from report.analysis.replicates import arms_of, is_result
from report.loading.runs import Run
from report.tables import utilization
from report.tables.arm_rows import figure_means
from report.tables.columns import Column, format_number
from report.tables.footnotes import grouped
from report.tables.gain_rows import gain_rows
from report.tables.padding_footnotes import mfu_notes
from report.tables.rows import SIDES, FullRow, extended

_STEADY = (*metrics.STEADY_STATE, *metrics.GPU, *metrics.HOST)
LEGEND = (
    "two figures in a cell are the baseline's and the candidate's, means over the replicates that "
    "count; Util is NVML's "
    "GPU utilization (share of time in which any kernel ran), Mem the peak of the whole card by "
    "NVML, MFU model FLOPs "
    "utilization",
)


def full_rows(run: Run) -> list[FullRow]:
    """The rows of the gains with the figures of both arms.

    Rows of the end-to-end time have its figures, rows of the steady state those of the steady
    window.
    """
    arms = arms_of(run)
    pairs = {(pair.workload, pair.baseline, pair.candidate): pair for pair in run.info.pairs}
    rows = []
    for row in gain_rows(run):
        figures = metrics.END_TO_END if row.measure is END_TO_END else _STEADY
        of_pair = arms.of_pair(pairs[row.workload, row.baseline, row.candidate])
        cold = {job.replicate for job in compiled_apart(*of_pair, row.measure.time)}
        counted = [
            [job for number, job in side.items() if is_result(job) and number not in cold]
            for side in of_pair
        ]
        means = {
            side: figure_means(figures, jobs) for side, jobs in zip(SIDES, counted, strict=True)
        }
        rows.append(extended(row, FullRow, sides=means))
    return rows


def machine_notes(run: Run) -> list[str]:
    """What must be said of the machine's figures."""
    return [*grouped(run, utilization.how_measured), *mfu_notes(run)]


def _both(metric: JobMetric, row: FullRow) -> str:
    """Baseline / candidate, a dash for the one that is not known; empty if neither is, or it is of
    another measure.
    """
    figures = [row.sides[side].get(metric) for side in SIDES]
    values = [figure.value if figure else None for figure in figures]
    if values == [None, None]:
        return ""
    return " / ".join(format_number(value, metric.factor, metric.digits) or "–" for value in values)


def _times(row: FullRow) -> str:
    end_to_end = row.measure is END_TO_END
    shown = _both(metrics.RUNTIME if end_to_end else metrics.STEADY_STEP, row)
    return f"{shown} {'s' if end_to_end else 'ms'}" if shown else ""


def _samples(row: FullRow) -> str:
    end_to_end = row.measure is END_TO_END
    return _both(metrics.TRAIN_SAMPLES_PER_S if end_to_end else metrics.STEADY_SAMPLES_PER_S, row)


def _both_column(
    metric: JobMetric, title: str = "", *, importance: int = NORMAL
) -> Column[FullRow]:
    return Column(
        title or metric.header,
        lambda row: _both(metric, row),
        right=True,
        optional=True,
        importance=importance,
    )


TIMES: Sequence[Column[FullRow]] = (
    Column("Runtime or step", _times, right=True),
    Column("Samples(/s)", _samples, right=True, importance=DETAIL),
    _both_column(metrics.SETUP, importance=DETAIL),
)
MACHINE: Sequence[Column[FullRow]] = (
    _both_column(metrics.GPU_UTILIZATION),
    _both_column(metrics.GPU_MEMORY_PEAK, "Mem(GiB)"),
    _both_column(metrics.POWER, importance=DETAIL),
    _both_column(metrics.ENERGY_PER_SAMPLE),
    _both_column(metrics.MODEL_FLOPS_UTILIZATION),
    _both_column(metrics.JOB_CPU_SHARE, importance=DETAIL),
    _both_column(metrics.PROCESS_MEMORY_PEAK, "RSS(GiB)", importance=DETAIL),
)
