"""Where a YAML file is wrong and what is allowed there: for people, from pydantic's errors."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from pydantic import BaseModel, ValidationError

from harness.errors import BenchError

MOST_ERRORS = 30  # told at once
# What is allowed, for pydantic's kinds of errors whose own words speak of parsing.
PLAIN = {
    "int_parsing": "an integer",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
}
Path = tuple[str | int, ...]


class Unfit(ValueError):
    """Values that do not go together, of a model's validator; `allowed` says what does."""

    def __init__(self, message: str, allowed: str) -> None:
        super().__init__(message)
        self.allowed = allowed


class InputError(Exception):
    """Something wrong at a place in the file. `path` is the chain of keys and indices that leads
    there.
    """

    def __init__(self, path: Path, message: str, allowed: str = "") -> None:
        super().__init__(message)
        self.path, self.message, self.allowed = path, message, allowed


def input_errors_of(error: ValidationError, root: type[BaseModel]) -> list[InputError]:
    """Every entry of pydantic's error; `root` is the model it came from."""
    return [
        InputError(tuple(entry["loc"]), *explain(entry, root))
        for entry in error.errors(include_url=False)
    ]


def as_bench_error(
    errors: Sequence[InputError], places: Mapping[Path, str], otherwise: str, fix: str = ""
) -> BenchError:
    """All of them as one error of the program, at most MOST_ERRORS in words.

    Args:
        errors: One or more; the first one gives the error its place.
        places: Where the value at a path was written. An error has the place of the nearest
            enclosing key that was written somewhere.
        otherwise: The place of an error that no key encloses.
        fix: What to do, where that is more than what the errors say is allowed.
    """
    lines = []
    for error in errors:
        path = error.path
        while path and path not in places:
            path = path[:-1]
        key = ".".join(str(part) for part in error.path)
        text = f"{key}: {error.message}" if key else error.message
        allowed = f"\n  allowed: {error.allowed}" if error.allowed else ""
        lines.append((places.get(path, otherwise), text + allowed))
    place, message = lines[0]
    rest = [f"{where}: {text}" for where, text in lines[1:MOST_ERRORS]]
    if len(lines) > MOST_ERRORS:
        rest.append(f"and {len(lines) - MOST_ERRORS} more like these")
    return BenchError("\n".join([message, *rest]), place=place, fix=fix)


def explain(error: Any, root: type[BaseModel]) -> tuple[str, str]:
    """One entry of ValidationError.errors() as (what is wrong, what is allowed). `root` is the
    model it came from.
    """
    kind, context, value = error["type"], error.get("ctx", {}), error.get("input")
    loc = tuple(error["loc"])
    if kind == "extra_forbidden":
        known = fields_at(root, loc[:-1])
        close = difflib.get_close_matches(str(loc[-1]), known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"unknown key {loc[-1]!r}", f"{hint}known keys: {', '.join(known) or 'none'}"
    if kind == "missing":
        return f"{loc[-1]!r} is missing", "it has no default"
    shown = cut(f"{value!r}") if not isinstance(value, dict | list) else f"a {type(value).__name__}"
    if isinstance(value, date):
        return f"{value} is read as a date", "in quotes if it is a name"
    if kind in PLAIN:
        return f"{shown} does not fit", PLAIN[kind]
    if kind == "literal_error":
        return f"{shown} is not a choice", str(context.get("expected", ""))
    if kind in ("value_error", "assertion_error"):
        cause = context.get("error", error["msg"])
        return str(cause), cause.allowed if isinstance(cause, Unfit) else ""
    if kind in ("too_short", "list_type", "dict_type", "model_type", "model_attributes_type"):
        return f"{shown} does not fit", error["msg"].replace(
            "Input should be a valid", "a"
        ).replace("dictionary", "mapping")
    allowed = error["msg"]
    for begin in ("Input should be ", "Value error, ", "String should have "):
        allowed = allowed.removeprefix(begin)
    return f"{shown} does not fit", allowed


def cut(text: str, most: int = 200) -> str:
    """The text, without what no message needs of a very long value."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def fields_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Names of the fields of the model that `loc` leads to, starting at `model`."""
    current: Any = model
    for key in loc:
        if (
            isinstance(current, type)
            and issubclass(current, BaseModel)
            and key in current.model_fields
        ):
            current = current.model_fields[str(key)].annotation
        elif typing.get_origin(current) in (dict, list):
            current = typing.get_args(current)[-1]
    return (
        list(current.model_fields)
        if isinstance(current, type) and issubclass(current, BaseModel)
        else []
    )
