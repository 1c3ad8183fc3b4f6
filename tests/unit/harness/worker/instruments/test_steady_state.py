"""Where the warm-up ends: synthetic step times of known beginnings, and step times as recorded.

Noise is as recorded on an H100: means of 10 steps scatter by 9%, with a lag-1 autocorrelation of
0.4; 1% of steps are 2 to 5 times as slow as the others.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from folders import RESULTS

from harness.worker.instruments.steady_state import LEAST_STEPS, Steady, find_steady

MINIMUM = 10
RUNS = (  # by name: a run committed later must not decide whether this test passes
    "aa-smoke-20261123-125913",
    "aa-smoke-20261123-130234",
    "glue-sst2-blocks-20261123-055615",
    "glue-sst2-blocks-20261123-084909",
    "glue-sst2-steady-20261123-003540",
    "glue-sst2-steady-20261123-021821",
    "glue-sst2-steady-20261123-024907",
    "smoke-20261123-012757",
)
Shape = Callable[
    [np.ndarray], np.ndarray
]  # step number from 0, counted from the minimum on -> factor


def steps(
    count: int, seed: int, shape: Shape = np.ones_like, block_sd: float = 0.09, lag1: float = 0.4
) -> list[float]:
    """Seconds of `count` steps; those up to the minimum are 3 times as slow, as only the minimum
    may cut them.
    """
    rng = np.random.default_rng(seed)
    blocks = rng.standard_normal(count // 10 + 1)
    for i in range(1, len(blocks)):
        blocks[i] = lag1 * blocks[i - 1] + np.sqrt(1 - lag1**2) * blocks[i]
    step_sd = 0.12
    noise = np.sqrt(block_sd**2 - step_sd**2 / 10) * np.repeat(blocks, 10)[
        :count
    ] + step_sd * rng.standard_normal(count)
    slow = rng.random(count) < 0.01
    noise[slow] += np.log(rng.uniform(2, 5, slow.sum()))
    factor = np.concatenate([np.full(MINIMUM, 3.0), shape(np.arange(count - MINIMUM, dtype=float))])
    return list(0.046 * factor * np.exp(noise))


def found(
    count: int, shape: Shape = np.ones_like, seeds: int = 100, lag1: float = 0.4
) -> list[Steady]:
    return [find_steady(steps(count, seed, shape, lag1=lag1), MINIMUM) for seed in range(seeds)]


@pytest.mark.parametrize("count", [90, 200, 1000, 3000])
def test_noise_alone_is_rarely_cut_and_settles(count):
    results = found(count, seeds=200)
    false_cuts = sum(result.settled is True and result.begin > MINIMUM + 1 for result in results)
    assert false_cuts <= 0.1 * len(results)
    assert sum(result.settled is False for result in results) <= 0.08 * len(results)


def test_even_strongly_autocorrelated_noise_seldom_keeps_a_job_from_settling():
    results = found(3000, lag1=0.8)
    assert sum(result.settled is False for result in results) <= 5
    assert (
        np.mean([result.begin for result in results]) < 0.05 * 3000
    )  # what is cut in vain is little


@pytest.mark.parametrize(("count", "settled"), [(200, 0.8), (1000, 0.95), (3000, 0.95)])
def test_a_decaying_warm_up_is_cut_and_little_more(count, settled):
    def decay(k):
        return 1 + 2 * np.exp(-k / 25)  # 50 steps' time too much in all

    results = found(count, decay)
    assert np.mean([result.settled is True for result in results]) >= settled
    begins = np.array([result.begin for result in results if result.settled])
    left = [
        decay(np.arange(begin - MINIMUM - 1, 10_000.0)).sum() - (10_000 - begin + MINIMUM + 1)
        for begin in begins
    ]
    assert np.mean(left) < 12  # steps' time of 50, on average
    assert np.percentile(begins, 90) < MINIMUM + 150


@pytest.mark.parametrize(("count", "share"), [(300, 0.3), (1000, 0.2), (3000, 0.05), (3000, 0.4)])
def test_a_step_change_is_found_where_it_is(count, share):
    border = share * (count - MINIMUM)
    results = found(count, lambda k: np.where(k < border, 1.5, 1.0))
    begins = np.array([result.begin for result in results])
    assert np.mean([result.settled is True for result in results]) >= 0.9
    near = np.abs(begins - (MINIMUM + 1 + border)) <= 0.03 * count
    assert near.mean() >= 0.85


def test_steps_that_grow_slower_are_a_warm_up_too():
    results = found(
        1000, lambda k: np.where(k < 200, 0.75, 1.0)
    )  # a card that throttles once it is warm
    assert np.mean([abs(result.begin - 211) <= 30 for result in results]) >= 0.85


@pytest.mark.parametrize(
    "shape",
    [
        lambda k: 1 + 0.6 * k / k[-1],
        lambda k: 1.6 - 0.6 * k / k[-1],
        lambda k: np.where(k < 0.7 * k[-1], 1.5, 1),
    ],
)
def test_a_job_that_never_settles_says_so_and_loses_only_the_minimum(shape):
    results = found(1000, shape)
    unsettled = [result for result in results if result.settled is False]
    assert len(unsettled) >= 0.8 * len(results)
    assert {result.begin for result in unsettled} == {MINIMUM + 1}


def test_single_slow_steps_move_nothing():
    rng = np.random.default_rng(0)
    durations = list(0.05 + 0.0005 * rng.standard_normal(500))
    for k in (12, 13, 60, 300, 498):
        durations[k] *= 100
    assert find_steady(durations, MINIMUM) == Steady(MINIMUM + 1, True)


def test_few_steps():
    assert find_steady([], MINIMUM) == Steady(None, None)
    assert find_steady([1.0] * (MINIMUM + 1), MINIMUM) == Steady(None, None)
    assert find_steady([1.0] * (MINIMUM + 2), MINIMUM) == Steady(MINIMUM + 1, None)
    assert find_steady([1.0] * (MINIMUM + LEAST_STEPS - 1), MINIMUM) == Steady(MINIMUM + 1, None)
    assert find_steady([1.0] * (MINIMUM + LEAST_STEPS), MINIMUM) == Steady(MINIMUM + 1, True)


def test_a_change_without_any_noise():
    assert find_steady([2.0] * (MINIMUM + 50) + [1.0] * 200, MINIMUM) == Steady(MINIMUM + 51, True)


def test_the_unit_of_time_does_not_matter():
    durations = steps(700, 3, lambda k: 1 + np.exp(-k / 40))
    assert find_steady([d * 1024 for d in durations], MINIMUM) == find_steady(durations, MINIMUM)


def test_a_long_job_takes_no_time():
    durations = steps(100_000, 0)
    began = time.process_time()
    assert find_steady(durations, MINIMUM).settled is True
    assert time.process_time() - began < 1.0


def test_recorded_jobs_settle():
    """Step times of committed runs, of an H100 and of a CPU host: hardly any has a warm-up past the
    minimum of 10.

    Not those of jobs that took turns: both warm up at once, each at the speed of half a GPU, and
    the gate says which steps count, not this test.
    """
    from pyarrow import parquet

    records = [
        (RESULTS / run, json.loads(line))
        for run in RUNS
        for line in (RESULTS / run / "jobs.jsonl").open()
    ]
    names = [
        run / record["series"]
        for run, record in records
        if record["series"] and not record.get("blocks")
    ]
    assert len(names) >= 40
    kinds: Counter[object] = Counter()
    for name in names:
        durations = parquet.read_table(name)["duration_s"].to_pylist()
        result = find_steady(durations, MINIMUM)
        if len(durations) <= MINIMUM:  # parity runs
            assert result == Steady(None, None)
        elif len(durations) < MINIMUM + LEAST_STEPS:
            assert result == Steady(MINIMUM + 1, None)
        else:
            assert 0 <= result.begin - 1 - MINIMUM <= (len(durations) - MINIMUM) / 2
            kinds["cut" if result.begin > MINIMUM + 1 else result.settled] += 1
    assert kinds["cut"] + kinds[False] <= 0.1 * kinds.total()
    assert kinds[True] >= 25
