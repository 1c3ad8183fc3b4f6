"""report rehearse: what the alarm is worth on this host, before anybody trusts it."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BenchError
from report.commands.check import add_history_options, rules_of, write_json
from report.commands.common import say_problems

if TYPE_CHECKING:
    from report.commands.common import Commands

DESCRIPTION = """\
Says how often `report check` would raise a false alarm on this host, and how small a slowdown it
would find. Takes a pair's own noise from its recorded history (the newest comparable host; from
replicates where the history is shorter than 10 nights, and says so), simulates nights of it, each
with a second run, and judges them night by night.
"""
EPILOG = (
    "exit status: 0 the slowdown of --inject is told within 5 nights in 95% of the simulated pairs "
    "or more, 1 it is not, 2 bad input"
)

MOST_NIGHTS, MOST_SIMULATED, MOST_SEED = 10_000, 1_000_000, 2**31 - 1


def register(commands: Commands) -> None:
    """Add this command."""
    rehearse = commands.add_parser(
        "rehearse",
        help="how often is an alarm false on this host, and how small a slowdown is found?",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = rehearse.add_argument
    add("--inject", default="5%", metavar="PERCENT", help="how much slower (default: %(default)s)")
    add(
        "--nights",
        type=int,
        default=60,
        metavar="N",
        help="nights; slower from the middle on (default: %(default)s)",
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
        help="whose times (default: %(default)s)",
    )
    add(
        "--simulated",
        type=int,
        default=600,
        metavar="N",
        help="pairs simulated (default: %(default)s)",
    )
    add(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="of the simulated noise (default: %(default)s)",
    )
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    add_history_options(rehearse)
    rehearse.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
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
    from report.regressions.rehearsal import RehearsalPlan, as_json, as_text, rehearse

    plan = RehearsalPlan(
        slower=fraction(options.inject),
        nights=options.nights,
        arm=options.arm,
        simulated=options.simulated,
        seed=options.seed,
    )
    runs, problems = load_runs([options.results])
    rehearsals, left_out = rehearse(runs, options.pair, rules_of(options), plan)
    if options.json:
        content = [as_json(one) for one in rehearsals]
        write_json(options.json, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    print("\n".join(as_text(one) for one in rehearsals), end="")
    for note in left_out:
        print(f"note: {note}", file=sys.stderr)
    say_problems(problems)
    return 0 if all(one.found for one in rehearsals) else 1


def fraction(text: str) -> float:
    """ "5%" as 0.05. BenchError for anything but a percentage above -100% and not 0."""
    number, sign, rest = text.strip().partition("%")
    try:
        value = float(number) / 100
    except ValueError:
        value = math.nan
    if not sign or rest or not math.isfinite(value) or value <= -1 or value == 0:
        raise BenchError(
            f"{text!r} is no change in percent", place="--inject", fix="for example --inject 5%"
        )
    return value
