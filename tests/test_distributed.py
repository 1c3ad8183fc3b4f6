"""Jobs of several processes: commands, cards, what is refused; then real ones under torchrun, with
gloo on the CPU.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import worker_helpers as worker
from runner_support import processes_of, wait_until

from harness.config import load_suite
from harness.errors import BenchError
from harness.launcher import torchrun
from harness.launcher.environment import environment_for, visible_cards
from harness.launcher.outcome import Seen, judge
from harness.launcher.process import RunningJob, run_to_end
from harness.planning.plan import make_plan
from harness.runner import preflight
from harness.schema.job import JobSpec
from harness.schema.record import Engagement, Memory, State
from harness.schema.workload import Launch
from harness.telemetry.sources import Gpu, LostGpu, Unreadable
from harness.worker.ranks import Ranks, highest, proof_of_all

ROOT = Path(__file__).parent.parent
SMOKE = ROOT / "configs" / "scaling-smoke.yaml"


def job_of(folder: Path, processes: int, backend: str = "pytorch", **changes: Any) -> JobSpec:
    launch = {"processes": processes, **changes.pop("launch", {})}
    job = JobSpec.model_validate(worker.spec(folder, backend, **changes))
    return job.model_copy(
        update={"workload": job.workload.model_copy(update={"launch": Launch(**launch)})}
    )


def test_one_process_needs_no_torchrun_and_several_do() -> None:
    assert torchrun.command(Launch(), "python", Path("p")) == ["python", "-m", "harness.worker"]
    words = torchrun.command(Launch(processes=4), "python", Path("p"))
    assert words[:3] == ["python", "-m", "torch.distributed.run"]
    assert {"--nproc-per-node=4", "--standalone"} <= set(words)
    assert words[-2:] == ["-m", "harness.worker"]
    assert "--nproc-per-node=1" in torchrun.command(
        Launch(launcher="torchrun"), "python", Path("p")
    )


@pytest.mark.parametrize(
    ("processes", "given", "seen"),
    [
        (1, None, "0"),
        (2, None, "0,1"),
        (1, "3,5", "3"),
        (2, "3, 5,7", "3,5"),
        (2, "4", "4"),
        (1, "", ""),
    ],
)
def test_a_job_sees_a_card_for_each_of_its_processes(
    processes: int, given: str | None, seen: str
) -> None:
    assert visible_cards(processes, given) == seen


def test_a_plain_job_on_a_host_with_several_cards_sees_one(tmp_path: Path) -> None:
    """With more Trainer would use DataParallel, and ORTModule under it silently PyTorch."""
    caller = {"CUDA_VISIBLE_DEVICES": "0,1", "NCCL_NVLS_ENABLE": "0", "SECRET": "x"}
    plain = job_of(tmp_path, 1).model_copy(update={"device": "cuda"})
    two = job_of(tmp_path, 2).model_copy(update={"device": "cuda"})
    assert environment_for(plain, caller, Path())["CUDA_VISIBLE_DEVICES"] == "0"
    variables = environment_for(two, caller, Path())
    assert variables["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert variables["NCCL_NVLS_ENABLE"] == "0"
    assert "SECRET" not in variables
    assert (
        environment_for(job_of(tmp_path, 2), caller, Path())["CUDA_VISIBLE_DEVICES"] == ""
    )  # on the CPU


class OneCard:
    """A host with one idle card."""

    gpus = (Gpu(0, "GPU-0", "NVIDIA H200"),)
    lost: tuple[LostGpu, ...] = ()
    problems: tuple[str, ...] = ()

    def read(self, gpu: Gpu, reading: str) -> dict[str, Any]:
        raise Unreadable("not asked for", permanent=True)

    def process_name(self, pid: int) -> str:
        return "unknown"


def test_more_processes_than_cards_are_refused() -> None:
    (finding,) = [
        f for f in preflight.inspect("cuda", cards=OneCard(), needed=2) if f.severity == "error"
    ]
    assert finding.message == "a job of 2 processes needs as many cards, and 1 can be used"
    assert not [
        f for f in preflight.inspect("cuda", cards=OneCard(), needed=1) if f.severity == "error"
    ]


def test_a_sweep_over_processes_makes_a_workload_of_each() -> None:
    plan = make_plan(load_suite(SMOKE), device="cpu", cache_dir=Path("c"))
    launches = {job.workload.name: job.workload.launch for job in plan.jobs}
    assert {name: (launch.world_size, launch.torchrun) for name, launch in launches.items()} == {
        "bert-tiny-sst2-processes1": (1, False),
        "bert-tiny-sst2-processes2": (2, True),
    }
    assert len({job.id for job in plan.jobs}) == len(plan.jobs)


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("measurement.protocol=blocks", "cannot take turns"),
        ("launch.launcher=plain", "`launcher: plain` starts one process, not 2"),
        ("workloads.0.launch={gpus: 2}", "unknown key 'gpus'"),
        ("launch.processes=0", "greater than or equal to 1"),
        (
            "launch.nodes=2",
            "--set launch.nodes=2: launch.nodes: a job trains on one host, not on 2",
        ),
        (
            "workloads.0.launch={nodes: 3}",
            "workloads.0.launch.nodes: a job trains on one host, not on 3",
        ),
        (
            "workloads.0.sweep={nodes: [1, 2]}",
            "workloads.0.sweep.nodes: a job trains on one host, not on 2",
        ),
    ],
)
def test_what_cannot_be_is_refused_at_the_config(override: str, complaint: str) -> None:
    with pytest.raises(BenchError, match=complaint):
        load_suite(SMOKE, [override])


def test_every_rank_must_be_proven_and_reasons_name_it() -> None:
    proven = Engagement(engaged=True, torch_module="TorchModuleORT")
    fell_back = Engagement(engaged=False, reasons=["after step 1: a fallback is pending"])
    assert proof_of_all([None, None]) is None
    both = proof_of_all([proven, proven])
    assert both is not None
    assert (both.engaged, both.ranks) == (True, 2)
    one = proof_of_all([proven, fell_back])
    assert one is not None
    assert (one.engaged, one.reasons) == (False, ["rank 1: after step 1: a fallback is pending"])


def test_a_step_takes_as_long_as_on_its_slowest_rank() -> None:
    """And samples are of all ranks, a loss is their mean."""
    pytest.importorskip("transformers", reason="the training stack is not installed: `make setup`")
    from harness.worker.instruments.loss_recorder import LossRecorder
    from harness.worker.instruments.step_clock import StepClock

    class WithOther(Ranks):
        """Rank 0 of two; the other was slow in the second step."""

        def exchange(self, value: Any) -> list[Any]:
            match value:
                case ([*_], float()):
                    return [value, ([0.1, 0.5, 0.1], 3.0)]
                case _:
                    return [value, ([0.5, 0.1, 0.3], [4, 4, 2])]

    class Trainer:
        training_step = staticmethod(lambda model, inputs: None)

    ranks = WithOther(size=2)
    losses = LossRecorder(Trainer(), cuda=False)
    losses.values, losses.samples = [0.7, 0.3, 0.1], [4, 4, 4]
    clock = StepClock(None, losses, lambda step: None, cuda=False, ranks=ranks)  # type: ignore[arg-type]
    clock._starts, clock._ends = [0.0, 0.2, 0.4], [0.2, 0.4, 0.6]
    clock._starts_ns, clock._ends_ns = [0, 1, 2], [1, 2, 3]
    clock.setup_s = 2.0
    clock.gather()
    losses.gather(ranks)
    assert clock.durations_s() == pytest.approx([0.2, 0.5, 0.2])
    assert (losses.values, losses.samples) == (pytest.approx([0.6, 0.2, 0.2]), [8, 8, 6])
    timing = clock.timing(warmup_steps=1)
    assert timing.setup_s == 3.0
    assert timing.steady_step_s == pytest.approx(0.35)  # of the two steps after the first
    assert timing.steady_samples_per_s == pytest.approx((8 + 6) / 0.7)


def test_the_highest_peak_of_any_rank_counts() -> None:
    peaks = [Memory(peak_rss_bytes=3, torch_peak_allocated_bytes=5), Memory(peak_rss_bytes=4)]
    assert highest(peaks) == Memory(peak_rss_bytes=4, torch_peak_allocated_bytes=5)


def test_a_rank_without_a_word_is_named_before_those_that_miss_it(tmp_path: Path) -> None:
    missing = "rank 0: RuntimeError: Connection closed by peer"
    seen = Seen(phase="train", step=3, failure=(State.CRASHED, missing), lost_rank=1)
    assert judge(seen, tmp_path / "none") == (
        State.CRASHED,
        f"in phase train at step 3: rank 1 was killed or ended without a word; {missing}",
    )


# Real jobs from here on.


def run(
    folder: Path, job: JobSpec, during: Callable[[RunningJob], str] = lambda running: ""
) -> tuple[Seen, Path]:
    """Run to the end; `during` is asked now and then why to stop."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    with RunningJob(job, log) as running:
        return run_to_end(
            running, 150, on_event=lambda event: None, stop_reason=lambda: during(running)
        ), log


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["pytorch", "onnxruntime"])
def test_two_processes_train_as_one_with_twice_the_batch(backend: str, tmp_path: Path) -> None:
    """Same samples in the same order, losses and gradients averaged; both ranks proven, both
    arms.
    """
    job = job_of(
        tmp_path, 2, backend, twin=True, do_eval=False, training={"batch_size": 8, "max_steps": 10}
    )
    seen, log = run(tmp_path / "two", job)
    assert judge(seen, log) == (State.OK, "")
    assert seen.result is not None
    two = seen.result
    one = worker.run(
        tmp_path / "one",
        worker.spec(
            tmp_path, twin=True, do_eval=False, training={"batch_size": 16, "max_steps": 10}
        ),
        # PyTorch in both: ONNX Runtime's parity with it is not this test's business, and within the
        # tolerance
    ).result
    assert two.losses == pytest.approx(one["losses"], abs=2e-5)
    assert two.fingerprint.data_order_sha256 == one["fingerprint"]["data_order_sha256"]
    assert two.fingerprint.initial_weights_sha256 == one["fingerprint"]["initial_weights_sha256"]
    assert two.fingerprint.training_arguments["ddp_find_unused_parameters"] is False
    timing = two.timing
    assert timing.steady_step_s is not None
    assert timing.steady_samples_per_s == pytest.approx(
        2 * 8 / timing.steady_step_s
    )  # of all ranks
    assert sum(seen.series.duration_s[timing.steady_begin_step - 1 :]) == pytest.approx(  # type: ignore[operator]
        timing.steady_step_s * (timing.steady_steps or 0)
    )
    if backend == "onnxruntime":
        assert two.engagement is not None
        assert (two.engagement.engaged, two.engagement.ranks) == (True, 2)
        assert two.engagement.torch_module == "TorchModuleORT"


