"""Which run folder a command works on: resume an unfinished one of the same suite and host, or
begin a new one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BenchError
from harness.results.provenance import Provenance
from harness.results.run_folder import RunFolder, read_info, read_records
from harness.schema.record import SCHEMA_VERSION, Host, RunInfo, State
from harness.schema.terms import suite_now
from harness.schema.workload import MAX_RUN_NAME_BYTES, unfit_name

if TYPE_CHECKING:
    from harness.planning.plan import Plan

MEMORY_TOLERANCE = 0.02  # a kernel update changes MemTotal a little; that is no other host


def now_utc() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def open_run(
    results_dir: Path,
    plan: Plan,
    here: Provenance,
    *,
    run_name: str | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
) -> tuple[RunFolder, RunInfo, bool]:
    """The locked folder to work on, its RunInfo, and whether it is resumed.

    Without a name: the newest unfinished run of the same resolved suite (with `retry_failed` also a
    finished one that has failed jobs), unless `fresh`. Raises BenchError if that run belongs to
    another configuration, host or set of packages, or is being worked on.
    """
    found = None
    if run_name is not None:
        check_run_name(run_name)
        path = results_dir / run_name
        if (path / "run.json").exists():
            found = path
            if fresh:
                raise BenchError(
                    "this run exists", place=str(path), fix="give another name, or leave out --new"
                )
    elif not fresh:
        found = _newest_unfinished(results_dir, plan.config_sha256, retry_failed=retry_failed)
    if found is None:
        folder = _create(
            results_dir,
            run_name or f"{plan.suite}-{datetime.now(UTC):%Y%m%d-%H%M%S}",
            may_number=run_name is None,
        )
        return folder, _new_info(folder.path.name, plan, here), False
    folder = RunFolder(found)
    try:
        info = read_info(found)
        if info.parts:
            raise BenchError(
                "this run was put together from parts",
                place=str(found),
                fix="`harness submit` goes on with it",
            )
        _refuse_newer(info, folder)
        _refuse_other_suite(info, plan, found)
        _refuse_other_host(info, here, found)
    except BaseException:
        folder.close()
        raise
    return folder, info, True


def _newest_unfinished(results_dir: Path, config_sha256: str, *, retry_failed: bool) -> Path | None:
    candidates: list[tuple[str, str, Path]] = []
    for file in results_dir.glob("*/run.json"):
        try:
            info = read_info(file.parent)
        except BenchError:
            # a damaged neighbour is the report's to name; it must not keep a suite from running
            continue
        if info.config_sha256 != config_sha256 or info.parts:
            continue
        if info.status != "complete" or (retry_failed and _has_failed_jobs(file.parent)):
            candidates.append((info.created_at, info.run, file.parent))
    return max(candidates)[2] if candidates else None


def _has_failed_jobs(folder: Path) -> bool:
    latest = {record.id: record.state for record in read_records(folder)[0]}
    return any(state is not State.OK for state in latest.values())


def _create(results_dir: Path, name: str, *, may_number: bool) -> RunFolder:
    candidate, number = name, 1
    while True:
        path = results_dir / candidate
        try:
            path.mkdir(parents=True)
            return RunFolder(path)
        except FileExistsError:
            if (
                not may_number
            ):  # a folder without run.json: left by a run killed before it wrote it, or a stranger
                if any(not _is_of_a_run_that_never_began(entry.name) for entry in path.iterdir()):
                    raise BenchError(
                        "the folder exists and holds no run", place=str(path), fix="name another"
                    ) from None
                return RunFolder(path)
            number += 1
            candidate = f"{name}-{number}"


def _is_of_a_run_that_never_began(name: str) -> bool:
    return name in (".lock", ".reserve", "logs", "series") or (
        name.startswith(".run.json.") and name.endswith(".tmp")
    )


def _new_info(name: str, plan: Plan, here: Provenance) -> RunInfo:
    return RunInfo(
        run=name,
        suite=plan.suite,
        description=plan.description,
        created_at=now_utc(),
        config=plan.config,
        config_sha256=plan.config_sha256,
        pairs=list(plan.pairs),
        host=here.host,
        packages=here.packages,
        stacks=here.stacks,
        git=here.git,
        environment=here.environment,
        command=here.command,
        notes=list(plan.notes),
    )


def check_run_name(name: str) -> None:
    """Refuse a name that cannot be that of a folder below the results. Raises BenchError."""
    if "/" in name or name in (".", ".."):
        folder = Path(name)
        fix = (
            f"--results {folder.parent} --run {folder.name}"
            if folder.name.strip(".")
            else "--run NAME"
        )
        raise BenchError("a run has a name, not a path", place=f"--run {name}", fix=fix)
    if why := unfit_name(name, MAX_RUN_NAME_BYTES):
        raise BenchError(why, place=f"--run {name}", fix="another name, or none: SUITE-TIME")


def _refuse_newer(info: RunInfo, folder: RunFolder) -> None:
    """What this version does not understand it must not go on with: it would repeat jobs that are
    done.
    """
    if info.schema_version > SCHEMA_VERSION or folder.newer:
        what = f"{len(folder.newer)} of its jobs were" if folder.newer else "it was"
        raise BenchError(
            f"{what} recorded by a newer version of this program",
            place=str(folder.path),
            fix="resume it with that version, or start a new run with --new",
        )


def _refuse_other_suite(info: RunInfo, plan: Plan, path: Path) -> None:
    if suite_now(info.suite) != suite_now(plan.suite):
        raise BenchError(
            f"this run is of suite {info.suite}, not of {plan.suite}",
            place=str(path),
            fix="give another name, or start a new run with --new",
        )
    if info.config_sha256 != plan.config_sha256:
        raise BenchError(
            f"this run was made with another configuration of suite {info.suite}",
            place=str(path),
            fix="give another name, or start a new run with --new",
        )


def _refuse_other_host(info: RunInfo, here: Provenance, path: Path) -> None:
    changes = host_changes(info.host, here.host) + package_changes(info.packages, here.packages)
    if changes:
        more = f" and {len(changes) - 5} more" if len(changes) > 5 else ""
        raise BenchError(
            "since this run began the host or its packages changed: "
            + "; ".join(changes[:5])
            + more,
            place=str(path),
            fix="start a new run with --new",
        )


def host_changes(before: Host, now: Host) -> list[str]:
    """What makes `now` another machine than `before`, one phrase each."""
    changes: list[str] = []
    compare: list[tuple[str, Callable[[Host], object]]] = [
        ("CPU", lambda host: host.cpu),
        ("cores", lambda host: host.cores),
        ("operating system", lambda host: host.os),
        ("kernel", lambda host: host.kernel),
        (
            "GPUs",
            lambda host: ", ".join(f"{gpu.get('name')} {gpu.get('uuid')}" for gpu in host.gpus)
            or "none",
        ),
        ("driver", lambda host: host.driver),
        ("CUDA of the driver", lambda host: host.cuda_driver),
    ]
    for what, value in compare:
        if value(before) != value(now):
            changes.append(f"{what}: {value(before)} → {value(now)}")
    if now.gpus:
        # Cards' uuids tell hosts apart better: a container has a new host name at every start, and
        # the memory of some virtual machines grows as it is used.
        return changes
    if abs((before.memory_bytes or 0) - (now.memory_bytes or 0)) > MEMORY_TOLERANCE * (
        before.memory_bytes or 0
    ):
        changes.append(f"memory: {before.memory_bytes} → {now.memory_bytes} bytes")
    if before.name_sha256 != now.name_sha256:
        changes.append("host name")
    return changes


def package_changes(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Packages whose version is another, one phrase each."""
    return [
        f"{name}: {before.get(name, 'none')} → {now.get(name, 'none')}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
