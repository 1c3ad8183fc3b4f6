"""Reading runs: what is damaged is named and set aside, what is merely newer is tolerated."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from inference_factory import point, result
from report_factory import four_pairs, make_interleaved_job, make_job, make_run, write_run

from harness.errors import BenchError
from harness.schema.record import SCHEMA_VERSION
from report.loading.runs import UnreadableLine, find_run, load_run, load_runs, read_line


def line_with(**changes: Any) -> bytes:
    return json.dumps(json.loads(make_job().model_dump_json()) | changes).encode()


@pytest.mark.parametrize("points", [True, "x", {"a": 1}])
def test_a_line_whose_inference_is_no_list_of_points_is_set_aside(
    tmp_path: Path, points: object
) -> None:
    fields = json.loads(make_job(inference=result(point(0.002, 0.001))).model_dump_json())
    fields["inference"]["points"] = points
    folder = write_run(tmp_path / "run", make_run([]))
    (folder / "jobs.jsonl").write_text(json.dumps(fields) + "\n")
    run = load_run(folder)
    assert run.jobs == []
    (problem,) = run.problems
    assert "jobs.jsonl:1: inference.points" in problem
    assert problem.endswith("set aside")


@pytest.mark.parametrize("name", ["run.json", "jobs.jsonl"])
def test_a_named_pipe_in_the_place_of_a_file_is_one_error(tmp_path: Path, name: str) -> None:
    folder = write_run(tmp_path / "run", make_run(four_pairs()))
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(BenchError, match="is no file"):
        load_run(folder)


def test_a_run_comes_back_as_written(tmp_path: Path) -> None:
    run = make_run(four_pairs())
    loaded = load_run(write_run(tmp_path / "run", run))
    assert (loaded.info, loaded.jobs, loaded.problems) == (run.info, run.jobs, [])


def test_a_torn_last_line_is_named_and_set_aside(tmp_path: Path) -> None:
    torn = make_job(replicate=9).model_dump_json().encode()[:200]
    folder = write_run(tmp_path / "run", make_run(four_pairs()), tail=torn)
    before = (folder / "jobs.jsonl").read_bytes()
    run = load_run(folder)
    assert len(run.jobs) == 8
    (problem,) = run.problems
    assert problem.startswith(f"{folder / 'jobs.jsonl'}:9: not JSON")
    assert "torn" in problem
    assert (folder / "jobs.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [b"\xff\xfe\n", b"[]\n", b"null\n", b"{}\n", b'{"id": \n', b"\x00\x00\n", b"[" * 9999 + b"\n"],
)
def test_a_damaged_line_between_good_ones_costs_only_itself(tmp_path: Path, damage: bytes) -> None:
    good = make_job(replicate=5).model_dump_json().encode() + b"\n"
    run = load_run(write_run(tmp_path / "run", make_run(four_pairs()), tail=damage + good))
    assert len(run.jobs) == 9
    (problem,) = run.problems
    assert ":9: " in problem
    assert "torn" not in problem


def test_a_last_line_without_its_newline_is_complete_if_it_reads(tmp_path: Path) -> None:
    run = load_run(write_run(tmp_path / "run", make_run([]), tail=line_with()))
    assert len(run.jobs) == 1
    assert not run.problems


def test_unknown_fields_are_tolerated_at_any_depth() -> None:
    fields = json.loads(line_with(novelty={"a": 1}))
    fields["workload"]["training"]["novelty"] = 1
    fields["workload"]["novelty"] = fields["arm"]["novelty"] = fields["timing"]["novelty"] = [2]
    assert read_line(json.dumps(fields).encode()) == make_job()


def test_settings_that_records_share_are_validated_once_and_told_apart() -> None:
    one, same = read_line(line_with(replicate=1)), read_line(line_with(replicate=2))
    assert one.workload is same.workload
    assert one.arm is same.arm
    other = json.loads(line_with())
    other["workload"]["training"]["batch_size"] = 16
    assert read_line(json.dumps(other).encode()).workload.training.batch_size == 16
    assert one.workload.training.batch_size == 8
    other["workload"]["training"]["batch_size"] = True
    with pytest.raises(
        UnreadableLine, match=r"^workload\.training\.batch_size: .*true is not a number"
    ):
        read_line(json.dumps(other).encode())


def test_a_metric_that_was_nan_costs_only_itself() -> None:
    written = (
        make_job(metrics={"accuracy": 0.5, "pearson": float("nan")}).model_dump_json().encode()
    )
    assert read_line(written).metrics == {"accuracy": 0.5}


def test_a_turn_time_that_was_nan_stays_in_its_place() -> None:
    written = make_interleaved_job("pytorch", "onnxruntime", 0, [0.5, math.nan, 0.4])
    line = written.model_dump_json().encode()
    assert b"[0.5,null,0.4]" in line
    turns = read_line(line).turns
    assert turns is not None
    assert turns.step_s == pytest.approx([0.5, math.nan, 0.4], nan_ok=True)


@pytest.mark.parametrize("damage", [None, "missing"])
def test_inference_whose_times_are_incomplete_costs_one_batch_size(damage: str | None) -> None:
    fields = json.loads(
        make_job(inference=result(point(0.1, 0.08), point(0.2, 0.1, 8))).model_dump_json()
    )
    times = fields["inference"]["points"][0]["torch"]
    times["mean_s"] = None
    if damage:
        del times["mean_s"]
    notes: list[str] = []
    found = read_line(json.dumps(fields).encode(), notes=notes).inference
    assert found is not None
    assert [timed.batch_size for timed in found.points] == [8]
    assert notes == ["the times of inference at batch size 1 are incomplete, read as missing"]


@pytest.mark.parametrize("value", [-1, 0.0, math.nan, math.inf, 1e308, 5e-324])
def test_a_time_that_no_clock_gives_is_missing_and_named(value: float) -> None:
    fields = json.loads(line_with())
    fields["timing"]["steady_step_s"] = value
    notes: list[str] = []
    timing = read_line(json.dumps(fields).encode(), notes=notes).timing
    assert timing.steady_step_s is None
    assert timing.train_runtime_s == 100
    assert notes == [f"steady_step_s = {value!r} is no measurement, read as missing"]


@pytest.mark.parametrize("changes", [{}, {"workload": "of another shape"}])
def test_a_future_schema_is_a_problem_not_a_guess(changes: dict[str, Any]) -> None:
    with pytest.raises(UnreadableLine, match=f"schema_version {SCHEMA_VERSION + 1} is newer"):
        read_line(line_with(schema_version=SCHEMA_VERSION + 1, **changes))


def test_a_wrong_value_is_named_by_its_field() -> None:
    with pytest.raises(UnreadableLine, match="^state: "):
        read_line(line_with(state="splendid"))
    with pytest.raises(UnreadableLine, match=r"^timing\.train_runtime_s: "):
        read_line(line_with(timing={"train_runtime_s": "soon"}))


def test_a_run_of_a_newer_schema_is_read_as_far_as_known(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", make_run(four_pairs(), schema_version=SCHEMA_VERSION + 1))
    run = load_run(folder)
    assert len(run.jobs) == 8
    assert "newer" in run.problems[0]


def test_a_number_of_the_run_that_nothing_gives_is_missing_and_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", make_run(four_pairs()))
    fields = json.loads((folder / "run.json").read_text())
    fields["host"]["cores"] = -1
    (folder / "run.json").write_text(json.dumps(fields))
    run = load_run(folder)
    assert run.info.host.cores is None
    assert run.problems == [f"{folder / 'run.json'}: cores = -1 is no measurement, read as missing"]


def test_a_run_without_jobs_yet_is_a_run(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", make_run([]))
    (folder / "jobs.jsonl").unlink()
    assert load_run(folder).jobs == []


def test_a_folder_that_is_no_run_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BenchError) as caught:
        load_run(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "run.json" in caught.value.message
    assert caught.value.fix
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(BenchError, match="run.json"):
        load_run(tmp_path)


def test_a_results_folder_gives_its_runs_by_name_each_once(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_run(tmp_path / name, make_run(four_pairs(), run=name))
    (tmp_path / "notes").mkdir()
    runs, problems = load_runs([tmp_path, tmp_path / "a"])
    assert [run.info.run for run in runs] == ["a", "b"]
    assert not problems


def test_a_damaged_run_beside_others_is_set_aside_but_not_when_named(tmp_path: Path) -> None:
    write_run(tmp_path / "good", make_run(four_pairs()))
    (write_run(tmp_path / "bad", make_run([])) / "run.json").write_text("{")
    (write_run(tmp_path / "headless", make_run([])) / "run.json").unlink()
    runs, problems = load_runs([tmp_path])
    assert len(runs) == 1
    assert [
        f"{tmp_path / name}" in problem
        for name, problem in zip(("bad", "headless"), problems, strict=True)
    ] == [
        True,
        True,
    ]
    for name in ("bad", "headless"):
        with pytest.raises(BenchError):
            load_runs([tmp_path / name])
    with pytest.raises(BenchError, match="holds no run"):
        load_runs([(tmp_path / "good" / "empty").mkdir() or tmp_path / "good" / "empty"])


def test_runs_are_found_by_folder_or_by_name(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "mine", make_run([]))
    assert find_run("mine", tmp_path) == folder
    assert find_run(str(folder), tmp_path / "elsewhere") == folder
    with pytest.raises(BenchError, match=r"(?s)no such run.*mine"):
        find_run("yours", tmp_path)


def test_an_unknown_run_is_told_the_closest_and_the_newest_ones(tmp_path: Path) -> None:
    for day, name in ((3, "smoke-3"), (1, "smoke-1"), (2, "other")):
        made = make_run([], run=name, created_at=f"2026-01-0{day}T00:00:00+00:00")
        write_run(tmp_path / name, made)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "run.json").write_text("{")
    listed = f"name a folder, or a run under {tmp_path} (newest first): smoke-3, other, smoke-1, "
    for given, meant in (
        ("smoke", "did you mean smoke-3 or smoke-1? Or "),
        ("othre", "did you mean other? Or "),
        ("xyz", ""),
    ):
        with pytest.raises(BenchError, match="no such run") as told:
            find_run(given, tmp_path)
        assert told.value.fix == f"{meant}{listed}torn"
