"""The job's side of inference: hand the trained model to the child process, and judge what comes
back.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.launcher.outcome import signal_name
from harness.schema.job import JobSpec
from harness.schema.record import ENGINES, InferenceResult
from harness.schema.workload import Inference
from harness.setup.stack import cuda11_library_path
from harness.worker.failures import log_hidden, sentence
from harness.worker.inference.agreement import allowed_difference, disagreement
from harness.worker.inference.child import Request

MOST_BATCHES = 64  # different ones that a batch size is timed on
OF_THE_LAUNCHER = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
)


def measure(
    spec: JobSpec,
    trainer: Any,
    model: Any,
    metrics: Callable[[Any], dict[str, float]] | None,
    trained: Mapping[str, float],
) -> InferenceResult:
    """Both engines on the job's trained model and validation set, by `spec.inference`. The trainer
    is of no use after.

    `metrics`: as in tasks.base.TaskData. `trained`: the metrics of the arm's own evaluation, {} if
    there was none. Raises nothing of its own: what fails here is in the result, for the training is
    done and stands.
    """
    assert spec.inference is not None
    begin, begin_ns = time.perf_counter(), time.monotonic_ns()
    with tempfile.TemporaryDirectory(prefix="bench-inference-") as name:
        folder = Path(name)
        try:
            labels = _hand_over(spec, trainer, model, folder)
            _release(spec.device, trainer, model)
            result = _run_child(folder)
            if result.samples:
                result = _judge(result, spec, folder, Reference(labels, metrics, trained))
        except Exception as error:
            log_hidden("inference failed; the training stands")
            result = InferenceResult(state="failed", reason=sentence(error))
    return result.replace(begin_ns=begin_ns, wall_s=time.perf_counter() - begin)


def precision_of(inference: Inference, spec: JobSpec) -> Literal["fp32", "fp16"]:
    """Of both engines: as asked for, else fp16 where the arm trained in fp16, else fp32 (no bf16 in
    ONNX Runtime).
    """
    return inference.precision or ("fp16" if spec.workload.training.precision == "fp16" else "fp32")


def _hand_over(spec: JobSpec, trainer: Any, model: Any, folder: Path) -> list[Any]:
    """Write what the child reads; the labels of the validation set, batch by batch."""
    import torch

    assert spec.inference is not None
    inference, training = spec.inference, spec.workload.training
    sets = trainer.eval_dataset
    which = (
        next(iter(sets)) if isinstance(sets, dict) else None
    )  # the first of several validation sets
    rows = trainer.get_eval_dataloader(
        which
    ).dataset  # without the columns that the model does not take
    collate = trainer.data_collator
    count = len(rows)

    def batches(size: int, most: int | None = None) -> list[dict[str, Any]]:
        """Of `size` samples each, in order; without the last if it is shorter, where `most` are
        enough.
        """
        ends = range(size, count + 1, size) if most else range(size, count + size, size)
        return [
            collate([rows[at] for at in range(end - size, min(end, count))])
            for end in list(ends)[:most]
        ]

    def inputs(of: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {name: tensor.contiguous() for name, tensor in batch.items() if name != "labels"}
            for batch in of
        ]

    evaluation = batches(training.eval_batch_size)
    sizes = dict.fromkeys(
        min(size, count) for size in inference.batch_sizes or (1, training.eval_batch_size)
    )
    points = [(size, inputs(batches(size, MOST_BATCHES))) for size in sizes]
    torch.save({"evaluation": inputs(evaluation), "points": points}, folder / "batches.pt")
    model.save_pretrained(folder / "model")
    request = Request(
        model_class=f"{type(model).__module__}:{type(model).__qualname__}",
        attention=spec.arm.attention,
        device=spec.device,
        precision=precision_of(inference, spec),
        opset=inference.opset,
        threads=spec.threads or (len(spec.cores) if spec.cores else None),
        seconds=inference.seconds,
        first=spec.replicate % len(ENGINES),
    )
    (folder / "request.json").write_text(request.model_dump_json(), encoding="utf-8")
    return [batch["labels"].numpy() for batch in evaluation]


def _release(device: str, trainer: Any, model: Any) -> None:
    """Give the card back what the training took: the child needs it."""
    if device != "cuda":
        return
    import gc

    import torch

    try:
        trainer.accelerator.free_memory()
        trainer.optimizer = trainer.lr_scheduler = trainer.model_wrapped = trainer.model = None
        model.to("cpu")
        gc.collect()
        torch.cuda.empty_cache()
    except Exception:  # what stays on the card may still leave the child room enough
        log_hidden("the memory of the card could not be given back before inference")


def _run_child(folder: Path) -> InferenceResult:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in OF_THE_LAUNCHER and not name.startswith("TORCHELASTIC_")
    }
    before = environment.get("LD_LIBRARY_PATH", "").split(":")
    # A PyTorch arm's own process has not got these, and shall not: they belong to ONNX Runtime.
    libraries = [
        *(each for each in cuda11_library_path() if each not in before),
        *filter(None, before),
    ]
    if libraries:
        environment["LD_LIBRARY_PATH"] = ":".join(libraries)
    command = [sys.executable, "-m", "harness.worker.inference.child", str(folder)]
    code = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, check=False
    ).returncode
    written = folder / "result.json"
    if not written.is_file():
        return InferenceResult(
            state="failed", reason=f"its process ended with {code} and said nothing"
        )
    result = InferenceResult.model_validate_json(written.read_text(encoding="utf-8"))
    if code == 0:
        return result
    how = f"killed by {signal_name(-code)}" if code < 0 else f"ended with {code}"
    return result.replace(state="failed", reason=f"its process was {how} {result.reason}")


@dataclass(frozen=True)
class Reference:
    """What the engines are held against.

    Attributes:
        labels: Of the validation set, batch by batch.
        metrics: As in tasks.base.TaskData.
        trained: The metrics of the arm's own evaluation; {}: there was none.
    """

    labels: list[Any]
    metrics: Callable[[Any], dict[str, float]] | None
    trained: Mapping[str, float]


def _judge(
    result: InferenceResult, spec: JobSpec, folder: Path, reference: Reference
) -> InferenceResult:
    """The result with both engines' metrics and whether they agree."""
    import torch
    from transformers import EvalPrediction
    from transformers.trainer_pt_utils import nested_concat

    saved = torch.load(folder / "logits.pt", weights_only=True)

    def joined(parts: list[Any]) -> Any:
        whole = parts[0]
        for part in parts[1:]:  # pads where the lengths differ, as Trainer's own evaluation does
            whole = nested_concat(whole, part, padding_index=-100)
        return whole

    of_engine = {}
    for engine in ENGINES:
        parts = [part.numpy() for part in saved[engine]]
        truth = joined(reference.labels[: len(parts)])
        prediction = EvalPrediction(predictions=joined(parts), label_ids=truth)
        of_engine[engine] = reference.metrics(prediction) if reference.metrics else {}
    assert result.samples is not None
    assert spec.inference is not None
    # The arm's own evaluation ran in the precision of the training.
    precisions = {precision_of(spec.inference, spec), spec.workload.training.precision}
    precision = "fp32" if precisions == {"fp32"} else "fp16"
    tolerance = spec.inference.tolerance
    allowed = allowed_difference(result.precision or precision, saved["largest"], tolerance)
    difference = math.nan if result.logit_difference is None else result.logit_difference
    whole = result.samples == sum(len(each) for each in reference.labels)
    trained = reference.trained if whole else {}
    said = disagreement(difference, allowed, of_engine, trained, precision, result.samples)
    return result.replace(
        metrics=of_engine, logit_tolerance=allowed, agree=not said, disagreement=said
    )
