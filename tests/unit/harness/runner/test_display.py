"""What the terminal shows."""

import io

import pytest
from runner_support import make_job, record_of

from harness.launcher.outcome import Seen
from harness.runner.display import LineDisplay, LiveDisplay, TimeLeft, duration, make_display, title
from harness.schema.record import JobRecord, State, Timing, WorkerResult
from harness.schema.replicates import ReplicateNames


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def ended(position: int, wall_s: float, state: State = State.OK, reason: str = "") -> JobRecord:
    seen = Seen(
        exit_code=0, wall_s=wall_s, result=WorkerResult(timing=Timing(steady_samples_per_s=123.44))
    )
    return record_of(make_job(position), seen, state, reason)


def test_a_pipe_gets_one_line_per_event() -> None:
    stream = io.StringIO()
    display = make_display(stream)
    assert isinstance(display, LineDisplay)
    jobs = [make_job(position) for position in range(4)]
    display.run_started("smoke-1", jobs, [ended(0, 100.0)], resumed=True)
    display.jobs_started([jobs[1]], 2)
    display.job_event({"event": "progress", "step": 1, "total_steps": 2})
    display.job_finished(ended(1, 20.0, State.DIVERGED, "in phase train: loss is NaN"))
    display.close()
    assert stream.getvalue().splitlines() == [
        "run smoke-1: 4 jobs, resumed with 1 finished",
        "[2/4] tiny · onnxruntime · replicate 1 (about 5 min left)",
        "[2/4] tiny · onnxruntime · replicate 1: diverged, 20.0 s, 123.4 samples/s: in phase "
        "train: "
        "loss is NaN",
    ]


def test_a_terminal_gets_a_live_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    stream = Terminal()
    display = make_display(stream)
    assert isinstance(display, LiveDisplay)
    jobs = [make_job(position) for position in range(4)]
    display.run_started("smoke-1", jobs, [ended(0, 100.0)], resumed=False)
    display.jobs_started([jobs[1]], 2)
    display.job_event({"event": "phase", "name": "train"})
    display.job_event(
        {"event": "progress", "step": 30, "total_steps": 120, "samples_per_s": 55.55, "loss": None}
    )
    display._live.refresh()
    panel = stream.getvalue()
    for part in (
        "2/4 tiny · onnxruntime · replicate 1 · train 30/120",
        "55.55 samples/s",
        "about 5 min left",
    ):
        assert part in panel
    display.job_finished(ended(1, 20.0, State.CRASHED, "killed by [SIGKILL]"))
    display.close()
    assert "killed by [SIGKILL]" in stream.getvalue(), "brackets are text, not markup"


def test_time_left_prefers_the_same_arm_and_results() -> None:
    jobs = [make_job(position) for position in range(4)]
    assert TimeLeft(jobs, []).seconds() is None
    left = TimeLeft(jobs, [ended(0, 10.0)])
    assert left.seconds() == pytest.approx(30.0), "other arm: the mean of all"
    left.ended(ended(1, 40.0))
    assert left.seconds() == pytest.approx(50.0)
    assert left.seconds(jobs[2], 4.0) == pytest.approx(46.0)
    assert left.seconds(jobs[2], 400.0) == pytest.approx(40.0)
    left.ended(ended(2, 1.0, State.CRASHED))
    assert left.seconds() == pytest.approx(40.0)


def test_durations_read_like_a_person_writes_them() -> None:
    assert [duration(s) for s in (4.4, 89, 90, 3000, 11100)] == [
        "4 s",
        "89 s",
        "2 min",
        "50 min",
        "3 h 05 min",
    ]


def test_parity_runs_attempts_and_partners_are_named() -> None:
    job = make_job(1)
    assert title(job.model_copy(update={"parity_run": True})) == "tiny · onnxruntime · parity run"
    assert (
        title(job.model_copy(update={"group": ["pytorch", "onnxruntime", "third"]}))
        == "tiny · onnxruntime beside pytorch and third · replicate 1"
    )
    assert (
        title(ended(1, 1.0).model_copy(update={"attempt": 3}))
        == "tiny · onnxruntime · replicate 1 · attempt 3"
    )
    names = ReplicateNames.of_numbers(5, [0, 53])
    assert (
        title(job.replace(replicate=53, group=["pytorch", "onnxruntime"]), names)
        == "tiny · onnxruntime beside pytorch · replicate 4 of group 2"
    )


def test_jobs_side_by_side_are_announced_together() -> None:
    stream = io.StringIO()
    job = make_job(1).replace(parity_run=True)
    others = [job.replace(arm=job.arm.replace(name=name)) for name in ("sdpa", "torch-compile")]
    LineDisplay(stream).jobs_started([job, *others], 2)
    assert stream.getvalue().splitlines() == [
        "[2/0] tiny · onnxruntime beside sdpa and torch-compile · parity run"
    ]


def test_lines_name_the_replicate_within_its_group() -> None:
    """The number in the record has room for groups in it, and is nobody's."""
    stream = io.StringIO()
    display = LineDisplay(stream)
    names = ReplicateNames.of_numbers(5, [0, 50])
    job = make_job(1).replace(replicate=53)
    display.jobs_started([job], 2, names)
    seen = Seen(exit_code=0, wall_s=1.0, result=WorkerResult(timing=Timing()))
    display.job_finished(record_of(job, seen, State.OK, ""), names)
    assert stream.getvalue().splitlines() == [
        "[2/0] tiny · onnxruntime · replicate 4 of group 2",
        "[2/0] tiny · onnxruntime · replicate 4 of group 2: ok, 1.0 s",
    ]


def test_time_left_knows_of_dropped_jobs_parity_runs_and_jobs_that_run_together() -> None:
    jobs = [make_job(position) for position in range(4)]
    left = TimeLeft(jobs, [ended(0, 10.0)])
    left.dropped(jobs[2:])
    assert left.seconds() == pytest.approx(10.0)
    together = TimeLeft(
        jobs,
        [ended(p, 30.0).model_copy(update={"group": ["pytorch", "onnxruntime"]}) for p in (0, 1)],
    )
    assert together.seconds() == pytest.approx(30.0), (
        "the two others take as long as these, together"
    )
    parity_run = ended(0, 2.0).model_copy(update={"parity_run": True, "id": "parity_run"})
    assert TimeLeft(jobs[2:], [parity_run, ended(0, 50.0)]).seconds() == pytest.approx(50 + 26), (
        "other arm: mean of all"
    )


def test_jobs_in_the_place_of_others_count_and_are_waited_for() -> None:
    stream = io.StringIO()
    display = LineDisplay(stream)
    jobs = [make_job(position) for position in range(4)]
    before = ended(9, 10.0)  # of a resumed run
    display.run_started("smoke-1", jobs, [ended(0, 10.0), before], resumed=True)
    display.jobs_replanned(jobs[2:], [make_job(position) for position in range(7, 11)])
    display.jobs_started([jobs[1]], 2)
    display.close()
    # Job 1, and 7, 8 and 10 of those added: 9 had ended.
    assert stream.getvalue().splitlines()[-1] == (
        "[2/6] tiny · onnxruntime · replicate 1 (about 40 s left)"
    )
