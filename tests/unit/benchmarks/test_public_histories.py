"""The scoring on real histories: a tally by hand, and the committed figures."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from folders import ROOT
from script_support import load_script

from report.regressions.rehearsal import Noise
from report.regressions.thresholds import CheckConfig, Thresholds

FOLDER = ROOT / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    return load_script(FOLDER / "public_histories.py")


@pytest.fixture(scope="module")
def committed():
    return json.loads((FOLDER / "public_histories.json").read_text())


def row_of(committed, method: str, half: str) -> dict:
    (row,) = (row for row in committed["rows"] if (row["method"], row["half"]) == (method, half))
    return row


def test_the_committed_figures_are_of_the_thresholds_in_use(committed) -> None:
    assert committed["thresholds"] == CheckConfig().thresholds.model_dump()
    assert committed["settings"]["series"] == 67


def test_with_a_second_run_the_goals_are_met(committed) -> None:
    row = row_of(committed, "report check, second run", "all")
    assert row["changes"] == 149
    assert row["false_alarms"] / row["months"] <= 0.15
    found = [row["within"][nights] for nights in ("1", "2", "5")]
    assert found[0] >= 112
    assert found[1] >= 124
    assert found[2] >= 140
    assert row["missed"] <= 4


@pytest.mark.parametrize("nights", ["", ", 8 nights", ", 15 nights"])
def test_without_a_second_run_it_is_better_than_otava_in_every_column(
    committed, nights: str
) -> None:
    version = committed["settings"]["otava"]
    ours = row_of(committed, "report check", "all")
    otava = row_of(committed, f"Otava {version}{nights}", "all")
    assert ours["false_alarms_per_series_and_month"] < otava["false_alarms_per_series_and_month"]
    assert ours["missed"] < otava["missed"]
    for within in ("1", "2", "5"):
        assert ours["within"][within] > otava["within"][within]


def test_halves_add_up(committed) -> None:
    for method in {row["method"] for row in committed["rows"]}:
        tuned, other, whole = (
            row_of(committed, method, half) for half in ("tuned half", "other half", "all")
        )
        for key in ("series", "false_alarms", "changes", "missed"):
            assert tuned[key] + other[key] == whole[key]


def test_a_tally_by_hand(benchmark) -> None:
    """100 nights, slower from night 30 and faster from night 40 on, an ambiguous stretch at 85."""
    history = benchmark.History(0, [1.0] * 100, [(30, 1), (40, -1)], [(85, 90)])
    claims: list = [None] * 100
    claims[22] = (1, 22)  # false, and told twice
    claims[23] = (1, 22)
    claims[24] = (-1, 24)  # another one: its sign is new
    claims[31] = (1, 30)  # found on the second night
    claims[42] = (-1, 36)  # dated too early
    claims[43] = (-1, 38)  # found on the fourth
    claims[83] = (1, 60)  # dated on a night that is not stable
    claims[86] = (1, 86)  # ambiguous
    found = benchmark.tally(history, claims)
    stable = [*range(20, 29), *range(80, 85)]
    assert np.flatnonzero(history.stable()).tolist() == stable
    assert (found.false_alarms, found.months) == (2, len(stable) / 30)
    assert (found.changes, found.within, found.missed) == (2, (0, 1, 2), 0)


def test_a_change_is_missed_once_the_next_one_is_there(benchmark) -> None:
    history = benchmark.History(0, [1.0] * 60, [(30, 1), (35, -1)], [])
    claims: list = [None] * 60
    claims[35] = (1, 30)
    assert benchmark.tally(history, claims).missed == 2


def test_a_series_is_judged_as_check_does(benchmark) -> None:
    seconds = np.exp(0.003 * np.random.default_rng(0).standard_normal(60))
    seconds[40:] *= 1.1
    history = benchmark.History(0, seconds.tolist(), [(40, 1)], [])
    for second_run in (False, True):
        found = benchmark.tally(history, benchmark.claims_of(history, Thresholds(), second_run))
        assert (found.false_alarms, found.within, found.missed) == (0, (1, 1, 1), 0)


def test_the_page_shows_the_committed_figures(benchmark, committed) -> None:
    page = (ROOT / "docs" / "nightly.md").read_text()
    shown = [row for row in committed["rows"] if " nights" not in row["method"]]
    assert len(shown) == 9
    assert benchmark.printed(shown) in page


def test_the_page_shows_what_is_told_of_injected_causes() -> None:
    causes = load_script(FOLDER / "causes.py")
    content = json.loads((FOLDER / "causes.json").read_text())
    assert content["thresholds"] == CheckConfig().thresholds.model_dump()
    page = (ROOT / "docs" / "nightly.md").read_text()
    told = {cause: Counter(row) for cause, row in content["tables"][0]["told"].items()}
    assert all(sum(row.values()) == 1000 for row in told.values())
    assert causes.printed(told) in page
    shares = [table["share"] for table in content["tables"]]
    assert f"{shares[0]:.1%} name the cause; by 10% {shares[1]:.1%} do" in page
    for table in content["tables"]:
        assert causes.right({k: Counter(v) for k, v in table["told"].items()})[
            "share"
        ] == pytest.approx(table["share"])


def test_an_injected_cause_is_told() -> None:
    """By 10% in quiet nights every cause is named; nothing is told of nothing."""
    causes = load_script(FOLDER / "causes.py")
    residuals = 0.004 * np.random.default_rng(0).standard_normal((50, 2))
    told = causes.score(Noise("nights", residuals), 0.10, 4, 0, Thresholds())
    assert {cause: dict(row) for cause, row in told.items()} == {
        cause: {cause: 4} for cause in causes.INJECTED
    }
