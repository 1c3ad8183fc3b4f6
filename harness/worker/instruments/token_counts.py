"""Tokens of training samples without their padding, counted in the data after training: nothing is
added to the measured window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def per_step(
    dataset: Any, order: Sequence[int], samples: Sequence[int], *, labels: bool
) -> list[int] | None:
    """Tokens of the samples of each optimizer step.

    Args:
        dataset: The training set, a datasets.Dataset with the tokenizer's outputs.
        order: Indices into it, in the order of training; there may be more of them.
        samples: How many samples each step trained.
        labels: Whether the labels are tokens of a text of their own, as of a translation, which
            count too.

    Returns:
        A count for each step; None where the data has no tokens to count, or fewer samples are in
        `order` than were trained.
    """
    import numpy as np

    if sum(samples) > len(order) or not hasattr(dataset, "column_names"):
        return None
    if "input_ids" not in dataset.column_names:
        return None
    masked = "attention_mask" in dataset.column_names
    counts = _sums(dataset, "attention_mask", lambda values: values != 0) if masked else None
    if counts is None:
        counts = _sums(dataset, "input_ids", lambda values: values == values)
    if labels:
        counts = counts + _sums(dataset, "labels", lambda values: values >= 0)
    trained = counts[np.asarray(order[: sum(samples)], dtype=np.int64)]
    ends = np.cumsum([0, *samples])
    sums = np.concatenate([[0], np.cumsum(trained)])[ends]
    return [int(count) for count in np.diff(sums)]


def _sums(dataset: Any, name: str, counts: Any) -> Any:
    """How many values of a column of lists count, row by row."""
    import numpy as np

    column = dataset.data.column(name).combine_chunks()
    lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    values = counts(column.flatten().to_numpy(zero_copy_only=False))
    ends = np.cumsum(np.concatenate([[0], lengths]))
    return np.diff(np.concatenate([[0], np.cumsum(values)])[ends])
