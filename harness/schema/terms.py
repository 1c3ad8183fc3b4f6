"""The names that suites and records had before, and those that replaced them.

Only new names are written. Old ones are read: in suites and in `--set`, where the reader is told
the new name (harness.config), and in recorded runs. What identifies a job or a configuration is
computed over the old names, so a run that began before the names changed goes on, and nights before
and after have the same history.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Path = tuple[str, ...]

# Of suites: a path of keys and the path that replaced it; what encloses another comes last.
SETTINGS: dict[Path, Path] = {
    ("measurement", "parity", "twin_steps"): ("measurement", "parity", "steps"),
    ("measurement", "adaptive", "min_pairs"): ("measurement", "adaptive", "min_replicates"),
    ("measurement", "adaptive", "max_pairs"): ("measurement", "adaptive", "max_replicates"),
    ("measurement", "launches"): ("measurement", "replicates"),
    ("measurement", "blocks"): ("measurement", "interleaved"),
}
PROTOCOL: Path = ("measurement", "protocol")
PROTOCOLS = {"epochs": "sequential", "blocks": "interleaved"}
# Of suites in configs/: the name before and the name now.
SUITES = {"glue-sst2-blocks": "glue-sst2-interleaved"}
# Of suites: settings that came later, and their values that change nothing.
ADDED: dict[Path, Any] = {
    ("measurement", "interleaved", "keep_awake"): False,
    ("measurement", "interleaved", "alone_seconds"): "auto",
}
# Of records and of the specifications of jobs.
PARTNER, GROUP = "partner", "group"  # one other arm; since there are groups, all arms
FIELDS = {"launch": "replicate", "twin": "parity_run", "blocks": "turns"}
# Of how adaptive stopping ended for a pair, in run.json.
STOPPING = {"pairs": "replicates", "needed_pairs": "needed_replicates"}


@dataclass(frozen=True)
class OldName:
    """An old name that was found: the path `was` is the path `now`.

    Attributes:
        was: The path of keys as it was written.
        now: The path of keys that it has now.
        text: What to tell who wrote it.
        clashes: Whether the new name is given as well.
    """

    was: Path
    now: Path
    text: str
    clashes: bool = False


def old_name(path: tuple[str | int, ...]) -> OldName | None:
    """The old name that a path of keys has, or that one of the keys above it has."""
    for was, now in SETTINGS.items():
        if path[: len(was)] == was:
            below = tuple(map(str, path[len(was) :]))
            return OldName((*was, *below), (*now, *below), _text(was, now))
    return None


def in_suite(data: dict[str, Any]) -> Iterator[OldName]:
    """Give the keys of a suite, or of a part of one, their new names in place.

    Yields:
        Every old name that was there. A key whose new name is there too stays, and `clashes`.
    """
    for was, now in SETTINGS.items():
        parent = _inside(data, was[:-1])
        if parent is None or was[-1] not in parent:
            continue
        clashes = now[-1] in parent
        if not clashes:
            parent[now[-1]] = parent.pop(was[-1])
        yield OldName(was, now, _text(was, now), clashes)
    parent = _inside(data, PROTOCOL[:-1])
    old = parent.get(PROTOCOL[-1]) if parent is not None else None
    if parent is not None and isinstance(old, str) and old in PROTOCOLS:
        parent[PROTOCOL[-1]] = PROTOCOLS[old]
        text = f"the protocol `{old}` is called `{PROTOCOLS[old]}` now"
        yield OldName(PROTOCOL, PROTOCOL, text)


def suite_in_old_names(config: dict[str, Any]) -> dict[str, Any]:
    """A resolved suite as it was written before the names changed, for its hash; without settings
    that there were not, where they change nothing.
    """
    config = _copied(config)
    for added, nothing in ADDED.items():
        parent = _inside(config, added[:-1])
        if parent is not None and parent.get(added[-1]) == nothing:
            parent.pop(added[-1], None)
    if "suite" in config:
        config["suite"] = _suite_before(config["suite"])
    for was, now in SETTINGS.items():
        parent = _inside(config, now[:-1])
        if parent is not None and now[-1] in parent:
            parent[was[-1]] = parent.pop(now[-1])
    measurement = _inside(config, PROTOCOL[:-1])
    if measurement is not None:
        before = {new: old for old, new in PROTOCOLS.items()}
        protocol = measurement.get(PROTOCOL[-1])
        measurement[PROTOCOL[-1]] = before.get(str(protocol), protocol)
    return config


def suite_now(name: str) -> str:
    """What a suite is called now; runs and nights that were recorded before have its old name."""
    return SUITES.get(name, name)


def _suite_before(name: Any) -> Any:
    """What a suite was called first, for what is computed over its name."""
    return next((before for before, now in SUITES.items() if now == name), name)


def job_in_old_names(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a job's specification as they were called before, for its id."""
    before = {new: old for old, new in FIELDS.items()}
    found = {before.get(name, name): value for name, value in fields.items()}
    return {**found, "suite": _suite_before(found["suite"])} if "suite" in found else found


