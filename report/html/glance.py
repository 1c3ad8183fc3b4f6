"""The questions that a reader comes with, answered from the figures of the page before any table.

Which backend, how sure, whether it depends on the batch size, whether the arms learned alike, and
whether anything became slower.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from report.analysis.gains import END_TO_END, STEADY_STATE, Measure
from report.analysis.headline import USEFUL, GainVerdict
from report.analysis.parity import ParityOutcome
from report.html.answers import (
    gain_in_words,
    interval_in_words,
    measured_and_predicted,
    verdict_of,
)
from report.html.history import SuiteHistory, slower_since
from report.loading.runs import Run
from report.tables.columns import has_open_gain
from report.tables.gains import PairLabel, pair_label_of
from report.tables.predicted import WHOLE
from report.tables.rows import GainRow
from report.text import OPEN, OPEN_NOTE, in_one_line

MOST_SAID = 4  # sentences of an answer
WHEN = {
    STEADY_STATE: "in the steady state",
    END_TO_END: "end to end",
    WHOLE: "over all epochs as predicted",
}


@dataclass(frozen=True)
class Question:
    """A question, its answer in a few sentences, and the id of what the answer comes from."""

    text: str
    answers: tuple[str, ...]
    target: str


def questions(
    runs: Sequence[Run], courses: Sequence[SuiteHistory], elsewhere: bool
) -> list[Question]:
    """The five questions.

    Args:
        runs: The runs that are answered for: of a history its last night.
        courses: The histories on the page.
        elsewhere: Whether the history of a single run is on a page of its own.
    """
    rows = [row for run in runs for row in measured_and_predicted(run)]
    label = pair_label_of(runs)
    several = len({row.run for row in rows}) > 1
    return [
        Question("Which backend should I use?", _few(_which(rows, label, several)), "gains"),
        Question("How sure is that?", _few(_how_sure(rows)), "replicates"),
        Question("Does it depend on the batch size?", _few(_batch_size(rows, label)), "gains"),
        Question("Did both arms learn the same?", _few(_learned(rows, label)), "gains"),
        Question(
            "Did anything become slower?",
            _few(slower_since(courses, elsewhere)),
            "history" if courses else "gains",
        ),
    ]


def _few(said: Iterable[str]) -> tuple[str, ...]:
    every = list(dict.fromkeys(said))
    if len(every) <= MOST_SAID:
        return tuple(every)
    return (*every[: MOST_SAID - 1], f"{len(every) - MOST_SAID + 1} more are below.")


def _which(rows: Sequence[GainRow], label: PairLabel, several: bool) -> list[str]:
    """Of each workload the arm with the largest gain that is told from 0, by each time."""
    if not rows:
        return ["No pair of arms is declared here."]
    said = []
    for measure in WHEN:
        groups: dict[tuple[str, str, str], list[GainRow]] = {}
        for row in rows:
            if row.measure is measure:
                groups.setdefault((row.run, row.workload, row.baseline), []).append(row)
        of_workload: dict[tuple[str, str], list[GainRow]] = {}
        for (run, workload, _), of in groups.items():
            # The baseline that most pairs share; other pairs compare candidates.
            if len(of) > len(of_workload.get((run, workload), ())):
                of_workload[run, workload] = of
        answers: dict[str, list[str]] = {}
        for (run, _), of in of_workload.items():
            where = of[0].model + (f", batch {of[0].batch_size}" if of[0].batch_size else "")
            where += f" ({run})" if several else ""
            answers.setdefault(_best(of, measure, label), []).append(where)
        for answer, places in answers.items():
            alone = len(answers) == 1
            where_all = ", ".join(dict.fromkeys(places))
            said.append(answer if alone else f"{where_all}: {answer[:1].lower()}{answer[1:]}")
    return said or ["No pair has a gain."]


def _best(rows: Sequence[GainRow], measure: Measure, label: PairLabel) -> str:
    when = WHEN[measure].capitalize()
    judged = [(row, verdict_of(row)) for row in rows]
    baseline = label.arms(rows[0])[1]
    if all(verdict is GainVerdict.IDENTICAL for _, verdict in judged):
        return "None: the arms are identical, and what they differ by is the noise floor."
    faster = [row for row, verdict in judged if verdict is GainVerdict.FASTER]
    if not faster:
        if unknown := [row for row, verdict in judged if verdict is GainVerdict.NO_INTERVAL]:
            largest = max(unknown, key=lambda row: row.log_ratio.value or 0.0)
            gain = gain_in_words(largest.throughput_gain)
            return (
                f"{when}, {label.arms(largest)[0]} gains {gain} over {baseline}, without an "
                "interval: not certain."
            )
        if all(verdict is GainVerdict.NO_RESULT for _, verdict in judged):
            return f"{when}, there is no gain: the reasons stand below."
        return f"{when}, {baseline}: no other arm is shown to be faster."
    best = max(faster, key=lambda row: row.log_ratio.value or 0.0)
    gain, within = gain_in_words(best.throughput_gain), interval_in_words(best.throughput_gain)
    near = [
        label.arms(row)[0]
        for row in faster
        if row is not best
        and row.log_ratio.high is not None
        and best.log_ratio.low is not None
        and row.log_ratio.high >= best.log_ratio.low
    ]
    also = f"; the interval of {' and '.join(near)} overlaps with its own" if near else ""
    return f"{when}, {label.arms(best)[0]}: {gain} ({within}) over {baseline}{also}."


def _how_sure(rows: Sequence[GainRow]) -> list[str]:
    measured = [
        row for row in rows if row.source != "published" and row.log_ratio.value is not None
    ]
    if not measured:
        return ["Nothing was measured here, so there is no interval."]
    said = []
    counts = sorted({row.n for row in measured if row.n is not None})
    replicates = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    plural = "s" if counts[-1] > 1 else ""
    for measure in WHEN:
        widths = [
            100 * (row.throughput_gain.high - row.throughput_gain.low) / 2
            for row in measured
            if row.measure is measure
            and not has_open_gain(row.throughput_gain)
            and row.throughput_gain.high is not None
            and row.throughput_gain.low is not None
        ]
        opened = sum(
            row.measure is measure and has_open_gain(row.throughput_gain) for row in measured
        )
        if opened:
            of = f"{opened} of {opened + len(widths)} " if widths else ""
            said.append(f"{of}{OPEN} {WHEN[measure]}")
        if widths:
            low, high = min(widths), max(widths)
            span = f"±{low:.1f}" + (f" to ±{high:.1f}" if high - low >= 0.05 else "")
            said.append(f"{span} percentage points {WHEN[measure]}")
    if not said:
        return [f"Not known: {replicates} replicate{plural} of whole trainings give no interval."]
    over = f"over {replicates} replicate{plural}: {', '.join(said)}."
    compared = [row for row in measured if not row.a_a]
    told = [row for row in compared if verdict_of(row) in (GainVerdict.FASTER, GainVerdict.SLOWER)]
    found = [f"95% intervals {over}"]
    if compared:
        clear = f"The 95% interval excludes 0 in {len(told)} of {len(compared)} gains."
        found = [f"{clear} Intervals {over}"]
    if any(has_open_gain(row.throughput_gain) for row in measured):
        found.append(f"{OPEN_NOTE.capitalize()}.")
    if counts[0] < USEFUL:
        found.append(
            f"Fewer than {USEFUL} replicates make wide intervals; more of them would narrow these."
        )
    if floors := dict.fromkeys(row.noise_floor for row in measured if row.noise_floor):
        listed = " and ".join(list(floors)[:2])
        found.append(f"Identical arms on this host differ by {listed} (noise floor).")
    return found


def _batch_size(rows: Sequence[GainRow], label: PairLabel) -> list[str]:
    """Of each pair that was measured with several batch sizes, whether its intervals are apart."""
    pairs: dict[tuple[str, str, str, Measure], dict[int, GainRow]] = {}
    for row in rows:
        if row.batch_size is not None and row.log_ratio.value is not None and not row.a_a:
            # The last run of several that measured the same counts.
            key = (row.model, row.candidate, row.baseline, row.measure)
            pairs.setdefault(key, {})[row.batch_size] = row
    several = {key: of for key, of in pairs.items() if len(of) > 1}
    if not several:
        sizes = sorted({row.batch_size for row in rows if row.batch_size is not None})
        listed = ", ".join(map(str, sizes))
        if not sizes:
            return ["Not known: the batch size was not recorded."]
        of_each = "of each model " if len(sizes) > 1 else ""
        return [f"Not measured: {of_each}only one batch size was trained (batch {listed})."]
    said = []
    steady_first = sorted(several.items(), key=lambda item: item[0][3] is not STEADY_STATE)
    for (model, _, _, measure), of in steady_first:
        ordered = [of[size] for size in sorted(of)]
        gains = ", ".join(
            f"batch {row.batch_size} {gain_in_words(row.throughput_gain)}" for row in ordered
        )
        apart = _apart(ordered)
        verdict = "Yes" if apart else "Not that it shows"
        why = "the intervals are apart" if apart else "the intervals overlap"
        said.append(f"{verdict}: {label(ordered[0])} on {model} {WHEN[measure]}, {gains}; {why}.")
    return sorted(said, key=lambda text: not text.startswith("Yes"))


def _apart(rows: Sequence[GainRow]) -> bool:
    """Whether any two intervals do not overlap."""
    ends = [
        (row.log_ratio.low, row.log_ratio.high)
        for row in rows
        if row.log_ratio.low is not None and row.log_ratio.high is not None
    ]
    return bool(ends) and max(low for low, _ in ends) > min(high for _, high in ends)


def _learned(rows: Sequence[GainRow], label: PairLabel) -> list[str]:
    pairs = {
        (row.run, row.workload, row.baseline, row.candidate): row
        for row in rows
        if row.source != "published"
    }
    if not pairs:
        return ["Not known: a publication does not say."]
    counted = Counter(row.parity for row in pairs.values())
    total = len(pairs)
    if counted[None] == total:
        return ["Not checked: the suite asked for no parity runs."]
    said = []
    if passed := counted[ParityOutcome.PASSED]:
        pairs_said = f"all {total} pairs" if passed == total > 1 else f"{passed} of {total} pairs"
        said.append(
            "Yes: parity passed."
            if passed == total == 1
            else f"{'Yes' if passed == total else 'In part'}: parity passed in {pairs_said}."
        )
    for row in pairs.values():
        if row.parity in (ParityOutcome.FAILED, ParityOutcome.NOT_CHECKED):
            answer = "No" if row.parity is ParityOutcome.FAILED else "Not checked"
            reason = in_one_line(row.parity_reason)
            said.append(f"{answer}: {label(row)} on {row.workload}: {reason}.")
    if counted[None]:
        said.append(f"Not asked for in {counted[None]} of {total} pairs.")
    return said
