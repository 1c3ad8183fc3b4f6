"""The contract between harness and report: suites, jobs, records and verdicts, and how they are
read and written.
"""
