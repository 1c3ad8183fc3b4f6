"""Every kind of plot: what is drawn is what was recorded, names are only names, the same bytes
twice.
"""

from __future__ import annotations

import dataclasses
import math
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from folders import RESULTS
from plots_support import HOSTILE, STEPS, a_run, losses_of
from report_factory import GATED, make_interleaved_job, make_job, make_parity_run, make_run

from harness.errors import BenchError
from harness.schema.record import Pair, Timing, TurnTimes
from harness.schema.workload import Model
from report.analysis.break_even import BreakEven
from report.analysis.gains import gains_of
from report.analysis.metrics import STEADY_SAMPLES_PER_S, STEADY_STATE
from report.analysis.replicates import arms_of
from report.cli import main
from report.commands.plot import KINDS as COMMAND_KINDS
from report.commands.plot import more_kinds
from report.loading.runs import load_run, load_runs
from report.plots import KINDS, drawings, render, write
from report.plots.breakeven import costs_of, in_words
from report.plots.distribution import steady_steps
from report.plots.losses import smoothed, window_of
from report.plots.style import COLOURS, MARKERS, entry, looks_of, name, slug, to_svg, wrapped
from report.tables.arm_rows import arm_rows

SMOKE = RESULTS / "smoke-20261123-012757"
PUBLISHED = RESULTS / "published"


def drawn(run, kind):
    return [drawing for _, _, drawing in drawings([run], [kind])]


def labelled(axes, label):
    return [line for line in axes.lines if line.get_label() == label]


def texts(figure):
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


@pytest.fixture(scope="module")
def smoke():
    if not (SMOKE / "run.json").exists():
        pytest.skip("the smoke run is not in this checkout")
    return load_run(SMOKE)


# gains


def test_a_turn_of_more_steps_than_there_are_takes_all_of_them() -> None:
    turns = TurnTimes(lead_in_steps=1, steps=[2, 10**30])
    job = make_job(turns=turns, timing=Timing(steady_begin_step=1))
    assert list(steady_steps(job, np.arange(1.0, 7.0))) == [1.0, 2.0, 4.0, 5.0, 6.0]


def test_gains_and_intervals_drawn_are_those_of_the_records(smoke):
    (drawing,) = drawn(smoke, "gains")
    (axes,) = drawing.figure.axes
    for measure in ("steady_state", "end_to_end"):
        expected = [gain for gain in gains_of(smoke) if gain.measure.key == measure]
        points = [line.get_xdata()[0] for line in labelled(axes, f"_{measure}")]
        assert points == pytest.approx([100 * gain.throughput[0] for gain in expected])
        intervals = [tuple(line.get_xdata()) for line in labelled(axes, f"_{measure} interval")]
        assert intervals == [
            pytest.approx([100 * end for end in gain.throughput[1:]]) for gain in expected
        ]
    assert labelled(axes, "_zero")[0].get_xdata() == [0, 0]
    assert sum("n = 4" in text for text in texts(drawing.figure)) == 4


def test_published_gains_have_no_interval():
    (drawing,) = drawn(load_run(PUBLISHED), "gains")
    (axes,) = drawing.figure.axes
    assert len(labelled(axes, "_end_to_end")) == 2
    assert not labelled(axes, "_end_to_end interval")
    assert "+18.0, n not published" in texts(drawing.figure)
    assert "Published gains have no interval." in drawing.caption


def test_a_pair_without_a_gain_is_listed_with_its_reason(tmp_path):
    run = a_run(tmp_path)
    missing = Pair(workload="tiny-sst2", baseline="pytorch", candidate="gone")
    run = dataclasses.replace(
        run, info=run.info.model_copy(update={"pairs": [*run.info.pairs, missing]})
    )
    (drawing,) = drawn(run, "gains")
    assert texts(drawing.figure).count("no gain: gone: no job recorded") == 1
    assert "gone over PyTorch, any time: no gain" in drawing.alt


