"""The parity gate: whether both arms of a pair learned alike, by parity runs step by step and by
the final metric.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from harness.schema.record import JobRecord, Pair, ParityInfo, State
from harness.schema.stats import mean_of, t_quantile
from report.analysis.replicates import Arms, JobStatus, is_result, verdict
from report.loading.runs import Run
from report.text import four_decimals, in_one_line

LOSS_TOLERANCE = {"fp32": 1e-4, "bf16": 5e-2, "fp16": 2e-2}
"""Largest absolute difference of a step's loss between parity runs (dropout 0, same weights, same
batches), by precision.

A classifier's loss starts near ln(labels), 0.7 to 1.1, so these are about relative differences too.
fp32: on the CPU, Trainer and ORTTrainer were 1.3e-6 apart at most over 50 steps; kernels on a GPU
    sum in another order, and each step feeds its difference to the next, for which two more digits
    are left.
fp16: one rounding is 2^-11 = 5e-4 of a value. Logits, hence the loss, pass through some tens of
    them, and fused kernels round where separate ones do not.
bf16: one rounding is 2^-8 = 4e-3, eight times that of fp16; the bound is not eight times as wide,
    for that would pass an arm that learns at another rate.
A suite's `parity.tolerance` takes their place. What parity runs can show grows with their steps and
the learning rate. AdamW's steps do not depend on the gradients' scale, so a wrong one shows only by
clipping, overflow or underflow.
"""
MAIN_METRICS = (
    "matthews_correlation",
    "pearson",
    "f1",
    "accuracy",
    "perplexity",
    "loss",
)  # the first of a record that names none
MIN_SEEDS = 3  # baseline replicates: fewer say nothing of the spread between seeds


class ParityOutcome(StrEnum):
    """Whether both arms of a pair learned alike."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Parity:
    """What the gate says of a pair. `reason`: why it failed or was not checked; `metric`: what
    became of the metric.

    `difference` is the largest of a step's loss over `steps` steps of the parity runs, `tolerance`
    what was allowed.
    """

    outcome: ParityOutcome
    reason: str = ""
    metric: str = ""
    difference: float | None = None
    tolerance: float | None = None
    steps: int | None = None


def parity_settings(run: Run) -> ParityInfo | None:
    """The suite's `parity`; None where it asks for none, or was run before there was any."""
    return run.info.measurement.parity if run.info.measurement is not None else None


def check_parity(run: Run, pair: Pair, arms: Arms) -> Parity | None:
    """The gate's verdict on a pair; None where the suite has no gate.

    Fails by the parity runs or by the metric; passes only if the parity runs were compared.
    """
    settings = parity_settings(run)
    if settings is None:
        return None
    parity_runs = _compare_parity_runs(pair, arms, settings.tolerance)
    if parity_runs.outcome is ParityOutcome.FAILED:
        return parity_runs
    differs, said = _compare_metric(pair, arms)
    return (
        replace(parity_runs, outcome=ParityOutcome.FAILED, reason=said, metric=said)
        if differs
        else replace(parity_runs, metric=said)
    )


def _compare_parity_runs(pair: Pair, arms: Arms, tolerance: float | None) -> Parity:
    baseline, candidate = (
        arms.parity_runs.get((pair.workload, arm)) for arm in (pair.baseline, pair.candidate)
    )
    if baseline is None or candidate is None:
        missing = [
            arm
            for arm, parity_run in ((pair.baseline, baseline), (pair.candidate, candidate))
            if parity_run is None
        ]
        return Parity(
            ParityOutcome.NOT_CHECKED, f"there is no parity run of {' and '.join(missing)}"
        )
    if (baseline.state, candidate.state) == (State.OK, State.DIVERGED):
        return Parity(
            ParityOutcome.FAILED,
            f"the parity run of {pair.candidate} diverged, that of {pair.baseline} did not",
        )
    for parity_run in (baseline, candidate):
        if (why := verdict(parity_run)) is not JobStatus.OK:
            because = f" ({in_one_line(parity_run.reason)})" if parity_run.reason else ""
            return Parity(
                ParityOutcome.NOT_CHECKED,
                f"the parity run of {parity_run.arm.name}: {why}{because}",
            )
    for what, field in (
        ("initial weights", "initial_weights_sha256"),
        ("the order of the data", "data_order_sha256"),
    ):
        one, other = getattr(baseline.fingerprint, field), getattr(candidate.fingerprint, field)
        if one is None or other is None:
            return Parity(ParityOutcome.NOT_CHECKED, f"{what} of the parity runs: not recorded")
        if one != other:
            return Parity(
                ParityOutcome.FAILED, f"{what} of the parity runs: not the same{_declared(pair)}"
            )
    return _compare_losses(pair, baseline, candidate, tolerance)


