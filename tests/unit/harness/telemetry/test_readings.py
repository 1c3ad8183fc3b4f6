"""A recorded series through the real sampler code: same ticks out as in, errors at the tick where
they happened.
"""

from __future__ import annotations

import pytest
from telemetry_replay import replay
from telemetry_synthetic import forget, recording, tick_ns, unreadable

from harness.errors import BenchError
from harness.telemetry.readings import Gpu, choose, reason_names
from harness.telemetry.series import TelemetrySeries, load


def test_a_replay_is_the_recording():
    series = recording(cards=2)
    again = replay(series)
    assert again.ticks == series.ticks
    assert again.start["gpus"] == series.start["gpus"]
    assert (again.unreadable, again.end and again.end["missed"]) == ([], 0)


def test_ticks_off_the_schedule_by_milliseconds_replay_too():
    series = recording()
    for number, tick in enumerate(series.ticks):
        tick["t_ns"] += (number * 7919) % 9_000_000
    again = replay(series)
    assert again.ticks == series.ticks
    assert again.end is not None
    assert again.end["missed"] == 0


def test_at_another_interval_the_slow_readings_come_as_often_as_asked():
    series = recording()
    again = replay(series, interval_s=0.2, slow_s=2.0)
    assert [tick["t_ns"] for tick in again.ticks] == [tick_ns(n) for n in range(0, 101, 2)]
    assert [number for number, tick in enumerate(again.ticks) if "tree" in tick] == [
        0,
        10,
        20,
        30,
        40,
        50,
    ]
    assert all("pids" not in tick["gpus"]["0"] for tick in again.ticks if "tree" not in tick)


def test_a_gap_is_counted_as_missed_ticks():
    series = recording()
    del series.ticks[41:46]
    again = replay(series)
    assert again.end is not None
    assert again.end["missed"] == 5
    assert len(again.ticks) == 96


def test_a_field_that_is_not_supported_is_said_once_and_the_rest_goes_on():
    series = recording()
    forget(series, "energy_mj")
    series.unreadable.append(unreadable(0, 0, "energy_mj", "Not Supported"))
    again = replay(series)
    assert [(e["gpu"], e["field"], e["reason"]) for e in again.unreadable] == [
        (0, "energy_mj", "Not Supported")
    ]
    assert again.ticks == series.ticks


def test_a_card_lost_in_the_middle_leaves_the_other_one():
    series = recording(cards=2)
    for tick in series.ticks[50:]:
        del tick["gpus"]["1"]
    series.unreadable.append(unreadable(50, 1, "*", "GPU is lost"))
    again = replay(series)
    assert [(e["gpu"], e["field"], e["reason"]) for e in again.unreadable] == [
        (1, "*", "GPU is lost")
    ]
    assert again.unreadable[0]["t_ns"] == tick_ns(50)
    assert [sorted(tick["gpus"]) for tick in again.ticks] == [["0", "1"]] * 50 + [["0"]] * 51


def test_a_reading_that_fails_now_and_then_is_asked_again():
    series = recording()
    for number in (20, 60):
        del series.ticks[number]["gpus"]["0"]["power_w"]
    series.unreadable.append(unreadable(20, 0, "power_w", "Unknown Error"))
    again = replay(series)
    assert [(e["field"], e["reason"]) for e in again.unreadable] == [("power_w", "Unknown Error")]
    assert [n for n, tick in enumerate(again.ticks) if "power_w" not in tick["gpus"]["0"]] == [
        20,
        60,
    ]


def test_a_reading_that_keeps_failing_is_given_up():
    series = recording()
    for tick in series.ticks[20:40]:
        del tick["gpus"]["0"]["power_w"]
    again = replay(series)
    assert "power_w" in again.ticks[19]["gpus"]["0"]
    assert all("power_w" not in tick["gpus"]["0"] for tick in again.ticks[20:])


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_series_survives_its_file(tmp_path, suffix):
    series = recording(cards=2)
    del series.ticks[7]["gpus"][
        "1"
    ]  # a card that did not answer is not a card that answered nothing
    series.unreadable.append(unreadable(3, None, "*", "NVML: half of it"))
    file = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        file.write_bytes(series.to_parquet())
    else:
        file.write_text("\n".join(series.to_lines()) + "\n")
    assert load(file) == series


def test_a_torn_last_line_is_left_out_and_other_damage_is_not():
    lines = recording(ticks=3).to_lines()[:-1]
    cut = TelemetrySeries.from_lines([*lines[:-1], lines[-1][:40]])
    assert len(cut.ticks) == 2
    assert cut.end is None
    with pytest.raises(ValueError, match="line 2"):
        TelemetrySeries.from_lines([lines[0], lines[1][:40], lines[2]])


def test_a_file_that_is_no_series_is_an_error_that_names_it(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"kind": "tick"}\n')
    (tmp_path / "b.parquet").write_text("no parquet")
    for name in ("a.jsonl", "b.parquet", "missing.jsonl"):
        with pytest.raises(BenchError, match=name):
            load(tmp_path / name)


CARDS = [Gpu(0, "GPU-aa11", "x"), Gpu(1, "GPU-bb22", "x"), Gpu(2, "GPU-bb33", "x")]


@pytest.mark.parametrize(
    ("visible", "indices", "problems"),
    [
        (None, [0, 1, 2], 0),
        ("", [], 0),
        ("2,0", [2, 0], 0),
        ("GPU-aa", [0], 0),
        ("GPU-bb33,1", [2, 1], 0),
        ("0,-1,1", [0], 0),
        ("1,7,0", [1], 1),
        ("GPU-bb", [], 1),  # ambiguous
    ],
)
def test_visible_devices_are_read_as_cuda_reads_them(visible, indices, problems):
    chosen, said = choose(visible, CARDS)
    assert [gpu.index for gpu in chosen] == indices
    assert len(said) == problems


def test_reasons_have_names():
    assert reason_names(0) == []
    assert reason_names(0x4 | 0x40) == ["sw_power_cap", "hw_thermal_slowdown"]
    assert reason_names(0x1 | 0x4000) == ["gpu_idle", "bit_0x4000"]
