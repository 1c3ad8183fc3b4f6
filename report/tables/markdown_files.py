"""Tables and plots inside Markdown files: between markers that name the runs, rewritten from the
committed results.

```
<!-- table: RUN [RUN …] [view=answer|gains|…] [footer=no] -->
…
<!-- /table -->

<!-- plot: RUN [RUN …] kind=gains file=images/gains.svg -->
…
<!-- /plot -->
```

Each marker stands on a line of its own; inside a fenced code block it is text, as here. `footer=no`
leaves out the list of what was run, for a document that says so itself. A plot's file lies relative
to the document, and is rewritten with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import BenchError
from harness.files import write_text
from report.loading.runs import Run, find_run, load_runs
from report.tables.registry import VIEWS, build
from report.tables.render import written
from report.tables.table import Document

_BEGIN = re.compile(r"\s*<!--\s*(table|plot):(.*?)-->\s*")
_MARKER = re.compile(r"^\s*<!--\s*(?:table|plot):(.*?)-->\s*$", re.MULTILINE)
_END = re.compile(r"\s*<!--\s*/(table|plot)\s*-->\s*")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")

# What a kind of plot is drawn as: the text for who cannot see it, and the SVG file's content.
Draw = Callable[[Sequence[Run], str], tuple[str, str]]


@dataclass(frozen=True)
class Marker:
    """What a marker asks for: `table` or `plot`, of which runs, with which options."""

    what: str
    runs: tuple[str, ...]
    options: Mapping[str, str]


def documents(root: Path, results: Path) -> list[Path]:
    """The Markdown files of a checkout that may hold markers: README.md whether it is there or not,
    those of the results and of each run, and all below docs/.
    """
    of_results = [results / "README.md", *sorted(results.glob("*/README.md"))]
    there = [*of_results, *sorted((root / "docs").glob("**/*.md"))]
    return [root / "README.md", *(path for path in there if path.exists())]


def refresh(
    files: Iterable[Path], results: Path, *, check: bool = False, draw: Draw | None = None
) -> tuple[list[Path], list[str]]:
    """Rewrite the tables and plots of `files` (`check`: only compare).

    Args:
        files: Markdown documents in UTF-8.
        results: The folder in which runs are found by name.
        check: Compare, and write nothing.
        draw: What draws a plot; without it, plots stay as they are.

    Returns:
        The files that were stale, a plot's file included, and problems met in the runs.

    Raises:
        BenchError: with file and line, where a file cannot be read, a marker has no end, or names
            an unknown run, view or option.
    """
    problems: dict[str, None] = {}
    stale: list[Path] = []
    for path in files:
        try:
            with path.open(encoding="utf-8", newline="") as file:  # line ends stay what they are
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise BenchError(
                f"cannot be read: {error}", place=str(path), fix="name a Markdown file in UTF-8"
            ) from None
        named = {
            word for names in _MARKER.findall(text) for word in names.split() if "=" not in word
        }
        # A document's tables come from the runs it names: an A/A run that only this checkout has
        # must not change them.
        beside = [folder for name in sorted(named) if (folder := _folder(name, results))]
        pictures: dict[Path, str] = {}
        said: set[tuple[tuple[str, ...], str]] = set()

        def make(
            marker: Marker,
            path: Path = path,
            beside: Sequence[Path] = beside,
            pictures: dict[Path, str] = pictures,
            said: set[tuple[tuple[str, ...], str]] = said,
        ) -> str | None:
            if marker.what == "plot" and draw is None:
                return None
            runs, found = load_runs(
                (find_run(name, results) for name in marker.runs), beside=beside
            )
            problems.update(dict.fromkeys(found))
            if marker.what == "plot" and draw is not None:
                target = marker.options["file"]
                alt, pictures[path.parent / target] = draw(runs, marker.options["kind"])
                return f"![{re.sub(r'[][<>]', '', alt)}]({target})"
            document = build(runs, marker.options.get("view"), brief=True)
            if marker.options.get("footer") == "no":
                document = replace(document, footer=())
            return written(_not_said_before(document, marker.runs, said), "markdown")

        fresh = rewrite(text, make, place=str(path))
        for target, content in ((path, fresh), *pictures.items()):
            if (text if target == path else _content(target)) != content:
                stale.append(target)
                if not check:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    write_text(target, content)
    return stale, list(problems)


def _not_said_before(
    document: Document, runs: tuple[str, ...], said: set[tuple[tuple[str, ...], str]]
) -> Document:
    """The tables without what stands under an earlier table of the same runs in the file, notes and
    the list of what was run; `said` has that, and gets what stands here.
    """

    def new(notes: tuple[str, ...]) -> tuple[str, ...]:
        kept = tuple(note for note in notes if (runs, note) not in said)
        said.update((runs, note) for note in notes)
        return kept

    tables = tuple(replace(table, notes=new(table.notes)) for table in document.tables)
    return Document(tables, new(document.footer))


def rewrite(text: str, make: Callable[[Marker], str | None], *, place: str) -> str:
    """`text` with what stands between each pair of markers replaced by `make(marker)`; None leaves
    it.
    """
    end_of_line = "\r\n" if "\r\n" in text else "\n"
    out: list[str] = []
    opened: tuple[int, str] | None = None  # line and kind of the marker whose end has not come yet
    kept = False  # what stands between the markers
    fence = ""
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        if opened is not None:
            end = _END.fullmatch(line)
            if end and end[1] == opened[1]:
                opened = None
                out.append(line)
            elif end or _BEGIN.fullmatch(line):
                break
            elif kept:
                out.append(line)
            continue
        if mark := _FENCE.match(line):
            fence = "" if fence and mark[1].startswith(fence) else fence or mark[1]
        out.append(line)
        if not fence and (begin := _BEGIN.fullmatch(line)):
            opened = number, begin[1]
            marker = _marker(begin[1], begin[2].split(), f"{place}:{number}")
            try:
                made = make(marker)
            except BenchError as error:
                raise BenchError(str(error), place=f"{place}:{number}") from None
            kept = made is None
            if made is not None:
                out.append(end_of_line.join(["", *made.rstrip("\n").split("\n"), "", ""]))
    if opened is not None:
        number, what = opened
        raise BenchError(
            f"no end of this {what}",
            place=f"{place}:{number}",
            fix=f"close it with <!-- /{what} -->",
        )
    return "".join(out)


def _folder(name: str, results: Path) -> Path | None:
    """The folder of a run that some marker names, one in a code block perhaps, which need not be
    there.
    """
    try:
        return find_run(name, results)
    except BenchError:
        return None


def _content(path: Path) -> str | None:
    """What a plot's file holds; None if there is none that can be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _marker(what: str, words: Sequence[str], place: str) -> Marker:
    names = tuple(word for word in words if "=" not in word)
    options = dict(word.split("=", 1) for word in words if "=" in word)
    allowed = {"view": [*VIEWS], "footer": ["no"]} if what == "table" else _PLOT_OPTIONS
    for key, value in options.items():
        if key not in allowed or (allowed[key] and value not in allowed[key]):
            known = " ".join(f"{key}={'|'.join(of) or 'FILE'}" for key, of in allowed.items())
            raise BenchError(
                f"unknown option {key}={value}", place=place, fix=f"use {known} or leave it out"
            )
    if not names:
        raise BenchError(
            "the marker names no run", place=place, fix=f"write <!-- {what}: RUN … -->"
        )
    if what == "plot" and (options.keys() != _PLOT_OPTIONS.keys() or _leaves(options["file"])):
        raise BenchError(
            "a plot needs a kind and an SVG file below the document's folder",
            place=place,
            fix="write <!-- plot: RUN … kind=gains file=images/gains.svg -->",
        )
    return Marker(what, names, options)


_PLOT_OPTIONS: dict[str, list[str]] = {"kind": [], "file": []}  # any value: the drawer knows kinds


def _leaves(file: str) -> bool:
    path = Path(file)
    return path.is_absolute() or ".." in path.parts or path.suffix != ".svg"
