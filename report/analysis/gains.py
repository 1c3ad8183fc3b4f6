"""The gain of every declared pair, or the reason why there is none. From unrounded times.

A gain counts only if the pair was not refused, both arms finished the same work, they learned alike
(report.analysis.parity) and the gain in time is one in clock cycles too (report.analysis.cycles).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from harness.schema.compiled import set_apart
from harness.schema.record import JobRecord, Pair, TurnTimes
from harness.schema.stats import in_full, turn_interval
from report.analysis.break_even import BreakEven, break_even
from report.analysis.cycles import disagree, sm_clock_mhz
from report.analysis.metrics import RUNTIME, SETUP, STEADY_STEP
from report.analysis.outcome import HAS_RESULT, GainStatus, Outcome, no_result
from report.analysis.parity import Parity, ParityOutcome, check_parity
from report.analysis.replicates import (
    COMPILED_ANEW,
    Arms,
    JobStatus,
    Replicates,
    arms_of,
    count_verdicts,
    is_interleaved,
    is_result,
    unobserved,
    verdict,
)
from report.analysis.statistics import Estimate, format_gain, latency_gain, throughput_gain, usable
from report.loading.runs import Run, once_per_run


@dataclass(frozen=True)
class Measure:
    """A time that gains are made of: `time` reads it, in seconds, from a job that has it; `stem`
    begins the names of the gains' series in exports.
    """

    key: str
    label: str
    time: Callable[[JobRecord], float | None]
    stem: str = ""


END_TO_END = Measure("end_to_end", "end to end", RUNTIME.read, "end-to-end")
STEADY_STATE = Measure("steady_state", "steady state", STEADY_STEP.read, "steady")
MEASURES = (END_TO_END, STEADY_STATE)


@dataclass(frozen=True)
class Gain:
    """What the candidate of a pair gains over its baseline, by one measure.

    `ratio` estimates ln T_baseline − ln T_candidate over the `ratio.n` replicates that count, of
    `replicates` there were; None if there is no gain, and then `outcome` says why.
    `left_out` says why replicates do not count. `cycles` is the same of clock cycles (steady state,
    where every card's clock is known). `in_full`: the mean of `ratio` had no slow turn been
    limited. `break_even`: the step from which the set-up is repaid, with the gain in the steady
    state. `unobserved`: why it is unknown of some jobs that count whether their cards were
    throttled or shared; empty if it is known of all.
    """

    pair: Pair
    measure: Measure
    ratio: Estimate | None
    replicates: int
    outcome: Outcome
    left_out: str = ""
    cycles: Estimate | None = None
    in_full: float | None = None
    break_even: BreakEven | None = None
    parity: Parity | None = None
    unobserved: str = ""

    @property
    def latency(self) -> tuple[float | None, float | None, float | None]:
        """1 − T_candidate / T_baseline: value, low, high."""
        return transformed(self.ratio, latency_gain)

    @property
    def throughput(self) -> tuple[float | None, float | None, float | None]:
        """T_baseline / T_candidate − 1: value, low, high."""
        return transformed(self.ratio, throughput_gain)


def transformed(
    ratio: Estimate | None, gain: Callable[[float], float]
) -> tuple[float | None, float | None, float | None]:
    """Value and 95% interval of `stats.latency_gain` or `stats.throughput_gain`, as fractions; both
    rise with d.
    """
    if ratio is None:
        return None, None, None
    low, high = ratio.low, ratio.high
    return (
        gain(ratio.mean),
        None if low is None else gain(low),
        None if high is None else gain(high),
    )


def gains_of(run: Run, arms: Arms | None = None) -> list[Gain]:
    """Every declared pair by every measure it has, in the order declared; worked out once for each
    run.

    Published runs have end-to-end times only, so nothing is said of their steady state; jobs that
    took turns on the device have a steady state only. `arms`: other replicates than arms_of(run).
    """
    return _gains_of_run(run) if arms is None or arms is arms_of(run) else _gains_of(run, arms)


@once_per_run
def _gains_of_run(run: Run) -> list[Gain]:
    return _gains_of(run, arms_of(run))


def _gains_of(run: Run, arms: Arms) -> list[Gain]:
    refused = {
        (said.workload, said.baseline, said.candidate): said.reasons for said in run.info.refusals
    }
    gains = []
    for pair in run.info.pairs:
        baseline, candidate = arms.of_pair(pair)
        jobs = [*baseline.values(), *candidate.values()]
        reasons = refused.get((pair.workload, pair.baseline, pair.candidate), [])
        parity = None if _published(jobs) else check_parity(run, pair, arms)
        for measure in MEASURES:
            if (measure is STEADY_STATE and _published(jobs)) or (
                measure is END_TO_END and is_interleaved(run, jobs)
            ):
                continue
            gain = _gain(pair, measure, baseline, candidate, parity)
            if reasons:
                gain = _without_gain(gain, GainStatus.REFUSED, "; ".join(reasons))
            elif gain.ratio and parity and parity.outcome is ParityOutcome.FAILED:
                gain = _without_gain(gain, GainStatus.FAILED_PARITY, parity.reason)
            elif gain.ratio and gain.cycles and disagree(gain.ratio, gain.cycles):
                said = (
                    f"throughput {format_gain(gain.ratio)} in time, {format_gain(gain.cycles)} in "
                    f"clock cycles"
                )
                gain = _without_gain(gain, GainStatus.AMBIGUOUS, said)
            gains.append(gain)
    return gains


def matched(
    baseline: Replicates, candidate: Replicates, *times: Callable[[JobRecord], float | None]
) -> list[tuple[JobRecord, JobRecord]]:
    """The replicates of a pair that count: replicate k of the baseline with replicate k of the
    candidate, where both are results, did the same work and have all of `times`.

    A replicate in which one of them compiled anew does not count beside others in which that arm
    did not (harness.schema.compiled).
    """
    both = _comparable(baseline, candidate, times)
    return [jobs for jobs, cause in zip(both, set_apart(both), strict=True) if not cause]


def compiled_apart(
    baseline: Replicates, candidate: Replicates, *times: Callable[[JobRecord], float | None]
) -> list[JobRecord]:
    """The jobs that compiled anew and because of which `matched` leaves their replicates out."""
    both = _comparable(baseline, candidate, times)
    return [job for cause in set_apart(both) for job in cause]


def _comparable(
    baseline: Replicates,
    candidate: Replicates,
    times: Sequence[Callable[[JobRecord], float | None]],
) -> list[tuple[JobRecord, JobRecord]]:
    found = []
    for replicate in sorted(baseline.keys() & candidate.keys()):
        one, other = baseline[replicate], candidate[replicate]
        if (
            is_result(one)
            and is_result(other)
            and all(usable(time(job)) for time in times for job in (one, other))
            and not _mismatch(one, other)
        ):
            found.append((one, other))
    return found


@dataclass(frozen=True)
class ReplicateGain:
    """One replicate of a pair that counts: its jobs, and its ln T_baseline − ln T_candidate."""

    replicate: int
    baseline: JobRecord
    candidate: JobRecord
    log_ratio: float


def replicate_gains(
    measure: Measure, baseline: Replicates, candidate: Replicates
) -> list[ReplicateGain]:
    """What the mean and the interval of a pair's gain are of, a value for each replicate."""
    return [
        ReplicateGain(one.replicate, one, other, turn_interval([_times(measure, one, other)]).mean)
        for one, other in matched(baseline, candidate, measure.time)
    ]


def _published(jobs: Sequence[JobRecord]) -> bool:
    return {job.source for job in jobs} == {"published"}


def _without_gain(gain: Gain, status: GainStatus, reason: str) -> Gain:
    return replace(
        gain,
        ratio=None,
        cycles=None,
        break_even=None,
        outcome=Outcome(status, reason),
        left_out="",
    )


def _gain(
    pair: Pair,
    measure: Measure,
    baseline: Replicates,
    candidate: Replicates,
    parity: Parity | None,
) -> Gain:
    """The gain by the replicates that count; the reason why replicates do not count."""
    jobs = matched(baseline, candidate, measure.time)
    replicates = baseline.keys() | candidate.keys()
    why = (
        ""
        if replicates and len(jobs) == len(replicates)
        else _why_left_out(pair, measure, baseline, candidate)
    )
    unseen = count_verdicts(
        unobserved(job) or JobStatus.OK for pair_of_jobs in jobs for job in pair_of_jobs
    )
    make = partial(Gain, pair, measure, parity=parity, unobserved=unseen)
    if jobs:
        times = [_times(measure, one, other) for one, other in jobs]
        ratio = turn_interval(times)
        if measure is not STEADY_STATE:
            return make(ratio, len(replicates), HAS_RESULT, why)
        cycles, even = _cycles(jobs, times), _break_even(jobs)
        return make(
            ratio,
            len(replicates),
            HAS_RESULT,
            why,
            cycles=cycles,
            in_full=in_full(times),
            break_even=even,
        )
    finished = [
        any(_judge(measure, job) == JobStatus.OK for job in arm.values())
        for arm in (baseline, candidate)
    ]
    if all(finished) and not any(
        _mismatch(baseline[k], candidate[k]) for k in baseline.keys() & candidate.keys()
    ):
        why = f"no replicate in which both arms finished ({why})"
    return make(None, len(replicates), no_result(why))


def _times(measure: Measure, one: JobRecord, other: JobRecord) -> list[tuple[float, float]]:
    """The seconds of both arms of a replicate for the same steps: one entry per pair of turns, or
    one in all.
    """
    if measure is STEADY_STATE and one.turns and other.turns:
        return one.turns.seconds_beside(other.turns)
    return [(measure.time(one) or 0.0, measure.time(other) or 0.0)]


def _cycles(
    jobs: Sequence[tuple[JobRecord, JobRecord]], times: Sequence[list[tuple[float, float]]]
) -> Estimate | None:
    """The interval of ln(T_b · f_b) − ln(T_c · f_c), f: a job's SM clock; None unless every job's
    is known.
    """
    scaled = []
    for (one, other), replicate in zip(jobs, times, strict=True):
        one_mhz, other_mhz = sm_clock_mhz(one), sm_clock_mhz(other)
        if not usable(one_mhz) or not usable(
            other_mhz
        ):  # the range of a time in seconds is wide enough for a clock
            return None
        scaled.append([(one_s * one_mhz, other_s * other_mhz) for one_s, other_s in replicate])
    return turn_interval(scaled)


def _break_even(jobs: Sequence[tuple[JobRecord, JobRecord]]) -> BreakEven | None:
    replicates = [
        (one_setup, other_setup, one_step, other_step)
        for one, other in jobs
        if usable(one_setup := SETUP.read(one))
        and usable(other_setup := SETUP.read(other))
        and usable(one_step := STEADY_STEP.read(one))
        and usable(other_step := STEADY_STEP.read(other))
    ]
    return break_even(replicates) if replicates else None


def _judge(measure: Measure, job: JobRecord | None) -> str:
    if job is None:
        return "missing"
    why = verdict(job)
    if why is not JobStatus.OK or usable(measure.time(job)):
        return why
    return f"no {measure.label} time"


def _mismatch(one: JobRecord, other: JobRecord) -> str:
    """Why two finished jobs cannot be compared, or nothing: a ratio of times needs the same work on
    the same device.
    """
    if one.device != other.device:
        return "arms ran on different devices"
    if one.attempt != other.attempt:
        return "arms were not run again together"
    if bool(one.group) != bool(other.group):
        return "arms were measured by different protocols"
    if one.group:
        return _turns_mismatch(one.turns, other.turns)
    if one.timing.steps != other.timing.steps and None not in (
        one.timing.steps,
        other.timing.steps,
    ):
        return "arms did different numbers of steps"
    if one.timing.steps == 0:
        return "arms did no step"
    return ""


def _turns_mismatch(one: TurnTimes | None, other: TurnTimes | None) -> str:
    """Jobs that took turns may stop at any step, but their pairs of turns must be of the same
    steps.
    """
    if one is None or other is None:
        return "no turn times recorded"
    if (one.steps, one.pilot, len(one.step_s)) != (other.steps, other.pilot, len(other.step_s)):
        return "arms did different turns"
    times = one.seconds_beside(other)
    return (
        ""
        if times and all(usable(s) for both in times for s in both)
        else "no pair of turns was timed"
    )


def _why_left_out(pair: Pair, measure: Measure, baseline: Replicates, candidate: Replicates) -> str:
    replicates = sorted(baseline.keys() | candidate.keys())
    if not replicates:
        return "no job recorded"
    cold = {
        (job.arm.name, job.replicate) for job in compiled_apart(baseline, candidate, measure.time)
    }
    said = []
    for name, arm in ((pair.baseline, baseline), (pair.candidate, candidate)):
        if not arm:
            said.append(f"{name}: no job recorded")
        elif counted := count_verdicts(
            COMPILED_ANEW if (name, replicate) in cold else _judge(measure, arm.get(replicate))
            for replicate in replicates
        ):
            said.append(f"{name}: {counted}")
    both_ok = {
        replicate
        for replicate in baseline.keys() & candidate.keys()
        if is_result(baseline[replicate]) and is_result(candidate[replicate])
    }
    if mismatches := count_verdicts(
        (_mismatch(baseline[replicate], candidate[replicate]) if replicate in both_ok else "")
        or JobStatus.OK
        for replicate in replicates
    ):
        said.append(mismatches)
    return "; ".join(said)
