"""Whose tokens a job gets: those of its own tokenizer, and of the built-in ones the same on every
host.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import worker_helpers as worker
from folders import ROOT

from harness.errors import BenchError
from harness.schema.job import JobSpec
from harness.worker.model import build, tokenizer
from harness.worker.tasks import glue

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "a", "##s", "."]


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """A model's folder: bert-tiny's configuration, and a WordPiece tokenizer as transformers saves
    it.
    """
    from transformers import BertTokenizerFast

    folder = tmp_path / "bert"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt"), model_max_length=512).save_pretrained(
        folder
    )
    config = {"model_type": "bert", "vocab_size": 64, "hidden_size": 8, "num_hidden_layers": 1}
    (folder / "config.json").write_text(
        json.dumps({**config, "num_attention_heads": 1, "intermediate_size": 8})
    )
    return folder


def _spec(folder: Path, model: Path, **changes: Any) -> JobSpec:
    given = {"name": "m", "path": str(model), "architecture": None, "weights": "pretrained"}
    task = {"train_samples": 40, "eval_samples": 8}
    return JobSpec.model_validate(worker.spec(folder, model=given, task=task, **changes))


def _key(model: Path) -> str:
    return tokenizer.load(_spec(model.parent, model), "text", list)[1]


def _edited(
    edit: Callable[[dict[str, Any]], None], name: str = "tokenizer_config.json"
) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / name
        content = json.loads(file.read_text())
        edit(content)
        file.write_text(json.dumps(content))

    return change


def _added(content: dict[str, Any]) -> None:
    content["added_tokens_decoder"]["4"]["lstrip"] = True


CHANGES = {
    "model inputs": _edited(lambda c: c.update(model_input_names=["input_ids", "attention_mask"])),
    "padding side": _edited(lambda c: c.update(padding_side="left")),
    "truncation side": _edited(lambda c: c.update(truncation_side="left")),
    "model_max_length": _edited(lambda c: c.update(model_max_length=16)),
    "normalizer": _edited(lambda c: c.update(do_lower_case=False)),
    "pre-tokenizer": _edited(
        lambda c: c.update(pre_tokenizer={"type": "WhitespaceSplit"}), "tokenizer.json"
    ),
    "post-processor": _edited(lambda c: c.update(post_processor=None), "tokenizer.json"),
    "flags of an added token": _edited(_added),
    "longest word": _edited(
        lambda c: c["model"].update(max_input_chars_per_word=3), "tokenizer.json"
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_the_key_holds_all_that_decides_tokens(bert: Path, what: str) -> None:
    """Vocabulary and special tokens are the same all the time."""
    before = _key(bert)
    assert _key(bert) == before
    other = bert.parent / "other"
    shutil.copytree(bert, other)
    CHANGES[what](other)
    assert _key(other) != before


def test_the_key_holds_the_merges() -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    vocabulary = {
        name: index for index, name in enumerate(["<pad>", "a", "b", "c", "ab", "bc", "abc"])
    }
    merges = [("a", "b"), ("b", "c"), ("ab", "c"), ("a", "bc")]
    keys = set()
    for given in (merges, [merges[1], merges[0], *merges[2:]]):
        made = Tokenizer(BPE(vocabulary, given))
        keys.add(
            tokenizer.fingerprint(PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>"))
        )
    assert len(keys) == 2


def test_using_a_tokenizer_does_not_change_its_key(bert: Path) -> None:
    from transformers import AutoTokenizer

    found = AutoTokenizer.from_pretrained(bert)
    before = tokenizer.fingerprint(found)
    found(["good film", "bad"], padding="max_length", truncation=True, max_length=8)
    assert tokenizer.fingerprint(found) == before


def test_a_slow_tokenizer_has_a_key_of_its_files(bert: Path) -> None:
    from transformers import BertTokenizer

    first = BertTokenizer(str(bert / "vocab.txt"))
    assert not first.is_fast
    (bert / "vocab.txt").write_text("\n".join([*WORDS[:-2], WORDS[-1], WORDS[-2]]))
    assert tokenizer.fingerprint(BertTokenizer(str(bert / "vocab.txt"))) != tokenizer.fingerprint(
        first
    )


def test_a_model_gets_its_own_tokens_whoever_tokenised_first(bert: Path) -> None:
    distil = bert.parent / "distil"
    shutil.copytree(bert, distil)
    CHANGES["model inputs"](distil)
    without = glue.load(_spec(bert.parent, distil))
    assert "token_type_ids" not in without.train.column_names
    after = glue.load(_spec(bert.parent, bert))
    assert "token_type_ids" in after.train.column_names
    assert after.sources.data_sha256 != without.sources.data_sha256
    shutil.rmtree(bert.parent / "cache")
    assert glue.load(_spec(bert.parent, bert)).sources.data_sha256 == after.sources.data_sha256


TRAIN = """
import hashlib, sys
from pathlib import Path
from harness.worker.model import build, tokenizer
from harness.worker.tasks import synthetic
texts = synthetic.reviews("train", 300, 0)[0]
tokenizer._train(sys.argv[1], texts, Path(sys.argv[2]))
"""
# Of the vocabulary that 300 sentences of the built-in corpus give; another one on some host is a
# defect.
SAME_EVERYWHERE = {
    "bert": "2c984eb2e8e0d2ca",
    "roberta": "26ed21098e381d27",
    "t5": "408d9ae1b0ea3458",
}


@pytest.mark.parametrize("kind", SAME_EVERYWHERE)
def test_the_built_in_tokenizers_are_the_same_in_every_process(tmp_path: Path, kind: str) -> None:
    found = []
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        subprocess.run(
            [sys.executable, "-c", TRAIN, kind, str(folder)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "RAYON_NUM_THREADS": str(number + 1)},
            check=True,
        )
        found.append(json.loads((folder / "tokenizer.json").read_text())["model"])
    assert found[0] == found[1] == found[2]
    digest = hashlib.sha256(json.dumps(found[0], sort_keys=True).encode()).hexdigest()
    assert digest[:16] == SAME_EVERYWHERE[kind]


def test_word_pieces_are_those_of_the_text() -> None:
    from tokenizers import normalizers, pre_tokenizers

    cleaner, splitter = (
        normalizers.BertNormalizer(lowercase=True),
        pre_tokenizers.BertPreTokenizer(),
    )
    found = tokenizer._word_pieces(
        ["Lower lowest LOW", "new newest"], ["[PAD]", "[UNK]"], cleaner, splitter
    )
    assert (found["[PAD]"], found["[UNK]"]) == (0, 1)
    assert {"low", "new", "lower", "newest", "##st", "l", "##w"} <= found.keys()
    assert "##l" not in found, "l never stands within a word"
    assert sorted(found.values()) == list(range(len(found)))


def test_the_length_is_what_the_tokenizer_takes(bert: Path) -> None:
    CHANGES["model_max_length"](bert)
    data = glue.load(_spec(bert.parent, bert, training={"max_seq_length": 256}))
    assert data.sources.max_seq_length == 16
    assert {len(row) for row in data.train["input_ids"]} == {16}
    data = glue.load(_spec(bert.parent, bert, training={"max_seq_length": 12}))
    assert data.sources.max_seq_length == 12


@pytest.mark.parametrize("most", ["abc", [3], True])
def test_a_length_that_is_no_number_is_one_sentence(bert: Path, most: object) -> None:
    _edited(lambda c: c.update(model_max_length=most))(bert)
    with pytest.raises(BenchError, match="model_max_length"):
        glue.load(_spec(bert.parent, bert))


def test_no_room_for_text_is_one_sentence(bert: Path) -> None:
    with pytest.raises(BenchError, match="2 tokens leave no room for text beside 2 special tokens"):
        glue.load(_spec(bert.parent, bert, training={"max_seq_length": 2}))
    _edited(lambda c: c.update(model_max_length=2))(bert)
    with pytest.raises(BenchError, match="takes no more than 2 tokens") as caught:
        glue.load(_spec(bert.parent, bert))
    assert "model_max_length" in caught.value.fix


@pytest.mark.parametrize(
    "content", ["", "{}", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"]
)
def test_a_tokenizer_that_cannot_be_read_is_one_sentence(bert: Path, content: str) -> None:
    (bert / "vocab.txt").unlink()
    (bert / "tokenizer.json").write_text(content)
    with pytest.raises(BenchError) as caught:
        _key(bert)
    assert caught.value.place.startswith("models.m.path")
    assert caught.value.fix
    if "lfs" in content:
        assert (
            caught.value.message == "tokenizer.json is a pointer of Git LFS and not the file itself"
        )


def test_another_tokenizer_and_another_configuration_than_the_models_own(
    bert: Path, tmp_path: Path
) -> None:
    """As --tokenizer_name and --config_name of transformers' example scripts."""
    from transformers import BertConfig, BertForSequenceClassification

    sizes = json.loads((bert / "config.json").read_text())
    BertForSequenceClassification(BertConfig(**sizes)).save_pretrained(tmp_path / "weights")
    other = tmp_path / "other"
    shutil.copytree(bert, other)
    (other / "config.json").write_text(json.dumps({**sizes, "hidden_dropout_prob": 0.3}))
    model = {"tokenizer_path": str(other), "config_path": str(other)}
    spec = _spec(tmp_path, tmp_path / "weights")
    spec = spec.replace(workload=spec.workload.replace(model=spec.workload.model.replace(**model)))
    tokens, key = tokenizer.load(spec, "text", list)
    assert (tokens("good film")["input_ids"], key) == ([2, 5, 7, 3], _key(bert))
    auto = "AutoModelForSequenceClassification"
    built, _ = build.build(spec, tokens, auto, {"num_labels": 2})
    assert built.config.hidden_dropout_prob == 0.3
    tokens.add_tokens([f"word{i}" for i in range(64)])
    with pytest.raises(BenchError, match="the tokenizer has 75 tokens, and .* knows 64") as caught:
        build.build(spec, tokens, auto, {"num_labels": 2})
    assert caught.value.place == "models.m.tokenizer_path"
    broken = spec.workload.model.replace(tokenizer_path=str(tmp_path))
    spec = spec.replace(workload=spec.workload.replace(model=broken))
    with pytest.raises(BenchError, match=f"no tokenizer can be read from {tmp_path}"):
        tokenizer.load(spec, "text", list)
