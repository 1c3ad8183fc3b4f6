"""What every test run shares: the marker of slow tests, fast tests first, and an environment in
which nobody's shell settings change a result.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from property_support import register_profiles

# Before any test module is read: its decorators take the profile of that moment.
# --hypothesis-profile comes in between.
register_profiles()

# Read by set-up, by Python itself or by ORTModule: a test that wants one sets it for its own child
# process.
_FOREIGN = (
    "STACK",
    "PYTHON",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONOPTIMIZE",
    "PYTHONWARNINGS",
    "MAX_JOBS",
)
_FASTEST_FIRST = ("", "unit", "integration", "slow")


def pytest_configure(config: pytest.Config) -> None:
    for name in list(os.environ):
        if name in _FOREIGN or name.startswith("ORTMODULE_"):
            del os.environ[name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in tests/slow, and sort by folder: a broken unit shows in seconds."""
    for item in items:
        if _folder(item) == "slow":
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: _FASTEST_FIRST.index(_folder(item)))


def _folder(item: pytest.Item) -> str:
    """Which of the folders of tests/ an item lies in; "" outside them."""
    tests = Path(__file__).parent
    inside = item.path.is_relative_to(tests)
    folder = item.path.relative_to(tests).parts[0] if inside else ""
    return folder if folder in _FASTEST_FIRST else ""
