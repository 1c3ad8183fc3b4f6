"""How the report names what a record holds, and what a publication does not tell."""

from __future__ import annotations

from typing import TypeVar

from harness.schema.record import JobRecord

Value = TypeVar("Value")

BACKEND_LABELS = {
    "pytorch": "PyTorch",
    "onnxruntime": "ONNX Runtime",
    "torch-compile": "torch.compile",
}


def known(job: JobRecord, name: str, value: Value) -> Value | None:
    """`value` of the field `name` (dotted), or None where the publication leaves it out."""
    return None if name in job.unpublished else value
