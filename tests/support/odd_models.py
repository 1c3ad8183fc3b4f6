"""Models that go wrong when they are exported: for tests of inference, whose child process imports
this.
"""

from __future__ import annotations

import os
import signal
from typing import Any

import torch
from transformers import BertForSequenceClassification


class Unexportable(BertForSequenceClassification):
    """Trains as any other, but has an operator that ONNX has not got."""

    def forward(self, *arguments: Any, **named: Any) -> Any:
        output = super().forward(*arguments, **named)
        output.logits = (
            output.logits + 0 * torch.linalg.eigvals(output.logits.T @ output.logits).real
        )
        return output


class Crashing(BertForSequenceClassification):
    """Takes its process down in the exporter."""

    def forward(self, *arguments: Any, **named: Any) -> Any:
        if torch.onnx.is_in_onnx_export():
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().forward(*arguments, **named)
