"""Translation: its corpus, its batches, its scores, what files and suites may say."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import worker_helpers as worker

from harness.config import load_suite
from harness.errors import BenchError
from harness.planning.estimate import steps_of
from harness.planning.plan import make_plan
from harness.schema.job import JobSpec
from harness.worker import arguments, backends, tasks
from harness.worker.model import build
from harness.worker.tasks.base import TaskData, TaskKind
from harness.worker.tasks.translation import IGNORED, bleu, judge
from harness.worker.tasks.translation_corpus import MOST_WORDS, pairs

DYNAMIC = {"pad_to_max_length": False, "max_seq_length": 256}


def _kind(folder: Path, shape: str, **changes: Any) -> TaskKind:
    training = {**DYNAMIC, **changes.pop("training", {})}
    spec = worker.spec_of_kind(folder, "translation", shape, training=training, **changes)
    return tasks.get("translation")(JobSpec.model_validate(spec))


def _collated(kind: TaskKind, count: int = 4) -> tuple[TaskData, list[Any], Any]:
    """The data, its first samples and the batch that they make."""
    data = kind.load()
    model, _ = build.build(kind.spec, data.tokenizer, kind.auto_class, kind.model_config(data))
    kind.prepare_model(model)
    rows = [data.train[index] for index in range(count)]
    return data, rows, kind.collator(data)(rows)


def test_pairs_are_the_same_everywhere_and_as_long_as_assumed() -> None:
    training = list(pairs("train", None, 0))
    assert training[0] == (
        "Reasiohis lasiont the pubrorert which the fleavojoul to the vevoucert bivund .",
        "Tase sicrurt luburele hasteabriond care spoteantele la soudouta flopra .",
    )
    assert len(training) == len(set(training)) == 30_000
    assert training[:9] == list(pairs("train", 9, 0))
    assert training[0] != next(pairs("train", 1, 1))
    validation = list(pairs("validation", None, 0))
    assert len(validation) == 1_999
    assert not set(validation) & set(training)
    source, target = (sorted(len(pair[side].split()) - 1 for pair in training) for side in (0, 1))
    assert statistics.mean(source) == pytest.approx(25, abs=0.3)
    assert statistics.stdev(source) == pytest.approx(16.5, abs=0.5)
    assert statistics.median(source) == pytest.approx(21, abs=1)
    assert source[int(0.99 * len(source))] == pytest.approx(84, abs=4)
    assert max(source) == MOST_WORDS
    assert statistics.mean(target) == pytest.approx(25, abs=1)


@pytest.mark.parametrize("shape", ["t5-tiny", "bart-tiny"])
def test_batches_are_padded_to_their_longest_sentences(tmp_path: Path, shape: str) -> None:
    data, rows, batch = _collated(_kind(tmp_path, shape))
    assert set(batch) == {"input_ids", "attention_mask", "labels", "decoder_input_ids"}
    for name in ("input_ids", "labels"):
        lengths = [len(row[name]) for row in rows]
        assert len(set(lengths)) > 1
        assert batch[name].shape == (4, max(lengths))
    for row, ids, mask in zip(rows, batch["input_ids"], batch["attention_mask"], strict=True):
        assert mask.sum() == len(row["input_ids"])
        assert ids[mask == 1].tolist() == row["input_ids"]
        assert set(ids[mask == 0].tolist()) <= {data.tokenizer.pad_token_id}
    start = 0 if shape.startswith("t5") else 2  # as their configurations say
    for row, labels, shifted in zip(rows, batch["labels"], batch["decoder_input_ids"], strict=True):
        length = len(row["labels"])
        assert labels[length:].tolist() == [IGNORED] * (len(labels) - length)
        assert shifted[: length + 1].tolist() == [start, *row["labels"]][: len(labels)]


@pytest.mark.parametrize(
    ("kind", "shape"), [("translation", "t5-tiny"), ("token-classification", "bert-tiny")]
)
def test_fp16_batches_are_rounded_up_to_eight_tokens(tmp_path: Path, kind: str, shape: str) -> None:
    """As the original scripts do, for the sake of tensor cores."""
    training = {**DYNAMIC, "precision": "fp16"}
    spec = worker.spec_of_kind(tmp_path, kind, shape, training=training)
    task = tasks.get(kind)(JobSpec.model_validate(spec))
    data, rows, batch = _collated(task)
    for name in ("input_ids", "labels"):
        longest = max(len(row[name]) for row in rows)
        assert batch[name].shape[1] == math.ceil(longest / 8) * 8
    longest = [
        max(len(row) for row in data.train[at : at + 8]["input_ids"]) for at in range(0, 296, 8)
    ]
    assert len({math.ceil(length / 8) for length in longest}) > 1  # batches differ in length


def test_padding_to_the_full_length_is_left_out_of_the_loss(tmp_path: Path) -> None:
    kind = _kind(
        tmp_path,
        "bart-tiny",
        training={"pad_to_max_length": True, "max_seq_length": 40},
        task={"options": {"max_target_length": 24}},
    )
    data = kind.load()
    assert {len(row) for row in data.train["input_ids"]} == {40}
    assert {len(row) for row in data.train["labels"]} == {24}
    pad = data.tokenizer.pad_token_id
    assert all(pad not in row for row in data.train["labels"])
    assert any(IGNORED in row for row in data.train["labels"])


@pytest.mark.parametrize(
    ("shape", "options", "prefix"),
    [
        ("t5-tiny", {}, "translate english to romanian"),
        ("t5-tiny", {"source_lang": "de_DE", "target_lang": "en"}, "translate german to english"),
        ("t5-tiny", {"source_prefix": ""}, ""),
        ("t5-tiny", {"source_prefix": "In short "}, "in short"),
        ("bart-tiny", {}, ""),
    ],
)
def test_the_prefix_is_the_models_own_or_what_is_given(
    tmp_path: Path, shape: str, options: dict[str, Any], prefix: str
) -> None:
    data = _kind(tmp_path, shape, task={"options": options, "train_samples": 5}).load()
    # The built-in tokenizer does not know the colon, which no text of the corpus has.
    first = data.tokenizer.decode(data.train[0]["input_ids"], skip_special_tokens=True)
    sentence = next(pairs("train", 1, 0))[0]
    text = sentence if shape.startswith("bart") else f"{prefix} {sentence}".strip().lower()
    assert first.replace(" ", "") == text.replace(" ", "")


def test_a_pretrained_model_has_its_own_prefix_and_tokens(tmp_path: Path) -> None:
    """From a folder, whose configuration says that it is a T5."""
    built_in = _kind(tmp_path, "t5-tiny")
    tokens = built_in.load().tokenizer
    folder = tmp_path / "model"
    tokens.save_pretrained(folder)
    sizes = {"d_model": 16, "d_ff": 16, "num_layers": 1, "num_heads": 2, "vocab_size": 4096}
    (folder / "config.json").write_text(json.dumps({"model_type": "t5", **sizes}))
    model = {"name": "m", "path": str(folder), "architecture": None, "weights": "pretrained"}
    task = {"name": "t", "kind": "translation", "train_samples": 9, "eval_samples": 3}
    job = worker.spec(tmp_path, model=model, task=task, training=DYNAMIC)
    data = tasks.get("translation")(JobSpec.model_validate(job)).load()
    assert tokens.decode(data.train[0]["input_ids"]).startswith("translate english to romanian")
    assert data.train[0]["labels"] == built_in.load().train[0]["labels"]
    assert data.sources.weights == "pretrained"


def test_a_language_that_t5_has_no_name_for_needs_a_prefix(tmp_path: Path) -> None:
    kind = _kind(tmp_path, "t5-tiny", task={"options": {"target_lang": "xx"}})
    with pytest.raises(BenchError, match="what T5 calls the language 'xx'") as caught:
        kind.load()
    assert "source_prefix" in caught.value.fix


def test_a_translation_longer_than_the_model_has_positions_is_refused(tmp_path: Path) -> None:
    kind = _kind(tmp_path, "bart-tiny", task={"options": {"max_target_length": 1025}})
    data = kind.load()
    model, _ = build.build(kind.spec, data.tokenizer, kind.auto_class, kind.model_config(data))
    with pytest.raises(BenchError, match="1025 is more than the 1024 positions") as caught:
        kind.prepare_model(model)
    assert caught.value.place == "tasks.t.options.max_target_length"


# Texts whose BLEU is neither 0 nor 100, with what tokenization matters for.
GENERATED = [
    "Casa este mare, iar grădina e mică.",
    "El a citit cartea ieri.",
    "Nu știu ce să spun despre asta",
    "Bună ziua!",
]
REFERENCES = [
    "Casa este mare, iar grădina este mică.",
    "El a citit ieri cartea aceea.",
    "Nu știu ce aș putea spune despre asta.",
    "Bună ziua!",
]


def test_bleu_is_that_of_sacrebleus_own_command(tmp_path: Path) -> None:
    (tmp_path / "generated").write_text("\n".join(GENERATED) + "\n", encoding="utf-8")
    (tmp_path / "references").write_text("\n".join(REFERENCES) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", str(tmp_path / "references")]
    command += ["-i", str(tmp_path / "generated"), "--score-only", "--width", "10"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    score = bleu(GENERATED, REFERENCES)
    assert score == pytest.approx(float(told), abs=1e-9)
    assert 20 < score < 80
    assert bleu(REFERENCES, REFERENCES) == pytest.approx(100)


def test_generated_tokens_are_scored_as_text_without_their_padding(tmp_path: Path) -> None:
    """Against sacreBLEU on the decoded texts, whatever trainers pad with."""
    import numpy as np
    import sacrebleu

    data = _kind(tmp_path, "bart-tiny").load()
    tokens = data.tokenizer
    references = [target for _, target in pairs("train", 6, 0)]
    generated = [" ".join(text.split()[: 3 + index]) for index, text in enumerate(references)]

    def padded(texts: list[str], padding: list[int]) -> Any:
        rows = [[2, *tokens(text)["input_ids"]] for text in texts]  # BART begins with its end mark
        width = max(map(len, rows)) + 3
        return np.array(
            [
                row + [padding[index % len(padding)]] * (width - len(row))
                for index, row in enumerate(rows)
            ]
        )

    prediction = SimpleNamespace(
        predictions=padded(generated, [tokens.pad_token_id, IGNORED]),
        label_ids=padded(references, [IGNORED]),
    )
    found = judge(tokens, prediction)
    expected = sacrebleu.corpus_bleu(generated, [references]).score
    assert found["bleu"] == pytest.approx(expected, abs=1e-9)
    assert 0 < expected < 100
    lengths = [1 + len(tokens(text)["input_ids"]) for text in generated]
    assert found["gen_len"] == pytest.approx(statistics.mean(lengths))
    assert judge(tokens, SimpleNamespace(predictions=(prediction.predictions,), label_ids=(
        prediction.label_ids))) == found  # fmt: skip
    assert 0 < data.chance["bleu"] < 10  # one answer for all


@pytest.mark.parametrize("name", ["pytorch", "onnxruntime"])
def test_both_arms_get_the_same_arguments(tmp_path: Path, name: str) -> None:
    options = {"label_smoothing_factor": 0.1, "num_beams": 2, "max_target_length": 50}
    kind = _kind(tmp_path, "t5-tiny", task={"options": options})
    settings = arguments.build(kind.spec, backends.get(name)(kind.spec), tmp_path, kind)
    assert (settings.label_smoothing_factor, settings.predict_with_generate) == (0.1, True)
    assert (settings.generation_max_length, settings.generation_num_beams) == (50, 2)
    assert arguments.decisive(settings)["label_smoothing_factor"] == 0.1


def test_a_backend_without_such_a_trainer_is_one_sentence(tmp_path: Path) -> None:
    kind = _kind(tmp_path, "t5-tiny")
    plain = type("Plain", (backends.base.Backend,), {"name": "plain"})(kind.spec)
    with pytest.raises(BenchError, match="plain has no trainer for sequence-to-sequence"):
        plain.seq2seq_trainer_class()


# Files that are read as the original script reads them.


def _write(folder: Path, rows: list[Any], ending: str) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "validation"):
        if ending == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), folder / f"{split}-00000-of-00001.parquet")
        else:
            text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
            (folder / f"{split}.{ending}").write_text(text + "\n", encoding="utf-8")
    return folder


ROWS = [
    {"translation": {"en": f"word{index} is here", "ro": f"cuvântul {index} este aici"}}
    for index in range(1, 9)
]


@pytest.mark.parametrize("subfolder", ["", "ro-en"])
@pytest.mark.parametrize("ending", ["json", "jsonl", "parquet"])
def test_a_folder_of_pairs(tmp_path: Path, ending: str, subfolder: str) -> None:
    _write(tmp_path / "data" / subfolder, ROWS, ending)
    task = {"source": "folder", "folder": str(tmp_path / "data"), "eval_samples": 3}
    data = _kind(tmp_path, "t5-tiny", task=task).load()
    assert (data.sources.data, len(data.train), len(data.validation)) == ("folder", 8, 3)
    text = data.tokenizer.decode(data.train[1]["labels"], skip_special_tokens=True)
    assert text == "cuvantul 2 este aici"  # the built-in tokenizer leaves accents out
    swapped = {**task, "options": {"source_lang": "ro", "target_lang": "en"}}
    other = _kind(tmp_path, "t5-tiny", task=swapped).load()
    text = other.tokenizer.decode(other.train[1]["labels"], skip_special_tokens=True)
    assert text == "word2 is here"
    assert other.sources.data_sha256 != data.sources.data_sha256


@pytest.mark.parametrize(
    ("line", "said", "fix"),
    [
        ('{"translation": {"en": "a"}}', "has no text in 'ro', only 'en'", "both languages"),
        (
            '{"translation": {"en": "a", "ro": 7}}',
            "has no text in 'ro', only 'en'",
            "both languages",
        ),
        ('{"translation": {"en": "a", "ro": " "}}', "the text in 'ro' is empty", "leave it out"),
        ('{"translation": "a"}', "has no text in 'en', only no language", "both languages"),
        ('{"text": "a"}', "'translation' is missing", 'samples such as {"translation"'),
        ('{"translation": {"en": ', "is not JSON", ""),
    ],
)
def test_a_bad_line_is_told_with_its_place(tmp_path: Path, line: str, said: str, fix: str) -> None:
    folder = _write(tmp_path / "data", ROWS, "json")
    lines = (folder / "train.json").read_text(encoding="utf-8").splitlines()
    (folder / "train.json").write_text("\n".join([*lines[:2], "", line]), encoding="utf-8")
    task = {"source": "folder", "folder": str(folder)}
    with pytest.raises(BenchError, match=said) as caught:
        _kind(tmp_path, "t5-tiny", task=task).load()
    assert caught.value.place == f"{folder}/train.json:4"
    assert fix in caught.value.fix


def test_a_folder_without_a_split_is_one_sentence(tmp_path: Path) -> None:
    folder = _write(tmp_path / "data", ROWS, "json")
    (folder / "validation.json").unlink()
    with pytest.raises(BenchError, match="no file of the split 'validation'") as caught:
        _kind(tmp_path, "t5-tiny", task={"source": "folder", "folder": str(folder)}).load()
    assert "validation.json" in caught.value.fix


TAGGED = [
    {"tokens": ["Lork", "met", "Ann", "Bo", "."], "ner_tags": [3, 0, 1, 2, 0]},
    {"tokens": ["Rain"], "ner_tags": ["O"]},
]


def _tagger(folder: Path, data: Path) -> TaskKind:
    task = {"source": "folder", "folder": str(data)}
    spec = worker.spec_of_kind(
        folder, "token-classification", "bert-tiny", task=task, training=DYNAMIC
    )
    return tasks.get("token-classification")(JobSpec.model_validate(spec))


def test_a_folder_of_tagged_sentences(tmp_path: Path) -> None:
    """Tags by number, as on the hub, or by name."""
    named = [dict(TAGGED[0]) | {"ner_tags": ["B-ORG", "O", "B-PER", "I-PER", "O"]}, TAGGED[1]]
    found = []
    for name, rows in (("numbers", TAGGED), ("names", named)):
        data = _tagger(tmp_path, _write(tmp_path / name, rows, "json")).load()
        assert data.sources.data == "folder"
        found.append([[tag for tag in row if tag != IGNORED] for row in data.train["labels"]])
    assert found[0] == found[1] == [[3, 0, 1, 2, 0], [0]]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"tokens": ["a"], "ner_tags": [9]}, "the tag 9 is none of CoNLL-2003's"),
        ({"tokens": ["a"], "ner_tags": ["B-CITY"]}, "the tag 'B-CITY' is none"),
        ({"tokens": ["a", "b"], "ner_tags": [0]}, "2 words have 1 tags"),
        ({"tokens": [], "ner_tags": []}, "the sentence has no word"),
        ({"tokens": ["a", ""], "ner_tags": [0, 0]}, "word 2 in 'tokens' is empty"),
        ({"tokens": "a", "ner_tags": [0]}, "'tokens' is no list of words"),
        ({"tokens": ["a"]}, "'ner_tags' is missing"),
    ],
)
def test_a_bad_sentence_is_told_with_its_place(
    tmp_path: Path, row: dict[str, Any], said: str
) -> None:
    folder = _write(tmp_path / "data", [TAGGED[0], row], "json")
    with pytest.raises(BenchError, match=said) as caught:
        _tagger(tmp_path, folder).load()
    assert caught.value.place == f"{folder}/train.json:2"


# What suites say.

SUITE = """suite: s
models: {m: {architecture: t5-tiny, weights: random}}
tasks:
  t:
    kind: translation
    LINE
