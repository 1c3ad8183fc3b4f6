"""Errors that a job survives, or that follow another error, are in its log with a traceback."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.schema.workload import Inference
from harness.worker.inference import phase
from harness.worker.job import Job, Prepared


class Refusing:
    """Stands for an object on a card that is gone."""

    steps = 1

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"the card is gone ({name})")


def test_a_partial_result_that_cannot_be_read(capfd: pytest.CaptureFixture[str]) -> None:
    spec: Any = SimpleNamespace(warmup_steps=0, arm=SimpleNamespace(injected_delay_ms=0.0))
    job = Job(spec, Refusing(), Refusing())  # type: ignore[arg-type]
    clock, losses = Refusing(), SimpleNamespace(values=[])
    job.prepared = Prepared(None, {}, Refusing(), losses, clock)  # type: ignore[arg-type]
    result = job.partial()
    assert "torch" in result.packages
    said = capfd.readouterr().err
    assert "harness: the steps of the failed job could not be read to their end:\nTraceback" in said
    assert "harness: the partial result of the failed job could not be put together:\nTrace" in said
    assert "RuntimeError: the card is gone (finish)" in said
    assert "RuntimeError: the card is gone (timing)" in said


def test_inference_that_fails_before_its_process(capfd: pytest.CaptureFixture[str]) -> None:
    spec: Any = SimpleNamespace(
        inference=Inference(), device="cpu", workload=SimpleNamespace(training=None)
    )
    result = phase.measure(spec, Refusing(), None, None, {})
    assert (result.state, result.reason) == (
        "failed",
        "RuntimeError: the card is gone (eval_dataset)",
    )
    said = capfd.readouterr().err
    assert "harness: inference failed; the training stands:\nTraceback" in said
    assert "in _hand_over" in said


def test_memory_of_the_card_that_is_not_given_back(capfd: pytest.CaptureFixture[str]) -> None:
    phase._release("cuda", Refusing(), None)
    said = capfd.readouterr().err
    assert "harness: the memory of the card could not be given back before inference:\n" in said
    assert "RuntimeError: the card is gone (accelerator)" in said
