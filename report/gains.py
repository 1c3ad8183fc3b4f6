"""The gain of every declared pair, or the reason why there is none. From unrounded times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from harness.record import JobRecord, Pair, Timing
from report.launches import OK, Arms, Launches, arms_of, count_verdicts, verdict
from report.load import Run
from report.stats import Estimate, latency_gain, log_ratios, mean_interval, throughput_gain, usable


@dataclass(frozen=True)
class Measure:
    """A time that gains are made of: `time` reads it, in seconds, from a job's timing."""

    key: str
    label: str
    time: Callable[[Timing], float | None]


END_TO_END = Measure("end_to_end", "end to end", lambda timing: timing.train_runtime_s)
STEADY_STATE = Measure("steady_state", "steady state", lambda timing: timing.steady_step_s)
MEASURES = (END_TO_END, STEADY_STATE)


@dataclass(frozen=True)
class Gain:
    """What the candidate of a pair gains over its baseline, by one measure.

    `ratio` estimates ln T_baseline − ln T_candidate over the `ratio.n` launches that count, of `launches` there were;
    None if there is no gain, and then `state` says why, else it is `ok`. `left_out` says why launches do not count.
    """

    pair: Pair
    measure: Measure
    ratio: Estimate | None
    launches: int
    state: str
    left_out: str = ""

    def transformed(self, gain: Callable[[float], float]) -> tuple[float | None, float | None, float | None]:
        """Value and 95% interval of `stats.latency_gain` or `stats.throughput_gain`, as fractions; both rise with d."""
        if self.ratio is None:
            return None, None, None
        low, high = self.ratio.low, self.ratio.high
        return gain(self.ratio.mean), None if low is None else gain(low), None if high is None else gain(high)

    @property
    def latency(self) -> tuple[float | None, float | None, float | None]:
        """1 − T_candidate / T_baseline: value, low, high."""
        return self.transformed(latency_gain)

    @property
    def throughput(self) -> tuple[float | None, float | None, float | None]:
        """T_baseline / T_candidate − 1: value, low, high."""
        return self.transformed(throughput_gain)


def gains_of(run: Run, arms: Arms | None = None) -> list[Gain]:
    """Every declared pair by every measure, in the order declared. `arms`: arms_of(run), if at hand.

    Published runs have end-to-end times only, so nothing is said of their steady state.
    """
    arms = arms or arms_of(run)
    gains = []
    for pair in run.info.pairs:
        baseline = arms.launches[pair.workload, pair.baseline]
        candidate = arms.launches[pair.workload, pair.candidate]
        published = {job.source for job in (*baseline.values(), *candidate.values())} == {"published"}
        gains += [
            _gain(pair, measure, baseline, candidate) for measure in MEASURES if measure is END_TO_END or not published
        ]
    return gains


def matched(baseline: Launches, candidate: Launches) -> Iterator[tuple[JobRecord, JobRecord]]:
    """Launch k of the baseline with launch k of the candidate, where both are results and did the same work."""
    for launch in sorted(baseline.keys() & candidate.keys()):
        one, other = baseline[launch], candidate[launch]
        if verdict(one) == verdict(other) == OK and not _mismatch(one, other):
            yield one, other


def _gain(pair: Pair, measure: Measure, baseline: Launches, candidate: Launches) -> Gain:
    times = [
        (one_s, other_s)
        for one, other in matched(baseline, candidate)
        if usable(one_s := measure.time(one.timing)) and usable(other_s := measure.time(other.timing))
    ]
    launches = baseline.keys() | candidate.keys()
    why = _why_left_out(pair, measure, baseline, candidate)
    make = partial(Gain, pair, measure)
    if times:
        return make(mean_interval(log_ratios(times)), len(launches), OK, why)
    finished = [any(_judge(measure, job) == OK for job in arm.values()) for arm in (baseline, candidate)]
    if all(finished) and not any(_mismatch(baseline[k], candidate[k]) for k in baseline.keys() & candidate.keys()):
        why = f"no launch in which both arms finished ({why})"
    return make(None, len(launches), why)


def _judge(measure: Measure, job: JobRecord | None) -> str:
    if job is None:
        return "missing"
    why = verdict(job)
    return why if why != OK or usable(measure.time(job.timing)) else f"no {measure.label} time"


def _mismatch(one: JobRecord, other: JobRecord) -> str:
    """Why two finished jobs cannot be compared, or nothing: a ratio of times needs the same work on the same device."""
    if one.device != other.device:
        return "arms ran on different devices"
    if one.timing.steps != other.timing.steps and None not in (one.timing.steps, other.timing.steps):
        return "arms did different numbers of steps"
    return ""


def _why_left_out(pair: Pair, measure: Measure, baseline: Launches, candidate: Launches) -> str:
    launches = sorted(baseline.keys() | candidate.keys())
    if not launches:
        return "no job recorded"
    said = []
    for name, arm in ((pair.baseline, baseline), (pair.candidate, candidate)):
        if not arm:
            said.append(f"{name}: no job recorded")
        elif counted := count_verdicts(_judge(measure, arm.get(launch)) for launch in launches):
            said.append(f"{name}: {counted}")
    both_ok = {
        launch
        for launch in baseline.keys() & candidate.keys()
        if verdict(baseline[launch]) == verdict(candidate[launch]) == OK
    }
    if mismatches := count_verdicts(
        (_mismatch(baseline[launch], candidate[launch]) if launch in both_ok else "") or OK for launch in launches
    ):
        said.append(mismatches)
    return "; ".join(said)
