"""Pictures of runs: a kind of plot is a module with one function and a line of KINDS. matplotlib is loaded to draw.

`render` is for pages, `pictures` for files; both draw the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from report.load import Run

KINDS = ("gains", "throughput", "distribution", "steps", "losses", "telemetry", "breakeven")


@dataclass(frozen=True)
class Picture:
    """One drawn plot, or, with an empty `svg`, one that is left out: then `caption` says why.

    All but `svg` are plain text, not escaped. `svg` is one `<svg>` element, its ids unique among pictures (they begin
    with `name`), on a white ground, text as paths; the same bytes at every call. `name` is unique among pictures and
    good as a file's name. `alt` says in a sentence or two what is seen.
    """

    kind: str
    name: str
    title: str
    caption: str
    svg: str
    alt: str


def render(runs: Sequence[Run], kinds: Sequence[str] | None = None) -> list[Picture]:
    """The plots of `runs` by kind (None: all of KINDS), in that order. Unknown kind: BenchError.

    A run's series files are read here, and only for the kinds that need them; one that is missing or damaged leaves
    its plot out.
    """
    raise NotImplementedError
