"""Apache Otava (change detection): CSV files `time,commit,run,<metric>…` and the otava.yaml that
names them.

Source: https://otava.apache.org/docs/csv and the importer of apache-otava 0.7. One test per device
and arm or pair, for a series over several devices has changes that nobody made; the devices are the
test groups. Otava reads every cell of a metric as a number and refuses an empty one, so a metric
that some run of a test lacks is a test of its own.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

from report.exports.points import ExportedMeasure, ExportPoint, nothing_to_export, points_of
from report.loading.runs import Run

CONFIG = "otava.yaml"
HEADER = (
    "# In this folder: otava analyze --config-file otava.yaml TEST_OR_GROUP (--since DATE: more "
    "than the last year)\n"
)

Rows = dict[int, dict[ExportedMeasure, ExportPoint]]  # by the run's place in time


def files(runs: Sequence[Run]) -> dict[str, bytes]:
    """otava.yaml and a CSV file per test, a line per run in the order of their times. No value:
    BenchError.

    Metrics are what can be judged by its relative change (Otava's magnitude): times, rates, sizes
    and speed-ups. A run without a time (a publication) is left out.
    """
    dated = sorted(
        (run for run in runs if run.info.created_at),
        key=lambda run: (run.info.created_at, run.info.run),
    )
    subjects: dict[tuple[str, str], Rows] = {}
    for place, run in enumerate(dated):
        for point in points_of(run):
            if point.measure.proportional:
                rows = subjects.setdefault((_device(run, point), point.subject), {})
                rows.setdefault(place, {})[point.measure] = point
    if not subjects:
        raise nothing_to_export(
            runs,
            "no replicate of an arm counts in a run with a date",
            fix="publications go out as csv",
        )
    written: dict[str, bytes] = {}
    tests: dict[str, Any] = {}
    groups: dict[str, list[str]] = {}
    for (device, subject), rows in sorted(subjects.items()):
        name = f"{device}/{subject}"
        for test, measures in _tests(name, rows):
            file = test.replace("/", "@") + ".csv"  # no name holds an @
            written[file] = _table(dated, rows, measures)
            tests[test] = _test(name, file, measures)
            groups.setdefault(device, []).append(test)
    return {CONFIG: _config(tests, groups), **written}


def _tests(name: str, rows: Rows) -> list[tuple[str, list[ExportedMeasure]]]:
    """The tests of a subject: one of the metrics that every run has, one for each that some run
    lacks.
    """
    measures = sorted(
        {measure for row in rows.values() for measure in row}, key=lambda measure: measure.name
    )
    complete = [measure for measure in measures if all(measure in row for row in rows.values())]
    alone = [
        (f"{name}/{measure.name}", [measure]) for measure in measures if measure not in complete
    ]
    return [*([(name, complete)] if complete else []), *alone]


def _table(runs: Sequence[Run], rows: Rows, measures: Sequence[ExportedMeasure]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["time", "commit", "run", *(measure.name_with_unit for measure in measures)])
    for place, row in sorted(rows.items()):
        info = runs[place].info
        if all(measure in row for measure in measures):
            values = [repr(row[measure].value) for measure in measures]
            writer.writerow([info.created_at, info.git.get("commit") or "", info.run, *values])
    return text.getvalue().encode()


def _test(name: str, file: str, measures: Sequence[ExportedMeasure]) -> dict[str, Any]:
    metrics = {  # by names of their own: `otava validate` refuses one that two tests share
        f"{name}/{measure.name_with_unit}": {
            "column": measure.name_with_unit,
            "direction": 1 if measure.bigger_is_better else -1,
            "scale": 1,
        }
        for measure in measures
    }
    return {
        "type": "csv",
        "file": file,
        "time_column": "time",
        "attributes": ["commit", "run"],
        "metrics": metrics,
    }


def _config(tests: dict[str, Any], groups: dict[str, list[str]]) -> bytes:
    import yaml

    content = {"tests": tests, "test_groups": groups}
    return (
        HEADER + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    ).encode()


def _device(run: Run, point: ExportPoint) -> str:
    """The GPU, or the processor where there is none, as a name of letters, digits and - _ . +."""
    named = f"cpu {run.info.host.cpu or ''}" if point.device == "cpu" else point.device
    return re.sub(r"[^\w.+-]+", "-", named).strip("-") or "device"
