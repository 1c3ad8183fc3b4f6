"""Which runs beside a run may hold its noise floor: runs of its host whose suite has an A/A pair
(report.analysis.noise_floor).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from harness.schema.record import Host, Pair, RunInfo

# runs, the latest: what was measured on a host before those says little of how noisy it is
MOST = 20


class Neighbours:
    """The A/A runs among `folders`, by host. Each run.json is read once, whatever number of runs
    asks for them.

    Nobody asked for these runs, so one that cannot be read is none.
    """

    def __init__(self, folders: Iterable[Path], run_file: str) -> None:
        self._of_host: dict[str, list[tuple[str, Path]]] = {}
        for folder in folders:
            if (info := _a_a_info(folder / run_file)) is not None:
                for key in host_keys(info.host):
                    self._of_host.setdefault(key, []).append((info.created_at, folder))

    def of(self, folder: Path, host: Host) -> tuple[Path, ...]:
        """The latest MOST of them on `host`, the latest first, without `folder` itself."""
        found = {entry for key in host_keys(host) for entry in self._of_host.get(key, ())}
        latest = sorted(found, key=lambda entry: entry[0], reverse=True)
        return tuple([other for _, other in latest if other != folder][:MOST])


def host_keys(host: Host) -> frozenset[str]:
    """What a host is known by: its cards, whose ids are their own wherever they are plugged in;
    without any its name.

    Two descriptions that share a key are of one host.
    """
    cards = frozenset(str(gpu["uuid"]) for gpu in host.gpus if gpu.get("uuid"))
    return cards or frozenset([host.name_sha256] if host.name_sha256 else [])


def same_host(one: Host, other: Host) -> bool:
    """Whether two runs were made on one host."""
    return bool(host_keys(one) & host_keys(other))


def declared_a_a(config: dict[str, Any], pair: Pair) -> bool:
    """Whether the suite `config` declares both arms of `pair` identical apart from their names."""
    declared = config.get("arms")
    sides = (
        [declared.get(arm) for arm in (pair.baseline, pair.candidate)]
        if isinstance(declared, dict)
        else []
    )
    known = [_nameless(arm) for arm in sides if isinstance(arm, dict)]
    return len(known) == 2 and known[0] == known[1]


def _nameless(arm: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in arm.items() if key != "name"}


def _a_a_info(path: Path) -> RunInfo | None:
    if not path.is_file():  # opening a named pipe would wait for somebody who writes to it
        return None
    try:
        fields = from_json(path.read_bytes())
        arms = [_nameless(arm) for arm in fields["config"]["arms"].values()]
        if not any(arm in arms[:index] for index, arm in enumerate(arms)):
            return None  # most runs: told without validating all of it
        info = RunInfo.model_validate(fields)
        return info if any(declared_a_a(info.config, pair) for pair in info.pairs) else None
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ):  # pydantic's ValidationError is a ValueError
        return None
