"""A suite spread over a cluster: one run in parts, by submitit, and the parts put together."""
