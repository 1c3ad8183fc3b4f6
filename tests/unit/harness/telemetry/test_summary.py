"""The summary of a series over a steady window, against figures worked out by hand."""

from __future__ import annotations

import pytest
from telemetry_replay import replay
from telemetry_synthetic import CHILD, JOB, STRANGER, forget, recording, tick_ns, unreadable

from harness.schema.record import Timing
from harness.telemetry.series import TelemetrySeries
from harness.telemetry.summary import contamination, summarise

# From tick 20 to tick 60, ticks 20 and 60 included
WINDOW = Timing(steady_begin_ns=tick_ns(20), steady_end_ns=tick_ns(60), steady_samples_per_s=50.0)


def test_a_card_over_the_window():
    gpu = summarise(recording(), WINDOW).gpus[0]
    assert (gpu.index, gpu.uuid, gpu.name) == (0, "GPU-synthetic-0", "Synthetic Card")
    assert gpu.samples == 41
    assert gpu.utilization_mean == pytest.approx(40)
    assert gpu.utilization_p10 == pytest.approx(24)
    assert gpu.memory_utilization_mean == 30
    assert gpu.memory_peak_bytes == 200  # of the whole job, not of the window
    assert gpu.power_mean_w == 200
    assert gpu.energy_j == pytest.approx(800)
    assert gpu.energy_source == "counter"
    assert (gpu.sm_clock_median_mhz, gpu.sm_clock_p10_mhz, gpu.memory_clock_median_mhz) == (
        1500,
        1500,
        2000,
    )
    assert gpu.temperature_max_c == 60
    assert gpu.clock_limits == {}
    assert gpu.foreign_processes == 0
    assert gpu.unreadable == []


def test_the_job_and_the_host_over_the_window():
    found = summarise(recording(), WINDOW, "series/a.telemetry.parquet")
    assert (found.interval_s, found.window_s, found.samples, found.missed_ticks) == (
        0.1,
        4.0,
        41,
        0,
    )
    assert found.job_cpu_share_mean == pytest.approx(0.25)  # one of four
    assert found.host_cpu_share_mean == pytest.approx(0.5)
    assert found.job_rss_peak_bytes == 5100
    assert found.joules_per_sample == pytest.approx(4.0)  # 200 W at 50 samples/s
    assert found.series == "series/a.telemetry.parquet"
    assert found.unreadable == []


def test_energy_is_interpolated_to_the_borders():
    series = recording()
    for number, tick in enumerate(series.ticks):  # 200 W until tick 30, then 400 W
        tick["gpus"]["0"]["energy_mj"] = 20_000 * number + 20_000 * max(0, number - 30)
    timing = Timing(
        steady_begin_ns=tick_ns(20) + 25_000_000, steady_end_ns=tick_ns(40) + 50_000_000
    )
    # 0.975 s at 200 W, 1.05 s at 400 W
    assert summarise(series, timing).gpus[0].energy_j == pytest.approx(0.975 * 200 + 1.05 * 400)


def test_without_a_counter_power_is_integrated_and_that_is_said():
    series = recording()
    forget(series, "energy_mj")
    for number, tick in enumerate(series.ticks):
        tick["gpus"]["0"]["power_w"] = 100.0 + number
    gpu = summarise(series, WINDOW).gpus[0]
    assert gpu.energy_source == "power"
    assert gpu.energy_j == pytest.approx(4.0 * 140)


def test_several_cards_add_their_energy():
    found = summarise(recording(cards=2), WINDOW)
    assert [gpu.index for gpu in found.gpus] == [0, 1]
    assert found.joules_per_sample == pytest.approx(8.0)


def test_a_card_lost_in_the_window_gives_no_energy_and_keeps_the_rest():
    series = recording(cards=2)
    for tick in series.ticks[50:]:
        del tick["gpus"]["1"]
    series.unreadable.append(unreadable(50, 1, "*", "GPU is lost"))
    found = summarise(series, WINDOW)
    assert found.gpus[1].unreadable == ["card: GPU is lost"]
    assert found.gpus[1].samples == 30
    assert (found.gpus[1].energy_j, found.gpus[1].energy_source) == (None, None)
    assert found.gpus[0].energy_j == pytest.approx(800)
    assert found.joules_per_sample is None


def test_without_a_window_only_peaks_are_known():
    found = summarise(recording(), Timing())
    assert (found.window_s, found.samples, found.job_cpu_share_mean, found.joules_per_sample) == (
        None,
        0,
        None,
        None,
    )
    assert found.job_rss_peak_bytes == 5100
    gpu = found.gpus[0]
    assert (gpu.utilization_mean, gpu.energy_j, gpu.foreign_processes) == (None, None, None)
    assert (gpu.memory_peak_bytes, gpu.temperature_max_c) == (200, 60)


def test_a_sampler_that_was_cut_off_is_said_and_claims_no_energy():
    series = recording(ticks=50)
    series.end = None
    found = summarise(series, WINDOW)
    assert found.unreadable == ["the sampler was cut off before the job ended"]
    assert found.missed_ticks is None
    assert found.gpus[0].energy_j is None
    assert found.job_cpu_share_mean is None


def test_a_gap_in_the_window_is_not_covered():
    assert summarise(recording(), WINDOW).covered_share == 1
    series = recording()
    del series.ticks[30:50]  # stopped and let go on: two seconds of the window's four are missing
    assert summarise(series, WINDOW).covered_share == pytest.approx(1 - 2.1 / 4)
    series = recording(ticks=40)
    series.end = None  # killed in the middle
    assert summarise(series, WINDOW).covered_share == pytest.approx(1 - 2.1 / 4)
    series = recording(ticks=5)
    assert summarise(series, WINDOW).covered_share == 0
    series = recording()
    del series.ticks[30:35]  # held up for half a second
    assert summarise(series, WINDOW).covered_share == 1


