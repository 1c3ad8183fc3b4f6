"""Pairs over nights: what is one course, where it changed, how it is listed, written and drawn."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from folders import PUBLISHED
from history_support import HOST, noisy, points, verdict_of, write_history, write_night
from hypothesis import given
from hypothesis import strategies as st
from property_support import examples
from report_factory import make_job, make_run
from report_process import report

from harness.schema.record import Sources, State
from harness.schema.verdict import FindingState
from harness.schema.workload import Task
from report.html.history import courses_among
from report.loading.runs import load_runs
from report.plots.style import to_svg
from report.regressions.acknowledged import load_acknowledged
from report.regressions.change_points import change_points
from report.regressions.check import Rules, check
from report.regressions.history_text import BARS, as_markdown, as_text, sparkline
from report.regressions.nights import dropped, histories_among, nights_among
from report.regressions.plot import draw, drawing_of, history_figure, write
from report.regressions.thresholds import CheckConfig, Comparable, Thresholds
from report.regressions.time_series import Course, as_json, courses_of

THRESHOLDS = Thresholds()
NEWER = HOST.model_copy(update={"driver": "560.2"})


def courses(results: Path, config: CheckConfig | None = None) -> list[Course]:
    runs, _ = load_runs([results])
    return courses_of(runs, Rules(config or CheckConfig(), load_acknowledged(results)))


def test_a_known_change_is_marked_where_it_is() -> None:
    factors = noisy(60)
    factors[30:, 1] *= 1.05
    (change,) = change_points(points(factors), THRESHOLDS)
    assert (change.index, change.run, change.cause) == (30, "night-030", "candidate regressed")
    assert change.candidate_change == pytest.approx(0.05, abs=0.005)
    assert change.baseline_change == pytest.approx(0, abs=0.005)


def test_a_change_and_its_end() -> None:
    factors = noisy(60)
    factors[20:40] *= 1.06
    changes = change_points(points(factors), THRESHOLDS)
    assert [(change.index, change.cause) for change in changes] == [
        (20, "host or driver"),
        (40, "host or driver"),
    ]
    assert changes[0].baseline_change > 0 > changes[1].baseline_change


def test_few_nights_change_by_the_fixed_bound() -> None:
    factors = noisy(10)
    factors[6:, 1] *= 1.1
    assert [change.index for change in change_points(points(factors), THRESHOLDS)] == [6]
    factors = noisy(10)
    factors[6:, 1] *= 1.04
    assert change_points(points(factors), THRESHOLDS) == []


def test_few_nights_of_a_noisy_host_are_not_marked() -> None:
    marked = sum(
        bool(change_points(points(noisy(13, 0.2, seed)), THRESHOLDS)) for seed in range(40)
    )
    assert marked <= 4


def test_one_odd_night_is_no_change() -> None:
    factors = noisy(60)
    factors[30, 1] *= 1.2
    assert change_points(points(factors), THRESHOLDS) == []


@given(st.integers(1, 40), st.floats(0.1, 10))
@examples(20)
def test_constant_nights_never_change(nights: int, level: float) -> None:
    assert change_points(points(np.full((nights, 2), level)), THRESHOLDS) == []


def test_noise_alone_is_hardly_ever_marked() -> None:
    """30 pairs of 60 nights at 0.5%: without hindsight several of them would be."""
    marked = sum(
        bool(change_points(points(noisy(60, seed=seed)), THRESHOLDS)) for seed in range(30)
    )
    assert marked <= 2


def test_hosts_are_never_mixed(tmp_path: Path) -> None:
    write_history(tmp_path, noisy(3))
    for night in (3, 4):
        write_night(tmp_path, night, (2, 2), host=NEWER)
    old, new = courses(tmp_path)
    assert ([len(old.points), len(new.points)], old.changed) == ([3, 2], [])
    assert new.changed == ["driver: 550.1 → 560.2"]
    assert new.changes == []
    together = courses(tmp_path, CheckConfig(comparable=Comparable(driver=False)))
    assert [len(course.points) for course in together] == [5]


def test_nights_of_another_length_are_never_mixed(tmp_path: Path) -> None:
    """The same was asked for, but a tokenizer took less; a record of before it was told is as asked
    for.
    """
    sources = {"data": "synthetic", "weights": "random", "train_samples": 800}
    for night, length in enumerate((None, 128, 16)):
        write_night(tmp_path, night, jobs={"sources": Sources(**sources, max_seq_length=length)})
    old, new = courses(tmp_path)
    assert [len(old.points), len(new.points)] == [2, 1]
    assert new.changed == ["training.max_seq_length: 128 → 16"]


def test_nights_on_other_files_of_the_users_own_are_never_mixed(tmp_path: Path) -> None:
    """The paths are the same; what the files hold tells."""
    task = Task(name="own", source="files", train_file="a.csv", validation_file="b.csv")
    for night, digest in enumerate(("aa", "aa", "bb")):
        path = write_night(tmp_path, night, jobs={"sources": Sources(data="files")})
        own = task.replace(files_sha256=digest).model_dump(mode="json")
        lines = [json.loads(line) for line in (path / "jobs.jsonl").read_text().splitlines()]
        for line in lines:
            line["workload"]["task"] = own
        (path / "jobs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    old, new = courses(tmp_path)
    assert [len(old.points), len(new.points)] == [2, 1]
    assert new.changed == ["task.files_sha256: aa → bb"]


def test_what_is_no_night(tmp_path: Path) -> None:
    write_history(tmp_path, noisy(2))
    write_night(tmp_path, 1, name="night-001-again")
    write_night(tmp_path, 5, created_at="some day")
    runs, _ = load_runs([tmp_path, PUBLISHED])
    assert [run.info.run for run in nights_among(runs)] == ["night-000", "night-001"]


def test_points_are_means_over_replicates_that_count(tmp_path: Path) -> None:
    path = write_night(tmp_path, 0)
    lines = [json.loads(line) for line in (path / "jobs.jsonl").read_text().splitlines()]
    lines[-1] |= {
        "state": "crashed",
        "replicate": 1,
    }  # the candidate's second replicate: neither arm's counts
    (path / "jobs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    ((point,),) = ([*course.points] for course in courses(tmp_path))
    assert (point.baseline_s, point.candidate_s) == (0.5, 0.4)
    write_night(tmp_path, 1)
    assert courses(tmp_path)[0].points[1].baseline_s == pytest.approx(0.5 * 1.0005)


def full(results: Path) -> Course:
    factors = noisy(40)
    factors[25:, 1] *= 1.08
    write_history(results, factors)
    write_night(results, 40, states={"onnxruntime": State.CRASHED})
    (results / "acknowledged.yaml").write_text(
        "acknowledged: [{date: 2026-01-28, pair: {workload: 'tiny*'}, reason: dropout is on, "
        "commit: abc}]\n"
    )
    (course,) = courses(results)
    return course


def test_the_first_line_is_what_the_last_night_came_to(tmp_path: Path) -> None:
    course = full(tmp_path)
    runs, _ = load_runs([tmp_path])
    last = check(runs, Rules())
    (finding,) = last.findings
    assert finding.state is FindingState.MISSING
    head = "last night, 2026-02-10 (night-040): 1 missing (tiny-sst2: onnxruntime over pytorch)"
    text = as_text([course], 30, last)
    assert text.splitlines()[0] == head
    assert f"  last night: missing; {finding.reason}" in text.splitlines()
    times = [point.baseline_s for point in course.points[-30:]]
    assert f"({1e3 * min(times):.4g} ms to {1e3 * max(times):.4g} ms)" in text
    table = as_markdown([course], 30, last)
    assert table.splitlines()[0] == head
    assert "| tiny-sst2: onnxruntime over pytorch | " in table
    assert " | missing " in table
    assert as_text([], 30, last) == as_markdown([], 30, last) == "no night\n"
    elsewhere = replace(course, pair=course.pair.model_copy(update={"workload": "other"}))
    assert "none of these pairs is part of it" in as_text([elsewhere], 30, last)


def test_a_steady_last_night_is_counted_and_not_named(tmp_path: Path) -> None:
    write_history(tmp_path, noisy(20))
    runs, _ = load_runs([tmp_path])
    text = as_text(courses(tmp_path), 60, check(runs, Rules()))
    assert text.startswith("last night, 2026-01-20 (night-019): 1 steady\n\n")
    assert "  last night: steady; " in text


def test_text_and_json(tmp_path: Path) -> None:
    course = full(tmp_path)
    text = as_text([course], width=30)
    assert "40 nights, 2026-01-01 to 2026-02-09, the last 30 shown" in text
    assert "changed on 2026-01-26 (night-025): candidate regressed" in text
    assert "acknowledged from 2026-01-28: dropout is on (abc)" in text
    assert "no result in night-040: onnxruntime: crashed in 2 of 2 replicates" in text
    written = json.loads(json.dumps(as_json(course)))
    assert len(written["nights"]) == 40
    assert written["setting"]["driver"] == "550.1"
    assert [change["index"] for change in written["change_points"]] == [25]
    assert written["acknowledged"][0]["commit"] == "abc"


def test_sparklines() -> None:
    assert sparkline([]) == ""
    assert sparkline([1, 2]) == BARS[0] + BARS[-1]
    assert set(sparkline([1.0, 1.001, 0.999])) <= set(BARS[3:5])  # noise does not look wild
    assert sparkline([0.0, 0.0]) == BARS[0] * 2


def test_the_picture(tmp_path: Path) -> None:
    course = full(tmp_path)
    figure = history_figure(course)
    times, ratio = figure.axes
    drawn = [line.get_ydata() for line in times.lines[:2]]
    assert drawn[0].tolist() == pytest.approx([1000 * point.baseline_s for point in course.points])
    assert drawn[1].tolist() == pytest.approx([1000 * point.candidate_s for point in course.points])
    assert ratio.lines[0].get_ydata().tolist() == pytest.approx(
        [point.candidate_s / point.baseline_s for point in course.points]
    )
    assert len(times.lines) == 4  # and the change, and what was accepted
    assert "1 2026-01-26: candidate regressed" in ratio.get_xlabel()
    assert "2 2026-01-28: accepted: dropout is on" in ratio.get_xlabel()
    assert to_svg(figure, "a") == to_svg(history_figure(course), "a")
    assert "40 nights" in drawing_of(course).alt


def test_a_name_cannot_be_markup(tmp_path: Path) -> None:
    write_history(tmp_path, noisy(3))
    (tmp_path / "acknowledged.yaml").write_text(
        "acknowledged: [{date: 2026-01-02, pair: {}, reason: '<script>$x$ \\n'}]\n"
    )
    (course,) = courses(tmp_path)
    assert "<script" not in to_svg(history_figure(course))


def test_every_course_has_a_picture_of_its_own(tmp_path: Path) -> None:
    """Also two whose names differ in nothing that a file's name can hold."""
    one = full(tmp_path)
    names = ("模型甲", "模型乙", "a b", "a-b")
    several = [replace(one, pair=one.pair.model_copy(update={"workload": name})) for name in names]
    paths = write(several, tmp_path / "out")
    assert len(set(paths)) == 4
    assert sorted(paths) == sorted((tmp_path / "out").iterdir())


