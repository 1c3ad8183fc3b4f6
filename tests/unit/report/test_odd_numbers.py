"""Numbers that no measurement gives, in every field of a record: every view survives them, and no
row calls them ok.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest
from folders import ROOT
from history_support import noisy, write_history
from inference_factory import point, result
from pydantic import BaseModel
from report_factory import (
    ALIKE,
    GATED,
    PROVEN,
    make_interleaved_job,
    make_job,
    make_parity_run,
    make_run,
    write_run,
)

from harness.schema.record import Efficiency, GpuTelemetry, JobRecord, Memory, Pair, Part, Telemetry
from report.cli import main
from report.commands import export, plot, tables
from report.loading.runs import load_run
from report.plots import render

SMOKE = ROOT / "results" / "smoke-20261123-012757"
MISSING = object()
ODD: dict[str, Any] = {
    "huge": 1e308,
    "tiny": 5e-324,
    "negative": -1.0,
    "zero": 0,
    "NaN": math.nan,
    "infinite": math.inf,
    "minus infinity": -math.inf,
    "null": None,
    "missing": MISSING,
}

Place = tuple[str, ...]  # names of fields; "*": every item of a list or dictionary


def number_fields(model: type[BaseModel] = JobRecord, above: Place = ()) -> Iterator[Place]:
    """Every place of a record that holds a measured number, from the models themselves."""
    for name, field in model.model_fields.items():
        yield from _numbers(field.annotation, (*above, name))


def _numbers(annotation: Any, place: Place) -> Iterator[Place]:
    if isinstance(annotation, type) and not get_args(annotation):
        if issubclass(annotation, Part):
            yield from number_fields(annotation, place)
        elif annotation in (int, float):
            yield place
        return
    kinds = get_args(annotation)
    if get_origin(annotation) is Annotated:
        kinds = kinds[:1]
    elif get_origin(annotation) in (list, dict):
        kinds, place = kinds[-1:], (*place, "*")
    for kind in kinds:
        yield from _numbers(kind, place)


PLACES = list(dict.fromkeys(number_fields()))
# What a record is, not what was measured: a line whose replicate is not a number is no record.
IDENTITY = {"schema_version", "replicate", "position", "seed", "attempt"}
MEASURED = [place for place in PLACES if place[0] not in IDENTITY]
TIMES = [
    place
    for place in MEASURED
    if "_s" in "".join(place)[-30:]
    and re.search(r"_(s|ns)$", place[-1 if place[-1] != "*" else -2])
]


def put(record: Any, place: Place, value: Any) -> None:
    """`value` into a record's place, wherever the record has what it is part of."""
    name, rest = place[0], place[1:]
    if record is None:
        return
    if name == "*":
        keys = range(len(record)) if isinstance(record, list) else list(record)
        for key in keys:
            if rest:
                put(record[key], rest, value)
            else:
                record[key] = None if value is MISSING else value
    elif rest:
        put(record.get(name), rest, value)
    elif value is MISSING:
        record.pop(name, None)
    else:
        record[name] = value


def rich_jobs() -> list[JobRecord]:
    """Jobs with everything that a record can hold: cards, inference, metrics, parity runs; and a
    pair that took turns.
    """
    card = GpuTelemetry(
        index=0,
        samples=9,
        utilization_mean=90.0,
        utilization_p10=80.0,
        memory_peak_bytes=2**30,
        power_mean_w=300.0,
        energy_j=1e4,
        energy_source="counter",
        sm_clock_median_mhz=1500.0,
        clock_limits={"sw_power_cap": 0.5},
    )
    seen = Telemetry(
        interval_s=0.1,
        window_s=40.0,
        samples=9,
        host_cpu_share_mean=0.5,
        job_cpu_share_mean=0.25,
        job_rss_peak_bytes=2**30,
        joules_per_sample=3.0,
        gpus=[card],
    )
    shared: dict[str, Any] = {
        "device": "Abacus GPU",
        "telemetry": seen,
        "memory": Memory(
            peak_rss_bytes=2**30, torch_peak_allocated_bytes=2**29, torch_peak_reserved_bytes=2**29
        ),
        "efficiency": Efficiency(
            flops_per_sample=1e12, peak_flops_per_s=1e15, model_flops_utilization=0.3
        ),
        "metrics": {"accuracy": 0.9, "loss": 0.3},
        "main_metrics": ["accuracy"],
        "chance": {"accuracy": 0.5},
        "first_loss": 0.7,
        "last_loss": 0.3,
        "fingerprint": ALIKE,
    }
    jobs = [
        make_job(
            arm,
            replicate,
            runtime_s=runtime_s,
            step_s=runtime_s / 200,
            inference=result(point(0.1, 0.08)),
            **shared,
        )
        for replicate in range(3)
        for arm, runtime_s in (("pytorch", 100.0), ("onnxruntime", 80.0))
    ]
    jobs += [make_parity_run(arm, [0.7, 0.6, 0.5]) for arm in ("pytorch", "onnxruntime")]
    for replicate in range(2):
        for arm, partner, seconds in (
            ("pytorch", "onnxruntime", 0.5),
            ("onnxruntime", "pytorch", 0.4),
        ):
            times = [seconds, seconds * 1.01, seconds * 0.99, seconds, seconds]
            of = make_interleaved_job(
                arm, partner, replicate, times, workload="turns", engagement=PROVEN, telemetry=seen
            )
            jobs.append(
                of.model_copy(
                    update={"timing": of.timing.model_copy(update={"steady_samples_per_s": 20.0})}
                )
            )
    return jobs


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pairs = [
        Pair(workload=name, baseline="pytorch", candidate="onnxruntime")
        for name in ("tiny-sst2", "turns")
    ]
    return write_run(
        tmp_path_factory.mktemp("rich") / "run", make_run(rich_jobs(), pairs, config=GATED)
    )


