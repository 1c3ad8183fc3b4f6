"""Records as far as tables read them: the record's own schema without the fields that no table shows.

Years of records are read in half the time this way. What is left out is not looked at, so a wrong value there goes
unnoticed; everything else is validated as ever. A table that reads more of a record names it here.
"""

from __future__ import annotations

from types import GenericAlias
from typing import Any

from pydantic import BaseModel, Field, create_model

from harness.record import (
    Efficiency,
    Engagement,
    Fingerprint,
    GpuTelemetry,
    JobRecord,
    Part,
    Telemetry,
    Timing,
)


def _lean(model: type[BaseModel], *names: str, **nested: Any) -> Any:
    """`model` with the fields `names` alone, as they are there, and those of `nested` with another type."""
    fields: dict[str, Any] = {name: (model.model_fields[name].annotation, model.model_fields[name]) for name in names}
    for name, kind in nested.items():
        whole = model.model_fields[name]
        if isinstance(whole.default, BaseModel):
            fields[name] = (kind, kind())
        else:
            fields[name] = (kind, Field(default_factory=whole.default_factory) if whole.default_factory else None)
    return create_model(model.__name__, __base__=Part, **fields)


_TIMING = _lean(
    Timing,
    "setup_s",
    "steady_step_s",
    "steady_samples_per_s",
    "steps",
    "train_runtime_s",
    "train_samples_per_s",
)
_GPU = _lean(
    GpuTelemetry,
    "utilization_mean",
    "utilization_p10",
    "memory_peak_bytes",
    "power_mean_w",
    "energy_source",
    "sm_clock_median_mhz",
    "clock_limits",
    "unreadable",
)
_TELEMETRY = _lean(
    Telemetry,
    "host_cpu_share_mean",
    "job_cpu_share_mean",
    "job_rss_peak_bytes",
    "joules_per_sample",
    "unreadable",
    gpus=GenericAlias(list, (_GPU,)),
)
LEAN_RECORD: type[JobRecord] = _lean(  # to whom it is given, it is a JobRecord: all that tables ask of one is there
    JobRecord,
    "run",
    "workload",
    "arm",
    "launch",
    "attempt",
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
    "losses",
    "blocks",
    timing=_TIMING,
    engagement=_lean(Engagement, "engaged", "reasons", "kernels") | None,
    fingerprint=_lean(Fingerprint, "initial_weights_sha256", "data_order_sha256"),
    telemetry=_TELEMETRY | None,
    efficiency=_lean(Efficiency, "peak_flops_per_s", "model_flops_utilization") | None,
)
