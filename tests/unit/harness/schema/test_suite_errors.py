"""Errors in YAML files: where they are, and that a long list of them stays readable."""

from __future__ import annotations

from harness.schema.suite_errors import MOST_FINDINGS, Finding, as_bench_error

PLACES = {(): "a.yaml:1", ("arms",): "a.yaml:3", ("arms", "ort", "backend"): "a.yaml:5"}


def test_a_finding_has_the_place_of_the_nearest_key_that_is_written() -> None:
    written = Finding(("arms", "ort", "backend"), "no such backend", "pytorch, onnxruntime")
    missing = Finding(("arms", "other", "stack"), "'stack' is missing")
    whole = Finding((), "no mapping")
    error = as_bench_error([written, missing, whole], PLACES, "a.yaml", "correct these keys")
    assert str(error).splitlines() == [
        "a.yaml:5: arms.ort.backend: no such backend",
        "  allowed: pytorch, onnxruntime",
        "a.yaml:3: arms.other.stack: 'stack' is missing",
        "a.yaml:1: no mapping",
        "  fix: correct these keys",
    ]


def test_a_finding_that_no_key_encloses_has_the_file() -> None:
    assert as_bench_error([Finding(("pairs",), "empty")], {}, "a.yaml").place == "a.yaml"


def test_a_long_list_is_cut_and_counted() -> None:
    findings = [Finding(("models", number), "unknown") for number in range(MOST_FINDINGS + 7)]
    lines = str(as_bench_error(findings, PLACES, "a.yaml")).splitlines()
    assert len(lines) == MOST_FINDINGS + 1
    assert lines[-1] == "and 7 more like these"
