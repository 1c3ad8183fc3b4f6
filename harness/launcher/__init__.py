"""One job as a child process: environment, channel, supervisor, outcome, torchrun, srun."""
