"""Whether data and weights come from the hub or from what is built in: `auto`, decided once per run
and recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.errors import BenchError
from harness.planning.hub import (
    WEIGHTS,
    Hub,
    HubAnswer,
    expanded,
    model_folder,
    tokenizer_folder,
)
from harness.schema.job import JobSpec
from harness.schema.workload import ADDED_TO_MODEL, Model, Task
from harness.worker import tasks
from harness.worker.tasks.data_files import files_of

LATER = "try again later, or with a network; HF_HUB_OFFLINE=1 takes only what the cache has"


@dataclass
class Resolved:
    """What `auto` became, by name of task and model, with what to tell the user and the reader of
    the tables.
    """

    data: dict[str, str] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def as_config(self) -> dict[str, Any]:
        """For RunInfo.config["resolved_sources"]: a resumed run takes the same decision from
        there.
        """
        return {"data": self.data, "weights": self.weights}

    def apply(self, job: JobSpec) -> JobSpec:
        """The job with every `auto` replaced. Its id stays: what was decided belongs to the run."""
        workload = job.workload
        return job.with_sources(
            data=self.data[workload.task.name], weights=self.weights[workload.model.name]
        )


@dataclass(frozen=True)
class _Wish:
    """Something of the hub's that this host does not have. `stand_in`: what may replace it, if
    any.
    """

    wanted: str
    stand_in: str | None
    what: str
    place: str
    instead: str
    ask: Callable[[], HubAnswer]


def resolve(
    jobs: Iterable[JobSpec], hub: Hub, earlier: Mapping[str, Any] | None = None
) -> Resolved:
    """Decide every `auto` of the jobs, or take over the decision of the run that is resumed.

    An answer of the hub that is neither yes nor no decides nothing by itself: then every `auto`
    that needs the hub takes its stand-in, in the whole run.

    Raises:
        BenchError: Something that may have no stand-in cannot be had, or nobody can tell.
    """
    resolved = Resolved()
    earlier = earlier or {}
    data: dict[str, str | _Wish] = {}
    weights: dict[str, str | _Wish] = {}
    built_in: dict[str, str] = {}
    held: dict[str, str] = {}
    for job in jobs:
        task, model = job.workload.task, job.workload.model
        if task.name not in data:
            data[task.name] = earlier.get("data", {}).get(task.name) or _data(task, hub)
            if task.source == "files":
                held[task.name] = data_note(task)
            built_in[task.name] = (
                f"data of {task.name}: built-in {task.data_name}-like corpus (synthetic)"
            )
        if model.name not in weights:
            weights[model.name] = earlier.get("weights", {}).get(model.name) or _weights(model, hub)
    decided = _decide(
        [wish for wish in (*data.values(), *weights.values()) if isinstance(wish, _Wish)],
        hub,
        resolved,
    )
    for wishes, results in ((data, resolved.data), (weights, resolved.weights)):
        for name, wish in wishes.items():
            taken, why = decided[wish.place] if isinstance(wish, _Wish) else (wish, "")
            results[name] = taken
            if taken == "files":
                resolved.notes.append(held[name])
            elif taken == "synthetic":
                resolved.notes.append(built_in[name] + why)
            elif taken == "random":
                resolved.notes.append(f"weights of {name}: random{why}")
    return resolved


def _decide(wishes: Sequence[_Wish], hub: Hub, resolved: Resolved) -> dict[str, tuple[str, str]]:
    """By place: what is taken for each wish, and why where it is a stand-in."""
    # What has no stand-in first: an unclear answer about something else must not keep it from being
    # asked.
    wishes = sorted(wishes, key=lambda wish: wish.stand_in is not None)
    answers = [wish.ask() for wish in wishes]
    decided: dict[str, tuple[str, str]] = {}
    for wish, answer in zip(wishes, answers, strict=True):
        if wish.stand_in is None:
            if answer.state == "unclear":
                message = f"whether the hub has {wish.what} is not known ({answer.reason})"
                raise BenchError(message, place=wish.place, fix=f"{LATER}; {wish.instead}")
            if answer.state == "no":
                raise BenchError(
                    f"cannot have {wish.what}: {answer.reason}", place=wish.place, fix=wish.instead
                )
            decided[wish.place] = wish.wanted, ""
        elif hub.unclear is not None:
            decided[wish.place] = wish.stand_in, ""
        else:
            had = answer.state == "yes"
            decided[wish.place] = (
                (wish.wanted, "") if had else (wish.stand_in, f" ({answer.reason})")
            )
    replaced = [wish.what for wish in wishes if wish.stand_in is not None]
    if hub.unclear is not None and replaced:
        resolved.notes.append(
            f"the hub gave no clear answer ({hub.unclear.reason}): in the whole run a stand-in "
            "replaces "
            f"everything that was left to `auto` and is not on this host: {', '.join(replaced)}"
        )
    return decided


def data_note(task: Task) -> str:
    """What the files of a task with `source: files` hold, in words.

    Raises:
        BenchError: They cannot be used.
    """
    what = tasks.get(task.kind).look_at_files(task)
    # The names alone, for notes are published, and a path may be private.
    names = " and ".join(file.name for file in files_of(task).values())
    return f"data of {task.name}: {names}; {what}"


def _data(task: Task, hub: Hub) -> str | _Wish:
    if task.source == "files":
        return "files"
    if task.source == "folder":
        assert task.folder is not None
        if not expanded(task.folder).is_dir():
            raise BenchError(
                f"the folder {task.folder} is not there",
                place=f"tasks.{task.name}.folder",
                fix="the path of a folder with its data",
            )
        try:
            tasks.get(task.kind).look_at_folder(task)
        except BenchError as error:
            where = "" if error.place in error.message else f"{error.place}: "
            raise BenchError(
                where + error.message, place=f"tasks.{task.name}.folder", fix=error.fix
            ) from error
        return "folder"
    dataset = tasks.get(task.kind).hub_dataset(task)
    if task.source == "synthetic" or (task.source == "auto" and dataset is None):
        return "synthetic"
    if dataset is None:
        raise BenchError(
            f"{task.kind} has no data on the hub",
            place=f"tasks.{task.name}.source",
            fix="`source: synthetic`",
        )
    repo, subset = dataset
    if hub.has_cached_dataset(repo, subset):
        return "hub"
    if task.dataset is not None:
        return _Wish(
            wanted="hub",
            stand_in=None,
            what=f"the data set {repo}",
            place=f"tasks.{task.name}.dataset",
            instead="or `source: files` with `train_file` and `validation_file` (in `harness "
            "train`: --train-file and --validation-file)",
            # Every repository has this file; a README is not a must.
            ask=lambda: hub.dataset(repo, ".gitattributes"),
        )
    return _Wish(
        wanted="hub",
        stand_in="synthetic" if task.source == "auto" else None,
        what=f"the data of {task.name} ({repo})",
        place=f"tasks.{task.name}.source",
        instead="or `source: folder` with a copy, or `source: synthetic`",
        ask=lambda: hub.dataset(repo),
    )


def _weights(model: Model, hub: Hub) -> str | _Wish:
    path, place = model.path, f"models.{model.name}.path"
    if model.weights == "random" or path is None:
        return "random"
    folder = model_folder(path, place)
    if folder is not None and not any((folder / name).is_file() for name in WEIGHTS):
        message = f"no weights are in the folder {path}: none of {', '.join(WEIGHTS)}"
        raise BenchError(
            message, place=place, fix="the folder of a whole model, saved by save_pretrained"
        )
    _check_parts(model, folder is not None)
    if folder is not None or hub.has_cached_model(path, model.revision):
        return "pretrained"
    # Whoever names a revision, a tokenizer or a configuration does not mean a stand-in.
    exactly = any(getattr(model, name) is not None for name in ADDED_TO_MODEL)
    may_be_random = model.weights == "auto" and model.architecture is not None and not exactly
    at = f" of revision {model.revision}" if model.revision is not None else ""
    return _Wish(
        wanted="pretrained",
        stand_in="random" if may_be_random else None,
        what=f"the weights of {model.name} ({path}){at}",
        place=place,
        instead="or the path of a folder with the model, or `weights: random` with a built-in "
        "`architecture`",
        ask=lambda: hub.model(path, model.revision),
    )


def _check_parts(model: Model, is_folder: bool) -> None:
    """Raises BenchError for a revision of a folder, and for another configuration or tokenizer that
    is a folder without one.
    """
    place = f"models.{model.name}"
    if model.revision is not None and is_folder:
        raise BenchError(
            f"{model.path} is a folder, which has no revisions",
            place=f"{place}.revision",
            fix="leave it out, or a name on the hub as `path`",
        )
    if model.config_path is not None:
        model_folder(model.config_path, f"{place}.config_path")
    if model.tokenizer_path is not None:
        tokenizer_folder(model.tokenizer_path, f"{place}.tokenizer_path")
