"""Tables inside Markdown files: between markers that name the runs, rewritten from the committed
results.

<!-- table: RUN [RUN …] [view=runtimes|steady|gains|gpu|comparison|full|summary] -->
…
<!-- /table -->

Each marker stands on a line of its own; inside a fenced code block it is text, as here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from harness.errors import BenchError
from harness.files import write_text
from report.loading.runs import find_run, load_runs
from report.tables.registry import VIEWS
from report.tables.render import render

_BEGIN = re.compile(r"\s*<!--\s*table:(.*?)-->\s*")
_MARKER = re.compile(r"^\s*<!--\s*table:(.*?)-->\s*$", re.MULTILINE)
_END = re.compile(r"\s*<!--\s*/table\s*-->\s*")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")


def refresh(
    files: Iterable[Path], results: Path, *, check: bool = False
) -> tuple[list[Path], list[str]]:
    """Rewrite the tables of `files` (`check`: only compare). The files that were stale, and
    problems met in the runs.

    A file that cannot be read, a marker without its end or with an unknown run or view: BenchError
    with file and line.
    """
    problems: dict[str, None] = {}
    named: set[str] = set()

    def table(names: list[str], view: str | None) -> str:
        # A document's tables come from the runs it names: an A/A run that only this checkout has
        # must not change them.
        folders = [folder for name in sorted(named) if (folder := _folder(name, results))]
        runs, found = load_runs((find_run(name, results) for name in names), beside=folders)
        problems.update(dict.fromkeys(found))
        return render(runs, "markdown", view)

    stale = []
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
        fresh = rewrite(text, table, place=str(path))
        if fresh != text:
            stale.append(path)
            if not check:
                write_text(path, fresh)
    return stale, list(problems)


def rewrite(text: str, table: Callable[[list[str], str | None], str], *, place: str) -> str:
    """`text` with what stands between each pair of markers replaced by `table(runs, view)`."""
    end_of_line = "\r\n" if "\r\n" in text else "\n"
    out: list[str] = []
    opened: int | None = None  # line of the marker whose end has not come yet
    fence = ""
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        if opened is not None:
            if _END.fullmatch(line):
                opened = None
                out.append(line)
            elif _BEGIN.fullmatch(line):
                break
            continue
        if mark := _FENCE.match(line):
            fence = "" if fence and mark[1].startswith(fence) else fence or mark[1]
        out.append(line)
        if not fence and (begin := _BEGIN.fullmatch(line)):
            opened = number
            names, view = _arguments(begin[1].split(), f"{place}:{number}")
            try:
                made = table(names, view)
            except BenchError as error:
                raise BenchError(str(error), place=f"{place}:{number}") from None
            out.append(end_of_line.join(["", *made.rstrip("\n").split("\n"), "", ""]))
    if opened is not None:
        raise BenchError(
            "no end of this table", place=f"{place}:{opened}", fix="close it with <!-- /table -->"
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


def _arguments(words: list[str], place: str) -> tuple[list[str], str | None]:
    names = [word for word in words if "=" not in word]
    view: str | None = None
    for word in words:
        key, is_option, value = word.partition("=")
        if is_option and (key != "view" or value not in VIEWS):
            raise BenchError(
                f"unknown option {word}",
                place=place,
                fix=f"use view={'|'.join(VIEWS)} or leave it out",
            )
        view = value if is_option else view
    if not names:
        raise BenchError("the marker names no run", place=place, fix="write <!-- table: RUN -->")
    return names, view
