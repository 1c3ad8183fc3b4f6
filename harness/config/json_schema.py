"""The JSON schema of the suite format, so that editors complete and check while one types."""

from __future__ import annotations

from typing import Any

from harness.schema.suite import Suite


def suite_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12, https://json-schema.org) of a suite file as written.

    A file may leave out what it takes from the one it `extends`, and `name`s that equal their key:
    nothing is required here that the loader does not ask of the file itself.
    """
    schema = Suite.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Training Backend Bench suite"
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "a suite beside this one to start from",
    }
    schema.pop("required", None)
    for definition in ("Model", "Task", "Arm"):
        part = schema["$defs"][definition]
        # Entries may be partial overrides of the extended file's.
        part.pop("required", None)
    for section in ("models", "tasks", "arms", "workloads", "pairs"):
        schema["properties"][section].pop("minProperties", None)
    return schema
