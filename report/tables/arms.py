"""Views with a row per arm: runtimes, steady state, what the machine did.

Runtimes: Model | Backend | Runtime(s) | Train samples(/s), as Optimum publishes them, then
interval, n and state. What all rows share stands in the title; what varies has a column.
"""

from __future__ import annotations

from collections.abc import Sequence

from report.analysis.launches import only_blocks
from report.analysis.utilization import is_measured, is_on_gpu
from report.loading.runs import Run
from report.tables import utilization
from report.tables.columns import (
    ATTENTION,
    BATCH,
    DETAIL,
    ESSENTIAL,
    GPU,
    PRECISION,
    TASK,
    Column,
    Fact,
    backends_are_shared,
    count,
    half_width,
    number,
    run_column,
    split_facts,
    state,
    state_if_telling,
    text,
    workload_column,
)
from report.tables.footnotes import (
    cache_notes,
    disturbance_notes,
    merge_notes,
    runtime_notes,
    source_notes,
    telemetry_notes,
)
from report.tables.rows import END_TO_END, STEADY_STATE, Row, arm_rows
from report.tables.table import Part, Table, make_table, part_of


def runtimes(run: Run) -> Part:
    """End to end, every arm of every workload; jobs that took turns on the device have no such
    time.
    """
    turns = only_blocks(run)
    return part_of(
        run,
        []
        if turns
        else arm_rows(
            run, (*END_TO_END, utilization.UTILIZATION), needs=("runtime_s", "train_samples_per_s")
        ),
        runtime_notes(run),
        usual=not turns,
    )


def runtime_tables(parts: Sequence[Part]) -> list[Table]:
    """The table of `runtimes`."""
    rows = rows_of(parts)
    facts, shared = split_facts(rows, (TASK, PRECISION, BATCH, ATTENTION))
    columns = [
        *run_column(rows),
        Column("Model", text("model"), importance=ESSENTIAL),
        Column("Backend", text("backend"), importance=ESSENTIAL),
        Column("Runtime(s)", number("runtime_s"), right=True, importance=ESSENTIAL),
        Column("Train samples(/s)", number("train_samples_per_s"), right=True),
        Column("Runtime ±95%", half_width("runtime_s"), right=True, optional=True),
        Column(
            "GPU util(%)", number("gpu_utilization_percent", digits=1), right=True, optional=True
        ),
        Column("n", count, right=True, optional=True),
        *([Column("Arm", text("arm"), importance=ESSENTIAL)] if backends_are_shared(rows) else []),
        *facts,
        *workload_column(rows),
        Column("State", state, importance=ESSENTIAL),
    ]
    return [
        make_table(
            "runtimes",
            f"Training time by model and backend{shared}:",
            columns,
            rows,
            notes_of(parts),
        )
    ]


def steady(run: Run) -> Part:
    """Set-up and steady state of every measured arm; publications have neither."""
    needs = ("steady_step_s", "steady_samples_per_s")
    rows = [row for row in arm_rows(run, STEADY_STATE, needs=needs) if row["source"] == "measured"]
    usual = any(job.timing.steady_step_s is not None for job in run.jobs)
    notes = [*source_notes(run), *disturbance_notes(run), *telemetry_notes(run), *cache_notes(run)]
    return part_of(run, rows, notes, usual=usual)


def steady_tables(parts: Sequence[Part]) -> list[Table]:
    """The table of `steady`."""
    rows = rows_of(parts)
    facts, shared = arm_facts(rows)
    columns = [
        *run_column(rows),
        Column("Model", text("model"), importance=ESSENTIAL),
        *facts,
        Column("Set-up(s)", number("setup_s"), right=True, optional=True),
        Column("Steady step(ms)", number("steady_step_s", 1e3), right=True, importance=ESSENTIAL),
        Column("Step ±95%", half_width("steady_step_s", 1e3), right=True, optional=True),
        Column("Steady samples(/s)", number("steady_samples_per_s"), right=True),
        Column("n", count, right=True),
        *workload_column(rows),
        Column("State", state_if_telling, optional=True, importance=ESSENTIAL),
    ]
    return [
        make_table("steady", f"Set-up and steady state{shared}:", columns, rows, notes_of(parts))
    ]


