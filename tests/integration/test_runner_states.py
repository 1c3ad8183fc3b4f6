"""Every named end state, from real processes that end that way."""

import json
import os
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from runner_support import WORKER, make_job, make_plan, processes_of, quiet, wait_until

from harness.errors import BenchError
from harness.launcher import process
from harness.launcher.outcome import OomCounter, judge
from harness.launcher.process import LaunchOptions, RunningJob, run_to_end
from harness.results import provenance
from harness.results.run_folder import read_info, read_records
from harness.runner.runner import RunOptions, RunOutcome, has_result, run
from harness.schema.record import JobRecord, State


@pytest.fixture(autouse=True)
def _marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_TEST_FOLDER", str(tmp_path))


def run_jobs(
    tmp_path: Path, *behaviours: dict[str, object], timeout_s: float = 60.0
) -> tuple[RunOutcome, list[JobRecord]]:
    plan = make_plan(behaviours, timeout_s=timeout_s)
    outcome = run(plan, tmp_path / "results", RunOptions(worker_command=WORKER), display=quiet())
    records, damage = read_records(outcome.folder)
    assert not damage.lines
    assert wait_until(lambda: not processes_of(tmp_path), 5)
    return outcome, records


def test_a_job_that_ends_well_is_a_result_with_series_and_log(tmp_path: Path) -> None:
    outcome, (first, second) = run_jobs(tmp_path, {}, {})
    assert (first.state, first.reason, first.exit_code, first.signal) == (State.OK, "", 0, None)
    assert first.timing.steady_samples_per_s == 12.5
    assert first.timing.wall_s is not None
    assert 0 < first.timing.wall_s < 30
    assert first.run == outcome.folder.name
    assert second.metrics == {"accuracy": 0.5}
    assert first.series == "series/job0.parquet"
    table = pq.read_table(outcome.folder / first.series)
    assert [str(kind) for kind in table.schema.types] == ["int32", "double", "double"]
    assert table["step"].to_pylist() == [1, 2, 3]
    assert table["duration_s"].to_pylist() == [0.5, 0.25, 0.125]
    losses = table["loss"].to_pylist()
    assert (losses[0], losses[2]) == (0.7, 0.6)
    assert losses[1] != losses[1]
    assert (outcome.folder / str(first.log)).read_text() == "a line of the log\n"
    assert (outcome.exit_code, outcome.complete, outcome.counts) == (0, True, {State.OK: 2})


FAILURES = [
    (
        {"do": "failure", "state": "diverged", "reason": "loss is NaN"},
        State.DIVERGED,
        "in phase train at step 2 of 9: loss is NaN",
    ),
    ({"do": "failure", "state": "fallback"}, State.FALLBACK, "as told"),
    ({"do": "failure", "state": "out_of_memory"}, State.OUT_OF_MEMORY, "as told"),
    ({"do": "failure", "state": "crashed"}, State.CRASHED, "as told"),
    ({"do": "failure", "state": "ok"}, State.CRASHED, "protocol error"),
    ({"do": "failure", "state": "tired"}, State.CRASHED, "protocol error"),
    ({"do": "garbage"}, State.CRASHED, "protocol error in phase train"),
    ({"do": "bad result"}, State.CRASHED, "protocol error"),
    ({"do": "not engaged"}, State.FALLBACK, "the torch module is not ORT's"),
    (
        {"do": "signal", "number": signal.SIGKILL},
        State.CRASHED,
        "killed by SIGKILL in phase train at step 2 of 9",
    ),
    ({"do": "signal", "number": signal.SIGSEGV}, State.CRASHED, "killed by SIGSEGV in phase train"),
    ({"do": "half an event"}, State.CRASHED, "killed by SIGKILL"),
    ({"do": "bad_alloc"}, State.OUT_OF_MEMORY, "std::bad_alloc"),
    ({"do": "exit", "code": 0}, State.CRASHED, "exited with 0 without a result in phase train"),
    ({"do": "exit", "code": 3}, State.CRASHED, "last line of the log: a line of the log"),
    ({"do": "result and exit", "code": 3}, State.CRASHED, "sent a result but exited with 3"),
    ({"do": "kill supervisor"}, State.CRASHED, "supervisor"),
]


@pytest.mark.parametrize(
    ("behaviour", "state", "reason"), FAILURES, ids=[json.dumps(b) for b, _, _ in FAILURES]
)
def test_a_bad_end_is_named_and_the_suite_goes_on(
    tmp_path: Path, behaviour: dict[str, object], state: State, reason: str
) -> None:
    outcome, (bad, good) = run_jobs(tmp_path, behaviour, {})
    assert bad.state is state
    assert reason in bad.reason
    assert "\n" not in bad.reason
    assert good.state is State.OK
    assert outcome.complete
    assert outcome.exit_code == 1, "the pair has no replicate with both ok"
    assert len(outcome.pairs_without_result) == 1


