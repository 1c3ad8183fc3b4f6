"""Jobs of several processes: their commands, their cards, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import worker_helpers as worker
from folders import ROOT

from harness.config import load_suite
from harness.errors import BenchError
from harness.launcher import torchrun
from harness.launcher.environment import environment_for, visible_cards
from harness.launcher.outcome import Seen, judge
from harness.planning.plan import make_plan
from harness.runner import preflight
from harness.schema.record import Engagement, Memory, State
from harness.schema.workload import Launch
from harness.telemetry.readings import Gpu, LostGpu, Unreadable
from harness.worker.ranks import Ranks, highest, proof_of_all

SMOKE = ROOT / "configs" / "scaling-smoke.yaml"


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
    plain = worker.job_of(tmp_path, 1).model_copy(update={"device": "cuda"})
    two = worker.job_of(tmp_path, 2).model_copy(update={"device": "cuda"})
    assert environment_for(plain, caller, Path())["CUDA_VISIBLE_DEVICES"] == "0"
    variables = environment_for(two, caller, Path())
    assert variables["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert variables["NCCL_NVLS_ENABLE"] == "0"
    assert "SECRET" not in variables
    assert (
        environment_for(worker.job_of(tmp_path, 2), caller, Path())["CUDA_VISIBLE_DEVICES"] == ""
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
        ("measurement.protocol=interleaved", "cannot take turns"),
        ("launch.launcher=plain", "`launcher: plain` starts one process, not 2"),
        ("workloads.0.launch={gpus: 2}", "unknown key 'gpus'"),
        ("launch.processes=0", "greater than or equal to 1"),
        ("launch.nodes=0", "greater than or equal to 1"),
        ("workloads.0.launch={nodes: 2, launcher: plain, processes: 1}", "starts one process, not"),
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
                    return [value, ([0.5, 0.1, 0.3], [4, 4, 2], [40, 36, 20])]

    class Trainer:
        training_step = staticmethod(lambda model, inputs: None)

    ranks = WithOther(size=2)
    losses = LossRecorder(Trainer(), cuda=False)
    losses.values, losses.samples = [0.7, 0.3, 0.1], [4, 4, 4]
    losses.positions = [32, 40, 24]
    clock = StepClock(None, losses, lambda step: None, cuda=False, ranks=ranks)
    clock._starts, clock._ends = [0.0, 0.2, 0.4], [0.2, 0.4, 0.6]
    clock._starts_ns, clock._ends_ns = [0, 1, 2], [1, 2, 3]
    clock.setup_s = 2.0
    clock.gather()
    losses.gather(ranks)
    assert clock.durations_s() == pytest.approx([0.2, 0.5, 0.2])
    assert losses.positions == [72, 76, 44]
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
