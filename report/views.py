"""The views: each one kind of table, made from runs. A new one is a function and a line of VIEWS.

Runtimes: Model | Backend | Runtime(s) | Train samples(/s), gains: Model | Latency | Throughput, as Optimum publishes
them, then intervals, n and state. What all rows share stands in the title; what varies has a column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from report import gpu
from report.columns import (
    ATTENTION,
    BATCH,
    GPU,
    PAIR_ATTENTION,
    PRECISION,
    TASK,
    Column,
    Fact,
    Show,
    as_number,
    count,
    device,
    half_width,
    interval,
    number,
    percent,
    run_column,
    split_facts,
    state,
    state_if_telling,
    text,
    workload_column,
)
from report.gain_notes import gain_notes
from report.gain_rows import gain_rows
from report.gains import MEASURES
from report.launches import arms_of, by_blocks
from report.load import Run
from report.notes import per_run, runtime_notes, source_notes
from report.rows import END_TO_END, STEADY_STATE, Row, arm_rows
from report.tables import Table, make_table

MEASURE_LABELS = {measure.key: measure.label for measure in MEASURES}


def runtimes(runs: Sequence[Run]) -> list[Table]:
    """End to end, every arm of every workload; jobs that took turns on the device have no such time."""
    rows = [row for run in runs if not _only_blocks(run) for row in arm_rows(run, END_TO_END)]
    facts, shared = split_facts(rows, (TASK, PRECISION, BATCH, ATTENTION))
    columns = [
        *run_column(rows),
        Column("Model", text("model")),
        Column("Backend", text("backend")),
        Column("Runtime(s)", number("runtime_s"), right=True),
        Column("Train samples(/s)", number("train_samples_per_s"), right=True),
        Column("Runtime ±95%", half_width("runtime_s"), right=True, optional=True),
        Column("n", count, right=True, optional=True),
        *([Column("Arm", text("arm"))] if _backends_are_shared(rows) else []),
        *facts,
        *workload_column(rows),
        Column("State", state),
    ]
    title = f"Training time by model and backend{shared}:"
    return [make_table("runtimes", title, columns, rows, per_run(runs, runtime_notes))]


def steady(runs: Sequence[Run]) -> list[Table]:
    """Set-up and steady state of every measured arm; publications have neither."""
    rows = [row for run in runs for row in arm_rows(run, STEADY_STATE) if row["source"] == "measured"]
    facts, shared = _arm_facts(rows)
    columns = [
        *run_column(rows),
        Column("Model", text("model")),
        *facts,
        Column("Set-up(s)", number("setup_s"), right=True, optional=True),
        Column("Steady step(ms)", number("steady_step_s", 1e3), right=True),
        Column("Step ±95%", half_width("steady_step_s", 1e3), right=True, optional=True),
        Column("Steady samples(/s)", number("steady_samples_per_s"), right=True),
        Column("n", count, right=True),
        *workload_column(rows),
        Column("State", state_if_telling, optional=True),
    ]
    return [make_table("steady", f"Set-up and steady state{shared}:", columns, rows, per_run(runs, source_notes))]


def gains(runs: Sequence[Run]) -> list[Table]:
    """Every declared pair by every measure."""
    rows = [row for run in runs for row in gain_rows(run)]
    arms = _pair_labels(runs)
    labels = sorted({arms(row) for row in rows})
    # Several arms of one backend go by name, the notes say how they differ, and the table is wide enough.
    by_name = any(_backends_are_shared(arm_rows(run, ())) for run in runs)
    facts, shared = split_facts(rows, (TASK, PRECISION, BATCH, *(() if by_name else (PAIR_ATTENTION,))))
    columns = [
        *run_column(rows),
        Column("Model", text("model")),
        *facts,
        *workload_column(rows),
        *([Column("Gain of", arms)] if len(labels) > 1 else []),
        *([Column("Time", _time)] if len({row["measure"] for row in rows}) > 1 else []),
        Column("Latency", percent("latency_gain"), right=True),
        Column("Throughput", percent("throughput_gain"), right=True),
        Column("Throughput 95%", interval("throughput_gain"), right=True, optional=True),
        _AS_PUBLISHED,
        *_CHECKS,
        Column("n", count, right=True, optional=True),
        Column("State", state),
    ]
    title = f"Gain of {labels[0]}{shared}:" if len(labels) == 1 else f"Gains by pair{shared}:"
    return [make_table("gains", title, columns, rows, per_run(runs, gain_notes))]


def comparison(runs: Sequence[Run]) -> list[Table]:
    """Gains of several runs model by model, so that what was published stands beside what was measured."""
    unsorted = [row for run in runs for row in gain_rows(run)]
    models = list(dict.fromkeys(row["model"] for row in unsorted))
    rows = sorted(unsorted, key=lambda row: (models.index(row["model"]), as_number(row["batch_size"]) or 0.0))
    arms = _pair_labels(runs)
    facts, shared = split_facts(rows, (TASK, PRECISION, PAIR_ATTENTION))
    told = {tuple(show(row) for show in (text("model"), text("batch_size"), arms, device, _time)) for row in rows}
    columns = [
        *(run_column(rows) if len(told) < len(rows) else []),
        Column("Model", text("model")),
        Column("Batch", text("batch_size"), right=True, optional=True),
        Column("Gain of", arms),
        Column("GPU", lambda row: device(row) + (" (published)" if row["source"] == "published" else "")),
        Column("Time", _time),
        Column("Latency", _as_printed("latency_gain"), right=True),
        Column("Throughput", _as_printed("throughput_gain"), right=True),
        Column("Throughput 95%", interval("throughput_gain"), right=True, optional=True),
        *_CHECKS,
        Column("n", count, right=True, optional=True),
        *facts,
        Column("State", state_if_telling, optional=True),
    ]
    return [make_table("comparison", f"Gains side by side{shared}:", columns, rows, per_run(runs, gain_notes))]


def gpu_use(runs: Sequence[Run]) -> list[Table]:
    """What the cards did in the steady state, and of runs on CPU what the processors did; without publications."""
    tables = []
    on_gpu = [run for run in runs if gpu.is_on_gpu(run) and gpu.is_measured(run)]
    on_cpu = [run for run in runs if not gpu.is_on_gpu(run) and gpu.is_measured(run)]
    if on_gpu or not on_cpu:
        rows = [row for run in on_gpu for row in gpu.gpu_rows(run)]
        facts, shared = _arm_facts(rows, GPU)
        columns = [
            *run_column(rows),
            Column("Model", text("model")),
            *facts,
            Column("Util(%)", number("gpu_utilization_percent", digits=1), right=True),
            Column("p10(%)", number("gpu_utilization_p10_percent", digits=1), right=True),
            Column("NVML GiB", number("gpu_memory_peak_bytes", 2**-30, 2), right=True),
            Column("Torch GiB", number("torch_peak_allocated_bytes", 2**-30, 2), right=True),
            Column("Power(W)", number("power_w", digits=0), right=True),
            Column("J/sample", number("joules_per_sample"), right=True),
            Column("MFU(%)", number("model_flops_utilization", 100, 1), right=True),
            Column("SM(MHz)", number("sm_clock_mhz", digits=0), right=True),
            Column("Kernels", text("kernels"), optional=True),
            Column("n", count, right=True),
            *workload_column(rows),
            Column("State", state_if_telling, optional=True),
        ]
        title = f"GPU use in the steady state{shared}:"
        tables.append(
            make_table("gpu", title, columns, rows, per_run(on_gpu, gpu.gpu_notes, gpu.LEGEND if rows else ()))
        )
    if on_cpu:
        rows = [row for run in on_cpu for row in gpu.host_rows(run)]
        facts, shared = _arm_facts(rows)
        columns = [
            *run_column(rows),
            Column("Model", text("model")),
            *facts,
            Column("CPU, job(%)", number("job_cpu_share", 100, 1), right=True),
            Column("CPU, host(%)", number("host_cpu_share", 100, 1), right=True),
            Column("Peak RSS(GiB)", number("peak_rss_bytes", 2**-30, 2), right=True),
            Column("n", count, right=True),
            *workload_column(rows),
            Column("State", state_if_telling, optional=True),
        ]
        title = f"CPU use in the steady state{shared}:"
        tables.append(make_table("host", title, columns, rows, per_run(on_cpu, gpu.gpu_notes, gpu.HOST_LEGEND)))
    return tables


View = tuple[Callable[[Sequence[Run]], list[Table]], Callable[[Sequence[Run]], bool]]

# name: how it is made, and of which runs it is made when no view is asked for
VIEWS: dict[str, View] = {
    "runtimes": (runtimes, lambda runs: not all(map(_only_blocks, runs))),
    "steady": (steady, lambda runs: any(job.timing.steady_step_s is not None for run in runs for job in run.jobs)),
    "gains": (gains, lambda runs: True),
    "gpu": (gpu_use, lambda runs: any(job.telemetry and job.telemetry.gpus for run in runs for job in run.jobs)),
    "comparison": (comparison, lambda runs: False),
}

_CHECKS = (  # what a reader holds against a gain, in every table of gains
    Column("A/A", text("noise_floor"), right=True, optional=True),
    Column("Break-even", text("break_even"), right=True, optional=True),
    Column("Parity", text("parity"), optional=True),
)
_AS_PUBLISHED = Column(
    "As published", percent("published_latency_gain", "published_throughput_gain"), right=True, optional=True
)


def _as_printed(key: str) -> Show:
    """A gain as published where it was; the one made from published times knows them only as rounded."""
    return lambda row: percent(f"published_{key}")(row) or percent(key)(row)


def _only_blocks(run: Run) -> bool:
    return by_blocks(run, [job for launches in arms_of(run).launches.values() for job in launches.values()])


def _time(row: Row) -> str:
    return MEASURE_LABELS[str(row["measure"])]


def _arm_facts(rows: Sequence[Row], *more: Fact) -> tuple[list[Column], str]:
    """The columns that name an arm, and the title's words; the attention only where backends name the arms."""
    by_name = _backends_are_shared(rows)
    arm = Column("Arm", text("arm")) if by_name else Column("Backend", text("backend"))
    columns, shared = split_facts(rows, (TASK, PRECISION, BATCH, *(() if by_name else (ATTENTION,)), *more))
    return [arm, *columns], shared


def _backends_are_shared(rows: Sequence[Row]) -> bool:
    """Whether two arms of one workload have the same backend, so that its label does not tell them apart."""
    return len({(row["run"], row["workload"], row["backend"]) for row in rows}) < len(rows)


def _pair_labels(runs: Sequence[Run]) -> Show:
    """How a pair of any of the runs is called: `ONNX Runtime over PyTorch`, or by its arms' names."""
    labels = {}
    for run in runs:
        rows = arm_rows(run, ())
        key = "arm" if _backends_are_shared(rows) else "backend"
        labels.update({(row["run"], row["workload"], row["arm"]): str(row[key]) for row in rows})

    def label(row: Row) -> str:
        candidate, baseline = (labels[row["run"], row["workload"], row[arm]] for arm in ("candidate", "baseline"))
        return f"{candidate} over {baseline}{' (A/A)' if row['a_a'] else ''}"

    return label