def test_single_nights_are_not_drawn(tmp_path: Path) -> None:
    write_night(tmp_path, 0)
    runs, _ = load_runs([tmp_path])
    assert draw(runs) == []


def test_the_command(tmp_path: Path) -> None:
    full(tmp_path / "runs")
    done = report(
        "history", tmp_path / "runs", "--json", tmp_path / "h.json", "--draw", tmp_path / "drawn"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((tmp_path / "drawn").glob("*.svg"))) == 1
    assert json.loads((tmp_path / "h.json").read_text())[0]["workload"] == "tiny-sst2"
    assert json.loads(report("history", tmp_path / "runs", "--json", "-").stdout)
    assert report("history", tmp_path / "runs", "--pair", "tiny-*/onnx*/over/*").returncode == 0
    assert done.stdout.startswith("last night, 2026-02-10 (night-040): 1 missing")
    table = report("history", tmp_path / "runs", "--format", "markdown").stdout
    assert table.splitlines()[2].startswith("| Pair ")
    for wrong in (["--pair", "nothing"], ["--nights", "0"]):
        done = report("history", tmp_path / "runs", *wrong)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False)


def test_nights_of_a_renamed_suite_are_kin_of_those_before(tmp_path: Path) -> None:
    """A pair that the night before declared is missing, whatever the suite was called then."""
    write_night(tmp_path, 0, suite="glue-sst2-blocks")
    write_night(tmp_path, 1, suite="glue-sst2-interleaved", pairs=[])
    write_night(tmp_path, 2, suite="another", pairs=[])
    runs, _ = load_runs([tmp_path])
    before, renamed, other = nights_among(runs)
    assert [pair.workload for pair in dropped(renamed, [before])] == ["tiny-sst2"]
    assert dropped(other, [before]) == []


