"""The format of a suite, and its expansion into resolved workloads and pairs."""

from __future__ import annotations

import difflib
import fnmatch
import itertools
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import Field, ValidationError, model_validator

from harness.schema.glue import GLUE_TASKS
from harness.schema.input_errors import InputError, Path, explain
from harness.schema.measurement import Measurement
from harness.schema.record import Pair
from harness.schema.workload import (
    MAX_WORKLOAD_NAME_BYTES,
    Arm,
    Launch,
    Model,
    Slug,
    Strict,
    Task,
    Training,
    Workload,
    unfit_name,
)

S = TypeVar("S", bound=Strict)


# What nobody means to measure, and what would take minutes to plan.
MOST_WORKLOADS = 1000
MOST_JOBS = 20_000
# What a pair may declare in `differs`.
DIFFERENCES = (
    "stack",
    "attention",
    "options",
    *(f"training.{setting}" for setting in Training.model_fields),
)


class WorkloadEntry(Strict):
    """Models × tasks × swept settings. Each combination becomes one workload."""

    model: Slug | list[Slug] = Field(description="key(s) of `models`")
    task: Slug | list[Slug] = Field(description="key(s) of `tasks`")
    training: dict[str, Any] = Field(
        default_factory=dict, description="settings that differ from the suite's `training`"
    )
    launch: dict[str, Any] = Field(
        default_factory=dict, description="settings that differ from the suite's `launch`"
    )
    sweep: dict[str, list[Any]] = Field(
        default_factory=dict,
        description="setting of `training` or `launch`: [values], one workload for each",
    )
    name: Slug | None = Field(None, description="label; only for an entry that makes one workload")


class PairEntry(Strict):
    """A baseline and a candidate arm; the unit of every claim."""

    baseline: Slug
    candidate: Slug
    differs: list[str] = Field(
        default_factory=list,
        description="differences besides the backend and its options: stack, attention, options, "
        "training.SETTING",
    )
    workloads: list[str] = Field(
        default_factory=lambda: ["*"], description="names or globs of workloads to compare on"
    )


def _named(entries: Any) -> Any:
    """Entries of a mapping get their key as `name`, so that a config need not say it twice."""
    if not isinstance(entries, dict):
        return entries
    return {k: {"name": k, **v} if isinstance(v, dict) else v for k, v in entries.items()}


def _with_subset(key: str, task: Any) -> Any:
    """A GLUE task whose key is the task's name in GLUE need not say it twice."""
    if key in GLUE_TASKS and isinstance(task, dict) and task.get("kind", "glue") == "glue":
        return {"subset": key, **task}
    return task


class Stack(Strict):
    """An interpreter with packages of its own. What it has goes into the record; where it is does
    not.
    """

    python: str = Field(
        min_length=1,
        description="its interpreter: a path (relative ones to the checkout), or a name on PATH. "
        "--stack NAME=PATH and "
        "the variable BENCH_STACK_NAME go before",
    )


