"""Published claims, and the measured pairs that answer them. No prose.

A measured pair answers a claim about a model if it has the claim's model, task and backends. Which
of several pairs does it best is decided by `Answer.rank`, from what the runs recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from harness.schema.record import Claim, JobRecord, Pair
from report.analysis.published import PrintedGain, Range, printed_gains
from report.analysis.replicates import arms_of
from report.loading.runs import Run

# Half of the widest interval of a throughput gain, a fraction, that tells by overlapping: a wider
# one meets nearly everything.
WIDEST = 0.05


class Placed(StrEnum):
    """Where a measured gain lies, as its 95% interval against what was published."""

    INSIDE = "yes"
    ABOVE = "no, above"
    BELOW = "no, below"
    UNDECIDED = "not decided"
    UNKNOWN = "no interval"


@dataclass(frozen=True)
class Published:
    """One row of a claim: a pair of published jobs, or the claim as a whole where it has none."""

    run: Run
    claim: Claim
    pair: Pair | None
    baseline: JobRecord | None
    candidate: JobRecord | None
    printed: PrintedGain | None

    @property
    def throughput_gain(self) -> Range | None:
        """What the true throughput gain can be, as a fraction: within the rounding of the printed
        one, or within the range that is claimed; None: no figure.
        """
        if self.printed is not None:
            return Range.of_rounded(self.printed.throughput_gain, self.printed.rounding.gain)
        low, high = self.claim.throughput_gain_from, self.claim.throughput_gain_to
        return None if low is None or high is None else Range(low, high)


def published_rows(run: Run) -> list[Published]:
    """The rows of a published run's claim; none where the run has no claim."""
    claim = run.info.claim
    if claim is None:
        return []
    printed = {(gain.workload, gain.baseline, gain.candidate): gain for gain in printed_gains(run)}
    arms = arms_of(run)
    rows = []
    for pair in run.info.pairs:
        baseline, candidate = (next(iter(side.values()), None) for side in arms.of_pair(pair))
        key = (pair.workload, pair.baseline, pair.candidate)
        rows.append(Published(run, claim, pair, baseline, candidate, printed.get(key)))
    return rows or [Published(run, claim, None, None, None, None)]


def names_of_model(job: JobRecord) -> frozenset[str]:
    """What a job's model goes by: its label, the last part of its path, its built-in shape."""
    model = job.workload.model
    path = (model.path or "").rstrip("/").rpartition("/")[2]
    return _folded((model.name, path, model.architecture))


def names_of_task(job: JobRecord) -> frozenset[str]:
    """What a job's task goes by: its label, and its name in GLUE."""
    task = job.workload.task
    return _folded((task.name, task.subset))


def same_work(published: Published, baseline: JobRecord, candidate: JobRecord) -> bool:
    """Whether a measured pair has the model, the task and the backends of a published one."""
    theirs, other = published.baseline, published.candidate
    return (
        theirs is not None
        and other is not None
        and bool(names_of_model(theirs) & names_of_model(baseline))
        and bool(names_of_task(theirs) & names_of_task(baseline))
        and (theirs.arm.backend, other.arm.backend) == (baseline.arm.backend, candidate.arm.backend)
    )


def is_related(claim: Claim, suite: str) -> bool:
    """Whether runs of a suite bear on a claim although they measure something else."""
    return any(fnmatchcase(suite, each.suite) for each in claim.related)


def place(published: Range, low: float | None, high: float | None) -> Placed:
    """Where a measured interval lies.

    Args:
        published: What the true gain can be, a fraction.
        low: Lower end of the measured interval of the throughput gain, a fraction.
        high: Its upper end.
    """
    if low is None or high is None:
        return Placed.UNKNOWN
    if Range(low, high).meets(published):
        return Placed.INSIDE if is_narrow(low, high) else Placed.UNDECIDED
    return Placed.ABOVE if low > published.high else Placed.BELOW


def is_narrow(low: float | None, high: float | None) -> bool:
    """Whether there is an interval that is not wider than WIDEST to each side."""
    return low is not None and high is not None and high - low <= 2 * WIDEST


def whole_training(published: Sequence[JobRecord], job: JobRecord) -> bool:
    """Whether a job was to train for as many epochs as the published jobs, with no limit in
    steps.
    """
    training = job.workload.training
    return training.max_steps is None and training.epochs in {
        each.workload.training.epochs for each in published
    }


def _folded(names: Iterable[str | None]) -> frozenset[str]:
    return frozenset(name.casefold() for name in names if name)