def record_in_new_names(data: Any, version: int) -> Any:
    """The fields of a record, as `version` of the schema calls them; anything else as it is."""
    if not isinstance(data, dict) or not any(old in data for old in (*FIELDS, PARTNER)):
        return data
    renamed = {FIELDS.get(name, name): value for name, value in data.items() if name != PARTNER}
    if isinstance(unpublished := data.get("unpublished"), list):
        now = {**FIELDS, PARTNER: GROUP}
        renamed["unpublished"] = [now.get(name, name) for name in unpublished]
    arm, partner = data.get("arm"), data.get(PARTNER)
    if partner is not None:
        name = arm.get("name") if isinstance(arm, dict) else getattr(arm, "name", None)
        renamed[GROUP] = [name, partner]
    return {**renamed, "schema_version": version}


def turns_in_new_names(data: Any) -> Any:
    """What a job did in its turns: `first` of two jobs is the place 0, or else 1."""
    if not isinstance(data, dict) or not isinstance(data.get("first"), list):
        return data
    place = [0 if first else 1 for first in data["first"]]
    return {**{name: value for name, value in data.items() if name != "first"}, "place": place}


def run_in_new_names(data: Any, version: int) -> Any:
    """The fields of run.json with its suite as `version` of the schema calls them."""
    if not isinstance(data, dict) or not isinstance(data.get("config"), dict):
        return data
    config, told = _copied(data["config"]), data.get("measurement")
    renamed = list(in_suite(config))
    changes: dict[str, Any] = {"config": config}
    if isinstance(told, dict) and told.get("protocol") in PROTOCOLS:
        changes["measurement"] = {**told, "protocol": PROTOCOLS[told["protocol"]]}
        renamed.append(OldName(PROTOCOL, PROTOCOL, ""))
    stopping = data.get("stopping")
    if isinstance(stopping, list) and any(
        isinstance(pair, dict) and pair.keys() & STOPPING.keys() for pair in stopping
    ):
        changes["stopping"] = [
            {STOPPING.get(name, name): value for name, value in pair.items()}
            if isinstance(pair, dict)
            else pair
            for pair in stopping
        ]
        renamed.append(OldName(("stopping",), ("stopping",), ""))
    return {**data, **changes, "schema_version": version} if renamed else data


def _text(was: Path, now: Path) -> str:
    return f"`{'.'.join(was)}` is called `{'.'.join(now)}` now"


def _inside(data: Any, path: Path) -> dict[str, Any] | None:
    """The mapping at a path, if there is one."""
    for key in path:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else None


def _copied(config: dict[str, Any]) -> dict[str, Any]:
    """A suite whose mappings down to those that hold renamed keys can be changed."""
    measurement = config.get("measurement")
    if not isinstance(measurement, dict):
        return dict(config)
    copied = {
        key: dict(value) if isinstance(value, dict) else value for key, value in measurement.items()
    }
    return {**config, "measurement": copied}
