"""YAML from people: suites, thresholds, values of options. Time and memory are bounded.

This is the one reader of YAML, for harness and report alike; report may import nothing of harness
but this package and errors. It takes the events of PyYAML's C parser and stops at the first thing
that is out of bounds. A reader that builds the whole document before it can be asked for lines is
no substitute: ruamel.yaml's takes seconds for a few hundred KiB of numbers, ends with a
RecursionError on deep nesting, and hands nested aliases over unbounded.

Every value has its line. Numbers are those of YAML 1.2, in which 1e-6 is one (YAML 1.1, and with
it PyYAML, takes it for text). Aliases and merge keys (`<<`) work, within limits. Dates, which only
the list of accepted changes has, are those of YAML 1.1.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from harness.errors import BenchError, of_the_system
from harness.schema.input_errors import as_bench_error, input_errors_of

MOST_BYTES = 1 << 20
MOST_VALUES = 20_000  # aliases count as what they stand for
MOST_DEPTH = 40
LARGEST = 2**63 - 1  # of an integer: what every program that reads the results can hold

Where = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

_TAG = "tag:yaml.org,2002:"
_NULL = {"", "~", "null", "Null", "NULL"}
_BOOLS = {
    written: value
    for words, value in (("yes true on", True), ("no false off", False))
    for word in words.split()
    for written in (word, word.capitalize(), word.upper())
}
_DECIMAL = re.compile(r"[-+]?[0-9][0-9_]*")
_OTHER_BASE = re.compile(r"[-+]?0(?:x[0-9a-fA-F_]+|o[0-7_]+|b[01_]+)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_DATE = yaml.SafeLoader.yaml_implicit_resolvers["1"]
_DATE_TEXT = next(pattern for tag, pattern in _DATE if tag == _TAG + "timestamp")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class YamlError(Exception):
    """What is wrong with a text, on which line (from 1), and what to do about it."""

    def __init__(self, message: str, line: int, fix: str) -> None:
        super().__init__(message)
        self.message, self.line, self.fix = message, line, fix


@dataclass(frozen=True)
class Parsed:
    """`lines`: where each value (of a mapping, its key) is written. A text without any value has
    the content None.
    """

    content: Any
    lines: dict[Where, int]


def read(file: Path) -> str:
    """The text of a YAML file.

    Raises:
        BenchError: It is not UTF-8, or larger than any file of this project.
        OSError: It cannot be read.
    """
    if file.is_fifo() and not str(file).startswith(("/dev/fd/", "/proc/")):
        # Opening one waits for somebody who writes to it.
        raise BenchError("is a named pipe", place=str(file), fix="name a file")
    with file.open("rb") as source:
        data = source.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise BenchError(
            f"has more than {MOST_BYTES >> 10} KiB",
            place=str(file),
            fix="name a YAML file of this tool",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BenchError(
            "is not UTF-8 text", place=f"{file}:{line}", fix="save it as UTF-8"
        ) from None


def load(file: Path, as_text: Container[str] = ()) -> tuple[Any, dict[Where, str]]:
    """The content of a YAML file, and the place (file:line) of each value.

    Args:
        file: What to read.
        as_text: See `parse`.

    Raises:
        BenchError: It is no YAML as `parse` takes it, with file and line.
        OSError: It cannot be read.
    """
    try:
        parsed = parse(read(file), as_text)
    except YamlError as error:
        raise BenchError(error.message, place=f"{file}:{error.line}", fix=error.fix) from None
    return parsed.content, {path: f"{file}:{line}" for path, line in parsed.lines.items()}


def load_model(file: Path, model: type[Model], as_text: Container[str] = ()) -> Model:
    """The content of a YAML file as a pydantic model; an empty file means all defaults.

    Args:
        file: What to read.
        model: What it must fit.
        as_text: See `parse`.

    Raises:
        BenchError: It cannot be read or does not fit. Everything that is wrong is listed, each with
            file, line and what is allowed.
    """
    try:
        content, places = load(file, as_text)
    except OSError as error:
        raise of_the_system(error, fix="name a UTF-8 YAML file") from None
    try:
        return model.model_validate({} if content is None else content)
    except ValidationError as error:
        errors = input_errors_of(error, model)
        fix = "correct this key" if len(errors) == 1 else "correct these keys"
        raise as_bench_error(errors, places, str(file), fix) from None


def parse(text: str, as_text: Container[str] = ()) -> Parsed:
    """The one document in `text`; values of keys in `as_text` stay as they are written, whatever
    they look like.

    Raises:
        YamlError: It is no valid YAML, or something that none of this project's files holds:
            numbers that are not finite or need more than 64 bits, dates that do not exist, keys
            that are no single text or come twice, unknown tags, too much of anything.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:  # bytes of a command line that are no text
        line = text[: error.start].count("\n") + 1
        raise YamlError("is not UTF-8 text", line, "write it in UTF-8") from None
    try:
        return _Builder(yaml.parse(text, Loader=_LOADER), as_text).document()
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise YamlError(
            f"a character that YAML does not allow: {_code(error)}", line, "remove it"
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        raise YamlError(
            f"not valid YAML: {problem}",
            mark.line + 1 if mark else 1,
            "check indentation and quotes",
        ) from None


def _code(error: yaml.reader.ReaderError) -> str:
    character = error.character
    return f"U+{character if isinstance(character, int) else ord(character[:1]):04X}"


@dataclass
class _Anchor:
    """What `&name` stands for, once it is complete."""

    value: Any = None
    size: int = 0
    complete: bool = False


class _Builder:
    def __init__(self, events: Iterator[Any], as_text: Container[str]) -> None:
        self._events, self._as_text = events, as_text
        self._anchors: dict[str, _Anchor] = {}
        self._lines: dict[Where, int] = {}
        self._count = 0

    def document(self) -> Parsed:
        next(self._events)  # start of the stream
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return Parsed(None, {(): 1})
        content = self._value(next(self._events), (), 0)
        next(self._events)  # end of the document
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise YamlError("a second document begins", _line(event), "one document, without `---`")
        return Parsed(content, self._lines)

    def _value(self, event: Any, path: Where, depth: int, *, text: bool = False) -> Any:
        self._lines.setdefault(path, _line(event))
        self._count_up(1, event)
        if depth > MOST_DEPTH:
            raise YamlError(
                f"nested more than {MOST_DEPTH} deep",
                _line(event),
                "no file of this tool needs that",
            )
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        before = self._count
        anchor = _Anchor()
        if event.anchor is not None:
            self._anchors[event.anchor] = anchor
        if isinstance(event, yaml.ScalarEvent):
            value = event.value if text and event.value not in _NULL else _scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(event, path, depth)
        else:
            value = self._mapping(event, path, depth)
        anchor.value, anchor.size, anchor.complete = value, self._count - before + 1, True
        return value

    def _alias(self, event: Any) -> Any:
        anchor = self._anchors.get(event.anchor)
        if anchor is None:
            raise YamlError(
                f"no anchor &{event.anchor} stands before it",
                _line(event),
                "write the anchor first",
            )
        if not anchor.complete:
            raise YamlError(
                f"*{event.anchor} stands for something that holds it", _line(event), "write it out"
            )
        self._count_up(anchor.size, event)
        return copy.deepcopy(anchor.value)  # --set changes one of them, not all

    def _sequence(self, event: Any, path: Where, depth: int) -> list[Any]:
        _known_tag(event, "seq")
        found: list[Any] = []
        while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
            found.append(self._value(item, (*path, len(found)), depth + 1))
        return found

    def _mapping(self, event: Any, path: Where, depth: int) -> dict[str, Any]:
        _known_tag(event, "map")
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        keys: dict[str, int] = {}
        while not isinstance(key := next(self._events), yaml.MappingEndEvent):
            line = _line(key)
            if not isinstance(key, yaml.ScalarEvent):
                raise YamlError(
                    "a key must be a single text", line, "a name, a colon, then the value"
                )
            name = key.value
            if name in keys:
                message = f"{name!r} is written twice (first on line {keys[name]})"
                raise YamlError(message, line, "keep one of them")
            keys[name] = line
            value = self._value(
                next(self._events), (*path, name), depth + 1, text=name in self._as_text
            )
            if name == "<<" and key.implicit[0]:
                for part in value if isinstance(value, list) else [value]:
                    if not isinstance(part, dict):
                        raise YamlError(
                            "`<<` merges mappings", line, "<<: *NAME of an anchored mapping"
                        )
                    merged = {**part, **merged}
            else:
                self._lines[*path, name] = line
                found[name] = value
        return {**merged, **found}

    def _count_up(self, values: int, event: Any) -> None:
        self._count += values
        if self._count > MOST_VALUES:
            message = f"more than {MOST_VALUES} values, aliases included"
            raise YamlError(message, _line(event), "no file of this tool needs so many")


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _known_tag(event: Any, kind: str) -> None:
    if event.tag not in (None, "!", _TAG + kind):
        raise YamlError(f"the tag {event.tag} is not known", _line(event), "leave it out")


def _scalar(event: Any) -> Any:
    """A scalar's value, by its tag or, written plainly, by its look."""
    written, tag, line = event.value, event.tag, _line(event)
    if tag is None:
        tag = _look(written) if event.implicit[0] else _TAG + "str"
    match tag.removeprefix(_TAG):
        case "!" | "str":
            return written
        case "null":
            return None
        case "bool" if written in _BOOLS:
            return _BOOLS[written]
        case "int" if _DECIMAL.fullmatch(written) or _OTHER_BASE.fullmatch(written):
            return _integer(written, line)
        case "float" if _FLOAT.fullmatch(written) or _NOT_FINITE.fullmatch(written):
            number = math.inf if _NOT_FINITE.fullmatch(written) else float(written.replace("_", ""))
            if not math.isfinite(number):
                raise YamlError(
                    f"{_cut(written)} is not a finite number",
                    line,
                    "a number; in quotes if it is a name",
                )
            return number
        case "timestamp" if _DATE_TEXT.fullmatch(written):
            try:
                return yaml.SafeLoader("").construct_yaml_timestamp(yaml.ScalarNode(tag, written))
            except (ValueError, OverflowError):
                raise YamlError(
                    f"{written} is no date that exists", line, "in quotes if it is a name"
                ) from None
        case "bool" | "int" | "float" | "timestamp" as kind:
            raise YamlError(
                f"{_cut(written)!r} is no {kind}", line, "another value, or without its tag"
            )
    raise YamlError(f"the tag {tag} is not known", line, "leave it out")


def _look(written: str) -> str:
    if written in _NULL:
        kind = "null"
    elif written in _BOOLS:
        kind = "bool"
    elif _DECIMAL.fullmatch(written) or _OTHER_BASE.fullmatch(written):
        kind = "int"
    elif _FLOAT.fullmatch(written) or _NOT_FINITE.fullmatch(written):
        kind = "float"
    else:
        kind = "timestamp" if _DATE_TEXT.fullmatch(written) else "str"
    return _TAG + kind


def _integer(written: str, line: int) -> int:
    digits = written.replace("_", "")
    base = 10 if _DECIMAL.fullmatch(written) else 0
    number = int(digits, base) if len(digits) <= 80 else LARGEST + 1
    if abs(number) > LARGEST:
        raise YamlError(
            f"{_cut(written)} is too large a number",
            line,
            f"at most {LARGEST}; in quotes if it is a name",
        )
    return number


def _cut(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"