def test_the_noise_floor_is_drawn_where_it_is_known(tmp_path):
    run = a_run(tmp_path)
    again = [
        job.model_copy(
            update={
                "arm": job.arm.model_copy(update={"name": "again"}),
                "id": f"again-{job.replicate}",
                "timing": job.timing.model_copy(
                    update={"steady_step_s": 0.05 + 1e-4 * job.replicate}
                ),
            }
        )
        for job in run.jobs
        if job.arm.name == "pytorch"
    ]
    pairs = [*run.info.pairs, Pair(workload="tiny-sst2", baseline="pytorch", candidate="again")]
    run = dataclasses.replace(
        run, info=run.info.model_copy(update={"pairs": pairs}), jobs=[*run.jobs, *again]
    )
    (drawing,) = drawn(run, "gains")
    (axes,) = drawing.figure.axes
    floor = next(
        gain
        for gain in gains_of(run)
        if gain.pair == pairs[1] and gain.measure.key == "steady_state"
    )
    (band,) = [
        patch
        for patch in axes.patches
        if patch.get_y() < labelled(axes, "_steady_state")[0].get_ydata()[0]
    ][:1]
    low, high = (100 * end for end in floor.throughput[1:])
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((low, high))
    assert "again over pytorch (A/A)" in " ".join(texts(drawing.figure)), "arms go by name here"
    assert "noise floor (A/A), 95%" in texts(drawing.figure)


def test_an_interval_beyond_the_axis_ends_in_an_arrow():
    times = [(1.0, 0.9), (1.0, 0.9), (1.0, 0.9), (1.0, 0.85), (3.0, 0.5), (1.0, 3.0)]
    jobs = [
        make_job(arm, replicate % 2, step_s=s, workload=f"w{replicate // 2}")
        for replicate, both in enumerate(times)
        for arm, s in zip(("pytorch", "onnxruntime"), both, strict=True)
    ]
    (drawing,) = drawn(make_run(jobs), "gains")
    (axes,) = drawing.figure.axes
    assert ">" in [line.get_marker() for line in axes.lines]
    assert (
        max(max(line.get_xdata()) for line in labelled(axes, "_steady_state interval"))
        <= axes.get_xlim()[1]
    )
    assert "An arrow: the interval goes on beyond the axis." in drawing.caption


def test_many_pairs_go_into_several_figures_on_one_scale():
    jobs = [make_job(arm, 0, step_s=s, workload=f"w{n:02}") for n in range(20)
            for arm, s in (("pytorch", 1.0), ("onnxruntime", 0.5 + n / 50))]  # fmt: skip
    first, second = drawn(make_run(jobs), "gains")
    assert first.figure.axes[0].get_xlim() == second.figure.axes[0].get_xlim()
    assert [drawing.title for drawing in (first, second)] == [
        f"Throughput gains ({n} of 2)" for n in (1, 2)
    ]
    assert (
        sum(len(labelled(each.figure.axes[0], "_steady_state")) for each in (first, second)) == 20
    )


@pytest.mark.parametrize(
    ("gains", "marks"),
    [
        ((0.1, 3.0), ["−75%", "−50%", "0", "+100%", "+300%"]),
        ((0.01, 0.02), ["−1%", "0", "+1%", "+2%"]),
    ],
)
def test_gains_lie_on_a_logarithmic_axis(gains, marks):
    """Twice as fast is as far from 0 as half as fast, and marks are round."""
    jobs = [
        make_job(arm, 0, step_s=seconds, runtime_s=None, workload=f"w{n}")
        for n, gain in enumerate(gains)
        for arm, seconds in (("pytorch", 1.0), ("onnxruntime", 1 / (1 + gain)))
    ]
    (drawing,) = drawn(make_run(jobs), "gains")
    (axes,) = drawing.figure.axes
    drawing.figure.draw_without_rendering()
    twice, zero, half = axes.transData.transform([(100, 0), (0, 0), (-50, 0)])[:, 0]
    assert twice - zero == pytest.approx(zero - half)
    low, high = axes.get_xlim()
    shown = [
        label.get_text()
        for place, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
        if low <= place <= high
    ]
    assert set(shown) >= {"0"}
    assert shown == sorted(shown, key=lambda text: float(text.replace("−", "-").rstrip("%")))
    assert set(marks) & set(shown) >= {"0"}
    assert len(shown) >= 3


