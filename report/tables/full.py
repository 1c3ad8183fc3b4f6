"""The full form of a gain: the times of both arms and what the machine did, beside the gain and its
checks.
"""

from __future__ import annotations

from collections.abc import Sequence

from report.analysis.gains import END_TO_END
from report.analysis.launches import OK, arms_of, verdict
from report.loading.runs import Run
from report.tables import utilization
from report.tables.columns import DETAIL, Column, Show, as_number, decimals
from report.tables.footnotes import grouped
from report.tables.gain_rows import gain_rows
from report.tables.rows import END_TO_END as RUNTIME
from report.tables.rows import STEADY_STATE, Row, figure_means

SIDES = ("baseline", "candidate")
_STEADY = (*STEADY_STATE, *utilization.GPU_FIGURES, *utilization.HOST_FIGURES)
LEGEND = (
    "two figures in a cell are the baseline's and the candidate's, means over the launches that "
    "count; Util is NVML's "
    "GPU utilization (share of time in which any kernel ran), Mem the peak of the whole card by "
    "NVML, MFU model FLOPs "
    "utilization",
)


def full_rows(run: Run) -> list[Row]:
    """The rows of the gains with the figures of both arms: `baseline_…` and `candidate_…`. Keys:
    report.tables.keys.

    Rows of the end-to-end time have its figures, rows of the steady state those of the steady
    window.
    """
    arms = arms_of(run)
    sides = {
        (pair.workload, pair.baseline, pair.candidate): [
            [job for job in launches.values() if verdict(job) == OK]
            for launches in arms.of_pair(pair)
        ]
        for pair in run.info.pairs
    }
    rows = []
    for row in gain_rows(run):
        figures = RUNTIME if row["measure"] == END_TO_END.key else _STEADY
        of_pair = sides[str(row["workload"]), str(row["baseline"]), str(row["candidate"])]
        means = {
            f"{side}_{key}": value
            for side, jobs in zip(SIDES, of_pair, strict=True)
            for key, value in figure_means(figures, jobs).items()
        }
        rows.append({**row, **means})
    return rows


def machine_notes(run: Run) -> list[str]:
    """What must be said of the machine's figures."""
    return grouped(run, utilization.how_measured)


def _both(key: str, factor: float = 1.0, digits: int | None = None) -> Show:
    """Baseline / candidate, a dash for the one that is not known; empty if neither is, or it is of
    another measure.
    """

    def show(row: Row) -> str:
        values = [as_number(row.get(f"{side}_{key}")) for side in SIDES]
        if values == [None, None]:
            return ""
        return " / ".join(
            "–"
            if value is None
            else f"{value * factor:.{decimals(value * factor) if digits is None else digits}f}"
            for value in values
        )

    return show


def _times(row: Row) -> str:
    if row["measure"] == END_TO_END.key:
        shown = _both("runtime_s")(row)
        return f"{shown} s" if shown else ""
    shown = _both("steady_step_s", 1e3)(row)
    return f"{shown} ms" if shown else ""


def _samples(row: Row) -> str:
    return _both(
        "train_samples_per_s" if row["measure"] == END_TO_END.key else "steady_samples_per_s"
    )(row)


TIMES: Sequence[Column] = (
    Column("Runtime or step", _times, right=True),
    Column("Samples(/s)", _samples, right=True, importance=DETAIL),
    Column("Set-up(s)", _both("setup_s"), right=True, optional=True, importance=DETAIL),
)
MACHINE: Sequence[Column] = (
    Column("Util(%)", _both("gpu_utilization_percent", digits=1), right=True, optional=True),
    Column("Mem(GiB)", _both("gpu_memory_peak_bytes", 2**-30, 2), right=True, optional=True),
    Column("Power(W)", _both("power_w", digits=0), right=True, optional=True, importance=DETAIL),
    Column("J/sample", _both("joules_per_sample"), right=True, optional=True),
    Column("MFU(%)", _both("model_flops_utilization", 100, 1), right=True, optional=True),
    Column(
        "CPU, job(%)", _both("job_cpu_share", 100, 1), right=True, optional=True, importance=DETAIL
    ),
    Column(
        "RSS(GiB)", _both("peak_rss_bytes", 2**-30, 2), right=True, optional=True, importance=DETAIL
    ),
)
