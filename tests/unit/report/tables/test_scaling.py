"""The scaling view and the table of cards: efficiency by hand, Welch's interval, failing
replicates, several arms.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from report_factory import make_job, make_run
from scipy import stats as reference

from harness.schema.record import GpuTelemetry, JobRecord, State, Telemetry, Timing
from harness.schema.workload import Launch
from report.analysis.statistics import welch_interval
from report.loading.runs import Run
from report.tables.registry import build
from report.tables.render import render
from report.tables.scaling import scaling_rows
from report.tables.table import raw


def job(
    processes: int, rate: float | None, replicate: int = 0, arm: str = "pytorch", **fields: Any
) -> JobRecord:
    """A job of so many processes with this steady throughput."""
    timing = Timing(
        steady_samples_per_s=rate, steady_step_s=processes * 8 / rate if rate else None, steps=100
    )
    made = make_job(arm, replicate, workload=f"tiny-processes{processes}", timing=timing, **fields)
    workload = made.workload.model_copy(update={"launch": Launch(processes=processes)})
    return made.model_copy(update={"workload": workload})


def rows(*jobs: JobRecord) -> list[dict[str, Any]]:
    return [row.flat() for row in scaling_rows(make_run(list(jobs), []))]


def test_efficiency_is_the_speed_up_over_the_ratio_of_processes() -> None:
    one, two, four = rows(job(1, 100.0), job(2, 190.0), job(4, 340.0))
    assert (one["processes"], one["speed_up"], one["scaling_efficiency"]) == (1, 1.0, 1.0)
    assert (two["processes"], two["speed_up"], two["scaling_efficiency"]) == (
        2,
        pytest.approx(1.9),
        pytest.approx(0.95),
    )
    assert (four["speed_up"], four["scaling_efficiency"]) == (
        pytest.approx(3.4),
        pytest.approx(0.85),
    )
    assert two["scaling_efficiency_low"] is None  # one replicate of each


def test_the_interval_is_welchs_of_log_throughput() -> None:
    ones, twos = (100.0, 104.0, 98.0), (180.0, 195.0, 199.0, 188.0)
    jobs = [job(1, rate, k) for k, rate in enumerate(ones)] + [
        job(2, rate, k) for k, rate in enumerate(twos)
    ]
    row = rows(*jobs)[1]
    test = reference.ttest_ind([*map(math.log, twos)], [*map(math.log, ones)], equal_var=False)
    low, high = test.confidence_interval(0.95)
    assert row["scaling_efficiency_low"] == pytest.approx(math.exp(low) / 2, rel=1e-9)
    assert row["scaling_efficiency_high"] == pytest.approx(math.exp(high) / 2, rel=1e-9)
    means = [math.exp(sum(map(math.log, rates)) / len(rates)) for rates in (ones, twos)]
    assert row["speed_up"] == pytest.approx(means[1] / means[0])
    assert row["n"] == 4


def test_equal_replicates_leave_no_width() -> None:
    estimate = welch_interval([1.0, 1.0], [0.5, 0.5])
    assert (estimate.low, estimate.mean, estimate.high) == (0.5, 0.5, 0.5)


def test_only_the_same_work_is_compared() -> None:
    other = job(2, 190.0)
    training = other.workload.training.model_copy(update={"batch_size": 64})
    other = other.model_copy(
        update={"workload": other.workload.model_copy(update={"training": training})}
    )
    assert rows(job(1, 100.0), other) == []
    both = rows(
        job(1, 100.0),
        job(2, 150.0),
        job(1, 200.0, arm="onnxruntime"),
        job(2, 390.0, arm="onnxruntime"),
    )
    assert [(row["arm"], row["scaling_efficiency"]) for row in both] == [
        ("onnxruntime", 1.0),
        ("onnxruntime", pytest.approx(0.975)),
        ("pytorch", 1.0),
        ("pytorch", pytest.approx(0.75)),
    ]


def test_without_one_process_the_fewest_are_the_reference() -> None:
    two, eight = rows(job(2, 100.0), job(8, 320.0))
    assert two["scaling_efficiency"] == 1.0
    assert (eight["speed_up"], eight["scaling_efficiency"]) == (
        pytest.approx(3.2),
        pytest.approx(0.8),
    )


def test_a_failed_number_of_processes_keeps_its_row_with_its_reason() -> None:
    failed = job(2, None, state=State.CRASHED, reason="rank 1 was killed")
    table = next(
        t for t in build([make_run([job(1, 100.0), failed], [])]).tables if t.name == "scaling"
    )
    cells = dict(zip((column.title for column in table.columns), table.cells[1], strict=True))
    assert (cells["Processes"], cells["Efficiency"], cells["Speed-up"]) == ("2", "", "")
    assert cells["State"] == "no result: crashed in 1 of 1 replicate"


def test_a_run_of_one_process_has_no_scaling_table() -> None:
    run = make_run([make_job(), make_job("onnxruntime")])
    assert "Scaling" not in render([run])


def cards_run() -> Run:
    def telemetry(*utilization: float) -> Telemetry:
        gpus = [
            GpuTelemetry(
                index=index,
                utilization_mean=value,
                power_mean_w=100.0 * (index + 1),
                memory_peak_bytes=2**30,
            )
            for index, value in enumerate(utilization)
        ]
        return Telemetry(gpus=gpus, joules_per_sample=0.5)

    return make_run(
        [
            job(1, 100.0, device="NVIDIA H200", telemetry=telemetry(90.0)),
            job(2, 190.0, 0, device="NVIDIA H200", telemetry=telemetry(90.0, 40.0)),
            job(2, 190.0, 1, device="NVIDIA H200", telemetry=telemetry(80.0, 60.0)),
        ],
        [],
    )


def test_every_card_of_several_has_a_row() -> None:
    (table,) = build([cards_run()], "cards").tables
    shown = [
        dict(zip((column.title for column in table.columns), row, strict=True))
        for row in table.cells
    ]
    assert [(row["Card"], row["Util(%)"], row["Power(W)"]) for row in shown] == [
        ("0", "85.0", "100"),
        ("1", "50.0", "200"),
    ]
    gpu = raw(build([cards_run()], "gpu").tables[0])
    assert [row["power_w"] for row in gpu] == [100.0, 300.0]  # of all cards together


def test_one_card_needs_no_table_of_cards() -> None:
    assert "cards" not in [table.name for table in build([make_run([make_job()])]).tables]


def test_records_of_several_nodes_by_earlier_versions_are_still_shown() -> None:
    old = job(2, 190.0)
    launch = Launch.model_validate({"launcher": "auto", "processes": 1, "nodes": 2})
    old = old.model_copy(update={"workload": old.workload.model_copy(update={"launch": launch})})
    read = JobRecord.model_validate_json(old.model_dump_json())
    one, two = rows(job(1, 100.0), read)
    assert (one["nodes"], two["nodes"], two["processes"]) == (1, 2, 2)
