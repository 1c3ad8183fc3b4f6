"""What two arms, or several runs, were made of: first what differs between them, then what is the
same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.schema.record import JobRecord
from report.analysis.gains import matched
from report.analysis.provenance_diff import GROUPS, flatten
from report.analysis.replicates import Replicates, arms_of
from report.loading.runs import Run

HASH_DIGITS = 12

Facts = dict[tuple[str, str], str]  # (kind, dotted name) -> value


@dataclass(frozen=True)
class ProvenanceFact:
    """One name and its value in every column; None where a column has nothing by that name."""

    kind: str
    name: str
    values: tuple[str | None, ...]


@dataclass(frozen=True)
class ProvenanceComparison:
    """Facts side by side, a column each; with a single column nothing differs. `run`: that of the
    arms.
    """

    run: str
    columns: tuple[str, ...]
    differing: tuple[ProvenanceFact, ...]
    same: tuple[ProvenanceFact, ...]


def compare_runs(runs: Sequence[Run]) -> ProvenanceComparison | None:
    """Everything that report.analysis.provenance_diff compares, of the measured runs; None if none
    was measured.
    """
    measured = [
        run for run in runs if not run.jobs or any(job.source == "measured" for job in run.jobs)
    ]
    if not measured:
        return None
    facts = [
        {
            (group, name): _text(value)
            for group, of in GROUPS.items()
            for name, value in flatten(of(run)).items()
        }
        for run in measured
    ]
    return _compare("", [run.info.run for run in measured], facts)


def compare_arms(run: Run) -> list[ProvenanceComparison]:
    """The arms of every declared pair over all its workloads: settings, packages, and what the jobs
    resolved to.

    Of the replicates in which both arms were results, if there are any; publications say nothing of
    their arms.
    """
    arms = arms_of(run)
    jobs: dict[tuple[str, str], tuple[list[JobRecord], list[JobRecord]]] = {}
    for pair in run.info.pairs:
        both = _both(*arms.of_pair(pair))
        seen = jobs.setdefault((pair.baseline, pair.candidate), ([], []))
        for side, of_pair in zip(seen, both, strict=True):
            side += [job for job in of_pair if job.source == "measured"]
    return [
        _compare(
            run.info.run, names, [_merged(_of_job(run, job) for job in side) for side in sides]
        )
        for names, sides in jobs.items()
        if all(sides)
    ]


def _both(baseline: Replicates, candidate: Replicates) -> tuple[list[JobRecord], list[JobRecord]]:
    pairs = matched(baseline, candidate)
    if pairs:
        return [one for one, _ in pairs], [other for _, other in pairs]
    return list(baseline.values()), list(candidate.values())


def _of_job(run: Run, job: JobRecord) -> Facts:
    fingerprint = job.fingerprint.model_dump()
    arguments = fingerprint.pop("training_arguments")
    for name in ("initial_weights_sha256", "data_order_sha256"):
        fingerprint[name] = fingerprint[name] and fingerprint[name][:HASH_DIGITS]
    proof = job.engagement.model_dump(include=_PROOF) if job.engagement else {}
    sources = job.sources.model_dump(include={"data", "weights"})
    kinds: dict[str, Mapping[str, Any]] = {
        "arm": {
            **job.arm.model_dump(exclude={"name"}),
            "python": run.info.stacks.get(job.arm.stack),
            "device": job.device,
        },
        "package": job.packages,
        "resolved": {**fingerprint, **sources},
        "proof": proof,
        "training": job.workload.training.model_dump(),
        "Trainer's argument": arguments,
    }
    return {
        (kind, name): _text(value)
        for kind, facts in kinds.items()
        for name, value in flatten(facts).items()
    }


def _merged(jobs: Iterable[Facts]) -> Facts:
    """The values that several jobs have, each once: "42; 43"."""
    seen: dict[tuple[str, str], set[str]] = {}
    for facts in jobs:
        for name, value in facts.items():
            seen.setdefault(name, set()).add(value)
    return {name: "; ".join(sorted(values)) for name, values in seen.items()}


def _compare(run: str, columns: Sequence[str], facts: Sequence[Facts]) -> ProvenanceComparison:
    kinds = list(dict.fromkeys(kind for one in facts for kind, _ in one))
    names = dict.fromkeys(name for one in facts for name in one)
    rows = [
        ProvenanceFact(kind, name, tuple(one.get((kind, name)) for one in facts))
        for kind, name in sorted(names, key=lambda name: kinds.index(name[0]))
    ]
    return ProvenanceComparison(
        run,
        tuple(columns),
        tuple(row for row in rows if len(set(row.values)) > 1),
        tuple(row for row in rows if len(set(row.values)) == 1),
    )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_PROOF = {"engaged", "reasons", "torch_module", "provider", "yield_ops", "kernels"}
