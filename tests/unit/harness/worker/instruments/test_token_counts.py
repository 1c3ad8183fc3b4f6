"""Tokens of each step without padding, from the data alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("datasets", reason="the training stack is not installed: `make setup`")

from harness.worker.instruments.token_counts import per_step

ROWS = {
    "input_ids": [[5, 6, 7, 0, 0], [5], [5, 6], [5, 6, 7, 8]],
    "attention_mask": [[1, 1, 1, 0, 0], [1], [1, 1], [1, 1, 1, 1]],
    "labels": [[9, -100], [9, 9, 9], [9], [9, 9]],
}


def _dataset(names: tuple[str, ...], folder: Path) -> Any:
    """As jobs read it: from disk, in several chunks."""
    from datasets import Dataset, concatenate_datasets, load_from_disk

    rows = {name: ROWS[name] for name in names}
    parts = [
        Dataset.from_dict({name: values[at : at + 2] for name, values in rows.items()})
        for at in (0, 2)
    ]
    concatenate_datasets(parts).save_to_disk(folder)
    return load_from_disk(folder)


@pytest.mark.parametrize(
    ("names", "labels", "expected"),
    [
        (("input_ids", "attention_mask", "labels"), False, [5, 3, 4]),
        (("input_ids", "attention_mask", "labels"), True, [7, 7, 6]),
        (("input_ids", "labels"), False, [7, 3, 4]),
        (("labels",), True, None),
    ],
)
def test_tokens_of_each_step(
    tmp_path: Path, names: tuple[str, ...], labels: bool, expected: list[int] | None
) -> None:
    """Steps of two samples, two (of two epochs) and one; the sampler was a batch ahead."""
    order = [2, 0, 1, 2, 3, 0, 1]
    found = per_step(_dataset(names, tmp_path / "d"), order, [2, 2, 1], labels=labels)
    assert found == expected


def test_nothing_is_told_of_what_is_not_known(tmp_path: Path) -> None:
    dataset = _dataset(("input_ids", "labels"), tmp_path / "d")
    assert per_step(dataset, [0, 1], [2, 2], labels=False) is None
    assert per_step(SimpleNamespace(), [0, 1], [2], labels=False) is None
    assert per_step(dataset, [], [], labels=False) == []
