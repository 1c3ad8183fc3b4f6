"""`python -m harness.worker.inference.child FOLDER`: export the model in FOLDER, compare both
engines, time them.

Reads `request.json`, `model/` and `batches.pt`; writes `result.json` (record.InferenceResult,
before every stage, so that what a crash leaves says where) and `logits.pt` (engine → logits of each
batch compared).
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import Any, Literal

from harness.schema.record import ENGINES, InferencePoint, InferenceResult
from harness.schema.workload import Strict
from harness.worker import process

MOST_LOGITS = 1 << 28  # kept of each engine for the metrics, 1 GiB in fp32: vocabularies are large


class Request(Strict):
    """What the child is to do. `model_class`: module:name; `first`: the engine that begins, an
    index of ENGINES.
    """

    model_class: str
    attention: str
    device: Literal["cpu", "cuda"]
    precision: Literal["fp32", "fp16"]
    opset: int
    threads: int | None
    seconds: float
    first: int


class EngineMeasurement:
    """One request on its way; `result` is what is known so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.request = Request.model_validate_json(
            (folder / "request.json").read_text(encoding="utf-8")
        )
        self.result = InferenceResult(
            state="failed", precision=self.request.precision, attention=self.request.attention
        )

    def note(self, **changes: Any) -> None:
        """Take in what became known, and write it down."""
        self.result = self.result.replace(**changes)
        (self.folder / "result.json").write_text(self.result.model_dump_json(), encoding="utf-8")

    def run(self) -> None:
        """Everything. Raises whatever ends it early."""
        import gc

        import torch

        from harness.worker.inference.engines import TorchEngine
        from harness.worker.inference.turns import Alternation, summarise

        self.note(reason="while the model was loaded")
        if self.request.threads is not None:
            torch.set_num_threads(self.request.threads)
        model = self._model()
        batches = torch.load(self.folder / "batches.pt", weights_only=True)
        session = self._session(model, batches["evaluation"][0])
        engines = TorchEngine(model, self.request.device), session
        self.note(reason="while logits were compared")
        self._compare(engines, batches["evaluation"])
        gc.collect()
        gc.freeze()
        gc.disable()
        points: list[InferencePoint] = []
        for batch_size, of_size in batches["points"]:
            self.note(reason=f"while batches of {batch_size} were timed")
            turns = Alternation(engines, of_size).run(self.request.seconds, self.request.first)
            one, other = (summarise(seconds, batch_size) for seconds in turns.seconds)
            points.append(
                InferencePoint(
                    batch_size=batch_size,
                    batches=len(turns.seconds[0]),
                    block_batches=turns.batches,
                    torch=one,
                    onnxruntime=other,
                )
            )
        self.note(state="ok", reason="", points=points)

    def _model(self) -> Any:
        import torch

        module, _, name = self.request.model_class.partition(":")
        kind = getattr(importlib.import_module(module), name)
        model = kind.from_pretrained(
            self.folder / "model", attn_implementation=self.request.attention
        )
        model.config.use_cache = False  # keys and values of a decoder are no logits
        dtype = {"fp32": torch.float32, "fp16": torch.float16}[self.request.precision]
        return model.to(device=self.request.device, dtype=dtype).eval()

    def _session(self, model: Any, sample: Any) -> Any:
        """The timed session, after a profiled one has shown where its nodes run."""
        import time

        import torch

        from harness.worker.inference import engines

        device, threads = (
            self.request.device,
            torch.get_num_threads() if self.request.device == "cpu" else None,
        )
        (self.folder / "onnx").mkdir()
        path = self.folder / "onnx" / "model.onnx"
        self.note(reason="in the export to ONNX")
        begin = time.perf_counter()
        opset = engines.export(model, sample, device, self.request.opset, path)
        self.note(export_s=time.perf_counter() - begin, model_bytes=engines.bytes_in(path.parent))
        self.note(reason="in a session of ONNX Runtime")
        profiled = engines.OrtEngine(path, device, threads, profile=self.folder / "profile")
        profiled(sample)
        proof = engines.prove(profiled.providers, profiled.placement(), device, opset, threads)
        self.note(proof=proof)
        del profiled  # its weights, too
        session = engines.OrtEngine(path, device, threads)
        self.note(session_s=session.seconds)
        return session

    def _compare(self, both: tuple[Any, Any], batches: list[Any]) -> None:
        import numpy as np
        import torch

        kept: dict[str, list[Any]] = {name: [] for name in ENGINES}
        size, samples, largest, difference = 0, 0, 0.0, 0.0
        for batch in batches:
            logits = [np.asarray(engine(batch), dtype=np.float32) for engine in both]
            size += logits[0].size
            if kept["torch"] and size > MOST_LOGITS:
                break
            samples += len(logits[0])
            largest = max(largest, float(np.abs(logits[0]).max()))
            difference = float(
                np.maximum(difference, np.abs(logits[0] - logits[1]).max())
            )  # keeps NaN
            for name, of_engine in zip(ENGINES, logits, strict=True):
                kept[name].append(torch.from_numpy(of_engine))
        torch.save({**kept, "largest": largest}, self.folder / "logits.pt")
        self.note(samples=samples, logit_difference=difference)


def main() -> None:
    """Exits with 0 once the result is written, whatever it says."""
    process.die_with_parent()
    if len(sys.argv) != 2:
        print("usage: python -m harness.worker.inference.child FOLDER", file=sys.stderr)
        sys.exit(2)
    measurement = EngineMeasurement(Path(sys.argv[1]))
    try:
        measurement.run()
    except BaseException as error:
        from harness.worker.failures import sentence

        traceback.print_exc()
        measurement.note(state="failed", reason=f"{measurement.result.reason}: {sentence(error)}")
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(
        0
    )  # tearing down torch and ONNX Runtime takes a second and can crash after the work is done


if __name__ == "__main__":
    main()
