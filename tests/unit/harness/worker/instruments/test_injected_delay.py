"""The injected delay, which measures how long it really slept."""

from __future__ import annotations

import time

import pytest

from harness.worker.instruments.injected_delay import InjectedDelay


def test_the_sleep_is_measured_not_assumed() -> None:
    delay = InjectedDelay(0.01)
    collate = delay.before(list)
    begin = time.perf_counter()
    batches = [collate((number, number)) for number in range(3)]
    seconds = time.perf_counter() - begin
    assert batches == [[0, 0], [1, 1], [2, 2]]
    assert 0.03 <= delay.slept_s <= seconds
    assert delay.mean_s == pytest.approx(delay.slept_s / 3)


def test_an_arm_without_a_delay_collates_as_it_is() -> None:
    delay = InjectedDelay(0.0)
    assert delay.before(list) is list
    assert delay.mean_s is None
