"""Plans of scripted jobs, and what tests of the runner look at."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.launcher.outcome import Seen
from harness.planning.plan import Plan
from harness.runner.display import LineDisplay
from harness.runner.record_builder import Execution, RecordBuilder
from harness.schema.job import JobSpec
from harness.schema.measurement import Interleaved, Measurement
from harness.schema.record import Host, JobRecord, Pair, State, WorkerResult
from harness.schema.workload import Arm, Model, Task, Training, Workload

WORKER = (sys.executable, str(Path(__file__).parent / "scripted_worker.py"))
INTERLEAVED_WORKER = (sys.executable, str(Path(__file__).parent / "scripted_interleaved.py"))
# A program that wants all of one core, for two minutes at most.
BUSY = "import time\nend = time.monotonic() + 120\nwhile time.monotonic() < end: pass"
BASELINE, CANDIDATE = "pytorch", "onnxruntime"


def make_job(position: int = 0, **options: Any) -> JobSpec:
    """A job of a scripted worker: even positions are the baseline's, two following ones form a
    replicate.
    """
    workload = Workload(
        name="tiny",
        model=Model(name="bert-tiny", architecture="bert-tiny", weights="random"),
        task=Task(name="sst2", source="synthetic"),
        training=Training(),
    )
    arm = Arm(name=(BASELINE, CANDIDATE)[position % 2], backend="pytorch", options=options)
    return JobSpec(
        id=f"job{position}",
        suite="scripted",
        workload=workload,
        arm=arm,
        replicate=position // 2,
        position=position,
        seed=42 + position // 2,
        device="cpu",
        cache_dir=Path("cache"),
    )


def ended(
    job: JobSpec, state: State = State.OK, reason: str = "", attempt: int = 1, **result: Any
) -> JobRecord:
    """A record of the job; `result` holds fields of WorkerResult, and `wall_s`."""
    wall_s = result.pop("wall_s", 60.0)
    seen = Seen(exit_code=0, wall_s=wall_s, result=WorkerResult(**result))
    return record_of(job, seen, state, reason, attempt=attempt)


def record_of(
    job: JobSpec,
    seen: Seen,
    state: State = State.OK,
    reason: str = "",
    *,
    run: str = "run",
    **more: Any,
) -> JobRecord:
    """The record of a job that ran by itself; `more` holds fields of Execution."""
    (record,) = RecordBuilder(run, Host()).build(Execution(job, seen, state, reason, **more))
    return record


def plan_of(
    jobs: Sequence[JobSpec],
    timeout_s: float = 60.0,
    telemetry_interval_s: float = 0,
    **settings: Any,
) -> Plan:
    """A plan of these jobs of one pair; `settings` are of Measurement."""
    measurement = Measurement(
        timeout_minutes=timeout_s / 60,
        telemetry_interval_ms=1000 * telemetry_interval_s,
        **{"max_reruns": 0, **settings},
    )
    return Plan(
        suite="scripted",
        description="jobs that only pretend",
        jobs=tuple(jobs),
        pairs=(Pair(workload="tiny", baseline=BASELINE, candidate=CANDIDATE),),
        measurement=measurement,
        config={"suite": "scripted"},
        config_sha256="c0ffee",
    )


def measured(plan: Plan, **settings: Any) -> Plan:
    """The plan with other settings of its measurement."""
    return replace(plan, measurement=plan.measurement.replace(**settings))


def make_plan(behaviours: Sequence[dict[str, Any]], **settings: Any) -> Plan:
    """A plan of scripted jobs with these options; `settings` are of `plan_of`."""
    jobs = [make_job(position, **options) for position, options in enumerate(behaviours)]
    return plan_of(jobs, **settings)


def make_pair_plan(
    options: Sequence[tuple[dict[str, Any], dict[str, Any]]], **settings: Any
) -> Plan:
    """Replicates of the interleaved pair; `options` of (baseline, candidate) for each replicate,
    for scripted_interleaved.py.
    """
    jobs = []
    for position, arm_options in enumerate(option for both in options for option in both):
        job = make_job(position, **arm_options)
        jobs.append(job.replace(group=[BASELINE, CANDIDATE], freeze_collector=True))
    turns = Interleaved(seconds=0.3, steps=1, cores=0)
    return plan_of(jobs, **{"interleaved": turns, **settings})


def wait_until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true value of the condition; fails the test after `seconds`."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)
    return value


def processes_of(folder: Path) -> list[int]:
    """Living processes that carry this test's mark in their environment, wherever they hide, this
    one excepted.
    """
    mark = f"BENCH_TEST_FOLDER={folder}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            is_zombie = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
            if not is_zombie and mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def executions(folder: Path) -> list[str]:
    """Ids of the jobs whose worker started, in order."""
    path = folder / "executions"
    return path.read_text().split() if path.exists() else []


def quiet() -> LineDisplay:
    return LineDisplay(Path("/dev/null").open("w"))


@contextmanager
def busy_on(cpu: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process that wants all of one core."""
    # A session of its own: Linux shares CPUs between sessions (autogroup), and in that of the tests
    # this process would have only a part of their share.
    process = subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True)
    try:
        os.sched_setaffinity(process.pid, {cpu})
        yield process
    finally:
        process.kill()
        process.wait()
