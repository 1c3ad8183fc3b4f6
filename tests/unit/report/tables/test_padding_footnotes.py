"""What tables say of arms that leave out padding which others compute."""

from __future__ import annotations

from typing import Any

import pytest
from report_factory import PROVEN, make_job, make_run

from harness.schema.record import Efficiency, Engagement, JobRecord, Pair, State, Timing
from report.loading.runs import Run
from report.tables.registry import build
from report.tables.table import raw

UNPADDED = Engagement(
    engaged=True,
    yield_ops=1,
    node_counts={"FlattenAndUnpad": 52, "PadAndUnflatten": 51, "YieldOp": 1},
)
LEFT_OUT = "out of the layers after the embeddings, except attention itself; "
CARD = "NVIDIA H200"


def job(arm: str, replicate: int = 0, padding: float | None = None, **fields: Any) -> JobRecord:
    """A job on a card whose graph leaves padding out if it is of ONNX Runtime."""
    timing = Timing(
        setup_s=2.0,
        train_runtime_s=100.0,
        steady_step_s=0.5,
        steady_samples_per_s=16.0,
        padding_share=padding,
    )
    given: dict[str, Any] = {"device": CARD, "timing": timing}
    if fields.get("backend", arm) == "onnxruntime":
        given["engagement"] = UNPADDED
    return make_job(arm, replicate, **{**given, **fields})


def padded(**fields: Any) -> JobRecord:
    """A job of ONNX Runtime that computes padding, as far as its graph says."""
    return job("ort-padded", backend="onnxruntime", engagement=PROVEN, **fields)


def told(run: Run, view: str = "gains") -> list[str]:
    return [note for note in build([run], view).tables[0].notes if "padding" in note]


@pytest.mark.parametrize("view", ["gains", "answer", "full"])
def test_the_arm_that_leaves_padding_out_is_named_with_the_mean_share(view: str) -> None:
    jobs = [
        *(job("pytorch", replicate, 0.87) for replicate in (0, 1)),
        job("onnxruntime", 0, 0.86),
        job("onnxruntime", 1, 0.875),  # mean 0.8675
    ]
    assert told(make_run(jobs), view) == [
        f"onnxruntime leaves padding (87% of the tokens) {LEFT_OUT}pytorch computes it"
    ]


def test_without_a_recorded_share_the_note_has_none() -> None:
    assert told(make_run([job("pytorch"), job("onnxruntime")])) == [
        f"onnxruntime leaves padding {LEFT_OUT}pytorch computes it"
    ]


def test_nothing_is_said_where_both_arms_do_the_same_or_there_is_no_result() -> None:
    pair = [Pair(workload="tiny-sst2", baseline="onnxruntime", candidate="ort-triton")]
    both = [job("onnxruntime"), job("ort-triton", backend="onnxruntime")]
    assert told(make_run(both, pair)) == []
    neither = [job("pytorch"), job("onnxruntime", engagement=PROVEN)]
    assert told(make_run(neither)) == []
    failed = [job("pytorch"), job("onnxruntime", state=State.CRASHED, reason="broke")]
    assert told(make_run(failed)) == []
    unproven = UNPADDED.replace(engaged=False, reasons=["a fallback is pending"])
    assert told(make_run([job("pytorch"), job("onnxruntime", engagement=unproven)])) == []


def test_an_arm_of_several_pairs_is_told_once() -> None:
    pairs = [
        Pair(workload="tiny-sst2", baseline=baseline, candidate=candidate)
        for baseline, candidate in (
            ("pytorch", "onnxruntime"),
            ("pytorch", "ort-padded"),
            ("onnxruntime", "ort-padded"),
        )
    ]
    jobs = [job("pytorch"), job("onnxruntime", padding=0.4), padded()]
    run = make_run(jobs, pairs)
    assert told(run) == [
        f"onnxruntime leaves padding (40% of the tokens) {LEFT_OUT}"
        "the other arms of its pairs compute it"
    ]
    sides = [row["leaves_padding_out"] for row in raw(build([run], "headline").tables[0])]
    assert sides == ["candidate"] * 2 + [""] * 2 + ["baseline"] * 2  # two measures of each pair
    sentences = build([run], "headline").tables[0].sentences
    ends = ["onnxruntime leaves padding out" in each for each in sentences]
    assert ends == [True, False, True]


def test_an_arm_beside_others_that_leave_padding_out_too_names_those_that_compute_it() -> None:
    arms = ("pytorch", "pytorch-sdpa", "ort-triton")
    pairs = [Pair(workload="tiny-sst2", baseline=arm, candidate="onnxruntime") for arm in arms]
    jobs = [
        job("pytorch"),
        job("pytorch-sdpa", backend="pytorch"),
        job("ort-triton", backend="onnxruntime"),
        job("onnxruntime"),
    ]
    assert told(make_run(jobs, pairs)) == [
        f"onnxruntime leaves padding {LEFT_OUT}pytorch, pytorch-sdpa compute it"
    ]


def test_workloads_are_named_where_padding_is_left_out_of_some_only() -> None:
    jobs = [
        job("pytorch"),
        job("onnxruntime", padding=0.87),
        job("pytorch", model="t5"),
        job("onnxruntime", model="t5", padding=0.87, engagement=PROVEN),
    ]
    said = f"leaves padding (87% of the tokens) {LEFT_OUT}pytorch computes it"
    assert told(make_run(jobs)) == [f"onnxruntime on tiny-sst2 {said}"]


def test_shares_of_several_workloads_are_a_range() -> None:
    jobs = [
        job("pytorch"),
        job("onnxruntime", padding=0.873),
        job("pytorch", model="bert"),
        job("onnxruntime", model="bert", padding=0.4),
    ]
    (said,) = told(make_run(jobs))
    assert said.startswith("onnxruntime leaves padding (40 to 87% of the tokens) out")
    jobs[-1] = job("onnxruntime", model="bert")  # of one it is not known
    (said,) = told(make_run(jobs))
    assert said.startswith("onnxruntime leaves padding out")


@pytest.mark.parametrize("view", ["gpu", "full"])
def test_an_overstated_mfu_is_noted_where_it_is_shown(view: str) -> None:
    known = {"efficiency": Efficiency(model_flops_utilization=0.25)}
    jobs = [job("pytorch", padding=0.87, **known), job("onnxruntime", padding=0.87, **known)]
    note = (
        "MFU counts padding (87% of the tokens) that the arm leaves out, so it is overstated "
        "(onnxruntime on tiny-sst2)"
    )
    assert note in told(make_run(jobs), view)
    unknown = [job("pytorch", padding=0.87), job("onnxruntime", padding=0.87)]
    assert not [said for said in told(make_run(unknown), view) if said.startswith("MFU")]
