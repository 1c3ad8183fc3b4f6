"""report tables: print the tables of runs."""

from __future__ import annotations

import argparse
import gc
import sys
from typing import TYPE_CHECKING

from report.commands.common import add_runs, say_problems
from report.text import MANY_RUNS

if TYPE_CHECKING:
    from report.commands.common import Commands

# Named here too, so that --help need not import them; a test compares.
FORMATS = ("markdown", "terminal", "latex", "csv", "json")
VIEWS = {
    "runtimes": "whole training of each arm: seconds, samples per second",
    "steady": "steady state of each arm: set-up, time of a step, samples per second",
    "gains": "gain of each pair, with its interval, parity, noise floor and break-even step",
    "predicted": "training time of all epochs of each arm, from its set-up and steady steps",
    "predicted-gains": "gain of each pair over all epochs, by the predicted times",
    "metrics": "what each arm learned: its metrics, beside the level of chance",
    "gpu": "what the cards did under each arm, or the processors without a GPU",
    "cards": "card by card what each did, where several trained a job together",
    "scaling": "speed-up and efficiency of several processes",
    "inference": "latency and throughput of the trained models by PyTorch and by ONNX Runtime",
    "matrix": "which models train with which backend, and the error where one does not",
    "headline": "the answer in words, a sentence of each pair, to be pasted into a chat",
    "answer": "one narrow row of each pair: its gain, and whether both arms learned alike",
    "claims": "what was published, and what was measured of it: name published runs and yours",
    "comparison": "gains of several runs side by side",
    "full": "everything of each gain in one row: times, machine use, gain and its checks",
    "prediction": "what the first steps foretell of the whole training, and what it took",
    "summary": "one row of each pair over all runs that have it",
}
ON_REQUEST = ("headline", "answer", "claims", "comparison", "full", "prediction", "summary")
GROUPS = ("model", "task", "backend", "gpu", "run")


def register(commands: Commands) -> None:
    """Add this command."""
    tables = commands.add_parser(
        "tables",
        help="print the tables of runs",
        description="Prints the tables of runs.",
        epilog=_views(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_runs(tables)
    tables.add_argument(
        "--format",
        choices=FORMATS,
        help="default: terminal where it is printed to one, else markdown",
    )
    which = tables.add_mutually_exclusive_group()
    which.add_argument(
        "--view",
        action="append",
        choices=VIEWS,
        metavar="VIEW",
        help="only this table (default: the answer in words, and every view that the runs have "
        "data for, but those on request); may be given again; the views stand below",
    )
    which.add_argument(
        "--full",
        action="append_const",
        const="full",
        dest="view",
        help="all of every gain in one table: --view full",
    )
    for kind in GROUPS:
        tables.add_argument(
            f"--{kind}",
            dest=f"only_{kind}",  # `run` is the handler
            action="append",
            default=[],
            metavar="PATTERN",
            help=f"only of this {kind}: a name or a shell pattern, any case; may be given again",
        )
    tables.add_argument("--group-by", choices=GROUPS, help="a table for each of them")
    tables.set_defaults(run=run)


def _views() -> str:
    """The views, a line each, and which of them come unasked."""
    lines = [f"  {name:<16}{about}" for name, about in VIEWS.items() if name not in ON_REQUEST]
    asked = [f"  {name:<16}{VIEWS[name]}" for name in ON_REQUEST]
    return "\n".join(
        [
            "views:",
            *lines,
            "only on request:",
            *asked,
            f"Of more than {MANY_RUNS} runs: the summary alone, except as csv or json.",
        ]
    )


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from report.loading.filters import Selection
    from report.loading.runs import collector_paused, find_run, load_runs
    from report.tables.registry import build
    from report.tables.render import DISPLAYS, written

    form = options.format or ("terminal" if sys.stdout.isatty() else "markdown")
    selection = Selection(**{kind: tuple(getattr(options, f"only_{kind}")) for kind in GROUPS})
    with collector_paused():  # it would walk over all records again and again
        runs, problems = load_runs(find_run(name, options.results) for name in options.runs)
        document = build(
            runs,
            options.view,
            brief=form in DISPLAYS,
            selection=selection,
            group_by=options.group_by,
        )
        sys.stdout.write(written(document, form))
        # The command is over: without this the collector walks over all records once more when it
        # is switched on again.
        gc.freeze()
    return say_problems(problems)
