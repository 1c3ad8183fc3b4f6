"""With what a run was made: package versions, code, environment. What stays out is
harness.schema.redaction's to say.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import BenchError
from harness.paths import CHECKOUT
from harness.results.host import describe_host
from harness.schema.record import Host
from harness.schema.redaction import redactor
from harness.schema.variables import is_decisive
from harness.setup import stacks

ASK_PACKAGES = (
    "import importlib.metadata as m, json, platform; "
    "print(json.dumps({'python': platform.python_version(), "
    "**{d.name: d.version for d in m.distributions() if d.name}}))"
)


@dataclass(frozen=True)
class Provenance:
    """What a run's results depend on besides its suite."""

    host: Host
    packages: dict[str, str] = field(
        default_factory=dict
    )  # those of other stacks as `stack/package`
    stacks: dict[str, str] = field(default_factory=dict)
    git: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)


def collect(interpreters: Mapping[str, str]) -> Provenance:
    """Provenance of a run whose stacks have these interpreters. Raises BenchError if one of those
    does not answer.
    """
    packages = own_packages()
    by = redactor(prefixes(interpreters))
    for stack, interpreter in interpreters.items():
        if interpreter != sys.executable:
            packages |= {
                f"{stack}/{name}": version
                for name, version in packages_of(stack, interpreter).items()
            }
    return Provenance(
        host=describe_host(),
        packages=packages,
        stacks={
            stack: describe_interpreter(stack, interpreter, packages)
            for stack, interpreter in interpreters.items()
        },
        git=git_state(CHECKOUT),
        environment=relevant_environment(os.environ),
        command=[Path(sys.argv[0]).name, *map(by.words, sys.argv[1:])],
    )


def own_packages() -> dict[str, str]:
    """Every installed package of this interpreter, and the version of Python."""
    versions = {d.name.lower(): d.version for d in importlib.metadata.distributions() if d.name}
    return {"python": platform.python_version(), **dict(sorted(versions.items()))}


def packages_of(stack: str, interpreter: str) -> dict[str, str]:
    """The same of another interpreter. Raises BenchError if it cannot be asked, or lacks what a
    worker needs.
    """
    try:
        # -I: neither this process' PYTHONPATH nor the current folder belongs to the other stack
        answer = subprocess.run(
            [interpreter, "-I", "-c", ASK_PACKAGES], capture_output=True, timeout=60, check=True
        )
        packages = {
            name.lower(): version for name, version in sorted(json.loads(answer.stdout).items())
        }
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise BenchError(
            f"the interpreter of stack {stack} does not answer: {error}",
            place=interpreter,
            fix=stacks.how_to_make(stack, interpreter),
        ) from error
    stacks.check_packages(stack, interpreter, packages)
    return packages


def describe_interpreter(stack: str, interpreter: str, packages: Mapping[str, str]) -> str:
    """An interpreter by its place in the checkout, or, outside of it, by its version alone."""
    try:
        return str(Path(interpreter).absolute().relative_to(CHECKOUT))
    except ValueError:
        return "Python " + packages.get(f"{stack}/python", packages.get("python", "unknown"))


def git_state(checkout: Path) -> dict[str, Any]:
    """`commit` and `dirty` (tracked files changed) of the code; what BENCH_COMMIT says if it is
    set.

    A container image or a copied tree has no .git, or a stale one: whoever made it can hand the
    commit on (`told`: not looked up). Where there is a checkout that cannot be asked, `unknown`
    says why and what to do.
    """
    told = os.environ.get("BENCH_COMMIT", "")
    if re.fullmatch(r"[0-9a-f]{7,64}", told):
        return {"commit": told, "told": True}

    def git(*arguments: str) -> str:
        environment = {
            k: v for k, v in os.environ.items() if not k.startswith("GIT_")
        }  # a hook sets GIT_DIR
        # A checkout of another user (a mount in a container, a shared disk) is one that git
        # refuses. Its code runs here already, so reading its commit adds no risk, without the one
        # program that its settings could start.
        command = [
            "git",
            "-c",
            "safe.directory=*",
            "-c",
            "core.fsmonitor=false",
            "-C",
            str(checkout),
            *arguments,
        ]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
            env={**environment, "LC_ALL": "C"},
        ).stdout.strip()

    try:
        git(
            "ls-files", "--error-unmatch", "harness/cli.py"
        )  # else: installed inside somebody else's checkout
        return {
            "commit": git("rev-parse", "HEAD"),
            "dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.SubprocessError) as error:
        why = _why_git_is_silent(error, checkout)
        return {"unknown": f"{why} (or set BENCH_COMMIT to the commit)"} if why else {}


def _why_git_is_silent(error: OSError | subprocess.SubprocessError, checkout: Path) -> str:
    """What keeps git from telling the commit, and what to do; empty where there is no commit to
    tell.
    """
    if not any((folder / ".git").exists() for folder in (checkout, *checkout.parents)):
        return ""
    if isinstance(error, subprocess.TimeoutExpired):
        return f"git gave no answer within {error.timeout:g} s: see why `git status` is so slow"
    if not isinstance(error, subprocess.CalledProcessError):
        return "git is not installed, or cannot be run: install it"
    said = (error.stderr or "").strip()
    if "did not match any file" in said or "not a git repository" in said:
        return ""
    if "dubious ownership" in said or "unsafe repository" in said:
        fix = "git config --global --add safe.directory followed by the checkout's path"
        return f"git refuses to read the checkout, which belongs to another user: {fix}"
    return (
        "git says: "
        f"{said.splitlines()[0] if said else f'nothing, and exits with {error.returncode}'}"
    )


def relevant_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that can change a result, by the allow-list of harness.schema.variables; their
    values redacted.
    """
    by = redactor(environment=environment)
    return {
        name: by.words(value) for name, value in sorted(environment.items()) if is_decisive(name)
    }


def prefixes(interpreters: Mapping[str, str]) -> dict[str, str]:
    """Where stacks are installed, for harness.schema.redaction: of each interpreter the folder
    above its own, with a label.
    """
    return {
        str(Path(interpreter).absolute().parent.parent): f"<python of {stack}>"
        for stack, interpreter in interpreters.items()
        if interpreter != sys.executable and "/" in interpreter
    }
