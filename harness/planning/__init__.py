"""From a suite to the jobs of a run, and which come next: decided from the suite and records alone.
Only hub.py asks the network and the disk.
"""
