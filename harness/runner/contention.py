"""Whether something else on the host disturbed a job: pauses, and others on its cores. Pure.

A step that lasts several times as long as the median one waited for something that is not the
training: its process was stopped, or something else had the core, the disk or the memory. Where
other processes keep the job's cores busy, every step is slower, which no single step tells. A stop
by a signal is seen by the sampler too, wherever in the job it was: the times of the set-up and of
the whole training have no steps of their kind to be held against.

The thresholds come from the replicates under results/ of which it is known whether anything else
ran. In all 80 quiet replicates on a CPU (smoke, aa-smoke) no step was longer than 1.6 medians, and
others used 0.4 to 2.9% of the two cores, the sampler and the runner among them. In the replicates
of matrix-cpu, made beside other work, the median of the others' share is 75% of cores that were
100% busy. A pause of 1% of the window moves the mean step by 1%, more than a careful comparison
resolves; one of 5% is beyond most gains between two settings of one backend.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from harness.schema.record import Contention, JobRecord

PAUSE = 3.0  # medians; batches of one length
PAUSE_OF_VARIED = 10.0  # medians, where batches differ in length: the longest may well take four
LEAST_PAUSE_S = 0.1  # beyond the median; what a scheduler does to a process in an instant is less
NOTED_PAUSES, HEAVY_PAUSES = 0.01, 0.05  # of the time of the steady window
NOTED_OTHERS, HEAVY_OTHERS = 0.05, 0.25  # of the time of the job's cores
FULL = 0.75  # of the time of the job's cores: with less in use there was room beside the job
FEWEST = 3  # steps (or turns) that have a median to be held against


def observe(record: JobRecord, steps: Sequence[int], durations_s: Sequence[float]) -> Contention:
    """What disturbed a job.

    Steps in which torch.compile compiled again are no pauses. Under the interleaved protocol the
    means of turns stand for steps, for a job that waits for its turn does not pause. The others'
    share is looked at on a CPU only: a card has its own (telemetry.summary.contamination).

    Args:
        record: the job's, with its telemetry if there is any.
        steps: numbers of its steps, from 1.
        durations_s: seconds of each of them.
    """
    counts, seconds = _of_turns(record) if record.group else _of_steps(record, steps, durations_s)
    stopped_s = record.telemetry.stopped_s if record.telemetry else None
    found = Contention(**_pauses(record, counts, seconds), **_others(record), stopped_s=stopped_s)
    noted, heavy = [], []
    if found.pause_share is not None and found.pause_share > NOTED_PAUSES:
        noted.append("pauses")
    if found.pause_share is not None and found.pause_share > HEAVY_PAUSES:
        unit = "turn's mean step" if record.group else "step"
        heavy.append(
            f"pauses took {found.pause_share:.1%} of the steady window: the longest {unit} lasted "
            f"{_time(found.longest_step_s)}, the median one {_time(found.median_step_s)}"
        )
    if found.others_share is not None and found.others_share > NOTED_OTHERS:
        noted.append("others")
        if found.others_share > HEAVY_OTHERS and (found.busy_share or 0.0) > FULL:
            heavy.append(
                f"other processes used {found.others_share:.1%} of the job's {found.cores} "
                "core(s), "
                f"which were {found.busy_share:.0%} busy in the steady window"
            )
    if stopped_s and stopped_s > NOTED_PAUSES * _whole(record):
        noted.append("stopped")
    if stopped_s and stopped_s > HEAVY_PAUSES * _whole(record):
        heavy.append(f"a process of the job was stopped (SIGSTOP) for {_time(stopped_s)} in all")
    return found.replace(noted=noted, heavy="; ".join(heavy))


def _whole(record: JobRecord) -> float:
    """Seconds of what is measured end to end."""
    return record.timing.train_runtime_s or record.timing.wall_s or 0.0


def _of_steps(
    record: JobRecord, steps: Sequence[int], durations_s: Sequence[float]
) -> tuple[Sequence[int], Sequence[float]]:
    begin = record.timing.steady_begin_step
    if begin is None:
        return (), ()
    again = set(record.engagement.recompiled_at_steps) if record.engagement else set()
    counted = [
        seconds
        for step, seconds in zip(steps, durations_s, strict=True)
        if step >= begin and step not in again and math.isfinite(seconds)
    ]
    return [1] * len(counted), counted


def _of_turns(record: JobRecord) -> tuple[Sequence[int], Sequence[float]]:
    """Steps of each turn that counts, and their mean seconds."""
    turns = record.turns
    if turns is None:
        return (), ()
    both = list(zip(turns.steps, turns.step_s, strict=False))[turns.pilot :]
    both = [(count, seconds) for count, seconds in both if math.isfinite(seconds)]
    return [count for count, _ in both], [seconds for _, seconds in both]


def _pauses(record: JobRecord, counts: Sequence[int], seconds: Sequence[float]) -> dict[str, float]:
    total = math.fsum(count * each for count, each in zip(counts, seconds, strict=True))
    if len(seconds) < FEWEST or not 0 < total < math.inf:
        return {}
    middle = median(seconds)
    times = PAUSE if record.workload.training.pad_to_max_length else PAUSE_OF_VARIED
    both = zip(counts, seconds, strict=True)
    beyond = [count * (each - middle) for count, each in both if each > times * middle]
    paused = math.fsum(each for each in beyond if each >= LEAST_PAUSE_S)
    return {"pause_share": paused / total, "longest_step_s": max(seconds), "median_step_s": middle}


def _others(record: JobRecord) -> dict[str, float | int]:
    telemetry = record.telemetry
    if record.device != "cpu" or telemetry is None:
        return {}
    others, busy, cores = (
        telemetry.others_cpu_share_mean,
        telemetry.job_cores_busy_mean,
        telemetry.job_cores,
    )
    job, host = telemetry.job_cpu_share_mean, telemetry.host_cpu_share_mean
    if others is None and job is not None and host is not None:
        # A record that does not tell the job's cores from the host's.
        busy, cores, others = host, telemetry.cores, max(0.0, host - job)
    if others is None or busy is None or cores is None:
        return {}
    return {"others_share": others, "busy_share": busy, "cores": cores}


def _time(seconds: float | None) -> str:
    value = seconds or 0.0
    return f"{value:.3g} s" if value >= 1 else f"{1e3 * value:.3g} ms"
