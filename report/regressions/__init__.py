"""Regressions between nights: history, detector, cause, verdict. Three series per pair: both arms'
times and their ratio (docs/nightly.md).
"""
