"""Tokenised splits on disk, cached by content: every arm and job of a workload reads the same
bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from harness.schema.job import JobSpec
from harness.schema.record import Sources
from harness.worker import compat
from harness.worker.model import build as models
from harness.worker.tasks.store import build_once, key_of

Origin = Literal["hub", "folder", "files", "synthetic"]


def load_splits(
    spec: JobSpec,
    names: Sequence[str],
    make: Callable[[str], Any],
    *,
    length: int,
    data: Origin = "synthetic",
    **decisive: Any,
) -> tuple[dict[str, Any], Sources]:
    """The datasets by name (`train` and `validation` among them), and what the record says of their
    sources.

    Args:
        spec: The job.
        names: Of the splits.
        make: A datasets.Dataset of a split, called only if the cache does not have it.
        length: Tokens that a sample is cut to, which is what the record says was trained.
        data: Where the text comes from.
        **decisive: Everything else that what is made depends on (a version that grows with its
            code, the tokenizer's key, limits, seeds).
    """
    from datasets import disable_progress_bars, load_from_disk

    disable_progress_bars()

    def build(folder: Path) -> None:
        digest = hashlib.sha256()
        for name in names:
            made = make(name)
            made.save_to_disk(folder / name)
            _update(digest, made)
        (folder / "meta.json").write_text(json.dumps({"data_sha256": digest.hexdigest()}))

    folder = build_once(
        spec.cache_dir / "tokenised",
        key_of(length=length, **decisive, **compat.dataset_format()),
        build,
    )
    found = {name: load_from_disk(folder / name) for name in names}
    sources = Sources(
        data=data,
        weights=models.source(spec.workload.model),
        train_samples=len(found["train"]),
        eval_samples=sum(len(found[name]) for name in names if name != "train"),
        data_sha256=json.loads((folder / "meta.json").read_text())["data_sha256"],
        max_seq_length=length,
    )
    return found, sources


def _update(digest: Any, dataset: Any) -> None:
    """Hash values and lengths of every column, whatever the chunks they are stored in."""
    import numpy as np

    for name in sorted(dataset.column_names):
        column = dataset.data.column(name).combine_chunks()
        if hasattr(column, "flatten") and hasattr(column, "offsets"):
            digest.update(np.diff(column.offsets.to_numpy()).astype(np.int64).tobytes())
            column = column.flatten()
        digest.update(
            name.encode() + np.ascontiguousarray(column.to_numpy(zero_copy_only=False)).tobytes()
        )