def _compare_losses(
    pair: Pair, baseline: JobRecord, candidate: JobRecord, tolerance: float | None
) -> Parity:
    if not baseline.losses or not candidate.losses:
        return Parity(ParityOutcome.NOT_CHECKED, "the losses of the parity runs: not recorded")
    steps = len(baseline.losses)
    if len(candidate.losses) != steps:
        return Parity(
            ParityOutcome.FAILED, f"the parity runs did {steps} and {len(candidate.losses)} steps"
        )
    precision = baseline.workload.training.precision
    allowed = LOSS_TOLERANCE[precision] if tolerance is None else tolerance
    worst, at, losses = 0.0, 1, (baseline.losses[0], candidate.losses[0])
    for step, (one, other) in enumerate(
        zip(baseline.losses, candidate.losses, strict=True), start=1
    ):
        difference = abs(one - other)
        if not math.isfinite(difference):
            arm = pair.candidate if not math.isfinite(other) else pair.baseline
            return Parity(
                ParityOutcome.FAILED, f"the loss of {arm}'s parity run is not finite in step {step}"
            )
        if difference > worst:
            worst, at, losses = difference, step, (one, other)
    if worst <= allowed:
        return Parity(ParityOutcome.PASSED, difference=worst, tolerance=allowed, steps=steps)
    reason = (
        f"losses of the parity runs differ by {worst:.2g} in step {at} of {steps} ({losses[0]:.4f} "
        "and "
        f"{losses[1]:.4f}; "
        f"{precision} is given {allowed:.2g}){_declared(pair)}"
    )
    return Parity(ParityOutcome.FAILED, reason, difference=worst, tolerance=allowed, steps=steps)


def _declared(pair: Pair) -> str:
    """A declared difference may be why arms do not learn alike; it is no excuse, but the reader's
    first guess.
    """
    training = [name for name in pair.differs if name.startswith("training.")]
    return f"; the pair declares {', '.join(training)}" if training else ""


def _compare_metric(pair: Pair, arms: Arms) -> tuple[bool, str]:
    """Whether the candidate's mean of the task's score is off the baseline's, and a sentence with
    the numbers.

    The score is the mean of the task's main metrics, as on GLUE's leaderboard: one test for a pair,
    not one per metric.

    Off: |mean_c − mean_b| > t(n_b − 1) · s_b · √(1/n_b + 1/n_c), the 95% interval of the difference
    of two means whose values spread as the baseline's do between seeds (s_b: their standard
    deviation).
    """
    both = arms.of_pair(pair)
    if any(job.group for side in both for job in side.values()):
        return False, "metric not compared: jobs that take turns stop wherever their training is"
    names = _main_metrics([job for side in both for job in side.values() if is_result(job)])
    baseline, candidate = (_scores(side.values(), names) for side in both)
    if not baseline or not candidate:
        counts = any(is_result(job) for side in both for job in side.values())
        why = "not evaluated after training" if counts else "no replicate counts"
        return False, f"metric not compared: {why}"
    name = score_name(names)
    undefined = {pair.baseline: _undefined(baseline), pair.candidate: _undefined(candidate)}
    if said := "; ".join(
        f"{name} of {arm} is not defined in {counted}"
        for arm, counted in undefined.items()
        if counted
    ):
        one_sided = not undefined[
            pair.baseline
        ]  # the baseline learned something that can be measured
        return one_sided, said if one_sided else f"metric not compared: {said}"
    if len(baseline) < MIN_SEEDS:
        return (
            False,
            f"metric not compared: the spread between seeds needs {MIN_SEEDS} replicates of "
            f"{pair.baseline} that count, and there {'is' if len(baseline) == 1 else 'are'} "
            f"{len(baseline)}",
        )
    of_baseline, of_candidate = mean_of(baseline), mean_of(candidate)
    spread = math.hypot(*(value - of_baseline for value in baseline)) / math.sqrt(len(baseline) - 1)
    if spread == 0:
        return (
            False,
            f"metric not compared: {name} of {pair.baseline} is {of_baseline:.4g} whatever "
            "the seed",
        )
    allowed = (
        t_quantile(len(baseline) - 1) * spread * math.sqrt(1 / len(baseline) + 1 / len(candidate))
    )
    off = abs(of_candidate - of_baseline)
    relation = "more than" if off > allowed else "within"
    numbers = (
        f"{name} {four_decimals(of_candidate)} against {four_decimals(of_baseline)}, "
        f"{four_decimals(off)} apart"
    )
    return (
        off > allowed,
        f"{numbers}: {relation} the {four_decimals(allowed)} that seeds of the baseline explain",
    )


def score_name(metrics: Sequence[str]) -> str:
    """What the mean of these metrics is called."""
    return metrics[0] if len(metrics) == 1 else f"mean of {' and '.join(metrics)}"


def _main_metrics(jobs: Sequence[JobRecord]) -> Sequence[str]:
    """As the task states them; of records that do not tell, the first of MAIN_METRICS that all
    have.
    """
    stated = next((job.main_metrics for job in jobs if job.main_metrics), None)
    return stated or [name for name in MAIN_METRICS if all(name in job.metrics for job in jobs)][:1]


def _scores(jobs: Iterable[JobRecord], names: Sequence[str]) -> list[float]:
    """The task's score after every replicate that counts and was evaluated; NaN as its metrics."""
    return [
        mean_of([job.metrics[name] for name in names])
        for job in jobs
        if names and is_result(job) and all(name in job.metrics for name in names)
    ]


def _undefined(scores: Sequence[float]) -> str:
    """In how many replicates there is no number, as of constant predictions; empty if in none."""
    count = sum(not math.isfinite(score) for score in scores)
    return f"{count} of {len(scores)} replicates" if count else ""
