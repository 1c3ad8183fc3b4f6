"""The page as text. Everything that comes from a run is escaped by jinja2; pictures are images of
their own.

The page's policy lets it run its own script and style, known by their hashes, show images that it
holds itself, and nothing else: no other script, no style in an attribute, no request.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from report.analysis.gains import MEASURES, Measure
from report.analysis.replicates import is_result
from report.html.answers import BAR_WIDTH, NO_PARITY_RUNS, Panel, panels, scale_ends
from report.html.jobs import job_list
from report.html.provenance import ProvenanceComparison, compare_arms, compare_runs
from report.html.sorting import sort_key
from report.loading.runs import Run
from report.tables.columns import device
from report.tables.registry import build
from report.tables.rows import AnyRow
from report.tables.table import Table

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

    from report.plots import Picture

# what may stand in a data address as it is: a drawing is mostly numbers and blanks
_PLAIN = " /:;,.=()-_!*@$+?"
FACETS = {"run": "Run", "model": "Model", "device": "Device"}
TALL = 15  # rows of provenance up to which they are all shown; more scroll in their place
LONG = 40  # characters from which a cell's text may break into lines


@dataclass(frozen=True)
class Cell:
    """A displayed cell; `sort` is its number, empty in columns of text."""

    text: str
    sort: str


@dataclass(frozen=True)
class Detail:
    """A table of report.tables.registry as the page shows it: per row its cells and the facets that
    it can be chosen by.
    """

    table: Table[AnyRow]
    title: str
    rows: tuple[tuple[dict[str, str], tuple[Cell, ...]], ...]


def make_page(
    runs: Sequence[Run],
    page: Path,
    *,
    problems: Sequence[str] = (),
    pictures: Sequence[Picture] = (),
) -> str:
    """The page of `runs`, to be written to `page`: links to logs are relative to its folder. No
    run: BenchError.

    `problems` were met while the runs were read (report.loading.runs); pictures without a drawing
    are named with their reason.
    """
    document = build(runs)
    answers, reach = panels(runs)
    details = [
        _detail(table) for table in sorted(document.tables, key=lambda table: table.name != "gains")
    ]
    jobs, jobs_left_out = job_list(runs, page)
    script, style = _text("page.js"), _text("page.css")
    names = [run.info.run for run in runs]
    made = _template().render(
        title=names[0] if len(names) == 1 else f"{len(names)} runs",
        names=names,
        summary=_summary(runs),
        policy=_policy(script, style),
        script=_verbatim(script),
        style=_verbatim(style),
        problems=problems,
        panels=answers,
        measures=_measures(answers),
        with_noise_floor=any(line.noise_floor for panel in answers for line in panel.lines),
        bar_width=BAR_WIDTH,
        scale=scale_ends(reach),
        facets=_facets(details),
        details=[detail for detail in details if detail.table.name != "inference"],
        inference=[detail for detail in details if detail.table.name == "inference"],
        footer=document.footer,
        pictures=[
            (kind, [(picture, _data_uri(picture.svg)) for picture in of_kind])
            for kind, of_kind in groupby(
                (each for each in pictures if each.svg), key=lambda each: each.kind
            )
        ],
        not_drawn=[picture for picture in pictures if not picture.svg],
        runs_compared=compare_runs(runs),
        arms_compared=_arms(runs),
        tall=TALL,
        long=LONG,
        no_parity_runs=NO_PARITY_RUNS,
        jobs=jobs,
        jobs_left_out=jobs_left_out,
    )
    return made.rstrip("\n") + "\n"


def _summary(runs: Sequence[Run]) -> str:
    jobs = [job for run in runs for job in run.jobs if job.source == "measured"]
    good = sum(map(is_result, jobs))
    pairs = sum(len(run.info.pairs) for run in runs)
    return " · ".join(
        [
            f"{pairs} pair{'' if pairs == 1 else 's'} of arms",
            f"{len(jobs):,} job{'' if len(jobs) == 1 else 's'} measured"
            + ("" if good == len(jobs) else f", {len(jobs) - good} without a result"),
        ]
    )


def _measures(answers: Iterable[Panel]) -> list[Measure]:
    """Those that any pair has: the columns of all runs, so that they stand under one another."""
    there = {key for panel in answers for line in panel.lines for key in line.answers}
    return [measure for measure in MEASURES if measure.key in there]


def _detail(table: Table[AnyRow]) -> Detail:
    return Detail(
        table,
        table.title.rstrip(":"),
        tuple(
            (
                _row_facets(row),
                tuple(
                    Cell(cell, sort_key(column, row, cell) if column.right else "")
                    for column, cell in zip(table.columns, cells, strict=True)
                ),
            )
            for row, cells in zip(table.rows, table.cells, strict=True)
        ),
    )


def _row_facets(row: AnyRow) -> dict[str, str]:
    return {"run": row.run, "model": row.model, "device": device(row)}


def _facets(details: Iterable[Detail]) -> list[tuple[str, str, list[str]]]:
    """What rows can be chosen by: key, label and values, where there is more than one."""
    rows = [facets for detail in details for facets, _ in detail.rows]
    found = [
        (key, label, list(dict.fromkeys(row[key] for row in rows if row[key])))
        for key, label in FACETS.items()
    ]
    return [facet for facet in found if len(facet[2]) > 1]


def _arms(runs: Sequence[Run]) -> list[ProvenanceComparison]:
    return [comparison for run in runs for comparison in compare_arms(run)]


def _policy(script: str, style: str) -> str:
    return (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _data_uri(svg: str) -> str:
    # As an image a drawing cannot run a script or load anything, whatever its text says; its own
    # styles still apply. Encoded by the character: in base64 it would be a third longer, so it is
    # an eighth.
    return "data:image/svg+xml," + quote(svg.replace("\n", " "), safe=_PLAIN)


def _text(name: str) -> str:
    return resources.files("report.html").joinpath(name).read_text(encoding="utf-8")


def _verbatim(text: str) -> Markup:
    """This package's own script or style, which is the only text that goes into the page
    unescaped.
    """
    from markupsafe import Markup

    return Markup(text)


def _template() -> Template:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja")
