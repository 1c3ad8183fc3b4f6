"""The interleaved protocol on the runner's side: two resident jobs of a pair take turns on the
device.
"""

from __future__ import annotations

from harness.interleaved.pair_replicate import Observers, PairOutcome, run_pair_replicate

__all__ = ["Observers", "PairOutcome", "run_pair_replicate"]
