"""One job: imports → data → model → train → evaluate → save, and what is known of it meanwhile."""

from __future__ import annotations

import contextlib
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.launcher.channel import Channel
from harness.schema.job import JobSpec
from harness.schema.record import (
    Engagement,
    Fingerprint,
    InferenceResult,
    Memory,
    ModelShape,
    Sources,
    Timing,
    WorkerResult,
)
from harness.worker import arguments, tasks
from harness.worker.backends.base import Backend
from harness.worker.failures import NotEngagedError, log_hidden
from harness.worker.model import build
from harness.worker.process import Inbox
from harness.worker.ranks import Ranks, highest, proof_of_all

PACKAGES = (
    "torch transformers optimum onnxruntime onnxruntime-training onnxruntime-training-cpu "
    "torch-ort onnx datasets "
    "tokenizers accelerate numpy"
).split()


class Job:
    """Runs a spec with its backend; `run` returns the result or raises, `partial` is what there is
    until then.
    """

    def __init__(
        self, spec: JobSpec, backend: Backend, channel: Channel, inbox: Inbox | None = None
    ) -> None:
        """`inbox`: where the runner's control messages arrive, which a job with a partner waits
        for.
        """
        self.spec, self.backend, self.channel = spec, backend, channel
        self._inbox = inbox
        self._ranks = Ranks()
        self._gate: Any = None
        self.engagement: Engagement | None = None
        self._clock: Any = None
        self._losses: Any = None
        self._trainer: Any = None
        self._data: Any = None
        self._task: Any = None
        self._seconds: dict[str, float] = {}
        self._train_metrics: dict[str, float] = {}
        self._metrics: dict[str, float] = {}
        self._eval_runtime_s: float | None = None
        self._fingerprint: dict[str, Any] = {}
        self._memory = Memory()
        self._shape: ModelShape | None = None
        self._remarks: list[str] = []
        self._inference: InferenceResult | None = None

    @contextlib.contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self.channel.send("phase", name=name)
        begin = time.perf_counter()
        yield
        self._seconds[name] = time.perf_counter() - begin

    def run(self) -> WorkerResult:
        """Do the job. Raises whatever ends it early."""
        spec = self.spec
        arguments.check_precision(spec)
        with self._phase("imports"):
            self._import()
        with self._phase("data"):
            task = self._task = tasks.get(spec.workload.task.kind)(spec)
            self._data = task.load()
        with self._phase("model"):
            model, self._remarks = build.build(
                spec, self._data.tokenizer, task.auto_class, task.model_config(self._data)
            )
            self._fingerprint |= {
                "initial_weights_sha256": build.weights_sha256(model),
                "attention": getattr(model.config, "_attn_implementation", None),
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
            }
            self._shape = task.shape(model.config.to_dict(), self._data)
        with tempfile.TemporaryDirectory(prefix="bench-trainer-") as folder:
            self._prepare(model, Path(folder))
            if spec.do_train:
                with self._phase("train"):
                    self._train()
            if spec.do_eval and spec.workload.training.evaluate:
                with self._phase("evaluate"):
                    self._evaluate()
        if spec.output_dir is not None and self._ranks.main:
            with self._phase("save"):
                # Not trainer.save_model: ORTTrainer's writes no config. The module itself is
                # trained in every arm.
                model.save_pretrained(spec.output_dir)
                self._data.tokenizer.save_pretrained(spec.output_dir)
        self._ranks.wait()  # one that left earlier would take the others' connections with it
        if spec.inference is not None and not spec.twin and self._ranks.main:
            from harness.worker.inference import phase

            with self._phase("inference"):
                self._inference = phase.measure(
                    spec, self._trainer, model, self._data.metrics, self._metrics
                )
        return self._result()

    def _import(self) -> None:
        import torch

        if self.spec.threads is not None:
            torch.set_num_threads(self.spec.threads)
        if self.spec.device == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("torch sees no CUDA device")
        self._ranks = Ranks.begin(self.spec)
        self.backend.trainer_class()
        self.backend.prepare()

    def _prepare(self, model: Any, folder: Path) -> None:
        from harness.worker.instruments.data_order import OrderRecorder
        from harness.worker.instruments.loss_recorder import LossRecorder
        from harness.worker.instruments.step_clock import StepClock
        from harness.worker.instruments.turn_clock import Gate, TurnClock

        settings = arguments.build(self.spec, self.backend, folder)
        self._fingerprint["training_arguments"] = arguments.decisive(settings)
        self._trainer = self.backend.trainer_class()(
            model=model,
            args=settings,
            train_dataset=self._data.train,
            eval_dataset=self._data.validation,
            data_collator=_delayed(
                self._task.collator(self._data), self.spec.arm.injected_delay_ms / 1e3
            ),
            compute_metrics=self._data.metrics,
            preprocess_logits_for_metrics=_logits_alone,
        )
        cuda = self.spec.device == "cuda"
        self._order = OrderRecorder(self._trainer)
        self._losses = LossRecorder(self._trainer, cuda)
        if self.spec.partner is not None:
            assert self._inbox is not None
            self._gate = Gate(self.spec, self.channel, self._inbox)
            self._clock = TurnClock(self.channel, self._losses, cuda, self._prove, self._gate)
        else:
            self._clock = StepClock(self.channel, self._losses, cuda, self._prove, self._ranks)
        self._clock.attach(self._trainer)
        for callback in self.backend.callbacks():
            self._trainer.add_callback(callback)

    def _train(self) -> None:
        self._ranks.wait()  # or the time that one rank starts later than another would be set-up
        self._clock.start()
        self._train_metrics = self._trainer.train().metrics
        self._clock.finish()
        if self._gate is not None:
            self._gate.release()
        self._losses.finish()
        self._prove(self._clock.steps)
        self._memory = _peaks(self.spec.device)
        if self._ranks.size > 1:
            self._gather()
        self._fingerprint |= {
            "optimizer": arguments.optimizer_name(self._trainer),
            "dtype_policy": arguments.dtype_policy(self._trainer),
            "data_order_sha256": self._order.sha256(
                sum(self._losses.samples), self._data.sources.data_sha256
            ),
        }
        self._clock.send_series()

    def _gather(self) -> None:
        """Make what was measured that of all ranks: the slowest rank's times, the highest peaks,
        losses, samples.
        """
        ranks = self._ranks
        self._clock.gather()
        self._losses.gather(ranks)
        self._memory = highest(ranks.exchange(self._memory))
        own = self._train_metrics["train_runtime"]
        slowest = max(ranks.exchange(own))
        samples_per_s = self._train_metrics["train_samples_per_second"] * own / slowest
        self._train_metrics |= {"train_runtime": slowest, "train_samples_per_second": samples_per_s}
        ranks.same("initial weights", self._fingerprint["initial_weights_sha256"])
        ranks.same(
            "order of the data",
            self._order.sha256(sum(self._losses.samples), self._data.sources.data_sha256),
        )

    def _prove(self, step: int) -> None:
        """Take the proof of every rank after a step. Raises NotEngagedError if one fails."""
        self._ranks.check_wrapping(self._losses.trained)
        proof = proof_of_all(self._ranks.exchange(self.backend.engagement(self._trainer, step)))
        if proof is None:
            return
        earlier = self.engagement
        self.engagement = proof.model_copy(
            update={
                "checked_after_steps": [
                    *(earlier.checked_after_steps if earlier else []),
                    *proof.checked_after_steps,
                ],
                "reasons": [*(earlier.reasons if earlier else []), *proof.reasons],
            }
        )
        if not proof.engaged:
            raise NotEngagedError("; ".join(proof.reasons))

    def _evaluate(self) -> None:
        bookkeeping = (
            "runtime samples_per_second steps_per_second jit_compilation_time "
            "model_preparation_time"
        ).split()
        for ending, samples in {"": self._data.validation, **self._data.further}.items():
            found = self._trainer.evaluate(samples)
            self._eval_runtime_s = (self._eval_runtime_s or 0.0) + found.get("eval_runtime", 0.0)
            values = {
                name.removeprefix("eval_"): value
                for name, value in found.items()
                if name.startswith("eval_")
            }
            scores = self._task.scores(
                {k: float(value) for k, value in values.items() if k not in bookkeeping}
            )
            self._metrics |= {
                f"{name}_{ending}" if ending else name: value for name, value in scores.items()
            }

    def is_fallback(self, error: BaseException) -> bool:
        """Whether an error means that the backend could not take the model; never once it was
        proven to run it.
        """
        return self.engagement is None and self.backend.is_fallback(error)

    def partial(self) -> WorkerResult:
        """What is known of a job that failed. Sends the steps it did; raises nothing."""
        try:
            if self._clock is not None and self._clock.steps:
                self._clock.finish()
                self._memory = _peaks(self.spec.device)
                self._clock.send_series()
        except Exception:  # the GPU may refuse everything after an error
            log_hidden("the steps of the failed job could not be read to their end")
        try:
            return self._result()
        except Exception:
            log_hidden("the partial result of the failed job could not be put together")
            return WorkerResult(engagement=self.engagement, packages=_packages())

    def _result(self) -> WorkerResult:
        timing = (
            self._clock.timing(self.spec.warmup_steps)
            if self._clock and self._clock.steps
            else Timing()
        )
        losses = self._losses.values if self._losses else []
        # Trainer's own time has the waiting of a gated job in it, and its steps are not what was
        # planned.
        end_to_end = self._train_metrics if self._gate is None else {}
        return WorkerResult(
            timing=timing.model_copy(
                update={
                    "imports_s": self._seconds.get("imports"),
                    "data_s": self._seconds.get("data"),
                    "model_s": self._seconds.get("model"),
                    "train_runtime_s": end_to_end.get("train_runtime"),
                    "train_samples_per_s": end_to_end.get("train_samples_per_second"),
                    "eval_runtime_s": self._eval_runtime_s,
                }
            ),
            memory=self._memory,
            engagement=self.engagement,
            fingerprint=Fingerprint(**self._fingerprint),
            sources=self._data.sources.model_copy(update={"remarks": self._remarks})
            if self._data
            else Sources(),
            metrics=self._metrics,
            main_metrics=list(self._data.main_metrics) if self._metrics else [],
            chance=dict(self._data.chance) if self._metrics else {},
            first_loss=losses[0] if losses else None,
            last_loss=losses[-1] if losses else None,
            losses=list(losses) if self.spec.twin else None,
            packages=_packages(),
            shape=self._shape,
            inference=self._inference,
        )


def _logits_alone(outputs: Any, labels: Any) -> Any:
    """Of a model's outputs but the loss the first: T5's hidden states of a whole validation set
    would take GBs.
    """
    return outputs[0] if isinstance(outputs, tuple) else outputs


def _delayed(collate: Callable[[Any], Any], seconds: float) -> Callable[[Any], Any]:
    """The collator, with the fault that the arm asks for: a sleep before every batch."""

    def slow(features: Any) -> Any:
        time.sleep(seconds)
        return collate(features)

    return slow if seconds else collate


def _peaks(device: str) -> Memory:
    """Peaks so far: of the process, and of torch's allocator (ONNX Runtime allocates from it too)
    on a GPU.
    """
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device != "cuda":
        return Memory(peak_rss_bytes=rss)
    import torch

    return Memory(
        peak_rss_bytes=rss,
        torch_peak_allocated_bytes=torch.cuda.max_memory_allocated(),
        torch_peak_reserved_bytes=torch.cuda.max_memory_reserved(),
    )


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
