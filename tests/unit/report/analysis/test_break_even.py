"""The break-even step against values worked out by hand, Fieller's interval against its definition
and a simulation.
"""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from property_support import examples
from report_factory import make_job, make_run

from harness.schema.record import Timing
from harness.schema.stats import t_quantile
from report.analysis.break_even import BreakEven, break_even
from report.tables.registry import build
from report.tables.table import raw

seconds = st.floats(0.01, 100)
replicate = st.tuples(seconds, seconds, seconds, seconds)


def test_the_step_by_hand() -> None:
    # Set-up 2 s and 9 s, steps of 0.05 s and 0.03 s: 7 s longer, 0.02 s saved a step: repaid after
    # 350 more steps than the first, which is in the set-up. Check: 2 + 350 · 0.05 = 19.5 = 9 + 350
    # · 0.03.
    found = break_even([(2.0, 9.0, 0.05, 0.03)])
    assert found.step == pytest.approx(351)
    assert (found.low, found.high) == (None, None)
    assert str(BreakEven(1, 351.0)) == "351"


def test_the_interval_by_hand() -> None:
    # ΔS = 6 and 8, Δt = 0.02 in both: Δt has no variance, so it is Student's interval of ΔS over
    # 0.02: 7 ± 12.7062 · √2/√2 = 7 ± 12.7062 -> from −5.7062 (no step: 1) to 19.7062/0.02 + 1 =
    # 986.31.
    found = break_even([(2.0, 8.0, 0.05, 0.03), (2.0, 10.0, 0.05, 0.03)])
    assert found.step == pytest.approx(351)
    assert found.low == 1
    assert found.high == pytest.approx(986.31, abs=0.01)
    assert str(found) == "351 (1 to 987)"


def test_a_candidate_that_is_not_faster_never_repays() -> None:
    found = break_even([(2.0, 9.0, 0.03, 0.05), (2.1, 9.0, 0.03, 0.05)])
    assert (found.step, found.low, found.high) == (math.inf, math.inf, math.inf)
    assert str(found) == "never"
    assert str(break_even([(2.0, 9.0, 0.03, 0.03)])) == "never"
    # A loss that may be a gain: the interval says from where on it might.
    open_ended = break_even(
        [(2.0, 9.0, 0.030, 0.031), (2.0, 9.1, 0.031, 0.030), (2.0, 9.2, 0.030, 0.031)]
    )
    assert open_ended.high == math.inf
    assert str(open_ended).startswith("never (or from ")


def test_a_shorter_set_up_and_faster_steps_are_ahead_at_once() -> None:
    found = break_even([(9.0, 2.0, 0.05, 0.03), (9.1, 2.0, 0.05, 0.03)])
    assert (found.step, found.low) == (1, 1)
    assert str(found) == "first step"


def test_a_saving_that_is_not_significant_has_no_upper_end() -> None:
    found = break_even(
        [(2.0, 9.0, 0.050, 0.030), (2.0, 9.2, 0.050, 0.052), (2.0, 9.1, 0.050, 0.040)]
    )
    assert found.low is not None
    assert 1 < found.low < found.step < math.inf
    assert found.high == math.inf
    assert str(found).endswith("to ∞)")


def test_nothing_has_no_break_even() -> None:
    with pytest.raises(ValueError, match="no replicates"):
        break_even([])


@given(st.lists(replicate, min_size=2, max_size=8))
def test_the_interval_holds_the_step(replicates: list[tuple[float, float, float, float]]) -> None:
    found = break_even(replicates)
    assert found.low is not None
    assert found.high is not None
    assert 1 <= found.low <= found.high
    if math.isfinite(found.step):
        assert found.low <= found.step * (1 + 1e-6)
        assert found.step <= found.high * (1 + 1e-6)


@given(st.lists(replicate, min_size=2, max_size=8))
def test_the_ends_are_where_the_definition_puts_them(
    replicates: list[tuple[float, float, float, float]],
) -> None:
    """At a limit θ, ΔS − θ·Δt of the replicates is on the border of differing from 0 at the 95%
    level.
    """
    found = break_even(replicates)
    for end in (found.low, found.high):
        if end is None or end <= 1 or not 1e-6 < end - 1 < 1e6:
            continue
        values = [(s_c - s_b) - (end - 1) * (t_b - t_c) for s_b, s_c, t_b, t_c in replicates]
        mean = math.fsum(values) / len(values)
        spread = math.sqrt(
            math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values)
        )
        # Equal replicates cancel to nothing at the limit: what is left is the rounding of what was
        # subtracted.
        scale = (
            max(
                max(abs(s_c - s_b), (end - 1) * abs(t_b - t_c)) for s_b, s_c, t_b, t_c in replicates
            )
            + 1e-6
        )
        assert abs(mean) == pytest.approx(t_quantile(len(values) - 1) * spread, abs=1e-4 * scale)


@examples(30)
@given(st.lists(replicate, min_size=2, max_size=6), st.floats(0.01, 100))
def test_the_unit_of_time_does_not_matter(
    replicates: list[tuple[float, float, float, float]], factor: float
) -> None:
    plain, scaled = (
        break_even(replicates),
        break_even([tuple(factor * s for s in each) for each in replicates]),
    )  # type: ignore[misc]
    if math.isfinite(plain.step):
        assert scaled.step == pytest.approx(plain.step, rel=1e-6)


def test_coverage() -> None:
    # The truth: 8 s over 0.02 s -> step 401. Noise as on an H100: set-ups vary by 1 s, steps by 4%.
    rng = random.Random(4)
    trials, inside = 1000, 0
    for _ in range(trials):
        found = break_even(
            [
                (
                    1 + rng.gauss(0, 0.1),
                    9 + rng.gauss(0, 1),
                    rng.gauss(0.06, 0.002),
                    rng.gauss(0.04, 0.002),
                )
                for _ in range(6)
            ]
        )
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= 401 <= found.high
    assert 0.93 <= inside / trials <= 0.97


def test_it_stands_in_the_gain_tables_on_the_steady_row() -> None:
    def job(arm: str, replicate: int, setup_s: float, step_s: float) -> object:
        timing = Timing(setup_s=setup_s, steady_step_s=step_s, train_runtime_s=10.0, steps=100)
        return make_job(arm, replicate, timing=timing)

    jobs = [job("pytorch", k, 2.0, 0.05) for k in (0, 1)] + [
        job("onnxruntime", k, 9.0, 0.03) for k in (0, 1)
    ]
    run = make_run(jobs)  # type: ignore[arg-type]
    for view in ("gains", "comparison"):
        (table,) = build([run], view).tables
        titles = [column.title for column in table.columns]
        end_to_end, steady = (dict(zip(titles, row, strict=True)) for row in table.cells)
        assert (end_to_end["Break-even"], steady["Break-even"]) == ("", "351 (351 to 351)")
        assert any(note.startswith("break-even: ") for note in table.notes)
    assert raw(table)[1]["break_even_step"] == pytest.approx(351)
