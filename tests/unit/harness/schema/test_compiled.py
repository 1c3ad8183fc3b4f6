"""Which jobs compiled anew, and which replicates therefore do not count."""

from __future__ import annotations

import pytest
from report_factory import make_interleaved_job, make_job

from harness.schema.compiled import alike, compiled_anew, set_apart
from harness.schema.record import Engagement, JobRecord


def compiled(
    replicate: int, graphs: int | None, *, cache: bool = True, turns: bool = True
) -> JobRecord:
    """A job whose record says how many graphs it compiled; None: one of before it was told."""
    engagement = Engagement(engaged=True, graphs_not_in_cache=graphs)
    job = (
        make_interleaved_job("compiled", "pytorch", replicate, [0.4] * 8, engagement=engagement)
        if turns
        else make_job("compiled", replicate, engagement=engagement)
    )
    return job.replace(arm=job.arm.replace(options={"compile_cache": True} if cache else {}))


@pytest.mark.parametrize(
    ("replicate", "graphs", "cache", "anew"),
    [
        (0, None, True, True),  # an old record: the first replicate compiled
        (1, None, True, False),
        (0, 0, True, False),  # an earlier run had filled the cache
        (3, 2, True, True),  # somebody emptied it
        (0, 2, False, False),  # nothing is kept, so no job differs from the others
        (0, None, False, False),
    ],
)
def test_the_record_decides_and_of_old_ones_the_place(
    replicate: int, graphs: int | None, cache: bool, anew: bool
) -> None:
    assert compiled_anew(compiled(replicate, graphs, cache=cache)) is anew


def test_a_job_that_failed_before_its_proof_is_read_as_an_old_record() -> None:
    job = compiled(0, None).replace(engagement=None)
    assert compiled_anew(job)
    assert not compiled_anew(job.replace(replicate=1))


def counted(*graphs: int | None, turns: bool = True) -> list[int]:
    jobs = [(compiled(number, each, turns=turns),) for number, each in enumerate(graphs)]
    return [job.replicate for (job,) in alike(jobs)]


def test_a_cold_replicate_does_not_count_beside_warm_ones() -> None:
    assert counted(2, 0, 0, 0) == [1, 2, 3]
    assert counted(0, 0, 1, 0) == [0, 1, 3]
    assert counted(None, None, None) == [1, 2]
    assert counted(0, 0) == [0, 1]


def test_cold_replicates_count_where_there_are_no_others() -> None:
    assert counted(2) == [0]
    assert counted(None) == [0]
    assert counted(2, 1, 2) == [0, 1, 2]
    assert counted() == []


def test_old_jobs_that_ran_alone_count_whatever_they_compiled() -> None:
    assert counted(None, None, None, turns=False) == [0, 1, 2]
    assert counted(2, 0, 0, turns=False) == [1, 2]


def test_a_pair_loses_the_cold_replicates_of_both_arms_and_the_cause_is_named() -> None:
    def both(number: int, one: int, other: int) -> tuple[JobRecord, JobRecord]:
        second = compiled(number, other)
        return compiled(number, one), second.replace(arm=second.arm.replace(name="other"))

    pairs = [both(0, 2, 2), both(1, 0, 2), both(2, 0, 0)]
    causes = [[job.arm.name for job in cause] for cause in set_apart(pairs)]
    assert causes == [["compiled", "other"], ["other"], []]
    # An arm that is always cold has no other replicates, so only the other arm's cold one goes.
    causes = [
        [job.arm.name for job in cause] for cause in set_apart([both(0, 2, 2), both(1, 2, 0)])
    ]
    assert causes == [["other"], []]


def test_where_no_replicate_would_be_left_all_count() -> None:
    second = [
        job.replace(arm=job.arm.replace(name="other")) for job in (compiled(0, 0), compiled(1, 2))
    ]
    pairs = [(compiled(0, 2), second[0]), (compiled(1, 0), second[1])]
    assert set_apart(pairs) == [[], []]
    assert alike(pairs) == pairs
