"""Nights of each pair, with the changes found (report.regressions.history): drawn where the runs
hold more than one night.
"""

from report.regressions.plot import draw

__all__ = ["draw"]
