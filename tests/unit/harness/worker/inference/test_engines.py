"""What is held against a session of ONNX Runtime, and when two engines agree. No torch, no
session.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from folders import ROOT

from harness.errors import BenchError
from harness.schema.job import JobSpec
from harness.schema.workload import Inference
from harness.worker.failures import NotEngagedError
from harness.worker.inference.agreement import allowed_difference, disagreement
from harness.worker.inference.engines import nodes_by_provider, prove, require_provider

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def test_a_cuda_session_that_became_a_cpu_session_is_refused() -> None:
    require_provider([CUDA, CPU], "cuda")
    require_provider([CPU], "cpu")
    with pytest.raises(
        NotEngagedError, match="runs on CPUExecutionProvider, not on CUDAExecutionProvider"
    ):
        require_provider([CPU], "cuda")
    with pytest.raises(NotEngagedError, match="runs on nothing"):
        require_provider([], "cpu")


def test_nodes_are_counted_from_a_profile() -> None:
    def node(name: str, operator: str, provider: str) -> dict[str, object]:
        return {"cat": "Node", "name": name, "args": {"op_name": operator, "provider": provider}}

    events = [
        {"cat": "Session", "name": "model_run", "args": {}},
        node("a_kernel_time", "MatMul", CUDA),
        node("a_fence_before", "MatMul", CUDA),
        node("b_kernel_time", "MatMul", CUDA),
        node("c_kernel_time", "Shape", CPU),
    ]
    assert nodes_by_provider(events) == {CPU: {"Shape": 1}, CUDA: {"MatMul": 2}}


def test_shapes_may_be_computed_on_the_cpu_but_nothing_heavy() -> None:
    proof = prove(
        [CUDA, CPU], {CUDA: {"MatMul": 12}, CPU: {"Shape": 3, "Gather": 2}}, "cuda", 17, None
    )
    assert (proof.engaged, proof.reasons, proof.provider) == (True, [], CUDA)
    strayed = prove(
        [CUDA, CPU], {CUDA: {"MatMul": 12}, CPU: {"Shape": 3, "Softmax": 2}}, "cuda", 17, None
    )
    assert not strayed.engaged
    assert strayed.reasons == [
        "2 Softmax ran on CPUExecutionProvider, not on CUDAExecutionProvider"
    ]
    assert not prove([CUDA, CPU], {CPU: {"Shape": 3}}, "cuda", 17, None).engaged
    assert prove([CPU], {CPU: {"MatMul": 3}}, "cpu", 17, 2).engaged


def test_a_tolerance_is_relative_to_large_logits_and_a_suites_takes_its_place() -> None:
    assert allowed_difference("fp32", 0.1, None) == 1e-3
    assert allowed_difference("fp16", 8.0, None) == pytest.approx(0.4)
    assert allowed_difference("fp16", 8.0, 1e-6) == pytest.approx(8e-6)


def both(one: float, other: float) -> dict[str, dict[str, float]]:
    return {"torch": {"accuracy": one}, "onnxruntime": {"accuracy": other}}


@pytest.mark.parametrize(
    ("difference", "metrics", "trained", "said"),
    [
        (1e-6, both(0.9, 0.9), {"accuracy": 0.9, "loss": 0.3}, ""),
        (1e-2, both(0.9, 0.9), {}, "logits differ by 0.01 (fp32 is given 0.001)"),
        (math.nan, both(0.9, 0.9), {}, "logits differ by nan (fp32 is given 0.001)"),
        (
            1e-6,
            both(0.9, 0.8),
            {},
            "accuracy is 0.8000 by ONNX Runtime and 0.9000 by PyTorch (allowed: 0.001)",
        ),
        (1e-6, both(0.9, 0.9005), {}, ""),
        (
            1e-6,
            both(0.9, 0.9),
            {"accuracy": 0.5},
            "accuracy is 0.9000 by ONNX Runtime and 0.5000 by the arm's own evaluation "
            "(allowed: 0.001)",
        ),
        (1e-6, both(math.nan, math.nan), {}, ""),
        (
            1e-6,
            both(0.9, math.nan),
            {},
            "accuracy is nan by ONNX Runtime and 0.9000 by PyTorch (allowed: 0.001)",
        ),
        (1e-6, {"torch": {}, "onnxruntime": {}}, {"loss": 1.0}, ""),
    ],
)
def test_when_engines_agree(
    difference: float, metrics: dict[str, dict[str, float]], trained: dict[str, float], said: str
) -> None:
    assert disagreement(difference, 1e-3, metrics, trained, "fp32", samples=5000) == said


def test_one_sample_may_fall_to_the_other_side_of_a_tie() -> None:
    assert disagreement(1e-6, 1e-3, both(0.90, 0.92), {}, "fp32", samples=50) == ""
    assert disagreement(1e-6, 1e-3, both(0.90, 0.94), {}, "fp32", samples=50) != ""


def test_settings_say_what_is_wrong_with_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from harness.cli import main
    from harness.config import load_suite
    from harness.planning.plan import make_plan

    file = ROOT / "configs" / "inference-smoke.yaml"
    for override, message in (
        ("measurement.inference.batch_sizes=[0]", "at least one sample"),
        ("measurement.inference.batch_sizes=[]", "at least 1"),
        ("measurement.inference.opset=9", "14"),
        ("measurement.inference.sizes=[1]", "sizes"),
        ("measurement.protocol=interleaved", "goes with `protocol: sequential`"),
    ):
        with pytest.raises(BenchError, match=message):
            load_suite(file, [override])
    assert (
        main(["run", str(file), "--device", "cpu", "--set", "measurement.inference.precision=fp16"])
        == 2
    )
    assert "measurement.inference.precision is fp16, which needs a GPU" in capsys.readouterr().err
    suite = load_suite(file, ["measurement.parity={steps: 5}"])
    jobs: list[JobSpec] = list(make_plan(suite, device="cpu", cache_dir=tmp_path).jobs)
    assert {job.inference for job in jobs if job.parity_run} == {None}
    assert [job.inference for job in jobs if not job.parity_run] == [
        Inference(batch_sizes=[1, 64], seconds=2)
    ] * 4
