"""A job's telemetry as the sampler wrote it: from JSON lines, to and from Parquet, without loss."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import BenchError

# Column types as pyarrow names them. A row has the fields of one card (gpu = index) or of the host
# (gpu = null).
GPU_COLUMNS = {
    "utilization_gpu": "int16",
    "utilization_memory": "int16",
    "memory_used_bytes": "int64",
    "power_w": "float64",
    "energy_mj": "int64",
    "sm_clock_mhz": "int32",
    "clock_reasons": "int64",
    "memory_clock_mhz": "int32",
    "temperature_c": "int16",
    "pids": "pids",
}
HOST_COLUMNS = {
    "job_cpu_s": "float64",
    "job_rss_bytes": "int64",
    "job_stopped": "bool",
    "host_busy_s": "float64",
    "host_total_s": "float64",
    "job_cores": "int32",
    "cores_busy_s": "float64",
    "cores_total_s": "float64",
    "tree": "pids",
    "hidden": "pids",
}


@dataclass
class TelemetrySeries:
    """Lines of one sampler by kind (see sampler's docstring); `end` is None if the sampler was cut
    off.
    """

    start: dict[str, Any] = field(default_factory=dict)
    ticks: list[dict[str, Any]] = field(default_factory=list)
    unreadable: list[dict[str, Any]] = field(default_factory=list)
    end: dict[str, Any] | None = None

    @classmethod
    def from_lines(cls, lines: Iterable[bytes | str]) -> TelemetrySeries:
        """A torn last line (the sampler was killed while it wrote) is left out. Raises ValueError
        on other damage.
        """
        series, torn = cls(), None
        for number, line in enumerate(lines, 1):
            if torn is not None:
                raise ValueError(f"line {torn} is no JSON")
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
            except ValueError:
                torn = number
                continue
            series.add(entry)
        return series

    def add(self, entry: dict[str, Any]) -> None:
        """Take in one line of the sampler. Raises ValueError if it is none."""
        match entry.get("kind"):
            case "start":
                self.start = entry
            case "tick":
                self.ticks.append(entry)
            case "unreadable":
                self.unreadable.append(entry)
            case "end":
                self.end = entry
            case kind:
                raise ValueError(f"a line of an unknown kind: {kind!r}")

    def to_lines(self) -> list[str]:
        """As the sampler writes it, `unreadable` before the ticks."""
        entries = [self.start, *self.unreadable, *self.ticks, *([self.end] if self.end else [])]
        return [json.dumps(entry, separators=(",", ":")) for entry in entries if entry]

    def to_parquet(self) -> bytes:
        """A row per tick for the host (gpu null) and one per card; lines other than ticks go into
        the metadata.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows: list[dict[str, Any]] = []
        for tick in self.ticks:
            rows.append({"t_ns": tick["t_ns"], **{name: tick.get(name) for name in HOST_COLUMNS}})
            for index, fields in tick["gpus"].items():
                rows.append({"t_ns": tick["t_ns"], "gpu": int(index), **fields})
        pids = pa.list_(pa.int32())
        types = {"t_ns": "int64", "gpu": "int16", **HOST_COLUMNS, **GPU_COLUMNS}
        fields = [
            pa.field(name, pids if kind == "pids" else pa.type_for_alias(kind))
            for name, kind in types.items()
        ]
        rest = {"start": self.start, "unreadable": self.unreadable, "end": self.end}
        schema = pa.schema(fields, metadata={"telemetry": json.dumps(rest)})
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink, compression="zstd")
        return bytes(sink.getvalue().to_pybytes())

    @classmethod
    def from_parquet(cls, path: Path) -> TelemetrySeries:
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        metadata = (table.schema.metadata or {}).get(b"telemetry")
        if metadata is None:
            raise ValueError("no telemetry: the metadata lack the key")
        series = cls(**json.loads(metadata))
        for row in table.to_pylist():
            fields = {name: value for name, value in row.items() if value is not None}
            t_ns, index = fields.pop("t_ns"), fields.pop("gpu", None)
            if index is None:
                series.ticks.append({"kind": "tick", "t_ns": t_ns, "gpus": {}, **fields})
            else:
                series.ticks[-1]["gpus"][str(index)] = fields
        return series


def load(path: Path) -> TelemetrySeries:
    """A series from *.parquet or from JSON lines. Raises BenchError if it is neither."""
    try:
        if path.suffix == ".parquet":
            return TelemetrySeries.from_parquet(path)
        with path.open("rb") as lines:
            series = TelemetrySeries.from_lines(lines)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchError(f"no telemetry series: {error}", place=str(path)) from error
    if not series.start:
        raise BenchError("no telemetry series: it has no start", place=str(path))
    return series
