"""The views, each one kind of table, and the document that they make of runs.

A new view is two functions (report.tables.table.View) and a line of VIEWS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness.errors import BenchError
from report.analysis.replicates import arms_of
from report.loading.filters import EVERYTHING, GROUPS, Selection, groups_of
from report.loading.runs import Run
from report.tables import (
    answer,
    arms,
    cards,
    claims,
    gains,
    headline,
    inference,
    metrics,
    predicted,
    prediction,
    scaling,
    summary,
    support_matrix,
)
from report.tables.footnotes import headlines, merge_notes, run_notes
from report.tables.rows import AnyRow
from report.tables.table import Document, Table, TablePart, View
from report.text import MANY_RUNS

SUMMARY = "summary"
HEADLINE = "headline"
VIEWS: dict[str, View[Any]] = {  # in the order in which tables come
    "runtimes": View(arms.runtimes, arms.runtime_tables),
    "steady": View(arms.steady, arms.steady_tables),
    "gains": View(gains.gains, gains.gain_tables),
    "predicted": View(predicted.predicted, predicted.predicted_tables),
    "predicted-gains": View(predicted.predicted_gains, predicted.predicted_gain_tables),
    "metrics": View(metrics.metrics, metrics.metric_tables),
    "gpu": View(arms.machine_use, arms.machine_use_tables),
    "cards": View(cards.cards, cards.card_tables),
    "scaling": View(scaling.scaling, scaling.scaling_tables),
    "inference": View(inference.inference, inference.inference_tables),
    "matrix": View(support_matrix.matrix, support_matrix.matrix_tables),
    HEADLINE: View(headline.headline, headline.headline_tables, asked_only=True),
    "answer": View(answer.answer, answer.answer_tables, asked_only=True),
    "claims": View(claims.claims, claims.claim_tables, asked_only=True, footer=False),
    "comparison": View(gains.gains, gains.comparison_tables, asked_only=True),
    "full": View(gains.full_gains, gains.full_tables, asked_only=True),
    "prediction": View(prediction.prediction, prediction.prediction_tables, asked_only=True),
    SUMMARY: View(summary.summary, summary.summary_tables, asked_only=True),
}


def build(
    runs: Sequence[Run],
    view: str | Sequence[str] | None = None,
    *,
    brief: bool = False,
    selection: Selection = EVERYTHING,
    group_by: str | None = None,
) -> Document:
    """The tables of runs, in the order of the runs.

    Args:
        runs: The runs to tabulate.
        view: The only view to make, or several, of which those with nothing to say are left out;
            None: every view that has something to say, except those that repeat what others hold.
        brief: For people: the answer in words comes first, and of more than MANY_RUNS runs there is
            the summary alone.
        selection: What of the runs is shown.
        group_by: A name of filters.GROUPS: a table for each of its values.

    Raises:
        BenchError: There is no run, nothing is selected, or there is no such view.
    """
    asked = [view] if isinstance(view, str) else [*(view or ())]
    names = _views_for(asked, len(runs), brief=brief)
    selected = [selection.of(run, arms_of(run).replicates) for run in runs]
    shown = [run for run in selected if run is not None]
    if not shown and str(selection):
        raise BenchError(
            "no run has anything of it",
            place=str(selection),
            fix="see what there is without the filter",
        )
    if not shown:
        raise BenchError("no run to tabulate", fix="name a run folder")
    tables: list[Table[Any]] = []
    for name in names:
        made = VIEWS[name]
        parts = [_shown_part(made.collect(run), selection) for run in shown]
        if len(names) > 1 and not any(part.usual for part in parts):
            continue
        for title, of_group in _grouped(parts, group_by):
            tables += [
                replace(table, title=f"{title}: {table.title}" if title else table.title)
                for table in made.tables(of_group)
            ]
    if not all(VIEWS[name].footer for name in names):
        return Document(tuple(tables), ())
    notes = merge_notes([(run.info.run, run_notes(run)) for run in shown])
    # The words alone are for a chat, and say what they are of.
    return Document(tuple(tables), () if names == [HEADLINE] else (*headlines(shown), *notes))


def _views_for(asked: Sequence[str], runs: int, *, brief: bool) -> list[str]:
    """The views that are made of so many runs, as far as they have something to say."""
    for view in asked:
        if view not in VIEWS:
            raise BenchError("no such view", place=view, fix=f"choose one of {', '.join(VIEWS)}")
    if asked:
        return list(dict.fromkeys(asked))
    if brief and runs > MANY_RUNS:
        return [SUMMARY]
    usual = [name for name, made in VIEWS.items() if not made.asked_only]
    return [HEADLINE, *usual] if brief else usual


def _shown_part(part: TablePart[AnyRow], selection: Selection) -> TablePart[AnyRow]:
    return replace(part, rows=[*filter(selection.shows, part.rows)])


def _grouped(
    parts: Sequence[TablePart[AnyRow]], by: str | None
) -> list[tuple[str, list[TablePart[AnyRow]]]]:
    """The parts with the rows of each group; the notes of a run stand under the last group that it
    has rows in.
    """
    if by is None:
        return [("", list(parts))]
    groups: dict[str, list[TablePart[AnyRow]]] = {
        group: [] for group in groups_of([part.rows for part in parts], by)
    }
    for part in parts:
        rows: dict[str, list[AnyRow]] = {}
        for row in part.rows:
            rows.setdefault(GROUPS[by](row), []).append(row)
        last = max(rows, key=[*groups].index, default=None)
        for group, of_group in rows.items():
            groups[group].append(
                replace(part, rows=of_group, notes=part.notes if group == last else [])
            )
    return [(group or f"{by} not known", of_group) for group, of_group in groups.items()]
