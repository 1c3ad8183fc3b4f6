"""The declarations of metrics hold together: no name means two things, and rows describe all."""

from __future__ import annotations

from dataclasses import fields

import pytest
from report_factory import make_job, make_run

from report.analysis.metrics import (
    INFERENCE_METRICS,
    JOB_METRICS,
    AnyMetric,
    Better,
    Figure,
    Unit,
    exported,
)
from report.tables.arm_rows import arm_rows
from report.tables.rows import ROW_KINDS, Kind, describe_key

EVERY = (*JOB_METRICS, *INFERENCE_METRICS)


def test_keys_and_series_are_unique() -> None:
    for of in (JOB_METRICS, INFERENCE_METRICS):
        assert len({metric.key for metric in of}) == len(of)
    series = [metric.series for metric in EVERY if metric.series]
    assert len(set(series)) == len(series)


@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.key)
def test_a_declaration_is_complete(metric: AnyMetric) -> None:
    assert metric.meaning
    assert metric.unit is not Unit.NONE
    assert bool(metric.interval_header) <= metric.interval
    # An export tells its readers in which direction a series is better.
    assert not metric.series or metric.better in Better


def test_exports_list_times_before_rates_sizes_and_energy() -> None:
    units = [metric.unit for metric in exported(JOB_METRICS)]
    assert units == sorted(units, key=lambda unit: unit.place)
    assert units[0] is Unit.SECOND
    assert units[-1] is Unit.JOULE_PER_SAMPLE


def test_a_row_has_every_metric_with_its_unit_and_the_ends_of_its_interval() -> None:
    (row,) = arm_rows(make_run([make_job()], []), JOB_METRICS)
    flat = row.flat()
    for metric in JOB_METRICS:
        described = describe_key(metric.key)
        assert (described.meaning, described.unit) == (metric.meaning, metric.unit)
        assert metric.key in flat
        assert (f"{metric.key}_high" in flat) == metric.interval


@pytest.mark.parametrize("kind", ROW_KINDS)
def test_every_field_of_a_row_is_described(kind: type) -> None:
    held = {"figures", "of_card", "engines", "sides"}  # of metrics, which describe themselves
    names = [each.name for each in fields(kind) if each.name not in held]
    assert len(names) > 6
    for name in names:
        described = describe_key("state" if name == "outcome" else name)
        assert described.meaning
        assert described.kind in Kind


def test_an_infinite_end_is_none() -> None:
    assert Figure.of(1.0, float("-inf"), float("inf")) == Figure(1.0)
    assert Figure(2.0, 1.5, 2.5).half_width == 0.5
    assert Figure(2.0).half_width is None
