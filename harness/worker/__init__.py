"""Runs inside a job, in the interpreter of the arm's stack. The only package here that imports
torch.
"""
