"""Pretrained weights: heads for other classes, files that are not what they are called, positions,
numbers.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import worker_helpers as worker

from harness.errors import BenchError
from harness.planning.hub import LFS_POINTER
from harness.planning.positions import usable_positions
from harness.schema.glue import GLUE
from harness.schema.job import JobSpec
from harness.schema.shapes import SHAPES
from harness.worker.model import build, initial_weights

TINY = [name for name in SHAPES if name.endswith("-tiny")]
TOKENS = type("Tokens", (), {"pad_token_id": 1, "__len__": lambda self: 100})()


def _spec(folder: Path, path: Path | str | None = None, **changes: Any) -> JobSpec:
    model = {
        "name": "m",
        "architecture": "roberta-tiny",
        "weights": "random",
        **changes.pop("model", {}),
    }
    if path is not None:
        model |= {"path": str(path), "architecture": None, "weights": "pretrained"}
    return JobSpec.model_validate(worker.spec(folder, model=model, **changes))


def _build(spec: JobSpec, labels: int = 2, **config: Any) -> tuple[Any, list[str]]:
    return build.build(
        spec, TOKENS, "AutoModelForSequenceClassification", {"num_labels": labels, **config}
    )


@pytest.fixture(scope="module")
def three_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of three classes, as MNLI has them."""
    folder = tmp_path_factory.mktemp("checkpoints") / "mnli"
    names = GLUE["mnli"].classes
    model, remarks = _build(_spec(folder.parent), 3, id2label=dict(enumerate(names)))
    assert remarks == []
    model.save_pretrained(folder)
    return folder


def _copy(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to / "copy")
    return to / "copy"


def test_a_head_for_another_number_of_classes_is_drawn_from_the_seed(
    tmp_path: Path, three_classes: Path
) -> None:
    import torch

    spec = _spec(tmp_path, three_classes)
    built, remarks = _build(spec)
    assert built.classifier.out_proj.weight.shape == (2, 128)
    assert remarks == [
        "classifier.out_proj.weight of m has 3 outputs in the checkpoint and 2 here: drawn from "
        "the seed"
    ]
    assert build.weights_sha256(_build(spec)[0]) == build.weights_sha256(built)
    other = _build(spec.model_copy(update={"seed": 7}))[0]
    assert not torch.equal(other.classifier.out_proj.weight, built.classifier.out_proj.weight)
    checkpoint, nothing = _build(spec, 3)
    assert nothing == []
    kept = "roberta.encoder.layer.1.output.dense.weight"
    for model in (built, other):
        assert torch.equal(model.state_dict()[kept], checkpoint.state_dict()[kept])
    assert float(built.classifier.out_proj.bias.abs().sum()) == 0.0
    assert _build(spec, 1, problem_type="regression")[0].classifier.out_proj.weight.shape == (
        1,
        128,
    )


@pytest.mark.parametrize("architecture", TINY)
def test_every_family_draws_its_head_from_the_seed(tmp_path: Path, architecture: str) -> None:
    """Also where random numbers were drawn before it, as another version of transformers would."""
    import torch

    _build(_spec(tmp_path, model={"architecture": architecture}), 3)[0].save_pretrained(
        tmp_path / "three"
    )
    spec = _spec(tmp_path, tmp_path / "three")
    built, remarks = _build(spec)
    assert remarks
    heads = [
        name
        for name, weight in built.named_parameters()
        if weight.dim() == 2 and weight.shape[0] == 2
    ]
    name = next(
        name
        for name in heads
        if name.split(".")[0] in ("score", "classifier", "classification_head")
    )
    head = built.state_dict()[name]
    assert 0 < float(head.std()) < 1
    other = _build(spec.model_copy(update={"seed": 7}))[0].state_dict()[name]
    assert not torch.equal(head, other)
    module = name.rpartition(".")[0]
    with torch.no_grad():
        built.get_submodule(module).weight.fill_(5.0)
    initial_weights.draw(built, spec.seed, {name})
    assert torch.equal(built.state_dict()[name], head)


def test_classes_in_another_order_are_told(tmp_path: Path, three_classes: Path) -> None:
    names = GLUE["mnli"].classes
    turned = {index: name.upper() for index, name in enumerate(reversed(names))}
    assert _build(_spec(tmp_path, three_classes), 3, id2label=dict(enumerate(names)))[1] == []
    (remark,) = _build(_spec(tmp_path, three_classes), 3, id2label=turned)[1]
    assert "classes in another order (entailment, neutral, contradiction)" in remark


def test_only_a_head_may_have_another_size(tmp_path: Path, three_classes: Path) -> None:
    """Or embeddings of another vocabulary would be random ones without a word."""
    spec = _spec(tmp_path, three_classes, model={"config": {"vocab_size": 5000}})
    with pytest.raises(
        BenchError,
        match="embeddings.word_embeddings.weight of the checkpoint is 4096 x 128, and 5000",
    ):
        _build(spec, 3)


def test_weights_of_another_model_are_an_error(tmp_path: Path, three_classes: Path) -> None:
    folder = _copy(three_classes, tmp_path)
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "model_type": "bert"}))
    with pytest.raises(BenchError, match="the checkpoint has no weight of a bert") as caught:
        _build(_spec(tmp_path, folder), 3)
    assert "config.json" in caught.value.fix


