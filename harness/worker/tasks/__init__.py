"""The kinds of task by name: one file and one line here for each. Importing this imports no torch."""

from __future__ import annotations

import importlib
from typing import Any

from harness.errors import BenchError

TASKS = {"glue": "harness.worker.tasks.glue"}


def get(kind: str) -> Any:
    """The module of this kind of task; it has `load(spec) -> TaskData`. Raises BenchError naming the known ones."""
    if kind not in TASKS:
        raise BenchError(f"no kind of task is called {kind!r}", fix=f"one of: {', '.join(TASKS)}")
    return importlib.import_module(TASKS[kind])
