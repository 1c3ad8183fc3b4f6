"""The noise floor beside a gain: what two identical arms (an A/A pair) differ by on the same
host.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from harness.errors import BenchError
from harness.schema.record import Host, JobRecord, Pair, protocol_of, trained_length
from harness.schema.workload import Arm
from report.analysis.gains import Gain, gains_of
from report.analysis.replicates import Arms, arms_of
from report.analysis.statistics import throughput_gain
from report.loading.aa_runs import declared_a_a, same_host
from report.loading.runs import JOBS_FILE, RUN_FILE, Run, load_run, once_per_run
from report.text import OPEN, is_open_gain

Settings = tuple[object, ...]


@dataclass(frozen=True)
class Floor:
    """The 95% interval of an A/A pair's throughput gain (fractions), the run it is of and what was
    run.

    `arm`: what both arms are, without a name.
    """

    run: str
    measure: str
    settings: Settings
    arm: Arm
    low: float
    high: float

    @property
    def is_open(self) -> bool:
        """Whether the replicates leave what the arms differ by undetermined."""
        middle = math.sqrt(max(0.0, 1 + self.low) * (1 + self.high)) - 1
        return self.low <= -1 or is_open_gain(middle, self.low, self.high)

    @property
    def half_width_pp(self) -> float:
        """Half the interval, in percentage points."""
        return (self.high - self.low) / 2 * 100

    def __str__(self) -> str:
        """ "±0.45 pp"; with its middle where the interval excludes 0, for then something tells the
        arms apart; "open" where it is (report.text.is_open).
        """
        if self.is_open:
            return OPEN
        off = "" if self.low <= 0 <= self.high else f"{(self.high + self.low) / 2 * 100:+.2f} "
        return f"{off}±{self.half_width_pp:.2f} pp"


def is_a_a(run: Run, pair: Pair, arms: Arms) -> bool:
    """Whether a pair's arms are identical apart from their names: by their records, else by the
    suite.
    """
    jobs = [
        next(iter(arms.replicates.get((pair.workload, arm), {}).values()), None)
        for arm in _sides(pair)
    ]
    if jobs[0] and jobs[1]:
        one, other = jobs[0].arm, jobs[1].arm
        return one.backend == other.backend and _nameless(one) == _nameless(other)
    return declared_a_a(run.info.config, pair)


@once_per_run
def floors_of(run: Run) -> list[Floor]:
    """The A/A pairs of the run itself, then those of runs of its host in the folders beside it, the
    latest first.
    """
    # Own pairs come from the records at hand, for a run need not be on disk.
    found = list(_floors_in(run))
    others = [
        other for folder in run.beside if (other := _a_a_run(folder, _stamp(folder))) is not None
    ]
    for other in sorted(others, key=lambda other: other.created_at, reverse=True):
        if same_host(run.info.host, other.host):
            found += other.floors
    return found


def floor_for(gain: Gain, arms: Arms, floors: list[Floor]) -> Floor | None:
    """The floor of the same measure, settings and protocol that a gain has to stand out from.

    One of an arm of the pair goes before others, and the latest run before earlier ones. A group of
    identical arms has several pairs: the one with the widest interval is taken, and one whose
    interval excludes 0 before all others.
    """
    baseline, candidate = arms.of_pair(gain.pair)
    jobs = [*baseline.values(), *candidate.values()]
    if not jobs or {job.source for job in jobs} != {"measured"}:
        return None
    wanted = (gain.measure.key, _settings(jobs[0]))
    fitting = [floor for floor in floors if (floor.measure, floor.settings) == wanted]
    if not fitting:
        return None
    of_pair = [_nameless(job.arm) for job in jobs]
    first = next((floor for floor in fitting if floor.arm in of_pair), fitting[0])
    alike = [floor for floor in fitting if (floor.run, floor.arm) == (first.run, first.arm)]
    return max(alike, key=lambda floor: (not floor.low <= 0 <= floor.high, floor.half_width_pp))


def _floors_in(run: Run) -> list[Floor]:
    arms = arms_of(run)
    pairs = [pair for pair in run.info.pairs if is_a_a(run, pair, arms)]
    if not pairs:
        return []
    floors = []
    for gain in gains_of(run, arms):
        if (
            gain.pair not in pairs
            or gain.ratio is None
            or gain.ratio.low is None
            or gain.ratio.high is None
        ):
            continue
        job = next(iter(arms.of_pair(gain.pair)[0].values()))
        low, high = throughput_gain(gain.ratio.low), throughput_gain(gain.ratio.high)
        if math.isfinite(high):
            floors.append(
                Floor(run.info.run, gain.measure.key, _settings(job), _nameless(job.arm), low, high)
            )
    return floors


def _settings(job: JobRecord) -> Settings:
    """What must be the same for an A/A pair to say something of a pair: the device, the work and
    the protocol.
    """
    training = job.workload.training
    return (
        job.device,
        job.workload.model.name,
        training.precision,
        training.batch_size,
        trained_length(job),
        protocol_of(job),
    )


def _nameless(arm: Arm) -> Arm:
    return arm.model_copy(update={"name": ""})


def _sides(pair: Pair) -> tuple[str, str]:
    return pair.baseline, pair.candidate


def _stamp(folder: Path) -> tuple[int, ...]:
    stamps: list[int] = []
    for name in (RUN_FILE, JOBS_FILE):
        try:
            status = (folder / name).stat()
        except OSError:
            continue
        stamps += [status.st_mtime_ns, status.st_size]
    return tuple(stamps)


@dataclass(frozen=True)
class _Other:
    """What is kept of an A/A run beside a run."""

    created_at: str
    host: Host
    floors: list[Floor]


@lru_cache(maxsize=1024)
def _a_a_run(folder: Path, stamp: tuple[int, ...]) -> _Other | None:
    """The floors of the run in `folder`; cached by `stamp`. Nobody asked for it, so one that cannot
    be read is none.
    """
    try:
        run = load_run(folder)
    except BenchError:
        return None
    return _Other(run.info.created_at, run.info.host, _floors_in(run))