def test_layers_that_a_checkpoint_lacks_are_told(tmp_path: Path, three_classes: Path) -> None:
    spec = _spec(tmp_path, three_classes, model={"config": {"num_hidden_layers": 3}})
    (remark,) = _build(spec, 3)[1]
    assert remark.startswith("16 weights of m are not in its checkpoint: drawn from the seed")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "model.safetensors",
            LFS_POINTER + b"v1\noid sha256:00\nsize 498813948\n",
            "is a pointer of Git LFS",
        ),
        ("config.json", LFS_POINTER + b"v1\noid sha256:00\nsize 700\n", "is a pointer of Git LFS"),
        ("model.safetensors", b"", "is cut short"),
        ("model.safetensors", b"\x10", "is cut short"),
        ("model.safetensors", b"no safetensors file at all", "is cut short or no safetensors file"),
        ("model.safetensors", (4).to_bytes(8, "little") + b"null", "is no safetensors file"),
    ],
)
def test_a_file_that_is_not_what_it_is_called_is_named(
    tmp_path: Path, three_classes: Path, name: str, content: bytes, message: str
) -> None:
    folder = _copy(three_classes, tmp_path)
    (folder / name).write_bytes(content)
    with pytest.raises(BenchError, match=f"^models.m.path: {name} {message}") as caught:
        _build(_spec(tmp_path, folder), 3)
    assert "git lfs pull" in caught.value.fix


@pytest.mark.parametrize("lost", [1, 1000, 2_000_000])
def test_a_file_that_is_cut_short_is_named(tmp_path: Path, three_classes: Path, lost: int) -> None:
    folder = _copy(three_classes, tmp_path)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-lost])
    with pytest.raises(
        BenchError, match=f"cut short: {len(whole) - lost:,} bytes of {len(whole):,}"
    ):
        _build(_spec(tmp_path, folder), 3)


@pytest.mark.parametrize("content", ["half", "pointer"])
def test_weights_that_torch_saved_are_looked_at_too(
    tmp_path: Path, three_classes: Path, content: str
) -> None:
    import torch
    from safetensors.torch import load_file

    folder = _copy(three_classes, tmp_path)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert _build(_spec(tmp_path, folder), 3)[1] == []
    whole = (folder / "pytorch_model.bin").read_bytes()
    (folder / "pytorch_model.bin").write_bytes(
        LFS_POINTER + b"v1\n" if content == "pointer" else whole[: len(whole) // 2]
    )
    with pytest.raises(BenchError, match="pytorch_model.bin is (cut short|a pointer of Git LFS)"):
        _build(_spec(tmp_path, folder), 3)


def test_a_part_that_is_missing_is_named(tmp_path: Path, three_classes: Path) -> None:
    folder = _copy(three_classes, tmp_path)
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    parts = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    with pytest.raises(
        BenchError, match="index.json names model-00002-of-00002.safetensors, which is not there"
    ):
        _build(_spec(tmp_path, folder), 3)


def test_a_broken_file_in_the_cache_is_to_be_loaded_again(
    tmp_path: Path, three_classes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / "hub" / "models--org--m"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    shutil.copytree(three_classes, repo / "snapshots" / commit)
    monkeypatch.setenv("TRANSFORMERS_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert _build(_spec(tmp_path, "org/m"), 3)[1] == []
    weights = repo / "snapshots" / commit / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(BenchError, match="model.safetensors is cut short") as caught:
        _build(_spec(tmp_path, "org/m"), 3)
    assert "the next run loads it again" in caught.value.fix


@pytest.mark.parametrize(
    ("key", "value"),
    [("layer_norm_eps", "1e-6"), ("hidden_size", "wide"), ("num_hidden_layers", True)],
)
def test_text_for_a_number_of_the_configuration_is_an_error(
    tmp_path: Path, three_classes: Path, key: str, value: Any
) -> None:
    for path in (None, three_classes):
        with pytest.raises(BenchError, match="is not a number") as caught:
            _build(_spec(tmp_path, path, model={"config": {key: value}}))
        assert caught.value.place == f"models.m.config.{key}"
    assert (
        _build(_spec(tmp_path, model={"config": {"layer_norm_eps": 1e-6}}))[0].config.layer_norm_eps
        == 1e-6
    )


@pytest.mark.parametrize("architecture", TINY)
def test_positions_are_those_that_the_model_takes(tmp_path: Path, architecture: str) -> None:
    """The longest sample passes, one token more does not; where no limit is known, longer ones
    pass.
    """
    import torch

    small = (
        {"n_positions": 20} if architecture.startswith("gpt2") else {"max_position_embeddings": 20}
    )
    spec = _spec(
        tmp_path,
        model={"architecture": architecture, "config": small},
        training={"max_seq_length": 8},
    )
    model, _ = _build(spec)
    most = usable_positions(model.config.to_dict())
    assert most == {"roberta": 18}.get(
        architecture.split("-")[0], None if architecture[:2] in ("t5", "de", "ll") else 20
    )

    def passes(length: int) -> bool:
        # T5 and BART read until the end of a text.
        last = SHAPES[architecture]["eos_token_id"] if architecture[:2] in ("t5", "ba") else 7
        ids = torch.tensor([[7] * (length - 1) + [last]])
        try:
            with torch.no_grad():
                model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids))
        except (IndexError, RuntimeError):
            return False
        return True

    assert passes(most or 64)
    assert most is None or not passes(most + 1)
    if most is not None:
        long = spec.workload.training.model_copy(update={"max_seq_length": most + 1})
        workload = spec.workload.model_copy(update={"training": long})
        with pytest.raises(
            BenchError, match=f"max_seq_length {most + 1} is more than the {most} positions of m"
        ):
            _build(spec.model_copy(update={"workload": workload}))