def test_a_stopped_job():
    series = recording()
    assert summarise(series, WINDOW).stopped_s == 0
    for tick in series.ticks[5:15]:
        tick["job_stopped"] = True
    for found in (summarise(series, WINDOW), summarise(replay(series), WINDOW)):
        assert found.stopped_s == pytest.approx(1)


def test_others_on_the_cores_of_the_job():
    """The job has two of the four CPUs, of which it uses half; others use a quarter."""
    series = recording()
    assert summarise(series, WINDOW).others_cpu_share_mean is None  # a series of old
    for number, tick in enumerate(series.ticks):
        if "tree" in tick:
            tick |= {"job_cores": 2, "cores_busy_s": 0.15 * number, "cores_total_s": 0.2 * number}
    for found in (summarise(series, WINDOW), summarise(replay(series), WINDOW)):
        assert found.job_cores == 2
        assert found.job_cores_busy_mean == pytest.approx(0.75)
        assert found.others_cpu_share_mean == pytest.approx(0.25)


def test_nothing_at_all_is_said():
    assert summarise(TelemetrySeries(), WINDOW).unreadable == ["the sampler wrote nothing"]


def _slow(series, first, last, pids, hidden=()):
    for tick in series.ticks[first : last + 1]:
        if "tree" in tick:
            tick["gpus"]["0"]["pids"] = list(pids)
            tick["hidden"] = list(hidden)


def test_a_foreign_process_in_the_window_contaminates():
    series = recording()
    _slow(series, 30, 30, [CHILD, STRANGER])
    found = summarise(series, WINDOW)
    assert found.gpus[0].foreign_processes == 1
    assert contamination(found) == "1 other process(es) on GPU 0 during the steady window"
    assert contamination(found, allow_shared_gpu=True) == ""


def test_a_foreign_process_well_before_or_after_the_window_does_not():
    # The readings next to the window, at ticks 10 and 70, count: who was there then may have been
    # within.
    series = recording()
    _slow(series, 0, 9, [CHILD, STRANGER])
    _slow(series, 80, 100, [CHILD, STRANGER])
    found = summarise(series, WINDOW)
    assert found.gpus[0].foreign_processes == 0
    assert contamination(found) == ""


def test_a_process_between_two_readings_around_a_short_window_counts():
    series = recording()
    _slow(series, 30, 30, [CHILD, STRANGER])
    timing = Timing(steady_begin_ns=tick_ns(32), steady_end_ns=tick_ns(38))  # no slow tick within
    found = summarise(series, timing)
    assert found.gpus[0].foreign_processes == 1
    assert found.gpus[0].memory_clock_median_mhz == 2000
    assert found.host_cpu_share_mean == pytest.approx(0.5)


def test_pids_of_another_namespace():
    # A container: the card lists the job under a pid that this namespace does not have.
    series = recording()
    _slow(series, 10, 100, [55_555], hidden=[55_555])
    assert summarise(series, WINDOW).gpus[0].foreign_processes == 0
    # It was there before the job could be: not the job.
    _slow(series, 0, 0, [55_555], hidden=[55_555])
    assert summarise(series, WINDOW).gpus[0].foreign_processes == 1
    # The job's own pids are visible, so the hidden one is somebody else.
    other = recording()
    _slow(other, 10, 100, [CHILD, 55_555], hidden=[55_555])
    assert summarise(other, WINDOW).gpus[0].foreign_processes == 1


def test_a_child_that_has_ended_is_still_the_jobs():
    series = recording()
    for tick in series.ticks[40:]:
        if "tree" in tick:
            tick["tree"] = [JOB]
            tick["hidden"] = [CHILD]  # the driver still lists it
    assert summarise(series, WINDOW).gpus[0].foreign_processes == 0


@pytest.mark.parametrize(
    ("mask", "name", "ticks", "contaminates"),
    [
        (0x40, "hw_thermal_slowdown", 5, True),
        (0x20, "sw_thermal_slowdown", 2, True),
        (0x80, "hw_power_brake_slowdown", 5, True),
        (0x08, "hw_slowdown", 5, True),
        (0x40, "hw_thermal_slowdown", 1, False),  # one sample alone
        (0x04, "sw_power_cap", 41, False),  # normal at full load: noted
        (0x02, "applications_clocks_setting", 41, False),
    ],
)
def test_reasons_for_the_clock(mask, name, ticks, contaminates):
    series = recording()
    for tick in series.ticks[20 : 20 + ticks]:
        tick["gpus"]["0"]["clock_reasons"] = mask
    found = summarise(series, WINDOW)
    assert found.gpus[0].clock_limits == {name: pytest.approx(ticks / 41)}
    assert (name in contamination(found)) is contaminates
    assert bool(contamination(found, allow_shared_gpu=True)) is contaminates


def test_a_share_below_the_bound_does_not_contaminate():
    series = recording(ticks=1001)
    timing = Timing(steady_begin_ns=tick_ns(0), steady_end_ns=tick_ns(999))
    for count, expected in (
        (10, ""),
        (11, "GPU 0 was throttled (hw_slowdown) in 1.1% of the steady window"),
    ):
        for tick in series.ticks[:count]:
            tick["gpus"]["0"]["clock_reasons"] = 0x08
        assert contamination(summarise(series, timing)) == expected


def test_no_telemetry_contaminates_nothing():
    assert contamination(None) == ""
    assert contamination(summarise(TelemetrySeries(), WINDOW)) == ""
