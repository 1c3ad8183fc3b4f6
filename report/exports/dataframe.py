"""A pandas DataFrame of runs, for notebooks: `report.frame`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.schema.compiled import compiled_anew
from report.analysis.metrics import JOB_METRICS
from report.analysis.outcome import HAS_RESULT, no_result
from report.analysis.replicates import arms_of, counting, is_result, names_of, verdict
from report.labels import known
from report.loading.runs import Run, load_runs
from report.tables.arm_rows import attention, backend_label, identity
from report.tables.gain_rows import gain_rows
from report.tables.rows import JobRow, Kind, Row, describe_key

if TYPE_CHECKING:
    import pandas as pd

KIND = "kind"
JOB, GAIN = "job", "gain"
MEANINGS, UNITS = "meanings", "units"  # keys of the frame's `attrs`
_TYPES = {
    Kind.TEXT: "object",
    Kind.TEXTS: "object",
    Kind.INTEGER: "Int64",
    Kind.NUMBER: "float64",
    Kind.BOOLEAN: "boolean",
}


def frame(runs: Run | Path | str | Iterable[Run | Path | str]) -> pd.DataFrame:
    """See `report.frame`."""
    import pandas as pd

    rows: list[tuple[str, Row]] = []
    for run in _loaded(runs):
        rows += [(JOB, row) for row in job_rows(run)]
        rows += [(GAIN, row) for row in gain_rows(run)]
    records = [{KIND: kind, **row.flat()} for kind, row in rows]
    keys = list(dict.fromkeys([KIND, *(key for record in records for key in record)]))
    described = {key: describe_key(key) for key in keys if key != KIND}
    made = pd.DataFrame.from_records(records, columns=keys)
    made = made.astype({key: _TYPES[found.kind] for key, found in described.items()})
    made.attrs[MEANINGS] = {key: found.meaning for key, found in described.items()}
    made.attrs[UNITS] = {key: found.unit.symbol for key, found in described.items()}
    return made


def job_rows(run: Run) -> list[JobRow]:
    """One row per job in the order recorded, parity runs and earlier attempts included."""
    counted = {
        id(job)
        for replicates in arms_of(run).replicates.values()
        for job in counting(replicates.values())
    }
    names = names_of(run)
    return [
        JobRow(
            run=run.info.run,
            **identity([job], job.workload.name),
            arm=job.arm.name,
            backend=backend_label([job], job.arm.name),
            attention=attention([job]),
            device=job.device,
            source=job.source,
            replicate=known(job, "replicate", names[job.workload.name].number(job.replicate)),
            group=None if job.parity_run else names[job.workload.name].group(job.replicate),
            attempt=job.attempt,
            parity_run=job.parity_run,
            counts=id(job) in counted,
            compiled_anew=compiled_anew(job),
            reason=job.reason,
            started_at=job.started_at,
            figures={metric: metric.read(job) for metric in JOB_METRICS},
            outcome=HAS_RESULT if is_result(job) else no_result(verdict(job)),
        )
        for job in run.jobs
    ]


def _loaded(runs: Run | Path | str | Iterable[Run | Path | str]) -> Sequence[Run]:
    """The runs, those that are given as a folder read from disk; problems become warnings."""
    named = [runs] if isinstance(runs, Run | Path | str) else [*runs]
    found: list[Run] = []
    for each in named:
        if isinstance(each, Run):
            found.append(each)
            continue
        loaded, problems = load_runs([each])
        found += loaded
        for problem in problems:
            warnings.warn(problem, stacklevel=3)
    return found
