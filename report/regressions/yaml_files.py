"""Small YAML files as pydantic models, with errors that name the file, the line and what is
allowed.
"""

from __future__ import annotations

import difflib
from collections.abc import Container
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import BenchError, of_the_system
from harness.schema.yaml_text import YamlError, parse, read

MOST_FINDINGS = 30  # told at once
Where = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


def load_yaml(file: Path, model: type[Model], as_text: Container[str] = ()) -> Model:
    """The content of `file` (an empty one: all defaults). BenchError lists everything wrong, a line
    each.

    Values of keys in `as_text` are read as they are written, even where they look like a number or
    a date.
    """
    try:
        parsed = parse(read(file), as_text)
    except OSError as error:
        raise of_the_system(error, fix="name a UTF-8 YAML file") from None
    except YamlError as error:
        raise BenchError(error.message, place=f"{file}:{error.line}", fix=error.fix) from None
    try:
        return model.model_validate({} if parsed.content is None else parsed.content)
    except ValidationError as error:
        raise _located(error, parsed.lines, file, model) from None


def _located(
    error: ValidationError, lines: dict[Where, int], file: Path, model: type[BaseModel]
) -> BenchError:
    said = []
    for entry in error.errors(include_url=False):
        path: Where = entry["loc"]
        key = ".".join(map(str, path))
        while path not in lines:
            path = path[:-1]
        said.append(
            (
                f"{file}:{lines[path]}",
                f"{key}: {_what(entry, model)}" if key else _what(entry, model),
            )
        )
    place, message = said[0]
    rest = "".join(f"\n{where}: {what}" for where, what in said[1:MOST_FINDINGS])
    rest += (
        f"\nand {len(said) - MOST_FINDINGS} more like these" if len(said) > MOST_FINDINGS else ""
    )
    return BenchError(
        message + rest, place=place, fix="correct these keys" if rest else "correct this key"
    )


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
        if (
            isinstance(current, type)
            and issubclass(current, BaseModel)
            and key in current.model_fields
        ):
            current = current.model_fields[str(key)].annotation
        else:  # an item of a list or mapping
            current = getattr(current, "__args__", (current,))[-1]
    return (
        list(current.model_fields)
        if isinstance(current, type) and issubclass(current, BaseModel)
        else []
    )
