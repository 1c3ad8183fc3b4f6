"""The backends by name: one file and one line here for each. Importing this imports no torch."""

from __future__ import annotations

import importlib

from harness.errors import BenchError
from harness.worker.backends.base import Backend

BACKENDS = {
    "pytorch": "harness.worker.backends.pytorch:PyTorch",
    "onnxruntime": "harness.worker.backends.onnxruntime:OnnxRuntime",
}


def get(name: str) -> type[Backend]:
    """The backend class of this name. Raises BenchError naming the known ones."""
    if name not in BACKENDS:
        raise BenchError(f"no backend is called {name!r}", fix=f"one of: {', '.join(BACKENDS)}")
    module, _, attribute = BACKENDS[name].partition(":")
    backend: type[Backend] = getattr(importlib.import_module(module), attribute)
    return backend
