"""What a backend has to answer. Its module must import without torch: the parent process validates
options with it.
"""

from __future__ import annotations

from typing import Any, ClassVar

from harness.errors import BenchError
from harness.schema.job import JobSpec
from harness.schema.record import Engagement
from harness.schema.workload import NoOptions, Strict


class Backend:
    """One way to train. Lives as long as the job; torch may be imported in every method but
    `environment`.
    """

    name: ClassVar[str]
    Options: ClassVar[type[Strict]] = NoOptions
    # Of the values of `training.optim` those that no other backend's trainer knows.
    own_optimizers: ClassVar[tuple[str, ...]] = ()

    def __init__(self, spec: JobSpec) -> None:
        self.spec = spec
        self.options = self.Options.model_validate(spec.arm.options)

    def environment(self) -> dict[str, str]:
        """Environment variables to set before torch is imported."""
        return {}

    @classmethod
    def library_path(cls, device: str) -> list[str]:
        """Folders the dynamic loader needs in this arm's processes only; asked in the parent,
        before they start.
        """
        return []

    def prepare(self) -> None:
        """Called once, after torch is imported and before the model is built."""

    def trainer_class(self) -> Any:
        """A transformers.Trainer or a subclass of it."""
        raise NotImplementedError

    def arguments_class(self) -> Any:
        """The TrainingArguments class that goes with `trainer_class`."""
        raise NotImplementedError

    def seq2seq_trainer_class(self) -> Any:
        """A transformers.Seq2SeqTrainer, or what trains sequence-to-sequence models likewise and
        generates text when it evaluates.

        Raises:
            BenchError: The backend has none.
        """
        raise BenchError(
            f"the backend {self.name} has no trainer for sequence-to-sequence tasks",
            place=f"arms.{self.spec.arm.name}.backend",
            fix="another backend, or another kind of task",
        )

    def seq2seq_arguments_class(self) -> Any:
        """The TrainingArguments class that goes with `seq2seq_trainer_class`."""
        raise NotImplementedError

    def extra_arguments(self) -> dict[str, Any]:
        """TrainingArguments of this backend's own, besides those that the suite decides for every
        arm.
        """
        return {}

    def callbacks(self) -> list[Any]:
        """Callbacks for the trainer, besides the clock; asked once, after the trainer is made."""
        return []

    def engagement(self, trainer: Any, after_step: int) -> Engagement | None:
        """Proof, taken after optimizer step `after_step`, that the backend runs the training; None:
        none needed.
        """
        return None

    def compiled(self) -> bool:
        """Whether this process has compiled what later jobs of the arm find on disk: then it is set
        up slower than they are.
        """
        return False

    def is_fallback(self, error: BaseException) -> bool:
        """Whether an error raised before the first proof means that the backend could not take the
        model.
        """
        return False
