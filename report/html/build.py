"""The page as text. Everything that comes from a run is escaped by jinja2; pictures are images of
their own.

The page's policy lets it run its own script and style, known by their hashes, show images that it
holds itself, and nothing else: no other script, no style in an attribute, no request.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from report.analysis.gains import Measure
from report.analysis.replicates import is_result
from report.html.answers import MEASURES, NO_PARITY_RUNS, PLOT_WIDTH, Forest, forest_of
from report.html.compact import compact
from report.html.glance import questions
from report.html.history import SuiteHistory, courses_among
from report.html.jobs import job_list
from report.html.links import jobs_id, replicates_id
from report.html.provenance import ProvenanceComparison, compare_arms, compare_runs
from report.html.replicates import replicate_list
from report.html.sorting import sort_key
from report.html.terms import TERMS, meaning
from report.loading.runs import Run
from report.regressions.check import Rules
from report.tables.columns import device
from report.tables.predicted import WHOLE
from report.tables.registry import build
from report.tables.rows import AnyRow
from report.tables.table import Table

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

    from report.plots import Picture

# What may stand in a data address as it is, and in an attribute between double quotes: a drawing
# is mostly numbers and blanks. Double quotes, tags, & and % are not among it.
_PLAIN = " /:;,.=()-_!*@$+?'{}"
FACETS = {"run": "Run", "model": "Model", "device": "Device"}
TALL = 15  # rows of provenance up to which they are all shown; more scroll in their place
LONG = 40  # characters from which a cell's text may break into lines
FEW_SENTENCES = 3  # that are shown; more are folded
SHORT_COMMIT = 12  # digits
# Kinds of plots that the page has in a form of its own.
DRAWN_BY_PAGE = frozenset({"gains"})
_WIDTH = re.compile(r'<svg\b[^>]*?\bwidth="([\d.]+)pt"[^>]*?\bheight="([\d.]+)pt"|'
                    r'<svg\b[^>]*?\bheight="([\d.]+)pt"[^>]*?\bwidth="([\d.]+)pt"')  # fmt: skip
_PIXELS = 4 / 3  # for each point


@dataclass(frozen=True)
class PageOptions:
    """What a page is made for.

    Attributes:
        rules: How the last night of several is judged.
        commit_url: Where a commit is to be seen, with `{commit}` in its place; empty: not known.
        logs: Whether logs beside the runs are linked to.
        index: The address of the index that the page belongs to; empty without one.
        history: The address of the page with the history of the run's suite; empty without one.
    """

    rules: Rules = field(default_factory=Rules)
    commit_url: str = ""
    logs: bool = True
    index: str = ""
    history: str = ""


@dataclass(frozen=True)
class Cell:
    """A displayed cell; `sort` is its number, empty in columns of text. `link`: the id of what the
    number comes from, empty where that is not on the page.
    """

    text: str
    sort: str
    link: str = ""


@dataclass(frozen=True)
class Detail:
    """A table of report.tables.registry as the page shows it: per row its cells and the facets that
    it can be chosen by.
    """

    table: Table[AnyRow]
    title: str
    rows: tuple[tuple[dict[str, str], tuple[Cell, ...]], ...]


@dataclass(frozen=True)
class Commit:
    """A commit as it is shown, and where to see it."""

    short: str
    full: str
    address: str


@dataclass(frozen=True)
class Image:
    """A picture with its address and its natural size in pixels; None where it is not known."""

    picture: Picture
    address: Markup
    width: int | None
    height: int | None


def make_page(
    runs: Sequence[Run],
    page: Path,
    *,
    problems: Sequence[str] = (),
    pictures: Sequence[Picture] = (),
    options: PageOptions | None = None,
) -> str:
    """The page of `runs`, to be written to `page`: links to logs are relative to its folder. No
    run: BenchError.

    `problems` were met while the runs were read (report.loading.runs); pictures without a drawing
    are named with their reason.
    """
    made_for = options or PageOptions()
    document = build(runs)
    courses = courses_among(runs, made_for.rules)
    shown = main_runs(runs, courses)
    forest = forest_of(runs)
    jobs, jobs_left_out = job_list(runs, page if made_for.logs else None)
    replicates, replicates_left_out = replicate_list(runs)
    targets = {job.id for job in jobs} | {line.id for line in replicates}
    details = [
        _detail(table, targets)
        for table in sorted(document.tables, key=lambda table: table.name != "gains")
    ]
    script, style = text_of("page.js"), text_of("page.css")
    names = {run.info.run for run in shown}
    images = [_image(picture) for picture in pictures if picture.svg]
    in_words = build(shown, "headline").tables
    made = template("page.html.jinja").render(
        title=title_of(runs, courses),
        summary=_summary(runs),
        policy=policy(script, style),
        script=verbatim(script),
        style=verbatim(style),
        index=made_for.index,
        history=made_for.history,
        problems=problems,
        courses=courses,
        tally=next((table.title for table in in_words), ""),
        sentences=[said for table in in_words for said in table.sentences],
        few_sentences=FEW_SENTENCES,
        questions=questions(shown, courses, bool(made_for.history)),
        panels=[panel for panel in forest.panels if panel.run in names],
        earlier=[panel for panel in reversed(forest.panels) if panel.run not in names],
        forest=forest,
        measures=_measures(forest),
        with_noise_floor=any(line.noise_floor for panel in forest.panels for line in panel.lines),
        plot_width=PLOT_WIDTH,
        targets=targets,
        facets=_facets(details),
        details=[detail for detail in details if detail.table.name != "inference"],
        inference=[detail for detail in details if detail.table.name == "inference"],
        footer=document.footer,
        histories=[image for image in images if image.picture.kind == "history"],
        pictures=[image for image in images if image.picture.kind != "history"],
        not_drawn=[picture for picture in pictures if not picture.svg],
        runs_compared=compare_runs(runs),
        arms_compared=_arms(shown),
        tall=TALL,
        long=LONG,
        no_parity_runs=NO_PARITY_RUNS,
        timed_measures=[measure for measure in _measures(forest) if measure is not WHOLE],
        several_runs=len(runs) > 1,
        replicates=replicates,
        replicates_left_out=replicates_left_out,
        jobs=jobs,
        jobs_left_out=jobs_left_out,
        commit_of=lambda commit: _commit(commit, made_for.commit_url),
        meaning=meaning,
        terms=sorted(TERMS.items(), key=lambda term: term[0].lower()),
    )
    return made.strip("\n") + "\n"


def main_runs(runs: Sequence[Run], courses: Sequence[SuiteHistory]) -> list[Run]:
    """The runs that the head of the page answers for: of every history the last night, and those
    that are in none.
    """
    of_history = frozenset[str]().union(*(course.runs for course in courses))
    last = {course.tonight.info.run for course in courses}
    return [run for run in runs if run.info.run in last or run.info.run not in of_history]


def title_of(runs: Sequence[Run], courses: Sequence[SuiteHistory]) -> str:
    """What the page is of: a run, the nights of a suite, or several runs."""
    if len(runs) == 1:
        return runs[0].info.run
    if len(courses) == 1 and all(run.info.run in courses[0].runs for run in runs):
        return f"{courses[0].suite}: {courses[0].nights} nights"
    return f"{len(runs)} runs"


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


def _measures(forest: Forest) -> list[Measure]:
    """Those that any pair has: the columns of all runs, so that they stand under one another."""
    there = {key for panel in forest.panels for line in panel.lines for key in line.answers}
    return [measure for measure in MEASURES if measure.key in there]


def _detail(table: Table[AnyRow], targets: Collection[str]) -> Detail:
    return Detail(
        table,
        table.title.rstrip(":"),
        tuple(
            (
                _row_facets(row),
                tuple(
                    Cell(cell, sort_key(column, row, cell), link if cell else "")
                    if column.right
                    else Cell(cell, "")
                    for column, cell in zip(table.columns, cells, strict=True)
                ),
            )
            for row, cells in zip(table.rows, table.cells, strict=True)
            for link in [_origin(row, targets)]
        ),
    )


def _origin(row: Any, targets: Collection[str]) -> str:
    """The id of the replicates that a row's numbers come from; empty if they are not on the
    page.
    """
    baseline, candidate, arm = (
        getattr(row, name, "") or "" for name in ("baseline", "candidate", "arm")
    )
    found = (
        replicates_id(row.run, row.workload, candidate, baseline)
        if candidate
        else jobs_id(row.run, row.workload, arm)
    )
    return found if found in targets else ""


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


def _commit(commit: str, address: str) -> Commit:
    known = re.fullmatch(r"[0-9a-fA-F]{7,64}", commit) is not None
    where = address.replace("{commit}", commit) if address and known else "#provenance"
    return Commit(commit[:SHORT_COMMIT], commit, where)


def _image(picture: Picture) -> Image:
    found = _WIDTH.search(picture.svg)
    if found is None:
        return Image(picture, _data_uri(picture.svg), None, None)
    width, height = (found[1], found[2]) if found[1] else (found[4], found[3])
    return Image(
        picture,
        _data_uri(picture.svg),
        round(float(width) * _PIXELS),
        round(float(height) * _PIXELS),
    )


def policy(script: str, style: str) -> str:
    """What a page may do: run this script and this style, and show images that it holds."""
    return (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _data_uri(svg: str) -> Markup:
    from markupsafe import Markup

    # As an image a drawing cannot run a script or load anything, whatever its text says; its own
    # styles still apply. Encoded by the character: in base64 it would be a third longer.
    address = "data:image/svg+xml," + quote(compact(svg).replace("\n", " "), safe=_PLAIN)
    return Markup(address)  # nothing in it could end the attribute or begin an entity


def text_of(name: str) -> str:
    """A file of this package."""
    return resources.files("report.html").joinpath(name).read_text(encoding="utf-8")


def verbatim(text: str) -> Markup:
    """This package's own script or style, which is the only text that goes into the page
    unescaped.
    """
    from markupsafe import Markup

    return Markup(text)


def template(name: str) -> Template:
    """A template of this package, in which everything is escaped."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(text_of),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
