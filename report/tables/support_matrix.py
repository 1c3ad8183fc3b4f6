"""What works: model × backend × host. Trains, proven engaged, learned alike, gained, or the error
it met.

A job that failed is a result here: its message stands in its row.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.schema.record import JobRecord
from report.analysis.gains import STEADY_STATE, Gain, gains_of
from report.analysis.launches import NEEDS_NO_PROOF, OK, arms_of, verdict
from report.loading.runs import Run
from report.tables.columns import (
    ATTENTION,
    BATCH,
    ESSENTIAL,
    PRECISION,
    TASK,
    Column,
    Fact,
    as_number,
    backends_are_shared,
    count,
    interval,
    run_column,
    split_facts,
    text,
    workload_column,
)
from report.tables.footnotes import merge_notes, source_notes
from report.tables.rows import Row, Value, arm_rows, finite
from report.tables.table import Part, Table, make_table, part_of
from report.text import format_percent, in_one_line

SEVERAL_MODELS = 4  # a run of as many is a matrix although nobody asked
# characters: the table says what went wrong, the jobs' own records say it whole
LONGEST_ERROR = 160
HOST = Fact(Column("Host", text("host"), importance=ESSENTIAL))
LEGEND = (
    "trains: a launch ended well, evaluation included; proven: the backend ran the training "
    "graph, nothing fell back "
    "(PyTorch is what others could fall back to, so it has nothing to prove); parity: twin runs "
    "without dropout lost "
    "alike in every step",
    "throughput: gain in the steady state; with n = 1 there is one launch of each arm and no "
    "interval: it says that a "
    "gain could be measured, not how large it is",
)


def matrix(run: Run) -> Part:
    """Every arm of every workload that was measured here."""
    rows = matrix_rows(run)
    usual = (
        len({job.workload.model.name for job in run.jobs if job.source == "measured"})
        >= SEVERAL_MODELS
    )
    return part_of(run, rows, source_notes(run) if rows else [], usual=usual)


def matrix_tables(parts: Sequence[Part]) -> list[Table]:
    """The table of `matrix`."""
    rows = [row for part in parts for row in part.rows]
    by_name = backends_are_shared(rows)
    facts, shared = split_facts(
        rows, (TASK, PRECISION, BATCH, *(() if by_name else (ATTENTION,)), HOST)
    )
    over = {
        row["baseline"] if by_name else row["baseline_backend"] for row in rows if row["baseline"]
    }
    columns = [
        *run_column(rows),
        Column("Model", text("model"), importance=ESSENTIAL),
        Column(
            "Arm" if by_name else "Backend",
            text("arm" if by_name else "backend"),
            importance=ESSENTIAL,
        ),
        *facts,
        *workload_column(rows),
        Column("Trains", text("trains"), importance=ESSENTIAL),
        Column("Proven", text("proven"), importance=ESSENTIAL),
        Column("Parity", text("parity")),
        Column(
            f"Throughput over {over.pop()}" if len(over) == 1 else "Throughput", _gain, right=True
        ),
        Column("Throughput 95%", interval("throughput_gain"), right=True, optional=True),
        Column("n", count, right=True),
        Column("Error", text("error"), optional=True, importance=ESSENTIAL),
    ]
    notes = merge_notes([(part.run, part.notes) for part in parts], LEGEND if rows else ())
    return [make_table("matrix", f"Support by model and backend{shared}:", columns, rows, notes)]


def matrix_rows(run: Run) -> list[Row]:
    """One row per arm of every workload; publications have none. Keys: report.tables.keys."""
    launches = arms_of(run).launches
    rows: list[Row] = []
    gains = {
        (g.pair.workload, g.pair.candidate): g
        for g in reversed(gains_of(run))
        if g.measure is STEADY_STATE
    }
    backends = {(row["workload"], row["arm"]): row["backend"] for row in arm_rows(run, ())}
    for row in arm_rows(run, ()):
        if row["source"] != "measured":
            continue
        key = str(row["workload"]), str(row["arm"])
        jobs = [*launches[key].values()]
        gain = gains.get(key)  # of several baselines the first that is declared
        rows.append(
            {
                **row,
                "host": _host(run, row),
                "trains": "yes" if row["n"] else "no" if jobs else "not run",
                "proven": _proven(jobs),
                "baseline": gain.pair.baseline if gain else None,
                "baseline_backend": backends.get((key[0], gain.pair.baseline)) if gain else None,
                "parity": gain.parity.outcome if gain and gain.parity else None,
                **_throughput(gain),
                "error": _error(row, jobs, gain),
            }
        )
    return rows


def _host(run: Run, row: Row) -> Value:
    """The card, or of a run on CPU the processor with its cores."""
    if row["device"] != "cpu":
        return str(row["device"]).removeprefix("NVIDIA ")
    host = run.info.host
    return f"{host.cpu or 'CPU'}, {host.cores} cores" if host.cores else host.cpu or "CPU"


def _proven(jobs: Sequence[JobRecord]) -> Value:
    """Of all launches that got as far as a proof; None where there is nothing to prove."""
    if not jobs or jobs[0].arm.backend in NEEDS_NO_PROOF:
        return None
    proofs = [job.engagement for job in jobs if job.engagement is not None]
    return "yes" if proofs and all(proof.engaged for proof in proofs) else "no"


def _throughput(gain: Gain | None) -> Row:
    ends = gain.throughput if gain else (None, None, None)
    names = ("throughput_gain", "throughput_gain_low", "throughput_gain_high")
    return {name: finite(end) for name, end in zip(names, ends, strict=True)}


def _error(row: Row, jobs: Sequence[JobRecord], gain: Gain | None) -> str:
    """Why there is no result, or no gain although both arms have one; of several launches what the
    first met.
    """
    for job in jobs:
        if (why := verdict(job)) != OK:
            reasons = job.engagement.reasons if job.engagement and not job.reason else []
            return _short(": ".join(filter(None, [why, job.reason or "; ".join(reasons)])))
    if not jobs:
        return str(row["state"])
    if (
        gain is not None
        and gain.state == OK
        and gain.parity
        and gain.parity.outcome == "not checked"
    ):
        return _short(f"parity not checked: {gain.parity.reason}")
    return "" if gain is None or gain.state == OK else _short(gain.state)


def _short(said: str) -> str:
    line = in_one_line(said)
    return line if len(line) <= LONGEST_ERROR else line[:LONGEST_ERROR].rstrip() + "…"


def _gain(row: Row) -> str:
    """A gain without an interval says of how many launches it is."""
    value = as_number(row["throughput_gain"])
    if value is None:
        return ""
    return format_percent(value) + (
        "" if as_number(row["throughput_gain_low"]) is not None else " (n = 1)"
    )
