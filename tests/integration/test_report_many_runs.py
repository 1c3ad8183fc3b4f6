"""Tables of many runs: the summary, few notes, and damage that costs only itself."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from folders import ROOT
from report_factory import (
    four_pairs,
    make_job,
    make_run,
    write_run,
)

from harness.errors import BenchError
from harness.schema.record import SCHEMA_VERSION, Host, Pair, Stopping
from report.loading import aa_runs
from report.loading.filters import Selection
from report.loading.runs import load_run, load_runs
from report.tables.footnotes import MOST_NOTES, merge_notes
from report.tables.registry import build
from report.tables.render import DISPLAYS, FORMATS, written
from report.tables.table import raw
from report.text import MANY_RUNS

RESULTS = ROOT / "results"
HOST = Host(name_sha256="abc", cpu="Abacus", cores=2)


def tabulate(
    paths: list[Path], form: str = "markdown", view: str | None = None, **options: Any
) -> str:
    runs, problems = load_runs(paths)
    assert not problems
    return written(build(runs, view, brief=form in DISPLAYS, **options), form)


def write_nights(folder: Path, nights: int, **fields: Any) -> Path:
    for night in range(nights):
        name = f"night-{night:03}"
        created = f"2001-02-{night % 28 + 1:02}T00:00:{night:02}Z"
        jobs = four_pairs(100.0, 80.0 + night)
        write_run(folder / name, make_run(jobs, run=name, created_at=created, host=HOST, **fields))
    return folder


def test_lines_that_are_no_record_are_named_and_the_others_count(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", make_run(four_pairs()))
    fields = json.loads((folder / "jobs.jsonl").read_text().splitlines()[0])
    broken = [
        {**fields, "state": "splendid"},
        {**fields, "timing": {"steady_step_s": "soon"}},
        {**fields, "schema_version": SCHEMA_VERSION + 1},
        {**fields, "workload": 3},
        {key: value for key, value in fields.items() if key != "replicate"},
    ]
    with (folder / "jobs.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in broken)
        file.write(json.dumps({**fields, "metrics": {"accuracy": None}, "replicate": 9}) + "\n")
        file.write(
            json.dumps(
                {
                    **fields,
                    "novelty": 1,
                    "workload": {**fields["workload"], "novelty": 1},
                    "replicate": 10,
                }
            )
        )
    run = load_run(folder)
    assert [problem.split(":")[1] for problem in run.problems] == ["9", "10", "11", "12", "13"]
    assert [job.replicate for job in run.jobs][8:] == [9, 10]


def test_a_damaged_results_folder_is_tabulated_and_every_damage_named(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    config = {"suite": evil, "arms": {}}
    good = make_run(
        [job.model_copy(update={"series": "series/gone.parquet"}) for job in four_pairs()],
        run=evil,
        suite=evil,
        config=config,
        notes=[evil],
    )
    line = json.loads(make_job(replicate=7).model_dump_json())
    newer = json.dumps({**line, "schema_version": SCHEMA_VERSION + 1}).encode()
    novel = json.dumps({**line, "replicate": 8, "novelty": {"deep": [1]}}).encode()
    folder = write_run(
        tmp_path / "results" / "evil", good, tail=newer + b"\n" + novel + b"\n" + novel[:100]
    )
    write_run(tmp_path / "results" / "headless", make_run([]))
    (tmp_path / "results" / "headless" / "run.json").write_text("{")

    def report(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "report.cli",
            "tables",
            str(tmp_path / "results"),
            *arguments,
        ]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)

    done = report()
    assert done.returncode == 1
    said = done.stderr.splitlines()
    assert len(said) == 3
    assert f"{folder / 'jobs.jsonl'}:9: schema_version {SCHEMA_VERSION + 1} is newer" in said[0]
    assert f"{folder / 'jobs.jsonl'}:11: not JSON (last line, torn" in said[1]
    assert "headless" in said[2]
    assert "<script" not in done.stdout
    assert "- run &lt;script>alert(1)&lt;/script>, on CPU" in done.stdout
    assert "suite &lt;script>alert(1)&lt;/script>" in done.stdout
    row = next(
        line for line in done.stdout.splitlines() if line.startswith("| tiny") and "PyTorch" in line
    )
    assert "| 4 of 5 |" not in row  # the novel line counts
    assert " 5 |" in row
    for form in FORMATS:
        again = report("--format", form)
        assert (again.returncode, again.stdout) == (1, report("--format", form).stdout)
    assert r"\ensuremath{<}script\ensuremath{>}" in report("--format", "latex").stdout
    assert json.loads(report("--format", "json").stdout)["tables"]["gains"][0]["run"] == evil


def test_many_runs_are_summed_up_for_people_and_not_for_programs(tmp_path: Path) -> None:
    nights = MANY_RUNS + 1
    folder = write_nights(tmp_path / "results", nights, notes=["made up"])
    text = tabulate([folder])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 2
    first = dict(
        zip(
            *[[cell.strip() for cell in row.strip("|").split("|")] for row in (rows[0], rows[2])],
            strict=True,
        )
    )
    # T_b = 100 s in every night, T_c = 80 to 110 s: gains of 25% to -9.09%, the median that of
    # night 15, at 95 s.
    assert (first["Runs"], first["Median throughput"]) == (str(nights), "5.26%")
    assert (first["Lowest"], first["Highest"]) == ("-9.09%", "25.00%")
    assert (
        f"- {nights} runs on CPU (Abacus, 2 cores), suite test, 2001-02-01 (night-000) to " in text
    )
    assert text.count("\n- ") < 15
    rows = list(csv.DictReader(io.StringIO(tabulate([folder], "csv"))))
    assert len([row for row in rows if row["table"] == "gains"]) == 2 * nights
    assert tabulate([folder], view="gains").count("\n| **night-") == nights


def test_the_summary_takes_its_state_from_the_latest_run() -> None:
    jobs = four_pairs()
    failing = [make_job("pytorch"), make_job("onnxruntime", state="crashed", reason="broke")]
    runs = [
        make_run(failing, run="late", created_at="2001-02-09"),
        make_run(jobs, run="early", created_at="2001-02-01"),
    ]
    (table,) = build(runs, "summary").tables
    (row, _) = raw(table)
    assert (row["run"], row["runs"], row["runs_with_gain"], row["throughput_gain"]) == (
        "late",
        2,
        1,
        None,
    )
    assert row["median_throughput_gain"] == pytest.approx(0.25)
    assert (row["first_run_at"], row["latest_run_at"]) == ("2001-02-01", "2001-02-09")
    assert "1 of 2" in table.cells[0]
    assert str(row["state"]).startswith("onnxruntime: crashed")


def test_notes_of_many_runs_are_few_and_what_is_left_out_is_counted() -> None:
    said = [
        (f"run-{k}", ["all say it", f"only run {k} says it", *(["half"] if k % 2 else [])])
        for k in range(1000)
    ]
    notes = merge_notes(said)
    assert notes[0] == "all say it"
    assert notes[1] == "run-1, run-3, run-5 and 497 more runs: half"
    assert len(notes) == MOST_NOTES + 1
    assert notes[-1].startswith(f"{1002 - MOST_NOTES} more notes")
    assert merge_notes(said[:2]) == [
        "all say it",
        "run-0: only run 0 says it",
        "run-1: only run 1 says it",
        "run-1: half",
    ]


def test_the_noise_floor_does_not_make_it_quadratic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = {name: {"name": name, "backend": "pytorch"} for name in ("a", "b")}
    pair = Pair(workload="tiny-sst2", baseline="a", candidate="b")
    for night in range(30):
        jobs = [
            make_job(arm, replicate, backend="pytorch", runtime_s=100.0 + night + replicate)
            for arm in "ab"
            for replicate in (0, 1)
        ]
        made = make_run(jobs, [pair], run=f"n{night:02}", host=HOST, config={"arms": arms},
                        created_at=f"2001-02-{night % 28 + 1:02}T{night:02}")  # fmt: skip
        write_run(tmp_path / made.info.run, made)
    read: list[Path] = []
    original = aa_runs._a_a_info
    monkeypatch.setattr(aa_runs, "_a_a_info", lambda path: read.append(path) or original(path))
    runs, _ = load_runs([tmp_path])
    assert len(read) == 30
    assert {len(run.beside) for run in runs} == {aa_runs.MOST}
    assert runs[0].beside[0].name == "n27"  # the latest
    assert all(run.folder.resolve() not in run.beside for run in runs)


def test_nothing_selected_is_told(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", make_run(four_pairs()))
    with pytest.raises(BenchError, match="--model huge.*no run has anything"):
        tabulate([folder], selection=Selection(model=("huge",)))


def test_precision_of_pairs_that_are_not_selected_is_not_told(tmp_path: Path) -> None:
    jobs = [
        make_job(arm, model=model)
        for model in ("tiny", "small")
        for arm in ("pytorch", "onnxruntime")
    ]
    stopping = [
        Stopping(
            workload=f"{model}-sst2",
            baseline="pytorch",
            candidate="onnxruntime",
            state="precision not reached",
            replicates=8,
            target_pp=1.0,
            minutes=5.0,
        )
        for model in ("tiny", "small")
    ]
    folder = write_run(tmp_path / "run", make_run(jobs, stopping=stopping))
    text = tabulate([folder], selection=Selection(model=("tin*",)))
    assert "tiny-sst2 has no interval" in text
    assert "small" not in text
