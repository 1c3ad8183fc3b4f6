"""The detector walked along many simulated histories at once, and how to count what it says."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from report.regressions.detector import Values, confirms, detect
from report.regressions.thresholds import Thresholds

Alarms = NDArray[np.int64]


def walk(
    first: Values, again: Values, thresholds: Thresholds, nights: Iterable[int]
) -> tuple[Alarms, Alarms, Alarms]:
    """What is said on each of `nights` (positions, 0-based), given all before it: arrays (series,
    nights) of 1, 0, -1.

    `first`, `again`: a value per series and night, and that of its second run, both (series,
    nights). Returned: alarms at first sight; those that the second run confirms; those that count
    if no second run can be made.
    """
    alarms, told, alone = [], [], []
    for night in nights:
        found = detect(first[:, : night + 1], thresholds)
        alarms.append(found.alarm)
        told.append(np.where(confirms(found, again[:, night], thresholds), found.alarm, 0))
        alone.append(np.where(np.abs(found.alone) > 1, found.alarm, 0))
    return np.stack(alarms, axis=1), np.stack(told, axis=1), np.stack(alone, axis=1)


def new_alarms(alarms: Alarms) -> int:
    """How many alarms there are that were not there the night before; `alarms`: (series,
    nights).
    """
    before = np.concatenate([np.zeros_like(alarms[:, :1]), alarms[:, :-1]], axis=1)
    return int(((alarms != 0) & (alarms != before)).sum())


def binomial_interval(found: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact two-sided interval of a share. Source: Clopper and Pearson, Biometrika 26 (1934)
    404-413.
    """
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = 0.0 if found == 0 else float(betaincinv(found, of - found + 1, tail))
    high = 1.0 if found == of else float(betaincinv(found + 1, of - found, 1 - tail))
    return low, high
