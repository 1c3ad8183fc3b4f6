"""What a kind of task has to answer. Its module must import without torch: the parent process
validates options.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from harness.errors import BenchError
from harness.results.mfu import shape_of
from harness.schema.job import JobSpec
from harness.schema.record import ModelShape, Sources
from harness.schema.workload import Model, NoOptions, Strict, Task
from harness.worker.model import heads


@dataclass(frozen=True)
class TaskData:
    """A tokenised task. Splits are datasets.Dataset with the tokenizer's outputs and `labels`.

    `labels`: how many classes are told apart, 1 for a regression. `metrics`: from a
    transformers.EvalPrediction; None if the loss is all there is, then Trainer keeps no logits.
    `further`: more validation sets, by the ending that their metrics get (`mm`: accuracy_mm).
    `main_metrics`: those whose mean is the task's score, which parity compares. `chance`: what of
    each metric a model reaches that ignores its input.
    """

    train: Any
    validation: Any
    tokenizer: Any
    labels: int
    sources: Sources
    metrics: Callable[[Any], dict[str, float]] | None
    further: Mapping[str, Any] = field(default_factory=dict)
    main_metrics: tuple[str, ...] = ()
    chance: Mapping[str, float] = field(default_factory=dict)


class TaskKind:
    """One kind of task: its data, the model's head, how batches are made and judged. Lives as long
    as the job.

    torch and transformers may be imported in every method but the class methods, which the parent
    process calls.
    The defaults suit sequence classification.
    """

    name: ClassVar[str]
    Options: ClassVar[type[Strict]] = NoOptions  # of `options` in the suite
    sources: ClassVar[tuple[str, ...]] = (
        "synthetic",
    )  # which of settings.Task.source it can read, besides auto
    # of transformers: decides the model's head
    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"
    # Whether the backend's trainer for sequences to sequences trains it, which can generate text
    # when it evaluates.
    sequence_to_sequence: ClassVar[bool] = False
    # Whether the trained model's logits can be compared between engines (measurement.inference).
    exports_for_inference: ClassVar[bool] = True
    # Whether `dataset` of the task names what `source: hub` reads.
    takes_dataset: ClassVar[bool] = False

    def __init__(self, spec: JobSpec) -> None:
        self.spec = spec
        self.task = spec.workload.task
        self.options = self.Options.model_validate(self.task.options)

    @classmethod
    def hub_dataset(cls, task: Task) -> tuple[str, str] | None:
        """Repository and subset that `source: hub` reads; asked in the parent to decide `source:
        auto`.
        """
        return None

    @classmethod
    def look_at_files(cls, task: Task) -> str:
        """What the files of `source: files` hold, in words for the reader of a run; asked in the
        parent before any job starts.

        Raises:
            BenchError: They cannot be used.
        """
        raise NotImplementedError

    @classmethod
    def look_at_folder(cls, task: Task) -> None:
        """Refuse a folder of `source: folder` that has no files of the task; asked in the parent
        before any job starts.

        Raises:
            BenchError: Which are missing.
        """

    @classmethod
    def packages(cls, task: Task) -> Mapping[str, str]:
        """Packages that a job needs in the stack of its arm besides those of every job, each with
        what to do where it cannot be had.
        """
        return {}

    @classmethod
    def check_model(cls, task: Task, model: Model, config: Mapping[str, Any]) -> None:
        """Refuse a model that cannot be trained on the task; asked in the parent before any job
        starts.

        Args:
            task: The task.
            model: The model.
            config: What is known of its transformers configuration without asking the hub.

        Raises:
            BenchError: It is of a type that has no such head in transformers.
        """
        kind = config.get("model_type")
        if isinstance(kind, str) and not heads.may_have(cls.auto_class, kind):
            raise BenchError(
                f"{cls.name} needs a model with {cls.auto_class}, and {model.name} is of the type "
                f"{kind}, which has none",
                place=f"models.{model.name}",
                fix="another kind of task, or a model that has it, such as the built-in "
                + " or ".join(heads.built_in_with(cls.auto_class)[:5]),
            )

    def load(self) -> TaskData:
        """The data, tokenised. Raises BenchError for sources that cannot be used."""
        raise NotImplementedError

    def model_config(self, data: TaskData) -> dict[str, Any]:
        """What the task decides of the transformers configuration."""
        # Left open, a model's code sets the problem's type in its first step: a graph break and a
        # second compilation.
        problem = "regression" if data.labels == 1 else "single_label_classification"
        # And what is cached is for generating text.
        return {"num_labels": data.labels, "problem_type": problem, "use_cache": False}

    def arguments(self) -> dict[str, Any]:
        """TrainingArguments that the task decides, the same for every arm."""
        return {}

    def prepare_model(self, model: Any) -> None:
        """Called once with the built model, before the trainer and the collator are made."""

    @property
    def pad_to_multiple_of(self) -> int | None:
        """What batches that are padded to their longest sample are rounded up to, as in
        transformers' example scripts: 8 tokens in fp16.
        """
        return 8 if self.spec.workload.training.precision == "fp16" else None

    def collator(self, data: TaskData) -> Callable[[Any], Any]:
        """Makes a batch of samples; pads them unless the data is padded already."""
        from transformers import DataCollatorWithPadding, default_data_collator

        padded = self.spec.workload.training.pad_to_max_length
        found: Callable[[Any], Any] = default_data_collator
        return found if padded else DataCollatorWithPadding(data.tokenizer)

    def scores(self, evaluated: Mapping[str, float]) -> dict[str, float]:
        """The metrics that are reported, from `loss` and those of TaskData.metrics."""
        return dict(evaluated)

    def shape(self, config: Mapping[str, Any], data: TaskData) -> ModelShape | None:
        """What decides the model's FLOPs, from its transformers configuration; None: not known,
        none are shown.
        """
        return shape_of(config, data.labels) if self.auto_class == TaskKind.auto_class else None
