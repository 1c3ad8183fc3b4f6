"""What measures a training from inside: clocks of steps and turns, losses, steady state, order of
the data.
"""
