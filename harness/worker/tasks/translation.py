"""Translation by an encoder and a decoder, as transformers' and Optimum's run_translation.py train
it: batches padded to their longest sentences, label smoothing, BLEU of generated text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, cast

from pydantic import Field, model_validator

from harness.errors import BenchError, is_text
from harness.planning.hub import expanded, hub_cache
from harness.planning.positions import usable_positions
from harness.schema.input_errors import Unfit
from harness.schema.workload import Model, Strict, Task
from harness.worker.model import build, tokenizer
from harness.worker.tasks import translation_corpus
from harness.worker.tasks.base import TaskData, TaskKind
from harness.worker.tasks.samples import Samples, open_samples, split_files, told_of_files
from harness.worker.tasks.splits import load_splits
from harness.worker.tasks.store import key_of

VERSION = 1  # part of the cache key
HUB_DATASET = "wmt/wmt16"
BATCH = 1000
IGNORED = -100  # torch's cross entropy and transformers' label smoother leave such labels out
COLUMN = "translation"
# What T5 was trained to read before a sentence names languages in words.
LANGUAGES = {
    "cs": "Czech",
    "de": "German",
    "en": "English",
    "fi": "Finnish",
    "fr": "French",
    "ro": "Romanian",
    "ru": "Russian",
    "tr": "Turkish",
}

Pair = tuple[str, str]  # a sentence and its translation


class TranslationOptions(Strict):
    """Settings of transformers' run_translation.py, by the names they have there.

    `max_seq_length` of the training settings is its `max_source_length`.
    """

    source_lang: str = Field("en", min_length=1, description="language of the sentences")
    target_lang: str = Field("ro", min_length=1, description="language they are translated into")
    source_prefix: str | None = Field(
        None,
        description="text before every sentence; null: of T5 `translate English to Romanian: `, of "
        "other models none",
    )
    max_target_length: int = Field(
        128, gt=1, le=4096, description="tokens that a translation is cut to, and generated at most"
    )
    num_beams: int = Field(1, ge=1, le=64, description="beams of the search when generating")
    label_smoothing_factor: float = Field(
        0.0, ge=0, lt=1, description="share of a label that is spread over the vocabulary"
    )
    predict_with_generate: bool = Field(
        True, description="generate the validation set's translations and score them by sacreBLEU"
    )

    @model_validator(mode="after")
    def _are_two_languages(self) -> TranslationOptions:
        source, target = _codes(self)
        if source == target:
            raise Unfit(
                f"`source_lang` and `target_lang` are both {source!r}, so nothing is translated",
                "two languages, such as `source_lang: en` and `target_lang: ro`",
            )
        return self


class Translation(TaskKind):
    """Sentences and their translations; a sample is a pair."""

    name = "translation"
    Options = TranslationOptions
    sources = ("hub", "folder", "files", "synthetic")
    auto_class = "AutoModelForSeq2SeqLM"
    takes_dataset = True
    sequence_to_sequence = True
    exports_for_inference = False

    @classmethod
    def hub_dataset(cls, task: Task) -> tuple[str, str]:
        """WMT16's subset of the two languages, which is named after the other one and English;
        or the data set that the task names.
        """
        if task.dataset is not None:
            return task.dataset, task.dataset_config or "default"
        options = TranslationOptions.model_validate(task.options)
        languages = (_code(options.source_lang), _code(options.target_lang))
        other = next((code for code in languages if code != "en"), "en")
        return HUB_DATASET, f"{other}-en"

    @classmethod
    def look_at_folder(cls, task: Task) -> None:
        assert task.folder is not None
        split_files(expanded(task.folder), cls.hub_dataset(task)[1])

    @classmethod
    def look_at_files(cls, task: Task) -> str:
        codes = _codes(TranslationOptions.model_validate(task.options))
        return told_of_files(
            task, (COLUMN,), lambda row, place: _pair(row[COLUMN], codes, place), _example(codes)
        )

    @classmethod
    def packages(cls, task: Task) -> Mapping[str, str]:
        generates = TranslationOptions.model_validate(task.options).predict_with_generate
        return {"sacrebleu": "predict_with_generate: false"} if generates else {}

    @classmethod
    def check_model(cls, task: Task, model: Model, config: Mapping[str, Any]) -> None:
        super().check_model(task, model, config)
        options = TranslationOptions.model_validate(task.options)
        _prefix(options, task, config.get("model_type"))
        _check_positions(options, task, model, config)

    @property
    def _options(self) -> TranslationOptions:
        return cast(TranslationOptions, self.options)

    def load(self) -> TaskData:
        options, training, task = self._options, self.spec.workload.training, self.task
        if options.predict_with_generate:
            _check_sacrebleu()
        prefix = self._prefix()
        samples = self._samples()
        tokens, tokenizer_key = tokenizer.load(
            self.spec,
            samples.identity,
            lambda: [
                text
                for pair in samples.read("train", tokenizer.TRAINING_TEXTS // 2)
                for text in pair
            ],
        )
        length = tokenizer.length_of(self.spec, tokens, tokens.num_special_tokens_to_add())
        limits = {"train": task.train_samples, "validation": task.eval_samples}

        def encode(split: str) -> Any:
            return _encode(
                samples.read(split, limits[split]),
                tokens,
                prefix,
                (length, options.max_target_length),
                pad=training.pad_to_max_length,
            )

        splits, sources = load_splits(
            self.spec,
            ("train", "validation"),
            encode,
            data=samples.origin,
            kind=self.name,
            version=VERSION,
            text=samples.identity,
            tokenizer=tokenizer_key,
            length=length,
            target_length=options.max_target_length,
            prefix=prefix,
            languages=[options.source_lang, options.target_lang],
            pad=training.pad_to_max_length,
            limits=limits,
        )
        generates = options.predict_with_generate
        return TaskData(
            train=splits["train"],
            validation=splits["validation"],
            tokenizer=tokens,
            labels=len(tokens),
            sources=sources,
            metrics=(lambda prediction: judge(tokens, prediction)) if generates else None,
            main_metrics=("bleu",) if generates else (),
            chance=_one_answer(tokens, splits["validation"]["labels"]) if generates else {},
        )

    def _samples(self) -> Samples[Pair]:
        task, codes = self.task, _codes(self._options)
        repository, subset = self.hub_dataset(task)
        return open_samples(
            task,
            hub=(repository, subset),
            columns=(COLUMN,),
            sample=lambda row, place: _pair(row[COLUMN], codes, place),
            synthetic=lambda split, limit: list(
                translation_corpus.pairs(split, limit, task.data_seed)
            ),
            identity=key_of(
                kind=self.name, version=translation_corpus.VERSION, seed=task.data_seed
            ),
            example=_example(codes),
        )

    def _prefix(self) -> str:
        """What stands before every sentence. Raises BenchError as the function `_prefix` does."""
        if self._options.source_prefix is not None:
            return self._options.source_prefix
        return _prefix(self._options, self.task, _model_type(self.spec.workload.model))

    def model_config(self, data: TaskData) -> dict[str, Any]:
        """No cache in training, where it would only be further outputs; generating has its own
        setting (`prepare_model`).
        """
        return {"use_cache": False}

    def arguments(self) -> dict[str, Any]:
        options = self._options
        return {
            "label_smoothing_factor": options.label_smoothing_factor,
            "predict_with_generate": options.predict_with_generate,
            "generation_max_length": options.max_target_length,
            "generation_num_beams": options.num_beams,
        }

    def prepare_model(self, model: Any) -> None:
        """Say how the model generates, and keep it for the collator.

        Raises:
            BenchError: A translation may be longer than the model has positions.
        """
        workload = self.spec.workload
        _check_positions(self._options, self.task, workload.model, model.config.to_dict())
        model.generation_config.use_cache = True
        # Trainers pad what was generated to this length; left at 20, batches would differ in it.
        model.generation_config.max_length = self._options.max_target_length
        self._model = model

    def collator(self, data: TaskData) -> Callable[[Any], Any]:
        """Pads sources and labels, each to the longest of the batch, and makes the decoder's inputs
        of the labels: with label smoothing the model itself does not see them.
        """
        from transformers import DataCollatorForSeq2Seq

        collator: Callable[[Any], Any] = DataCollatorForSeq2Seq(
            data.tokenizer,
            model=self._model,
            label_pad_token_id=IGNORED,
            pad_to_multiple_of=self.pad_to_multiple_of,
        )
        return collator


def _check_positions(
    options: TranslationOptions, task: Task, model: Model, config: Mapping[str, Any]
) -> None:
    """Raises BenchError where a translation may be longer than the model has positions."""
    asked, most = options.max_target_length, usable_positions(config)
    if most is not None and asked > most:
        raise BenchError(
            f"max_target_length {asked} is more than the {most} positions of {model.name}",
            place=f"tasks.{task.name}.options.max_target_length",
            fix=f"{most} or less, or another model",
        )


def _codes(options: TranslationOptions) -> tuple[str, str]:
    """The languages that are translated from and into."""
    return _code(options.source_lang), _code(options.target_lang)


def _example(codes: tuple[str, str]) -> str:
    """A line of a file as it should be."""
    return '{"translation": {"%s": "…", "%s": "…"}}' % codes  # noqa: UP031


def _code(language: str) -> str:
    """The language of a code such as mBART's `ro_RO`."""
    return language.split("_")[0]


