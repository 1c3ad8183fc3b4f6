"""Suites: YAML files that say what to train, with which arms, which pairs to compare and how to
measure.
"""

from harness.config.load import load_suite
from harness.schema.measurement import Measurement
from harness.schema.suite import PairEntry, Suite

__all__ = ["Measurement", "PairEntry", "Suite", "load_suite"]
