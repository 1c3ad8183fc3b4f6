"""How a line of jobs.jsonl is read and written: the one place that knows, for harness and report.

Unknown fields are tolerated at any depth, for a newer harness may add optional ones without a new
schema version. A line of a newer schema version cannot be read by this version; whoever rewrites
the file keeps it as it is.
"""

from __future__ import annotations

import json
import marshal
import math
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from harness.schema.record import SCHEMA_VERSION, JobRecord, Sources
from harness.schema.workload import Arm, Workload

MAX_KNOWN_PARTS = 10_000

SharedPart = Workload | Arm | Sources
_SHARED: dict[str, type[SharedPart]] = {"workload": Workload, "arm": Arm, "sources": Sources}
_known_parts: dict[
    tuple[str, bytes], SharedPart
] = {}  # by their bytes: equal ones are one frozen object


class UnreadableLine(Exception):
    """Why a line is not a record that can be read: one phrase."""


class NewerLine(UnreadableLine):
    """The line is a record of a newer schema version: to be kept, not to be understood."""


def read_line(line: bytes, notes: list[str] | None = None) -> JobRecord:
    """One line of jobs.jsonl as a record.

    Args:
        line: with or without its end of line.
        notes: takes a phrase for whatever of the line could not be used although the record could.

    Raises:
        NewerLine: it has a newer schema version.
        UnreadableLine: it is damaged.
    """
    try:
        fields = from_json(line)
    except ValueError:
        raise UnreadableLine("not JSON") from None
    if not isinstance(fields, dict):
        raise UnreadableLine("not a record")
    version = fields.get("schema_version", SCHEMA_VERSION)
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise NewerLine(too_new(version))
    # Records of a run share a few workloads and arms, whose validation takes longer than that of
    # all the rest.
    for key, part in _SHARED.items():
        if key in fields:
            fields[key] = _shared_part(key, part, fields[key])
    try:
        return JobRecord.model_validate(fields, context=notes)
    except ValidationError as error:
        return _read_tolerantly(from_json(line), error, notes)


def written_line(record: JobRecord) -> bytes:
    """A record as a line of jobs.jsonl, without its end of line."""
    # Not model_dump_json: it turns a metric that is NaN into null, which is no number and does not
    # load again.
    return json.dumps(record.model_dump(mode="json"), ensure_ascii=False).encode()


def first_error(error: ValidationError) -> str:
    """The first of pydantic's errors as one phrase."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]


def too_new(version: int) -> str:
    """What there is to say of a schema version above this one."""
    return f"schema_version {version} is newer than this version reads ({SCHEMA_VERSION})"


def _shared_part(key: str, kind: type[SharedPart], fields: Any) -> Any:
    """`fields` as a part, validated once; unchanged if they are not valid: the record says so."""
    known = (
        key,
        marshal.dumps(fields, 2),
    )  # version 2: equal values have equal bytes, and 1, 1.0 and true have not
    if known not in _known_parts:
        if len(_known_parts) >= MAX_KNOWN_PARTS:
            _known_parts.clear()
        try:
            _known_parts[known] = kind.model_validate(fields)
        except ValidationError:
            return fields
    return _known_parts[known]


def _read_tolerantly(
    fields: dict[str, Any], first: ValidationError, notes: list[str] | None
) -> JobRecord:
    """Second reading of a line that was refused: without what only a newer harness knows, or only a
    part lacks.
    """
    points: set[int] = set()
    for error in first.errors(include_url=False):
        place = error["loc"]
        # pydantic writes NaN as null, so a number that came out as NaN would cost the whole record
        undefined = error["type"] == "float_type" and error["input"] is None
        in_points = len(place) > 2 and place[:2] == ("inference", "points")
        if in_points and isinstance(place[2], int) and error["type"] != "extra_forbidden":
            points.add(place[2])
        elif undefined and isinstance(place[-1], int):
            _at(fields, place[:-1])[place[-1]] = math.nan  # stays in its place: parity must see it
        elif error["type"] == "extra_forbidden" or (undefined and len(place) > 1):
            del _at(fields, place[:-1])[place[-1]]
    for index in sorted(points, reverse=True):
        point = fields["inference"]["points"].pop(index)
        size = point.get("batch_size") if isinstance(point, dict) else None
        if notes is not None:
            notes.append(
                f"the times of inference at batch size {size} are incomplete, read as missing"
            )
    try:
        return JobRecord.model_validate(fields, context=notes)
    except ValidationError as error:
        raise UnreadableLine(first_error(error)) from None


def _at(fields: Any, location: tuple[int | str, ...]) -> Any:
    for key in location:
        fields = fields[key]
    return fields
