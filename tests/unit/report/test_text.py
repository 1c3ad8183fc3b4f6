"""How the report writes numbers."""

from __future__ import annotations

import pytest

from report.text import epochs_of


@pytest.mark.parametrize(
    ("number", "words"), [(1, "1 epoch"), (3.0, "3 epochs"), (0.5, "0.5 epochs")]
)
def test_one_epoch_is_singular(number: float, words: str) -> None:
    assert epochs_of(number) == words
