"""The answer of every pair, for the head of the page: its gains with their intervals, parity and
state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from report.analysis.statistics import throughput_gain
from report.loading.runs import Run
from report.tables.columns import count, device, percent, state
from report.tables.footnotes import source_notes, where_and_when
from report.tables.gains import PairLabel, gains, pair_labels
from report.tables.rows import GainRow
from report.text import format_percent

BAR_WIDTH, BAR_MARGIN = 200.0, 6.0  # in the bar's own units
LEAST_REACH, BEYOND = (
    0.05,
    1.1,
)  # of the bars' scale, in ln of the ratio of throughputs; and past the largest gain
NO_PARITY_RUNS = "no parity runs"  # parity was not asked for


@dataclass(frozen=True)
class Bar:
    """Where a gain and its interval are drawn, in units of BAR_WIDTH.

    `ends`: the ends of the interval that are on the scale, to be marked; one past it is cut off at
    its border.
    """

    zero: float
    value: float
    low: float | None
    high: float | None
    ends: tuple[float, ...]


@dataclass(frozen=True)
class Answer:
    """A pair's throughput gain by one measure. `verdict`: faster, slower or undecided by its
    interval; else empty.
    """

    gain: str
    interval: str
    verdict: str
    sort: str
    bar: Bar | None


@dataclass(frozen=True)
class Line:
    """One pair on one workload. `facets`: what the page's choosers compare (run, model, device)."""

    model: str
    detail: str
    pair: str
    answers: dict[str, Answer]
    break_even: str
    break_even_sort: str
    noise_floor: str
    noise_floor_sort: str
    n: str
    n_sort: str
    parity: str
    state: str
    facets: dict[str, str]


@dataclass(frozen=True)
class Panel:
    """The answers of one run."""

    run: str
    description: str
    headline: str
    warnings: tuple[str, ...]
    lines: tuple[Line, ...]


def panels(runs: Sequence[Run]) -> tuple[list[Panel], float]:
    """A panel a run, and how far the bars of all reach from zero, in ln of the ratio of
    throughputs.
    """
    parts = [gains(run) for run in runs]
    label = pair_labels(parts)
    rows = [part.rows for part in parts]
    reach = _reach(row for of_run in rows for row in of_run)
    return [
        _panel(run, of_run, label, reach) for run, of_run in zip(runs, rows, strict=True)
    ], reach


def scale_ends(reach: float) -> tuple[str, str]:
    """The throughput gains at both ends of the bars, in whole percent."""
    low, high = throughput_gain(-reach), throughput_gain(reach)
    return f"−{-low:.0%}", f"+{high:.0%}"


def _panel(run: Run, rows: Sequence[GainRow], label: PairLabel, reach: float) -> Panel:
    pairs: dict[tuple[str, str, str], list[GainRow]] = {}
    for row in rows:
        pairs.setdefault((row.workload, row.baseline, row.candidate), []).append(row)
    warnings = source_notes(run)
    if run.info.status != "complete":
        warnings.append("not finished: rows may still change")
    return Panel(
        run.info.run,
        run.info.description,
        where_and_when(run),
        tuple(warnings),
        tuple(_line(of_pair, label, reach) for of_pair in pairs.values()),
    )


def _line(rows: Sequence[GainRow], label: PairLabel, reach: float) -> Line:
    first = rows[0]
    batch = "" if first.batch_size is None else f"batch {first.batch_size}"
    facts = [first.task, first.precision, batch]
    last = rows[
        -1
    ]  # the steady state where there is one: what break-even and noise floor belong to
    return Line(
        model=first.model,
        detail=" · ".join(str(fact) for fact in facts if fact),
        pair=label(first),
        answers={row.measure.key: _answer(row, reach) for row in rows},
        break_even=last.break_even,
        break_even_sort=_key(last.break_even_step),
        noise_floor=last.noise_floor,
        noise_floor_sort=_key(last.noise_floor_throughput_gain_high),
        n=", ".join(dict.fromkeys(count(row) for row in rows)),
        n_sort=_key(last.n),
        parity=str(first.parity or ("" if first.source == "published" else NO_PARITY_RUNS)),
        state=_states(rows),
        facets={"run": first.run, "model": first.model, "device": device(first)},
    )


def _states(rows: Sequence[GainRow]) -> str:
    """The state of all measures if it is one, else that of each."""
    states = {row.measure.key.replace("_", " "): state(row) for row in rows}
    if len(set(states.values())) == 1:
        return state(rows[0])
    return "; ".join(f"{measure}: {said}" for measure, said in states.items())


def _answer(row: GainRow, reach: float) -> Answer:
    ratio, gain = row.log_ratio, row.throughput_gain
    if ratio.value is None:
        return Answer("", "", "", "", None)
    known = gain.low is not None and gain.high is not None
    printed = row.published_throughput_gain
    return Answer(
        gain=_signed(printed if printed is not None else gain.value) or percent(gain.value),
        interval=f"{_signed(gain.low)} to {_signed(gain.high)}" if known else "",
        verdict=_verdict(ratio.low, ratio.high),
        sort=_key(gain.value),
        bar=_bar(ratio.value, ratio.low, ratio.high, reach),
    )


def _verdict(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ""
    return "faster" if low > 0 else "slower" if high < 0 else "undecided"


def _reach(rows: Iterable[GainRow]) -> float:
    """By the gains alone: the interval of two replicates can be so wide that nothing else would be
    seen.
    """
    ratios = [abs(value) * BEYOND for row in rows if (value := row.log_ratio.value) is not None]
    return max([LEAST_REACH, *ratios])


def _bar(ratio: float, low: float | None, high: float | None, reach: float) -> Bar:
    marked = tuple(_x(end, reach) for end in (low, high) if end is not None and abs(end) <= reach)
    low_x, high_x = (None if end is None else _x(end, reach) for end in (low, high))
    return Bar(_x(0.0, reach), _x(ratio, reach), low_x, high_x, marked)


def _x(log_ratio: float, reach: float) -> float:
    share = max(-1.0, min(1.0, log_ratio / reach))
    return round(BAR_WIDTH / 2 + share * (BAR_WIDTH / 2 - BAR_MARGIN), 1)


def _signed(gain: float | None) -> str:
    return (
        "" if gain is None else ("+" if gain > 0 else "") + format_percent(gain).replace("-", "−")
    )


def _key(value: object) -> str:
    return repr(float(value)) if isinstance(value, int | float) else ""
