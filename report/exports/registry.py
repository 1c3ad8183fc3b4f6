"""The formats by name, and writing them to disk."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BenchError
from harness.files import write_atomically
from harness.schema.registry import Registry
from report.exports import bmf, csv_long, github, otava, parquet, pyperf
from report.loading.runs import Run

Files = dict[str, bytes]


@dataclass(frozen=True)
class Format:
    """`files`: from runs to file names with contents; `several`: it writes a folder, not one
    file.
    """

    files: Callable[[Sequence[Run]], Files]
    several: bool = False


FORMATS: dict[str, Format] = {
    "bmf": Format(bmf.files),
    "github": Format(github.files, several=True),
    "otava": Format(otava.files, several=True),
    "pyperf": Format(pyperf.files),
    "parquet": Format(parquet.files, several=True),
    "csv": Format(csv_long.files),
}
REGISTRY = Registry(
    "training_backend_bench.exporters", "export format", FORMATS, Format, instance=True
)


def export(runs: Sequence[Run], name: str, out: Path) -> list[Path]:
    """Write `runs` in a format; returns the paths. Nothing to export, or a place that cannot be
    written: BenchError.

    `out`: a folder (made if it is not there), or, for a format of one file, that file; `-` is
    standard output then.
    """
    form: Format = REGISTRY.load(name)
    files = form.files(runs)
    if not form.several and str(out) == "-":
        sys.stdout.buffer.write(b"".join(files.values()))
        return []
    if form.several and (out.is_file() or str(out) == "-"):
        raise BenchError(f"{name} is several files", place=str(out), fix="name a folder")
    paths = []
    for file, content in files.items():
        path = out / file if form.several or out.is_dir() else out
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        except OSError as error:
            raise BenchError(
                f"cannot be written: {error.strerror}", place=str(path), fix="name another --out"
            ) from None
        paths.append(path)
    return paths
