"""What alarms are worth: the committed figures meet their targets, and a small simulation agrees
with them.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from folders import ROOT
from scipy.stats import binomtest
from script_support import load_script

from report.regressions.rehearsal import binomial_interval, new_alarms, walk
from report.regressions.thresholds import CheckConfig, Thresholds

FOLDER = ROOT / "benchmarks"
TARGETS = 9


@pytest.fixture(scope="module")
def benchmark():
    return load_script(FOLDER / "false_alarms.py")


@pytest.fixture(scope="module")
def committed():
    return json.loads((FOLDER / "false_alarms.json").read_text())


def test_the_committed_figures_are_of_the_thresholds_in_use_and_meet_their_targets(
    committed,
) -> None:
    assert committed["thresholds"] == CheckConfig().thresholds.model_dump()
    with_target = [row for row in committed["rows"] if row["target"] is not None]
    assert len(with_target) == TARGETS
    for row in with_target:
        assert row["met"], row["what"]
        assert row["value"] >= row["target"] if row["power"] else row["value"] <= row["target"]


def test_a_small_simulation_agrees(benchmark, committed) -> None:
    """Intervals of both overlap: 150 series of another seed."""
    rows = benchmark.simulate(150, 7, CheckConfig().thresholds)
    by_name = {row["what"]: row for row in committed["rows"]}
    assert [row.what for row in rows] == list(by_name)
    apart = [
        row.what
        for row in rows
        if row.high < by_name[row.what]["low"] or by_name[row.what]["high"] < row.low
    ]
    assert len(apart) <= 1  # of 23 intervals at 95% each


def test_it_can_miss_its_targets(benchmark) -> None:
    """Deaf thresholds see no step, nervous ones see ghosts."""
    deaf = benchmark.simulate(60, 0, Thresholds(sigmas=9, sigmas_long=9, sigmas_alone=9))
    assert [row.met for row in deaf if row.power and row.target].count(False) >= 2
    nervous = benchmark.simulate(
        60,
        0,
        Thresholds(sigmas=1, sigmas_long=1, sigmas_again=0.2, least_change_percent=0.1),
    )
    assert not next(row for row in nervous if row.target == 0.01).met
    assert "MISSED" in benchmark.printed(nervous)


def test_an_alarm_is_new_once() -> None:
    alarms = np.array([[0, 1, 1, 0, 1], [0, 0, 0, 0, 0], [1, -1, -1, 0, 0]])
    assert new_alarms(alarms) == 4


def test_the_walk_sees_only_the_past() -> None:
    first = np.exp(0.005 * np.random.default_rng(0).standard_normal((5, 40)))
    spoilt = first.copy()
    spoilt[:, 30:] *= 2
    nights = range(10, 30)
    for one, other in zip(
        walk(first, first, Thresholds(), nights),
        walk(spoilt, spoilt, Thresholds(), nights),
        strict=True,
    ):
        assert (one == other).all()


@pytest.mark.parametrize(("found", "of"), [(0, 10), (10, 10), (3, 40), (600, 30000)])
def test_binomial_interval_is_the_exact_one(found: int, of: int) -> None:
    exact = binomtest(found, of).proportion_ci(0.95, "exact")
    assert binomial_interval(found, of) == pytest.approx((exact.low, exact.high))


def test_the_cross_check_with_otava_agrees_within_a_night() -> None:
    """What is committed: on every known history both mark the same changes, and neither marks one
    that is not there.
    """
    content = json.loads((FOLDER / "otava_crosscheck.json").read_text())
    assert len(content["rows"]) == 6
    for row in content["rows"]:
        ours = [int(mark.split()[0]) for mark in row["report"]]
        arms = sorted(
            {
                int(mark.split()[0])
                for key in ("otava_baseline", "otava_candidate")
                for mark in row[key]
            }
        )
        assert len(ours) == len(arms), row["history"]
        assert all(abs(one - other) <= 1 for one, other in zip(ours, arms, strict=True)), row[
            "history"
        ]
