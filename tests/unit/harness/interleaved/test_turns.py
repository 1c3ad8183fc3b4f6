"""The turns of a replicate: order, turn length, end."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from property_support import examples

from harness.interleaved.turns import (
    LEAST_ROUNDS,
    LONGEST_TURN_S,
    PILOT_LENGTHS,
    PILOT_SHARE,
    MeasuredTurn,
    Round,
    TurnSchedule,
    predicted_variance,
    williams_design,
)
from harness.schema.measurement import Interleaved

MOST_ROUNDS = 100_000


def play(
    schedule: TurnSchedule, lead_in: int, step_s: Callable[[int], float]
) -> Iterator[tuple[Round, dict[int, MeasuredTurn]]]:
    """Every round, with steps that take `step_s(index of the arm)`, drawn in the order they are
    made.
    """
    for _ in range(MOST_ROUNDS):
        round_ = schedule.next()
        if round_ is None:
            return
        turns = {}
        for arm in round_.order:
            steps = [step_s(arm) for _ in range(lead_in + round_.steps)]
            turns[arm] = MeasuredTurn(steps[:lead_in], steps[lead_in:])
        schedule.add(turns)
        yield round_, turns
    raise AssertionError("the schedule does not end")


def plan(settings: Interleaved, seed: str, arms: int = 2) -> TurnSchedule:
    """A schedule whose first arm is the baseline of all pairs."""
    return TurnSchedule(settings, seed, arms, [(0, arm) for arm in range(1, arms)])


def fixed(seconds: float, steps: int | str, lead_in: int = 1) -> Interleaved:
    return Interleaved.model_validate(
        {"seconds": seconds, "steps": steps, "lead_in_steps": lead_in}
    )


@pytest.mark.parametrize("arms", range(2, 12))
def test_a_williams_design_balances_neighbours_and_places(arms: int) -> None:
    rows = williams_design(arms)
    times = 1 if arms % 2 == 0 else 2
    assert len(rows) == times * arms
    assert all(sorted(row) == list(range(arms)) for row in rows)
    neighbours = Counter(pair for row in rows for pair in itertools.pairwise(row))
    assert neighbours == dict.fromkeys(itertools.permutations(range(arms), 2), times)
    places = Counter((arm, place) for row in rows for place, arm in enumerate(row))
    assert set(places.values()) == {times}


@examples(60)
@given(
    seconds=st.floats(0.5, 60),
    steps=st.one_of(st.integers(1, 20), st.just("auto")),
    lead_in=st.integers(0, 3),
    baseline_s=st.floats(0.005, 3),
    ratio=st.floats(0.3, 3),
    arms=st.integers(2, 8),
    seed=st.text(max_size=5),
)
def test_a_replicate_fills_its_budget_in_balanced_random_order(
    seconds: float,
    steps: int | str,
    lead_in: int,
    baseline_s: float,
    ratio: float,
    arms: int,
    seed: str,
) -> None:
    noise = random.Random(seed)
    schedule = plan(fixed(seconds, steps, lead_in), seed, arms)
    rounds = list(
        play(
            schedule,
            lead_in,
            lambda arm: baseline_s * (ratio if arm else 1) * math.exp(noise.gauss(0, 0.05)),
        )
    )
    pilot = [each for each in rounds if each[0].pilot]
    counted = [each for each in rounds if not each[0].pilot]
    assert rounds == pilot + counted  # the pilot comes first
    assert (len(pilot), len(counted)) == (schedule.pilot_rounds, schedule.counted_rounds)
    assert len(counted) >= LEAST_ROUNDS
    design = sorted(williams_design(arms))
    for begin in range(0, len(counted), len(design)):
        orders = [round_.order for round_, _ in counted[begin : begin + len(design)]]
        assert sorted(orders) == design  # whole designs, also at the end
    assert {round_.steps for round_, _ in counted} == {schedule.steps}
    spent = [sum(turn.seconds for turn in turns.values()) for _, turns in rounds]
    assert schedule.spent_s == pytest.approx(sum(spent))
    assert schedule.spent_s >= seconds
    if len(counted) - len(design) >= LEAST_ROUNDS:  # else the least number of rounds decided
        assert sum(spent[: -len(design)]) < seconds  # not a design more than needed
    if steps == "auto":
        assert schedule.steps in PILOT_LENGTHS
        # Lengths of the pilot that were begun are finished.
        assert sum(spent[: len(pilot)]) <= PILOT_SHARE * seconds * 1.7 + spent[0]
        for round_, turns in pilot:
            longest = max(turn.seconds for turn in turns.values())
            assert round_.steps == 1 or longest <= LONGEST_TURN_S * 1.4  # 5% of noise
    else:
        assert not pilot


def test_an_arm_that_leaves_has_no_further_turns_and_the_others_stay_balanced() -> None:
    schedule = plan(fixed(6, 1), "x", arms=4)
    orders = []
    for number, (round_, _) in enumerate(play(schedule, 1, lambda _: 0.01)):
        orders.append(round_.order)
        if number == 9:
            schedule.leave(2)
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders[:10])
    assert all(sorted(order) == [0, 1, 3] for order in orders[10:])
    design = [tuple((0, 1, 3)[place] for place in row) for row in williams_design(3)]
    assert sorted(orders[10:16]) == sorted(design)
    assert (len(orders) - 10) % len(design) == 0


def test_the_order_is_drawn_by_the_seed() -> None:
    def order(seed: str) -> list[bool]:
        return [
            round_.order[0] == 0 for round_, _ in play(plan(fixed(4, 1), seed), 1, lambda _: 0.01)
        ]

    assert order("roberta/0") == order("roberta/0")
    assert len({tuple(order(f"roberta/{replicate}")) for replicate in range(20)}) == 20
    firsts = [order(f"roberta/{replicate}")[0] for replicate in range(200)]
    assert 70 < sum(firsts) < 130


def _chosen(
    step_s: Callable[[random.Random], Callable[[int], float]], lead_in: int = 1
) -> list[int]:
    found = []
    for seed in range(60):
        schedule = plan(fixed(60, "auto", lead_in), str(seed))
        list(play(schedule, lead_in, step_s(random.Random(seed))))
        assert schedule.steps is not None
        found.append(schedule.steps)
    return found


def test_independent_noise_asks_for_long_turns_and_drift_for_short_ones() -> None:
    def white(draw: random.Random) -> Callable[[int], float]:
        return lambda _: 0.05 * math.exp(draw.gauss(0, 0.05))

    def drifting(draw: random.Random) -> Callable[[int], float]:
        level = [0.0]

        def step(_: int) -> float:
            level[0] = 0.97 * level[0] + draw.gauss(0, 0.05)
            return 0.05 * math.exp(level[0])

        return step

    # 60 pilots of 8 pairs each: a single one may err. After two steps of lead-in and in white
    # noise, turns of 8 have 5/12 of the variance that single steps have.
    assert fmean(_chosen(white, lead_in=2)) > 4
    assert fmean(_chosen(drifting, lead_in=2)) < 2


def test_without_lead_in_long_turns_have_no_advantage() -> None:
    def white(draw: random.Random) -> Callable[[int], float]:
        return lambda _: 0.05 * math.exp(draw.gauss(0, 0.05))

    assert fmean(_chosen(white, lead_in=0)) < 2.5


def test_no_room_for_a_pilot() -> None:
    """Half a second a step, 45 s: a third of the time goes to the lead-in, turns of 2 s at
    most.
    """
    schedule = plan(fixed(45, "auto"), "x")
    rounds = list(play(schedule, 1, lambda _: 0.5))
    assert schedule.steps == 2
    assert schedule.pilot_rounds == 1
    assert sum(t.seconds for _, turns in rounds for t in turns.values()) == pytest.approx(45, abs=6)


def test_steps_longer_than_a_turn_may_be_are_taken_one_by_one() -> None:
    schedule = plan(fixed(45, "auto"), "x")
    assert {round_.steps for round_, _ in play(schedule, 1, lambda _: 3.0)} == {1}
    assert schedule.counted_rounds == LEAST_ROUNDS


def test_predicted_variance_is_that_of_the_noisiest_pair() -> None:
    still, slow = MeasuredTurn([0.5], [1.0]), MeasuredTurn([0.5], [math.e, math.e])
    rounds = [
        {0: still, 1: still, 2: still},  # ln ratios 0 and 0, 4.5 s
        {0: slow, 1: MeasuredTurn([0.5], [1.0, 1.0]), 2: slow},  # 1 and 0, 4e + 3.5 s
    ]
    seconds = (4.5 + 4 * math.e + 3.5) / 2
    assert predicted_variance(rounds, [(0, 1)]) == pytest.approx(0.5 * seconds)
    assert predicted_variance(rounds, [(0, 2)]) == 0
    assert predicted_variance(rounds, [(0, 1), (0, 2)]) == pytest.approx(0.5 * seconds)
