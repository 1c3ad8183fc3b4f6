"""Clocks of two jobs: judged card by card, in the harness and in the report alike."""

from __future__ import annotations

import pytest
from report_factory import make_job, make_run

from harness.planning.reruns import disturbance
from harness.schema.clocks import ClocksApart, clocks_apart
from harness.schema.record import GpuTelemetry, JobRecord, Pair, Telemetry
from report.tables.footnotes import rerun_notes

PAIR = Pair(workload="tiny-sst2", baseline="pytorch", candidate="onnxruntime")


def clocked(arm: str, *medians: float | None, attempt: int = 1) -> JobRecord:
    cards = [
        GpuTelemetry(index=index, samples=10, sm_clock_median_mhz=median)
        for index, median in enumerate(medians)
    ]
    return make_job(arm, 0, telemetry=Telemetry(gpus=cards), attempt=attempt)


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ((1980.0,), (1961.0,), None),
        ((1980.0,), (1960.0,), ClocksApart(0, 1980.0, 1960.0)),
        ((1980.0, 1900.0), (1980.0, 1800.0), ClocksApart(1, 1900.0, 1800.0)),
        ((None,), (1980.0,), None),
        ((1980.0,), (), None),
    ],
)
def test_clocks_are_apart_by_card(
    one: tuple[float | None, ...], other: tuple[float | None, ...], found: ClocksApart | None
) -> None:
    assert clocks_apart(clocked("pytorch", *one), clocked("onnxruntime", *other)) == found


def test_what_runs_again_for_its_clocks_is_told_to_have_run_again_for_them() -> None:
    """The cards' clocks are apart in opposite directions, so their means are alike."""
    first = [clocked("pytorch", 1900.0, 1800.0), clocked("onnxruntime", 1800.0, 1900.0)]
    assert disturbance(first, [PAIR]).startswith("in replicate 1 the median SM clock of GPU 0 was")
    again = [clocked(arm, 1900.0, 1900.0, attempt=2) for arm in ("pytorch", "onnxruntime")]
    assert rerun_notes(make_run([*first, *again], [PAIR])) == [
        "2 earlier attempts not counted, run again: SM clocks of the arms more than 1% apart"
    ]
