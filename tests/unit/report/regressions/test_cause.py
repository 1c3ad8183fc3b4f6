"""Which arm is named, by the alarms of the three series and what each arm did."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from report.regressions.cause import Pattern, cause_of

FIRES = st.sampled_from([-1, 0, 1])
CHANGES = st.floats(-0.5, 0.5)


@pytest.mark.parametrize(
    ("baseline", "candidate", "ratio", "b", "c", "cause", "direction"),
    [
        (0, 1, 1, 0.0, 0.05, "candidate regressed", 1),
        (0, 0, 1, 0.0, 0.02, "candidate regressed", 1),  # the ratio is the quieter series
        (0, 0, 1, -0.02, 0.0, "baseline improved", -1),
        (-1, 0, 1, -0.05, 0.0, "baseline improved", -1),
        (0, 0, -1, 0.03, 0.0, "baseline regressed", 1),
        (1, 0, -1, 0.05, 0.001, "baseline regressed", 1),
        (0, -1, -1, 0.0, -0.05, "candidate improved", -1),
        (1, 1, 0, 0.05, 0.05, "host or driver", 1),
        (0, 1, 0, 0.03, 0.05, "host or driver", 1),  # the baseline's series is too noisy to fire
        (0, 1, 0, 0.001, 0.05, "candidate regressed", 1),
        (-1, -1, 0, -0.05, -0.05, "host or driver", -1),
        (1, 1, 1, 0.03, 0.10, "candidate regressed", 1),
        (1, 1, -1, 0.10, 0.03, "baseline regressed", 1),
        (-1, 1, 1, -0.05, 0.05, "candidate regressed", 1),
        (1, -1, -1, 0.05, -0.05, "baseline regressed", 1),
        (-1, 0, 1, -0.05, 0.04, "baseline improved", -1),  # the arm whose own series fires
        (0, 0, 1, -0.01, 0.01, "unclear", 1),
        (0, 0, 0, 0.0, 0.0, "", 0),
    ],
)
def test_patterns(baseline, candidate, ratio, b, c, cause, direction) -> None:
    assert cause_of(Pattern(baseline, candidate, ratio, b, c)) == (cause, direction)


@given(FIRES, FIRES, FIRES, CHANGES, CHANGES)
def test_every_alarm_has_a_cause_and_only_alarms_have(baseline, candidate, ratio, b, c) -> None:
    cause, direction = cause_of(Pattern(baseline, candidate, ratio, b, c))
    fires = (baseline, candidate, ratio) != (0, 0, 0)
    assert bool(cause) == fires
    assert (direction != 0) == fires
    if "improved" in cause:
        assert direction == -1
    if "regressed" in cause:
        assert direction == 1