def _prefix(options: TranslationOptions, task: Task, model_type: Any) -> str:
    """What stands before every sentence of a model of this type.

    Raises:
        BenchError: The model is a T5, whose prefix names languages that have no name here.
    """
    if options.source_prefix is not None:
        return options.source_prefix
    if model_type != "t5":
        return ""
    codes = _codes(options)
    for key, code in zip(("source_lang", "target_lang"), codes, strict=True):
        if code not in LANGUAGES:
            raise BenchError(
                f"what T5 calls the language {code!r} is not known here",
                place=f"tasks.{task.name}.options.{key}",
                fix="give `source_prefix`, such as `translate English to Romanian: `",
            )
    return f"translate {LANGUAGES[codes[0]]} to {LANGUAGES[codes[1]]}: "


def _model_type(model: Model) -> Any:
    """`model_type` of the model's configuration."""
    if build.source(model) == "random":
        return build.shape(model)["model_type"]
    from transformers.configuration_utils import PretrainedConfig

    try:
        written, _ = PretrainedConfig.get_config_dict(
            build.config_location(model), cache_dir=hub_cache(), revision=model.revision or "main"
        )
    except (OSError, ValueError) as error:
        raise BenchError(
            f"{type(error).__name__}: {error}", place=f"models.{model.name}", fix="check its `path`"
        ) from error
    return written.get("model_type")


