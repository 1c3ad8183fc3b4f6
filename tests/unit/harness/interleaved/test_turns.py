"""The turns of a replicate: order, turn length, end."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from property_support import examples

from harness.interleaved.turns import (
    LEAST_PAIRS,
    LONGEST_TURN_S,
    PILOT_LENGTHS,
    PILOT_SHARE,
    PairOfTurns,
    Schedule,
    Turn,
    predicted_variance,
)
from harness.schema.measurement import Interleaved

MOST_TURNS = 100_000


def play(
    schedule: Schedule, lead_in: int, step_s: Callable[[bool], float]
) -> Iterator[tuple[PairOfTurns, Turn, Turn]]:
    """Every pair of turns, with steps that take `step_s(of the baseline)`, drawn in the order they
    are made.
    """
    for _ in range(MOST_TURNS):
        pair = schedule.next()
        if pair is None:
            return
        made = {}
        for is_baseline in (pair.baseline_first, not pair.baseline_first):
            steps = [step_s(is_baseline) for _ in range(lead_in + pair.steps)]
            made[is_baseline] = Turn(steps[:lead_in], steps[lead_in:])
        schedule.add(made[True], made[False])
        yield pair, made[True], made[False]
    raise AssertionError("the schedule does not end")


def fixed(seconds: float, steps: int | str, lead_in: int = 1) -> Interleaved:
    return Interleaved.model_validate(
        {"seconds": seconds, "steps": steps, "lead_in_steps": lead_in}
    )


@examples(60)
@given(
    seconds=st.floats(0.5, 60),
    steps=st.one_of(st.integers(1, 20), st.just("auto")),
    lead_in=st.integers(0, 3),
    baseline_s=st.floats(0.005, 3),
    ratio=st.floats(0.3, 3),
    seed=st.text(max_size=5),
)
def test_a_replicate_fills_its_budget_in_balanced_random_order(
    seconds: float, steps: int | str, lead_in: int, baseline_s: float, ratio: float, seed: str
) -> None:
    noise = random.Random(seed)
    schedule = Schedule(fixed(seconds, steps, lead_in), seed)
    turns = list(
        play(
            schedule,
            lead_in,
            lambda first: baseline_s * (1 if first else ratio) * math.exp(noise.gauss(0, 0.05)),
        )
    )
    pilot = [turn for turn in turns if turn[0].pilot]
    counted = [turn for turn in turns if not turn[0].pilot]
    assert turns == pilot + counted  # the pilot comes first
    assert (len(pilot), len(counted)) == (schedule.pilot_pairs, schedule.counted_pairs)
    assert len(counted) >= LEAST_PAIRS
    starts = [pair.baseline_first for pair, _, _ in counted]
    assert all(starts[index] != starts[index + 1] for index in range(0, len(starts), 2))
    assert {pair.steps for pair, _, _ in counted} == {schedule.steps}
    spent = [a.seconds + b.seconds for _, a, b in turns]
    assert schedule.spent_s == pytest.approx(sum(spent))
    assert schedule.spent_s >= seconds
    if len(counted) > LEAST_PAIRS:  # else the least number of pairs decided
        assert sum(spent[:-2]) < seconds  # not a quad more than needed
    if steps == "auto":
        assert schedule.steps in PILOT_LENGTHS
        # A round of the pilot that was begun is finished.
        assert sum(spent[: len(pilot)]) <= PILOT_SHARE * seconds * 1.7 + spent[0]
        for pair, a, b in pilot:
            assert (
                pair.steps == 1 or max(a.seconds, b.seconds) <= LONGEST_TURN_S * 1.4
            )  # 5 % of noise
    else:
        assert not pilot


def test_the_order_is_drawn_by_the_seed() -> None:
    def order(seed: str) -> list[bool]:
        return [
            pair.baseline_first
            for pair, _, _ in play(Schedule(fixed(4, 1), seed), 1, lambda _: 0.01)
        ]

    assert order("roberta/0") == order("roberta/0")
    assert len({tuple(order(f"roberta/{replicate}")) for replicate in range(20)}) == 20
    firsts = [order(f"roberta/{replicate}")[0] for replicate in range(200)]
    assert 70 < sum(firsts) < 130


def _chosen(
    step_s: Callable[[random.Random], Callable[[bool], float]], lead_in: int = 1
) -> list[int]:
    found = []
    for seed in range(60):
        schedule = Schedule(fixed(60, "auto", lead_in), str(seed))
        list(play(schedule, lead_in, step_s(random.Random(seed))))
        assert schedule.steps is not None
        found.append(schedule.steps)
    return found


def test_independent_noise_asks_for_long_turns_and_drift_for_short_ones() -> None:
    def white(draw: random.Random) -> Callable[[bool], float]:
        return lambda _: 0.05 * math.exp(draw.gauss(0, 0.05))

    def drifting(draw: random.Random) -> Callable[[bool], float]:
        level = [0.0]

        def step(_: bool) -> float:
            level[0] = 0.97 * level[0] + draw.gauss(0, 0.05)
            return 0.05 * math.exp(level[0])

        return step

    # 60 pilots of 8 pairs each: a single one may err. After two steps of lead-in and in white
    # noise, turns of 8 have 5/12 of the variance that single steps have.
    assert fmean(_chosen(white, lead_in=2)) > 4
    assert fmean(_chosen(drifting, lead_in=2)) < 2


def test_without_lead_in_long_turns_have_no_advantage() -> None:
    def white(draw: random.Random) -> Callable[[bool], float]:
        return lambda _: 0.05 * math.exp(draw.gauss(0, 0.05))

    assert fmean(_chosen(white, lead_in=0)) < 2


def test_no_room_for_a_pilot() -> None:
    """Half a second a step, 45 s: a third of the time goes to the lead-in, turns of 2 s at
    most.
    """
    schedule = Schedule(fixed(45, "auto"), "x")
    turns = list(play(schedule, 1, lambda _: 0.5))
    assert schedule.steps == 2
    assert schedule.pilot_pairs == 1
    assert sum(a.seconds + b.seconds for _, a, b in turns) == pytest.approx(45, abs=6)


def test_steps_longer_than_a_turn_may_be_are_taken_one_by_one() -> None:
    schedule = Schedule(fixed(45, "auto"), "x")
    assert {pair.steps for pair, _, _ in play(schedule, 1, lambda _: 3.0)} == {1}
    assert schedule.counted_pairs == LEAST_PAIRS


def test_predicted_variance_by_hand() -> None:
    a = (Turn([0.5], [1.0]), Turn([0.5], [1.0]))  # ln ratio 0, 3 s
    b = (Turn([0.5], [math.e, math.e]), Turn([0.5], [1.0, 1.0]))  # ln ratio 1, 2e + 3 s
    assert predicted_variance([a, b]) == pytest.approx(0.5 * (3 + 2 * math.e + 3) / 2)
