"""GPU and CPU telemetry of a job: a sampler in a process of its own, its series, and the summary in
the record.

`session.Sampling` is what the runner uses. `sampler` runs in the child process and must start fast:
this file and all that it imports stay free of pydantic, numpy, pandas and torch.
"""
