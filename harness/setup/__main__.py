"""`make setup`: .venv with the stack this host needs, ORT's extensions, and a proof that it trains.

Run by the interpreter the environment is made from (harness/setup/bootstrap.sh has uv find it).
Does nothing, in well under a second, when the stamp in .venv says that everything is as it was.
Standard library only.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BenchError
from harness.paths import CHECKOUT, cache_root
from harness.setup import uv as uv_tool
from harness.setup.extensions import Extensions
from harness.setup.stack import (
    CUDA11_LIBS,
    KERNEL_CACHE_BYTES,
    REQUIREMENTS,
    Variant,
    chosen_variant,
    cuda11_folder,
    cuda11_libraries,
    driver_answers,
    nvcc,
)
from harness.setup.steps import Steps, clean_environment

DISK_GIB: dict[Variant, int] = {
    "cpu": 9,
    "cuda": 12,
}  # environment and downloads, when neither is there yet


@dataclass(frozen=True)
class SetupPlan:
    """What this host needs."""

    variant: Variant
    driver: bool
    venv: Path = CHECKOUT / ".venv"

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    @property
    def stamp(self) -> Path:
        """Written last: its text is `key()` of the finished set-up."""
        return self.venv / "setup-stamp"

    @property
    def half_done(self) -> Path:
        """There while packages are being written: an environment that still has it was left by a
        killed set-up.
        """
        return self.venv / "setup-half-done"

    @property
    def requirements(self) -> list[Path]:
        return [REQUIREMENTS / f"ort-{self.variant}.txt", REQUIREMENTS / "dev.txt"]

    @property
    def extensions(self) -> Extensions:
        site = self.venv / "lib" / "python3.11" / "site-packages"
        return Extensions(self.python, site, self.variant, CHECKOUT / ".cache" / "extensions")

    def key(self) -> str:
        """Hash of all that decides what set-up makes. A driver that appears later asks for the
        proof on the GPU.
        """
        files = [
            *self.requirements,
            CUDA11_LIBS,
            CHECKOUT / "pyproject.toml",
            *sorted(Path(__file__).parent.glob("*.[ps]*")),
        ]
        facts = [sys.version, sys.executable, str(CHECKOUT), self.variant, str(self.driver)]
        facts += [str(nvcc())] if self.variant == "cuda" else []
        digest = hashlib.sha256(json.dumps(facts).encode())
        for file in files:
            if file.is_file():
                digest.update(file.name.encode() + b"\0" + file.read_bytes())
        return digest.hexdigest()

    def done(self) -> bool:
        """Whether nothing is left to do."""
        return (
            self.python.exists()
            and self.stamp.exists()
            and self.stamp.read_text() == self.key()
            and self.extensions.in_place()
            and (self.variant == "cpu" or cuda11_folder().exists())
        )


def check_host(plan: SetupPlan) -> None:
    """Refuse, before anything is downloaded, a host that cannot carry the stack. Raises
    BenchError.
    """
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise BenchError(
            f"{sys.platform} on {platform.machine()}: ONNX Runtime Training is built for Linux on "
            "x86_64 only"
        )
    glibc = tuple(int(part) for part in platform.libc_ver()[1].split(".")[:2] if part.isdigit())
    if glibc < (2, 28):
        raise BenchError(
            f"glibc {platform.libc_ver()} is too old", fix="a distribution with glibc 2.28 or newer"
        )
    plan.extensions.check_compiler()
    free = shutil.disk_usage(CHECKOUT).free / 2**30
    if not plan.venv.exists() and free < DISK_GIB[plan.variant]:
        raise BenchError(
            f"{free:.1f} GiB free beside {CHECKOUT.name}, the stack needs {DISK_GIB[plan.variant]}",
            fix="free disk space",
        )


def make_environment(plan: SetupPlan, steps: Steps) -> None:
    """Steps 1 to 3: uv, the environment, its packages with bytecode, and this project in editable
    form.
    """
    with steps.step("uv"):
        try:
            uv = uv_tool.find_uv() or uv_tool.install_uv()
        except uv_tool.NoUv as error:
            raise BenchError(str(error)) from None
        steps.note(
            ".".join(map(str, uv_tool.version_of(uv) or ()))
            + (", private" if ".cache" in uv else ", on PATH")
        )
    with steps.step("Python environment"):
        plan.stamp.unlink(missing_ok=True)
        made_from = _setting(plan.venv / "pyvenv.cfg", "version_info")
        if (
            plan.half_done.exists()
            or not plan.python.exists()
            or not made_from.startswith(platform.python_version())
        ):
            _remove(plan.venv)
            steps.show([uv, "venv", "--quiet", "--python", sys.executable, str(plan.venv)])
        steps.note(f"Python {platform.python_version()} in {plan.venv.name}")
    with steps.step(f"packages of the {plan.variant} stack"):
        plan.half_done.touch()
        python = ["--python", str(plan.python)]
        files = [str(file) for file in plan.requirements]
        steps.show([uv, "pip", "sync", *python, "--require-hashes", "--compile-bytecode", *files])
        # Built with the setuptools of the stack, so nothing is downloaded beside the pins. `compat`
        # puts a plain path into the .pth file; the default puts a finder there that costs every
        # start of Python 30 ms.
        editable = [
            "--no-deps",
            "--no-build-isolation",
            "--config-settings",
            "editable_mode=compat",
            "--editable",
        ]
        steps.show([uv, "pip", "install", *python, *editable, str(CHECKOUT)])
        plan.half_done.unlink()
        count = len(list(plan.extensions.site_packages.glob("*.dist-info")))
        steps.note(f"{count} packages")
    if plan.variant == "cuda":
        with steps.step("CUDA 11.8 libraries of ONNX Runtime"):
            install_cuda11(uv, steps)


def install_cuda11(uv: str, steps: Steps) -> None:
    """The libraries in a folder of their own: they share file names with torch's and would
    overwrite them.
    """
    target = cuda11_folder()
    if target.exists():
        steps.note("there already")
        return
    half = target.with_suffix(".half")
    shutil.rmtree(half, ignore_errors=True)
    steps.show(
        [
            uv,
            "pip",
            "install",
            "--python",
            sys.executable,
            "--target",
            str(half),
            "--require-hashes",
            "-r",
            str(CUDA11_LIBS),
        ]
    )
    half.rename(target)


def provide_extensions_and_prove(plan: SetupPlan, steps: Steps) -> None:
    """The last two steps: the extensions in place, and three real training steps."""
    with steps.step("ONNX Runtime's torch extensions"):
        cached = plan.extensions.provide(steps)
        if plan.variant == "cuda":
            steps.note(f"{steps.noted}; {plan.extensions.provide_fused_ops(steps)}")
    with steps.step("proof"):
        if plan.variant == "cuda" and not plan.driver:
            steps.note(
                "SKIPPED, no NVIDIA driver answers here: whether this stack trains is not known"
            )
            return
        try:
            seen = prove(plan, steps)
        except BenchError:
            if not cached:
                raise
            # Compiled by another host that shares this cache, with a newer compiler say: once more
            # with this one's.
            plan.extensions.forget()
            plan.extensions.provide(steps)
            seen = prove(plan, steps)
        first, *_, last = seen["losses"]
        steps.note(
            f"3 training steps under ORTModule, loss {first:.4f} → {last:.4f}, "
            f"{seen['providers'][0]}"
        )


def prove(plan: SetupPlan, steps: Steps) -> dict[str, list[str]]:
    """Run harness.setup.prove in the new environment. Raises BenchError when it does not train."""
    extra = {}
    provider = "CPUExecutionProvider"
    if plan.variant == "cuda":
        provider = "CUDAExecutionProvider"
        inherited = os.environ.get("LD_LIBRARY_PATH", "")
        extra["LD_LIBRARY_PATH"] = ":".join([*cuda11_libraries(), inherited]).strip(":")
        extra["CUDA_CACHE_MAXSIZE"] = os.environ.get("CUDA_CACHE_MAXSIZE", str(KERNEL_CACHE_BYTES))
    output = steps.run(
        [str(plan.python), "-m", "harness.setup.prove", "--provider", provider],
        environment=clean_environment(**extra),
    )
    seen: dict[str, list[str]] = json.loads(output.strip().splitlines()[-1])
    return seen


def _remove(folder: Path) -> None:
    """Remove a folder in one step as seen from outside: killed half-way, it must not look like a
    whole one.
    """
    if folder.exists():
        trash = CHECKOUT / ".cache" / "trash"
        shutil.rmtree(trash, ignore_errors=True)
        folder.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)


def _setting(file: Path, name: str) -> str:
    """Value of `name = value` in a pyvenv.cfg, "" when it is not there."""
    lines = file.read_text().splitlines() if file.exists() else []
    return next(
        (
            line.partition("=")[2].strip()
            for line in lines
            if line.partition("=")[0].strip() == name
        ),
        "",
    )


def set_up(plan: SetupPlan) -> None:
    """Bring .venv to what `plan` says, whatever state it is in. Raises BenchError."""
    check_host(plan)
    cache_root().mkdir(parents=True, exist_ok=True)
    with (cache_root() / "setup.lock").open("w") as lock:
        # Children inherit the lock: what a killed set-up left running ends before the next one
        # starts.
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another set-up is still at work, waiting for it …", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        if plan.done():
            return
        why = (
            "STACK"
            if os.environ.get("STACK")
            else "an NVIDIA driver answers"
            if plan.driver
            else "no NVIDIA driver answers"
        )
        print(f"Setting up the {plan.variant} stack ({why})", flush=True)
        steps = Steps(6 if plan.variant == "cuda" else 5, held_fds=(lock.fileno(),))
        begin = time.monotonic()
        make_environment(plan, steps)
        provide_extensions_and_prove(plan, steps)
        plan.stamp.write_text(plan.key())
        print(f"Set up in {time.monotonic() - begin:.0f} s", flush=True)


def main() -> int:
    try:
        driver = driver_answers()
        plan = SetupPlan(chosen_variant(driver=driver), driver)
        if not plan.done():
            set_up(plan)
    except (BenchError, OSError) as error:
        print(f"setup: FAILED: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("setup: interrupted; `make setup` goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
