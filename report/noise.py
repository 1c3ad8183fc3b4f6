"""The noise floor beside a gain: what two identical arms (an A/A pair) differ by on the same host."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.errors import BenchError
from harness.record import Host, JobRecord, Pair, RunInfo
from harness.settings import Arm
from report.gains import Gain, gains_of
from report.launches import Arms, arms_of
from report.load import JOBS_FILE, RUN_FILE, Run, load_run
from report.stats import throughput_gain

Settings = tuple[object, ...]


@dataclass(frozen=True)
class Floor:
    """The 95% interval of an A/A pair's throughput gain (fractions), the run it is of and what was run.

    `arm`: what both arms are, without a name.
    """

    run: str
    measure: str
    settings: Settings
    arm: Arm
    low: float
    high: float

    @property
    def half_width_pp(self) -> float:
        """Half the interval, in percentage points."""
        return (self.high - self.low) / 2 * 100

    def __str__(self) -> str:
        """ "±0.45 pp"; with its middle where the interval excludes 0, for then something tells the arms apart."""
        off = "" if self.low <= 0 <= self.high else f"{(self.high + self.low) / 2 * 100:+.2f} "
        return f"{off}±{self.half_width_pp:.2f} pp"


def is_a_a(run: Run, pair: Pair, arms: Arms) -> bool:
    """Whether a pair's arms are identical apart from their names: by their records, else by the suite."""
    jobs = [next(iter(arms.launches.get((pair.workload, arm), {}).values()), None) for arm in _sides(pair)]
    if jobs[0] and jobs[1]:
        return _nameless(jobs[0].arm) == _nameless(jobs[1].arm)
    return _declared_a_a(run.info.config, pair)


def floors_of(run: Run) -> list[Floor]:
    """The A/A pairs of the run itself, then those of runs of its host in the folders beside it, the latest first."""
    # Own pairs come from the records at hand, for a run need not be on disk.
    found = _floors_in(run)
    others = [other for folder in run.beside if (other := _a_a_run(folder, _stamp(folder))) is not None]
    for other in sorted(others, key=lambda other: other.info.created_at, reverse=True):
        if same_host(run.info.host, other.info.host):
            found += _floors_in(other)
    return found


def floor_for(gain: Gain, arms: Arms, floors: list[Floor]) -> Floor | None:
    """The first floor of the same measure, settings and protocol; one of an arm of the pair goes before others."""
    baseline, candidate = arms.of_pair(gain.pair)
    jobs = [*baseline.values(), *candidate.values()]
    if not jobs or {job.source for job in jobs} != {"measured"}:
        return None
    wanted = (gain.measure.key, _settings(jobs[0]))
    fitting = [floor for floor in floors if (floor.measure, floor.settings) == wanted]
    of_pair = [_nameless(job.arm) for job in jobs]
    return next((floor for floor in fitting if floor.arm in of_pair), fitting[0] if fitting else None)


def same_host(one: Host, other: Host) -> bool:
    """By the cards, whose ids are their own wherever they are plugged in; without cards by the host's hashed name."""
    cards = [{str(gpu["uuid"]) for gpu in host.gpus if gpu.get("uuid")} for host in (one, other)]
    if all(cards):
        return bool(cards[0] & cards[1])
    return one.name_sha256 is not None and one.name_sha256 == other.name_sha256 and not any(cards)


def _floors_in(run: Run) -> list[Floor]:
    arms = arms_of(run)
    pairs = [pair for pair in run.info.pairs if is_a_a(run, pair, arms)]
    if not pairs:
        return []
    floors = []
    for gain in gains_of(run, arms):
        if gain.pair not in pairs or gain.ratio is None or gain.ratio.low is None or gain.ratio.high is None:
            continue
        job = next(iter(arms.of_pair(gain.pair)[0].values()))
        low, high = throughput_gain(gain.ratio.low), throughput_gain(gain.ratio.high)
        if math.isfinite(high):
            floors.append(Floor(run.info.run, gain.measure.key, _settings(job), _nameless(job.arm), low, high))
    return floors


def _settings(job: JobRecord) -> Settings:
    """What must be the same for an A/A pair to say something of a pair: the device, the work and the protocol."""
    training = job.workload.training
    return (
        job.device,
        job.workload.model.name,
        training.precision,
        training.batch_size,
        training.max_seq_length,
        "blocks" if job.partner else "epochs",
    )


def _nameless(arm: Arm) -> Arm:
    return arm.model_copy(update={"name": ""})


def _sides(pair: Pair) -> tuple[str, str]:
    return pair.baseline, pair.candidate


def _declared_a_a(config: dict[str, Any], pair: Pair) -> bool:
    declared = config.get("arms")
    sides = [declared.get(arm) for arm in _sides(pair)] if isinstance(declared, dict) else []
    known = [{key: value for key, value in arm.items() if key != "name"} for arm in sides if isinstance(arm, dict)]
    return len(known) == 2 and known[0] == known[1]


def _stamp(folder: Path) -> tuple[int, ...]:
    stamps: list[int] = []
    for name in (RUN_FILE, JOBS_FILE):
        try:
            status = (folder / name).stat()
        except OSError:
            continue
        stamps += [status.st_mtime_ns, status.st_size]
    return tuple(stamps)


@lru_cache(maxsize=1024)
def _a_a_run(folder: Path, stamp: tuple[int, ...]) -> Run | None:
    """The run in `folder` if its suite has an A/A pair. Only run.json is read of the others; cached by `stamp`.

    Nobody asked for this run, so one that cannot be read is none.
    """
    try:
        info = RunInfo.model_validate_json((folder / RUN_FILE).read_bytes())
        if not any(_declared_a_a(info.config, pair) for pair in info.pairs):
            return None
        return load_run(folder)
    except (OSError, ValueError, BenchError):  # pydantic's ValidationError is a ValueError
        return None
