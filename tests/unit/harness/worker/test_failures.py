"""One sentence says why a job failed, however long the message of its exception is."""

from __future__ import annotations

import pytest

from harness.errors import beginning_and_end
from harness.worker.failures import LONGEST_SENTENCE, sentence

COMMAND = "/opt/gcc/bin/g++ /tmp/inductor/kernel.cpp " + "-D SOMETHING=1 " * 60
ADVICE = (
    '\n\nSet TORCH_LOGS="+dynamo" and TORCHDYNAMO_VERBOSE=1 for more information\n\n\n'
    "You can suppress this exception and fall back to eager by setting:\n"
    "    import torch._dynamo\n    torch._dynamo.config.suppress_errors = True\n"
)


def compiled(said: str) -> RuntimeError:
    """What Inductor raises where a compiler ends badly."""
    return RuntimeError(
        f"C++ compile error\n\nCommand:\n{COMMAND}\n\n"
        f"Output:\nIn file included from kernel.cpp:2:\n{said}\n"
        f"   19 | #include <ATen/NumericUtils.h>\ncompilation terminated.\n{ADVICE}"
    )


@pytest.mark.parametrize(
    "said",
    [
        "/tmp/inductor/kernel.h:19:10: fatal error: ATen/NumericUtils.h: No such file or directory",
        "/tmp/a folder/kernel.cpp:7: error: expected ';' before '}' token",
        'kernel.cu(12): error: identifier "x" is undefined',
        "/usr/bin/ld: cannot find -lcuda: No such file or directory",
        "kernel.cpp:(.text+0x5): undefined reference to `cuInit'",
    ],
)
def test_of_a_compilers_output_its_first_error(said: str) -> None:
    found = sentence(compiled(said))
    assert found.startswith("RuntimeError: C++ compile error Command: /opt/gcc/bin/g++ ")
    assert found.endswith(f"… {said}")
    assert len(found) <= LONGEST_SENTENCE + len("RuntimeError: ")


def test_what_a_compiler_says_at_the_beginning_is_said_once() -> None:
    said = "kernel.cpp:7:1: error: expected ';'"
    found = sentence(RuntimeError(f"{said}\n" + "more of it " * 60 + "the end"))
    assert found.count(said) == 1
    assert found.endswith("the end")


def test_of_a_long_message_beginning_and_end() -> None:
    where = "virtual Status ScaledSum::ComputeInternal(OpKernelContext*) const " * 8
    found = sentence(ValueError(f"While running ScaledSum: {where}: Shapes must be the same."))
    assert found.startswith("ValueError: While running ScaledSum: virtual Status")
    assert found.endswith(": Shapes must be the same.")
    assert len(found) <= LONGEST_SENTENCE + len("ValueError: ")


def test_what_pytorch_advises_is_no_cause() -> None:
    failed = "backend='inductor' raised:\n" + "in a kernel of attention " * 12 + "HEAD_DIM_24"
    found = sentence(RuntimeError(failed + ADVICE))
    assert found.endswith("HEAD_DIM_24")
    assert "TORCH_LOGS" not in found
    memory = (
        "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has 1.00 GiB free. Of the "
        "allocated memory 9.00 GiB is allocated by PyTorch, and 1.00 GiB is reserved by PyTorch "
        "but unallocated."
    )
    advice = " If reserved but unallocated memory is large try setting x=y. See (https://pytorch)"
    assert sentence(ValueError(memory + advice)) == f"ValueError: {memory}"


def test_a_message_of_usual_length_stands_whole() -> None:
    assert sentence(ValueError("x" * LONGEST_SENTENCE)) == f"ValueError: {'x' * LONGEST_SENTENCE}"
    assert sentence(ValueError()) == "ValueError"


def test_of_a_quoted_traceback_its_last_error() -> None:
    quoted = "Traceback (most recent call last):\n  File x\nKeyError: 'a'\n\nTypeError: no len\n"
    assert sentence(RuntimeError(f"worker 1 failed\n{quoted}")) == (
        "RuntimeError: worker 1 failed TypeError: no len"
    )
    long = str(compiled("kernel.cpp:7: error: expected ';'")).replace(ADVICE, "\n")
    assert sentence(RuntimeError(f"{long}{quoted}")).endswith("TypeError: no len")


def test_beginning_and_end_are_cut_between_words() -> None:
    text = "the beginning of it, and in between a lot of words, and after them the end"
    assert beginning_and_end(text, 30) == "the beginning … them the end"
    assert beginning_and_end(text, len(text)) == text
    assert beginning_and_end("x" * 31, 30) == "x" * 13 + " … " + "x" * 13