class Suite(Strict):
    """A suite as written, after `extends` and `--set` were applied."""

    suite: Slug = Field(description="name; runs are called after it")
    description: str = ""
    models: dict[Slug, Model] = Field(min_length=1)
    tasks: dict[Slug, Task] = Field(min_length=1)
    training: Training = Training()
    launch: Launch = Launch()
    workloads: list[WorkloadEntry] = Field(min_length=1)
    stacks: dict[Slug, Stack] = Field(
        default_factory=dict, description="besides `ort`, the environment of the harness"
    )
    arms: dict[Slug, Arm] = Field(min_length=1)
    pairs: list[PairEntry] = Field(min_length=1)
    measurement: Measurement = Measurement()

    @model_validator(mode="before")
    @classmethod
    def _keys_are_names(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        data = dict(data)
        for section in ("models", "tasks", "arms"):
            if section in data:
                data[section] = _named(data[section])
        tasks = data.get("tasks")
        if isinstance(tasks, dict):
            data["tasks"] = {k: _with_subset(k, v) for k, v in tasks.items()}
        return data

    def resolved_workloads(self) -> list[Workload]:
        """Every workload, in the order of the file. Raises InputError or ValidationError (the
        loader says where).
        """
        found: list[Workload] = []
        for index, entry in enumerate(self.workloads):
            makes = math.prod(
                map(len, (_listed(entry.model), _listed(entry.task), *entry.sweep.values()))
            )
            if len(found) + makes > MOST_WORKLOADS:
                message = f"with it the suite has {len(found) + makes} workloads"
                raise InputError(("workloads", index), message, f"at most {MOST_WORKLOADS}")
            found += list(self._expand(index, entry))
        seen: set[str] = set()
        for workload in found:
            if workload.name in seen:
                raise InputError(
                    ("workloads",),
                    f"two workloads are called {workload.name!r}",
                    "names that differ",
                )
            seen.add(workload.name)
        return found

    def _expand(self, index: int, entry: WorkloadEntry) -> Iterator[Workload]:
        models, tasks = _listed(entry.model), _listed(entry.task)
        for key, names, known in (("model", models, self.models), ("task", tasks, self.tasks)):
            for name in names:
                if name not in known:
                    raise InputError(
                        ("workloads", index, key), f"no {key} is called {name!r}", ", ".join(known)
                    )
        points = list(
            itertools.product(*[[(key, v) for v in values] for key, values in entry.sweep.items()])
        )
        combinations = list(itertools.product(models, tasks, points))
        if entry.name and len(combinations) > 1:
            raise InputError(
                ("workloads", index, "name"),
                f"one name for {len(combinations)} workloads",
                "no `name` here",
            )
        for model, task, point in combinations:
            swept = "".join(f"-{key}{value}" for key, value in point)
            where: Path = ("workloads", index)
            launched = {key: value for key, value in point if key in Launch.model_fields}
            trained = {key: value for key, value in point if key not in launched}
            training = merge(self.training, (*where, "training"), entry.training)
            launch = merge(self.launch, (*where, "launch"), entry.launch)
            name = entry.name or f"{model}-{task}{swept}".replace("_", "-")
            if why := unfit_name(
                name, MAX_WORKLOAD_NAME_BYTES
            ):  # made of parts that are good by themselves
                hint = "shorter names of models and tasks" if entry.sweep else "a `name` of its own"
                raise InputError(where, f"its workload would be called {name!r}: {why}", hint)
            yield Workload(
                name=name,
                model=self.models[model],
                task=self.tasks[task],
                training=merge(training, (*where, "sweep"), trained),
                launch=self._launch(merge(launch, (*where, "sweep"), launched)),
            )

    def _launch(self, launch: Launch) -> Launch:
        if launch.torchrun and self.measurement.protocol == "interleaved":
            raise InputError(
                ("measurement", "protocol"),
                "jobs of several processes cannot take turns: a rank that waits for the runner "
                "would stall the others",
                "sequential, or `launch: {launcher: plain, processes: 1}`",
            )
        return launch

    def arm_workload(self, workload: Workload, arm: Arm) -> Workload:
        """The workload as `arm` trains it: with the settings the arm alone changes."""
        if not arm.training:
            return workload
        changed = merge(workload.training, ("arms", arm.name, "training"), arm.training)
        return workload.replace(training=changed)

    def resolved_pairs(self) -> list[Pair]:
        """Every pair on every workload it applies to; refuses unknown arms and undeclared
        differences (InputError).
        """
        workloads = self.resolved_workloads()
        found: list[Pair] = []
        for index, entry in enumerate(self.pairs):
            where: Path = ("pairs", index)
            for role in ("baseline", "candidate"):
                if getattr(entry, role) not in self.arms:
                    raise InputError(
                        ("pairs", index, role),
                        f"no arm is called {getattr(entry, role)!r}",
                        ", ".join(self.arms),
                    )
            matching = [
                w for w in workloads if any(fnmatch.fnmatch(w.name, g) for g in entry.workloads)
            ]
            if not matching:
                raise InputError(
                    ("pairs", index, "workloads"),
                    "matches no workload",
                    ", ".join(w.name for w in workloads),
                )
            self._check_differences(index, entry, matching)
            found += [
                Pair(
                    workload=w.name,
                    baseline=entry.baseline,
                    candidate=entry.candidate,
                    differs=list(entry.differs),
                )
                for w in matching
            ]
            jobs = 2 * len(found) * self.measurement.most_replicates
            if jobs > MOST_JOBS:
                message = f"with it the suite has about {jobs} jobs"
                raise InputError(
                    where, message, f"at most {MOST_JOBS}: fewer replicates, workloads or pairs"
                )
        counted = Counter((p.workload, p.baseline, p.candidate) for p in found)
        for key, times in counted.items():
            if times > 1:
                raise InputError(
                    ("pairs",),
                    f"{key[2]} against {key[1]} on {key[0]} is listed twice",
                    "each pair once",
                )
        return found

    def _check_differences(self, index: int, entry: PairEntry, workloads: list[Workload]) -> None:
        where = ("pairs", index)
        if entry.baseline == entry.candidate:
            raise InputError(
                (*where, "candidate"),
                f"both arms are {entry.baseline!r}",
                "for an A/A pair, two arms of equal content",
            )
        baseline, candidate = self.arms[entry.baseline], self.arms[entry.candidate]
        actual = differences(baseline, candidate)
        for (
            workload
        ) in workloads:  # a setting that one arm changes may be what a workload has anyway
            left, right = (
                self.arm_workload(workload, baseline),
                self.arm_workload(workload, candidate),
            )
            for key in Training.model_fields:
                if getattr(left.training, key) != getattr(right.training, key):
                    both = f"{getattr(left.training, key)} / {getattr(right.training, key)}"
                    actual.setdefault(f"training.{key}", both)
        known = [name for name in entry.differs if name in DIFFERENCES]
        for name in sorted(actual.keys() - set(entry.differs)):
            raise InputError(
                where,
                f"{entry.baseline!r} and {entry.candidate!r} differ in {name} ({actual[name]})"
                f" and the pair does not say so{_meant(entry.differs, name)}",
                f"equal arms, or `differs: [{', '.join([*known, name])}]`",
            )
        for name in entry.differs:
            if name not in DIFFERENCES:
                raise InputError(
                    (*where, "differs"),
                    f"no difference is called {name!r}",
                    ", ".join(sorted(actual)) or "nothing: they differ in the backend at most",
                )
            if name not in actual:
                raise InputError(
                    (*where, "differs"),
                    f"{name!r} is declared, but the arms do not differ in it",
                    ", ".join(sorted(actual)) or "nothing: they differ in the backend at most",
                )


def _meant(declared: list[str], name: str) -> str:
    """That an unknown one of the declared differences may mean `name`; empty if none does."""
    unknown = [each for each in declared if each not in DIFFERENCES]
    close = difflib.get_close_matches(name, unknown, n=1)
    return f"; it says {close[0]!r}: did you mean {name}?" if close else ""


def _listed(names: str | list[str]) -> list[str]:
    return [names] if isinstance(names, str) else names


def merge(base: S, where: Path, overrides: dict[str, Any]) -> S:
    """`base` with `overrides`; raises InputError at `where` + the first wrong key."""
    try:
        return type(base).model_validate({**base.model_dump(), **overrides})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError((*where, *first["loc"]), *explain(first, type(base))) from error


def differences(a: Arm, b: Arm) -> dict[str, str]:
    """What two arms differ in besides the backend (and its own options, where the backends differ):
    name → `x / y`.

    Their training settings are not among it: what those resolve to depends on the workload.
    """
    found: dict[str, str] = {}
    for name in ("stack", "attention"):
        if getattr(a, name) != getattr(b, name):
            found[name] = f"{getattr(a, name)} / {getattr(b, name)}"
    if a.backend == b.backend and a.options != b.options:
        found["options"] = f"{a.options} / {b.options}"
    return found
