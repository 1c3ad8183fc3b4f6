"""The work that is estimated without earlier runs, under static and dynamic padding."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import worker_helpers as worker

from harness.planning.estimate import (
    GLUE,
    LENGTHS,
    NOMINAL_START_S,
    STAND_IN_SAMPLES,
    TARGET_LENGTH,
    UNKNOWN_LENGTH,
    UNKNOWN_SAMPLES,
    estimate_s,
    expected_longest,
    length_of_batch,
    steps_of,
)
from harness.schema.job import JobSpec
from harness.worker import tasks
from harness.worker.tasks import entity_corpus, translation_corpus

DYNAMIC = {"pad_to_max_length": False, "max_seq_length": 512, "batch_size": 8}


def _job(kind: str, shape: str, **changes: Any) -> JobSpec:
    return JobSpec.model_validate(worker.spec_of_kind(Path("cache"), kind, shape, **changes))


def test_the_longest_of_a_batch_is_that_of_drawn_batches() -> None:
    draw = np.random.default_rng(0)
    variance = math.log(1 + 0.6**2)
    drawn = draw.lognormal(math.log(40) - variance / 2, math.sqrt(variance), size=(20_000, 8))
    assert drawn.mean() == pytest.approx(40, rel=0.02)
    assert expected_longest(40, 24, 8, 1e9) == pytest.approx(drawn.max(axis=1).mean(), rel=0.02)
    cut = np.minimum(drawn, 64).max(axis=1)
    assert expected_longest(40, 24, 8, 64) == pytest.approx(cut.mean(), rel=0.02)
    rounded = (8 * np.ceil(cut / 8)).mean()
    assert expected_longest(40, 24, 8, 64, 8) == pytest.approx(rounded, rel=0.02)
    assert expected_longest(40, 24, 1, 1e9) == pytest.approx(40, rel=0.02)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("glue", "bert-tiny"),
        ("token-classification", "bert-tiny"),
        ("translation", "t5-tiny"),
        ("translation", "bart-tiny"),
    ],
)
def test_batches_of_the_stand_in_are_as_long_as_assumed(
    kind: str, shape: str, tmp_path: Path
) -> None:
    task: dict[str, Any] = {"kind": kind, "source": "synthetic", "train_samples": 2000}
    if kind == "translation":
        task["options"] = {"max_target_length": 512}
    job = JobSpec.model_validate(
        worker.spec(tmp_path, model={"architecture": shape}, task=task, training=DYNAMIC)
    )
    rows = tasks.get(kind)(job).load().train
    columns = ("input_ids", "labels") if kind == "translation" else ("input_ids",)
    for column, assumed in zip(columns, length_of_batch(job.workload), strict=False):
        lengths = np.array([len(row) for row in rows[column]])
        order = np.random.default_rng(0).permutation(len(lengths)).reshape(-1, 8)
        assert assumed == pytest.approx(lengths[order].max(axis=1).mean(), rel=0.07), column


def test_padding_to_the_longest_of_a_batch_is_less_work() -> None:
    static = _job("token-classification", "bert-large-cased", training={"max_seq_length": 512})
    dynamic = _job("token-classification", "bert-large-cased", training=DYNAMIC)
    static = JobSpec.model_validate(
        static.model_dump() | {"workload": _with(static, batch_size=8, pad_to_max_length=True)}
    )
    assert length_of_batch(static.workload) == (512, 512)
    length, _ = length_of_batch(dynamic.workload)
    assert length == pytest.approx(44, abs=2)
    seconds = [
        estimate_s([job], Path("nowhere"), "s")[0] - NOMINAL_START_S for job in (static, dynamic)
    ]
    assert seconds[0] / seconds[1] == pytest.approx(512 / length)


def _with(job: JobSpec, **training: Any) -> dict[str, Any]:
    workload = job.workload.model_dump()
    return {**workload, "training": {**workload["training"], **training}}


def test_what_is_assumed_where_nothing_is_known() -> None:
    own = _job(
        "token-classification",
        "bert-tiny",
        task={"source": "hub", "dataset": "org/own"},
        training=DYNAMIC,
    )
    assert length_of_batch(own.workload)[0] == expected_longest(*UNKNOWN_LENGTH, 8, 512)
    blocks = _job("causal-lm", "gpt2-tiny", training=DYNAMIC)
    assert length_of_batch(blocks.workload) == (512, 512)
    half = _job("token-classification", "bert-tiny", training={**DYNAMIC, "precision": "fp16"})
    whole = _job("token-classification", "bert-tiny", training=DYNAMIC)
    more = length_of_batch(half.workload)[0] - length_of_batch(whole.workload)[0]
    assert 3 < more < 5  # rounded up to a multiple of 8


def test_a_decoder_is_work_of_its_own() -> None:
    def flops(**options: int) -> float:
        task = {"options": options}
        job = _job("translation", "bart-large", task=task, training={"max_seq_length": 64})
        return estimate_s([job], Path("nowhere"), "s")[0] - NOMINAL_START_S

    # 12 layers a side: 12 hidden² parameters in one of the encoder, 16 in one of the decoder.
    encoder, decoder = 12 * 64, 16 * 32
    assert flops(max_target_length=64) / flops(max_target_length=32) == pytest.approx(
        (encoder + 2 * decoder) / (encoder + decoder)
    )


def test_sizes_and_names_are_those_of_the_stand_ins() -> None:
    assert {
        "token-classification": entity_corpus.SIZES["train"],
        "translation": translation_corpus.SIZES["train"],
    } == STAND_IN_SAMPLES
    assert GLUE.keys() < LENGTHS.keys()
    training = {"max_steps": None, "epochs": 1, "batch_size": 8}
    every = {"train_samples": None}
    entities = _job("token-classification", "bert-tiny", task=every, training=training)
    assert steps_of(entities) == math.ceil(14_041 / 8)
    own = {"source": "hub", "dataset": "org/own"}
    unknown = _job("token-classification", "bert-tiny", task=every | own, training=training)
    assert steps_of(unknown) == UNKNOWN_SAMPLES / 8


def test_the_target_length_is_the_tasks_own_default() -> None:
    assert tasks.get("translation").Options().max_target_length == TARGET_LENGTH
