"""Texts that are compared with a file of what they must be, word by word.

`UPDATE_GOLDEN=1` writes the files anew; the difference is then reviewed like any other change:

    UPDATE_GOLDEN=1 make test PYTEST_ARGS=tests/unit/report/alerts/test_golden.py
"""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "UPDATE_GOLDEN"


def assert_golden(text: str, file: Path) -> None:
    """The text is that of the file; with UPDATE_GOLDEN set the file is written first."""
    if os.environ.get(VARIABLE):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert file.exists(), f"no {file.name}: write it with {VARIABLE}=1"
    assert text == file.read_text(encoding="utf-8"), f"a change that is meant: {VARIABLE}=1"
