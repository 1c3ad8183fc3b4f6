"""Killing, interrupting and resuming real runner processes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from folders import ROOT, SUPPORT
from runner_support import WORKER, executions, make_plan, processes_of, quiet, wait_until

from harness.errors import BenchError
from harness.results.open_run import host_changes, package_changes
from harness.results.run_folder import RunFolder, read_info, read_records
from harness.runner.runner import RunOptions, run
from harness.schema.record import State

RUNNER = SUPPORT / "scripted_runner.py"


@pytest.fixture(autouse=True)
def _marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_TEST_FOLDER", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def start(tmp_path: Path, *behaviours: dict[str, object]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(RUNNER), str(tmp_path / "results"), json.dumps(behaviours)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def the_run(tmp_path: Path) -> Path:
    (folder,) = (tmp_path / "results").iterdir()
    return folder


def test_sigkill_of_the_runner_leaves_no_process_and_loses_no_finished_job(tmp_path: Path) -> None:
    behaviours = [{}, {}, {"do": "hang with grandchild"}, {}]
    first = start(tmp_path, *behaviours)
    wait_until(lambda: (tmp_path / "grandchild").exists() and (tmp_path / "grandchild").read_text())
    assert len(processes_of(tmp_path)) >= 4, "runner, supervisor, worker, grandchild"
    first.kill()
    first.communicate()
    wait_until(lambda: not processes_of(tmp_path), 5)
    records, _ = read_records(the_run(tmp_path))
    assert [record.id for record in records] == ["job0", "job1"]
    assert read_info(the_run(tmp_path)).status == "running"

    # The same jobs by id, of which the third now ends.
    second = start(tmp_path, {}, {}, {}, {})
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 0, errors
    assert executions(tmp_path) == ["job0", "job1", "job2", "job2", "job3"], (
        "finished jobs are not repeated"
    )
    records, damage = read_records(the_run(tmp_path))
    assert [record.id for record in records] == ["job0", "job1", "job2", "job3"]
    assert all(record.state is State.OK for record in records)
    assert not damage.lines
    assert records[2].log == "logs/job2.2.log", "the log of the killed attempt is kept"
    info = read_info(the_run(tmp_path))
    assert info.status == "complete"
    assert info.finished_at is not None


def test_sigkill_at_any_moment(tmp_path: Path) -> None:
    behaviours = [{"do": "ok", "seconds": 0.3}] * 6
    moments = random.Random(7)
    for _ in range(5):
        runner = start(tmp_path, *behaviours)
        time.sleep(moments.uniform(0.2, 2.0))
        runner.kill()
        runner.communicate()
        wait_until(lambda: not processes_of(tmp_path), 5)
    last = start(tmp_path, *behaviours)
    _, errors = last.communicate(timeout=60)
    assert last.returncode == 0, errors
    with_info = [
        folder for folder in (tmp_path / "results").iterdir() if (folder / "run.json").exists()
    ]
    (folder,) = with_info
    records, damage = read_records(folder)
    assert [record.id for record in records] == [f"job{number}" for number in range(6)]
    assert not damage.lines
    started = executions(tmp_path)
    assert len(started) - len(set(started)) <= 5, "each kill repeats at most the job in flight"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_in_order_and_says_how_to_resume(
    tmp_path: Path, number: signal.Signals
) -> None:
    runner = start(tmp_path, {}, {"do": "hang with grandchild"}, {})
    wait_until(lambda: (tmp_path / "grandchild").exists() and (tmp_path / "grandchild").read_text())
    runner.send_signal(number)
    _, errors = runner.communicate(timeout=15)
    assert runner.returncode == 130
    assert (
        f"stopped by {number.name}: the run is incomplete; to resume: harness run the-suite"
        in errors
    )
    assert not processes_of(tmp_path)
    records, _ = read_records(the_run(tmp_path))
    assert [record.state for record in records] == [State.OK, State.INTERRUPTED]
    assert records[1].reason == f"stopped by {number.name} in phase train at step 2 of 9"
    info = read_info(the_run(tmp_path))
    assert (info.status, info.finished_at) == ("incomplete", None)

    again = start(tmp_path, {}, {}, {})
    again.communicate(timeout=60)
    assert again.returncode == 0
    assert executions(tmp_path) == ["job0", "job1", "job1", "job2"]
    assert read_info(the_run(tmp_path)).status == "complete"


def test_a_signal_that_was_ignored_stays_ignored(tmp_path: Path) -> None:
    command = (
        f'trap "" HUP; exec {sys.executable} {RUNNER} {tmp_path / "results"} \'[{{"seconds": 1}}]\''
    )
    runner = subprocess.Popen(
        ["sh", "-c", command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_until(lambda: executions(tmp_path))
    runner.send_signal(signal.SIGHUP)
    runner.wait(timeout=60)
    assert read_info(the_run(tmp_path)).status == "complete"


def test_two_runners_on_one_run_are_refused_by_pid(tmp_path: Path) -> None:
    first = start(tmp_path, {"do": "hang"})
    wait_until(lambda: (tmp_path / "hanging").exists())
    second = start(tmp_path, {"do": "hang"})
    _, errors = second.communicate(timeout=15)
    assert second.returncode != 0
    assert f"another runner (pid {first.pid}) is working on this run" in errors
    first.kill()
    first.communicate()


def test_a_resume_right_after_a_sigkill_waits_for_the_old_job_to_be_gone(tmp_path: Path) -> None:
    first = start(tmp_path, {"do": "hang"})
    wait_until(lambda: (tmp_path / "hanging").exists())
    first.kill()
    second = start(tmp_path, {}, {})
    _, errors = second.communicate(timeout=60)
    first.communicate()
    assert second.returncode == 0, errors
    assert executions(tmp_path) == ["job0", "job0", "job1"]


def test_a_guardian_keeps_the_run_locked_until_its_job_is_gone(tmp_path: Path) -> None:
    first = start(tmp_path, {"do": "hang"})
    wait_until(lambda: (tmp_path / "hanging").exists())
    (supervisor,) = (
        pid
        for pid in processes_of(tmp_path)
        if b"supervisor.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    os.kill(supervisor, signal.SIGSTOP)
    first.kill()
    first.communicate()
    second = start(tmp_path, {}, {})
    time.sleep(2)
    assert executions(tmp_path) == ["job0"], "the old job still lives"
    os.kill(supervisor, signal.SIGCONT)
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 0, errors
    assert executions(tmp_path) == ["job0", "job0", "job1"]


def test_sigkill_of_a_worker_is_a_crash_and_the_suite_goes_on(tmp_path: Path) -> None:
    runner = start(tmp_path, {"do": "hang"}, {})
    wait_until(lambda: (tmp_path / "hanging").exists())
    (worker,) = (
        pid
        for pid in processes_of(tmp_path)
        if b"scripted_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
        and b"supervisor.py" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    os.kill(worker, signal.SIGKILL)
    runner.communicate(timeout=30)
    records, _ = read_records(the_run(tmp_path))
    assert [record.state for record in records] == [State.CRASHED, State.OK]
    assert "killed by SIGKILL in phase train" in records[0].reason


def test_failed_jobs_are_repeated_only_on_demand(tmp_path: Path) -> None:
    results = tmp_path / "results"
    bad = make_plan([{"do": "exit", "code": 1}, {}])
    first = run(bad, results, RunOptions(worker_command=WORKER), display=quiet())
    assert first.exit_code == 1
    mended = make_plan([{}, {}])
    second = run(
        mended,
        results,
        RunOptions(worker_command=WORKER, run_name=first.folder.name),
        display=quiet(),
    )
    assert second.exit_code == 1
    assert executions(tmp_path) == ["job0", "job1"]
    third = run(
        mended, results, RunOptions(worker_command=WORKER, retry_failed=True), display=quiet()
    )
    assert third.folder == first.folder
    assert third.exit_code == 0
    assert executions(tmp_path) == ["job0", "job1", "job0"]
    assert third.counts == {State.OK: 2}
    assert [record.state for record in read_records(first.folder)[0]] == [
        State.CRASHED,
        State.OK,
        State.OK,
    ]


def test_a_complete_run_is_not_resumed_and_new_makes_a_new_one(tmp_path: Path) -> None:
    results = tmp_path / "results"
    folders = {
        run(make_plan([{}, {}]), results, RunOptions(worker_command=WORKER), display=quiet()).folder
        for _ in range(2)
    }
    folders.add(
        run(
            make_plan([{}, {}]),
            results,
            RunOptions(worker_command=WORKER, fresh=True),
            display=quiet(),
        ).folder
    )
    assert len(folders) == 3
    assert len(executions(tmp_path)) == 6


def unfinished(tmp_path: Path) -> Path:
    """A run whose second job has no record yet."""
    folder = run(
        make_plan([{"do": "exit", "code": 1}, {}]),
        tmp_path / "results",
        RunOptions(worker_command=WORKER),
        display=quiet(),
    ).folder
    first, _ = (folder / "jobs.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "jobs.jsonl").write_bytes(first)
    with RunFolder(folder) as open_folder:
        open_folder.write_info(read_info(folder).replace(status="incomplete", finished_at=None))
    return folder


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("packages", {"torch": "9.9.9"}, "torch: 9.9.9 → "),
        ("host", {"cpu": "abacus", "cores": 2}, "CPU: abacus → "),
        (
            "host",
            {"gpus": [{"name": "NVIDIA H100", "uuid": "GPU-1"}]},
            "GPUs: NVIDIA H100 GPU-1 → none",
        ),
    ],
)
def test_another_host_or_package_refuses_to_resume(
    tmp_path: Path, key: str, value: object, expected: str
) -> None:
    folder = unfinished(tmp_path)
    info = json.loads((folder / "run.json").read_text())
    info[key] = {**info[key], **value}
    (folder / "run.json").write_text(json.dumps(info))
    with pytest.raises(BenchError) as refused:
        run(
            make_plan([{}, {}]),
            tmp_path / "results",
            RunOptions(worker_command=WORKER),
            display=quiet(),
        )
    assert expected in refused.value.message
    assert "--new" in refused.value.fix
    run(
        make_plan([{}, {}]),
        tmp_path / "results",
        RunOptions(worker_command=WORKER, fresh=True),
        display=quiet(),
    )


def test_another_configuration_is_another_run(tmp_path: Path) -> None:
    folder = unfinished(tmp_path)
    other = replace(make_plan([{}, {}]), config_sha256="decaf")
    assert (
        run(other, tmp_path / "results", RunOptions(worker_command=WORKER), display=quiet()).folder
        != folder
    )
    with pytest.raises(BenchError, match="another configuration"):
        run(
            other,
            tmp_path / "results",
            RunOptions(worker_command=WORKER, run_name=folder.name),
            display=quiet(),
        )
    with pytest.raises(BenchError, match=r"this run is of suite \S+, not of another"):
        run(
            replace(other, suite="another"),
            tmp_path / "results",
            RunOptions(worker_command=WORKER, run_name=folder.name),
            display=quiet(),
        )
    with pytest.raises(BenchError, match="this run exists"):
        run(
            other,
            tmp_path / "results",
            RunOptions(worker_command=WORKER, run_name=folder.name, fresh=True),
            display=quiet(),
        )


def test_a_torn_line_is_set_aside_and_its_job_runs_again(tmp_path: Path) -> None:
    folder = unfinished(tmp_path)
    with (folder / "jobs.jsonl").open("a") as file:
        file.write('{"id": "job1", "run": "scri')
    outcome = run(
        make_plan([{}, {}]),
        tmp_path / "results",
        RunOptions(worker_command=WORKER),
        display=quiet(),
    )
    assert outcome.folder == folder
    assert [record.id for record in read_records(folder)[0]] == ["job0", "job1"]
    assert (folder / "jobs.jsonl.rejected").read_text() == '{"id": "job1", "run": "scri\n'
    assert any("1 damaged line" in note for note in read_info(folder).notes)


def test_a_run_of_a_newer_version_is_neither_resumed_nor_changed(tmp_path: Path) -> None:
    folder = unfinished(tmp_path)
    with (folder / "jobs.jsonl").open("a") as file:
        file.write('{"schema_version": 99, "id": "job1"}\n')
    before = {name: (folder / name).read_bytes() for name in ("jobs.jsonl", "run.json")}
    for run_name in (None, folder.name):
        with pytest.raises(
            BenchError, match="1 of its jobs were recorded by a newer version"
        ) as refused:
            run(
                make_plan([{}, {}]),
                tmp_path / "results",
                RunOptions(worker_command=WORKER, run_name=run_name),
                display=quiet(),
            )
        assert "--new" in str(refused.value)
    assert {name: (folder / name).read_bytes() for name in before} == before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a/b", "a run has a name, not a path: --results a --run b"),
        ("../b", "a run has a name, not a path: --results .. --run b"),
        ("/srv/x/", "a run has a name, not a path: --results /srv --run x"),
        ("..", "a run has a name, not a path: --run NAME"),
        ("", "a name is made of letters, digits and - _ . +"),
        ("a b", "a name is made of letters, digits and - _ . +"),
        ("a\n", "a name is made of letters, digits and - _ . +"),
        ("🚀", "a name is made of letters, digits and - _ . +"),
        (".hidden", "a name does not begin with ."),
        ("-new", "a name does not begin with -"),
        ("x" * 221, "the name has 221 bytes, and 220 are allowed"),
        ("夜" * 74, "the name has 222 bytes, and 220 are allowed"),
    ],
)
def test_a_name_that_is_none_for_a_folder_is_refused_before_anything_runs(
    tmp_path: Path, name: str, said: str
) -> None:
    with pytest.raises(BenchError) as refused:
        run(
            make_plan([{}]),
            tmp_path / "results",
            RunOptions(worker_command=WORKER, run_name=name),
            display=quiet(),
        )
    assert (refused.value.place, f"{refused.value.message}: {refused.value.fix}"[: len(said)]) == (
        f"--run {name}",
        said,
    )
    assert not (tmp_path / "results").exists()
    assert executions(tmp_path) == []


@pytest.mark.parametrize("name", ["夜" * 73, "x" * 220, "été+1.5_b"])
def test_the_longest_names_that_are_allowed_name_folders(tmp_path: Path, name: str) -> None:
    outcome = run(
        make_plan([{}]),
        tmp_path / "results",
        RunOptions(worker_command=WORKER, run_name=name),
        display=quiet(),
    )
    assert outcome.folder == tmp_path / "results" / name
    assert read_info(outcome.folder).run == name


def test_a_resumed_run_keeps_its_first_decision_on_sources(tmp_path: Path) -> None:
    folder = unfinished(tmp_path)
    info = read_info(folder)
    assert info.config["resolved_sources"] == {
        "data": {"sst2": "synthetic"},
        "weights": {"bert-tiny": "random"},
    }
    assert "weights of bert-tiny: random" in info.notes


def test_hosts_are_told_apart_by_cards_or_name_and_small_memory_changes_pass(
    tmp_path: Path,
) -> None:
    host = read_info(unfinished(tmp_path)).host
    assert host.memory_bytes is not None
    assert (
        host_changes(host, host.model_copy(update={"memory_bytes": host.memory_bytes - 4096})) == []
    )
    assert (
        host_changes(host, host.model_copy(update={"memory_bytes": host.memory_bytes // 2})) != []
    )
    assert host_changes(host, host.model_copy(update={"name_sha256": "other"})) == ["host name"]
    card = host.model_copy(update={"gpus": [{"name": "H100", "uuid": "GPU-1"}]})
    assert (
        host_changes(card, card.model_copy(update={"name_sha256": "other", "memory_bytes": 1}))
        == []
    )
    assert package_changes({"a": "1"}, {"a": "1", "b": "2"}) == ["b: none → 2"]
