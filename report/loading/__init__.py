"""Runs from disk, filters of what is shown, and runs with identical arms (A/A)."""
