"""Arms that differ in more than a pair declares are refused before anything runs, each by name."""

from __future__ import annotations

import pytest
from folders import BAD_CONFIGS

from harness.config import load_suite
from harness.errors import BenchError

GOOD = BAD_CONFIGS / "good.yaml"


@pytest.mark.parametrize(
    ("override", "name", "sentence"),
    [
        (
            "arms.onnxruntime.training={learning_rate: 0.001}",
            "training.learning_rate",
            "'pytorch' and 'onnxruntime' differ in training.learning_rate (2e-05 / 0.001) and the "
            "pair does not say so",
        ),
        (
            "arms.pytorch.attention=sdpa",
            "attention",
            "'pytorch' and 'onnxruntime' differ in attention (sdpa / eager) and the pair does "
            "not say so",
        ),
        (
            "arms.pytorch.training={optim: adamw_torch_fused}",
            "training.optim",
            "'pytorch' and 'onnxruntime' differ in training.optim (adamw_torch_fused / "
            "adamw_torch) and the pair does",
        ),
        (
            "arms.onnxruntime.training={seed: 7}",  # decides the data order, and the first weights
            "training.seed",
            "'pytorch' and 'onnxruntime' differ in training.seed (42 / 7) and the pair does "
            "not say so",
        ),
    ],
    ids=["learning rate", "attention", "fused optimizer", "data order"],
)
def test_an_undeclared_difference_is_refused_by_name(
    override: str, name: str, sentence: str
) -> None:
    with pytest.raises(BenchError) as refused:
        load_suite(GOOD, [override])
    assert sentence in str(refused.value)
    assert f"differs: [{name}]" in str(refused.value), "and the message says how to declare it"
    (pair,) = load_suite(GOOD, [override, f"pairs.0.differs=[{name}]"]).resolved_pairs()
    assert pair.differs == [name]


@pytest.mark.parametrize(
    ("overrides", "where"),
    [
        (["training.optim=adamw_ort_fused"], "good.yaml:11: arms.pytorch.backend"),
        (
            ["arms.pytorch.training={optim: adamw_ort_fused}", "pairs.0.differs=[training.optim]"],
            "arms.pytorch.training.optim",
        ),
    ],
)
def test_an_optimizer_of_another_backend_is_refused(overrides: list[str], where: str) -> None:
    with pytest.raises(BenchError) as refused:
        load_suite(GOOD, overrides)
    said = "pytorch does not know the optimizer adamw_ort_fused, which is ONNX Runtime's"
    assert f"{where}: {said}" in str(refused.value)


def test_the_fused_adam_of_onnx_runtime_is_a_declared_difference() -> None:
    ort = "arms.onnxruntime.training={optim: adamw_ort_fused}"
    (pair,) = load_suite(GOOD, [ort, "pairs.0.differs=[training.optim]"]).resolved_pairs()
    assert pair.differs == ["training.optim"]


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ("[attn]", "; it says 'attn': did you mean attention?\n"),
        ("[nothing]", " the pair does not say so\n"),
    ],
)
def test_the_advice_repeats_no_unknown_difference(declared: str, said: str) -> None:
    with pytest.raises(BenchError) as refused:
        load_suite(GOOD, ["arms.pytorch.attention=sdpa", f"pairs.0.differs={declared}"])
    assert said in str(refused.value)
    assert "equal arms, or `differs: [attention]`" in str(refused.value)


def test_a_declared_difference_must_be_one_that_there_is() -> None:
    with pytest.raises(BenchError, match="no difference is called 'attn'"):
        load_suite(GOOD, ["pairs.0.differs=[attn]"])


def test_a_setting_is_compared_as_the_workload_has_it() -> None:
    workload = "workloads.0={model: tiny, task: sst2, training: {learning_rate: 0.001}}"
    with pytest.raises(BenchError, match=r"training.learning_rate \(0.001 / 2e-05\)"):
        load_suite(GOOD, [workload, "arms.onnxruntime.training={learning_rate: 2.0e-5}"])
    assert load_suite(
        GOOD, [workload, "arms.onnxruntime.training={learning_rate: 0.001}"]
    ).resolved_pairs()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "measurement.adaptive={min_replicates: 12, max_replicates: 10}",
            "min_replicates (12) is more than max_replicates (10)",
        ),
        (
            "measurement.adaptive={max_replicates: 9}",
            "`adaptive: {max_replicates: 9}` must be even under `protocol: sequential`",
        ),
        (
            "measurement={protocol: interleaved, adaptive: {measure: end_to_end}}",
            "jobs that take turns wait for each other, so they have no time end to end",
        ),
        ("measurement.adaptive={half_width_pp: 0}", "half_width_pp"),
    ],
)
def test_bounds_of_adaptive_stopping_must_fit(override: str, expected: str) -> None:
    with pytest.raises(BenchError) as refused:
        load_suite(GOOD, [override])
    assert expected in str(refused.value)


def test_an_odd_number_of_replicates_is_for_jobs_that_take_turns() -> None:
    suite = load_suite(GOOD, ["measurement={protocol: interleaved, adaptive: {max_replicates: 9}}"])
    assert suite.measurement.adaptive is not None
    assert suite.measurement.adaptive.max_replicates == 9
