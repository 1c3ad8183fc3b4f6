"""The `blocks` protocol on the runner's side: two resident jobs of a pair take turns on the
device.
"""

from __future__ import annotations

from harness.interleaved.pair_launch import Observers, PairOutcome, run_pair_launch

__all__ = ["Observers", "PairOutcome", "run_pair_launch"]
