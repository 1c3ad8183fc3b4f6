"""What changed between two runs: device, driver, packages, config, code, environment, host,
data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.schema.record import JobRecord, trained_length
from harness.schema.variables import is_decisive
from report.analysis.replicates import arms_of
from report.loading.runs import Run

Facts = Mapping[str, Any]
# Groups that list what there is: what such a list lacks was not there.
LISTS = frozenset({"packages", "environment", "stacks"})


@dataclass(frozen=True)
class Difference:
    """One fact that is not the same in both; None where a run lacks it. `key` is dotted.

    `unrecorded`: the runs (`A`, `B`) that do not say what it was, such as a run of before the
    setting was there; a run that lacks it otherwise says that there was none.
    """

    group: str
    key: str
    a: Any
    b: Any
    unrecorded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Differences:
    """`unrecorded`: groups of which a run (`A` or `B`) says nothing, so that nothing can be said of
    a change.
    """

    found: tuple[Difference, ...]
    unrecorded: tuple[tuple[str, str], ...]


def differences(a: Run, b: Run) -> Differences:
    """Everything recorded that is not the same, in the order of GROUPS, each group by key."""
    found: list[Difference] = []
    unrecorded: list[tuple[str, str]] = []
    for group, facts_of in GROUPS.items():
        trees = facts_of(a), facts_of(b)
        one, other = map(flatten, trees)
        if bool(one) != bool(other):
            unrecorded.append((group, "B" if one else "A"))
            continue
        found += [
            Difference(
                group,
                key,
                one.get(key),
                other.get(key),
                tuple(
                    run
                    for run, tree in zip("AB", trees, strict=True)
                    if _is_unrecorded(group, tree, key)
                ),
            )
            for key in sorted({*one, *other})
            if one.get(key) != other.get(key)
        ]
    return Differences(tuple(found), tuple(unrecorded))


def flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves of a tree by dotted key (`training.batch_size`, `workloads.0.model`), without
    missing ones.
    """
    match tree:
        case Mapping():
            items = [(str(key), value) for key, value in tree.items()]
        case list() | tuple():
            items = [(str(index), value) for index, value in enumerate(tree)]
        case None:
            return {}
        case _:
            return {prefix: tree}
    return {
        key: leaf
        for name, value in items
        for key, leaf in flatten(value, f"{prefix}.{name}" if prefix else name).items()
    }


def _is_unrecorded(group: str, tree: Facts, key: str) -> bool:
    """Whether a run does not say what a fact was, rather than that there was none.

    What a package, a card, a variable or a stack is not listed among was not there. Of the
    configuration, all settings are recorded that there were, those without a value as null.
    """
    if group in LISTS or key in flatten(tree):
        return False
    if group == "cards":
        return key.split(".")[0] in tree
    if group != "config":
        return True
    here: Any = tree
    path: list[str] = []
    for part in key.split("."):
        if not isinstance(here, Mapping):
            return False
        if part not in here:
            return not _has_free_keys(path)
        here = here[part]
        path.append(part)
    return False


def _has_free_keys(path: Sequence[str]) -> bool:
    """Whether what stands below this path of a configuration is what the suite chose to give."""
    match path:
        case ["models" | "tasks" | "arms" | "stacks"] | ["resolved_sources", _]:
            return True
        case [*_, "options" | "config" | "sweep"]:
            return True
        case ["arms" | "workloads", _, "training" | "launch"]:
            return True
    return False


def _devices(run: Run) -> Facts:
    return {"trained on": ", ".join(sorted({job.device for job in run.jobs})) or None}


def _driver(run: Run) -> Facts:
    return {"driver": run.info.host.driver, "CUDA of the driver": run.info.host.cuda_driver}


def _host(run: Run) -> Facts:
    host = run.info.host.model_dump(exclude={"gpus", "driver", "cuda_driver", "name_sha256"})
    return {**host, "machine (hash of its name)": (run.info.host.name_sha256 or "")[:12] or None}


def _environment(run: Run) -> Facts:
    """By the allow-list, for records from before there was one hold whatever the user's shell
    held.
    """
    return {name: value for name, value in run.info.environment.items() if is_decisive(name)}


def _code(run: Run) -> Facts:
    return {key: run.info.git.get(key) for key in ("commit", "dirty")}


def _sources(run: Run) -> Facts:
    """Where data and weights came from: of every field the values that jobs of the run have."""
    jobs = [job for replicates in arms_of(run).replicates.values() for job in replicates.values()]
    said = [flatten(job.sources.model_dump() | {"max_seq_length": _length(job)}) for job in jobs]
    keys = sorted({key for facts in said for key in facts})
    return {
        key: ", ".join(sorted({str(facts[key]) for facts in said if key in facts})) for key in keys
    }


def _length(job: JobRecord) -> int | None:
    """Tokens per sample: of records of before it was told, as asked for; None: not published."""
    return None if "workload.training.max_seq_length" in job.unpublished else trained_length(job)


GROUPS: dict[str, Callable[[Run], Facts]] = {
    "device": _devices,
    "cards": lambda run: {str(index): card for index, card in enumerate(run.info.host.gpus)},
    "driver": _driver,
    "packages": lambda run: run.info.packages,
    "config": lambda run: run.info.config,
    "code": _code,
    "environment": _environment,
    "host": _host,
    "stacks": lambda run: run.info.stacks,
    "data and weights": _sources,
}
