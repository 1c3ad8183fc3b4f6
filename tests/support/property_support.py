"""How many examples a property test gets, and which: the profiles that tests/conftest.py registers.

`make test` draws the same examples every time, so that it never fails by luck. The nightly workflow
draws new ones: `pytest -m hypothesis --hypothesis-profile nightly`. PROPERTY_EXAMPLES=100 draws a
hundred times as many in either.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

REPEATABLE, NIGHTLY = "repeatable", "nightly"
EXAMPLES = 100


def scaled(count: int) -> int:
    """`count` examples, times the environment variable PROPERTY_EXAMPLES."""
    return count * int(os.environ.get("PROPERTY_EXAMPLES", "1"))


def examples(count: int) -> settings:
    """A decorator for a property that wants another number of examples than most."""
    return settings(max_examples=scaled(count))


def register_profiles() -> None:
    """Both profiles, the repeatable one loaded. No time limit: hosts on which tests run may be
    busy.
    """
    for name in (NIGHTLY, REPEATABLE):
        settings.register_profile(
            name,
            max_examples=scaled(EXAMPLES),
            deadline=None,
            derandomize=name == REPEATABLE,
            print_blob=name == NIGHTLY,
            suppress_health_check=[HealthCheck.too_slow],
        )
        settings.load_profile(name)
