"""What a reader of the gains must know: what arms differ in, the gate, the noise floor, and what
was not reached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from harness.schema.record import Stopping
from report.analysis.cycles import ROUNDING
from report.analysis.gains import Gain, Measure, gains_of
from report.analysis.geometric import geometric_mean
from report.analysis.noise_floor import floor_for, floors_of, is_a_a
from report.analysis.outcome import PrecisionTarget
from report.analysis.parity import ParityOutcome
from report.analysis.published import check_gains
from report.analysis.replicates import arms_of, names_of
from report.analysis.statistics import Estimate, throughput_gain
from report.loading.runs import Run
from report.tables.footnotes import (
    WITHIN_ONE,
    cache_notes,
    disturbance_notes,
    failure_notes,
    rerun_notes,
    several_groups_notes,
    source_notes,
    telemetry_notes,
)
from report.tables.padding_footnotes import padding_notes
from report.tables.rows import GainRow
from report.tables.switching_footnotes import switching_notes
from report.text import MANY_RUNS, OPEN_NOTE


def gain_notes(run: Run) -> list[str]:
    """Under the gains: sources, declared differences, padding, parity, noise floor, precision,
    reruns, published gains.
    """
    gains = gains_of(run)
    return [
        *source_notes(run),
        *_differences(run),
        *padding_notes(run),
        *_parity(run, gains),
        *_interleaved(run, gains),
        *_noise(run, gains),
        *_break_even(gains),
        *cache_notes(run),
        *_precision(run.info.stopping),
        *rerun_notes(run),
        *disturbance_notes(run),
        *telemetry_notes(run),
        *check_gains(run),
    ]


def _differences(run: Run) -> list[str]:
    """What each pair declares; of a publication nobody knows it. Workloads are named where they
    differ in it.
    """
    arms = arms_of(run)
    said: dict[str, dict[str, list[str]]] = {}
    for pair in run.info.pairs:
        if any(job.source == "published" for job in arms.of_workload(pair.workload)):
            continue
        backends = {job.arm.backend for side in arms.of_pair(pair) for job in side.values()}
        what = "no declared difference" + (" but the backend" if len(backends) != 1 else "")
        if pair.differs:
            verb = "differ" if len(pair.differs) > 1 else "differs"
            what = f"{', '.join(pair.differs)} {verb} (declared)"
        declared = said.setdefault(f"{pair.baseline} against {pair.candidate}", {})
        declared.setdefault(what, []).append(pair.workload)
    return [
        f"{pair}: {what}" + (f" ({', '.join(workloads)})" if len(declared) > 1 else "")
        for pair, declared in said.items()
        for what, workloads in declared.items()
    ]


def _parity(run: Run, gains: list[Gain]) -> list[str]:
    """Of the pairs that passed, how close they were; of those not checked, why. A failure stands in
    its row.
    """
    if not gains or all(job.source == "published" for job in run.jobs):
        return []
    checked = {_name(gain): gain.parity for gain in gains if gain.parity}
    if not checked:
        return ["parity: not checked, the suite asked for no parity runs"]
    said = []
    passed = [parity for parity in checked.values() if parity.outcome is ParityOutcome.PASSED]
    if passed:
        closest = max(parity.difference or 0.0 for parity in passed)
        allowed = sorted({f"{parity.tolerance:.2g}" for parity in passed})
        said.append(
            f"parity passed: losses of parity runs at dropout 0 differ by {closest:.2g} in a step "
            "at most "
            f"(allowed: {' or '.join(allowed)}, over "
            f"{max(parity.steps or 0 for parity in passed)} steps)"
        )
    by_metric = _by_text(
        (parity.metric, name)
        for name, parity in checked.items()
        if parity.outcome is ParityOutcome.PASSED
    )
    said += [f"{metric} ({', '.join(names)})" for metric, names in by_metric.items() if metric]
    unchecked = _by_text(
        (parity.reason, name)
        for name, parity in checked.items()
        if parity.outcome is ParityOutcome.NOT_CHECKED
    )
    said += [
        f"parity not checked: {reason} ({', '.join(names)})" for reason, names in unchecked.items()
    ]
    return said


def _by_text(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text, name in pairs:
        found.setdefault(text, []).append(name)
    return found


def _name(gain: Gain) -> str:
    return f"{gain.pair.candidate} over {gain.pair.baseline} on {gain.pair.workload}"


def _interleaved(run: Run, gains: list[Gain]) -> list[str]:
    if not any(job.group for job in run.jobs):
        return []
    names = names_of(run)
    together = (
        "the jobs of each group of arms"
        if any(of_workload.several for of_workload in names.values())
        else "the jobs of all arms"
    )
    said = [
        f"interleaved protocol: {together} took turns on the device; set-ups, and so the "
        "break-even, are of jobs "
        "side by side",
        *several_groups_notes(run),
        *switching_notes(gains, arms_of(run), names),
        *failure_notes(run),  # they stand under the runtimes, which such a run has none of
    ]
    if any(gain.ratio and gain.ratio.n == 1 and gain.ratio.low is not None for gain in gains):
        said.append(WITHIN_ONE)
    apart = [
        gain
        for gain in gains
        if gain.ratio and gain.in_full is not None and not _holds(gain.ratio, gain.in_full)
    ]
    said += [
        "slow turns count up to a limit, beyond which they are taken for the host's: in full, "
        f"{_name(gain)} has a "
        f"throughput gain of {throughput_gain(gain.in_full or 0.0):.1%}"
        for gain in apart
    ]
    return said


def _holds(interval: Estimate, value: float) -> bool:
    """Without an interval nothing is outside of it."""
    if interval.low is None or interval.high is None:
        return True
    return interval.low - ROUNDING <= value <= interval.high + ROUNDING


def _noise(run: Run, gains: list[Gain]) -> list[str]:
    arms, floors = arms_of(run), floors_of(run)
    used = [floor_for(gain, arms, floors) for gain in gains if not is_a_a(run, gain.pair, arms)]
    runs = sorted({floor.run for floor in used if floor and floor.run != run.info.run})
    if not any(used):
        return []
    where = f", from {', '.join(runs)}" if runs else ""
    off = any(floor and not floor.low <= 0 <= floor.high for floor in used)
    middle = (
        "; it excludes 0 where its middle stands before it: something tells identical arms apart"
        if off
        else ""
    )
    return [
        "A/A: half the 95% interval of the throughput gain of identical arms on this "
        f"host{where}{middle}",
        *([OPEN_NOTE] if any(floor and floor.is_open for floor in used) else []),
    ]


def _break_even(gains: list[Gain]) -> list[str]:
    found = [gain.break_even for gain in gains if gain.break_even]
    if not found:
        return []
    words = [str(each) for each in found]
    said = "break-even: the step from which the candidate has repaid its set-up"
    if any("(" in text for text in words):
        said += ", with Fieller's 95% interval"
    if any("∞" in text for text in words):
        said += "; ∞: these replicates leave it open whether it ever does"
    if any("never (" in text for text in words):
        said += (
            "; never (or from …): by the means it never does, and the interval leaves it open from "
            "that step on"
        )
    return [said]


def _precision(stopping: Iterable[Stopping]) -> list[str]:
    """What it would have taken, of each pair that stopped short of its target."""
    said = []
    for pair in stopping:
        if PrecisionTarget(pair.state) is not PrecisionTarget.NOT_REACHED:
            continue
        reached = "no interval" if pair.half_width_pp is None else f"±{pair.half_width_pp:.2f} pp"
        needed = f"about {pair.needed_replicates} replicates" if pair.needed_replicates else ""
        if needed and pair.needed_minutes:
            needed += f" ({pair.needed_minutes:.0f} minutes)"
        said.append(
            f"precision not reached: {pair.candidate} over {pair.baseline} on {pair.workload} has "
            f"{reached} after "
            f"{pair.replicates} replicates and {pair.minutes:.0f} minutes, the target is "
            f"±{pair.target_pp:g} pp" + (f"; {needed} would reach it" if needed else "")
        )
    return said


def geometric_notes(rows: Sequence[GainRow], arms: Callable[[GainRow], str]) -> list[str]:
    """One sentence for every two arms that have several pairs; none where rows are of more runs
    than anybody reads.
    """
    runs = {row.run for row in rows}
    if len(runs) > MANY_RUNS:
        return []
    said: dict[tuple[str, str], list[str]] = {}
    of_pairs: dict[tuple[str, str, Measure], list[float | None]] = {}
    for row in rows:
        if not row.a_a:  # identical arms gain nothing on any workload
            ratio = row.log_ratio.value if row.outcome.ok else None
            of_pairs.setdefault((row.run, arms(row), row.measure), []).append(ratio)
    for (run, of, measure), ratios in of_pairs.items():
        if len(ratios) < 2:
            continue
        mean, valid = geometric_mean(ratios)
        what = "none" if mean is None else f"{mean:.4f}"
        said.setdefault((run, of), []).append(
            f"{what} {measure.label} over {valid} of {len(ratios)} pairs"
        )
    return [
        f"{f'{run}: ' if len(runs) > 1 else ''}geometric mean of the throughput ratios of {of} "
        "over pairs with a valid "
        f"gain, nothing clipped (Fleming and Wallace 1986): {', '.join(means)}"
        for (run, of), means in said.items()
    ]
