"""Published claims beside what was measured of them: one row per claim and model.

The published side comes from runs that hold a claim (harness.schema.record.Claim), the measured
side from all other runs that are named with them. Of several measured pairs that answer a claim one
stands in the table, and the others under it: one of a whole training, measured or predicted, whose
arms differ in nothing but the backend, at the batch size of the claim, with the narrowest interval.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from harness.schema.record import JobRecord, trained_length
from report.analysis.claims import (
    WIDEST,
    Placed,
    Published,
    is_related,
    place,
    published_rows,
    same_work,
    whole_training,
)
from report.analysis.gains import END_TO_END, STEADY_STATE
from report.analysis.metrics import ESSENTIAL, NO_FIGURE, PREDICTED_RUNTIME, RUNTIME, JobMetric
from report.analysis.outcome import no_result
from report.analysis.published import check_gains, check_samples
from report.analysis.replicates import arms_of, counting, is_result
from report.analysis.statistics import mean_of, usable
from report.labels import known
from report.loading.runs import Run
from report.tables.columns import (
    Column,
    format_number,
    has_open_gain,
    percent,
    text,
    with_ends,
)
from report.tables.footnotes import version_notes
from report.tables.gain_rows import gain_rows
from report.tables.predicted import WHOLE, predicted_gains
from report.tables.rows import ClaimRow, GainRow, Row
from report.tables.table import Table, TablePart, make_table, part_of

_BATCH_SIZE = "workload.training.batch_size"
NOT_MEASURED, OTHER_WORK = "not measured yet", "other work"
_MEASURES = (END_TO_END, WHOLE, STEADY_STATE)  # in order of preference
_RUNTIMES: dict[str, JobMetric] = {END_TO_END.key: RUNTIME, WHOLE.key: PREDICTED_RUNTIME}
_HOW = {END_TO_END.key: "measured", WHOLE.key: "predicted"}
LEGEND = (
    "gains are of latency / throughput, runtimes PyTorch's / ONNX Runtime's, or the baseline's / "
    "the candidate's of the pair that a row names; what was published is as printed",
    "inside: whether our 95% interval of the throughput gain meets the published one within its "
    f"rounding; not decided where it does and reaches more than {100 * WIDEST:g} points to a side",
)


@dataclass(frozen=True, kw_only=True)
class _Side(Row):
    """One side of a claim: what was published, or a measured pair that may answer it."""

    created_at: str
    suite: str
    versions: str
    published: Published | None
    gain: GainRow | None
    baseline: JobRecord | None
    candidate: JobRecord | None
    runtimes_s: tuple[float | None, float | None]

    @property
    def device(self) -> str:
        """Of the measured or published jobs."""
        return self.baseline.device if self.baseline is not None else ""

    @property
    def source(self) -> str:
        """Published, or measured."""
        return "published" if self.published is not None else "measured"

    @property
    def backend_shown(self) -> str:
        """Of the candidate."""
        return self.gain.candidate_backend if self.gain is not None else ""

    @property
    def own_arm(self) -> tuple[str, str] | None:
        """It is of two arms."""
        return None


def claims(run: Run) -> TablePart[_Side]:
    """The rows of a claim, of a published run; every pair by every measure, of a measured one."""
    if run.info.claim is not None:
        rows = [_published_side(published) for published in published_rows(run)]
        return part_of(run, rows, [*check_samples(run), *check_gains(run)])
    return part_of(run, _measured_sides(run), [])


def claim_tables(parts: Sequence[TablePart[_Side]]) -> list[Table[ClaimRow]]:
    """The table of claims, those that nobody measured yet included."""
    sides = [side for part in parts for side in part.rows]
    measured = [side for side in sides if side.published is None]
    rows = [
        row
        for side in sides
        if side.published is not None
        for row in _rows_of(side.published, side, measured)
    ]
    columns: list[Column[ClaimRow]] = [
        Column("Claim", lambda row: row.claim, importance=ESSENTIAL),
        Column("Model", _model, importance=ESSENTIAL),
        Column("Published on", lambda row: row.published_device.replace("NVIDIA ", "")),
        Column("Published gain", _as_published, right=True, importance=ESSENTIAL),
        Column("Published runtimes(s)", _published_runtimes, right=True),
        Column(
            "Measured on",
            lambda row: row.device.removeprefix("NVIDIA "),
            importance=ESSENTIAL,
        ),
        Column("Batch", text(lambda row: row.batch_size), right=True),
        Column("Pair", _pair, optional=True),
        Column(
            "Our gain",
            _ours,
            right=True,
            importance=ESSENTIAL,
            is_open=lambda row: has_open_gain(row.throughput_gain),
        ),
        Column("n", text(lambda row: row.n or None), right=True),
        Column(
            "Time",
            lambda row: row.measure.label if row.measure is STEADY_STATE else "",
            optional=True,
        ),
        Column("Our runtimes(s)", _our_runtimes, right=True),
        Column("Inside", _state, importance=ESSENTIAL),
    ]
    notes = [
        *(LEGEND if rows else ()),
        *_notes(parts),
        *_differences(rows),
        *_others(sides, measured, rows),
    ]
    return [make_table("claims", "Published claims, and what was measured:", columns, rows, notes)]


def _published_side(published: Published) -> _Side:
    job, info = published.baseline, published.run.info
    candidate = published.candidate
    return _Side(
        run=info.run,
        workload=published.pair.workload if published.pair is not None else "",
        model=job.workload.model.name if job is not None else "",
        task=job.workload.task.name if job is not None else None,
        precision=job.workload.training.precision if job is not None else None,
        batch_size=None,
        created_at="",
        suite="",
        versions=published.claim.versions,
        published=published,
        gain=None,
        baseline=job,
        candidate=candidate,
        runtimes_s=(
            job.timing.train_runtime_s if job is not None else None,
            candidate.timing.train_runtime_s if candidate is not None else None,
        ),
    )


def _measured_sides(run: Run) -> list[_Side]:
    rows = [
        *(row for row in gain_rows(run) if row.source == "measured"),
        *predicted_gains(run).rows,
    ]
    arms = arms_of(run)
    of_pair = {
        (pair.workload, pair.baseline, pair.candidate): arms.of_pair(pair)
        for pair in run.info.pairs
    }
    sides = []
    for row in rows:
        if row.a_a:
            continue
        both = of_pair[row.workload, row.baseline, row.candidate]
        baseline, candidate = (counting(side.values()) or [*side.values()] for side in both)
        if not baseline or not candidate:
            continue
        metric = _RUNTIMES.get(row.measure.key)
        sides.append(
            _Side(
                run=row.run,
                workload=row.workload,
                model=row.model,
                task=row.task,
                precision=row.precision,
                batch_size=row.batch_size,
                created_at=run.info.created_at,
                suite=run.info.suite,
                versions=_versions(run, {baseline[0].arm.stack, candidate[0].arm.stack}),
                published=None,
                gain=row,
                baseline=baseline[0],
                candidate=candidate[0],
                runtimes_s=(_mean(metric, baseline), _mean(metric, candidate)),
            )
        )
    return sides


def _versions(run: Run, stacks: Collection[str]) -> str:
    """Of the packages of these stacks; those of `ort` stand without its name."""
    notes = [
        note
        for note in version_notes(run)
        if not note.startswith("stack ") or note[len("stack ") : note.index(":")] in stacks
    ]
    return "; ".join(notes)


def _mean(metric: JobMetric | None, jobs: Iterable[JobRecord]) -> float | None:
    """The mean over the jobs that are results and have the time; None without one."""
    if metric is None:
        return None
    values = [value for job in jobs if is_result(job) and usable(value := metric.read(job))]
    return mean_of(values) if values else None


def _rows_of(published: Published, side: _Side, measured: Sequence[_Side]) -> list[ClaimRow]:
    """The row of one published pair, or the rows of the pairs that bear on a claim."""
    answers = _answers(published, measured)
    if answers:
        return [_row(published, side, max(answers, key=lambda each: _rank(published, each)))]
    related = [each for each in measured if is_related(published.claim, each.suite)]
    if not related:
        return [_row(published, side, None)]
    latest = max(related, key=lambda each: (each.created_at, each.run)).run
    best: dict[tuple[str, str, str], _Side] = {}
    for each in related:
        if each.run == latest and each.gain is not None:
            pair = (each.workload, each.gain.baseline, each.gain.candidate)
            if pair not in best or _rank(published, each) > _rank(published, best[pair]):
                best[pair] = each
    return [_row(published, side, each, related=True) for each in best.values()]


def _answers(published: Published, measured: Sequence[_Side]) -> list[_Side]:
    """The measured pairs that do the work of a published one; by one time where it was measured to
    the end, for a prediction says less.
    """
    answers = [
        each
        for each in measured
        if each.baseline is not None
        and each.candidate is not None
        and same_work(published, each.baseline, each.candidate)
        and _is_of_the_whole(published, each)
    ]
    to_the_end = {
        _pair_of(each)
        for each in answers
        if each.gain is not None and each.gain.measure is END_TO_END and each.gain.outcome.ok
    }
    return [
        each
        for each in answers
        if _pair_of(each) not in to_the_end
        or (each.gain is not None and each.gain.measure is END_TO_END)
    ]


def _pair_of(side: _Side) -> tuple[str, ...]:
    """What is the same for a pair by every measure."""
    assert side.gain is not None
    return side.run, side.workload, side.gain.baseline, side.gain.candidate


def _is_of_the_whole(published: Published, side: _Side) -> bool:
    """Whether a time end to end is that of a whole training; of a steady state and a prediction it
    need not be.
    """
    jobs = [job for job in (published.baseline, published.candidate) if job is not None]
    return (
        side.gain is None
        or side.gain.measure is not END_TO_END
        or side.baseline is None
        or whole_training(jobs, side.baseline)
    )


def _rank(published: Published, side: _Side) -> tuple[object, ...]:
    """The greater, the better it answers a claim."""
    assert side.gain is not None
    assert side.baseline is not None
    assert side.candidate is not None
    theirs = published.baseline
    low, high = side.gain.throughput_gain.low, side.gain.throughput_gain.high
    precision = theirs.workload.training.precision if theirs is not None else side.precision
    batch_size = published.claim.default_batch_size
    if batch_size is None and theirs is not None:
        batch_size = known(theirs, _BATCH_SIZE, theirs.workload.training.batch_size)
    return (
        side.gain.outcome.ok,
        side.precision == precision,
        side.gain.measure is not STEADY_STATE,
        not side.gain.differs,
        # as users have them
        not any(
            job.arm.options or job.arm.injected_delay_ms for job in (side.baseline, side.candidate)
        ),
        side.batch_size == batch_size,
        -math.inf if low is None or high is None else low - high,
        -[measure.key for measure in _MEASURES].index(side.gain.measure.key),
        side.baseline.sources.data != "synthetic",
        side.created_at,
        side.run,
    )


def _row(
    published: Published, side: _Side, answer: _Side | None, *, related: bool = False
) -> ClaimRow:
    gain = answer.gain if answer is not None else None
    printed, limits = published.printed, published.throughput_gain
    inside: Placed | None = None
    if gain is not None and gain.outcome.ok and limits is not None and not related:
        inside = place(limits, gain.throughput_gain.low, gain.throughput_gain.high)
    claim = published.claim
    what = claim.related[0].why if claim.related else "it"
    missing = f"configs/{claim.measured_by[0]}.yaml measures {what}" if claim.measured_by else ""
    return ClaimRow(
        run=answer.run if answer is not None else "",
        workload=answer.workload if answer is not None else side.workload,
        model=answer.model if answer is not None else side.model,
        task=answer.task if answer is not None else side.task,
        precision=answer.precision if answer is not None else None,
        batch_size=answer.batch_size if answer is not None else None,
        claim=published.claim.name,
        published_model=side.model or None,
        published_task=side.task,
        published_device=published.claim.devices,
        published_statement=published.claim.statement,
        published_baseline_runtime_s=side.runtimes_s[0],
        published_candidate_runtime_s=side.runtimes_s[1],
        published_latency_gain=printed.latency_gain if printed is not None else None,
        published_throughput_gain=printed.throughput_gain if printed is not None else None,
        baseline=gain.baseline if gain is not None else "",
        candidate=gain.candidate if gain is not None else "",
        device=answer.device if answer is not None else "",
        measure=gain.measure if gain is not None else None,
        replicates=gain.replicates if gain is not None else 0,
        n=gain.n if gain is not None else 0,
        latency_gain=gain.latency_gain if gain is not None else NO_FIGURE,
        throughput_gain=gain.throughput_gain if gain is not None else NO_FIGURE,
        measured_baseline_runtime_s=answer.runtimes_s[0] if answer is not None else None,
        measured_candidate_runtime_s=answer.runtimes_s[1] if answer is not None else None,
        inside=inside,
        related=related,
        differences=_known_differences(published, answer),
        outcome=gain.outcome if gain is not None else no_result(missing),
    )


def _known_differences(published: Published, answer: _Side | None) -> list[str]:
    """What is known to differ between the published experiment and the measured one, and what the
    publication leaves open; a phrase each.
    """
    claim = published.claim
    said = [f"{each} is out of scope here" for each in claim.out_of_scope]
    if answer is None or answer.baseline is None:
        return said
    ours, theirs = answer.baseline, published.baseline
    said.insert(0, f"{claim.devices} there, {_devices(ours)} here")
    said += [each.why for each in claim.related if is_related(claim, answer.suite)]
    unknown: list[str] = []
    for name, label, read in _COMPARED:
        here = read(ours)
        if theirs is None or known(theirs, name, here) is None:
            default = claim.default_batch_size if name == _BATCH_SIZE else None
            is_default = f", the script's default is {default}" if default is not None else ""
            unknown.append(f"{label} ({here} here{is_default})")
        elif read(theirs) != here:
            said.append(f"{label}: {read(theirs)} there, {here} here")
    if claim.versions:
        said.append(f"{claim.versions} there, {answer.versions} here")
    else:
        unknown.append(f"versions ({answer.versions} here)")
    if theirs is None or theirs.sources.data != "synthetic" == ours.sources.data:
        said += ["built-in data here"] if ours.sources.data == "synthetic" else []
    if ours.sources.weights == "random":
        said.append("random weights here")
    return [*said, f"not published: {', '.join(unknown)}"]


def _devices(job: JobRecord) -> str:
    cards = job.workload.launch.world_size
    return job.device if cards == 1 else f"{cards} {job.device}"


def _length(job: JobRecord) -> str:
    """Tokens of a sample: of each, or the most where batches are padded to their longest."""
    length = trained_length(job)
    return f"{length}" if job.workload.training.pad_to_max_length else f"up to {length}"


_COMPARED = (
    ("workload.training.precision", "precision", lambda job: job.workload.training.precision),
    (_BATCH_SIZE, "batch size", lambda job: job.workload.training.batch_size),
    ("workload.training.max_seq_length", "length", _length),
    ("workload.training.epochs", "epochs", lambda job: f"{job.workload.training.epochs:g}"),
    ("sources.train_samples", "samples", lambda job: f"{job.sources.train_samples or 0:,}"),
    ("arm.attention", "attention", lambda job: job.arm.attention),
    ("workload.training.optim", "optimizer", lambda job: job.workload.training.optim),
)


def _model(row: ClaimRow) -> str:
    named = row.published_model or "not named"
    return named if not row.related else f"{named}: {row.model}"


def _pair(row: ClaimRow) -> str:
    """Which pair, where it is not that of the claim."""
    return f"{row.candidate} over {row.baseline}" if row.related else ""


def _as_published(row: ClaimRow) -> str:
    printed = percent(row.published_latency_gain, row.published_throughput_gain)
    return printed or row.published_statement


def _ours(row: ClaimRow) -> str:
    both = percent(row.latency_gain.value), with_ends(row.throughput_gain)
    return " / ".join(both) if all(both) else ""


def _published_runtimes(row: ClaimRow) -> str:
    both = row.published_baseline_runtime_s, row.published_candidate_runtime_s
    return "" if None in both else " / ".join(map(repr, both))  # the digits that were printed


def _our_runtimes(row: ClaimRow) -> str:
    both = row.measured_baseline_runtime_s, row.measured_candidate_runtime_s
    if None in both or row.measure is None:
        return ""
    return f"{' / '.join(map(format_number, both))} {_HOW[row.measure.key]}"


def _state(row: ClaimRow) -> str:
    """Whether our gain is inside what was published, or why that cannot be said."""
    if row.measure is None:
        return NOT_MEASURED
    if not row.outcome.ok:
        return row.outcome.shown
    if row.related:
        return OTHER_WORK
    return str(row.inside) if row.inside is not None else ""


def _notes(parts: Sequence[TablePart[_Side]]) -> list[str]:
    """Whether the published figures agree with one another, claim by claim."""
    return [
        f"{side.published.claim.name}: {'; '.join(part.notes)}"
        for part in parts
        for side in part.rows[:1]
        if side.published is not None and part.notes
    ]


def _others(
    sides: Sequence[_Side], measured: Sequence[_Side], rows: Sequence[ClaimRow]
) -> list[str]:
    """The gains of the pairs that answer a claim too, the best of each device, batch size and
    time.
    """
    shown = {(row.run, row.workload, row.baseline, row.candidate, row.measure) for row in rows}
    said = []
    for side in sides:
        published = side.published
        if published is None:
            continue
        best: dict[tuple[object, ...], _Side] = {}
        for each in sorted(
            _answers(published, measured), key=lambda each: _rank(published, each), reverse=True
        ):
            gain = each.gain
            if gain is None or not gain.outcome.ok or gain.differs:
                continue
            if gain.measure is STEADY_STATE:  # a claim is of whole trainings
                continue
            best.setdefault((each.device, each.batch_size, gain.measure.key), each)
        told = [
            _told(gain, each)
            for each in best.values()
            if (gain := each.gain) is not None
            and (each.run, each.workload, gain.baseline, gain.candidate, gain.measure) not in shown
        ]
        if told:
            said.append(f"{published.claim.name} {side.model}, also: {'; '.join(told)}")
    return said


def _told(gain: GainRow, side: _Side) -> str:
    """A measured gain as a phrase."""
    figure = gain.throughput_gain
    return (
        f"{with_ends(figure)}{'' if figure.low is not None else ' (no interval)'} on "
        f"{side.device.removeprefix('NVIDIA ')}, batch {side.batch_size}, {gain.measure.label}, "
        f"n = {gain.n} ({side.run})"
    )


def _differences(rows: Sequence[ClaimRow]) -> list[str]:
    """What a row was made of, and what differs; what says the same of several rows, once."""
    about: dict[str, list[str]] = {}
    for row in rows:
        said = "; ".join(row.differences)
        if row.measure is None:
            said = "; ".join(filter(None, [row.outcome.reason, said]))
        else:
            said = f"run {row.run}: {said}"
        named = " ".join(filter(None, [row.claim, row.published_model]))
        about.setdefault(said, []).append(named)
    return [f"{', '.join(dict.fromkeys(names))}: {said}" for said, names in about.items() if said]
