"""When adaptive stopping stops, and what it says the target would take."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from property_support import examples
from runner_support import BASELINE, CANDIDATE, ended, make_job

from harness.planning.stopping import decide, times
from harness.runner.display import stopped
from harness.schema.measurement import Adaptive
from harness.schema.record import Engagement, JobRecord, Pair, State, Timing, TurnTimes
from harness.schema.stats import half_width_pp, log_ratios, mean_interval, needed_replicates

PAIR = Pair(workload="tiny", baseline=BASELINE, candidate=CANDIDATE)


def records(log_ratios: Sequence[float], wall_s: float = 60.0) -> list[JobRecord]:
    """Replicates whose baseline takes exp(ratio) times the candidate's second per step; end to end
    all alike.
    """
    found = []
    for replicate, ratio in enumerate(log_ratios):
        for arm, seconds in ((0, math.exp(ratio)), (1, 1.0)):
            timing = Timing(steady_step_s=seconds, train_runtime_s=10.0)
            found.append(ended(make_job(2 * replicate + arm), timing=timing, wall_s=wall_s))
    return found


def test_a_precise_pair_stops_at_the_minimum_and_not_before() -> None:
    found = records([0.30, 0.301, 0.299, 0.3, 0.3005, 0.2995])
    target = Adaptive(half_width_pp=0.5, min_replicates=4, max_replicates=40)
    assert not decide(target, [PAIR], found, 2).stop
    decision = decide(target, [PAIR], found, 4)
    (pair,) = decision.pairs
    assert decision.stop
    assert (pair.state, pair.replicates, pair.target_pp) == ("precision reached", 4, 0.5)
    assert pair.half_width_pp is not None
    assert pair.half_width_pp <= 0.5
    assert (pair.needed_replicates, pair.minutes) == (None, 8.0)


def test_half_width_is_that_of_the_throughput_gain() -> None:
    estimate = mean_interval([0.2, 0.3, 0.4])
    assert estimate.low is not None
    assert estimate.high is not None
    width = half_width_pp(estimate)
    assert width == pytest.approx(
        100 * (math.exp(estimate.high) - 1 - (math.exp(estimate.low) - 1)) / 2
    )


def test_noise_that_stays_ends_at_the_most_replicates_and_says_what_it_would_take() -> None:
    values = [0.0, 0.2, 0.1, 0.3, -0.1, 0.2]
    target = Adaptive(half_width_pp=1, min_replicates=2, max_replicates=6)
    assert not decide(target, [PAIR], records(values), 4).stop
    decision = decide(target, [PAIR], records(values), 6)
    (pair,) = decision.pairs
    assert decision.stop
    assert pair.state == "precision not reached"
    assert pair.needed_replicates is not None
    assert pair.needed_minutes == pytest.approx(pair.needed_replicates * 2.0)
    line = stopped(pair)
    assert line.startswith(
        "tiny: onnxruntime against pytorch: precision not reached after 6 replicates and 12 min: ±"
    )
    assert line.endswith(
        f"(target ±1 pp); it would take about {pair.needed_replicates} replicates, "
        f"{2 * pair.needed_replicates} min"
    )


def test_needed_replicates_of_a_textbook_case() -> None:
    # s = 0.01, mean 0: a half-width of 0.5 pp needs t(n-1) · 0.01 / √n ≤ 0.005; t(17) = 2.110,
    # t(16) = 2.120
    estimate = mean_interval([0.01 * math.sqrt(3 / 4) * sign for sign in (1, -1, 1, -1)])
    assert 2.110 * 0.01 / math.sqrt(18) <= 0.005 < 2.120 * 0.01 / math.sqrt(17)
    assert needed_replicates(estimate, 0.5) == 18
    assert needed_replicates(estimate, 0.5, at_least=30) == 30
    assert needed_replicates(estimate, 1e-9) is None, "more than anyone would make"
    assert needed_replicates(mean_interval([1.0]), 0.5) is None


@examples(60)
@given(
    st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=12).filter(
        lambda v: max(v) - min(v) > 1e-6
    ),
    st.floats(0.05, 20),
)
def test_needed_replicates_is_the_smallest_that_suffices(
    values: list[float], target_pp: float
) -> None:
    from scipy.stats import t

    estimate = mean_interval(values)
    needed = needed_replicates(estimate, target_pp)
    mean, deviation = (
        sum(values) / len(values),
        math.sqrt(sum((v - sum(values) / len(values)) ** 2 for v in values) / (len(values) - 1)),
    )

    def width(n: int) -> float:
        half = t.ppf(0.975, n - 1) * deviation / math.sqrt(n)
        return 100 * (math.exp(mean + half) - math.exp(mean - half)) / 2

    if needed is not None:
        assert width(needed) <= target_pp * (1 + 1e-6)
        assert needed == 2 or width(needed - 1) > target_pp * (1 - 1e-6)


def test_the_budget_is_the_wall_time_of_all_the_workloads_jobs() -> None:
    target = Adaptive(half_width_pp=0.1, min_replicates=2, max_replicates=40, budget_minutes=10)
    found = records([0.0, 0.2, 0.1, 0.3], wall_s=75)  # 10 minutes
    parity_run = ended(make_job(0).model_copy(update={"id": "t", "parity_run": True}), wall_s=1)
    assert not decide(target, [PAIR], found[:-1], 4).stop
    assert decide(target, [PAIR], [parity_run, *found], 4).stop
    assert decide(target, [PAIR], [parity_run, *found], 4).pairs[0].minutes == pytest.approx(
        10 + 1 / 60
    )
    assert not decide(target, [PAIR], [parity_run, *found], 2).stop, (
        "a look counts what was there at the time"
    )


def test_every_pair_of_the_workload_must_be_precise() -> None:
    third = [
        record.model_copy(
            update={
                "arm": record.arm.model_copy(update={"name": "other"}),
                "id": f"o{record.id}",
                "timing": timing,
            }
        )
        for record, timing in zip(
            records([0.1] * 4)[::2],
            [Timing(steady_step_s=s) for s in (1.0, 1.5, 0.7, 1.2)],
            strict=True,
        )
    ]
    other = Pair(workload="tiny", baseline=BASELINE, candidate="other")
    target = Adaptive(half_width_pp=0.5, min_replicates=4, max_replicates=40)
    found = [*records([0.1] * 4), *third]
    assert decide(target, [PAIR], found, 4).stop
    decision = decide(target, [PAIR, other], found, 4)
    assert not decision.stop
    assert [pair.state for pair in decision.pairs] == ["precision reached", "precision not reached"]


def test_a_pair_that_never_works_is_not_waited_for() -> None:
    found = [
        record.model_copy(update={"state": State.FALLBACK})
        if record.arm.name == CANDIDATE
        else record
        for record in records([0.1] * 8)
    ]
    target = Adaptive(half_width_pp=0.5, min_replicates=4, max_replicates=40)
    assert not decide(target, [PAIR], found, 2).stop
    decision = decide(target, [PAIR], found, 4)
    assert decision.stop
    assert (decision.pairs[0].replicates, decision.pairs[0].half_width_pp) == (0, None)
    assert "no interval" in stopped(decision.pairs[0])


def log_ratios_of(found: Sequence[JobRecord], measure: str) -> list[float]:
    return log_ratios([replicate[0] for replicate in times(PAIR, found, measure)])


def test_the_measure_is_chosen_and_the_last_attempt_counts() -> None:
    found = records([0.1, 0.2])
    assert log_ratios_of(found, "steady_state") == pytest.approx([0.1, 0.2])
    assert log_ratios_of(found, "end_to_end") == [0.0, 0.0]
    again = found[0].model_copy(
        update={"timing": Timing(steady_step_s=math.exp(0.5)), "attempt": 2}
    )
    assert log_ratios_of([*found, again], "steady_state") == pytest.approx([0.5, 0.2])
    bad = found[0].model_copy(update={"state": State.CONTAMINATED, "attempt": 2})
    assert log_ratios_of([*found, bad], "steady_state") == pytest.approx([0.2])


def test_turns_of_a_group_are_compared_round_by_round() -> None:
    """Rounds share what the host did, and a third arm is nobody's business; jobs of a group take
    the time of one.
    """
    group = [BASELINE, CANDIDATE, "third"]
    shared = [1.0, 1.3, 0.8, 1.1] * 6
    found = []
    for replicate in range(2):
        for arm, factor in ((0, 1.2), (1, 1.0)):
            step_s = [factor * slow for slow in shared]
            turns = TurnTimes(lead_in_steps=1, steps=[2] * len(shared), step_s=step_s, pilot=4)
            record = ended(make_job(2 * replicate + arm), wall_s=90.0)
            found.append(record.model_copy(update={"turns": turns, "group": group}))
    target = Adaptive(half_width_pp=0.5, min_replicates=2, max_replicates=8)
    decision = decide(target, [PAIR], found, 2)
    (pair,) = decision.pairs
    assert decision.stop
    assert (pair.state, pair.replicates) == ("precision reached", 2)
    assert pair.half_width_pp == pytest.approx(0, abs=1e-9)
    assert pair.minutes == pytest.approx(4 * 90 / 3 / 60)
    assert times(PAIR, found, "steady_state")[0] == [
        (pytest.approx(2.4 * slow), pytest.approx(2 * slow)) for slow in shared[4:]
    ]
    # Replicates of another group are not looked at.
    assert decide(target, [PAIR], found, 2, first=2).pairs[0].replicates == 0


def test_a_precise_answer_costs_fewer_replicates_than_a_noisy_one() -> None:
    """Looks every two replicates at seeded noise: how many are spent follows the noise."""
    draw = random.Random(4)
    target = Adaptive(half_width_pp=1.0, min_replicates=4, max_replicates=40)
    spent = []
    for deviation in (0.002, 0.01, 0.02, 0.2):
        found = records([0.2 + draw.gauss(0, deviation) for _ in range(40)])
        spent.append(next(n for n in range(2, 41, 2) if decide(target, [PAIR], found, n).stop))
    assert spent == sorted(spent)
    assert (spent[0], spent[-1]) == (4, 40)


def compiled_records(log_ratios: Sequence[float], graphs: Sequence[int | None]) -> list[JobRecord]:
    """The records of `records`, the candidate of each replicate having compiled so many graphs of
    those that its arm keeps.
    """
    found = []
    for record in records(log_ratios):
        if record.arm.name == CANDIDATE:
            engagement = Engagement(engaged=True, graphs_not_in_cache=graphs[record.replicate])
            arm = record.arm.replace(options={"compile_cache": True})
            record = record.replace(arm=arm, engagement=engagement)
        found.append(record)
    return found


def test_a_replicate_that_compiled_anew_is_not_waited_to_agree_with_the_others() -> None:
    values = [0.10, 0.301, 0.300, 0.2995, 0.3005]
    found = compiled_records(values, [2, 0, 0, 0, 0])
    target = Adaptive(half_width_pp=0.5, min_replicates=4, max_replicates=40)
    assert not decide(target, [PAIR], found, 4).stop  # three count
    decision = decide(target, [PAIR], found, 5)
    (pair,) = decision.pairs
    assert (decision.stop, pair.state, pair.replicates) == (True, "precision reached", 4)
    estimate = mean_interval(values[1:])
    assert pair.half_width_pp == pytest.approx(half_width_pp(estimate))
    ratios = [math.log(a / b) for ((a, b),) in times(PAIR, found, "steady_state")]
    assert ratios == pytest.approx(values[1:])


def test_replicates_that_are_all_cold_are_looked_at_like_any_others() -> None:
    values = [0.30, 0.301, 0.299]
    for graphs in ([2, 2, 2], [0, 0, 0]):
        assert len(times(PAIR, compiled_records(values, graphs), "steady_state")) == 3
    first = compiled_records(values[:1], [2])
    assert len(times(PAIR, first, "steady_state")) == 1


def test_of_old_records_the_first_replicate_in_turns_is_the_cold_one() -> None:
    alone = compiled_records([0.1, 0.3, 0.3], [None] * 3)
    assert len(times(PAIR, alone, "steady_state")) == 3
    in_turns = [record.replace(group=[BASELINE, CANDIDATE]) for record in alone]
    assert len(times(PAIR, in_turns, "steady_state")) == 2
