"""The answer of every pair, for the head of the page: its gains on the axis of the forest plot,
with their intervals, verdicts, parity and state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from report.analysis.gains import END_TO_END, STEADY_STATE, Measure
from report.analysis.headline import GainVerdict, judged
from report.analysis.metrics import Figure
from report.analysis.replicates import only_interleaved
from report.html.links import pair_id, replicates_id, run_id
from report.loading.runs import Run
from report.tables.columns import count, device, has_open_gain, percent, state
from report.tables.footnotes import source_notes, where_and_when
from report.tables.gain_axis import GainAxis, gain_axis, mark_label
from report.tables.gain_rows import gain_rows
from report.tables.gains import PairLabel, pair_label_of
from report.tables.predicted import WHOLE, predicted_gains
from report.tables.rows import GainRow
from report.text import OPEN, signed_percent

# Of the forest plot, in its own units, and at either end: half of a mark's label fits.
PLOT_WIDTH, PLOT_MARGIN = 300.0, 18.0
LINE_HEIGHT = 22.0  # of a measure's line
# The lines of a pair, from above. Where end to end is predicted, it was not measured.
MEASURES = (STEADY_STATE, END_TO_END, WHOLE)
SHAPES = {STEADY_STATE: "disc", END_TO_END: "box", WHOLE: "box"}
NO_PARITY_RUNS = "not checked"  # parity was not asked for
NOISE_FLOOR = "noise floor"
VERDICTS = {  # the words beside a gain, and its class
    GainVerdict.FASTER: ("faster", "faster"),
    GainVerdict.SLOWER: ("slower", "slower"),
    GainVerdict.NOT_DISTINGUISHABLE: ("not distinguishable", "plain"),
    GainVerdict.IDENTICAL: (NOISE_FLOOR, "plain"),
    GainVerdict.NO_INTERVAL: ("no interval", "plain"),
}
FINE = 0.004  # width of an interval, as a fraction, below which two decimals are written


@dataclass(frozen=True)
class Mark:
    """A gain and its interval on the forest plot, in the plot's units.

    Attributes:
        y: The middle of the line.
        value: The gain.
        low: The left end of the interval, and `high` the right one; None without an interval.
        ends: The ends of the interval that are on the axis, to be marked.
        beyond: Arrows where the interval goes on beyond the axis: (x, "left" or "right").
        floor: Both ends of the noise floor's band; None where it is not known.
        shape: "disc" or "box", by the measure.
        colour: The class of the verdict.
    """

    y: float
    value: float
    low: float | None
    high: float | None
    ends: tuple[float, ...]
    beyond: tuple[tuple[float, str], ...]
    floor: tuple[float, float] | None
    shape: str
    colour: str


@dataclass(frozen=True)
class Answer:
    """A pair's throughput gain by one measure.

    Attributes:
        gain: What is read first: the gain, or the interval alone where it does not tell the gain
            from 0.
        interval: The interval beside the gain; empty where `gain` is the interval.
        verdict: In words: faster, slower, not distinguishable, noise floor or no interval.
        colour: The class of the verdict.
        sort: The raw gain, as text.
        mark: Where it lies on the forest plot.
    """

    gain: str
    interval: str
    verdict: str
    colour: str
    sort: str
    mark: Mark | None


@dataclass(frozen=True)
class Line:
    """One pair on one workload.

    Attributes:
        id: Of the row: a link to it stays valid when the page is made anew.
        replicates: The id of its replicates.
        height: Of its part of the forest plot, in the plot's units.
        facets: What the page's choosers compare (run, model, device).
    """

    id: str
    replicates: str
    model: str
    detail: str
    pair: str
    answers: dict[str, Answer]
    height: float
    break_even: str
    break_even_sort: str
    noise_floor: str
    noise_floor_sort: str
    n: str
    n_sort: str
    parity: str
    parity_reason: str
    state: str
    facets: dict[str, str]

    @property
    def marks(self) -> list[Mark]:
        """What is drawn of it."""
        return [answer.mark for answer in self.answers.values() if answer.mark]


@dataclass(frozen=True)
class Panel:
    """The answers of one run. `id`: of the panel."""

    id: str
    run: str
    description: str
    headline: str
    warnings: tuple[str, ...]
    commit: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Tick:
    """A mark of the axis: its place and its label."""

    x: float
    label: str


@dataclass(frozen=True)
class Forest:
    """The answers of several runs on one axis."""

    panels: tuple[Panel, ...]
    ticks: tuple[Tick, ...]
    zero: float


def forest_of(runs: Sequence[Run]) -> Forest:
    """The panels of `runs`, on one axis."""
    rows = [measured_and_predicted(run) for run in runs]
    label = pair_label_of(runs)
    axis = gain_axis(row for of_run in rows for row in of_run)
    several = len(runs) > 1
    ids: set[str] = set()
    return Forest(
        tuple(
            _panel(run, of_run, label, axis, ids, several=several)
            for run, of_run in zip(runs, rows, strict=True)
        ),
        tuple(Tick(_x(axis, math.log1p(mark)), mark_label(mark)) for mark in axis.marks),
        _x(axis, 0.0),
    )


def measured_and_predicted(run: Run) -> list[GainRow]:
    """The gains of a run; of arms that took turns, which have no time end to end, that over all
    epochs as predicted too.
    """
    rows = gain_rows(run)
    if only_interleaved(run):
        rows += [row for row in predicted_gains(run).rows if row.outcome.ok]
    return rows


def _panel(
    run: Run,
    rows: Sequence[GainRow],
    label: PairLabel,
    axis: GainAxis,
    ids: set[str],
    *,
    several: bool,
) -> Panel:
    pairs: dict[tuple[str, str, str], list[GainRow]] = {}
    for row in rows:
        pairs.setdefault((row.workload, row.baseline, row.candidate), []).append(row)
    warnings = source_notes(run)
    if run.info.status != "complete":
        warnings.append("not finished: rows may still change")
    lines = []
    for of_pair in pairs.values():
        line = _line(of_pair, label, axis, several=several)
        # Names that are cut or joined may look alike in an id.
        lines.append(replace(line, id=f"{line.id}-{line.replicates}") if line.id in ids else line)
        ids.add(lines[-1].id)
    panel = run_id(run.info.run)
    panel = f"{panel}-{len(ids)}" if panel in ids else panel
    ids.add(panel)
    return Panel(
        panel,
        run.info.run,
        run.info.description,
        where_and_when(run).partition(", commit ")[0],
        tuple(warnings),
        str(run.info.git.get("commit") or ""),
        tuple(lines),
    )


def _line(rows: Sequence[GainRow], label: PairLabel, axis: GainAxis, *, several: bool) -> Line:
    first = rows[0]
    batch = "" if first.batch_size is None else f"batch {first.batch_size}"
    facts = [first.task, first.precision, batch]
    of_measure = {row.measure: row for row in rows}
    present = [measure for measure in MEASURES if measure in of_measure]
    # Break-even and noise floor belong to the steady state where there is one.
    main = of_measure[present[0]]
    return Line(
        id=pair_id(first.run if several else "", first.workload, first.candidate, first.baseline),
        replicates=replicates_id(first.run, first.workload, first.candidate, first.baseline),
        model=first.model,
        detail=" · ".join(str(fact) for fact in facts if fact),
        pair=label(first),
        answers={
            measure.key: _answer(of_measure[measure], axis, place)
            for place, measure in enumerate(present)
        },
        height=LINE_HEIGHT * len(present),
        # Identical arms have nothing to repay.
        break_even="" if main.a_a else main.break_even,
        break_even_sort="" if main.a_a else _key(main.break_even_step),
        noise_floor=main.noise_floor,
        noise_floor_sort=_key(main.noise_floor_throughput_gain_high),
        n=", ".join(dict.fromkeys(count(row) for row in rows)),
        n_sort=_key(main.n),
        parity=str(first.parity or ("" if first.source == "published" else NO_PARITY_RUNS)),
        parity_reason=first.parity_reason,
        state=_states(of_measure),
        facets={"run": first.run, "model": first.model, "device": device(first)},
    )


def _states(rows: Mapping[Measure, GainRow]) -> str:
    """The state of all measures if it is one, else that of each."""
    states = {measure.label: state(row) for measure, row in rows.items()}
    if len(set(states.values())) == 1:
        return next(iter(states.values()))
    return "; ".join(f"{measure}: {said}" for measure, said in states.items())


def verdict_of(row: GainRow) -> GainVerdict:
    """What a gain comes to; identical arms are neither faster nor slower."""
    return judged(row.log_ratio, ok=row.outcome.ok, a_a=row.a_a)


def _answer(row: GainRow, axis: GainAxis, place: int) -> Answer:
    ratio, gain = row.log_ratio, row.throughput_gain
    verdict = verdict_of(row)
    if ratio.value is None or verdict not in VERDICTS:
        return Answer("", "", "", "", "", None)
    words, colour = VERDICTS[verdict]
    within = interval_in_words(gain)
    printed = row.published_throughput_gain
    # A published gain has the digits that were printed.
    as_printed = percent(printed)
    value = f"+{as_printed}" if printed and printed > 0 else as_printed.replace("-", "−")
    value = value or gain_in_words(gain)
    told_apart = verdict not in (GainVerdict.NOT_DISTINGUISHABLE, GainVerdict.IDENTICAL)
    return Answer(
        gain=value if told_apart or not within else within,
        interval=within if told_apart else "",
        verdict=words,
        colour=colour,
        sort=_key(gain.value),
        mark=_mark(row, axis, place, colour),
    )


def gain_in_words(gain: Figure) -> str:
    """A gain with its sign: "+29.8%"; two decimals where its interval is narrow."""
    return "" if gain.value is None else signed_percent(gain.value, _digits(gain))


def interval_in_words(gain: Figure) -> str:
    """Its interval: "+10.6 to +52.3%", or "open"; empty without one."""
    if has_open_gain(gain):
        return OPEN
    if gain.low is None or gain.high is None:
        return ""
    low, high = (signed_percent(end, _digits(gain)) for end in (gain.low, gain.high))
    return f"{low.removesuffix('%')} to {high}"


def _digits(gain: Figure) -> int:
    narrow = gain.low is not None and gain.high is not None and gain.high - gain.low < FINE
    return 2 if narrow else 1


def _mark(row: GainRow, axis: GainAxis, place: int, colour: str) -> Mark:
    ratio = row.log_ratio
    low, high = (None if end is None else _x(axis, end) for end in (ratio.low, ratio.high))
    ends = tuple(
        _x(axis, end)
        for end in (ratio.low, ratio.high)
        if end is not None and axis.low <= end <= axis.high
    )
    beyond = []
    if ratio.low is not None and ratio.low < axis.low:
        beyond.append((_x(axis, axis.low), "left"))
    if ratio.high is not None and ratio.high > axis.high:
        beyond.append((_x(axis, axis.high), "right"))
    floor = (row.noise_floor_throughput_gain_low, row.noise_floor_throughput_gain_high)
    band = (
        (_x(axis, math.log1p(floor[0])), _x(axis, math.log1p(floor[1])))
        if floor[0] is not None and floor[1] is not None and floor[0] > -1
        else None
    )
    return Mark(
        y=LINE_HEIGHT * (place + 0.5),
        value=_x(axis, ratio.value or 0.0),
        low=low,
        high=high,
        ends=ends,
        beyond=tuple(beyond),
        floor=band,
        shape=SHAPES[row.measure],
        colour=colour,
    )


def _x(axis: GainAxis, log_ratio: float) -> float:
    return round(PLOT_MARGIN + axis.place(log_ratio) * (PLOT_WIDTH - 2 * PLOT_MARGIN), 1)


def _key(value: object) -> str:
    return repr(float(value)) if isinstance(value, int | float) else ""