def model_night(results: Path, night: int, *models: str) -> None:
    """A night of one suite whose workloads are these models."""
    jobs = [
        make_job(arm, model=model, device="Abacus GPU")
        for model in models
        for arm in ("pytorch", "onnxruntime")
    ]
    write_night(results, night, suite="models", pairs=make_run(jobs).info.pairs)
    file = results / f"night-{night:03d}" / "jobs.jsonl"
    file.write_text("".join(job.model_dump_json() + "\n" for job in jobs))


def test_runs_of_different_models_of_a_suite_are_histories_of_their_own(tmp_path: Path) -> None:
    for night, models in enumerate((("base",), ("large",), ("base",), ("large",))):
        model_night(tmp_path, night, *models)
    runs, _ = load_runs([tmp_path])
    nights = nights_among(runs)
    names = [[run.info.run for run in group] for group in histories_among(nights)]
    assert names == [["night-000", "night-002"], ["night-001", "night-003"]]
    assert dropped(nights[-1], nights[:-1]) == []
    findings = verdict_of(tmp_path).findings
    assert [(each.workload, each.state) for each in findings] == [
        ("large-sst2", "not enough nights")
    ]
    found = [(each.nights, each.tonight.info.run) for each in courses_among(runs, Rules())]
    assert found == [(2, "night-003"), (2, "night-002")]
    assert {each.summary for each in courses_among(runs, Rules())} == {"1 with not enough nights"}


def test_a_night_of_both_models_joins_their_histories_and_misses_what_it_drops(
    tmp_path: Path,
) -> None:
    for night, models in enumerate((("base",), ("large",), ("base", "large"), ("base",))):
        model_night(tmp_path, night, *models)
    runs, _ = load_runs([tmp_path])
    nights = nights_among(runs)
    assert [len(group) for group in histories_among(nights)] == [4]
    assert [len(group) for group in histories_among(nights[:2])] == [1, 1]
    states = {each.workload: each.state for each in verdict_of(tmp_path).findings}
    assert states == {"base-sst2": "not enough nights", "large-sst2": "missing"}


def test_a_night_without_pairs_joins_one_history_and_no_two(tmp_path: Path) -> None:
    for night, models in enumerate((("base",), ("large",), (), ("base",))):
        model_night(tmp_path, night, *models)
    runs, _ = load_runs([tmp_path])
    names = [[run.info.run for run in group] for group in histories_among(nights_among(runs))]
    assert names == [["night-000", "night-002", "night-003"], ["night-001"]]
