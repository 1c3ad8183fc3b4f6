"""report check: what the newest night says against the nights before it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from report.commands.common import say_problems

if TYPE_CHECKING:
    from report.commands.common import Commands
    from report.regressions.check import Rules

MEASURES = ("steady_state", "end_to_end")

DESCRIPTION = """\
Judges every pair of the newest run against earlier runs on comparable hosts: baseline time,
candidate time and their ratio, each by the detector of report/regressions/detector.py. Runs on
other cards, drivers, stacks or with other settings are never mixed: it says so. Inference of the
trained models is judged likewise, by arm and batch size.
States: regression, improvement, watch, steady, missing, not enough nights."""
EPILOG = """\
exit status:
  0  every pair was judged and nothing is worse
  1  a regression (see below), whatever else there is
  2  no judgement: bad input, a pair without a result tonight (state "missing"), or no pair with
     an earlier night

confirmation:
  A finding with "measure_again": true in the JSON is an alarm whose pair wants to be measured again
  the same night: its "reproduce" is the command. Give that second run with --again, or call it
  NIGHT-again: then it is found by its name. Runs called *-again are never nights of the history.
  With the second run an alarmed pair is
    regression or improvement, "confirmed": true     if the second run fires too
    watch, "confirmed": false                        if it does not
  Without one (or where it has no result of the pair), "confirmed" is null: an alarm that is loud
  enough to stand alone (sigmas_alone in the config) is a regression or improvement, any other is
  watch.
"""


def register(commands: Commands) -> None:
    """Add this command."""
    check = commands.add_parser(
        "check",
        help="judge the newest night against the nights before it: regressions, their cause, what "
        "is missing",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument(
        "--run", dest="night", metavar="RUN", help="judge this night, not the newest one"
    )
    check.add_argument(
        "--again", metavar="RUN", help="the same night's second run of alarmed pairs: see below"
    )
    add_history_options(check)
    check.add_argument(
        "--json", type=Path, metavar="FILE", help="write the verdict there, for `report alert FILE`"
    )
    check.set_defaults(run=run)


def add_history_options(parser: argparse.ArgumentParser) -> None:
    """What every command on a history takes: its runs, thresholds, acknowledgements, which time."""
    parser.add_argument(
        "results", nargs="?", type=Path, default=Path("results"), metavar="RESULTS",
        help="a folder of runs, the history (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="thresholds (default: configs/check.yaml where it is, else built in)",
    )
    parser.add_argument(
        "--acknowledged", type=Path, metavar="FILE",
        help="accepted changes: nights before them are no baseline (default: "
             "RESULTS/acknowledged.yaml where it is)",
    )  # fmt: skip
    parser.add_argument(
        "--measure", choices=MEASURES, default="steady_state", help="default: %(default)s"
    )


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from report.loading.runs import find_run, load_run, load_runs
    from report.regressions.check import check
    from report.regressions.text import as_text

    runs, problems = load_runs([options.results])
    again = None
    if options.again:
        again = load_run(find_run(options.again, options.results))
        problems += again.problems
        # The second run is no night of its own.
        runs = [one for one in runs if one.folder.resolve() != again.folder.resolve()]
    verdict = check(runs, rules_of(options), options.night, again, problems)
    if options.json:
        write_json(options.json, verdict.model_dump_json(indent=2) + "\n")
    sys.stdout.write(as_text(verdict))
    say_problems(verdict.problems)
    return verdict.exit_code


def rules_of(options: argparse.Namespace) -> Rules:
    """What the options of a command on a history say."""
    from report.regressions.acknowledged import load_acknowledged
    from report.regressions.check import Rules
    from report.regressions.thresholds import load_config

    return Rules(
        load_config(options.config),
        load_acknowledged(options.results, options.acknowledged),
        options.measure,
    )


def write_json(file: Path, text: str) -> None:
    """Write `text` whole or not at all; BenchError if it cannot be."""
    from harness.errors import BenchError
    from harness.files import write_text

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, text)
    except OSError as error:
        raise BenchError(
            f"cannot be written: {error.strerror}", place=str(file), fix="name another file"
        ) from None
