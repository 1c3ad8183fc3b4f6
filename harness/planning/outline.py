"""What a plan will do, in words: for `harness plan`."""

from __future__ import annotations

from collections.abc import Sequence

from harness.planning.estimate import steps_of
from harness.planning.plan import Plan
from harness.schema.job import JobSpec
from harness.schema.measurement import ALONE_REPLICATES, Interleaved, Measurement
from harness.schema.workload import Training

MOST_SHOWN = 24  # jobs of a workload, listed in order


def outline(plan: Plan) -> str:
    """The jobs of each workload in order, the pairs, and when the run is done; several lines."""
    measurement = plan.measurement
    replicates = {job.replicate for job in plan.jobs if not job.parity_run}
    how = (
        "replicates of each workload in ABBA order"
        if measurement.protocol == "sequential"
        else "interleaved"
    )
    most = "at most " if measurement.adaptive is not None else ""
    lines = [f"{most}{len(plan.jobs)} jobs on {plan.jobs[0].device}: {how}"]
    if measurement.parity is not None:
        steps = measurement.parity.steps
        lines.append(
            f"first, of every arm, a parity run: {steps} steps without dropout, compared before "
            "measuring"
        )
    if measurement.adaptive is not None:
        target = measurement.adaptive
        lines.append(
            f"stops at ±{target.half_width_pp:g} pp ({target.measure.replace('_', ' ')}), looked "
            f"at after every {'replicate' if measurement.is_interleaved else 'two replicates'} "
            f"from {target.min_replicates} replicates on; at most {target.max_replicates} "
            f"replicates or {target.budget_minutes:g} min of a workload"
        )
    if measurement.protocol == "interleaved":
        lines.append(_interleaved(measurement.interleaved, plan.jobs[0].device))
    if replicates and (reruns := _reruns(measurement, plan.jobs[0].device)):
        lines.append(reruns)
    for workload in dict.fromkeys(job.workload.name for job in plan.jobs):
        lines += ["", *_workload([job for job in plan.jobs if job.workload.name == workload])]
    lines += ["", "pairs:"]
    for pair in plan.pairs:
        declared = f"  (declared differences: {', '.join(pair.differs)})" if pair.differs else ""
        lines.append(f"  {pair.workload}: {pair.candidate} against {pair.baseline}{declared}")
    return "\n".join(lines)


def _reruns(measurement: Measurement, device: str) -> str:
    """Which replicates run again; empty if none does."""
    refuse = measurement.contention == "refuse"
    if not measurement.max_reruns or (device == "cpu" and not refuse):
        return ""
    if device == "cpu":
        what = "replicates that pauses or other processes disturbed heavily run again"
    else:
        # Other processes on the cores count on a CPU only (harness.runner.contention).
        pauses = ", pauses" if refuse else ""
        what = (
            f"what is disturbed (throttling, others on the card, clocks apart{pauses}) runs again"
        )
    return f"{what}, {_times(measurement.max_reruns)}"


def _times(most: int) -> str:
    return "once" if most == 1 else f"up to {most} times"


def _interleaved(settings: Interleaved, device: str) -> str:
    steps = (
        "as many steps as the noise asks for"
        if settings.steps == "auto"
        else f"{settings.steps} steps"
    )
    lead_in, cores = _count(settings.lead_in_steps, "untimed step"), _count(settings.cores, "core")
    parts = [f"turns of {steps}"]
    if settings.lead_in_steps:
        parts.append(f"each turn begins with {lead_in}")
    parts.append(f"{settings.seconds:g} s a replicate")
    if alone_s := settings.alone_on(device):
        parts.append(
            f"at the end of {ALONE_REPLICATES} replicates each arm alone for {alone_s:g} s, to "
            "read its use of the device"
        )
    if settings.cores:
        parts.append(
            f"all jobs share the same {cores}"
            if settings.same_cores
            else f"each job has {cores} of its own"
        )
    if settings.freeze_collector:
        parts.append("garbage collector frozen")
    if settings.realtime:
        parts.append("real-time priority")
    if settings.keep_awake:
        parts.append("the jobs' cores kept awake")
    return "; ".join(parts)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _processes(job: JobSpec) -> str:
    launch = job.workload.launch
    if not launch.torchrun:
        return ""
    nodes = f" on each of {launch.nodes} nodes" if launch.nodes > 1 else ""
    return (
        f", torchrun with {launch.processes} process{'es' if launch.processes > 1 else ''}{nodes}"
    )


def _workload(jobs: Sequence[JobSpec]) -> list[str]:
    measured = [job for job in jobs if not job.parity_run]
    training: Training = measured[0].workload.training
    interleaved = bool(measured[0].group)
    steps = "" if interleaved else f", {steps_of(measured[0])} steps"
    most = "" if training.pad_to_max_length else "up to "  # else each batch has a length of its own
    lines = [
        f"  {jobs[0].workload.name}: {training.precision}, batch {training.batch_size}, "
        f"length {most}{training.max_seq_length}{steps}{_processes(measured[0])}"
    ]
    if parity_runs := [job.arm.name for job in jobs if job.parity_run]:
        lines.append(f"    parity runs: {' '.join(parity_runs)}")
    if interleaved:
        group = measured[0].group
        together = f"{', '.join(group[:-1])} and {group[-1]}"
        last = max(job.replicate for job in measured) + 1
        which = "replicate 1" if last == 1 else f"replicates 1 to {last}"
        lines.append(f"    {together} in turns: {which}")
    else:
        shown = " ".join(f"{job.arm.name}#{job.replicate + 1}" for job in measured[:MOST_SHOWN])
        more = f" … {len(measured) - MOST_SHOWN} more" if len(measured) > MOST_SHOWN else ""
        lines.append(f"    order: {shown}{more}")
    return lines