def test_arms_are_named_as_in_the_tables(tmp_path):
    """By their backends where these tell them apart, else by their own names, in every plot."""
    for folder, backends, names in (
        ("apart", ("pytorch", "onnxruntime"), ("PyTorch", "ONNX Runtime")),
        ("alike", ("pytorch", "pytorch"), ("pytorch", "onnxruntime")),
    ):
        run = a_run(tmp_path / folder, backends=backends)
        for kind in KINDS:
            (drawing,) = drawn(run, kind)
            said = " ".join(texts(drawing.figure))
            assert all(name in said for name in names), kind
            assert all(name in drawing.alt for name in names), kind


# throughput


def test_bars_and_intervals_are_the_tables_means(smoke):
    (drawing,) = drawn(smoke, "throughput")
    rates = [row.figure(STEADY_SAMPLES_PER_S) for row in arm_rows(smoke, STEADY_STATE)]
    bars = [patch.get_width() for axes in drawing.figure.axes for patch in axes.patches]
    assert bars == pytest.approx([rate.value for rate in rates])
    ends = [
        tuple(bar.get_segments()[0][:, 0])
        for axes in drawing.figure.axes
        for bar in axes.collections
    ]
    expected = [(rate.low, rate.high) for rate in rates]
    assert ends == [pytest.approx(pair) for pair in expected]
    assert all(axes.get_xlim()[0] == 0 for axes in drawing.figure.axes)


def test_publications_have_no_steady_throughput():
    (drawing,) = drawn(load_run(PUBLISHED), "throughput")
    assert drawing.figure is None
    assert drawing.caption == "Left out: no steady state; publications have none."


# distribution of step times


def test_the_distribution_is_of_the_steady_steps_of_all_replicates(tmp_path):
    run = a_run(tmp_path)
    (drawing,) = drawn(run, "distribution")
    (axes,) = drawing.figure.axes
    (line,) = labelled(axes, "PyTorch (3 replicates)")
    steady = np.concatenate(
        [50 * (1 + 0.01 * k) * np.linspace(0.9, 1.1, STEPS - 1)[9:] for k in range(3)]
    )
    assert line.get_xdata() == pytest.approx(np.sort(steady))
    assert line.get_ydata()[-1] == 1
    assert f"PyTorch: median {np.median(steady):.4g} ms" in drawing.alt


def test_steps_that_hand_the_device_over_are_not_in_the_distribution():
    job = make_interleaved_job("pytorch", "onnxruntime", 0, [9.0, 1.0, 1.0], steps=2, pilot=1)
    job = job.model_copy(update={"timing": job.timing.model_copy(update={"steady_begin_step": 5})})
    # 1 warm-up, lead-in, 2 of the pilot's | 2 timed, lead-in, 2 timed, and what came after the last
    # turn
    durations = np.array([5.0, 9, 9, 9, 1, 2, 99, 3, math.nan, 99, 99])
    assert steady_steps(job, durations).tolist() == [1, 2, 3]


# losses


def test_losses_are_means_over_replicates_and_parity_runs_are_drawn_as_recorded(tmp_path):
    run = a_run(tmp_path)
    parity_runs = [
        make_parity_run("pytorch", [0.7, 0.6, 0.5]),
        make_parity_run("onnxruntime", [0.7, 0.6, 0.50001]),
    ]
    run = dataclasses.replace(
        run, jobs=[*run.jobs, *parity_runs], info=run.info.replace(config=GATED, measurement=None)
    )
    (drawing,) = drawn(run, "losses")
    replicates, of_parity_runs = drawing.figure.axes
    (line,) = labelled(replicates, "ONNX Runtime (n = 3)")
    assert line.get_ydata() == pytest.approx(smoothed(losses_of(STEPS), 11))
    assert [list(line.get_ydata()) for line in of_parity_runs.lines] == [
        run.losses for run in parity_runs
    ]
    assert "ONNX Runtime and PyTorch 1e-05 apart at most, 0.0001 allowed: passed" in drawing.caption


