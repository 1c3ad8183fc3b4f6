"""ONNX Runtime's torch extensions: compiled once per version without a CUDA toolkit, kept outside
the checkout.

ORT's own installer (`python -m torch_ort.configure`) insists on `fused_ops`, which needs nvcc.
Training needs only the extensions named here, and they are plain C++. `fused_ops`, which one
optimizer runs on, is compiled where nvcc is. Standard library only: the compiling child is
`compile_extension`.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BenchError
from harness.paths import cache_root
from harness.setup.stack import FUSED_OPS, REQUIREMENTS, Variant, nvcc
from harness.setup.steps import Steps, clean_environment

CPU_EXTENSIONS = ("aten_op_executor", "torch_interop_utils")
CUDA_EXTENSIONS = (*CPU_EXTENSIONS, "torch_gpu_allocator")


@dataclass(frozen=True)
class Extensions:
    """The extensions of one environment. `python` is its interpreter, `build` a scratch folder."""

    python: Path
    site_packages: Path
    variant: Variant
    build: Path

    @property
    def names(self) -> tuple[str, ...]:
        return CUDA_EXTENSIONS if self.variant == "cuda" else CPU_EXTENSIONS

    @property
    def target(self) -> Path:
        """Where ONNX Runtime looks for them."""
        return (
            self.site_packages / "onnxruntime" / "training" / "ortmodule" / "torch_cpp_extensions"
        )

    @property
    def cache(self) -> Path:
        """The cached files: one folder per torch, ORT, Python ABI and variant."""
        ort = "onnxruntime-training" if self.variant == "cuda" else "onnxruntime-training-cpu"
        pins = (REQUIREMENTS / f"ort-{self.variant}.txt").read_text()
        return (
            cache_root()
            / "extensions"
            / f"torch{_pin(pins, 'torch')}-ort{_pin(pins, ort)}-cp311-{self.variant}"
        )

    def in_place(self) -> bool:
        """Whether ONNX Runtime would find every one."""
        return all((self.target / f"{name}.so").exists() for name in self.names)

    def missing(self) -> list[str]:
        """Those that the cache does not hold."""
        return [name for name in self.names if not (self.cache / f"{name}.so").exists()]

    def check_compiler(self) -> None:
        """Refuse a host that has to compile and cannot. Raises BenchError."""
        if self.missing() and shutil.which(_compiler()) is None:
            raise BenchError(
                f"no C++ compiler `{_compiler()}` on this host",
                fix="Debian, Ubuntu: apt-get install g++;  Fedora, RHEL: dnf install gcc-c++",
            )

    def provide(self, steps: Steps) -> bool:
        """Compile what the cache lacks and copy all into place; returns whether everything came
        from the cache.
        """
        if not self.target.is_dir():
            raise BenchError(
                "ONNX Runtime is not where it should be",
                place=str(self.target),
                fix="rm -r .venv; make setup",
            )
        self.check_compiler()
        missing = self.missing()
        for name in missing:
            self._compile(name, steps)
        for name in self.names:
            _copy_atomically(self.cache / f"{name}.so", self.target / f"{name}.so")
        steps.note(
            f"compiled {', '.join(missing)}"
            if missing
            else f"{', '.join(self.names)} from the cache"
        )
        return not missing

    def provide_fused_ops(self, steps: Steps) -> str:
        """Put `fused_ops` in place where it is cached or can be compiled.

        Returns:
            Whether `optim: adamw_ort_fused` can run, and why not, for the step's last line.
        """
        cached = self.cache / f"{FUSED_OPS}.so"
        if not cached.exists():
            compiler = nvcc()
            if compiler is None:
                return f"no nvcc for {FUSED_OPS}: no adamw_ort_fused"
            try:
                self._compile(FUSED_OPS, steps, CUDA_HOME=str(Path(compiler).parents[1]))
            except BenchError as error:  # another CUDA version, say; everything else goes without
                last = error.message.strip().splitlines()[-1].strip()
                return f"{FUSED_OPS} does not compile ({last}): no adamw_ort_fused"
        _copy_atomically(cached, self.target / f"{FUSED_OPS}.so")
        return f"{FUSED_OPS} for adamw_ort_fused"

    def forget(self) -> None:
        """Drop the cached files (made on another host, say, and unfit for this one)."""
        shutil.rmtree(self.cache, ignore_errors=True)

    def _compile(self, name: str, steps: Steps, **variables: str) -> None:
        # A fresh folder: torch's build lock survives a killed build and would stall the next one
        # for ever.
        folder = self.build / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        # ninja is a package of the stack
        path = f"{self.python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        command = [
            str(self.python),
            "-m",
            "harness.setup.compile_extension",
            name,
            str(self.target),
            str(folder),
        ]
        environment = clean_environment(
            PATH=path, CXX=_compiler(), PYTHONUNBUFFERED="1", **variables
        )
        print(f"      compiling {name}, which takes a minute", flush=True)
        steps.run(command, environment)
        self.cache.mkdir(parents=True, exist_ok=True)
        _copy_atomically(folder / f"{name}.so", self.cache / f"{name}.so")
        shutil.rmtree(folder)


def _compiler() -> str:
    return os.environ.get("CXX") or "g++"


def _pin(pins: str, package: str) -> str:
    match = re.search(rf"^{re.escape(package)}==([^ ;]+)", pins, re.MULTILINE)
    if match is None:
        raise BenchError(f"no pin of {package}", place=str(REQUIREMENTS), fix="make lock")
    return match[1]


def _copy_atomically(source: Path, target: Path) -> None:
    """Copy a file so that `target` is never half there, whoever is killed or reads meanwhile."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    try:
        shutil.copyfile(source, temporary)
        Path(temporary).chmod(0o755)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
