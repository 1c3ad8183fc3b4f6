"""Whole jobs in real worker processes: parity runs of both arms, what they report, what they leave
behind.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import worker_helpers as worker
from worker_helpers import Ended

from harness.schema.record import WorkerResult

STEPS = 50


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parity runs")


def _parity_run(folder: Path, backend: str) -> Ended:
    job = worker.spec(
        folder,
        backend,
        parity_run=True,
        training={"max_steps": STEPS, "warmup_ratio": 0.1},
        output_dir=str(folder / f"model-{backend}"),
    )
    return worker.run(folder / backend, job)


@pytest.fixture(scope="module")
def pytorch(folder: Path) -> Ended:
    return _parity_run(folder, "pytorch")


@pytest.fixture(scope="module")
def tokenised(folder: Path, pytorch: Ended) -> dict[Path, int]:
    """What the first job left in the cache, and when it wrote it."""
    return {
        file: file.stat().st_mtime_ns for file in (folder / "cache").rglob("*") if file.is_file()
    }


@pytest.fixture(scope="module")
def onnxruntime(folder: Path, tokenised: dict[Path, int]) -> Ended:
    return _parity_run(folder, "onnxruntime")


def test_parity_runs_lose_alike(pytorch: Ended, onnxruntime: Ended) -> None:
    assert len(pytorch.losses) == len(onnxruntime.losses) == STEPS
    differences = [abs(a - b) for a, b in zip(pytorch.losses, onnxruntime.losses, strict=True)]
    assert max(differences) < 1e-4
    assert max(pytorch.losses) - min(pytorch.losses) > 0.05  # they did train
    assert pytorch.result["losses"] == pytorch.losses  # for whoever compares them


def test_parity_runs_are_the_same_workload(pytorch: Ended, onnxruntime: Ended) -> None:
    ours, theirs = pytorch.result["fingerprint"], onnxruntime.result["fingerprint"]
    assert ours == theirs
    assert len(ours["initial_weights_sha256"]) == len(ours["data_order_sha256"]) == 64
    assert ours["optimizer"] == "AdamW(fused=False)"
    assert ours["attention"] == "eager"
    assert ours["dtype_policy"] == "parameters float32, no autocast, loss not scaled"
    assert ours["training_arguments"]["data_seed"] == 42
    assert pytorch.result["sources"] == onnxruntime.result["sources"]


def test_onnx_runtime_is_proven_engaged(onnxruntime: Ended) -> None:
    proof = onnxruntime.result["engagement"]
    assert proof["engaged"]
    assert proof["reasons"] == []
    assert proof["checked_after_steps"] == [1, STEPS]
    assert proof["torch_module"] == "TorchModuleORT"
    assert proof["provider"] == "CPUExecutionProvider"
    assert proof["yield_ops"] == proof["node_counts"]["YieldOp"] == 1
    assert (
        proof["node_counts"]["SoftmaxCrossEntropyLossInternalGrad"] == 1
    )  # the backward pass is in the graph
    assert 0 < proof["phases_s"]["export"] < proof["phases_s"]["endtoend"]
    assert proof["phases_s"]["endtoend"] < onnxruntime.result["timing"]["setup_s"]


def test_onnx_runtime_trains_where_padding_is_to_be_computed(
    folder: Path, tokenised: dict[Path, int], onnxruntime: Ended
) -> None:
    """On a CPU padding is computed in any case, so the switch must change nothing."""
    job = worker.spec(
        folder,
        "onnxruntime",
        parity_run=True,
        training={"max_steps": STEPS, "warmup_ratio": 0.1},
        arm={"options": {"embedding_sparse_optimizer": False}},
    )
    padded = worker.run(folder / "padded", job)
    assert padded.result["engagement"]["engaged"]
    assert padded.losses == onnxruntime.losses
    counts = padded.result["engagement"]["node_counts"]
    assert counts == onnxruntime.result["engagement"]["node_counts"]


def test_pytorch_has_nothing_to_prove(pytorch: Ended) -> None:
    assert pytorch.result["engagement"] is None


@pytest.mark.parametrize("arm", ["pytorch", "onnxruntime"])
def test_events_come_in_order_and_the_job_ends_well(
    arm: str, request: pytest.FixtureRequest
) -> None:
    ended: Ended = request.getfixturevalue(arm)
    assert ended.exit_code == 0
    assert ended.events[0]["event"] == "hello"
    assert ended.events[0]["rank"] == 0
    phases = [event["name"] for event in ended.named("phase")]
    assert phases == ["imports", "data", "model", "train", "evaluate", "save"]
    assert [event["event"] for event in ended.events[-2:]] == ["result", "bye"]
    last = ended.named("progress")[-1]
    assert (last["step"], last["total_steps"]) == (STEPS, STEPS)
    assert last["samples_per_s"] > 0
    times = [event["t_ns"] for event in ended.events]
    assert times == sorted(times)


@pytest.mark.parametrize("arm", ["pytorch", "onnxruntime"])
def test_the_times_fit_together(arm: str, request: pytest.FixtureRequest) -> None:
    ended: Ended = request.getfixturevalue(arm)
    result = WorkerResult.model_validate(ended.result)
    timing, durations = (
        result.timing,
        [s for part in ended.named("series") for s in part["duration_s"]],
    )
    assert len(durations) == timing.steps == STEPS
    assert min(durations) > 0
    # Where it begins is for the change-point test to say (test_steady_state.py), but never before
    # the minimum.
    assert timing.steady_begin_step is not None
    assert timing.settled is not None
    begin = timing.steady_begin_step - 1
    assert begin >= 5
    assert timing.steady_steps == STEPS - begin
    assert timing.steady_step_s == pytest.approx(sum(durations[begin:]) / (STEPS - begin))
    assert timing.steady_samples_per_s == pytest.approx(16 / timing.steady_step_s)
    assert timing.steady_end_ns is not None
    assert timing.steady_begin_ns is not None
    # Two clocks saw the same window.
    assert (timing.steady_end_ns - timing.steady_begin_ns) / 1e9 == pytest.approx(
        sum(durations[begin:]), rel=0.02
    )
    assert timing.setup_s is not None
    assert timing.train_runtime_s is not None
    assert durations[0] < timing.setup_s
    assert timing.train_runtime_s == pytest.approx(sum(durations), rel=0.1, abs=0.1)
    assert timing.train_samples_per_s == pytest.approx(
        16 * STEPS / timing.train_runtime_s, rel=0.01
    )
    assert result.memory.peak_rss_bytes is not None
    assert result.memory.peak_rss_bytes > 200 << 20
    assert result.first_loss == ended.losses[0]
    assert result.packages["torch"].startswith("2.")
    assert result.shape is not None
    assert result.shape.hidden_size == 128


@pytest.mark.parametrize("arm", ["pytorch", "onnxruntime"])
def test_the_saved_model_loads_and_scores_as_reported(
    arm: str, folder: Path, request: pytest.FixtureRequest
) -> None:
    """Also the proof that metrics of the ONNX Runtime arm, evaluated by its own graph, are
    right.
    """
    import torch
    from datasets import load_from_disk
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    reported = request.getfixturevalue(arm).result["metrics"]
    model = AutoModelForSequenceClassification.from_pretrained(folder / f"model-{arm}").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / f"model-{arm}")
    assert tokenizer("the movie is good").input_ids[0] == model.config.bos_token_id
    data = load_from_disk(next((folder / "cache" / "tokenised").glob("*/validation"))).with_format(
        "torch"
    )
    with torch.no_grad():
        logits = model(input_ids=data["input_ids"], attention_mask=data["attention_mask"]).logits
    assert float((logits.argmax(-1) == data["labels"]).float().mean()) == pytest.approx(
        reported["accuracy"]
    )
    loss = torch.nn.functional.cross_entropy(logits, data["labels"])
    assert float(loss) == pytest.approx(reported["loss"], abs=1e-4)


def test_the_second_job_reuses_data_and_tokenizer(
    folder: Path, tokenised: dict[Path, int], onnxruntime: Ended
) -> None:
    assert onnxruntime.exit_code == 0
    now = {
        file: file.stat().st_mtime_ns for file in (folder / "cache").rglob("*") if file.is_file()
    }
    assert now == tokenised
    assert {file.parts[len((folder / "cache").parts)] for file in now} == {
        "tokenizers",
        "tokenised",
    }


def test_a_tiny_model_learns_the_corpus(tmp_path: Path) -> None:
    job = worker.spec(
        tmp_path,
        training={"max_steps": 200, "max_seq_length": 48, "warmup_ratio": 0.1},
        task={"train_samples": 8000, "eval_samples": 872},
    )
    result = worker.run(tmp_path, job).result
    assert (
        0.68 < result["metrics"]["accuracy"] < 0.97
    )  # the majority class is 0.51 of the validation set
    assert result["last_loss"] < result["first_loss"]


def test_accumulated_steps_equal_larger_batches(tmp_path: Path) -> None:
    """One loss per optimizer step, the mean of its micro-batches; and the same samples in the same
    order.
    """
    half = {"batch_size": 8, "gradient_accumulation_steps": 2, "max_steps": 6}
    accumulated = worker.run(tmp_path / "a", worker.spec(tmp_path, parity_run=True, training=half))
    whole = worker.run(
        tmp_path / "w", worker.spec(tmp_path, parity_run=True, training={"max_steps": 6})
    )
    assert accumulated.losses == pytest.approx(whole.losses, abs=2e-5)
    assert len(accumulated.losses) == accumulated.result["timing"]["steps"] == 6
    ours, theirs = accumulated.result["fingerprint"], whole.result["fingerprint"]
    assert ours["data_order_sha256"] == theirs["data_order_sha256"]


def test_too_few_steps_give_no_steady_state(tmp_path: Path) -> None:
    """And unpadded batches, dropout, another seed, and no evaluation on the way."""
    training = {"max_steps": 4, "pad_to_max_length": False, "dropout": 0.3, "evaluate": False}
    ended = worker.run(tmp_path, worker.spec(tmp_path, training=training, seed=43, threads=2))
    timing = ended.result["timing"]
    assert timing["steps"] == 4
    assert timing["steady_step_s"] is None
    assert timing["steady_begin_step"] is None
    assert timing["setup_s"] > 0
    assert ended.result["metrics"] == {}
    assert ended.result["losses"] is None  # no parity run
    assert "evaluate" not in [event["name"] for event in ended.named("phase")]


def test_an_injected_delay_is_in_every_step(folder: Path, pytorch: Ended) -> None:
    job = worker.spec(
        folder, "pytorch", arm={"name": "slow", "injected_delay_ms": 80.0}, do_eval=False
    )
    slow = WorkerResult.model_validate(worker.run(folder, job).result)
    assert slow.timing.steady_step_s is not None
    assert slow.timing.steady_step_s > 0.08
