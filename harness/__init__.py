"""Training Backend Bench, the measuring half: reads suites, runs paired jobs, records what
happened.
"""

__version__ = "0.1.0"
