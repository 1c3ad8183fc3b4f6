"""What every test run shares: fast tests first, and an environment in which nobody's shell settings
change a result.
"""

from __future__ import annotations

import os

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


def pytest_configure(config: pytest.Config) -> None:
    for name in list(os.environ):
        if name in _FOREIGN or name.startswith("ORTMODULE_"):
            del os.environ[name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real training jobs last: a broken unit shows in seconds."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
