"""Numbers without prose: metrics, gains and their intervals, parity, noise floor, break-even,
comparison of runs.
"""