def test_a_job_that_hangs_is_killed_with_its_grandchild_and_the_phase_is_named(
    tmp_path: Path,
) -> None:
    _, (hung, good) = run_jobs(tmp_path, {"do": "hang with grandchild"}, {}, timeout_s=3)
    assert hung.state is State.TIMEOUT
    assert hung.reason == "killed after the time limit of 3 s in phase train at step 2 of 9"
    assert hung.signal == signal.SIGKILL
    assert good.state is State.OK


def test_a_job_that_has_said_its_last_word_must_exit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "EXIT_GRACE_S", 0.5)
    _, (record,) = run_jobs(tmp_path, {"do": "result and hang"})
    assert record.state is State.TIMEOUT
    assert record.reason.startswith("did not exit within 0.5 s of its last word in phase train")
    assert record.metrics == {"accuracy": 0.5}, "what it had measured stays in the record"


def test_what_a_finished_job_leaves_behind_is_killed_and_noted(tmp_path: Path) -> None:
    outcome, (record,) = run_jobs(tmp_path, {"do": "leave grandchild"})
    assert record.state is State.OK
    assert (
        "1 process(es) left behind by the job were killed"
        in (outcome.folder / str(record.log)).read_text()
    )


def test_a_sigkill_with_a_risen_oom_counter_is_out_of_memory(tmp_path: Path) -> None:
    counter = tmp_path / "memory.events"
    counter.write_text("low 0\noom_kill 3\n")
    log = tmp_path / "log"
    job = make_job(do="oom kill", counter=str(counter))
    with RunningJob(job, log, LaunchOptions(command=WORKER, oom=OomCounter(counter))) as running:
        seen = run_to_end(running, 30, on_event=lambda event: None, stop_reason=lambda: "")
    state, reason = judge(seen, log)
    assert state is State.OUT_OF_MEMORY
    assert "OOM killer in phase train" in reason


def test_this_kernel_has_an_oom_counter() -> None:
    counter = OomCounter()
    assert counter.file is not None
    assert counter.read() >= 0
    assert counter.rise() == 0


def test_a_traceback_of_the_worker_is_in_its_log(tmp_path: Path) -> None:
    outcome, (record,) = run_jobs(tmp_path, {"do": "failure", "state": "diverged"})
    assert "Traceback: here" in (outcome.folder / str(record.log)).read_text()


def test_rank_0_speaks_for_the_job(tmp_path: Path) -> None:
    _, (record,) = run_jobs(tmp_path, {"do": "two ranks"})
    assert record.state is State.OK
    assert record.metrics == {"accuracy": 0.5}


def test_the_runner_can_send_control_messages(tmp_path: Path) -> None:
    with RunningJob(
        make_job(do="echo"), tmp_path / "log", LaunchOptions(command=WORKER)
    ) as running:
        while not (running.peers and running.peers[0].rank == 0):
            running.pump(10)
        running.peers[0].send("turn", turn=7)
        seen = run_to_end(running, 30, on_event=lambda event: None, stop_reason=lambda: "")
    assert seen.result is not None
    assert seen.result.metrics == {"told": 7}


def test_a_metric_that_is_nan_survives_the_file(tmp_path: Path) -> None:
    _, (record,) = run_jobs(tmp_path, {"do": "nan"})
    assert record.metrics["accuracy"] != record.metrics["accuracy"]


def test_a_stack_whose_interpreter_vanished_between_jobs_fails_by_name(tmp_path: Path) -> None:
    plan = make_plan([{}])
    outcome = run(
        plan, tmp_path / "results", RunOptions(worker_command=("/nowhere/python",)), display=quiet()
    )
    (record,) = read_records(outcome.folder)[0]
    assert record.state is State.CRASHED
    assert "exited with 127" in record.reason
    assert "No such file" in record.reason


def test_a_runner_that_cannot_go_on_leaves_the_run_incomplete(tmp_path: Path) -> None:
    plan = make_plan([{}, {}])
    plan = replace(
        plan, jobs=(plan.jobs[0], plan.jobs[1].model_copy(update={"id": "no/such/folder"}))
    )
    with pytest.raises(BenchError, match="cannot start a job"):
        run(plan, tmp_path / "results", RunOptions(worker_command=WORKER), display=quiet())
    (folder,) = (tmp_path / "results").iterdir()
    assert read_info(folder).status == "incomplete"
    assert [record.id for record in read_records(folder)[0]] == ["job0"]