def test_the_running_mean_is_of_the_steps_there_are():
    losses = np.arange(40.0)
    assert smoothed(losses, 11)[20] == pytest.approx(20)
    assert smoothed(losses, 11)[0] == pytest.approx(np.mean(losses[:6]))
    assert smoothed(losses, 1).tolist() == losses.tolist()
    assert [window_of(steps) for steps in (20, 40, 5000)] == [1, 11, 51]


# telemetry


def test_the_timeline_shades_the_steady_window_and_shows_every_card(tmp_path):
    (drawing,) = drawn(a_run(tmp_path, cards=2), "telemetry")
    use, _, power, _, memory, _, clock, _ = drawing.figure.axes  # two arms side by side
    assert [line.get_ydata()[0] for line in use.lines] == [10, 11]
    assert [axes.lines[0].get_ydata()[5] for axes in (power, memory, clock)] == [100, 2, 1500]
    (window,) = [patch for patch in use.patches if patch.get_label() == "_steady"]
    assert (window.get_x(), window.get_x() + window.get_width()) == (
        10,
        30,
    )  # 110 to 130 s, the job began at 100
    assert use.get_xlim() == (0, 39)


def test_a_host_without_cards_shows_cpu_and_memory(tmp_path):
    (drawing,) = drawn(a_run(tmp_path, cards=0), "telemetry")
    cpu, _, rss, _ = drawing.figure.axes
    assert set(cpu.lines[0].get_ydata()) == {50.0}  # one of two cores
    assert set(rss.lines[0].get_ydata()) == {1.0}
    assert "CPU is the share of all cores" in drawing.caption


def test_of_arms_that_took_turns_the_caption_says_that_they_are_seen_together(tmp_path):
    run = a_run(tmp_path, cards=0)
    (alone,) = drawn(run, "telemetry")
    together = [job.replace(group=["pytorch", "onnxruntime"]) for job in run.jobs]
    (drawing,) = drawn(dataclasses.replace(run, jobs=together), "telemetry")
    said = "All arms of the group ran at the same time, and are seen together."
    assert drawing.caption.endswith(said)
    assert said not in alone.caption


# break-even


def test_lines_cross_at_the_break_even_that_tables_print(smoke):
    gains = [gain for gain in gains_of(smoke) if gain.break_even]
    for drawing, gain in zip(drawn(smoke, "breakeven"), gains, strict=True):
        (axes,) = drawing.figure.axes
        baseline, candidate = costs_of(gain, arms_of(smoke))
        assert baseline.at(gain.break_even.step) == pytest.approx(
            candidate.at(gain.break_even.step)
        )
        (mark,) = labelled(axes, "_break-even")
        assert mark.get_xdata()[0] == gain.break_even.step
        (band,) = [patch for patch in axes.patches if patch.get_label() == "_interval"]
        assert band.get_x() == pytest.approx(gain.break_even.low)
        right = min(gain.break_even.high, axes.get_xlim()[1])
        assert band.get_x() + band.get_width() == pytest.approx(right)
        assert f"ahead from step {gain.break_even}" in axes.get_title(loc="left").replace("\n", " ")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (BreakEven(4, 94.2, 80.0, math.inf), "ahead from step 95 (80 to ∞)"),
        (BreakEven(4, 1.0, 1.0, 1.0), "ahead from the first step"),
        (BreakEven(4, math.inf, math.inf, math.inf), "never ahead"),
    ],
)
def test_the_break_even_in_words(found, said):
    assert in_words(found) == said


@pytest.mark.parametrize("candidate_s", [0.4, 0.6])
def test_a_candidate_ahead_at_once_or_never_is_drawn_too(candidate_s):
    jobs = [make_job(arm, k, step_s=s + k / 1000) for k in range(3)
            for arm, s in (("pytorch", 0.5), ("onnxruntime", candidate_s))]  # fmt: skip
    (drawing,) = drawn(make_run(jobs), "breakeven")
    to_svg(drawing.figure)
    (axes,) = drawing.figure.axes
    assert len(labelled(axes, "_break-even")) == (1 if candidate_s < 0.5 else 0)


