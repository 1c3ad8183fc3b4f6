"""Whether published figures agree with one another within their own rounding. Rounding is recorded
with the run.

A printed value x with resolution r stands for any true value in [x − r/2, x + r/2].
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, Field, ValidationError

from harness.errors import BenchError
from report.analysis.gains import gains_of
from report.analysis.replicates import arms_of
from report.analysis.statistics import format_gain
from report.loading.runs import RUN_FILE, Run


class Rounding(BaseModel):
    """The last printed digit's worth of every published figure, in the figure's own unit (gains: as
    fractions).
    """

    runtime_s: float = Field(gt=0)
    train_samples_per_s: float = Field(gt=0)
    gain: float = Field(gt=0)


class PrintedGain(BaseModel):
    """One entry of RunInfo.published_gains: gains as printed, as fractions (2.99% is 0.0299)."""

    workload: str
    baseline: str
    candidate: str
    latency_gain: float = Field(lt=1)
    throughput_gain: float = Field(gt=-1)
    rounding: Rounding


@dataclass(frozen=True)
class Range:
    """A closed range of values."""

    low: float
    high: float

    @classmethod
    def of_rounded(cls, value: float, resolution: float) -> Range:
        return cls(value - resolution / 2, value + resolution / 2)

    def meets(self, *others: Range) -> bool:
        """Whether one value lies in this range and in all others."""
        return max(self.low, *(other.low for other in others)) <= min(
            self.high, *(other.high for other in others)
        )


def gain_is_reproduced(
    baseline_s: float,
    candidate_s: float,
    latency_gain: float,
    throughput_gain: float,
    *,
    runtime_resolution_s: float,
    gain_resolution: float,
) -> bool:
    """Whether one ratio of true runtimes explains the printed runtimes and both printed gains
    (fractions) at once.

    With r = T_baseline / T_candidate: latency gain = 1 − 1/r, throughput gain = r − 1. Each printed
    figure leaves r a range; the figures agree if those ranges share a value.
    """
    baseline = Range.of_rounded(baseline_s, runtime_resolution_s)
    candidate = Range.of_rounded(candidate_s, runtime_resolution_s)
    latency = Range.of_rounded(latency_gain, gain_resolution)
    throughput = Range.of_rounded(throughput_gain, gain_resolution)
    from_runtimes = Range(baseline.low / candidate.high, baseline.high / candidate.low)
    from_latency = Range(1 / (1 - latency.low), 1 / (1 - latency.high))
    return from_runtimes.meets(from_latency, Range(1 + throughput.low, 1 + throughput.high))


def samples_agree(
    runtime_s: float,
    samples_per_s: float,
    samples: float,
    *,
    runtime_resolution_s: float,
    samples_resolution_per_s: float,
) -> bool:
    """Whether samples/s × runtime can be the number of samples trained on, within the rounding of
    both factors.
    """
    runtime = Range.of_rounded(runtime_s, runtime_resolution_s)
    rate = Range.of_rounded(samples_per_s, samples_resolution_per_s)
    return Range(runtime.low * rate.low, runtime.high * rate.high).meets(Range(samples, samples))


def printed_gains(run: Run) -> list[PrintedGain]:
    """The gains a published run came with; none for a measured one. A damaged entry: BenchError."""
    try:
        return [PrintedGain.model_validate(printed) for printed in run.info.published_gains]
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = f"published_gains: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise BenchError(
            message, place=str(run.folder / RUN_FILE), fix="restore the file"
        ) from None


def check_gains(run: Run) -> list[str]:
    """One sentence: the published gains follow from the published runtimes, or which do not. Empty:
    none published.
    """
    gains = printed_gains(run)
    failed = [
        f"{gain.candidate} over {gain.baseline} on {gain.workload}"
        for gain in gains
        if not _is_reproduced(run, gain)
    ]
    if failed:
        return [
            "does not reproduce the published gains within the rounding of the runtimes: "
            f"{', '.join(failed)}"
        ]
    if not gains:
        return []
    printed = {(gain.workload, gain.baseline, gain.candidate) for gain in gains}
    computed = [
        f"{format_gain(gain.ratio)} on {gain.pair.workload}"
        for gain in gains_of(run)
        if gain.ratio and (gain.pair.workload, gain.pair.baseline, gain.pair.candidate) in printed
    ]
    return [
        "reproduces the published gains within the rounding of the published runtimes, from which "
        f"follows a throughput gain of {', of '.join(computed)}"
    ]


def check_samples(run: Run) -> list[str]:
    """One sentence: published samples/s × runtime is epochs × training samples, or where not.
    Empty: none to check.
    """
    rounding = {gain.workload: gain.rounding for gain in printed_gains(run)}
    failed, expected = [], set()
    for (workload, arm), replicates in arms_of(run).replicates.items():
        for job in replicates.values():
            runtime_s, rate = job.timing.train_runtime_s, job.timing.train_samples_per_s
            samples = job.sources.train_samples
            if job.source != "published" or workload not in rounding:
                continue
            if runtime_s is None or rate is None or samples is None:
                continue
            epochs = job.workload.training.epochs
            expected.add(f"{epochs:g} × {samples:,}")
            if not samples_agree(
                runtime_s,
                rate,
                epochs * samples,
                runtime_resolution_s=rounding[workload].runtime_s,
                samples_resolution_per_s=rounding[workload].train_samples_per_s,
            ):
                failed.append(f"{arm} on {workload}")
    said = " or ".join(sorted(expected))
    if failed:
        return [
            f"published samples per second times runtime is not {said} samples: {', '.join(failed)}"
        ]
    return (
        [
            f"published samples per second times runtime is {said} samples, within the "
            "rounding of both"
        ]
        if said
        else []
    )


def _is_reproduced(run: Run, gain: PrintedGain) -> bool:
    replicates = arms_of(run).replicates
    baseline_s, candidate_s = (
        next(
            (
                job.timing.train_runtime_s
                for job in replicates.get((gain.workload, arm), {}).values()
            ),
            None,
        )
        for arm in (gain.baseline, gain.candidate)
    )
    if baseline_s is None or candidate_s is None:
        return False
    return gain_is_reproduced(
        baseline_s,
        candidate_s,
        gain.latency_gain,
        gain.throughput_gain,
        runtime_resolution_s=gain.rounding.runtime_s,
        gain_resolution=gain.rounding.gain,
    )
