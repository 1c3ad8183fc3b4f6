"""The backends by name: one file and one line here for each. Importing this imports no torch."""

from __future__ import annotations

from harness.schema.registry import Registry
from harness.schema.workload import ORT_OPTIMIZERS
from harness.worker.backends.base import Backend

BACKENDS = {
    "pytorch": "harness.worker.backends.pytorch:PyTorch",
    "onnxruntime": "harness.worker.backends.onnxruntime:OnnxRuntime",
    "torch-compile": "harness.worker.backends.torch_compile:TorchCompile",
}
REGISTRY = Registry("training_backend_bench.backends", "backend", BACKENDS, Backend, in_stacks=True)


def get(name: str) -> type[Backend]:
    """The backend class of this name. Raises BenchError naming the known ones."""
    found: type[Backend] = REGISTRY.load(name)
    return found


def knows_optimizer(backend: str, optim: str) -> bool:
    """Whether the trainer of a backend knows a value of `training.optim`."""
    return optim not in ORT_OPTIMIZERS or optim in get(backend).own_optimizers