# files, names, bytes


def test_all_committed_runs_come_out_with_the_same_bytes_twice(smoke, tmp_path):
    runs = [smoke, load_run(PUBLISHED)]
    for suffix in ("svg", "png"):
        for folder in ("one", "other"):
            list(write(runs, tmp_path / folder, None, suffix))
    files = sorted((tmp_path / "one").iterdir())
    assert len(files) == 2 * (1 + 1 + 5 * 2)
    for file in files:
        assert file.read_bytes() == (tmp_path / "other" / file.name).read_bytes(), file.name
    assert render(runs, ["gains", "losses"]) == render(runs, ["gains", "losses"])


def test_pictures_are_whole_svg_elements_with_ids_of_their_own(tmp_path):
    pictures = [picture for picture in render([a_run(tmp_path)]) if picture.svg]
    assert [picture.kind for picture in pictures] == list(KINDS), "of one night"
    seen: set[str] = set()
    for picture in pictures:
        root = ElementTree.fromstring(picture.svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        ids = {element.attrib["id"] for element in root.iter() if "id" in element.attrib}
        assert ids
        assert not ids & seen
        seen |= ids
        used = re.findall(r'(?:href="#|url\(#)([^")]+)', picture.svg)
        assert set(used) <= ids
        assert not re.search(
            r"<(style|metadata|script|image)\b|https?://(?!www\.w3\.org)", picture.svg
        )
        assert "<text" in picture.svg, "letters as outlines would be most of a page"
        assert "Verdana" in picture.svg, "which has the widths that the layout was made for"
        assert picture.title
        assert picture.alt
        assert picture.caption.endswith(".")


def test_a_hostile_run_name_is_drawn_as_text_and_makes_harmless_file_names(tmp_path):
    run = a_run(tmp_path / "run", HOSTILE)
    for path, drawing in write([run], tmp_path / "plots"):
        assert path.parent == tmp_path / "plots"
        assert re.fullmatch(r"[a-z]+-script-alert-1-script[\w-]*\.svg", path.name)
        assert "<script" not in path.read_text()
        assert any(HOSTILE in text for text in texts(drawing.figure))


def test_dollars_are_no_mathtext(tmp_path):
    """Settings refuse such names, records of pairs and runs do not: a plot must bear them
    anywhere.
    """
    run = a_run(tmp_path, "run $5", backends=("pytorch", "pytorch"))
    model = Model.model_construct(**{**dict(run.jobs[0].workload.model), "name": "a $b_2$ c"})
    arms = {"pytorch": "py$x_1$torch", "onnxruntime": "$\\frac{onnx$"}
    jobs = [
        job.model_copy(
            update={
                "workload": job.workload.model_copy(update={"name": "w$^2$", "model": model}),
                "arm": job.arm.model_copy(update={"name": arms[job.arm.name]}),
            }
        )
        for job in run.jobs
    ]
    pairs = [Pair(workload="w$^2$", baseline=arms["pytorch"], candidate=arms["onnxruntime"])]
    run = dataclasses.replace(run, jobs=jobs, info=run.info.model_copy(update={"pairs": pairs}))
    for kind in KINDS:
        (drawing,) = drawn(run, kind)
        to_svg(drawing.figure)  # a `$\frac{onnx$` taken for mathtext would raise here
        said = " ".join(texts(drawing.figure))
        assert "w$^2$" in said
        assert "$\\frac{onnx$" in said


def test_an_arm_that_begins_with_an_underscore_is_in_the_legends(tmp_path):
    run = a_run(tmp_path, arms=("_one", "__other"), backends=("pytorch", "pytorch"))
    for kind in ("distribution", "losses", "breakeven"):
        legend = drawn(run, kind)[0].figure.axes[0].get_legend()
        assert [text.get_text().split()[0] for text in legend.get_texts()] == ["_one", "__other"]


def test_arms_keep_their_look_in_all_plots_and_differ_without_colour(tmp_path):
    looks = looks_of([make_run([make_job(f"arm{n}", 0) for n in range(10)], [])])
    assert len({look.colour for look in looks.values()}) == 10 == len(COLOURS)
    assert len({look.marker for look in looks.values()}) == 10 == len(MARKERS)
    assert {look.label for look in looks.values()} == {f"arm{n}" for n in range(10)}
    run = a_run(tmp_path)
    curve = labelled(drawn(run, "losses")[0].figure.axes[0], "ONNX Runtime (n = 3)")[0]
    other = labelled(drawn(run, "distribution")[0].figure.axes[0], "ONNX Runtime (3 replicates)")[0]
    assert (
        (curve.get_color(), curve.get_marker())
        == (other.get_color(), other.get_marker())
        == (COLOURS[1], "s")
    )


# Linear RGB to what a reader without red or green cones sees: Machado, Oliveira and Fernandes, "A
# physiologically-based model for simulation of color vision deficiency", IEEE TVCG 15 (2009).
VISIONS = {
    "any": np.eye(3),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
}  # fmt: skip
# Linear RGB to Oklab, in which distances are what eyes make of them.
TO_LMS = np.array([[0.4122214708, 0.5363325363, 0.0514459929],
                   [0.2119034982, 0.6806995451, 0.1073969566],
                   [0.0883024619, 0.2817188376, 0.6299787005]])  # fmt: skip
TO_LAB = np.array([[0.2104542553, 0.7936177850, -0.0040720468],
                   [1.9779984951, -2.4285922050, 0.4505937099],
                   [0.0259040371, 0.7827717662, -0.8086757660]])  # fmt: skip
# What the style sheet of pages does in the dark: `hue-rotate(180deg)` of the inverted colour.
TURNED = np.array([[-0.574, 1.430, 0.144], [0.426, 0.430, 0.144], [0.426, 1.430, -0.856]])


def distances(colours: np.ndarray, vision: str) -> np.ndarray:
    """Between all pairs of sRGB colours, an array (n, 3) of 0 to 1."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ VISIONS[vision].T, 0, None)
    lab = np.cbrt(seen @ TO_LMS.T) @ TO_LAB.T
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    return apart[np.triu_indices(len(colours), 1)]


@pytest.mark.parametrize("vision", VISIONS)
def test_ten_arms_have_colours_that_are_told_apart_on_light_and_dark(vision):
    """No two of the ten are closer than the closest of Okabe and Ito's first six, or a fifth."""
    rgb = np.array([[int(c[k : k + 2], 16) / 255 for k in (1, 3, 5)] for c in COLOURS])
    assert distances(rgb, vision).min() >= 0.8 * distances(rgb[:6], vision).min()
    dark = np.clip((1 - rgb) @ TURNED.T, 0, 1)
    assert distances(dark, vision).min() > 0.04, "twice what eyes just notice"


def test_long_names_are_cut_or_wrapped():
    assert name("roberta" * 20, 20) == "robertarober…" + "roberta"
    assert name("a\nb\x00\u202ec\t d") == "a b c d"
    assert wrapped("onnxruntime-with-flash-attention", 18) == "onnxruntime-with-\nflash-attention"
    assert wrapped("x" * 100, 18).count("\n") == 0
    assert max(map(len, wrapped("word " * 50, 18, 3).splitlines())) <= 18
    assert entry("_x") == " _x"
    assert slug("steps", "../../etc/passwd", "a b") == "steps-etc-passwd-a-b"


def test_names_that_lose_letters_in_a_files_name_are_told_apart() -> None:
    """By a digest: letters of other scripts are left out, and what is too long for a file is
    cut.
    """
    parts = [
        ("steps", one, "sst2") for one in ("日本", "中国", "été", "x" * 300, "x" * 301, "夜" * 80)
    ]
    slugs = [slug(*each) for each in parts]
    assert len(set(slugs)) == len(parts)
    assert all(each.isascii() and each.startswith("steps-") and len(each) <= 120 for each in slugs)
    assert slugs == [slug(*each) for each in parts]


def test_figures_of_runs_with_equal_names_have_files_of_their_own(tmp_path):
    runs = [a_run(tmp_path / "a"), a_run(tmp_path / "b")]
    names = [picture.name for picture in render(runs, ["losses", "breakeven"])]
    assert len(set(names)) == 4


@pytest.mark.parametrize("kind", ["distribution", "steps", "losses", "telemetry"])
def test_a_missing_series_leaves_its_plot_out_and_is_named(tmp_path, capsys, kind):
    run = a_run(tmp_path / "run")
    for file in (run.folder / "series").iterdir():
        file.unlink()
    assert (
        main(["plot", str(run.folder), "--kind", f"gains,{kind}", "--out", str(tmp_path / "plots")])
        == 1
    )
    said = capsys.readouterr()
    assert said.out.splitlines() == [str(tmp_path / "plots" / "gains-made-up.svg")]
    assert "Left out: no " in said.err
    assert said.err.count("no such file; not drawn") == 6
    assert "Traceback" not in said.err


def test_one_missing_series_of_many_is_said_in_the_caption(tmp_path):
    run = a_run(tmp_path)
    (tmp_path / "series" / "b1.parquet").unlink()
    (drawing,) = drawn(run, "distribution")
    assert "Not drawn: 1 of 6 jobs, whose series is missing." in drawing.caption
    assert drawing.figure.axes[0].get_legend().get_texts()[0].get_text() == "PyTorch (2 replicates)"
    assert len(drawing.problems) == 1


def test_a_series_without_its_columns_or_with_text_is_set_aside(tmp_path):
    from pyarrow import parquet, table

    run = a_run(tmp_path)
    parquet.write_table(table({"step": [1, 2]}), tmp_path / "series" / "b0.parquet")
    parquet.write_table(
        table({"duration_s": ["x"] * 60, "loss": ["y"] * 60}), tmp_path / "series" / "b1.parquet"
    )
    for kind in ("distribution", "steps", "losses"):
        (drawing,) = drawn(run, kind)
        assert len(drawing.problems) == 2
        to_svg(drawing.figure)


def test_the_command_prints_the_files_and_refuses_what_it_does_not_know(tmp_path, capsys):
    run = a_run(tmp_path / "run")
    out = tmp_path / "plots"
    assert (
        main(
            ["plot", str(run.folder), "--kind", "steps,gains", "--format", "png", "--out", str(out)]
        )
        == 0
    )
    files = capsys.readouterr().out.splitlines()
    assert files == [
        str(out / name) for name in ("gains-made-up.png", "steps-made-up-tiny-sst2.png")
    ]
    assert all(Path(file).read_bytes().startswith(b"\x89PNG") for file in files)
    assert main(["plot", str(run.folder), "--kind", "pie", "--out", str(out)]) == 2
    assert "unknown kind of plot" in capsys.readouterr().err
    with pytest.raises(BenchError, match="unknown kind"):
        render([run], ["pie"])


def test_the_command_line_starts_without_matplotlib_and_series_are_read_by_need():
    said = subprocess.run(
        [sys.executable, "-c", "import report.cli, sys; print([m for m in ('matplotlib', "
                               "'pyarrow', 'pydantic') "
         "if m in sys.modules])"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout.strip() == "[]"


def test_a_long_series_makes_no_huge_picture(tmp_path):
    from plots_support import write_series

    run = a_run(tmp_path)
    rng = np.random.default_rng(0)
    for key in ("b0", "b1", "b2", "c0", "c1", "c2"):
        write_series(tmp_path, key, 0.05 * np.exp(rng.normal(0, 0.1, 20_000)))
    sizes = {
        picture.kind: len(picture.svg)
        for picture in render([run], ["distribution", "steps", "losses"])
    }
    assert max(sizes.values()) < 600_000, sizes


def test_nights_are_drawn_where_there_are_several():
    nights = load_runs([RESULTS / "nightly-history"])[0]
    (picture,) = render(nights, ["history"], more_kinds())
    assert picture.svg.startswith("<svg")
    assert picture.name.startswith("history-bert-tiny-sst2-onnxruntime-over-pytorch")
    assert render(nights[:1], ["history"], more_kinds()) == []
    assert (*KINDS, *more_kinds()) == COMMAND_KINDS
