"""Suites: YAML files that say what to train, with which arms, which pairs to compare and how to measure."""

from harness.config.loading import load_suite
from harness.config.measurement import Measurement
from harness.config.suite import PairEntry, Suite

__all__ = ["Measurement", "PairEntry", "Suite", "load_suite"]