def spoil(
    folder: Path,
    out: Path,
    places: list[Place],
    value: Any,
    arms: tuple[str, ...] = ("onnxruntime",),
) -> Path:
    """A copy of a run with `value` at `places` of the records of `arms`."""
    shutil.copytree(folder, out)
    lines = []
    for line in (folder / "jobs.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["arm"]["name"] in arms:
            for place in places:
                put(record, place, value)
        lines.append(json.dumps(record))
    (out / "jobs.jsonl").write_text("\n".join(lines) + "\n")
    return out


def said(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """What a command prints: bad input has one sentence, and nothing raises."""
    capsys.readouterr()
    code = main([*map(str, arguments)])
    printed = capsys.readouterr()
    assert code in (0, 1, 2)
    assert "Traceback" not in printed.err
    if code == 2:
        assert printed.err.startswith("report: ")
    return printed.out


# In a row that is ok, none of these is empty.
FIGURES = {
    *(
        "Runtime(s)",
        "Train samples(/s)",
        "Steady step(ms)",
        "Steady samples(/s)",
        "Throughput",
        "Throughput (95%)",
        "Value",
    ),
    *(
        "PyTorch(ms) mean/p50/p95",
        "ONNX Runtime(ms) mean/p50/p95",
        "PyTorch samples(/s)",
        "ONNX Runtime samples(/s)",
    ),
    *("Runtime or step", "Samples(/s)"),
}


def check_table(text: str) -> int:
    """No row of any Markdown table says ok beside an empty figure. Returns the number of rows."""
    heads: list[str] = []
    rows = 0
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not line.startswith("|"):
            heads = []
        elif not heads:
            heads = cells
        elif not set(line) <= set("|:-"):
            rows += 1
            row = dict(zip(heads, cells, strict=True))
            assert not re.search(
                r"\b(nan|inf)\b", " ".join(cell for head, cell in row.items() if head != "State")
            ), line
            if re.match(r"ok|published|$", row.get("State", "")):
                empty = sorted(head for head in FIGURES & row.keys() if not row[head])
                assert not empty, f"{empty} of {line}\n{text}"
    return rows


def check_tables(
    capsys: pytest.CaptureFixture[str], run: Path, views: tuple[str, ...] = tuple(tables.VIEWS)
) -> None:
    for view in views:
        text = said(capsys, "tables", run, "--view", view, "--format", "markdown")
        check_table(text)
        if view == "gains":
            assert "onnxruntime" in text or "ONNX Runtime" in text, "the pair's row stays"
        json.loads(
            said(capsys, "tables", run, "--view", view, "--format", "json"), parse_constant=refuse
        )


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def check_exports(capsys: pytest.CaptureFixture[str], run: Path, out: Path) -> None:
    for form in export.FORMATS:
        said(capsys, "export", run, "--format", form, "--out", out / form)


def parts() -> list[str]:
    """What a record is made of that holds numbers."""
    return list(dict.fromkeys(place[0] for place in MEASURED))


def test_the_places_are_those_of_the_models() -> None:
    assert {
        ("timing", "steady_step_s"),
        ("turns", "step_s", "*"),
        ("telemetry", "gpus", "*", "power_mean_w"),
    } <= set(MEASURED)
    assert ("inference", "points", "*", "torch", "mean_s") in MEASURED
    assert len(MEASURED) > 90
    record = json.loads(make_job().model_dump_json())
    put(record, ("timing", "setup_s"), MISSING)
    assert "setup_s" not in record["timing"]


@pytest.mark.parametrize(
    "arms", [("onnxruntime",), ("pytorch", "onnxruntime")], ids=["one arm", "both arms"]
)
@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_every_table_says_why_there_is_no_gain(
    rich: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    value: Any,
    arms: tuple[str, ...],
) -> None:
    """Each part of the record by itself, and all of them: the row stays, with its reason in the
    gain's place. Parts other than the times are read arm by arm, so one arm tells of both.
    """
    alone = parts() if len(arms) == 1 else ["timing"]
    for part in [*alone, "times", "everything"]:
        places = {"times": TIMES, "everything": MEASURED}.get(part) or [
            p for p in MEASURED if p[0] == part
        ]
        run = spoil(rich, tmp_path / part, places, value, arms)
        check_tables(capsys, run)
        if part in ("timing", "times"):
            text = said(capsys, "tables", run, "--view", "gains", "--format", "markdown")
            assert re.search(
                r"tiny-sst2 .*steady state .*no result: .*no steady state time", text
            ), text
            assert re.search(r"tiny-sst2 .*end to end .*no result: .*no end to end time", text), (
                text
            )


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_pages_exports_and_comparisons_survive(
    rich: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], value: Any
) -> None:
    for arms in (("onnxruntime",), ("pytorch", "onnxruntime")):
        run = spoil(rich, tmp_path / str(len(arms)), MEASURED, value, arms)
        check_exports(capsys, run, tmp_path / "exports")
        assert said(capsys, "page", run, "--no-plots", "-o", tmp_path / "page.html")
        for a, b in ((rich, run), (run, rich)):
            for form in ("markdown", "json"):
                said(capsys, "compare", a, b, "--format", form)
        for form in tables.FORMATS:
            said(capsys, "tables", run, "--format", form)


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_plots_of_a_recorded_run_survive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: Any
) -> None:
    """The record's numbers, and the same in its series."""
    run = spoil(SMOKE, tmp_path / "run", MEASURED, value, ("onnxruntime",))
    if isinstance(value, int | float):
        spoil_series(run, float(value))
    for kind in plot.KINDS:
        said(capsys, "plot", run, "--kind", kind, "--out", tmp_path / "plots")


