"""Optimum's ORTSeq2SeqTrainer, evaluating as transformers' Seq2SeqTrainer does. Imports torch.

Training is Optimum's, untouched. Its evaluation cannot generate text with transformers 4.48: it
calls `generate` of the ORTModule, to which ORTModule has bound copies of the model's methods, and
those fail (`can_generate` looks at the bases of a class and gets an instance). Where they did not,
every token would run through ORTModule with inputs that it was not exported for.
"""

from __future__ import annotations

from typing import Any

from optimum.onnxruntime import ORTSeq2SeqTrainer

from harness.worker.ranks import unwrapped


class GeneratingORTTrainer(ORTSeq2SeqTrainer):  # type: ignore[misc]
    """Generates by the PyTorch model itself, whose weights ORTModule trains in place. The
    evaluation's loss is still ONNX Runtime's, of its graph for inference.
    """

    model: Any  # the ORTModule, once training has begun

    def evaluate(self, *arguments: Any, **named: Any) -> dict[str, float]:
        # As Seq2SeqTrainer: else a last batch that is shorter has another weight in the loss than
        # in the other arm.
        self.gather_function = self.accelerator.gather
        found: dict[str, float] = super().evaluate(*arguments, **named)
        return found

    def prediction_step(self, model: Any, *arguments: Any, **named: Any) -> Any:
        wrapped: Any = self.model
        self.model = getattr(unwrapped(wrapped), "module", wrapped)
        try:
            return super().prediction_step(model, *arguments, **named)
        finally:
            self.model = wrapped
