"""The answer in words: one sentence per declared pair, fit to be pasted into a chat.

Where there are several pairs, a line that counts them comes first. A gain that its interval does
not tell from 0 is given as its interval alone: the value in the middle of it is no finding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from report.analysis.gains import END_TO_END, STEADY_STATE, Measure
from report.analysis.headline import (
    TARGETS_PP,
    USEFUL,
    GainVerdict,
    judged,
    replicates_to_bound,
    replicates_to_tell,
)
from report.analysis.metrics import GPU_UTILIZATION, NO_FIGURE, Figure
from report.analysis.padding import skipping_side
from report.analysis.parity import ParityOutcome
from report.analysis.replicates import arms_of, only_interleaved
from report.loading.runs import Run
from report.tables.arm_rows import backends_are_shared
from report.tables.columns import count, device, has_open_gain, pair_attention, workload_column
from report.tables.footnotes import WITHIN_ONE
from report.tables.full import full_rows
from report.tables.gains import PairLabel, pair_labels
from report.tables.predicted import WHOLE, predicted_gains
from report.tables.rows import SIDES, FullRow, GainRow, HeadlineRow, extended
from report.tables.table import Table, TablePart, part_of
from report.text import OPEN, OPEN_NOTE, format_percent, in_one_line

G = TypeVar("G", bound=GainRow)
_WHEN = {  # in the order of a sentence
    STEADY_STATE: "in steady state",
    END_TO_END: "end to end",
    WHOLE: "over all epochs as predicted",
}
_MEASURES: tuple[Measure, ...] = tuple(_WHEN)
_IN_NUMBERS = (GainVerdict.FASTER, GainVerdict.SLOWER, GainVerdict.NO_INTERVAL)
_ONE_REPLICATE = (
    "one replicate says nothing of others: an interval takes two at least, a useful one four"
)
_NARROW = 0.002  # of a gain: an interval within ± this is written with two decimals
_MANY = 1000  # replicates: nobody makes more


def headline(run: Run) -> TablePart[HeadlineRow]:
    """Every declared pair by every measure, each with the sentence of its pair."""
    by_name = backends_are_shared(run)
    rows: list[GainRow] = [*full_rows(run)]
    if only_interleaved(run):
        rows += [row for row in predicted_gains(run).rows if row.outcome.ok]
    named = bool(workload_column(rows))
    asked = [said.target_pp for said in run.info.stopping]  # of suites with adaptive stopping
    targets = asked[:1] or TARGETS_PP
    pairs = {(pair.workload, pair.baseline, pair.candidate): pair for pair in run.info.pairs}
    found = []
    for of_pair in _by_pair(rows):
        used = _utilization(of_pair)
        first = of_pair[0]
        skipping = skipping_side(run, pairs[first.workload, first.baseline, first.candidate])
        facts = _facts(run, first, named=named)
        found += [
            extended(
                row,
                HeadlineRow,
                verdict=_judged(row),
                **_needed(row, targets),
                facts=facts,
                gpu_utilization=used,
                leaves_padding_out=skipping,
                sentence="",
            )
            for row in of_pair
        ]
    label = PairLabel(frozenset({run.info.run} if by_name else ()))
    told = [
        replace(row, sentence=_sentence(of_pair, label, row.facts, alone=True))
        for of_pair in _by_pair(found)
        for row in of_pair
    ]
    return part_of(run, told, [], by_name=by_name, usual=bool(told))


def headline_tables(parts: Sequence[TablePart[HeadlineRow]]) -> list[Table[HeadlineRow]]:
    """The sentences. Where there are several pairs, the line that counts them is the title, and
    what all of them share is told there and under them.
    """
    rows = [row for part in parts for row in part.rows]
    pairs = _by_pair(rows)
    if not pairs:
        return [Table("headline", "", (), (), (), (), ("No pair of arms is declared.",))]
    if len(pairs) < 2:
        return [
            Table("headline", "", (), tuple(rows), (), (), tuple(row.sentence for row in rows[:1]))
        ]
    label = pair_labels(parts)
    runs = {row.run for row in rows}
    shared = [fact for fact in rows[0].facts if all(fact in row.facts for row in rows)]
    sentences = []
    for of_pair in pairs:
        facts = [fact for fact in of_pair[0].facts if fact not in shared]
        sentence = _sentence(of_pair, label, facts, alone=False)
        sentences.append(f"{of_pair[0].run}: {sentence}" if len(runs) > 1 else sentence)
    title = tally(rows) + (f" (all: {', '.join(shared)})" if shared else "")
    notes = _notes_of_one(rows)
    notes += [OPEN_NOTE] if any(has_open_gain(row.throughput_gain) for row in rows) else []
    return [Table("headline", title, (), tuple(rows), (), tuple(notes), tuple(sentences))]


def tally(rows: Iterable[HeadlineRow]) -> str:
    """How many pairs came to what: "steady state: 6 faster, 7 not distinguishable; end to end: 3
    slower".
    """
    counted: dict[Measure, Counter[GainVerdict]] = {measure: Counter() for measure in _MEASURES}
    for row in rows:
        counted[row.measure][row.verdict] += 1
    return "; ".join(
        f"{measure.label}: "
        + ", ".join(f"{verdicts[each]} {each}" for each in GainVerdict if verdicts[each])
        for measure, verdicts in counted.items()
        if verdicts
    )


def _by_pair(rows: Iterable[G]) -> list[list[G]]:
    """The rows of each pair, by measure in the order of a sentence."""
    pairs: dict[tuple[str, str, str, str], list[G]] = {}
    for row in rows:
        pairs.setdefault((row.run, row.workload, row.baseline, row.candidate), []).append(row)
    return [sorted(of, key=lambda row: _MEASURES.index(row.measure)) for of in pairs.values()]


def _judged(row: GainRow) -> GainVerdict:
    return judged(row.log_ratio, ok=row.outcome.ok, a_a=row.a_a)


def _needed(row: GainRow, targets_pp: Sequence[float]) -> dict[str, Any]:
    """How many replicates it would take, where there are two or three."""
    needed: int | None = None
    target: float | None = None
    if row.n is not None and 2 <= row.n < USEFUL:
        if _judged(row) is GainVerdict.NOT_DISTINGUISHABLE:
            needed = replicates_to_tell(row.log_ratio, row.n)
        elif row.log_ratio.value is not None:
            needed, target = replicates_to_bound(row.log_ratio, row.n, targets_pp)
    return {"needed_replicates": needed, "needed_for_pp": target}


def _facts(run: Run, row: GainRow, *, named: bool) -> list[str]:
    """What the workload is. `named`: only its name tells it from others."""
    jobs = arms_of(run).of_workload(row.workload)
    attention = pair_attention(row)
    facts = [
        row.workload if named else "",
        row.precision,
        "" if row.batch_size is None else f"batch {row.batch_size}",
        f"{attention} attention" if attention else "",
        "CPU" if row.device == "cpu" else device(row),
        "synthetic data" if any(job.sources.data == "synthetic" for job in jobs) else "",
        "random weights" if any(job.sources.weights == "random" for job in jobs) else "",
    ]
    return [fact for fact in facts if fact]


def _utilization(rows: Sequence[GainRow]) -> str:
    """The GPU utilization of candidate and baseline: "26% against 30%"; empty if not recorded."""
    for row in rows:
        if isinstance(row, FullRow):
            figures = [row.sides[side].get(GPU_UTILIZATION, NO_FIGURE) for side in reversed(SIDES)]
            known = [f"{figure.value:.0f}%" for figure in figures if figure.value is not None]
            if len(known) == len(SIDES):
                return " against ".join(known)
    return ""


def _sentence(
    rows: Sequence[HeadlineRow], label: PairLabel, facts: Sequence[str], *, alone: bool
) -> str:
    """The sentence of a pair, whose `rows` are each of another measure. `alone`: there is no other
    pair, so what notes would say is in it.
    """
    candidate, baseline = label.arms(rows[0])
    model, task = rows[0].model, rows[0].task
    what = (f"{model} on {task}" if task else model) + (f" ({', '.join(facts)})" if facts else "")
    of = {verdict: [row for row in rows if row.verdict is verdict] for verdict in GainVerdict}
    apart = [row for row in rows if row.verdict in _IN_NUMBERS]
    alike, without = of[GainVerdict.NOT_DISTINGUISHABLE], of[GainVerdict.NO_RESULT]
    ranges = _and(f"{_WHEN[row.measure]} ({_within(row)})" for row in alike)
    said = []
    if identical := of[GainVerdict.IDENTICAL]:
        arms = candidate if candidate == baseline else f"{candidate}, {baseline}"
        differ = _and(f"{_WHEN[row.measure]} ({_within(row)})" for row in identical)
        said.append(f"Identical arms ({arms}) training {what} show the noise floor {differ}")
        if any(_excludes_zero(row.log_ratio) for row in identical):
            said.append("0 is outside, so something tells these arms apart")
    if apart:
        first, *others = apart
        gains = [_faster(first, f" than {baseline}"), *(_faster(row, "") for row in others)]
        said.append(f"{candidate} trains {what} {_and(gains)}")
        if alike:
            said.append(f"the two are not distinguishable {ranges}")
    elif alike:
        said.append(
            f"{candidate} and {baseline} are not distinguishable in training {what} {ranges}"
        )
    if without and len(without) == len(rows):
        said.append(f"Whether {candidate} trains {what} faster than {baseline} is not known")
    elif without:
        said.append(f"there is no result {_and(_WHEN[row.measure] for row in without)}")
    said += dict.fromkeys(in_one_line(str(row.outcome)) for row in without)
    said += _would_take(rows)
    measured = [row for row in rows if row.outcome.ok and row.source != "published"]
    if measured:
        said += [f"GPU utilization {used}"] if (used := measured[0].gpu_utilization) else []
        if side := measured[0].leaves_padding_out:
            said.append(f"{candidate if side == 'candidate' else baseline} leaves padding out")
        if not identical:
            passed = measured[0].parity is ParityOutcome.PASSED
            said.append("parity passed" if passed else "parity not checked")
    if alone:
        said += _notes_of_one(rows)
    if alone and any(has_open_gain(row.throughput_gain) for row in rows):
        said.append(OPEN_NOTE)
    return "; ".join(said) + "."


def _faster(row: HeadlineRow, than: str) -> str:
    """The text "42.1% faster than PyTorch in steady state (37.0 to 47.4%, n = 4)"; percentages by
    which it is slower where it is.
    """
    value = row.throughput_gain.value or 0.0
    how = f"{'faster' if value >= 0 else 'slower'}{than} {_WHEN[row.measure]}"
    if row.source == "published":
        printed = row.published_throughput_gain
        return f"{format_percent(abs(value if printed is None else printed))} {how} (as published)"
    return f"{_percent(abs(value), row.throughput_gain)}% {how} ({_within(row)})"


def _within(row: HeadlineRow) -> str:
    """The text "37.0 to 47.4%, n = 4"."""
    gain = row.throughput_gain
    said = []
    if has_open_gain(gain):
        said.append(OPEN)
    elif gain.low is not None and gain.high is not None:
        slower = row.verdict is GainVerdict.SLOWER
        ends = (-gain.high, -gain.low) if slower else (gain.low, gain.high)
        said.append(" to ".join(_percent(end, gain) for end in ends) + "%")
    elif row.a_a:
        said.append(f"{_percent(gain.value or 0.0, gain)}%")
    return ", ".join([*said, f"n = {count(row)}"])


def _would_take(rows: Sequence[HeadlineRow]) -> list[str]:
    """What more replicates would make of the intervals of two or three: the same words once."""
    said: dict[tuple[str, str], list[HeadlineRow]] = {}
    # What an open interval foretells is as undetermined as the value.
    few = [
        row
        for row in rows
        if row.n in range(2, USEFUL) and row.outcome.ok and not has_open_gain(row.throughput_gain)
    ]
    for row in few:
        needed, target = row.needed_replicates, row.needed_for_pp
        many = needed is None or needed > _MANY
        number = f"more than {_MANY:,}" if many else f"about {needed}"
        then = "no longer contain 0" if target is None else f"be no wider than ±{target:g} pp"
        said.setdefault((number, then), []).append(row)
    return [
        f"with {number} replicates in all, the interval{'s' * (len(of) > 1)} "
        + (f"{_and(_WHEN[row.measure] for row in of)} " if len(of) < len(rows) else "")
        + f"would {then}"
        for (number, then), of in said.items()
    ]


def _notes_of_one(rows: Iterable[HeadlineRow]) -> list[str]:
    """What one replicate says, with and without an interval of what varies within it."""
    of_one = [row for row in rows if row.n == 1 and row.outcome.ok and row.source != "published"]
    notes = [
        (_ONE_REPLICATE, any(row.throughput_gain.low is None for row in of_one)),
        (WITHIN_ONE, any(row.throughput_gain.low is not None for row in of_one)),
    ]
    return [note for note, needed in notes if needed]


def _excludes_zero(ratio: Figure) -> bool:
    return ratio.low is not None and ratio.high is not None and not ratio.low <= 0 <= ratio.high


def _percent(fraction: float, gain: Figure) -> str:
    """A fraction in percent with a typographic minus, without the sign of percent; the decimals are
    by the width of the gain's interval.
    """
    narrow = gain.low is not None and gain.high is not None and gain.high - gain.low < 2 * _NARROW
    said = (
        f"{100 * fraction:z.{2 if narrow else 1}f}"
        if abs(fraction) < 1e5
        else f"{100 * fraction:.3g}"
    )
    return said.replace("-", "−")


def _and(phrases: Iterable[str]) -> str:
    *first, last = [*phrases] or [""]
    return f"{', '.join(first)} and {last}" if first else last
