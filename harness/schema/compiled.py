"""Jobs that compiled their graphs anew, of arms that keep compiled graphs on disk for later jobs.

An arm with `options: {compile_cache: true}` compiles in one job, usually its first, and loads the
graphs in the others. Set-ups are then cold or warm. Steps in the steady state may differ too: with
PyTorch 2.11 on an H200 they took 4 to 5% longer after compiling than after loading in three runs,
both held against an eager arm of the same replicate, and as long in two others (the runs
glue-sst2-today-*-20261130-*). Replicates of both kinds are not exchangeable, and an interval over
them means little.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from harness.schema.record import JobRecord

Jobs = TypeVar("Jobs", bound=Sequence[JobRecord])


def keeps_compiled(job: JobRecord) -> bool:
    """Whether the job's arm keeps compiled graphs from job to job."""
    return bool(job.arm.options.get("compile_cache"))


def compiled_anew(job: JobRecord) -> bool:
    """Whether the job compiled graphs that its arm keeps from job to job, so that its set-up was
    cold.

    Of an arm that keeps none, every job compiles and none differs from the others: False. A record
    that does not say how many graphs were compiled is older than that field. Then the arm's first
    replicate is taken for the one that compiled: the parity run before it trains without dropout,
    and so has other graphs.
    """
    if not keeps_compiled(job):
        return False
    compiled = job.engagement.graphs_not_in_cache if job.engagement is not None else None
    return job.replicate == 0 if compiled is None else compiled > 0


def began_again(job: JobRecord) -> bool:
    """Whether a process compiled what the process of this record found, and was ended after it."""
    return job.turns is not None and job.turns.compiling_setup_s is not None


def set_apart(replicates: Sequence[Sequence[JobRecord]]) -> list[list[JobRecord]]:
    """For each replicate the jobs because of which it does not count beside the others.

    Args:
        replicates: Of each replicate the jobs that are compared with one another, the arms in the
            same order in all of them; one job each where a figure is of one arm.

    Returns:
        As many lists as there are replicates, empty for a replicate that counts. A job is in one if
        it compiled anew and its arm has another replicate in which it did not. Where that would
        leave no replicate, because each has such a job, all of them count.
    """
    anew = [[_counts_apart(job) for job in jobs] for jobs in replicates]
    both_kinds = [any(arm) and not all(arm) for arm in zip(*anew, strict=True)]
    causes = [
        [job for job, cold, mixed in zip(jobs, colds, both_kinds, strict=True) if cold and mixed]
        for jobs, colds in zip(replicates, anew, strict=True)
    ]
    return [[] for _ in causes] if all(causes) else causes


def alike(replicates: Sequence[Jobs]) -> list[Jobs]:
    """The replicates that count: all but those that `set_apart` gives a cause for."""
    return [
        jobs for jobs, cause in zip(replicates, set_apart(replicates), strict=True) if not cause
    ]


def _counts_apart(job: JobRecord) -> bool:
    # An old record without turns does not say which of its jobs compiled, and no difference of
    # steady steps was seen between jobs that ran alone: their published figures stay.
    told = job.engagement is not None and job.engagement.graphs_not_in_cache is not None
    return compiled_anew(job) and (told or bool(job.group))
