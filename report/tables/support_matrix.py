"""What works: model × backend × host. Trains, proven engaged, learned alike, gained, or the error
it met.

A job that failed is a result here: its message stands in its row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.schema.record import JobRecord
from report.analysis.gains import STEADY_STATE, Gain, gains_of
from report.analysis.metrics import ESSENTIAL, NO_FIGURE, THROUGHPUT_GAIN, Figure
from report.analysis.parity import ParityOutcome
from report.analysis.replicates import NEEDS_NO_PROOF, JobStatus, arms_of, verdict
from report.loading.runs import Run
from report.tables.arm_rows import arm_rows
from report.tables.arms import ARM, BACKEND
from report.tables.columns import (
    ATTENTION,
    BATCH,
    MODEL,
    PRECISION,
    TASK,
    Column,
    Fact,
    backends_are_shared,
    count_column,
    fraction_column,
    run_column,
    split_facts,
    text,
    with_ends,
    workload_column,
)
from report.tables.footnotes import WITHIN_ONE, merge_notes, several_groups_notes, source_notes
from report.tables.rows import ArmRow, SupportRow, extended
from report.tables.table import Table, TablePart, make_table, part_of
from report.text import in_one_line

SEVERAL_MODELS = 4  # a run of as many is a matrix although nobody asked
# characters: the table says what went wrong, the jobs' own records say it whole
LONGEST_ERROR = 220
HOST: Fact[SupportRow] = Fact(Column("Host", lambda row: row.host, importance=ESSENTIAL))
LEGEND = (
    "trains: a replicate ended well, evaluation included; proven: the backend ran the training "
    "graph, nothing fell back (PyTorch is what others could fall back to, so it has nothing to "
    "prove); parity: the losses of parity runs without dropout were alike in every step"
)
GAIN_LEGEND = "throughput: gain in the steady state"
NO_INTERVAL = (
    "with n = 1 there is one replicate of each arm and no interval: it says that a gain could be "
    "measured, not how large it is"
)
NOT_KNOWN = "not known"
NOT_KNOWN_LEGEND = (
    "trains, not known: all replicates of the arm were stopped before their end, by no fault of "
    "its own"
)


def matrix(run: Run) -> TablePart[SupportRow]:
    """Every arm of every workload that was measured here."""
    rows = matrix_rows(run)
    usual = (
        len({job.workload.model.name for job in run.jobs if job.source == "measured"})
        >= SEVERAL_MODELS
    )
    return part_of(
        run, rows, [*source_notes(run), *several_groups_notes(run)] if rows else [], usual=usual
    )


def matrix_tables(parts: Sequence[TablePart[SupportRow]]) -> list[Table[SupportRow]]:
    """The table of `matrix`."""
    rows = [row for part in parts for row in part.rows]
    by_name = backends_are_shared(rows)
    facts, shared = split_facts(
        rows, (TASK, PRECISION, BATCH, *(() if by_name else (ATTENTION,)), HOST)
    )
    over = {row.baseline if by_name else row.baseline_backend for row in rows if row.baseline}
    gain = f"Throughput over {over.pop()}" if len(over) == 1 else THROUGHPUT_GAIN.header
    columns: list[Column[SupportRow]] = [
        *run_column(rows),
        MODEL,
        ARM if by_name else BACKEND,
        *facts,
        *workload_column(rows),
        Column("Trains", lambda row: row.trains, importance=ESSENTIAL),
        Column("Proven", text(lambda row: row.proven), importance=ESSENTIAL),
        Column("Parity", text(lambda row: row.parity)),
        replace(
            fraction_column(gain, rows, lambda row: row.throughput_gain),
            show=_gain,
        ),
        count_column(),
        Column("Error", lambda row: row.error, optional=True, importance=ESSENTIAL),
    ]
    notes = merge_notes([(part.run, part.notes) for part in parts], _legend(rows))
    return [make_table("matrix", f"Support by model and backend{shared}:", columns, rows, notes)]


def _legend(rows: Sequence[SupportRow]) -> list[str]:
    """What the columns mean, of what stands in them."""
    gained = [row for row in rows if row.throughput_gain.value is not None]
    without = [row for row in gained if row.throughput_gain.low is None]
    notes = [
        (LEGEND, bool(rows)),
        (NOT_KNOWN_LEGEND, any(row.trains == NOT_KNOWN for row in rows)),
        (GAIN_LEGEND, bool(gained)),
        (NO_INTERVAL, bool(without)),
        (WITHIN_ONE, any(row.n == 1 and row not in without for row in gained)),
    ]
    return [note for note, needed in notes if needed]


def matrix_rows(run: Run) -> list[SupportRow]:
    """One row per arm of every workload; publications have none."""
    arms = arms_of(run)
    rows: list[SupportRow] = []
    gains = {
        (g.pair.workload, g.pair.candidate): g
        for g in reversed(gains_of(run))
        if g.measure is STEADY_STATE
    }
    of_arms = arm_rows(run, ())
    backends = {(row.workload, row.arm): row.backend for row in of_arms}
    for row in of_arms:
        if row.source != "measured":
            continue
        key = row.workload, row.arm
        jobs = [*arms.replicates[key].values()]
        own = _unstopped(jobs) or _unstopped(filter(None, [arms.parity_runs.get(key)]))
        gain = gains.get(key)  # of several baselines the first that is declared
        rows.append(
            extended(
                row,
                SupportRow,
                host=_host(run, row),
                trains="yes" if row.n else _trains(jobs, own),
                proven=_proven(jobs, own),
                baseline=gain.pair.baseline if gain else None,
                baseline_backend=backends.get((key[0], gain.pair.baseline)) if gain else None,
                parity=gain.parity.outcome if gain and gain.parity else None,
                throughput_gain=Figure.of(*gain.throughput) if gain else NO_FIGURE,
                error=_error(row, jobs, own, gain),
            )
        )
    return rows


def _unstopped(jobs: Iterable[JobRecord]) -> list[JobRecord]:
    """The jobs that speak of the arm itself, because nothing else stopped them."""
    return [job for job in jobs if verdict(job) is not JobStatus.INTERRUPTED]


def _trains(jobs: Sequence[JobRecord], own: Sequence[JobRecord]) -> str:
    """Whether an arm of which no replicate counts trains all the same."""
    if not jobs:
        return "not run"
    verdicts = {verdict(job) for job in own}
    if JobStatus.CONTAMINATED in verdicts:
        return "yes"  # to its end, beside others
    return "no" if verdicts - {JobStatus.OK} else NOT_KNOWN


def _host(run: Run, row: ArmRow) -> str:
    """The card, or of a run on CPU the processor with its cores."""
    if row.device != "cpu":
        return row.device.removeprefix("NVIDIA ")
    host = run.info.host
    return f"{host.cpu or 'CPU'}, {host.cores} cores" if host.cores else host.cpu or "CPU"


def _proven(jobs: Sequence[JobRecord], own: Sequence[JobRecord]) -> str | None:
    """Of all that got as far as a proof; None where there is nothing to prove or nothing is
    known.
    """
    if not jobs or not own or jobs[0].arm.backend in NEEDS_NO_PROOF:
        return None
    proofs = [job.engagement for job in own if job.engagement is not None]
    return "yes" if proofs and all(proof.engaged for proof in proofs) else "no"


def _error(
    row: ArmRow, jobs: Sequence[JobRecord], own: Sequence[JobRecord], gain: Gain | None
) -> str:
    """Why there is no result, or no gain although both arms have one: what the first of `own` met,
    else why a replicate was stopped.
    """
    for job in [*own, *jobs]:
        if (why := verdict(job)) is not JobStatus.OK:
            reasons = job.engagement.reasons if job.engagement and not job.reason else []
            which = "parity run" if job.parity_run else ""
            said = [which, why, job.reason or "; ".join(reasons)]
            return in_one_line(": ".join(filter(None, said)), LONGEST_ERROR)
    if not jobs:
        return str(row.outcome)
    if gain is None:
        return ""
    if not gain.outcome.ok:
        return in_one_line(str(gain.outcome), LONGEST_ERROR)
    if gain.parity and gain.parity.outcome is ParityOutcome.NOT_CHECKED:
        return in_one_line(f"parity not checked: {gain.parity.reason}", LONGEST_ERROR)
    return ""


def _gain(row: SupportRow) -> str:
    """A gain without an interval says of how many replicates it is."""
    gain = row.throughput_gain
    said = with_ends(gain)
    return f"{said} (n = 1)" if said and gain.low is None else said
