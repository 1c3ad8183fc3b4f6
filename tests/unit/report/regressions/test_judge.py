"""A pair's night judged: what is no time, nights that are missing, hosts that flip, causes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from history_support import noisy, points

from harness.schema.verdict import Point
from report.regressions.judge import judge
from report.regressions.thresholds import Thresholds

THRESHOLDS = Thresholds()


def with_time(nights: list[Point], place: int, candidate_s: float) -> list[Point]:
    changed = list(nights)
    changed[place] = nights[place].model_copy(update={"candidate_s": candidate_s})
    return changed


@pytest.mark.parametrize("wrong", [0.0, -0.4, math.nan, math.inf])
def test_a_night_without_a_time_is_no_night(wrong: float) -> None:
    nights = points(noisy(30))
    tonight = judge(with_time(nights, -1, wrong), THRESHOLDS)
    assert (tonight.state, tonight.alarm) == ("missing", False)
    assert "not above 0 and finite" in tonight.reason
    earlier = judge(with_time(nights, 7, wrong), THRESHOLDS)
    assert earlier.state == "steady"
    assert "left out: 1 night without a time above 0" in earlier.reason
    alone = judge(with_time(nights[:2], 0, wrong), THRESHOLDS)
    assert alone.state == "not enough nights"
    slower = points(np.vstack([noisy(30), [[1, 1.1]]]))
    unconfirmed = judge(slower, THRESHOLDS, with_time(slower, -1, wrong)[-1])
    assert (unconfirmed.state, unconfirmed.confirmed) == ("regression", None)


def test_equal_nights_are_steady_and_a_change_of_them_is_told() -> None:
    equal = np.ones((30, 2))
    assert judge(points(equal), THRESHOLDS).state == "steady"
    equal[-1, 1] = 1.02
    assert judge(points(equal), THRESHOLDS).state == "regression"


def test_the_age_of_the_level_before_is_said_where_nights_are_missing() -> None:
    nights = points(noisy(30))
    assert "days before tonight" not in judge(nights, THRESHOLDS).reason
    later = nights[-1].model_copy(update={"created_at": "2026-03-05T02:00:00+00:00"})
    reason = judge([*nights[:-1], later], THRESHOLDS).reason
    assert (
        "these nights are of 2026-01-01 to 2026-01-29, the last of them 35 days before tonight"
        in reason
    )
    undated = [night.model_copy(update={"created_at": "some day"}) for night in nights]
    assert judge(undated, THRESHOLDS).state == "steady"


def test_a_host_that_flips_says_so_and_of_what_lies_between_its_levels_nothing() -> None:
    factors = noisy(48, 0.003)
    for begin in range(7, 48, 14):
        factors[begin : begin + 7, 1] *= 1.06
    found = judge(points(factors), THRESHOLDS)
    assert found.state == "watch"
    assert found.flips == "candidate's time flips between 400.3 ms and 424.3 ms"
    assert found.reason.startswith(found.flips)
    factors[-2:, 1] *= 1.3
    assert judge(points(factors), THRESHOLDS).state == "regression"


def test_the_level_before_is_dated() -> None:
    factors = noisy(40)
    factors[20:, 1] *= 1.2
    factors[37:, 1] *= 1.1
    found = judge(points(factors), THRESHOLDS)
    assert (found.state, found.tail) == ("regression", 3)
    assert found.level is not None
    first, last = found.level
    assert (first.run, last.run) == ("night-020", "night-036")


def test_both_runs_say_who_moved() -> None:
    """The first run of the baseline is 4% slow by chance, its second run is not."""
    factors = np.vstack([noisy(30, 0.004), [[1.04, 1.1]]])
    nights = points(factors)
    again = points(np.array([[1.0, 1.1]]))[0]
    assert judge(nights, THRESHOLDS, again).cause == "candidate regressed"
