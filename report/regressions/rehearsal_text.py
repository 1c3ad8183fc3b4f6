"""`report rehearse`, told as it goes."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from harness.errors import BenchError
from harness.files import write_text
from report.loading.runs import Run
from report.regressions.check import Rules
from report.regressions.nights import Night, histories, nights_among
from report.regressions.noise import noise_of, without_alarm
from report.regressions.rehearsal import Share, Told, Worth, rehearse, worth
from report.regressions.time_series import fits


@dataclass(frozen=True)
class Plan:
    """`slower`: fraction; `nights`: the slowdown begins in their middle; `simulated`: pairs for the
    rates.
    """

    slower: float
    nights: int = 60
    arm: Literal["baseline", "candidate"] = "candidate"
    simulated: int = 600
    seed: int = 0
    alert: bool = True


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


def rehearse_all(
    runs: Sequence[Run],
    patterns: Sequence[str],
    rules: Rules,
    plan: Plan,
    tell: Callable[[Path], int],
) -> list[dict[str, Any]]:
    """Rehearse every pair that fits, and print what happens.

    Args:
        runs: The recorded history.
        patterns: Which pairs, as in `report history`; none: all pairs.
        rules: How nights are judged.
        plan: What is rehearsed.
        tell: Shows what `report alert` would tell of the verdict in a file; returns the exit code.

    Returns:
        The figures of each pair.

    Raises:
        BenchError: There is nothing to rehearse with, or the alert failed.
    """
    least = 2 * (rules.config.thresholds.min_nights + 1)
    if plan.nights < least:
        raise BenchError(
            f"{plan.nights} nights are too few", place="--nights", fix=f"{least} or more"
        )
    if plan.simulated < 1:
        raise BenchError(
            "must be 1 or more", place="--simulated", fix="600 give rates to about 2 points"
        )
    recorded = histories(nights_among(runs), rules.measure, rules.config.comparable)
    pairs = [
        nights
        for nights in recorded.values()
        if fits(nights[-1].pair, patterns) and _results(nights)
    ]
    if not pairs:
        raise BenchError(
            "no pair with a result to rehearse with", fix="`report history` lists what there is"
        )
    return [_rehearse(_results(nights), rules, plan, tell) for nights in pairs]


def _results(nights: Sequence[Night]) -> list[Night]:
    """The nights with a result that are comparable with the newest one of them."""
    with_result = [night for night in nights if night.point is not None]
    return [night for night in with_result if night.setting == with_result[-1].setting]


def _rehearse(
    nights: list[Night], rules: Rules, plan: Plan, tell: Callable[[Path], int]
) -> dict[str, Any]:
    thresholds = rules.config.thresholds
    usable = without_alarm(nights, thresholds)
    in_alarm, nights = len(nights) - len(usable), usable
    noise = noise_of(nights, thresholds)
    template, arm = nights[-1], int(plan.arm == "candidate")
    pair = template.pair
    name = f"{pair.workload}: {pair.candidate} over {pair.baseline}"
    print(f"{name}\n  made of {noise}")
    if in_alarm:
        print(f"  left out as in alarm: the last {in_alarm} night{'s' * (in_alarm != 1)}")
    one, other, ratio = noise.percent
    print(
        f"  a night's standard deviation: {pair.baseline} {one:.2f}%, {pair.candidate} "
        f"{other:.2f}%, ratio {ratio:.2f}%"
    )
    print(
        f"  {plan.arm} {plan.slower:+.1%} from night {plan.nights // 2 + 1} of "
        f"{plan.nights} on:".replace("-", "−")
    )
    told: list[Told] = []
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as folder:
        changes = {"slower": plan.slower, "arm": arm, "nights": plan.nights, "seed": plan.seed}
        for night in rehearse(template, noise, rules, Path(folder), **changes):  # type: ignore[arg-type]
            told.append(night)
            print(f"    night {night.since} of it: {_said(night)}", flush=True)
        last = told[-1].verdict.findings[0]
        found = last.cause == f"{plan.arm} {'regressed' if plan.slower > 0 else 'improved'}"
        if plan.alert and last.state in ("regression", "improvement"):
            _alert(told[-1], Path(folder), tell)
    figures = worth(
        noise,
        thresholds,
        slower=plan.slower,
        arm=arm,
        nights=plan.nights,
        pairs=plan.simulated,
        seed=plan.seed,
    )
    _print_worth(figures, plan)
    return {
        "workload": pair.workload,
        "baseline": pair.baseline,
        "candidate": pair.candidate,
        "host": template.setting.label if template.setting else "",
        "noise": {"source": noise.source, "n": len(noise.residuals), "percent": noise.percent},
        "plan": asdict(plan),
        "found": found,
        "told_after_nights": told[-1].since if found else None,
        "state": last.state,
        "cause": last.cause,
        "power_by_night": {str(n): asdict(share) for n, share in figures.power.items()},
        "false_alarms_per_series_and_month": asdict(figures.false_alarms),
        "second_runs_per_series_and_month": asdict(figures.second_runs),
    }


def _said(night: Told) -> str:
    first, final = night.first.findings[0], night.verdict.findings[0]
    if night.second is None:
        return f"{first.state}; {first.reason}"
    cause = f", {final.cause}" if final.cause else ""
    return f"alarm, measured again, {final.state}{cause}; {final.reason}"


def _alert(night: Told, folder: Path, tell: Callable[[Path], int]) -> None:
    """What `report alert` would tell, on standard output."""
    file = folder / "verdict.json"
    write_text(file, night.verdict.model_dump_json(indent=2))
    print("  `report alert` would tell:", flush=True)
    code = tell(file)
    if code:
        raise BenchError(f"`report alert` ended with {code}", fix="see what it said above")


def _print_worth(figures: Worth, plan: Plan) -> None:
    print(f"  over {plan.simulated} simulated pairs:")
    for nights, share in figures.power.items():
        when = "on the first night" if nights == 1 else f"within {nights} nights"
        print(f"    told {when}: {_percent(share)}")
    print(f"    false alarms per series and month: {_rate(figures.false_alarms)}")
    print(f"    second runs of nothing per series and month: {_rate(figures.second_runs)}")


def _percent(share: Share) -> str:
    return f"{share.value:.1%} (95% interval {share.low:.1%} to {share.high:.1%})"


def _rate(share: Share) -> str:
    return f"{share.value:.4f} (95% interval {share.low:.4f} to {share.high:.4f})"
