"""Small YAML files as pydantic models, with errors that name the file, the line and what is allowed."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from harness.errors import BenchError

Where = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


def load_yaml(file: Path, model: type[Model]) -> Model:
    """The content of `file` (an empty one: all defaults). BenchError lists everything wrong, a line each."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise BenchError(f"cannot be read: {said}", place=str(file), fix="name a UTF-8 YAML file") from None
    lines: dict[Where, int] = {(): 1}
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _note_lines(node, (), lines, file)
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise BenchError(
            f"not valid YAML: {getattr(error, 'problem', None) or error}",
            place=f"{file}:{mark.line + 1}" if mark else str(file),
            fix="check indentation and quotes",
        ) from None
    try:
        return model.model_validate({} if content is None else content)
    except ValidationError as error:
        raise _located(error, lines, file, model) from None


def _note_lines(node: yaml.Node, path: Where, lines: dict[Where, int], file: Path) -> None:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                line = key.start_mark.line + 1
                raise BenchError(f"{key.value!r} is written twice", place=f"{file}:{line}", fix="keep one of them")
            seen.add(key.value)
            _note_lines(value, (*path, key.value), lines, file)
            lines[*path, key.value] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _note_lines(value, (*path, index), lines, file)


def _located(error: ValidationError, lines: dict[Where, int], file: Path, model: type[BaseModel]) -> BenchError:
    said = []
    for entry in error.errors(include_url=False):
        path: Where = entry["loc"]
        key = ".".join(map(str, path))
        while path not in lines:
            path = path[:-1]
        said.append((f"{file}:{lines[path]}", f"{key}: {_what(entry, model)}" if key else _what(entry, model)))
    place, message = said[0]
    rest = "".join(f"\n{where}: {what}" for where, what in said[1:])
    return BenchError(message + rest, place=place, fix="correct these keys" if rest else "correct this key")


def _what(entry: Any, model: type[BaseModel]) -> str:
    if entry["type"] == "extra_forbidden":
        known = _fields(model, entry["loc"][:-1])
        close = difflib.get_close_matches(str(entry["loc"][-1]), known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"unknown key{hint} (known: {', '.join(known)})"
    if entry["type"] == "missing":
        return "is missing"
    message = entry["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    value = entry["input"]
    return message if isinstance(value, dict | list) else f"{value!r} does not fit: {message}"


def _fields(model: type[BaseModel], path: Where) -> list[str]:
    """Names of the fields of the model that `path` leads to."""
    current: Any = model
    for key in path:
        if isinstance(current, type) and issubclass(current, BaseModel) and key in current.model_fields:
            current = current.model_fields[str(key)].annotation
        else:  # an item of a list or mapping
            current = getattr(current, "__args__", (current,))[-1]
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []
