"""Records as far as tables read them: the record's own schema without the fields that no table
shows.

Years of records are read in half the time this way, and in a sixth of it where msgspec is
installed: it decodes a line straight into such a record, made from the same schema, and whatever it
does not take goes the usual way, which says why. What is left out is not looked at, so a wrong
value there goes unnoticed; everything else is validated as ever. A table that reads more of a
record names it here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from types import GenericAlias, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, Field, create_model

from harness.schema.record import (
    SCHEMA_VERSION,
    Contention,
    Efficiency,
    Engagement,
    Fingerprint,
    GpuTelemetry,
    JobRecord,
    Part,
    Sources,
    Telemetry,
    Timing,
)
from harness.schema.record_io import MAX_KNOWN_PARTS, read_line
from harness.schema.workload import Arm, Workload


def _lean(model: type[BaseModel], *names: str, **nested: Any) -> Any:
    """`model` with the fields `names` alone, as they are there, and those of `nested` with another
    type.
    """
    fields: dict[str, Any] = {
        name: (model.model_fields[name].annotation, model.model_fields[name]) for name in names
    }
    for name, kind in nested.items():
        whole = model.model_fields[name]
        if isinstance(whole.default, BaseModel):
            fields[name] = (kind, kind())
        else:
            fields[name] = (
                kind,
                Field(default_factory=whole.default_factory) if whole.default_factory else None,
            )
    return create_model(model.__name__, __base__=Part, **fields)


_TIMING = _lean(
    Timing,
    "setup_s",
    "steady_step_s",
    "steady_begin_step",
    "steady_samples_per_s",
    "steps",
    "train_runtime_s",
    "train_samples_per_s",
)
_GPU = _lean(
    GpuTelemetry,
    "index",
    "utilization_mean",
    "utilization_p10",
    "memory_peak_bytes",
    "power_mean_w",
    "energy_source",
    "sm_clock_median_mhz",
    "clock_limits",
    "samples",
    "foreign_processes",
    "unreadable",
)
_TELEMETRY = _lean(
    Telemetry,
    "samples",
    "covered_share",
    "host_cpu_share_mean",
    "job_cpu_share_mean",
    "job_rss_peak_bytes",
    "joules_per_sample",
    "unreadable",
    gpus=GenericAlias(list, (_GPU,)),
)
LEAN_RECORD: type[JobRecord] = (
    _lean(  # to whom it is given, it is a JobRecord: all that tables ask of one is there
        JobRecord,
        "schema_version",
        "run",
        "workload",
        "arm",
        "launch",
        "attempt",
        "series",
        "device",
        "twin",
        "partner",
        "state",
        "reason",
        "started_at",
        "source",
        "unpublished",
        "memory",
        "sources",
        "metrics",
        "main_metrics",
        "chance",
        "losses",
        "blocks",
        "inference",
        timing=_TIMING,
        engagement=_lean(
            Engagement, "engaged", "reasons", "kernels", "graph_breaks", "recompiled_at_steps"
        )
        | None,
        fingerprint=_lean(Fingerprint, "initial_weights_sha256", "data_order_sha256"),
        telemetry=_TELEMETRY | None,
        contention=_lean(Contention, "pause_share", "others_share", "stopped_s", "noted", "heavy")
        | None,
        efficiency=_lean(Efficiency, "peak_flops_per_s", "model_flops_utilization") | None,
    )
)

# Validated once for all records that have the same.
_SHARED: dict[str, type[BaseModel]] = {"workload": Workload, "arm": Arm, "sources": Sources}


def read_lean(line: bytes, notes: list[str] | None = None) -> JobRecord:
    """One line of jobs.jsonl as a lean record; UnreadableLine and `notes` as of
    record_io.read_line.
    """
    return (read_all_lean(line) or [read_line(line, LEAN_RECORD, notes)])[0]


def read_all_lean(lines: bytes) -> list[JobRecord] | None:
    """All lines of jobs.jsonl at once; None where msgspec is not installed or any line wants a
    closer look.
    """
    decode, known, errors = _decoder()
    if decode is None:
        return None
    refusals: tuple[type[Exception], ...] = (ValueError, RecursionError, *errors)
    try:
        records: list[Any] = decode(lines)
        for record in records:
            if record.schema_version > SCHEMA_VERSION:
                return None
            for name, kind in _SHARED.items():
                key = name, bytes(getattr(record, name))
                if key not in known:
                    if len(known) >= MAX_KNOWN_PARTS:
                        known.clear()
                    known[key] = kind.model_validate_json(key[1])
                setattr(record, name, known[key])
    except refusals:
        return None
    return records


@cache
def _decoder() -> tuple[
    Callable[[bytes], list[Any]] | None,
    dict[tuple[str, bytes], BaseModel],
    tuple[type[Exception], ...],
]:
    """What decodes lines into structs like LEAN_RECORD, None without msgspec; shared parts met so
    far; errors.
    """
    try:
        import msgspec
    except ImportError:
        return None, {}, ()
    decoder = msgspec.json.Decoder(_struct(LEAN_RECORD, msgspec))
    return decoder.decode_lines, {}, (msgspec.MsgspecError,)  # no ValueError in every version


def _struct(model: Any, msgspec: Any) -> Any:
    """A msgspec struct with a pydantic model's fields, types and defaults; shared ones stay as they
    are written.
    """
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for name, info in model.model_fields.items():
        if model is LEAN_RECORD and name in _SHARED:
            fields.append((name, msgspec.Raw, msgspec.Raw(b"")))
            continue
        kind = _field_type(info.annotation, msgspec)
        if info.is_required():
            fields.append((name, kind))
        elif info.default_factory:
            fields.append((name, kind, msgspec.field(default_factory=info.default_factory)))
        elif isinstance(info.default, BaseModel):
            fields.append((name, kind, msgspec.field(default_factory=kind)))
        else:
            fields.append((name, kind, info.default))
    return msgspec.defstruct(model.__name__, fields, kw_only=True)


def _field_type(annotation: Any, msgspec: Any) -> Any:
    if (
        isinstance(annotation, type)
        and not get_args(annotation)
        and issubclass(annotation, BaseModel)
    ):
        return _struct(annotation, msgspec)
    parts = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _within_limits(_field_type(parts[0], msgspec), parts[1:], msgspec)
    if get_origin(annotation) in (Union, UnionType):
        kinds = [_field_type(part, msgspec) for part in parts]
        union = kinds[0]
        for kind in kinds[1:]:
            union = union | kind
        return union
    if parts and get_origin(annotation) in (list, dict):
        return GenericAlias(
            get_origin(annotation), tuple(_field_type(part, msgspec) for part in parts)
        )
    return annotation


def _within_limits(kind: Any, limits: Sequence[Any], msgspec: Any) -> Any:
    """`kind` with pydantic's limits as msgspec's, so that a number beyond them is read the usual
    way.
    """
    names = ("ge", "gt", "le", "lt")
    bounds = [bound for limit in limits for bound in getattr(limit, "metadata", ())]
    known = {
        name: getattr(bound, name) for bound in bounds for name in names if hasattr(bound, name)
    }
    return Annotated[kind, msgspec.Meta(**known)] if known else kind
