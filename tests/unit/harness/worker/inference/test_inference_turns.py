"""Two engines in turns: the order of turns, what is timed, what drift does to it. No engine, no
clock of the host.
"""

from __future__ import annotations

import math

import pytest

from harness.worker.inference.turns import (
    LEAD_IN_S,
    LEAST_PAIRS,
    MOST_TURN_BATCHES,
    WARM_UP,
    Alternation,
    summarise,
)


class Bench:
    """A clock that engines move on: batch i of engine e takes `seconds[e] · (1 + drift · now)`."""

    def __init__(self, seconds: tuple[float, float], drift: float = 0.0) -> None:
        self.seconds, self.drift, self.now = seconds, drift, 0.0
        self.calls: list[tuple[int, int]] = []

    def engine(self, which: int):
        def run(batch: int) -> None:
            self.calls.append((which, batch))
            self.now += self.seconds[which] * (1 + self.drift * self.now)

        return run

    def alternate(self, batches: int, seconds: float, first: int = 0):
        engines = self.engine(0), self.engine(1)
        return Alternation(engines, range(batches), lambda: self.now).run(seconds, first)


@pytest.mark.parametrize("first", [0, 1])
def test_turns_come_in_the_order_a_b_b_a(first: int) -> None:
    bench = Bench((1.0, 0.5))
    turns = bench.alternate(3, 12, first)
    assert turns.batches == 1
    assert len(turns.seconds[0]) == len(turns.seconds[1]) == LEAST_PAIRS == 4
    # Two equal letters in a row are two turns, each with its lead-in batch before the timed one.
    a, b = first, 1 - first
    order = [engine for engine, _ in bench.calls[4 * WARM_UP :: 2]]
    assert order == [a, b, b, a, a, b, b, a]
    assert turns.seconds == ([1.0] * 4, [0.5] * 4)


def test_both_engines_are_timed_on_the_same_batches() -> None:
    bench = Bench((1 / 32, 1 / 64))
    bench.alternate(7, 0.1)
    timed: dict[int, list[int]] = {0: [], 1: []}
    at = 4 * WARM_UP
    size = 2  # two of the slower engine's batches are 50 ms and more
    for index in range(2 * LEAST_PAIRS):
        engine = bench.calls[at][0]
        lead_in = math.ceil(LEAD_IN_S / bench.seconds[engine])
        timed[engine] += [batch for _, batch in bench.calls[at + lead_in : at + lead_in + size]]
        at += lead_in + size
        assert index or engine == 0
    assert timed[0] == timed[1] == [index % 7 for index in range(LEAST_PAIRS * size)]


def test_short_batches_make_long_turns_and_the_time_is_kept() -> None:
    bench = Bench((1e-4, 2e-4))
    turns = bench.alternate(64, 3.0)
    assert turns.batches == MOST_TURN_BATCHES
    assert len(turns.seconds[0]) == len(turns.seconds[1])
    assert len(turns.seconds[0]) % (2 * MOST_TURN_BATCHES) == 0  # whole rounds of A B B A
    assert 2.5 < bench.now < 3.5


def test_linear_drift_hits_both_alike() -> None:
    bench = Bench((1e-3, 1e-3), drift=0.05)  # 5% slower every second
    one, other = (math.fsum(seconds) for seconds in bench.alternate(10, 4.0).seconds)
    assert abs(math.log(one / other)) < 1e-4
    assert max(bench.alternate(10, 1.0).seconds[0]) > 1.15e-3  # there was a drift to take out


def test_the_summary_by_hand() -> None:
    times = summarise([0.1, 0.2, 0.3, 0.4, 1.0], batch_size=8)
    assert times.mean_s == pytest.approx(0.4)
    assert times.p50_s == pytest.approx(0.3)
    assert times.p95_s == pytest.approx(0.4 + 0.8 * 0.6)  # position 0.95 · 4 = 3.8
    assert times.samples_per_s == pytest.approx(20)
