"""Compiles one of ONNX Runtime's torch extensions and loads it. Runs as a child process inside the
stack.
"""

from __future__ import annotations

import argparse
import sysconfig
from pathlib import Path

from harness.setup.stack import FUSED_OPS


def compile_extension(name: str, sources_root: Path, build: Path) -> Path:
    """Compile `name` into `build` and load the result into this process; returns the file.

    `sources_root` is onnxruntime/training/ortmodule/torch_cpp_extensions. Raises RuntimeError when
    g++ or nvcc fails.
    """
    from torch.utils import cpp_extension

    includes: list[str] = []
    libraries: list[str] = []
    device_code = name == FUSED_OPS
    if name == "torch_gpu_allocator":
        sources = [_gpu_allocator_source(sources_root, build)]
        includes, libraries = _bundled_cuda()
    elif device_code:
        folder = sources_root / "cuda" / name
        sources = sorted([*folder.glob("*.cpp"), *folder.glob("*.cu")])
        includes = [str(folder)]
    else:
        folder = sources_root / "cpu" / name
        sources, includes = sorted(folder.glob("*.cc")), [str(folder)]
    cpp_extension.load(
        name=name,
        sources=[str(source) for source in sources],
        # -O1 -g0 halves the time of ORT's own flags; the extensions only pass tensors on.
        extra_cflags=["-O1", "-g0", "-std=c++17"],
        extra_ldflags=libraries,
        extra_include_paths=includes,
        build_directory=str(build),
        with_cuda=device_code,  # True asks for a CUDA toolkit
        is_python_module=False,
        verbose=True,
    )
    return build / f"{name}.so"


def _gpu_allocator_source(sources_root: Path, build: Path) -> Path:
    """ORT ships a template for CUDA and ROCm; its setup.py fills it in place, here it becomes a
    file of its own.
    """
    template = (
        sources_root / "cuda" / "torch_gpu_allocator" / "torch_gpu_allocator.cc"
    ).read_text()
    source = build / "torch_gpu_allocator.cc"
    source.write_text(
        template.replace("___gpu_identifier___", "cuda").replace(
            "___gpu_allocator_header___", "CUDACachingAllocator"
        )
    )
    return source


def _bundled_cuda() -> tuple[list[str], list[str]]:
    """Include folders and linker flags of the CUDA that torch brings along; `crt/` is in
    nvidia-cuda-nvcc-cu12.
    """
    site = Path(sysconfig.get_path("purelib"))
    includes = [str(folder) for folder in sorted(site.glob("nvidia/*/include"))]
    return includes, [f"-L{site / 'torch' / 'lib'}", "-lc10_cuda", "-ltorch_cuda"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("sources_root", type=Path)
    parser.add_argument("build", type=Path)
    arguments = parser.parse_args()
    print(compile_extension(arguments.name, arguments.sources_root, arguments.build))


if __name__ == "__main__":
    main()
