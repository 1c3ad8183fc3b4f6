"""From an exception to the state a job ends in and one sentence why."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Iterator

from harness.errors import BenchError, beginning_and_end
from harness.schema.record import State
from harness.worker.instruments.loss_recorder import DivergedError

OUT_OF_MEMORY_TEXTS = (
    "CUDA out of memory",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "can't allocate memory",  # torch's DefaultCPUAllocator
    "Cannot allocate memory",  # errno ENOMEM, also from loading shared libraries
    "cannot allocate memory",
    "Failed to allocate memory",  # ONNX Runtime's arenas
    "bad_alloc",
    "malloc of size",  # Arrow
)


LONGEST_SENTENCE = 400  # characters of a message; a job's log has all of it
# With these words begins what PyTorch appends to a message whatever the error is.
_ADVICE = re.compile(
    r"\s*(?:Set TORCH_LOGS=|You can suppress this exception|"
    r"If reserved but unallocated memory is large).*",
    re.DOTALL,
)
# What a compiler or a linker says in a line of its own, as "kernel.cpp:7:1: error: expected ';'".
_COMPILER = re.compile(
    r"^.*[:(]\d+\)?: (?:fatal )?error: .*|^\S*\bld(?:\.\w+)?: cannot .*|"
    r"^.*: undefined reference .*",
    re.MULTILINE,
)


class NotEngagedError(Exception):
    """The backend was asked for proof that it runs the training, and had none."""


def chain(error: BaseException) -> Iterator[BaseException]:
    """The exception, what caused it, and so on."""
    seen: BaseException | None = error
    visited: set[int] = set()
    while seen is not None and id(seen) not in visited:
        visited.add(id(seen))
        yield seen
        seen = seen.__cause__ or seen.__context__


def log_hidden(what: str) -> None:
    """Write the exception in hand into the job's log (standard error), where a job goes on without
    what failed.
    """
    print(f"harness: {what}:\n{traceback.format_exc().rstrip()}", file=sys.stderr, flush=True)


def classify(
    error: BaseException, is_fallback: Callable[[BaseException], bool]
) -> tuple[State, str]:
    """State and reason of a job that raised. `is_fallback` is asked only for what nothing else
    explains.
    """
    for link in chain(error):
        if isinstance(link, DivergedError):
            return State.DIVERGED, str(link)
        if _is_out_of_memory(link):
            return State.OUT_OF_MEMORY, sentence(link)
    if isinstance(error, NotEngagedError):
        return State.FALLBACK, str(error)
    if isinstance(error, BenchError):
        return State.CRASHED, str(error)
    if is_fallback(error):
        return State.FALLBACK, f"the backend could not take the model: {sentence(error)}"
    return State.CRASHED, sentence(error)


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(text in str(error) for text in OUT_OF_MEMORY_TEXTS)


def sentence(error: BaseException | None) -> str:
    """The error in one line: of a message that quotes a whole traceback, what comes before it and
    its last error; of a long one its beginning and, as the cause often stands there, its end. A
    message that quotes a compiler or a linker ends with what that says first.
    """
    head, _, quoted = str(error).partition("Traceback (most recent call last):")
    head = _ADVICE.sub("", head)
    errors = re.findall(r"^[A-Za-z_][\w.]*: .*", quoted, re.MULTILINE)
    text = " ".join(f"{head} {errors[-1] if errors else ''}".split())
    half = LONGEST_SENTENCE // 2  # what a compiler says in the first half is told anyway
    if len(text) > LONGEST_SENTENCE and not errors and (said := _COMPILER.search(head, half)):
        cause = beginning_and_end(" ".join(said.group().split()), half)
        text = f"{text[: half - 3].rstrip()} … {cause}"
    else:
        text = beginning_and_end(text, LONGEST_SENTENCE)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
