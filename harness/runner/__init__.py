"""Executes a plan: jobs, their records, checks of the host before them, and the display."""
