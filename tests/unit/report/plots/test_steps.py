"""Pictures of step times: what is drawn is what was recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from folders import RESULTS
from matplotlib.image import imread
from plots_support import write_run
from report_factory import make_job

from harness.schema.record import State, Timing
from harness.schema.workload import Training
from report.loading.runs import load_run
from report.plots import drawings, write
from report.plots.steps import steps_figure
from report.plots.style import COLOURS

SMOKE = RESULTS / "smoke-20261123-012757"


def job(arm: str, replicate: int, begin: int | None, settled: bool | None = True, **fields):
    timing = Timing(steady_begin_step=begin, settled=settled)
    return make_job(arm, replicate, series=f"{arm}-{replicate}", timing=timing, **fields)


def draw_steps(folder: Path, out: Path) -> list[Path]:
    return [path for path, _ in write([load_run(folder)], out, ["steps"], "png") if path.exists()]


def of(axes, ending: str):
    return [line for line in axes.lines if line.get_label().endswith(ending)]


def legend(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_committed_run_is_drawn_one_picture_per_workload(tmp_path):
    files = draw_steps(SMOKE, tmp_path / "new")
    assert [file.name for file in files] == [
        f"steps-smoke-20261123-012757-{model}-tiny-sst2.png" for model in ("roberta", "bert")
    ]
    for file in files:
        height, width = imread(file).shape[:2]
        assert 900 < width < 2000
        assert 600 < height < 2000
        assert len(np.unique(imread(file).reshape(-1, 4), axis=0)) > 50  # not an empty canvas


def test_the_cuts_drawn_are_the_recorded_ones():
    jobs = {
        "pytorch": [job("pytorch", 0, 11), job("pytorch", 1, 31)],
        "onnxruntime": [job("onnxruntime", 0, 21)],
    }
    series = {one.series: np.linspace(1, 2, 100) for of_arm in jobs.values() for one in of_arm}
    figure = steps_figure("tiny-sst2", jobs, series)
    first, second = figure.axes
    assert [list(line.get_xdata()) for line in of(first, " cut")] == [[11, 11], [31, 31]]
    assert [list(line.get_xdata()) for line in of(second, " cut")] == [[21, 21]]
    assert "steady state from steps 11 to 31" in legend(first)
    assert "steady state from step 21" in legend(second)


def test_the_cuts_of_a_committed_run_are_drawn():
    jobs = [one for one in load_run(SMOKE).jobs if one.workload.name == "bert-tiny-sst2"]
    figure = steps_figure(
        "bert-tiny-sst2", {"all": jobs}, {one.series: [0.04] * 100 for one in jobs}
    )
    drawn = [line.get_xdata()[0] for line in of(figure.axes[0], " cut")]
    assert drawn == [one.timing.steady_begin_step for one in jobs]


def test_step_times_are_drawn_in_milliseconds_against_their_step_without_set_up():
    durations = np.array([9.0, 0.05, 0.04, 0.03] + [0.03] * 46)
    figure = steps_figure(
        "tiny-sst2", {"pytorch": [job("pytorch", 0, 11)]}, {"pytorch-0": durations}
    )
    (line,) = of(figure.axes[0], " steps")
    assert line.get_xdata()[0] == 2
    assert line.get_ydata() == pytest.approx(1e3 * durations[1:])
    (smooth,) = of(figure.axes[0], "replicate 1")
    assert smooth.get_ydata()[5] == pytest.approx(np.median(1e3 * durations[1:12]))


def test_arms_differ_in_colour_and_unsettled_jobs_are_marked():
    jobs = {
        "pytorch": [job("pytorch", 0, 11), job("pytorch", 3, 11, settled=False)],
        "onnxruntime": [job("onnxruntime", 0, 11, settled=None, state=State.TIMEOUT)],
    }
    series = {one.series: [0.04] * 100 for of_arm in jobs.values() for one in of_arm}
    first, second = steps_figure("tiny-sst2", jobs, series).axes
    assert legend(first)[-1] == "replicate 4: never settled"
    assert not any("settled" in entry for entry in legend(second))
    assert legend(second)[-1] == "replicate 1: timeout"
    assert (
        of(first, "replicate 1")[0].get_color()
        == COLOURS[0]
        != of(second, "replicate 1")[0].get_color()
    )
    assert of(first, "replicate 4")[0].get_color() != COLOURS[0]
    assert (
        of(first, "replicate 4")[0].get_linestyle() != of(first, "replicate 1")[0].get_linestyle()
    )


@pytest.mark.parametrize(("slow_s", "scale"), [(0.1, "linear"), (10.0, "log")])
def test_a_logarithmic_scale_only_where_it_is_needed(slow_s, scale):
    durations = [5.0] + [0.04] * 50 + [slow_s]
    figure = steps_figure(
        "tiny-sst2", {"pytorch": [job("pytorch", 0, 11)]}, {"pytorch-0": durations}
    )
    assert figure.axes[0].get_yscale() == scale


def test_jobs_without_step_times_are_counted_and_parity_runs_are_not_drawn(tmp_path):
    jobs = [
        job("pytorch", 0, 11),
        job("pytorch", 1, None),
        job("onnxruntime", 0, None),
        job("onnxruntime", 2, 11, parity_run=True),
    ]
    folder = write_run(
        tmp_path / "run", jobs, {"pytorch-0": [0.04] * 60, "onnxruntime-2": [0.04] * 60}
    )
    assert len(draw_steps(folder, tmp_path)) == 1
    arms = {"pytorch": jobs[:2], "onnxruntime": jobs[2:3]}
    first, second = steps_figure("tiny-sst2", arms, {"pytorch-0": [0.04] * 60}).axes
    assert legend(first)[-1] == "1 job without step times"
    assert legend(second) == ["1 job without step times"]


def test_a_long_job_shows_its_warm_up():
    arms = {"pytorch": [job("pytorch", 0, 11, training=Training(max_steps=3000))]}
    figure = steps_figure("tiny-sst2", arms, {"pytorch-0": [0.04] * 3000})
    assert figure.axes[0].get_xscale() == "log"


def test_a_run_without_step_times_is_left_out_and_the_missing_file_is_named(tmp_path):
    (_, _, drawing), *_ = drawings(
        [load_run(write_run(tmp_path / "run", [job("pytorch", 0, 11)], {}))], ["steps"]
    )
    assert drawing.figure is None
    assert drawing.caption == "Left out: no step times; a series file is missing or damaged."
    assert "pytorch-0.parquet: no such file" in drawing.problems[0]


def test_a_damaged_series_is_named(tmp_path):
    folder = write_run(tmp_path / "run", [job("pytorch", 0, 11)], {"pytorch-0": [0.04] * 60})
    (folder / "series" / "pytorch-0.parquet").write_bytes(b"no parquet")
    (_, _, drawing), *_ = drawings([load_run(folder)], ["steps"])
    assert drawing.figure is None
    assert "pytorch-0.parquet: cannot be read" in drawing.problems[0]