@pytest.mark.slow
def test_a_killed_rank_ends_the_job_at_once_and_by_name(tmp_path: Path) -> None:
    """Not after gloo's half an hour."""
    killed: list[float] = []

    def kill(running: RunningJob) -> str:
        second = next((peer.pid for peer in running.peers if peer.rank == 1), None)
        if not killed and (running.seen.step or 0) >= 5 and second is not None:
            os.kill(second, signal.SIGKILL)
            killed.append(time.monotonic())
        return ""

    job = job_of(tmp_path, 2, do_eval=False, training={"max_steps": 100_000})
    seen, log = run(tmp_path / "job", job, kill)
    assert time.monotonic() - killed[0] < 45
    state, reason = judge(seen, log)
    assert state is State.CRASHED
    assert "rank 1 was killed or ended without a word" in reason


RUNNER = """
import sys
from pathlib import Path
from harness.launcher.process import RunningJob
from harness.schema.job import JobSpec

job = JobSpec.model_validate_json(Path(sys.argv[1]).read_text())
with RunningJob(job, Path(sys.argv[2])) as running:
    while True:
        running.pump(0.2)
        pids = [peer.pid for peer in running.peers if peer.pid]
        if len(pids) == 2:
            print(running.pid, *pids, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["runner", "guardian"])
def test_no_rank_outlives_its_runner_or_its_guardian(whom: str, tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(job_of(tmp_path, 2).model_dump_json())
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(spec), str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "BENCH_TEST_FOLDER": str(tmp_path)},
    )
    assert process.stdout is not None
    guardian, *ranks = map(int, process.stdout.readline().split())
    assert len(ranks) == 2
    os.kill(process.pid if whom == "runner" else guardian, signal.SIGKILL)
    wait_until(lambda: not [pid for pid in processes_of(tmp_path) if pid != process.pid], 15)
    process.kill()
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "timeout"])
def test_no_rank_is_left_after_a_stop_or_the_time_limit(how: str, tmp_path: Path) -> None:
    pids: list[int] = []
    job = job_of(tmp_path, 2, do_eval=False, training={"max_steps": 100_000})
    log = tmp_path / "log"
    with RunningJob(job, log) as running:
        while len(pids) < 2:
            running.pump(1)
            pids = [peer.pid for peer in running.peers if peer.pid is not None]
        limit = 0.1 if how == "timeout" else 60.0
        seen = run_to_end(
            running,
            limit,
            on_event=lambda e: None,
            stop_reason=lambda: "told so" if how == "stop" else "",
        )
        agent = running.pid
    assert judge(seen, log)[0] is (State.TIMEOUT if how == "timeout" else State.INTERRUPTED)
    for pid in (*pids, agent):
        wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), 5)
