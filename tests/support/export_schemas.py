"""JSON schemas of the formats that other tools read."""

from __future__ import annotations

# What https://bencher.dev/bmf.json asks for, and what the reference says of lengths
# (https://bencher.dev/docs/reference/bencher-metric-format); stricter: no further key, ends in
# pairs.
BMF_SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "minProperties": 1,
    "propertyNames": {"minLength": 1, "maxLength": 1024},
    "additionalProperties": {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": "^[a-z0-9-]{1,64}$"},
        "additionalProperties": {
            "type": "object",
            "properties": {
                "value": {"type": "number"},
                "lower_value": {"type": "number"},
                "upper_value": {"type": "number"},
            },
            "required": ["value"],
            "dependencies": {"lower_value": ["upper_value"], "upper_value": ["lower_value"]},
            "additionalProperties": False,
        },
    },
}
# https://github.com/benchmark-action/github-action-benchmark, README: "name", "unit" and "value"
# are required, "range" and "extra" are optional texts.
ACTION_SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "unit": {"type": "string", "minLength": 1},
            "value": {"type": "number", "exclusiveMinimum": 0},
            "range": {"type": "string"},
            "extra": {"type": "string"},
        },
        "required": ["name", "unit", "value"],
        "additionalProperties": False,
    },
}
