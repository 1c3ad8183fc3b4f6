"""Errors in YAML files: where they are, and that a long list of them stays readable."""

from __future__ import annotations

from harness.schema.input_errors import MOST_ERRORS, InputError, as_bench_error

PLACES = {(): "a.yaml:1", ("arms",): "a.yaml:3", ("arms", "ort", "backend"): "a.yaml:5"}


def test_a_finding_has_the_place_of_the_nearest_key_that_is_written() -> None:
    written = InputError(("arms", "ort", "backend"), "no such backend", "pytorch, onnxruntime")
    missing = InputError(("arms", "other", "stack"), "'stack' is missing")
    whole = InputError((), "no mapping")
    error = as_bench_error([written, missing, whole], PLACES, "a.yaml", "correct these keys")
    assert str(error).splitlines() == [
        "a.yaml:5: arms.ort.backend: no such backend",
        "  allowed: pytorch, onnxruntime",
        "a.yaml:3: arms.other.stack: 'stack' is missing",
        "a.yaml:1: no mapping",
        "  fix: correct these keys",
    ]


def test_a_finding_that_no_key_encloses_has_the_file() -> None:
    assert as_bench_error([InputError(("pairs",), "empty")], {}, "a.yaml").place == "a.yaml"


def test_a_long_list_is_cut_and_counted() -> None:
    errors = [InputError(("models", number), "unknown") for number in range(MOST_ERRORS + 7)]
    lines = str(as_bench_error(errors, PLACES, "a.yaml")).splitlines()
    assert len(lines) == MOST_ERRORS + 1
    assert lines[-1] == "and 7 more like these"
