"""The measurement's settings in a run's record: typed, and of older runs from their suite."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from harness.schema.record import AdaptiveInfo, MeasurementInfo, ParityInfo, RunInfo

RUN: dict[str, Any] = {"run": "r", "suite": "s", "created_at": ""}
SETTINGS = {
    "protocol": "interleaved",
    "replicates": 4,
    "warmup_steps": 20,
    "threads": 1,
    "parity": {"steps": 20, "tolerance": 0.5},
    "adaptive": {"measure": "end_to_end"},
}


def test_an_older_run_has_it_from_its_suite() -> None:
    info = RunInfo.model_validate_json(json.dumps({**RUN, "config": {"measurement": SETTINGS}}))
    assert info.measurement == MeasurementInfo(
        protocol="interleaved",
        warmup_steps=20,
        threads=1,
        parity=ParityInfo(tolerance=0.5),
        adaptive=AdaptiveInfo(measure="end_to_end"),
    )
    assert info.config == {"measurement": SETTINGS}


def test_a_setting_that_the_run_is_older_than_is_not_todays_default() -> None:
    info = RunInfo(**RUN, config={"measurement": {"protocol": "sequential"}})
    assert info.measurement == MeasurementInfo(protocol="sequential")
    assert info.measurement.parity is None


@pytest.mark.parametrize("config", [{}, {"measurement": None}, {"measurement": "twice"}])
def test_a_run_without_a_suite_of_today_has_none(config: dict[str, Any]) -> None:
    assert RunInfo(**RUN, config=config).measurement is None


def test_what_a_suite_says_otherwise_does_not_make_the_run_unreadable() -> None:
    config = {"measurement": {**SETTINGS, "protocol": "round-robin"}}
    info = RunInfo(**RUN, config=config)
    assert info.measurement is None
    assert info.config == config


def test_it_is_written_and_read_again_beside_what_a_newer_version_added() -> None:
    first = RunInfo(**RUN, config={"measurement": SETTINGS}, of_tomorrow=1)
    written = first.replace(status="complete").model_dump_json()
    assert json.loads(written)["measurement"]["warmup_steps"] == 20
    assert json.loads(written)["of_tomorrow"] == 1
    assert RunInfo.model_validate_json(written) == first.replace(status="complete")


def test_a_copy_that_differs_is_validated() -> None:
    with pytest.raises(TypeError, match="RunInfo has no statsu"):
        RunInfo(**RUN).replace(statsu="complete")
    with pytest.raises(ValidationError, match="status"):
        RunInfo(**RUN).replace(status="done")
