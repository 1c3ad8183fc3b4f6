"""Stacks: interpreters with packages of their own that jobs run in. `ort` is this one; a suite
declares the others.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BenchError
from harness.paths import CHECKOUT

if TYPE_CHECKING:
    from harness.schema.suite import Suite

OWN = "ort"
LATEST = "latest"
# What harness/worker imports in every stack, as packages are called.
NEEDED = (
    "accelerate datasets filelock numpy pyarrow pydantic scikit-learn scipy tokenizers torch "
    "transformers"
).split()
# What some kinds of task import besides; a run that needs it is refused where it is missing.
OF_SOME_TASKS = ("sacrebleu",)


def interpreters(
    suite: Suite, options: Iterable[str] = (), *, must_exist: bool = True
) -> dict[str, str]:
    """The interpreter of every stack that an arm of a pair names, by stack.

    The first that says so counts: `options` (`NAME=PATH`, from --stack), the variable
    BENCH_STACK_NAME, the suite. Paths are relative to the checkout; a name without a slash is
    looked up on PATH. Raises BenchError for options that are none or name no stack of the suite,
    and (if it `must_exist`) for an interpreter that is not there.
    """
    given = dict(_option(option) for option in options)
    used = {
        suite.arms[name].stack for pair in suite.pairs for name in (pair.baseline, pair.candidate)
    }
    for name in given.keys() - used - suite.stacks.keys():
        raise BenchError(
            f"no arm of {suite.suite} runs in a stack {name!r}",
            place=f"--stack {name}={given[name]}",
            fix=f"one of: {', '.join(sorted(used))}",
        )
    found = {}
    for name in sorted(used):
        place, wanted = _wanted(name, suite, given)
        found[name] = (
            _program(name, wanted, place, must_exist) if wanted is not None else sys.executable
        )
    return found


def variable(stack: str) -> str:
    """The environment variable that names a stack's interpreter, e.g. BENCH_STACK_LATEST."""
    return "BENCH_STACK_" + re.sub(r"\W", "_", stack).upper()


def how_to_make(stack: str, interpreter: str = "") -> str:
    """What to type when a stack is not there, or lacks packages."""
    if stack == OWN:
        return "make setup"
    if stack != LATEST:
        return f"an interpreter that has {', '.join(NEEDED)}"
    if interpreter and Path(interpreter).absolute().is_relative_to(CHECKOUT):
        return "make setup-latest"
    over = interpreter or "/path/to/python3"
    return (
        "make setup-latest (or, over an interpreter that has PyTorch already, make setup-latest "
        f"BASE={over})"
    )


def check_packages(stack: str, interpreter: str, packages: Mapping[str, str]) -> None:
    """Raises BenchError naming what a worker needs and `packages` (of that interpreter) does not
    have.
    """
    missing = [name for name in NEEDED if name not in packages]
    if missing:
        raise BenchError(
            f"the interpreter of stack {stack} has no {', '.join(missing)}",
            place=interpreter,
            fix=how_to_make(stack, interpreter),
        )


def _option(option: str) -> tuple[str, str]:
    name, equals, path = option.partition("=")
    if not (name and equals and path):
        raise BenchError(
            "needs NAME=PATH",
            place=f"--stack {option}",
            fix="for example --stack latest=/usr/bin/python3",
        )
    return name, path


def _wanted(name: str, suite: Suite, given: Mapping[str, str]) -> tuple[str, str | None]:
    """Who names the interpreter of a stack, and its path as written; None: this one."""
    if name in given:
        return f"--stack {name}", given[name]
    if os.environ.get(variable(name)):
        return variable(name), os.environ[variable(name)]
    if name in suite.stacks:
        return f"stacks.{name}.python", suite.stacks[name].python
    return name, None


def _program(stack: str, wanted: str, place: str, must_exist: bool) -> str:
    path = (
        CHECKOUT / Path(wanted).expanduser()
    )  # not resolved: a virtual environment's interpreter is a link
    found = str(path) if "/" in wanted else shutil.which(wanted)
    if found is not None and (not must_exist or os.access(found, os.X_OK)):
        return found
    if not must_exist:
        return wanted
    raise BenchError(
        f"no interpreter {wanted} for stack {stack}", place=place, fix=how_to_make(stack)
    )
