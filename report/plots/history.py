"""Nights of each pair, with the changes found (report.history): drawn where the runs hold more than one night."""

from report.history.draw import draw

__all__ = ["draw"]
