"""The interleaved protocol on the runner's side: the resident jobs of a group take turns on the
device.
"""

from __future__ import annotations

from harness.interleaved.group import GroupOutcome, run_replicate
from harness.interleaved.monitor import Observers

__all__ = ["GroupOutcome", "Observers", "run_replicate"]
