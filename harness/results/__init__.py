"""A run's folder, which survives SIGKILL, and what is known of the host and the code of a run."""