def _pair(value: Any, codes: tuple[str, str], place: str) -> Pair:
    """A sample of a file or of the hub. Raises BenchError for one that is no translation."""
    there = dict(value) if isinstance(value, Mapping) else {}
    texts: list[str] = []
    for code in codes:
        text = there.get(code)
        if not isinstance(text, str):
            texts_of = [name for name, value in there.items() if isinstance(value, str)]
            languages = ", ".join(map(repr, texts_of)) or "no language"
            raise BenchError(
                f"{COLUMN!r} has no text in {code!r}, only {languages}",
                place=place,
                fix="both languages in every sample, or other `source_lang` and `target_lang`",
            )
        if not text.strip():
            raise BenchError(f"the text in {code!r} is empty", place=place, fix="leave it out")
        if not is_text(text):
            raise BenchError(
                f"the text in {code!r} holds half of a surrogate pair, which is no character",
                place=place,
                fix="text that can be written in UTF-8",
            )
        texts.append(text)
    return texts[0], texts[1]


def _encode(
    found: Sequence[Pair], tokens: Any, prefix: str, lengths: tuple[int, int], *, pad: bool
) -> Any:
    """Tokens of the sentences, and those of their translations as labels. `lengths`: what either
    side is cut to.
    """
    from datasets import Dataset, concatenate_datasets

    padding = "max_length" if pad else False
    parts = []
    for begin in range(0, len(found), BATCH):
        rows = found[begin : begin + BATCH]
        encoded = tokens(
            [prefix + source for source, _ in rows],
            padding=padding,
            truncation=True,
            max_length=lengths[0],
        )
        labels = tokens(
            text_target=[target for _, target in rows],
            padding=padding,
            truncation=True,
            max_length=lengths[1],
        )
        kept = [
            [token if real else IGNORED for token, real in zip(ids, mask, strict=True)]
            for ids, mask in zip(labels["input_ids"], labels["attention_mask"], strict=True)
        ]
        parts.append(Dataset.from_dict({**encoded, "labels": kept}))
    return concatenate_datasets(parts)


def judge(tokens: Any, prediction: Any) -> dict[str, float]:
    """`bleu`, 0 to 100, and `gen_len`, the mean number of generated tokens, of a
    transformers.EvalPrediction of generated tokens.

    As the original script scores: both sides are decoded without special tokens and stripped.
    """
    import numpy as np

    generated = prediction.predictions
    generated = np.asarray(generated[0] if isinstance(generated, tuple) else generated)
    # Where batches differ in length, the trainer pads them with what the loss leaves out.
    generated = np.where(generated == IGNORED, tokens.pad_token_id, generated)
    truth = np.asarray(prediction.label_ids)
    truth = np.where(truth == IGNORED, tokens.pad_token_id, truth)
    lengths = (generated != tokens.pad_token_id).sum(axis=-1)
    return {
        "bleu": bleu(_texts(tokens, generated), _texts(tokens, truth)),
        "gen_len": float(lengths.mean()),
    }


def bleu(generated: Sequence[str], references: Sequence[str]) -> float:
    """BLEU of a corpus by sacreBLEU with its defaults, 0 to 100; one reference for each text."""
    import sacrebleu

    return float(sacrebleu.corpus_bleu(list(generated), [list(references)]).score)


def _texts(tokens: Any, ids: Any) -> list[str]:
    return [text.strip() for text in tokens.batch_decode(ids, skip_special_tokens=True)]


def _one_answer(tokens: Any, labels: Sequence[Sequence[int]]) -> dict[str, float]:
    """BLEU of a model that answers everything with one translation: that of median length."""
    kept = [[token for token in row if token != IGNORED] for row in labels]
    texts = _texts(tokens, kept)
    middle = texts[sorted(range(len(kept)), key=lambda index: len(kept[index]))[len(kept) // 2]]
    return {"bleu": bleu([middle] * len(texts), texts)}


def _check_sacrebleu() -> None:
    if find_spec("sacrebleu") is None:
        raise BenchError(
            "the package sacrebleu is not installed in this stack",
            place="predict_with_generate",
            fix="`make setup` (in the stack latest: `make setup-latest`), or `options: "
            "{predict_with_generate: false}`",
        )