def test_a_commit_that_nobody_can_tell_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        provenance, "git_state", lambda _: {"unknown": "git is not installed: install it"}
    )
    outcome, _ = run_jobs(tmp_path, {})
    info = read_info(outcome.folder)
    assert "the commit of this code is not known: git is not installed: install it" in info.notes
    assert "commit" not in info.git


@pytest.mark.parametrize("name", ["x" * 90, "临时文件夹" * 4])
def test_a_long_tmpdir_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """In bytes: 20 Chinese characters are 60 of the 107 that a socket's path may have."""
    short = Path(tempfile.mkdtemp(dir="/tmp"))
    long = (tmp_path if name.isascii() else short) / name
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    _, (record,) = run_jobs(tmp_path, {})
    assert record.state is State.OK


def test_commands_and_variables_may_hold_any_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["harness", "run", "--set", os.fsdecode(b"a=\xff")])
    monkeypatch.setenv("OMP_PLACES", os.fsdecode(b"\xff"))
    outcome = run(make_plan([{}]), tmp_path, RunOptions(worker_command=WORKER), display=quiet())
    assert outcome.exit_code == 1, "one job makes no pair"
    assert [record.state for record in read_records(outcome.folder)[0]] == [State.OK]
    info = read_info(outcome.folder)
    assert (info.environment["OMP_PLACES"], info.command[-1]) == ("\ufffd", "a=\ufffd")


def test_a_results_folder_whose_name_is_no_text_is_refused_before_the_first_job(
    tmp_path: Path,
) -> None:
    """Libraries of the training stack take paths as UTF-8 text."""
    odd = tmp_path / os.fsdecode(b"r\xff\xe6x")
    with pytest.raises(BenchError) as refused:
        run(make_plan([{}]), odd, RunOptions(worker_command=WORKER), display=quiet())
    assert "its name is not UTF-8 text" in str(refused.value)
    assert "--results names the folder" in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_the_environment_of_a_job_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONSTARTUP", "surprise.py")
    monkeypatch.setenv("SHELL_PROMPT_THEME", "loud")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("ORTMODULE_LOG_LEVEL", "1")
    job = make_job(do="environment").replace(threads=2)
    log = tmp_path / "log"
    with RunningJob(job, log, LaunchOptions(command=WORKER)) as running:
        run_to_end(running, 30, on_event=lambda event: None, stop_reason=lambda: "")
    environment = json.loads(log.read_text().splitlines()[1])
    assert "PYTHONSTARTUP" not in environment
    assert "SHELL_PROMPT_THEME" not in environment
    assert environment["OMP_NUM_THREADS"] == "2"
    assert environment["PYTHONUTF8"] == "1"
    assert environment["ORTMODULE_LOG_LEVEL"] == "1"
    assert environment["PYTHONHASHSEED"] == "0"
    assert environment["TOKENIZERS_PARALLELISM"] == "false"


def test_a_job_reads_nothing_from_the_terminal(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with RunningJob(make_job(do="stdin"), log, LaunchOptions(command=WORKER)) as running:
        run_to_end(running, 30, on_event=lambda event: None, stop_reason=lambda: "")
    assert "stdin: ''" in log.read_text()


def test_no_path_of_this_machine_reaches_a_record(tmp_path: Path) -> None:
    outcome, (record,) = run_jobs(tmp_path, {"do": "paths"})
    output = f"<tmp>{str(tmp_path / 'out').removeprefix(tempfile.gettempdir())}"
    assert record.fingerprint.training_arguments == {"output_dir": output, "lr": 0.1}
    assert str(tmp_path) not in (outcome.folder / "jobs.jsonl").read_text()
    assert str(tmp_path) not in (outcome.folder / "run.json").read_text()


def test_a_pair_has_a_result_only_if_both_arms_are_ok_in_one_replicate(tmp_path: Path) -> None:
    bad = {"do": "exit", "code": 1}
    outcome, records = run_jobs(tmp_path, {}, bad, bad, {})
    assert outcome.exit_code == 1, "replicate 0 lacks the candidate, replicate 1 the baseline"
    (pair,) = outcome.pairs_without_result
    assert not has_result(pair, records)
    ok = [record.model_copy(update={"state": State.OK}) for record in records]
    assert has_result(pair, [*records, ok[1]])
    assert not has_result(pair, [record.model_copy(update={"parity_run": True}) for record in ok])
