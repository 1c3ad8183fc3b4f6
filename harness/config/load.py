"""Reads a suite from YAML: `extends`, `--set`, and errors that name file, line, value and what is
allowed.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from harness.errors import BenchError, of_the_system
from harness.paths import CHECKOUT
from harness.schema import terms, yaml_text
from harness.schema.input_errors import (
    InputError,
    Path,
    as_bench_error,
    cut,
    explain,
    input_errors_of,
)
from harness.schema.suite import Suite
from harness.schema.workload import MAX_WORKLOAD_NAME_BYTES, SIZES, Model, Strict, Task, unfit_name

# Files of configs/ that are no suites: their keys, and what they hold.
OTHER_CONFIGS = {
    "check": ({"thresholds", "comparable"}, "the thresholds of `report check`"),
}
EXAMPLE = "training.batch_size=16"  # of a `--set`

Origins = dict[Path, str]  # where the value at a path was written: "file:line" or "--set key=value"


def load_suite(file: FilePath, overrides: Iterable[str] = ()) -> Suite:
    """The validated suite in `file`, with `key.path=value` overrides applied.

    Raises BenchError with place (file:line), the value and what is allowed; every error is
    listed, the first first.
    """
    data, origins = _load(file, seen=())
    _check_is_suite(data, file)
    overrides = tuple(overrides)
    _check_names_of_overrides(overrides)
    for override in overrides:
        _apply(data, origins, override)
    try:
        suite = Suite.model_validate(data)
        _check_names(suite)
        suite.resolved_pairs()
        _check_registered(suite)
        suite = suite.replace(tasks={name: sealed(task) for name, task in suite.tasks.items()})
    except ValidationError as error:
        raise as_bench_error(input_errors_of(error, Suite), origins, str(file)) from None
    except InputError as error:
        raise as_bench_error([error], origins, str(file)) from None
    return suite


def _check_names(suite: Suite) -> None:
    """Names that are too long for files, or that a command would take for an option.

    Not part of the models: a record that was made before there was a limit must still be readable.
    """
    given: list[tuple[Path, str]] = [(("suite",), suite.suite)]
    for section in ("models", "tasks", "arms"):
        given += [
            ((section, key, "name"), entry.name) for key, entry in getattr(suite, section).items()
        ]
    given += [(("stacks", key), key) for key in suite.stacks]
    for where, name in given:
        if why := unfit_name(name):
            raise InputError(where, f"{name!r}: {why}", "another name")
    for index, entry in enumerate(suite.workloads):
        if entry.name and (why := unfit_name(entry.name, MAX_WORKLOAD_NAME_BYTES)):
            raise InputError(("workloads", index, "name"), f"{entry.name!r}: {why}", "another name")


def _check_registered(suite: Suite) -> None:
    """Backends, kinds of task, the options of both, and built-in shapes must exist. Imports no
    torch.
    """
    from harness.schema.shapes import SHAPES
    from harness.worker import backends

    for name, arm in suite.arms.items():
        try:
            backend = backends.get(arm.backend)
        except BenchError as error:
            raise InputError(("arms", name, "backend"), error.message, error.fix) from None
        _check_options(("arms", name, "options"), arm.options, backend.Options)
        if arm.stack != "ort" and arm.stack not in suite.stacks:
            raise InputError(
                ("arms", name, "stack"),
                f"no stack is called {arm.stack!r}",
                ", ".join(["ort", *suite.stacks]),
            )
        suite.arm_workload(suite.resolved_workloads()[0], arm)
    for name, task in suite.tasks.items():
        check_task(name, task)
        if suite.measurement.inference is not None:
            _check_inference(name, task)
    for name, model in suite.models.items():
        if model.architecture is not None and model.architecture not in SHAPES:
            raise InputError(
                ("models", name, "architecture"),
                f"no built-in shape is called {model.architecture!r}",
                ", ".join(SHAPES),
            )
        _check_model_config(name, model)
    _check_attention(suite)
    _check_optimizers(suite)


def _check_optimizers(suite: Suite) -> None:
    """Raises InputError for an arm whose backend does not know the optimizer that it is to train
    with.
    """
    from harness.worker import backends

    workloads = {workload.name: workload for workload in suite.resolved_workloads()}
    for pair in suite.resolved_pairs():
        for name in (pair.baseline, pair.candidate):
            arm = suite.arms[name]
            optim = suite.arm_workload(workloads[pair.workload], arm).training.optim
            if not backends.knows_optimizer(arm.backend, optim):
                where: Path = ("arms", name, "training", "optim")
                raise InputError(
                    where if "optim" in arm.training else ("arms", name, "backend"),
                    f"{arm.backend} does not know the optimizer {optim}, which is ONNX Runtime's",
                    "`training: {optim: adamw_torch_fused}` in this arm, or `backend: onnxruntime`",
                )


def _check_model_config(name: str, model: Model) -> None:
    """Raises InputError for a value that no configuration of transformers can mean.

    The keys belong to transformers, which is not imported here: what is known of a value is told by
    the built-in shape, and by the name of the key.
    """
    from harness.schema.shapes import SHAPES

    shape = SHAPES.get(model.architecture or "", {})
    for key, value in model.config.items():
        where: Path = ("models", name, "config", key)
        if isinstance(value, str) and _is_number(value):
            raise InputError(where, f"{value!r} is text", "a finite number, without quotes")
        if isinstance(shape.get(key), bool) or isinstance(value, str) or value is None:
            continue
        if key.endswith(SIZES) and (isinstance(value, bool) or value != int(value) or value < 1):
            raise InputError(where, f"{value!r} is no size", "a whole number from 1 on")
        if key.endswith("_eps") and (isinstance(value, bool) or not value > 0):
            raise InputError(where, f"{value!r} is not above 0", "a number above 0, such as 1e-5")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_attention(suite: Suite) -> None:
    """Arms in the stack `ort` must ask for an attention that transformers has there; other stacks
    say it themselves.
    """
    from harness.schema.shapes import EAGER_ONLY, SHAPES

    workloads = {workload.name: workload.model for workload in suite.resolved_workloads()}
    for pair in suite.resolved_pairs():
        model = workloads[pair.workload]
        kind = SHAPES[model.architecture]["model_type"] if model.architecture is not None else None
        for name in (pair.baseline, pair.candidate):
            arm = suite.arms[name]
            if kind in EAGER_ONLY and arm.attention != "eager" and arm.stack == "ort":
                raise InputError(
                    ("arms", name, "attention"),
                    f"transformers has no {arm.attention} attention for {model.architecture}",
                    f"eager, or `workloads` in the arm's pairs that leave {pair.workload} out",
                )


def _check_inference(name: str, task: Task) -> None:
    """Raises InputError for a task whose inference cannot be measured in a suite that asks for
    it.
    """
    from harness.worker import tasks

    if not tasks.get(task.kind).exports_for_inference:
        raise InputError(
            ("measurement", "inference"),
            f"inference of the kind {task.kind} (the task {name!r}) is not measured",
            "no `inference`, or a suite without that task",
        )


def check_task(name: str, task: Task) -> None:
    """Raises InputError for a kind that is not registered, and for options or a source that the
    kind does not take.
    """
    from harness.worker import tasks

    try:
        kind = tasks.get(task.kind)
    except BenchError as error:
        raise InputError(("tasks", name, "kind"), error.message, error.fix) from None
    _check_options(("tasks", name, "options"), task.options, kind.Options)
    if task.source not in ("auto", *kind.sources):
        allowed = ", ".join(("auto", *kind.sources))
        if task.source == "files" and task.kind == "glue":
            allowed += "; `kind: text-classification` reads your own files"
        raise InputError(
            ("tasks", name, "source"),
            f"{task.kind} cannot read its data from {task.source}",
            allowed,
        )
    if task.dataset is not None and not kind.takes_dataset:
        raise InputError(
            ("tasks", name, "dataset"),
            f"{task.kind} has a data set of its own",
            "leave it out, or `kind: text-classification`",
        )
    needs_one = kind.takes_dataset and "synthetic" not in kind.sources
    if needs_one and task.source in ("auto", "hub") and task.dataset is None:
        raise InputError(
            ("tasks", name, "source"),
            f"{task.kind} has no data of its own",
            "`source: files` with `train_file` and `validation_file`, or `source: hub` with "
            "`dataset`",
        )
    if task.dataset is not None:
        _check_dataset(("tasks", name, "dataset"), task.dataset)


def _check_dataset(where: Path, name: str) -> None:
    """Raises InputError for what cannot be the name of a data set on the hub."""
    from harness.planning.hub import is_hub_name

    if FilePath(name).exists():
        allowed = "`source: files` with `train_file` and `validation_file` for files that are here"
        raise InputError(where, f"{name!r} is a file or folder here", allowed)
    if not is_hub_name(name):
        raise InputError(
            where, f"{name!r} is no name that the hub could have", "OWNER/NAME of a data set there"
        )


def sealed(task: Task) -> Task:
    """The task with the digest of its files, which then decides its identity, and the files
    checked; a task without own files as it is.

    Raises:
        BenchError: A file is not there, cannot be used, or is not the one of `files_sha256`.
    """
    from harness.worker import tasks
    from harness.worker.tasks.data_files import digest_of

    if task.source != "files":
        return task
    digest = digest_of(task)
    if task.files_sha256 not in (None, digest):
        raise BenchError(
            f"the files have the SHA-256 {digest}, not {task.files_sha256}",
            place=f"{task.train_file} and {task.validation_file}",
            fix="the files that `files_sha256` was written for, or leave it out",
        )
    task = task.replace(files_sha256=digest)
    tasks.get(task.kind).look_at_files(task)
    return task


def _check_options(where: Path, options: dict[str, Any], model: type[Strict]) -> None:
    try:
        model.model_validate(options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError((*where, *first["loc"]), *explain(first, model)) from None


def _load(file: FilePath, seen: tuple[FilePath, ...]) -> tuple[dict[str, Any], Origins]:
    """File contents merged over what it extends, with the place of every key."""
    resolved = file.resolve()
    try:
        data, origins = yaml_text.load(file)
    except FileNotFoundError:
        raise BenchError(
            f"no such suite: {file}",
            fix=f"{_meant(file)}the path of a YAML file; `ls configs` lists the ones that come "
            "along",
        ) from None
    except OSError as error:
        raise of_the_system(error, fix="a suite is a YAML file, or a name in configs/") from None
    if not isinstance(data, dict):
        raise BenchError(
            "not a mapping of keys to values", place=f"{file}:1", fix="see configs/smoke.yaml"
        )
    _use_new_names(data, origins, str(file))
    _find_files_beside(file, data)
    parent = data.pop("extends", None)
    if parent is None:
        return data, origins
    if not isinstance(parent, str):
        raise BenchError(
            f"extends: {parent!r} is not a file",
            place=origins[("extends",)],
            fix="one relative path",
        )
    if not _is_file(file.parent / parent):
        raise BenchError(
            f"extends: no file {parent!r} beside it",
            place=origins[("extends",)],
            fix="a relative path",
        )
    if (file.parent / parent).resolve() in (*seen, resolved):
        place = origins[("extends",)]
        raise BenchError(
            f"{file.parent / parent} extends itself",
            place=place,
            fix="remove the circle of `extends`",
        )
    base, base_origins = _load(file.parent / parent, (*seen, resolved))
    _merge(base, data, base_origins, origins, ())
    return base, base_origins


def _find_files_beside(file: FilePath, data: dict[str, Any]) -> None:
    """Make the paths of tasks' own files, which are relative to the suite's file, relative to the
    current folder, in place.
    """
    given = data.get("tasks")
    for task in given.values() if isinstance(given, dict) else ():
        for key in ("train_file", "validation_file") if isinstance(task, dict) else ():
            path = task.get(key)
            if isinstance(path, str) and path and not path.startswith("~"):
                task[key] = os.path.normpath(file.parent / path)


def _meant(file: FilePath) -> str:
    """The suite beside a file that is not there, or of the checkout, with the closest name."""
    folders = [file.parent, CHECKOUT / "configs"]
    try:
        there = {each.stem for folder in folders for each in folder.glob("*.y*ml")}
    except OSError:
        return ""
    close = difflib.get_close_matches(file.stem, sorted(there - OTHER_CONFIGS.keys()), n=1)
    return f"did you mean {close[0]}? Or " if close else ""


def _check_is_suite(data: dict[str, Any], file: FilePath) -> None:
    """Raises BenchError for a file of configs/ that is for another command."""
    for keys, what in OTHER_CONFIGS.values():
        if data and data.keys() <= keys:
            raise BenchError(
                f"this file holds {what}, not a suite",
                place=str(file),
                fix="another file; `ls configs` lists the suites that come along",
            )


def _use_new_names(data: dict[str, Any], origins: Origins, otherwise: str) -> None:
    """Give keys and protocols that have an old name their new one, and say so.

    Args:
        data: Of one file, or of one `--set`; changed in place.
        origins: Where each of it was written; changed in place.
        otherwise: The place of what `origins` does not have.

    Raises:
        BenchError: The old and the new name of one key are both given.
    """
    for old in terms.in_suite(data):
        place = origins.get(old.was, otherwise)
        if old.clashes:
            raise _two_names(old, place)
        _tell(old, place)
        for path in [path for path in origins if path[: len(old.was)] == old.was]:
            origins[(*old.now, *path[len(old.was) :])] = origins.pop(path)


def _check_names_of_overrides(overrides: Sequence[str]) -> None:
    """Raises BenchError where the old and the new name of one key are both given by `--set`."""
    together: dict[str, Any] = {}
    origins: Origins = {}
    for override in overrides:
        key, value = key_and_value("--set", override, EXAMPLE)
        alone: dict[str, Any] = {}
        parts = key.split(".")
        _put(alone, parts, value)
        place = cut(f"--set {override}")
        _merge(together, alone, origins, {tuple(parts): place}, ())
    for old in terms.in_suite(together):
        if old.clashes:
            below = [at for at in origins if at[: len(old.was)] == old.was]
            raise _two_names(old, origins[below[0]] if below else "--set")


def _two_names(old: terms.OldName, place: str) -> BenchError:
    names = f"`{'.'.join(old.was)}` and `{'.'.join(old.now)}`"
    return BenchError(
        f"{names} are two names of one setting, and both are given",
        place=place,
        fix=f"`{old.now[-1]}` alone",
    )


_told: set[tuple[str, str]] = set()


def _tell(old: terms.OldName, place: str) -> None:
    """Say once, on stderr, what a name that somebody wrote is called now."""
    note = (place, old.text)
    if note not in _told:
        _told.add(note)
        print(f"note: {place}: {old.text}", file=sys.stderr)


def _put(data: dict[str, Any], parts: Sequence[str | int], value: Any) -> None:
    """Nest `value` in empty mappings, at that path."""
    for part in parts[:-1]:
        data = data.setdefault(str(part), {})
    data[str(parts[-1])] = value


def _at(data: Any, parts: Sequence[str | int]) -> Any:
    """What is nested at that path."""
    for part in parts:
        data = data[str(part)]
    return data


def _is_file(path: FilePath) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a folder that may not be read
        return False


def _merge(
    base: dict[str, Any], over: dict[str, Any], origins: Origins, over_origins: Origins, path: Path
) -> None:
    """`over` into `base`: mappings merge key by key, everything else is replaced whole."""
    for key, value in over.items():
        here = (*path, key)
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value, origins, over_origins, here)
        else:
            base[key] = value
            for stale in [p for p in origins if p[: len(here)] == here]:
                del origins[stale]
        origins.update({p: place for p, place in over_origins.items() if p[: len(here)] == here})


def key_and_value(option: str, given: str, example: str) -> tuple[str, Any]:
    """KEY=VALUE as `option` takes it, the value read as YAML. Raises BenchError."""
    key, equals, raw = given.partition("=")
    place = cut(f"{option} {given}")
    if not equals or not key:
        raise BenchError("needs KEY=VALUE", place=place, fix=f"for example {option} {example}")
    try:
        return key, yaml_text.parse(raw).content
    except yaml_text.YamlError as error:
        raise BenchError(f"{raw[:100]!r}: {error.message}", place=place, fix=error.fix) from None


def _apply(data: dict[str, Any], origins: Origins, override: str) -> None:
    """One `--set a.b.0.c=value`; the value is read as YAML."""
    place = cut(f"--set {override}")
    key, value = key_and_value("--set", override, EXAMPLE)
    parts: list[str | int] = list(key.split("."))
    if (old := terms.old_name(tuple(parts))) is not None:
        _tell(old, place)
        parts = list(old.now)
    given: dict[str, Any] = {}
    _put(given, parts, value)
    _use_new_names(given, {}, place)
    value = _at(given, parts)
    target: Any = data
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        if isinstance(target, list):
            if not str(part).isdecimal() or int(part) >= len(target):
                raise BenchError(
                    f"{'.'.join(map(str, parts[:depth]))} is a list of {len(target)}",
                    place=place,
                    fix="use its index",
                )
            part = parts[depth] = int(part)
        elif not isinstance(target, dict):
            raise BenchError(
                f"{'.'.join(map(str, parts[:depth]))} holds a single value",
                place=place,
                fix="a shorter key",
            )
        if last:
            target[part] = value
        elif isinstance(target, dict):
            target = target.setdefault(part, {})
        else:
            target = target[part]
    for depth in range(1, len(parts) + 1):
        origins.setdefault(tuple(parts[:depth]), place)
    origins[tuple(parts)] = place
