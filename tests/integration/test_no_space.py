"""A disk that fills up while jobs run, and outputs that are replaced where there is no room for
them.
"""

from __future__ import annotations

import json
import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from folders import ROOT, SUPPORT
from report_factory import four_pairs, make_run, write_run
from runner_support import ended, executions, make_job

from harness.errors import is_no_space
from harness.files import append_lines, write_atomically, write_text
from harness.results.run_folder import RunFolder, read_info, read_records
from harness.schema.record import State

RUNNER = SUPPORT / "scripted_runner.py"
LIMIT = 4096  # bytes of a file, where `limited` holds


def can_mount() -> bool:
    """Whether this process may have a small disk of its own."""
    try:
        made = subprocess.run(
            ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True
        )
    except OSError:
        return False
    return made.returncode == 0


small_disk = pytest.mark.skipif(not can_mount(), reason="only root can mount a small disk")


def on_a_small_disk(tmp_path: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in which $DISK has room for 16 MiB; what is left there comes to
    `tmp_path`/kept.
    """
    disk = tmp_path / "disk"
    disk.mkdir()
    whole = (
        f"mount -t tmpfs -o size=16m none {disk}\n{script}\nrm -f {disk}/filler; cp -a {disk} "
        f"{tmp_path}/kept"
    )
    environment = {
        **os.environ,
        "BENCH_TEST_FOLDER": str(tmp_path),
        "BENCH_TEST_SMALL_DISK": "1",
        "PYTHONPATH": str(ROOT),
        "DISK": str(disk),
    }
    command = ["unshare", "-m", "sh", "-c", whole]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def runner(tmp_path: Path, *behaviours: dict[str, object]) -> str:
    words = [sys.executable, str(RUNNER), str(tmp_path / "disk"), json.dumps(behaviours)]
    return shlex.join(words)


@small_disk
def test_a_disk_that_fills_up_ends_the_job_with_a_record_and_the_same_command_goes_on(
    tmp_path: Path,
) -> None:
    fills = {"do": "fill the disk", "disk": str(tmp_path / "disk")}
    command = runner(tmp_path, {}, fills, {}, {})
    said = tmp_path / "said"
    done = on_a_small_disk(
        tmp_path,
        f"{command} 2> {said}; echo first $?; cp -a $DISK {tmp_path}/full; rm $DISK/filler; "
        f"{command}; echo second $?",
    )
    assert "first 2" in done.stdout, said.read_text() + done.stderr
    assert "second 0" in done.stdout, done.stderr
    assert (
        "no space is left on the disk: the run stops, and what was measured is recorded"
        in said.read_text()
    )
    assert said.read_text().rstrip().endswith("the same command then goes on")
    assert "Traceback" not in said.read_text()

    (full,) = (tmp_path / "full").glob("scripted-*")
    records, damage = read_records(full)
    assert [(record.id, record.state) for record in records] == [
        ("job0", State.OK),
        ("job1", State.INTERRUPTED),
    ]
    assert records[1].reason.startswith("of the run's folder: no space is left on the disk")
    assert not damage.lines
    assert read_info(full).status == "incomplete"

    (kept,) = (tmp_path / "kept").glob("scripted-*")
    latest = {record.id: record.state for record in read_records(kept)[0]}
    assert latest == {f"job{number}": State.OK for number in range(4)}
    assert executions(tmp_path) == ["job0", "job1", "job1", "job2", "job3"]
    assert not list(kept.glob(".reserve")) + list(kept.rglob("*.tmp"))


@small_disk
def test_without_even_a_reserve_the_record_is_written_as_soon_as_there_is_room(
    tmp_path: Path,
) -> None:
    fills = {"do": "fill the disk", "disk": str(tmp_path / "disk"), "keep_reserve": False}
    said = tmp_path / "said"
    waits = f"(until grep -q 'waiting for room' {said}; do sleep 0.1; done; rm $DISK/filler) &"
    done = on_a_small_disk(
        tmp_path, f": > {said}; {waits} {runner(tmp_path, {}, fills)} 2> {said}; echo first $?"
    )
    assert "first 2" in done.stdout, said.read_text() + done.stderr
    (kept,) = (tmp_path / "kept").glob("scripted-*")
    records, _ = read_records(kept)
    assert [(record.id, record.state) for record in records] == [
        ("job0", State.OK),
        ("job1", State.INTERRUPTED),
    ]


@small_disk
def test_a_run_whose_own_log_is_on_the_full_disk_still_records(tmp_path: Path) -> None:
    fills = {"do": "fill the disk", "disk": str(tmp_path / "disk")}
    command = runner(tmp_path, {}, fills)
    done = on_a_small_disk(tmp_path, f"{command} > $DISK/log 2>&1; echo first $?")
    assert "first 2" in done.stdout, done.stderr
    (kept,) = (tmp_path / "kept").glob("scripted-*")
    assert [record.id for record in read_records(kept)[0]] == ["job0", "job1"]


def limited(action: Callable[[], object]) -> OSError | None:
    """What an action raises while no file may become larger than LIMIT."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    try:
        action()
    except OSError as error:
        return error
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    return None


def test_a_record_without_room_leaves_no_part_of_a_line(tmp_path: Path) -> None:
    first, second = ended(make_job(0)), ended(make_job(1), reason="x" * LIMIT)
    with RunFolder(tmp_path) as folder:
        folder.append(first)
        before = (tmp_path / "jobs.jsonl").read_bytes()
        error = limited(lambda: folder.append(second))
        assert is_no_space(error)
        assert (tmp_path / "jobs.jsonl").read_bytes() == before
        assert [record.id for record in folder.records] == ["job0"]
        folder.append(second)
    records, damage = read_records(tmp_path)
    assert [record.id for record in records] == ["job0", "job1"]
    assert not damage.lines


def test_lines_are_added_all_or_none(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    append_lines(file, [b"one"])
    error = limited(lambda: append_lines(file, [b"x" * LIMIT, b"y"]))
    assert error is not None
    assert error.filename == str(file)
    append_lines(file, [b"two"])
    assert file.read_bytes() == b"one\ntwo\n"


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_text(file, "old")
    file.chmod(0o640)
    error = limited(lambda: write_atomically(file, bytes(2 * LIMIT)))
    assert is_no_space(error)
    assert error is not None
    assert error.filename == str(file), "the error names the file, not the temporary one"
    assert file.read_text() == "old"
    write_text(file, "new")
    assert file.read_text() == "new"
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_link_and_what_is_no_file_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    link = tmp_path / "link"
    link.symlink_to("target")
    write_text(link, "new")
    assert link.is_symlink()
    assert (tmp_path / "target").read_text() == "new"
    write_text(Path("/dev/null"), "new")
    assert not Path("/dev/null").is_file()


def test_names_as_long_as_the_disk_takes_them_can_be_written(tmp_path: Path) -> None:
    file = tmp_path / ("é" * 127)
    write_text(file, "new")
    assert file.read_text() == "new"


README = "<!-- table: {run} -->\n\nold\n\n<!-- /table -->\n"
OUTPUTS = {
    "page": (("page", "{run}", "-o", "{out}"), "{out}"),
    "csv": (("export", "{run}", "--format", "csv", "--out", "{out}"), "{out}"),
    "parquet": (
        ("export", "{run}", "--format", "parquet", "--out", "{out}"),
        "{out}/gains.parquet",
    ),
    "plot": (("plot", "{run}", "--kind", "gains", "--out", "{out}"), "{out}/gains.svg"),
    "png": (
        ("plot", "{run}", "--kind", "gains", "--format", "png", "--out", "{out}"),
        "{out}/gains.png",
    ),
    "readme": (("readme", "{out}"), "{out}"),
    "verdict": (("check", "{results}", "--json", "{out}"), "{out}"),
    "schema": (("schema", "--output", "{out}"), "{out}"),
}


@pytest.mark.parametrize("what", OUTPUTS)
def test_an_output_that_is_replaced_keeps_its_old_content_where_there_is_no_room(
    tmp_path: Path, what: str
) -> None:
    run = write_run(tmp_path / "results" / "run", make_run(four_pairs(), notes=["x" * LIMIT]))
    words, named = OUTPUTS[what]
    places = {"run": str(run), "results": str(run.parent), "out": str(tmp_path / "out" / "it")}
    file = Path(named.format(**places))
    program = "harness.cli" if what == "schema" else "report.cli"
    command = [sys.executable, "-m", program, *(word.format(**places) for word in words)]
    if what in ("plot", "png"):  # the plot's name is its own to choose
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        (file,) = file.parent.iterdir()
    file.parent.mkdir(parents=True, exist_ok=True)
    old = README.format(run=run) if what == "readme" else "old"
    file.write_text(old)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))

    environment = {**os.environ, "MPLCONFIGDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, preexec_fn=limit, capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "fix: " in done.stderr
    assert file.read_text() == old
    assert [path.name for path in file.parent.iterdir()] == [file.name], (
        "nothing else is left behind"
    )
