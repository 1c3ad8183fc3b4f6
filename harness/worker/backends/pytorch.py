"""PyTorch as it comes: transformers.Trainer, eager execution."""

from __future__ import annotations

from typing import Any

from harness.worker.backends.base import Backend


class PyTorch(Backend):
    """The baseline of every published table."""

    name = "pytorch"

    def trainer_class(self) -> Any:
        from transformers import Trainer

        return Trainer

    def arguments_class(self) -> Any:
        from transformers import TrainingArguments

        return TrainingArguments

    def seq2seq_trainer_class(self) -> Any:
        from transformers import Seq2SeqTrainer

        return Seq2SeqTrainer

    def seq2seq_arguments_class(self) -> Any:
        from transformers import Seq2SeqTrainingArguments

        return Seq2SeqTrainingArguments
