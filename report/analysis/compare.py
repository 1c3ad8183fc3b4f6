"""Two runs against each other: which gains and times moved, and by more than both runs' noise or
not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.schema.record import JobRecord, trained_length
from harness.schema.stats import CONFIDENCE, Estimate, mean_interval, t_quantile, usable
from report.analysis.cycles import ROUNDING
from report.analysis.gains import END_TO_END, STEADY_STATE, gains_of
from report.analysis.metrics import SETUP
from report.analysis.outcome import HAS_RESULT, Outcome, no_result
from report.analysis.provenance_diff import Differences, differences
from report.analysis.published import printed_gains
from report.analysis.replicates import arms_of, count_verdicts, counting, verdict
from report.labels import known
from report.loading.runs import Run
from report.text import epochs_of

# label, how it is read, whether it depends on how much was trained, whether on the batch size
TIMES = (
    ("end to end", END_TO_END.time, True, True),
    ("set-up", SETUP.read, False, True),
    ("steady step", STEADY_STATE.time, False, True),
)


@dataclass(frozen=True)
class Item:
    """A gain or a time of a run, as the mean of log ratios or of logarithms of seconds (`estimate`,
    or why none).

    `name` matches it with the same in another run. Where no name does, `kind` must be equal and
    every entry of `traits` equal or unknown (None) in one of the two. `work`: how much was trained;
    `batch`: samples per step; `length`: tokens per sample. `printed`: the throughput gain as
    published, where it was.
    """

    name: tuple[str, ...]
    kind: tuple[str, ...]
    traits: tuple[object, ...]
    workload: str
    model: str
    what: str
    time: str
    estimate: Estimate | None
    outcome: Outcome
    published: bool
    work: str | None
    batch: object
    length: object
    by_work: bool = False
    by_batch: bool = False
    printed: float | None = None

    @property
    def state(self) -> str:
        """`ok`, `published`, or why there is no estimate."""
        return "published" if self.outcome.ok and self.published else str(self.outcome)


@dataclass(frozen=True)
class Compared:
    """`change`: of the mean logarithm, B less A, with the joint interval where there is one.
    `moved`: None: unknown.
    """

    a: Item
    b: Item
    change: Estimate | None
    moved: bool | None
    why: str = ""


@dataclass(frozen=True)
class Comparison:
    """All of two runs that can be compared, what only one has, and what else differs between
    them.
    """

    a: Run
    b: Run
    gains: tuple[Compared, ...]
    times: tuple[Compared, ...]
    only_a: tuple[Item, ...]
    only_b: tuple[Item, ...]
    differences: Differences


def compare(a: Run, b: Run) -> Comparison:
    """`b` against `a`."""
    gains, only_a, only_b = _match(_gain_items(a), _gain_items(b))
    times, alone_a, alone_b = _match(_time_items(a), _time_items(b))
    return Comparison(
        a,
        b,
        tuple(_compared(one, other) for one, other in gains),
        tuple(_compared(one, other) for one, other in times),
        (*only_a, *alone_a),
        (*only_b, *alone_b),
        differences(a, b),
    )


def joint_change(a: Estimate, b: Estimate, confidence: float = CONFIDENCE) -> Estimate:
    """mean_b − mean_a with Welch's interval; without one if either mean has none.

    The variances V of the two means come from their own intervals, so the change has what noise
    each run was found to have. Half-width t(ν)·√(V_a + V_b) with ν = (V_a + V_b)² / (V_a²/ν_a +
    V_b²/ν_b). Sources: Welch, "The generalization of 'Student's' problem when several different
    population variances are involved", Biometrika 34 (1947) 28–35; Satterthwaite, "An Approximate
    Distribution of Estimates of Variance Components", Biometrics Bulletin 2 (1946) 110–114. The
    runs are independent: no replicate is in both.
    """
    n, mean = min(a.n, b.n), b.mean - a.mean
    parts = [_variance(estimate, confidence) for estimate in (a, b)]
    if None in parts:
        return Estimate(n, mean)
    known_parts = [part for part in parts if part is not None]
    variance = math.fsum(of for of, _ in known_parts)
    if variance == 0:
        return Estimate(n, mean, mean, mean)
    # By shares, for the square of a small variance is 0 in floating point.
    freedom = 1 / math.fsum((of / variance) ** 2 / degrees for of, degrees in known_parts)
    half = t_quantile(freedom, confidence) * math.sqrt(variance)
    return Estimate(n, mean, mean - half, mean + half)


def _variance(estimate: Estimate, confidence: float) -> tuple[float, int] | None:
    """Of a mean, with its degrees of freedom, from its interval."""
    if estimate.low is None or estimate.high is None or not estimate.freedom:
        return None
    half = (estimate.high - estimate.low) / 2
    return (half / t_quantile(estimate.freedom, confidence)) ** 2, estimate.freedom


def _compared(a: Item, b: Item) -> Compared:
    if lacking := [
        f"none in {run}: {item.outcome}"
        for run, item in (("A", a), ("B", b))
        if item.estimate is None
    ]:
        return Compared(a, b, None, None, "; ".join(lacking))
    assert a.estimate is not None
    assert b.estimate is not None
    for what, one, other in (("batch", a.batch, b.batch), ("length", a.length, b.length)):
        if a.by_batch and None not in (one, other) and one != other:
            return Compared(a, b, None, None, f"not the same work: {what} {one} in A, {other} in B")
    if a.by_work and a.work != b.work:
        return Compared(
            a,
            b,
            None,
            None,
            f"not the same work: {a.work or 'unknown'} in A, {b.work or 'unknown'} in B",
        )
    change = joint_change(a.estimate, b.estimate)
    if change.low is None or change.high is None:
        without = [
            f"{run} ({'published' if item.published else 'n = 1'})"
            for run, item in (("A", a), ("B", b))
            if item.estimate is not None and item.estimate.low is None
        ]
        return Compared(a, b, change, None, f"no interval in {' and '.join(without)}")
    # The interval of one replicate in turns holds what varies within it. Between two runs there is
    # also what varies from replicate to replicate, of which it knows nothing.
    if single := [
        run for run, item in (("A", a), ("B", b)) if item.estimate and item.estimate.n == 1
    ]:
        why = f"one replicate in {' and '.join(single)} does not say how replicates vary"
        return Compared(a, b, change, None, why)
    return Compared(a, b, change, change.low > ROUNDING or change.high < -ROUNDING)


def _match(
    items_a: Sequence[Item], items_b: Sequence[Item]
) -> tuple[list[tuple[Item, Item]], list[Item], list[Item]]:
    """By name, then what is left by what it is, all that fits; and what only one has."""
    by_name = {item.name: item for item in items_b}
    matched = [(item, by_name[item.name]) for item in items_a if item.name in by_name]
    names = {item.name for item, _ in matched}
    left_a = [item for item in items_a if item.name not in names]
    left_b = [item for item in items_b if item.name not in names]
    alike = [(one, other) for one in left_a for other in left_b if _alike(one, other)]
    return (
        [*matched, *alike],
        [item for item in left_a if item not in [one for one, _ in alike]],
        [item for item in left_b if item not in [other for _, other in alike]],
    )


def _alike(one: Item, other: Item) -> bool:
    traits = zip(one.traits, other.traits, strict=True)
    return one.kind == other.kind and all(x is None or y is None or x == y for x, y in traits)


def _gain_items(run: Run) -> list[Item]:
    arms = arms_of(run)
    printed = {
        (said.workload, said.baseline, said.candidate): said.throughput_gain
        for said in printed_gains(run)
    }
    items = []
    for gain in gains_of(run, arms):
        pair = gain.pair
        jobs = [next(iter(side.values()), None) for side in arms.of_pair(pair)]
        items.append(
            _item(
                pair.workload,
                f"{pair.candidate} over {pair.baseline}",
                gain.measure.label,
                [job for job in jobs if job is not None],
                gain.ratio,
                gain.outcome,
                by_work=gain.measure is END_TO_END,  # the more steps, the less set-up weighs in it
                printed=printed.get((pair.workload, pair.baseline, pair.candidate)),
            )
        )
    return items


def _time_items(run: Run) -> list[Item]:
    items = []
    for (workload, arm), replicates in arms_of(run).replicates.items():
        jobs = list(replicates.values())
        counted = counting(jobs)
        for label, read, by_work, by_batch in TIMES:
            logs = [math.log(seconds) for job in counted if usable(seconds := read(job))]
            if (
                logs or not counted
            ):  # an arm that counts and never has this time has nothing to compare
                estimate = mean_interval(logs) if logs else None
                failures = count_verdicts(map(verdict, jobs)) or "no job recorded"
                outcome = HAS_RESULT if logs else no_result(failures)
                items.append(
                    _item(workload, arm, label, jobs[:1], estimate, outcome, by_work, by_batch)
                )
    return items


def _item(
    workload: str,
    what: str,
    time: str,
    jobs: Sequence[JobRecord],
    estimate: Estimate | None,
    outcome: Outcome,
    by_work: bool = False,
    by_batch: bool = False,
    printed: float | None = None,
) -> Item:
    of = jobs[0].workload if jobs else None
    traits: list[object] = [None, None]
    if jobs and of:
        traits = [
            known(jobs[0], f"workload.training.{key}", getattr(of.training, key))
            for key in ("precision", "batch_size")
        ]
    return Item(
        name=(workload, what, time),
        kind=(of.model.name, of.task.name, time, *(job.arm.backend for job in jobs))
        if of
        else (workload, what, time),
        traits=(
            *traits,
            *(known(job, "arm.attention", job.arm.attention) for job in jobs),
            # PyTorch of another version is another candidate, even with the same backend.
            *(known(job, "arm.stack", job.arm.stack) for job in jobs),
        ),
        workload=workload,
        model=of.model.name if of else workload,
        what=what,
        time=time,
        estimate=estimate,
        outcome=outcome,
        published=bool(jobs) and jobs[0].source == "published",
        work=_work(jobs[0]) if jobs else None,
        batch=traits[1],
        length=known(jobs[0], "workload.training.max_seq_length", trained_length(jobs[0]))
        if jobs
        else None,
        by_work=by_work,
        by_batch=by_batch,
        printed=printed,
    )


def _work(job: JobRecord) -> str | None:
    """How much a job was asked to train."""
    training, samples = job.workload.training, job.sources.train_samples
    if training.max_steps is not None:
        return f"{training.max_steps} steps"
    return None if samples is None else f"{epochs_of(training.epochs)} of {samples:,} samples"
