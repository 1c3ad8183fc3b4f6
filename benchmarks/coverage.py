"""Coverage of the printed 95% intervals, by simulation of a host as noisy as the H100 that results/
were recorded on.

Noise: log step times follow an AR(1) process whose means of 10 steps scatter by 9% with a lag-1
autocorrelation of 0.4 (recorded: 8 to 10%, 0.4). On top the host drifts, for both arms alike:
linearly, by a random walk, or both. The true log ratio is known, so an interval either covers it or
not. Five parts, each calling the code that prints and stops:

sequential   stats.mean_interval over n pairs of fresh replicates in ABBA order with a drawn start.
             Each replicate has a level of its own (0.5%).
interleaved  stats.turn_interval over 2, 4 and 8 replicates of n pairs of turns in random order.
             `shared` noise is the host's: it goes on in time, whoever is running; `own` noise
             belongs to each process and goes on in its own steps, so that neighbouring pairs of
             turns are alike. `effect`: how far replicates differ in their true ratio, in standard
             deviations of a replicate's noise.
groups       the same of the first two of 3 to 8 arms that take turns, whose rounds follow a
             Williams design: the arms of a pair are further apart in time than in a group of two.
stalls       the same on a host that stops every 1.8 s for 70 to 100 ms, whoever is running
             (recorded on shared virtual cores; steps of 50 and 34 ms). The truth is the ratio of
             undisturbed times, whatever the length of turns.
adaptive     sequential, stopped by the rule of planning.stopping at the first look at which the
             half-width meets a target.

`bias` is what the estimates are off by on average, in percent. A cell is `fair` if its coverage
lies between 93% and 97%. 4,000 replications leave a standard error of 0.35 points: of 302 cells
two, both of stalls, come out at 92.95% and 97.15%; 20,000 other replications gave these 94.1% and
96.8%.

    python benchmarks/coverage.py --json benchmarks/coverage.json
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import lfilter
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.interleaved.turns import williams_design
from harness.schema.stats import Estimate, half_width_pp, mean_interval, turn_interval

Array = np.ndarray[Any, np.dtype[np.float64]]

FAIR = (0.93, 0.97)
STEP_S = (0.050, 0.034)  # undisturbed, of baseline and candidate
TRUE = math.log(STEP_S[0] / STEP_S[1])  # ln T_baseline - ln T_candidate
TURN_SD, TURN_LAG1 = 0.09, 0.4  # of means of 10 steps
STEP_LAG1, STEP_SD = (
    0.8548,
    0.1129,
)  # the AR(1) process of single steps whose means of 10 steps are like that
REPLICATE_SD = 0.005
DRIFTS = {  # (linear, random walk's sd), both per job of the sequential protocol
    "none": (0.0, 0.0),
    "linear": (0.005, 0.0),
    "walk": (0.0, 0.005),
    "both": (0.005, 0.005),
}
JOB_STEPS = (300, 3000)
PAIRS = (4, 6, 8, 10, 12, 16, 20)
REPLICATES = (2, 4, 8)
INTERLEAVED = (
    (10, 4),
    (10, 8),
    (10, 12),
    (10, 20),
    (1, 200),
)  # (steps of a turn, pairs of turns in a replicate)
EFFECTS = (0.0, 0.5, 1.0, 2.0)
GROUPS = (3, 4, 6, 8)  # arms
GROUP_TURNS = (1, 48)  # steps of a turn, rounds of a replicate
GROUP_EFFECTS = (0.0, 1.0)
STALL_TURNS = ((1, 200), (2, 60), (8, 20))
STALL_EVERY_S, STALL_JITTER, STALL_S = (
    1.8,
    0.15,
    (0.070, 0.100),
)  # period, its relative sd, least and most length
TURN_DRIFT = (
    0.1,
    0.05,
)  # linear and random walk's sd, over one replicate of the interleaved protocol
MIN_PAIRS, MAX_PAIRS = 8, 40  # the defaults of config.suite.Adaptive
CHUNK = 250  # replications simulated at a time: bounds memory


@dataclass(frozen=True)
class Cell:
    """Coverage of one situation; `width`: median half-width of the interval; it and `bias` in
    percent of the ratio.
    """

    part: str
    situation: str
    n: int
    coverage: float
    width: float
    bias: float
    replications: int

    @property
    def fair(self) -> bool:
        return FAIR[0] <= self.coverage <= FAIR[1]


def autocorrelated(
    rng: np.random.Generator, shape: tuple[int, ...], lag1: float, sd: float
) -> Array:
    """Stationary AR(1) series along the last axis."""
    innovations = rng.standard_normal(shape)
    innovations[..., 1:] *= math.sqrt(1 - lag1**2)
    return np.asarray(sd * lfilter([1.0], [1.0, -lag1], innovations, axis=-1))


def drifting(rng: np.random.Generator, shape: tuple[int, ...], linear: float, walk: float) -> Array:
    """A slope of random sign and a random walk along the last axis; both are given as their size at
    its end.
    """
    length = shape[-1]
    sign = rng.choice((-1.0, 1.0), size=(*shape[:-1], 1))
    slope = sign * linear * np.linspace(0, 1, length)
    return (
        slope + walk / math.sqrt(length) * np.cumsum(rng.standard_normal(shape), axis=-1)
        if walk
        else slope
    )


def epoch_ratios(
    rng: np.random.Generator, replications: int, pairs: int, steps: int, drift: tuple[float, float]
) -> Array:
    """Log ratios of `pairs` (even) pairs of replicates: an array (replications, pairs)."""
    jobs, turns = 2 * pairs, steps // 10
    shape = (replications, jobs * turns)
    host = drifting(rng, shape, drift[0] * jobs, drift[1] * math.sqrt(jobs))
    host += autocorrelated(rng, shape, TURN_LAG1, TURN_SD)
    seconds = np.exp(host).reshape(replications, jobs, turns).mean(axis=2)
    seconds *= np.exp(REPLICATE_SD * rng.standard_normal((replications, jobs)))
    quads = np.log(seconds).reshape(replications, pairs // 2, 4)
    # The arm that begins a quad runs first and last, the other one in between.
    outer, inner = quads[:, :, [0, 3]], quads[:, :, [1, 2]]
    baseline_begins = rng.random((replications, pairs // 2, 1)) < 0.5
    ratios = np.where(baseline_begins, outer - inner, inner - outer)
    return np.asarray(TRUE + ratios.reshape(replications, pairs))


def turn_times(
    rng: np.random.Generator,
    replicates: tuple[int, int],
    turns: tuple[int, int],
    own: bool,
    stalls: bool = False,
) -> Array:
    """Seconds of both arms in pairs of turns: an array (replications, replicates, pairs, 2), given
    the first two.
    """
    steps, pairs = turns
    host = drifting(rng, (*replicates, 2 * pairs * steps), *TURN_DRIFT)
    if not own:
        host += autocorrelated(rng, host.shape, STEP_LAG1, STEP_SD)
    host = host.reshape(*replicates, pairs, 2, steps)
    baseline_first = rng.random((*replicates, pairs, 1, 1)) < 0.5
    by_arm = np.where(baseline_first, host, host[..., ::-1, :])
    if own:
        noise = autocorrelated(rng, (*replicates, 2, pairs * steps), STEP_LAG1, STEP_SD)
        by_arm = by_arm + noise.reshape(*replicates, 2, pairs, steps).swapaxes(2, 3)
    seconds = np.exp(by_arm).sum(axis=-1) * STEP_S
    if stalls:
        in_turn = np.where(baseline_first[..., 0], seconds, seconds[..., ::-1])
        for replicate in in_turn.reshape(-1, 2 * pairs):
            stall(rng, replicate)
        seconds = np.where(baseline_first[..., 0], in_turn, in_turn[..., ::-1])
    return np.asarray(seconds)


def group_times(
    rng: np.random.Generator, replicates: tuple[int, int], arms: int, own: bool
) -> Array:
    """Seconds of the first two of so many arms, round by round: an array (replications, replicates,
    rounds, 2), given the first two.
    """
    steps, rounds = GROUP_TURNS
    shape = (*replicates, rounds, arms)
    host = drifting(rng, (*replicates, rounds * arms * steps), *TURN_DRIFT)
    if not own:
        host += autocorrelated(rng, host.shape, STEP_LAG1, STEP_SD)
    in_turn = host.reshape(*shape, steps)
    design = np.array(williams_design(arms))
    # Each replicate draws the order of rows anew, and takes whole designs one after the other.
    drawn = rng.random((*replicates, -(-rounds // len(design)), len(design))).argsort(axis=-1)
    orders = design[drawn].reshape(*replicates, -1, arms)[..., :rounds, :]
    places = orders.argsort(axis=-1)[..., :2]  # of the first two arms
    by_arm = np.take_along_axis(in_turn, places[..., None], axis=-2)
    if own:
        noise = autocorrelated(rng, (*replicates, 2, rounds * steps), STEP_LAG1, STEP_SD)
        by_arm = by_arm + noise.reshape(*replicates, 2, rounds, steps).swapaxes(2, 3)
    return np.asarray(np.exp(by_arm).sum(axis=-1) * STEP_S)


def stall(rng: np.random.Generator, turns: Array) -> None:
    """Add the host's stalls to the seconds of one replicate's turns, in the order in which they
    were taken.
    """
    ends = np.cumsum(turns)
    most = 2 + int(2 * ends[-1] / STALL_EVERY_S)
    waits = (STALL_EVERY_S - np.mean(STALL_S)) * (
        1 + STALL_JITTER * rng.standard_normal(most)
    )  # for undisturbed time
    waits[0] *= rng.random()
    hit = np.searchsorted(ends, np.cumsum(waits))
    np.add.at(turns, hit[hit < len(turns)], rng.uniform(*STALL_S, size=most)[hit < len(turns)])


def cell(part: str, situation: str, n: int, estimates: Iterable[Estimate]) -> Cell:
    covered, widths, errors = 0, [], []
    for estimate in estimates:
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low <= TRUE <= estimate.high
        widths.append((estimate.high - estimate.low) / 2)
        errors.append(estimate.mean - TRUE)
    width, bias = 100 * float(np.median(widths)), 100 * float(np.mean(errors))
    return Cell(part, situation, n, covered / len(widths), width, bias, len(widths))


def chunks(replications: int) -> list[int]:
    return [min(CHUNK, replications - done) for done in range(0, replications, CHUNK)]


def sequential(
    replications: int, seed: int, counts: Sequence[int] = PAIRS, lengths: Sequence[int] = JOB_STEPS
) -> list[Cell]:
    """Intervals over a number of pairs of replicates that was fixed beforehand."""
    cells = []
    for steps in lengths:
        for number, (name, drift) in enumerate(DRIFTS.items()):
            rng = np.random.default_rng([seed, 1, steps, number])
            rows = [
                row
                for r in chunks(replications)
                for row in epoch_ratios(rng, r, max(counts), steps, drift).tolist()
            ]
            situation = f"jobs of {steps} steps, drift: {name}"
            cells += [
                cell("sequential", situation, n, (mean_interval(row[:n]) for row in rows))
                for n in counts
            ]
    return cells


def adaptive(replications: int, seed: int, lengths: Sequence[int] = JOB_STEPS) -> list[Cell]:
    """Intervals over as many pairs as the stopping rule took; targets that about 10, 20 and 30
    pairs would reach.
    """
    cells = []
    for steps in lengths:
        rng = np.random.default_rng([seed, 2, steps])
        rows = [
            r
            for n in chunks(replications)
            for r in epoch_ratios(rng, n, MAX_PAIRS, steps, DRIFTS["both"]).tolist()
        ]
        for goal in (10, 20, 30):
            target = float(np.median([half_width_pp(mean_interval(row[:goal])) for row in rows]))
            stopped = [_stopped(row, target) for row in rows]
            pairs = round(float(np.mean([estimate.n for estimate in stopped])))
            cells.append(
                cell("adaptive", f"jobs of {steps} steps, target {target:.2f} pp", pairs, stopped)
            )
    return cells


def _stopped(ratios: Sequence[float], target_pp: float) -> Estimate:
    for n in range(MIN_PAIRS, MAX_PAIRS + 1, 2):
        estimate = mean_interval(ratios[:n])
        width = half_width_pp(estimate)
        if width is not None and width <= target_pp:
            break
    return estimate


def interleaved(
    replications: int,
    seed: int,
    shapes: Sequence[tuple[int, int]] = INTERLEAVED,
    stalls: bool = False,
) -> list[Cell]:
    """Intervals of the interleaved protocol, on a host that stalls or does not."""
    cells = []
    for own in (False, True):
        for number, shape in enumerate(shapes):
            rng = np.random.default_rng([seed, 4 if stalls else 3, own, number])
            times = np.concatenate(
                [
                    turn_times(rng, (r, max(REPLICATES)), shape, own, stalls)
                    for r in chunks(replications)
                ]
            )
            noise_sd = float(np.std([turn_interval(_pairs(of)).mean for of in times[:, :1]]))
            levels = rng.standard_normal(times.shape[:2])
            for effect in EFFECTS:
                shifted = times.copy()
                shifted[..., 0] *= np.exp(effect * noise_sd * levels)[..., None]
                kind = f"{'own' if own else 'shared'} noise, {shape[0]}-step turns"
                for replicates in REPLICATES:
                    situation = f"{kind}, {replicates} replicates, effect {effect:g}"
                    estimates = (turn_interval(_pairs(of)) for of in shifted[:, :replicates])
                    cells.append(
                        cell("stalls" if stalls else "interleaved", situation, shape[1], estimates)
                    )
    return cells


def groups(replications: int, seed: int, sizes: Sequence[int] = GROUPS) -> list[Cell]:
    """Intervals of a pair of the interleaved protocol whose arms take turns with others."""
    cells = []
    for arms in sizes:
        for own in (False, True):
            rng = np.random.default_rng([seed, 5, arms, own])
            times = np.concatenate(
                [group_times(rng, (r, max(REPLICATES)), arms, own) for r in chunks(replications)]
            )
            noise_sd = float(np.std([turn_interval(_pairs(of)).mean for of in times[:, :1]]))
            levels = rng.standard_normal(times.shape[:2])
            for effect in GROUP_EFFECTS:
                shifted = times.copy()
                shifted[..., 0] *= np.exp(effect * noise_sd * levels)[..., None]
                kind = f"{arms} arms, {'own' if own else 'shared'} noise"
                for replicates in REPLICATES:
                    situation = f"{kind}, {replicates} replicates, effect {effect:g}"
                    estimates = (turn_interval(_pairs(of)) for of in shifted[:, :replicates])
                    cells.append(cell("groups", situation, GROUP_TURNS[1], estimates))
    return cells


def stalls(
    replications: int, seed: int, shapes: Sequence[tuple[int, int]] = STALL_TURNS
) -> list[Cell]:
    """Intervals of the interleaved protocol on a host that stalls."""
    return interleaved(replications, seed, shapes, stalls=True)


def _pairs(replicates: Array) -> list[list[tuple[float, float]]]:
    return [[(one, other) for one, other in replicate] for replicate in replicates.tolist()]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--replications", type=int, default=4000, help="per cell; default: %(default)s"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    began = time.monotonic()
    with ProcessPoolExecutor() as pool:
        parts = [
            pool.submit(part, options.replications, options.seed)
            for part in (interleaved, groups, stalls, sequential, adaptive)
        ]
        cells = [part.result() for part in (*parts[3:], *parts[:3])]
    rows = [c for part in cells for c in part]
    print(
        tabulate(
            [
                [
                    c.part,
                    c.situation,
                    c.n,
                    f"{100 * c.coverage:.1f}",
                    f"{c.width:.2f}",
                    f"{c.bias:+.2f}",
                    "" if c.fair else "!",
                ]
                for c in rows
            ],
            headers=["part", "situation", "n", "covered (%)", "half-width (%)", "bias (%)", ""],
            disable_numparse=True,
        )
    )
    unfair = [c for c in rows if not c.fair]
    print(
        f"\n{len(rows)} cells of {options.replications} replications in "
        f"{time.monotonic() - began:.0f} s; "
        f"{len(unfair)} outside {FAIR[0]:.0%} to {FAIR[1]:.0%}, marked with !"
    )
    if options.json:
        settings = {"replications": options.replications, "seed": options.seed, "fair": FAIR}
        lines = ",\n".join("  " + json.dumps({**asdict(c), "fair": c.fair}) for c in rows)
        options.json.write_text(
            f'{{"settings": {json.dumps(settings)},\n "cells": [\n{lines}\n]}}\n'
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