def machine_use(run: Run) -> Part:
    """What the cards did in the steady state, and of runs on CPU what the processors did;
    publications have neither.
    """
    usual = any(job.telemetry and job.telemetry.gpus for job in run.jobs)
    if not is_measured(run):
        return part_of(run, [], [], usual=usual, kind="published")
    if is_on_gpu(run):
        return part_of(
            run, utilization.gpu_rows(run), utilization.gpu_notes(run), usual=usual, kind="gpu"
        )
    return part_of(
        run, utilization.host_rows(run), utilization.gpu_notes(run), usual=usual, kind="host"
    )


def machine_use_tables(parts: Sequence[Part]) -> list[Table]:
    """The tables of `machine_use`, one of runs on GPUs and one of runs on CPU."""
    on_gpu = [part for part in parts if part.kind == "gpu"]
    on_cpu = [part for part in parts if part.kind == "host"]
    return [
        *(_gpu_tables(on_gpu) if on_gpu or not on_cpu else []),
        *(_host_tables(on_cpu) if on_cpu else []),
    ]


def _gpu_tables(parts: Sequence[Part]) -> list[Table]:
    rows = rows_of(parts)
    facts, shared = arm_facts(rows, GPU)
    columns = [
        *run_column(rows),
        Column("Model", text("model"), importance=ESSENTIAL),
        *facts,
        Column(
            "Util(%)", number("gpu_utilization_percent", digits=1), right=True, importance=ESSENTIAL
        ),
        Column(
            "p10(%)", number("gpu_utilization_p10_percent", digits=1), right=True, importance=DETAIL
        ),
        Column(
            "NVML GiB", number("gpu_memory_peak_bytes", 2**-30, 2), right=True, importance=ESSENTIAL
        ),
        Column(
            "Torch GiB",
            number("torch_peak_allocated_bytes", 2**-30, 2),
            right=True,
            importance=DETAIL,
        ),
        Column("Power(W)", number("power_w", digits=0), right=True),
        Column("J/sample", number("joules_per_sample"), right=True),
        Column("MFU(%)", number("model_flops_utilization", 100, 1), right=True),
        Column("SM(MHz)", number("sm_clock_mhz", digits=0), right=True, importance=DETAIL),
        Column("Kernels", text("kernels"), optional=True, importance=DETAIL),
        Column("n", count, right=True),
        *workload_column(rows),
        Column("State", state_if_telling, optional=True, importance=ESSENTIAL),
    ]
    notes = notes_of(parts, utilization.LEGEND if rows else ())
    return [make_table("gpu", f"GPU use in the steady state{shared}:", columns, rows, notes)]


def _host_tables(parts: Sequence[Part]) -> list[Table]:
    rows = rows_of(parts)
    facts, shared = arm_facts(rows)
    columns = [
        *run_column(rows),
        Column("Model", text("model"), importance=ESSENTIAL),
        *facts,
        Column("CPU, job(%)", number("job_cpu_share", 100, 1), right=True),
        Column("CPU, host(%)", number("host_cpu_share", 100, 1), right=True, importance=DETAIL),
        Column("Peak RSS(GiB)", number("peak_rss_bytes", 2**-30, 2), right=True),
        Column("n", count, right=True),
        *workload_column(rows),
        Column("State", state_if_telling, optional=True, importance=ESSENTIAL),
    ]
    notes = notes_of(parts, utilization.HOST_LEGEND)
    return [make_table("host", f"CPU use in the steady state{shared}:", columns, rows, notes)]


def rows_of(parts: Sequence[Part]) -> list[Row]:
    """The rows of all runs."""
    return [row for part in parts for row in part.rows]


def notes_of(parts: Sequence[Part], legend: Sequence[str] = ()) -> list[str]:
    """The notes of all runs, with their names where they are not those of all."""
    return merge_notes([(part.run, part.notes) for part in parts], legend)


def arm_facts(rows: Sequence[Row], *more: Fact) -> tuple[list[Column], str]:
    """The columns that name an arm, and the title's words; the attention only where backends name
    the arms.
    """
    by_name = backends_are_shared(rows)
    arm = Column("Arm", text("arm")) if by_name else Column("Backend", text("backend"))
    columns, shared = split_facts(
        rows, (TASK, PRECISION, BATCH, *(() if by_name else (ATTENTION,)), *more)
    )
    return [Column(arm.title, arm.show, importance=ESSENTIAL), *columns], shared
