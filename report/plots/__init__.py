"""Pictures of runs: a kind of plot is a module with one function and a line of KINDS.

`render` is for pages, `write` for files; both draw the same. matplotlib is loaded to draw.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BenchError

if TYPE_CHECKING:
    from report.loading.runs import Run
    from report.plots.drawing import Drawing
    from report.plots.style import Look

    Draw = Callable[[Sequence[Run], Mapping[str, Look]], list[Drawing]]

# Modules of this package, each with `draw(runs, looks) -> list[Drawing]`; in the order in which
# they are shown.
KINDS = (
    "gains",
    "throughput",
    "distribution",
    "steps",
    "losses",
    "telemetry",
    "breakeven",
)
FORMATS = ("svg", "png")


@dataclass(frozen=True)
class Picture:
    """One drawn plot, or, with an empty `svg`, one that is left out: then `caption` says why.

    All but `svg` are plain text, not escaped. `svg` is one `<svg>` element, its ids unique among
    pictures, on a white ground, with letters as text; the same bytes at every call. `name` is
    unique among pictures and good as a file's name. `alt` says in a sentence or two what is seen.
    `problems`: a sentence for every series file that is missing or damaged.
    """

    kind: str
    name: str
    title: str
    caption: str
    svg: str
    alt: str
    problems: tuple[str, ...] = ()


def render(
    runs: Sequence[Run],
    kinds: Sequence[str] | None = None,
    more: Mapping[str, Draw] | None = None,
) -> list[Picture]:
    """The plots of runs, in the order of KINDS and `more`.

    The series files of a run are read here, and only for the kinds that need them; one that is
    missing or damaged leaves its plot out.

    Args:
        runs: The runs to draw.
        kinds: The kinds to draw; None: all.
        more: Kinds of plots that other packages draw, by name.

    Raises:
        BenchError: A kind is unknown.
    """
    from report.plots.style import to_svg

    return [
        Picture(
            kind=kind,
            name=name,
            title=drawing.title,
            caption=drawing.caption,
            svg=to_svg(drawing.figure, _prefix(name), outlines=False) if drawing.figure else "",
            alt=drawing.alt,
            problems=drawing.problems,
        )
        for kind, name, drawing in drawings(runs, kinds, more)
    ]


def _prefix(name: str) -> str:
    """What the ids of the picture of this name begin with: short, for there are thousands."""
    return f"p{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def write(
    runs: Sequence[Run],
    out: Path,
    kinds: Sequence[str] | None = None,
    suffix: str = "svg",
    more: Mapping[str, Draw] | None = None,
) -> Iterator[tuple[Path, Drawing]]:
    """Write every plot as OUT/NAME.SUFFIX (`svg` or `png`), one after the other; those left out
    have no file.

    BenchError: an unknown kind or format, or `out` cannot be written.
    """
    from report.plots.style import save

    if suffix not in FORMATS:
        raise BenchError("unknown format", place=suffix, fix=f"one of: {', '.join(FORMATS)}")
    try:
        out.mkdir(parents=True, exist_ok=True)
        for _, name, drawing in drawings(runs, kinds, more):
            path = out / f"{name}.{suffix}"
            if drawing.figure:
                save(drawing.figure, path)
            yield path, drawing
    except OSError as error:
        raise BenchError(
            f"cannot be written: {error.strerror}", place=str(out), fix="name another folder"
        ) from None


def drawings(
    runs: Sequence[Run],
    kinds: Sequence[str] | None = None,
    more: Mapping[str, Draw] | None = None,
) -> Iterator[tuple[str, str, Drawing]]:
    """Every plot with its kind and a name of its own, by kind, each drawn when it is asked for."""
    from report.plots.style import looks_of, slug

    others = more or {}
    every = (*KINDS, *others)
    wanted = every if kinds is None else tuple(dict.fromkeys(kinds))
    if unknown := [kind for kind in wanted if kind not in every]:
        raise BenchError(
            "unknown kind of plot", place=unknown[0], fix=f"one of: {', '.join(every)}"
        )
    looks = looks_of(runs)
    taken: set[str] = set()
    for kind in (kind for kind in every if kind in wanted):
        draw: Draw = others.get(kind) or import_module(f"report.plots.{kind}").draw
        for drawing in draw(runs, looks):
            name = base = slug(kind, *drawing.of)
            number = 1
            while name.lower() in taken:  # file systems may not tell cases apart
                number += 1
                name = f"{base}-{number}"
            taken.add(name.lower())
            yield kind, name, drawing
