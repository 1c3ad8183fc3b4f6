"""One sentence says why a job failed, however long the message of its exception is."""

from __future__ import annotations

import pytest

from harness.worker.failures import LONGEST_SENTENCE, sentence

COMMAND = "/opt/gcc/bin/g++ /tmp/inductor/kernel.cpp " + "-D SOMETHING=1 " * 60


@pytest.mark.parametrize(
    "said",
    [
        "/tmp/inductor/kernel.h:19:10: fatal error: ATen/NumericUtils.h: No such file or directory",
        "kernel.cpp:7: error: expected ';' before '}' token",
        'kernel.cu(12): error: identifier "x" is undefined',
    ],
)
def test_of_a_compilers_output_its_first_error(said: str) -> None:
    error = RuntimeError(
        f"C++ compile error\n\nCommand:\n{COMMAND}\n\n"
        f"Output:\nIn file included from kernel.cpp:2:\n{said}\n"
        "   19 | #include <ATen/NumericUtils.h>\ncompilation terminated.\n\n"
        + "You can suppress this exception and fall back to eager by setting the following. "
        * 4
    )
    found = sentence(error)
    assert found.startswith("RuntimeError: C++ compile error Command: /opt/gcc/bin/g++ ")
    assert found.endswith(f"… {said}")
    assert len(found) <= LONGEST_SENTENCE + len("RuntimeError:  … ")


def test_of_a_long_message_beginning_and_end() -> None:
    where = "virtual Status ScaledSum::ComputeInternal(OpKernelContext*) const " * 8
    found = sentence(ValueError(f"While running ScaledSum: {where}: Shapes must be the same."))
    assert found.startswith("ValueError: While running ScaledSum: virtual Status")
    assert found.endswith(": Shapes must be the same.")
    assert len(found) <= LONGEST_SENTENCE + len("ValueError:  … ")


def test_a_message_of_usual_length_stands_whole() -> None:
    assert sentence(ValueError("x" * LONGEST_SENTENCE)) == f"ValueError: {'x' * LONGEST_SENTENCE}"
    assert sentence(ValueError()) == "ValueError"


def test_of_a_quoted_traceback_its_last_error() -> None:
    quoted = "Traceback (most recent call last):\n  File x\nKeyError: 'a'\n\nTypeError: no len\n"
    assert sentence(RuntimeError(f"worker 1 failed\n{quoted}")) == (
        "RuntimeError: worker 1 failed TypeError: no len"
    )
