"""What the machine did while an arm trained: the figures of the gpu view and what must be said of
them.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.schema.record import JobRecord, State
from report.analysis import metrics
from report.analysis.replicates import arms_of, is_result
from report.analysis.utilization import cards_of, clock_limits
from report.loading.runs import Run
from report.tables.arm_rows import arm_rows, counted_rows
from report.tables.footnotes import (
    cold_notes,
    disturbance_notes,
    grouped,
    name_arms,
    several_groups_notes,
    source_notes,
    telemetry_notes,
)
from report.tables.padding_footnotes import mfu_notes
from report.tables.rows import ArmRow, UtilizationRow, extended
from report.text import in_one_line

LEGEND = (
    "Util: NVML's GPU utilization, the share of the driver's last 1/6 to 1 s in which any kernel "
    "ran, not how busy the "
    "card was; p10: the mean of the replicates' 10th percentiles",
    "means over the replicates that count (n), each of its steady window unless a note says "
    "otherwise; peak memory is of the whole job: NVML's of the whole card, torch's of what its "
    "allocator handed out",
    "MFU: model FLOPs utilization, the arithmetic that the model needs by definition over the "
    "card's dense peak",
)
HOST_LEGEND = (
    "means over the replicates that count (n); shares are of all cores, in the steady window "
    "unless a note says otherwise",
)


def gpu_rows(run: Run) -> list[ArmRow | UtilizationRow]:
    """One row per arm with what its cards did."""
    return [
        extended(row, UtilizationRow, kernels=_kernels(counted))
        for row, counted in counted_rows(run, metrics.GPU)
    ]


def host_rows(run: Run) -> list[ArmRow | UtilizationRow]:
    """One row per arm with what the processors did."""
    return [*arm_rows(run, metrics.HOST)]


def gpu_notes(run: Run) -> list[str]:
    """Under the table: what could not be read, limited clocks, contaminated replicates, and where
    figures come from.
    """
    return [
        *source_notes(run),
        *several_groups_notes(run),
        *grouped(run, how_measured),
        *mfu_notes(run),
        *disturbance_notes(run),
        *telemetry_notes(run),
        *cold_notes(run),
        *_clock_limits(run),
        *_contaminations(run),
        *_unread(run),
    ]


def _kernels(counted: Sequence[JobRecord]) -> str | None:
    named = {job.engagement.kernels for job in counted if job.engagement and job.engagement.kernels}
    return ", ".join(sorted(named)) or None


def how_measured(job: JobRecord) -> list[str]:
    """Where a job's figures come from, as far as it is not the same for all."""
    said = []
    if is_result(job) and job.engagement is not None and job.engagement.kernels == "ptx":
        said.append(
            "ptx: ONNX Runtime has no native kernels for this card, the driver compiled them "
            "from PTX"
        )
    if job.efficiency is not None and job.efficiency.peak_flops_per_s:
        said.append(
            f"MFU is of the data sheet's {job.efficiency.peak_flops_per_s / 1e12:g} TFLOP/s"
        )
    if job.telemetry is not None and _had_turn_alone(job):
        what = "utilization, power and energy" if job.telemetry.gpus else "the job's shares"
        said.append(
            f"arms that took turns: {what} are of a turn that the arm had to itself at the end of "
            "a replicate, without its first second; only one or two replicates of a group had such "
            "a turn, whatever n is"
        )
    cards = cards_of(job)
    if len(cards) > 1:
        how = (
            "power and energy are of all together, memory of the fullest, the rest are means over "
            "cards"
        )
        said.append(f"{len(cards)} cards: {how}")
    if any(gpu.energy_source == "power" for gpu in cards):
        said.append("energy is power integrated over time: the card's energy counter was not read")
    return said


def _clock_limits(run: Run) -> list[str]:
    """What held the clock down in replicates that count, in how much of a replicate's samples at
    most, and where.
    """
    measured = {
        key: replicates for key, replicates in arms_of(run).replicates.items() if replicates
    }
    return [
        f"clock limit {reason} in {_share(max(worst.values()))} of a replicate's samples"
        + name_arms(worst, measured)
        for reason, worst in sorted(clock_limits(run).items())
    ]


def _share(fraction: float) -> str:
    return f"up to {fraction:.0%}" if fraction >= 0.01 else "less than 1%"


def _contaminations(run: Run) -> list[str]:
    """Every reason why a replicate was contaminated, once per arm; a replicate that was run again
    is named as such.
    """
    arms = arms_of(run)
    latest = [(job, "") for replicates in arms.replicates.values() for job in replicates.values()]
    again = sorted(
        ((job, " and run again") for job in arms.superseded),
        key=lambda item: item[0].started_at or "",
    )
    return list(
        dict.fromkeys(
            f"{job.arm.name} on {job.workload.name}, contaminated{what}: {in_one_line(job.reason)}"
            for job, what in (*latest, *again)
            if job.state is State.CONTAMINATED
        )
    )


def _unread(run: Run) -> list[str]:
    """What could not be read in the replicates that the figures come from: of an arm that took
    turns those in which it had one to itself, if there are any.
    """
    alone = {
        key
        for key, replicates in arms_of(run).replicates.items()
        if any(_had_turn_alone(job) for job in replicates.values())
    }

    def say(job: JobRecord) -> list[str]:
        seen_together = not _had_turn_alone(job) and (job.workload.name, job.arm.name) in alone
        if job.telemetry is None or seen_together:
            return []
        lines = [
            *job.telemetry.unreadable,
            *(line for gpu in job.telemetry.gpus for line in gpu.unreadable),
        ]
        return [f"not read: {in_one_line(line)}" for line in dict.fromkeys(lines)]

    return grouped(run, say)


def _had_turn_alone(job: JobRecord) -> bool:
    return job.telemetry is not None and job.telemetry.alone_s is not None
