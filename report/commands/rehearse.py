"""report rehearse: what the alarm is worth on this host, before anybody trusts it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BenchError
from report.commands import alert
from report.commands.check import add_history_options, rules_of, write_json
from report.commands.common import say_problems

if TYPE_CHECKING:
    from report.commands.common import Commands

DESCRIPTION = """\
Takes a pair's own noise from its recorded history (the newest comparable host; from launches where the history is
shorter than 10 nights, and says so), makes nights of it, puts a slowdown into one arm from the middle on, and sends
them down the whole path: run folders, `report check`, the second run of an alarmed pair, the verdict, `report alert`
(as a dry run: nothing is sent). Then prints how often such a slowdown is told by night, and how often noise alone is.
"""
EPILOG = (
    "exit code: 0 the rehearsed slowdown was found and named rightly, 1 it was not, 2 bad input"
)

MOST_NIGHTS, MOST_SIMULATED, MOST_SEED = 10_000, 1_000_000, 2**31 - 1


def register(commands: Commands) -> None:
    """Add this command."""
    rehearse = commands.add_parser(
        "rehearse",
        help="put a slowdown into this host's own noise: is it found, and what is an alarm "
        "worth here?",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = rehearse.add_argument
    add("--inject", default="5%", metavar="PERCENT", help="how much slower: %(default)s")
    add(
        "--nights",
        type=int,
        default=60,
        metavar="N",
        help="nights; slower from the middle on: %(default)s",
    )
    add(
        "--pair",
        action="append",
        default=[],
        metavar="PATTERN",
        help="which pair, as in `report history`; else all",
    )
    add(
        "--arm",
        choices=("baseline", "candidate"),
        default="candidate",
        help="whose times: %(default)s",
    )
    add(
        "--simulated",
        type=int,
        default=600,
        metavar="N",
        help="pairs simulated for the rates: %(default)s",
    )
    add("--seed", type=int, default=0)
    add("--no-alert", action="store_true", help="do not show what `report alert` would tell")
    add("--json", type=Path, metavar="FILE", help="write the rates there")
    add_history_options(rehearse)
    rehearse.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    import json

    for option, most in (
        ("nights", MOST_NIGHTS),
        ("simulated", MOST_SIMULATED),
        ("seed", MOST_SEED),
    ):
        given = getattr(options, option)
        if not 0 <= given <= most:
            raise BenchError(
                f"is not between 0 and {most:,}", place=f"--{option} {given}", fix="another number"
            )

    from report.loading.runs import load_runs
    from report.regressions.rehearsal_text import Plan, fraction, rehearse_all

    plan = Plan(
        slower=fraction(options.inject),
        nights=options.nights,
        arm=options.arm,
        simulated=options.simulated,
        seed=options.seed,
        alert=not options.no_alert,
    )
    runs, problems = load_runs([options.results])
    outcomes = rehearse_all(runs, options.pair, rules_of(options), plan, _alert_of)
    if options.json:
        write_json(options.json, json.dumps(outcomes, indent=2, ensure_ascii=False) + "\n")
    say_problems(problems)
    return 0 if all(outcome["found"] for outcome in outcomes) else 1


def _alert_of(verdict: Path) -> int:
    """Print what `report alert` would tell of a verdict; returns its exit code."""
    parser = argparse.ArgumentParser()
    alert.register(parser.add_subparsers())
    options = parser.parse_args(["alert", str(verdict), "--channel", "summary", "--dry-run"])
    return alert.run(options)
