"""The detector: what it must do with any series, and that it finds what is put in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from property_support import examples
from scipy.stats import norm, t

from report.regressions.detector import again_score, confirms, detect
from report.regressions.thresholds import Thresholds

THRESHOLDS = Thresholds()
LEVELS = st.floats(1e-6, 1e6)
SERIES = st.lists(st.floats(0.5, 2.0), min_size=2, max_size=50)
FIELDS = ("score", "alone", "level", "mean", "noise")


@given(SERIES, LEVELS)
@examples(150)
def test_the_unit_does_not_matter(series: list[float], factor: float) -> None:
    one, other = detect(series, THRESHOLDS), detect(np.array(series) * factor, THRESHOLDS)
    if (
        abs(abs(float(one.level / one.mean) - 1) - 0.01) < 1e-9
    ):  # on the very edge of what is a change
        return
    assert float(other.score) == pytest.approx(float(one.score), rel=1e-6, abs=1e-9)


@given(LEVELS, st.integers(2, 60))
def test_a_constant_series_is_never_an_alarm(level: float, nights: int) -> None:
    found = detect([level] * nights, THRESHOLDS)
    assert abs(float(found.score)) < 1e-6
    assert not bool(confirms(found, level * 2, THRESHOLDS))  # nothing to confirm


@given(
    st.integers(0, 10_000),
    st.integers(11, 40),
    st.lists(st.floats(0, 0.5), min_size=2, max_size=2),
    st.integers(1, 10),
)
@examples(150)
def test_a_larger_step_scores_no_less(
    seed: int, before: int, steps: list[float], after: int
) -> None:
    """The score of slowness is monotone in the injected step, whatever the noise and however long
    the step is there.
    """
    small, large = sorted(steps)
    noise = np.exp(0.005 * np.random.default_rng(seed).standard_normal(before + after))
    scores = []
    for step in (small, large):
        series = noise.copy()
        series[before:] *= 1 + step
        scores.append(_slowness(series, before))
    assert scores[1] >= scores[0] - 1e-9


def _slowness(series: np.ndarray, before: int) -> float:
    """The largest score by a tail no longer than the step: its nights before the tail are the same
    for every step.
    """
    longest = min(len(series) - before, THRESHOLDS.longest_tail)
    only = THRESHOLDS.model_copy(update={"longest_tail": longest})
    if longest > 1:  # shorter tails have nights of the step among those before them
        from report.regressions.detector import detect_by_tail

        return float(detect_by_tail(series, longest, only).score)
    return float(detect(series, only).score)


@given(st.integers(0, 10_000), st.floats(0.001, 0.05), st.floats(-0.2, 0.2), st.integers(2, 45))
@examples(100)
def test_series_side_by_side_are_judged_as_each_alone(
    seed: int, noise: float, step: float, nights: int
) -> None:
    series = np.exp(noise * np.random.default_rng(seed).standard_normal((4, nights)))
    series[1:, -1] *= 1 + step
    together = detect(series, THRESHOLDS)
    for index, one in enumerate(series):
        alone = detect(one, THRESHOLDS)
        assert float(alone.score) == pytest.approx(float(together.score[index]), rel=1e-12)
        assert int(alone.tail) == int(together.tail[index])


def test_a_score_by_hand() -> None:
    """Ten nights, the eleventh 3% slower: mean, spread and quantile written out."""
    before = np.array([1.00, 1.01, 0.99, 1.00, 1.02, 0.98, 1.00, 1.01, 0.99, 1.00])
    found = detect([*before, 1.03], THRESHOLDS)
    logs = np.log(before)
    # Neighbours are close enough for nothing to be clipped; the tenth night's are the ninth and
    # tonight.
    residuals = logs - logs.mean()
    spread = 1.4826 * np.median(np.abs(residuals)) * (1 + 1.2 / 10)
    sigma = max(residuals.std(ddof=1), 0.9 * spread)
    quantile = t.isf(norm.sf(THRESHOLDS.sigmas), 9)
    d = min(np.log(1.03) - logs.mean(), np.log(1.03) - np.median(logs))
    assert float(found.noise) == pytest.approx(sigma * np.exp(logs.mean()))
    assert float(found.score) == pytest.approx(d / (sigma * np.sqrt(1 + 1 / 10) * quantile))
    assert (int(found.tail), int(found.nights), int(found.freedom)) == (1, 10, 9)
    assert float(found.alone) == pytest.approx(
        float(found.score) * quantile / t.isf(norm.sf(THRESHOLDS.sigmas_alone), 9)
    )
    again = float(again_score(found, 1.03, THRESHOLDS))
    assert again == pytest.approx(
        (np.log(1.03) - logs.mean())
        / (sigma * np.sqrt(1 + 1 / 10) * t.isf(norm.sf(THRESHOLDS.sigmas_again), 9))
    )


def test_both_nights_of_a_tail_of_two_must_be_off() -> None:
    rng = np.random.default_rng(0)
    steady = 1 + 0.002 * rng.standard_normal(30)
    assert int(detect([*steady, 1.02, 1.02], THRESHOLDS).tail) == 2
    one_odd = detect([*steady, 1.05, 1.0], THRESHOLDS)
    assert float(one_odd.score) == 0.0
    opposite = detect([*steady, 1.05, 0.999], THRESHOLDS)
    assert int(opposite.alarm) == 0


def test_one_outlying_night_does_not_blind() -> None:
    rng = np.random.default_rng(1)
    steady = 1 + 0.005 * rng.standard_normal(30)
    with_outlier = steady.copy()
    with_outlier[10] = 3.0
    clean, spoilt = (detect([*nights, 1.05], THRESHOLDS) for nights in (steady, with_outlier))
    assert float(spoilt.mean) == pytest.approx(float(clean.mean), rel=0.002)
    assert float(spoilt.noise) == pytest.approx(float(clean.noise), rel=0.25)
    # Slow nights of any size have been seen now; the same on the next night is a change.
    assert [int(clean.alarm), int(spoilt.alarm)] == [1, 0]
    assert int(detect([*with_outlier, 1.05, 1.05], THRESHOLDS).alarm) == 1


def test_faster_is_the_mirror_of_slower() -> None:
    nights = 1 + 0.005 * np.random.default_rng(2).standard_normal(30)
    slower, faster = (
        detect([*nights, 1.05], THRESHOLDS),
        detect([*1 / nights, 1 / 1.05], THRESHOLDS),
    )
    assert float(faster.score) == pytest.approx(-float(slower.score))
    assert int(faster.alarm) == -1


def test_less_than_the_least_change_is_no_alarm_however_quiet_the_host() -> None:
    assert float(detect([1.0] * 30 + [1.0099], THRESHOLDS).score) == 0.0
    assert float(detect([1.0] * 30 + [1.0101], THRESHOLDS).score) > 1


@pytest.mark.parametrize(("tonight", "alarm"), [(1.101, 1), (1.099, 0), (0.899, -1)])
def test_the_first_nights_have_a_fixed_bound(tonight: float, alarm: int) -> None:
    found = detect([1.0, 0.97, 1.04, tonight], THRESHOLDS)
    assert int(found.alarm) == alarm
    assert int(found.nights) == 3
    assert bool(confirms(found, 1.0, THRESHOLDS)) is False
    assert bool(confirms(found, tonight, THRESHOLDS)) is (alarm != 0)
    assert int(detect([1.0, 0.97, 1.04, tonight], THRESHOLDS, replicates=0.2).alarm) == 0


@pytest.mark.parametrize(
    ("noise", "tonight", "alarm"), [(0.002, 1.049, 0), (0.002, 1.06, 1), (0.03, 1.06, 0)]
)
def test_from_the_fifth_night_on_both_the_fixed_bound_and_the_noise_are_exceeded(
    noise: float, tonight: float, alarm: int
) -> None:
    before = 1 + noise * np.array([1, -1, 0.5, -0.5, 1, -1])
    assert int(detect([*before, tonight], THRESHOLDS).alarm) == alarm


def staircase(seed: int, *levels: tuple[float, int], noise: float = 0.005) -> np.ndarray:
    """Nights on levels, each (level, nights)."""
    values = np.concatenate([np.full(nights, level) for level, nights in levels])
    return values * np.exp(noise * np.random.default_rng(seed).standard_normal(len(values)))


@pytest.mark.parametrize("seed", range(5))
def test_a_recovery_is_told_on_its_first_night_against_the_level_it_left(seed: int) -> None:
    """The nights before the slow ones do not count: what is compared with is the last level."""
    found = detect(staircase(seed, (1.0, 30), (1.2, 6), (1.0, 1)), THRESHOLDS)
    assert (int(found.alarm), int(found.tail), int(found.nights)) == (-1, 1, 6)
    assert float(found.mean) == pytest.approx(1.2, rel=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_a_change_larger_than_the_newest_one_does_not_speak_for_it(seed: int) -> None:
    found = detect(staircase(seed, (1.0, 30), (20.0, 5), (10.0, 2)), THRESHOLDS)
    assert (int(found.alarm), int(found.tail)) == (-1, 2)


@pytest.mark.parametrize("seed", range(5))
def test_an_absorbed_level_is_what_the_next_nights_are_compared_with(seed: int) -> None:
    longest = THRESHOLDS.longest_tail
    during, after = (
        detect(staircase(seed, (1.0, 30), (1.1, nights)), THRESHOLDS)
        for nights in (longest, longest + 1)
    )
    assert (int(during.alarm), int(during.tail)) == (1, longest)
    assert int(after.alarm) == 0
    assert float(after.mean) == pytest.approx(1.1, rel=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_nights_that_flip_between_two_levels_are_no_change(seed: int) -> None:
    levels = [(1.0, 7), (1.05, 8)] * 3
    flipping = detect(staircase(seed, *levels, (1.0, 3)), THRESHOLDS)
    assert bool(flipping.flips)
    assert int(flipping.alarm) == 0
    beyond = detect(staircase(seed, *levels, (1.25, 3)), THRESHOLDS)
    assert (bool(beyond.flips), int(beyond.alarm)) == (True, 1)
    # A recovery, and the same regression once more, are news.
    for few in (levels[:3], levels[:4]):
        again = detect(staircase(seed, (1.0, 20), *few[1:-1], (few[-1][0], 2)), THRESHOLDS)
        assert (bool(again.flips), int(again.alarm)) == (False, 1 if few[-1][0] > 1 else -1)


def test_a_slow_night_as_there_were_before_is_no_alarm_alone() -> None:
    nights = staircase(0, (1.0, 30))
    nights[[5, 20]] *= 1.06
    assert int(detect([*nights, 1.05], THRESHOLDS).alarm) == 0
    assert int(detect([*nights, 1.08], THRESHOLDS).alarm) == 1


def test_equal_nights_have_no_deviation_and_are_judged_by_the_least_noise() -> None:
    nights = [1.0] * 20 + [1.003] + [1.0] * 9  # the median absolute deviation is 0
    for tonight, alarm in ((1.0, 0), (1.02, 1), (0.98, -1)):
        found = detect([*nights, tonight], THRESHOLDS)
        assert int(found.alarm) == alarm
        assert np.isfinite(float(found.score))


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_time_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="not above 0 and finite"):
        detect([1.0] * 20 + [wrong], THRESHOLDS)


def test_a_second_run_to_the_other_side_confirms_nothing() -> None:
    steady = 1 + 0.005 * np.random.default_rng(3).standard_normal(30)
    found = detect([*steady, 1.05], THRESHOLDS)
    assert [bool(confirms(found, again, THRESHOLDS)) for again in (1.05, 1.0, 0.95)] == [
        True,
        False,
        False,
    ]


def test_a_single_night_cannot_be_judged() -> None:
    with pytest.raises(ValueError, match="single night"):
        detect([1.0], THRESHOLDS)