def spoil_series(run: Path, value: float) -> None:
    import pyarrow
    from pyarrow import parquet

    for file in sorted((run / "series").glob("*.parquet"))[:4]:
        series = parquet.read_table(file)
        for index, column in enumerate(series.schema):
            if pyarrow.types.is_floating(column.type):
                values = series.column(index).to_pylist()
                values[len(values) // 2 :] = [value] * (len(values) - len(values) // 2)
                series = series.set_column(
                    index, column.name, pyarrow.array(values, type=column.type)
                )
        parquet.write_table(series, file)


@pytest.mark.parametrize("night", [-1, 5], ids=["the last night", "a night before"])
@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_nights_survive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: Any, night: int
) -> None:
    nights = sorted(write_history(tmp_path / "good", noisy(12)).iterdir())
    shutil.copytree(tmp_path / "good", tmp_path / "nights")
    shutil.rmtree(tmp_path / "nights" / nights[night].name)
    spoil(nights[night], tmp_path / "nights" / nights[night].name, MEASURED, value)
    listed = said(
        capsys, "history", tmp_path / "nights", "--json", "-", "--draw", tmp_path / "drawn"
    )
    (course,) = json.loads(listed[listed.index("[") :], parse_constant=refuse)
    assert [left_out["run"] for left_out in course["without_result"]] == [nights[night].name]
    assert "no steady state time" in course["without_result"][0]["why"]
    for measure in ("steady_state", "end_to_end"):
        verdict = tmp_path / f"{measure}.json"
        said(capsys, "check", tmp_path / "nights", "--measure", measure, "--json", verdict)
        json.loads(verdict.read_text(), parse_constant=refuse)
        said(capsys, "alert", verdict, "--channel", f"json={tmp_path / 'alerts.json'}", "--dry-run")
    said(capsys, "rehearse", tmp_path / "nights")


def test_what_was_no_number_is_named_with_its_line(
    rich: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = spoil(rich, tmp_path / "run", [("timing", "steady_step_s")], 1e308)
    assert main(["tables", str(run)]) == 1
    named = f"{run / 'jobs.jsonl'}:2: steady_step_s = 1e+308 is no measurement, read as missing"
    assert named in capsys.readouterr().err


def test_a_bar_without_a_throughput_says_why(rich: Path, tmp_path: Path) -> None:
    run = load_run(spoil(rich, tmp_path / "run", [("timing", "steady_samples_per_s")], -1.0))
    (picture,) = render([run], ["throughput"])
    assert "ONNX Runtime: no steady state throughput in 3 of 3 replicates" in " ".join(
        picture.alt.split()
    )
