"""One night: bench, check, the alarmed pairs once more, check again, alert. Survives being killed
at any moment.
"""