workloads: [{model: m, task: t}]
arms: {a: {backend: pytorch}, b: {backend: pytorch}}
pairs: [{baseline: a, candidate: b}]
measurement: {protocol: sequential}
"""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("options: {label_smoothing: 0.1}", "6: tasks.t.options.label_smoothing: unknown key"),
        ("options: {label_smoothing_factor: 1}", "6: tasks.t.options.label_smoothing_factor: 1"),
        ("options: {max_target_length: 1}", "6: tasks.t.options.max_target_length: 1"),
        ("subset: sst2", "4: tasks.t: `subset` goes with `kind: glue`"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "s.yaml").write_text(SUITE.replace("LINE", line))
    with pytest.raises(BenchError) as caught:
        load_suite(tmp_path / "s.yaml")
    assert f"s.yaml:{said}" in str(caught.value)


def test_inference_of_it_is_refused_before_anything_runs(tmp_path: Path) -> None:
    text = SUITE.replace("    LINE\n", "").replace("sequential}", "sequential, inference: {}}")
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(BenchError, match="inference of the kind translation") as caught:
        load_suite(tmp_path / "s.yaml")
    assert "s.yaml:9: measurement.inference" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "steps", "batch", "shape"),
    [
        ("conll2003", 7 * 1756, 8, "bert-large-cased"),
        ("conll2003-full", 7 * 1756, 8, "bert-large-cased"),
        ("wmt16-en-ro", 3 * 3750, 8, "t5-large"),
    ],
)
def test_suites_of_the_published_examples(
    tmp_path: Path, name: str, steps: int, batch: int, shape: str
) -> None:
    """As many samples, epochs and settings as were published; nothing of them needs a network."""
    suite = load_suite(Path("configs") / f"{name}.yaml")
    plan = make_plan(suite, device="cuda", cache_dir=tmp_path)
    jobs = [job for job in plan.jobs if not job.parity_run]
    assert {job.workload.model.architecture for job in jobs} == {shape}
    training = jobs[0].workload.training
    assert (training.precision, training.batch_size, training.pad_to_max_length) == (
        "fp16",
        batch,
        False,
    )
    assert {steps_of(job) for job in jobs} == {steps}
    assert {job.arm.backend for job in jobs} == {"pytorch", "onnxruntime"}
    assert all(bool(job.group) is (name != "conll2003-full") for job in jobs)
