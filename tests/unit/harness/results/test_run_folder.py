"""The run folder on disk: what is damaged is found and kept, what is good survives."""

import json
import os
import shutil
from pathlib import Path

import pytest
from runner_support import make_job, record_of

from harness.errors import BenchError
from harness.files import write_atomically
from harness.launcher.outcome import Seen, StepSeries
from harness.results.run_folder import RunFolder, read_info, read_records
from harness.schema.record import SCHEMA_VERSION, JobRecord, RunInfo, State
from harness.schema.record_io import written_line
from report.loading.runs import load_run


def record(position: int) -> JobRecord:
    return record_of(make_job(position), Seen(exit_code=0), State.OK, "")


def test_records_come_back_as_they_were_appended(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        for position in range(3):
            folder.append(record(position))
        assert folder.records == [record(position) for position in range(3)]
    assert read_records(tmp_path / "run")[0] == [record(position) for position in range(3)]


@pytest.mark.parametrize("cut", [1, 2, 40, 400])
def test_a_torn_last_line_is_set_aside(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "run"
    with RunFolder(path) as folder:
        folder.append(record(0))
        folder.append(record(1))
    data = (path / "jobs.jsonl").read_bytes()
    (path / "jobs.jsonl").write_bytes(data[:-cut])
    torn = b"" if cut == 1 else data.splitlines()[1][: -cut + 1]
    records, damage = read_records(path)
    assert damage.lines == ([torn] if torn else [])
    assert len(records) == (2 if cut == 1 else 1), "a line that lacks only its end of line is whole"
    assert not (path / "jobs.jsonl.rejected").exists(), "reading changes nothing"
    with RunFolder(path) as folder:
        assert folder.rejected == len(damage.lines)
        folder.append(record(2))
    ids = [each.id for each in read_records(path)[0]]
    assert ids == (["job0", "job1", "job2"] if cut == 1 else ["job0", "job2"])
    assert read_records(path)[1].lines == []
    if torn:
        assert (path / "jobs.jsonl.rejected").read_bytes() == torn + b"\n"


def test_damage_in_the_middle_is_kept_apart_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with RunFolder(path) as folder:
        folder.append(record(0))
    bad = [b"\x00\x00\x00\xff\xfe", b"[1, 2]", b'{"id": "job7"}', b"not json"]
    with (path / "jobs.jsonl").open("ab") as file:
        file.write(b"\n".join(bad) + b"\n\n")
    with RunFolder(path) as folder:
        folder.append(record(1))
        assert folder.rejected == 4
    assert (path / "jobs.jsonl.rejected").read_bytes() == b"\n".join(bad) + b"\n"
    assert [each.id for each in read_records(path)[0]] == ["job0", "job1"]


def test_a_healthy_file_is_not_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with RunFolder(path) as folder:
        folder.append(record(0))
    before = (path / "jobs.jsonl").stat()
    with RunFolder(path):
        pass
    after = (path / "jobs.jsonl").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_the_last_record_of_a_job_counts_and_none_is_lost(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        folder.append(record(0).model_copy(update={"state": State.INTERRUPTED}))
        folder.append(record(0))
        assert folder.latest()["job0"].state is State.OK
        assert len(folder.records) == 2


def test_a_second_holder_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run"):
        with pytest.raises(BenchError) as refused:
            RunFolder(tmp_path / "run")
        assert f"pid {os.getpid()}" in refused.value.message
        assert refused.value.fix
    RunFolder(tmp_path / "run").close()


def test_each_attempt_has_a_log_of_its_own(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        names = []
        for _ in range(3):
            names.append(folder.attempt_name("abc"))
            (folder.path / "logs" / f"{names[-1]}.log").touch()
    assert names == ["abc", "abc.2", "abc.3"]


@pytest.mark.parametrize("gone", ["logs", "series", "jobs.jsonl", "logs and series"])
def test_a_second_attempt_never_overwrites_the_series_of_the_first(
    tmp_path: Path, gone: str
) -> None:
    path, first, second = (
        tmp_path / "run",
        StepSeries([1], [0.1], [2.0]),
        StepSeries([1], [0.2], [1.0]),
    )
    with RunFolder(path) as folder:
        name = folder.attempt_name("job0")
        (path / "logs" / f"{name}.log").touch()
        series = folder.write_series(name, first)
        folder.append(record(0).model_copy(update={"series": series, "log": f"logs/{name}.log"}))
    kept = (path / "series" / "job0.parquet").read_bytes()
    for what in gone.split(" and "):
        shutil.rmtree(path / what) if what != "jobs.jsonl" else (path / what).unlink()
    with RunFolder(path) as folder:
        assert folder.attempt_name("job1") == "job1", "another job's files do not count"
        assert folder.attempt_name("job") == "job", "nor do those of a job whose id begins alike"
        assert folder.write_series(folder.attempt_name("job0"), second) == "series/job0.2.parquet"
    if "series" not in gone:
        assert (path / "series" / "job0.parquet").read_bytes() == kept


def test_attempts_are_counted_by_records_telemetry_newer_lines_and_the_schedule(
    tmp_path: Path,
) -> None:
    with RunFolder(tmp_path) as folder:
        folder.append(record(0), record(0).model_copy(update={"series": "series/job0.5.parquet"}))
        assert folder.attempt_name("job0") == "job0.6"
        (tmp_path / "series" / "job1.2.telemetry.parquet").touch()
        assert folder.attempt_name("job1") == "job1.3"
        assert folder.attempt_name("job2", attempt=2) == "job2.2"
    with (tmp_path / "jobs.jsonl").open("ab") as file:
        file.write(b'{"schema_version": 99, "id": "job3"}\n')
    with RunFolder(tmp_path) as folder:
        assert folder.attempt_name("job3") == "job3.2"


def newer(**changes: object) -> bytes:
    """A line of a newer harness: valid JSON, with spaces and an order of keys that this one would
    not write.
    """
    fields = json.loads(written_line(record(1)))
    return json.dumps({**fields, **changes}, indent=None, separators=(" , ", " : ")).encode()


@pytest.mark.parametrize(
    ("line", "known"),
    [
        (newer(future={"a": 1}), True),
        (newer(workload={**json.loads(written_line(record(1)))["workload"], "future": 1}), True),
        (newer(metrics={"accuracy": None, "f1": 0.5}), True),
        (newer(schema_version=SCHEMA_VERSION + 1), False),
        (newer(schema_version=SCHEMA_VERSION + 1, state="paused", workload="by name"), False),
    ],
)
def test_every_reader_keeps_what_a_newer_harness_wrote(
    tmp_path: Path, line: bytes, known: bool
) -> None:
    path = tmp_path / "run"
    with RunFolder(path) as folder:
        folder.write_info(RunInfo(run="run", suite="s", created_at="2025-01-01T00:00:00+00:00"))
        folder.append(record(0))
    with (path / "jobs.jsonl").open("ab") as file:
        file.write(line + b"\ntorn {")
    ids = ["job0", "job1"] if known else ["job0"]
    records, damage = read_records(path)
    assert [each.id for each in records] == ids
    assert (damage.lines, damage.newer) == ([b"torn {"], [] if known else [line])
    loaded = load_run(path)
    assert loaded.jobs == records, "harness and report read alike"
    assert len(loaded.problems) == (1 if known else 2)
    with RunFolder(path) as folder:
        assert folder.rejected == 1
        folder.append(record(2))
    lines = (path / "jobs.jsonl").read_bytes().splitlines()
    assert lines[1] == line, "byte for byte"
    assert len(lines) == 3
    assert (path / "jobs.jsonl.rejected").read_bytes() == b"torn {\n"


def test_what_a_newer_harness_says_of_a_run_is_written_again(tmp_path: Path) -> None:
    fields = {
        "run": "r",
        "suite": "s",
        "created_at": "2025-01-01T00:00:00+00:00",
        "future": {"a": [1]},
    }
    (tmp_path / "run.json").write_text(json.dumps(fields))
    with RunFolder(tmp_path) as folder:
        folder.write_info(read_info(tmp_path).model_copy(update={"status": "complete"}))
    assert json.loads((tmp_path / "run.json").read_text())["future"] == {"a": [1]}


def test_no_steps_no_series(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        assert folder.write_series("abc", StepSeries()) is None
        assert list((folder.path / "series").iterdir()) == []


def test_series_refuse_columns_that_do_not_fit() -> None:
    series = StepSeries()
    for event in (
        {"first_step": 1, "duration_s": [1.0], "loss": []},
        {"first_step": None, "duration_s": [], "loss": []},
        {"first_step": 1, "duration_s": ["slow"], "loss": [1.0]},
    ):
        with pytest.raises(ValueError, match=r"series|convert"):
            series.extend(event)


def test_run_json_is_replaced_whole(tmp_path: Path) -> None:
    info = RunInfo(run="r", suite="s", created_at="2025-01-01T00:00:00+00:00", notes=["ä"])
    with RunFolder(tmp_path) as folder:
        folder.write_info(info)
        folder.write_info(info.model_copy(update={"status": "complete"}))
    assert read_info(tmp_path) == info.model_copy(update={"status": "complete"})
    assert [path.name for path in tmp_path.glob("*run.json*")] == ["run.json"]


def test_an_unreadable_run_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="No such file") as missing:
        read_info(tmp_path)
    assert missing.value.place.endswith("run.json")
    write_atomically(tmp_path / "run.json", b'{"run": 3')
    with pytest.raises(BenchError, match="damaged"):
        read_info(tmp_path)
