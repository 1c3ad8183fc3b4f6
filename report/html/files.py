"""What pages need besides their runs, and how they reach the disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import BenchError
from harness.files import write_text
from report.html.build import DRAWN_BY_PAGE, main_runs
from report.html.history import courses_among
from report.loading.runs import Run
from report.plots import KINDS, Picture, render
from report.regressions.acknowledged import load_acknowledged
from report.regressions.check import Rules
from report.regressions.plot import draw
from report.regressions.thresholds import load_config


def rules_beside(runs: Sequence[Run]) -> Rules:
    """What `report check` would judge the nights by: its configuration, and the changes that were
    accepted beside the runs.
    """
    folders = dict.fromkeys(run.folder.resolve().parent for run in runs)
    accepted = [entry for folder in folders for entry in load_acknowledged(folder)]
    return Rules(load_config(), accepted)


def pictures_of(runs: Sequence[Run], rules: Rules) -> list[Picture]:
    """The plots of a page: the history of all nights, and of everything else the plots of the runs
    that the head of the page is about. Those of earlier nights are on pages of their own.
    """
    kinds = [kind for kind in KINDS if kind not in DRAWN_BY_PAGE]
    shown = main_runs(runs, courses_among(runs, rules))
    history = render(runs, ["history"], {"history": lambda of, looks: draw(of, looks, rules)})
    return [*history, *render(shown, kinds)]


def write_page(path: Path, text: str) -> None:
    """Write a page whole or not at all; BenchError if it cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A path in bytes that are no text may stand in a problem; the page itself is always UTF-8.
        write_text(path, text)
    except OSError as error:
        raise BenchError(
            f"cannot be written: {error.strerror}",
            place=str(path),
            fix="name another place with -o",
        ) from None
