"""Runs inside a job, in the interpreter of the arm's stack. The only package here that imports
torch; besides it, only the proofs of harness.setup do (prove, prove_latest, compile_extension).
"""
