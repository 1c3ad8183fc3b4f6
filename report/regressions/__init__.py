"""Regressions between nights: history, detector, cause, verdict (DESIGN: three series per pair)."""
