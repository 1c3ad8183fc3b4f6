"""The run folder on disk: what is damaged is found and kept, what is good survives."""

import os
from pathlib import Path

import pytest
from runner_support import make_job

from harness.errors import BenchError
from harness.execution import make_record
from harness.files import write_atomically
from harness.outcome import Seen, Series
from harness.record import Host, JobRecord, RunInfo, State
from harness.store import RunFolder, read_info, read_records


def record(position: int) -> JobRecord:
    return make_record(make_job(position), Seen(exit_code=0), State.OK, "", Host())


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


def test_no_steps_no_series(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        assert folder.write_series("abc", Series()) is None
        assert list((folder.path / "series").iterdir()) == []


def test_series_refuse_columns_that_do_not_fit() -> None:
    series = Series()
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
