"""How many jobs of a group set themselves up at once."""

from __future__ import annotations

import pytest

from harness.interleaved.group import set_ups_at_once

GIB = 1 << 30


@pytest.mark.parametrize(
    ("cores", "free_gib", "expected"),
    [
        pytest.param(16, 120, 8, id="the cores are the limit"),
        pytest.param(64, 13, 3, id="the memory is the limit"),
        pytest.param(2, 23, 2, id="jobs of a pair always together"),
        pytest.param(64, 1, 2, id="also with little memory"),
    ],
)
def test_cores_and_memory_both_limit_it(cores: int, free_gib: int, expected: int) -> None:
    assert set_ups_at_once(cores, free_gib * GIB) == expected
