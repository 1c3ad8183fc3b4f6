"""Reads results and never runs anything. Meets the harness only in its record's schema; imports no
torch.
"""
