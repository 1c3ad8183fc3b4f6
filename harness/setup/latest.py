"""`make setup-latest`: .venv-latest, the stack of today's PyTorch and transformers, and a proof
that it trains.

With `--base PYTHON` it lies over an interpreter that has PyTorch already (a container's, say) and
adds only what the worker needs and that one lacks; the versions are then the host's, not the pinned
ones. Standard library only.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping
from typing import Any

from harness.errors import BenchError
from harness.paths import CHECKOUT
from harness.setup import uv as uv_tool
from harness.setup.stack import REQUIREMENTS, Variant, chosen_variant, driver_answers
from harness.setup.stacks import NEEDED, OF_SOME_TASKS
from harness.setup.steps import Steps, clean_environment

VENV = CHECKOUT / ".venv-latest"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "setup-stamp"
WANTED = [*NEEDED, *OF_SOME_TASKS]
# The base's pip, which knows what is there: uv would install PyTorch once more.
PIP = [str(PYTHON), "-m", "pip", "install"]
ABOUT = (
    "import importlib.metadata as m, json, sys; print(json.dumps({'version': "
    "sys.version_info[:2], 'path': sys.path, "
    "'packages': sorted({d.name.lower() for d in m.distributions() if d.name})}))"
)


def set_up(base: str | None, variant: Variant) -> None:
    """Bring .venv-latest to what is asked for, whatever state it is in. Raises BenchError."""
    CHECKOUT.joinpath(".cache").mkdir(exist_ok=True)
    with (CHECKOUT / ".cache" / "setup-latest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done(base, variant):
            return
        STAMP.unlink(missing_ok=True)
        steps = Steps(4 if base is None else 3, held_fds=(lock.fileno(),))
        print(
            "Setting up the stack `latest`" + (f" over {base}" if base else f" ({variant})"),
            flush=True,
        )
        if base is None:
            from_pins(variant, steps)
        else:
            over(base, steps)
        with steps.step("proof"):
            output = steps.run([str(PYTHON), "-m", "harness.setup.prove_latest"], _environment())
            steps.note(output.strip().splitlines()[-1])
        STAMP.write_text(key(base, variant))


def key(base: str | None, variant: Variant) -> str:
    """Hash of all that decides what set-up makes."""
    digest = hashlib.sha256(
        json.dumps([sys.version, str(CHECKOUT), variant, base, WANTED]).encode()
    )
    for file in sorted(REQUIREMENTS.glob("latest-*.txt")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def done(base: str | None, variant: Variant) -> bool:
    """Whether nothing is left to do."""
    return PYTHON.exists() and STAMP.exists() and STAMP.read_text() == key(base, variant)


def from_pins(variant: Variant, steps: Steps) -> None:
    """An environment of its own with the pinned packages."""
    with steps.step("uv"):
        try:
            uv = uv_tool.find_uv() or uv_tool.install_uv()
        except uv_tool.NoUv as error:
            raise BenchError(str(error)) from None
    with steps.step("Python environment"):
        shutil.rmtree(VENV, ignore_errors=True)
        steps.show([uv, "venv", "--quiet", "--python", sys.executable, str(VENV)])
    with steps.step("packages"):
        sync = [
            uv,
            "pip",
            "sync",
            "--python",
            str(PYTHON),
            "--require-hashes",
            "--compile-bytecode",
        ]
        wheels = clean_environment(**uv_tool.find_links())
        if variant == "cpu":
            try:
                steps.run([*sync, str(REQUIREMENTS / "latest-cpu.txt")], wheels)
                return
            except BenchError as error:
                if "torch==" not in str(error):
                    raise
            steps.note(
                "PyTorch with CUDA, for no index here has the one without (UV_INDEX, UV_FIND_LINKS)"
            )
        steps.show([*sync, str(REQUIREMENTS / "latest-cuda.txt")])


def over(base: str, steps: Steps) -> None:
    """An environment that sees the packages of `base`, and has of its own what the worker needs
    besides.
    """
    with steps.step("Python environment"):
        program = shutil.which(base)
        if program is None:
            raise BenchError(
                "there is no such interpreter",
                place=f"BASE={base}",
                fix="the path of one with PyTorch",
            )
        about = _about(program, steps)
        if tuple(about["version"]) < (3, 11):
            raise BenchError(
                "Python 3.11 or newer is needed", place=f"BASE={base}", fix="a newer interpreter"
            )
        shutil.rmtree(VENV, ignore_errors=True)
        steps.run([program, "-m", "venv", "--without-pip", str(VENV)])
        # By path, not by --system-site-packages: of a base that is a virtual environment, that
        # shows its base's.
        seen = [path for path in about["path"] if path.endswith(("site-packages", "dist-packages"))]
        (next(VENV.glob("lib/python3*/site-packages")) / "base.pth").write_text(
            "".join(f"{path}\n" for path in seen)
        )
    with steps.step("packages"):
        there = _about(str(PYTHON), steps)["packages"]
        missing = [name for name in NEEDED if name not in there]
        if "torch" in missing or "transformers" in missing:
            raise BenchError(
                "it has no PyTorch or no transformers",
                place=f"BASE={base}",
                fix="make setup-latest",
            )
        if missing:
            steps.run([*PIP, *missing])
        without = []
        for name in OF_SOME_TASKS:
            if name not in there:
                try:
                    steps.run([*PIP, name])
                except BenchError:  # most suites do without it; one that needs it says so
                    without.append(name)
                else:
                    missing.append(name)
        lacks = f"; without {', '.join(without)}, which translation needs" if without else ""
        steps.note(f"added {', '.join(missing) or 'none'}{lacks}")


def _about(program: str, steps: Steps) -> dict[str, Any]:
    """Version, path and packages of an interpreter."""
    answer: dict[str, Any] = json.loads(steps.run([program, "-c", ABOUT]).strip().splitlines()[-1])
    return answer


def _environment() -> Mapping[str, str]:
    return clean_environment(PYTHONPATH=str(CHECKOUT), PYTHONSAFEPATH="1")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", metavar="PYTHON", default=os.environ.get("BASE") or None)
    base = parser.parse_args().base
    try:
        set_up(base, chosen_variant(driver=driver_answers()))
    except (BenchError, OSError) as error:
        print(f"setup-latest: FAILED: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("setup-latest: interrupted; `make setup-latest` begins again", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
