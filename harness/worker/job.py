"""One job: imports → data → model → train → evaluate → save, and what is known of it meanwhile."""

from __future__ import annotations

import contextlib
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BenchError
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
from harness.worker.instruments.injected_delay import InjectedDelay
from harness.worker.model import adapters, build
from harness.worker.process import Inbox
from harness.worker.ranks import Ranks, highest, proof_of_all
from harness.worker.tasks.base import TaskData, TaskKind

if TYPE_CHECKING:
    from harness.worker.instruments.data_order import OrderRecorder
    from harness.worker.instruments.loss_recorder import LossRecorder
    from harness.worker.instruments.step_clock import StepClock

# Of what Trainer says of an evaluation, what is no metric.
BOOKKEEPING = (
    "runtime samples_per_second steps_per_second jit_compilation_time model_preparation_time"
).split()
PACKAGES = (
    "torch transformers optimum onnxruntime onnxruntime-training onnxruntime-training-cpu "
    "torch-ort onnx datasets "
    "tokenizers accelerate numpy peft"
).split()


@dataclass(frozen=True)
class Loaded:
    """A task with its data."""

    task: TaskKind
    data: TaskData


@dataclass(frozen=True)
class Built:
    """The model (a transformers.PreTrainedModel) as it was before training.

    `remarks`: what a reader must know of it, a sentence each. `shape`: what decides its FLOPs.
    `trainable`: how many of the parameters the optimizer changes.
    """

    model: Any
    remarks: list[str]
    weights_sha256: str
    attention: str | None
    parameters: int
    trainable: int
    shape: ModelShape | None


@dataclass(frozen=True)
class Prepared:
    """A trainer (a transformers.Trainer) and the instruments on it."""

    trainer: Any
    training_arguments: dict[str, Any]
    order: OrderRecorder
    losses: LossRecorder
    clock: StepClock

    def data_order_sha256(self, data: TaskData) -> str:
        """Fingerprint of the samples that were trained on, in their order."""
        return self.order.sha256(sum(self.losses.samples), data.sources.data_sha256 or "")

    def tokens(self, loaded: Loaded) -> Sequence[int] | None:
        """Tokens of the samples of each step, without padding; None where they cannot be told."""
        from harness.worker.instruments import token_counts

        return token_counts.per_step(
            loaded.data.train,
            self.order.indices,
            self.losses.samples,
            labels=loaded.task.sequence_to_sequence,
        )


@dataclass(frozen=True)
class Trained:
    """What Trainer says of the training, in seconds and samples per second, and what only a trainer
    that has trained tells of itself. `tokens`: of each step's samples, without padding.
    """

    runtime_s: float
    samples_per_s: float
    optimizer: str | None = None
    dtype_policy: str | None = None
    data_order_sha256: str | None = None
    tokens: Sequence[int] | None = None


@dataclass
class Evaluated:
    """The metrics of the validation sets that were evaluated until now, and the seconds it took."""

    metrics: dict[str, float] = field(default_factory=dict)
    runtime_s: float | None = None


class Job:
    """Runs a spec with its backend; `run` returns the result or raises, `partial` is what there is
    until then.

    Each phase leaves one value, which stays None until the phase gets that far.
    """

    def __init__(
        self, spec: JobSpec, backend: Backend, channel: Channel, inbox: Inbox | None = None
    ) -> None:
        """`inbox`: where the runner's control messages arrive, which a job of a group waits
        for.
        """
        self.spec, self.backend, self.channel = spec, backend, channel
        self._inbox = inbox
        self._ranks = Ranks()
        self._delay = InjectedDelay(spec.arm.injected_delay_ms / 1e3)
        self._seconds: dict[str, float] = {}
        self._memory = Memory()
        self.engagement: Engagement | None = None
        self._loaded: Loaded | None = None
        self._built: Built | None = None
        self.prepared: Prepared | None = None
        self._trained: Trained | None = None
        self._evaluated: Evaluated | None = None
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
            task = tasks.get(spec.workload.task.kind)(spec)
            _check_inference(spec, task)
            loaded = self._loaded = Loaded(task, task.load())
        with self._phase("model"):
            built = self._built = self.build_model(loaded)
        with tempfile.TemporaryDirectory(prefix="bench-trainer-") as folder:
            prepared = self.prepared = self.prepare(loaded, built, Path(folder))
            if spec.do_train:
                with self._phase("train"):
                    self.train(loaded, built, prepared)
            if spec.do_eval and spec.workload.training.evaluate:
                with self._phase("evaluate"):
                    self._evaluate(loaded, prepared)
        inferring = spec.inference is not None and not spec.parity_run
        model = built.model
        if self._ranks.main and (spec.output_dir is not None or inferring):
            model = adapters.merged(model)
        if spec.output_dir is not None and self._ranks.main:
            with self._phase("save"):
                # Not trainer.save_model: ORTTrainer's writes no config. The module itself is
                # trained in every arm.
                model.save_pretrained(spec.output_dir)
                loaded.data.tokenizer.save_pretrained(spec.output_dir)
        self._ranks.wait()  # one that left earlier would take the others' connections with it
        if inferring and self._ranks.main:
            from harness.worker.inference import phase

            metrics = self._evaluated.metrics if self._evaluated else {}
            with self._phase("inference"):
                self._inference = phase.measure(
                    spec, prepared.trainer, model, loaded.data.metrics, metrics
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

    def build_model(self, loaded: Loaded) -> Built:
        """The model as it is before training."""
        task, data = loaded.task, loaded.data
        model, remarks = build.build(
            self.spec, data.tokenizer, task.auto_class, task.model_config(data)
        )
        return Built(
            model,
            remarks,
            weights_sha256=build.weights_sha256(model),
            attention=getattr(model.config, "_attn_implementation", None),
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            trainable=adapters.trainable(model),
            shape=task.shape(model.config.to_dict(), data),
        )

    def prepare(self, loaded: Loaded, built: Built, folder: Path) -> Prepared:
        """The trainer, which keeps its files in `folder`, with its instruments."""
        from harness.worker.instruments.data_order import OrderRecorder
        from harness.worker.instruments.loss_recorder import LossRecorder

        data = loaded.data
        settings = arguments.build(self.spec, self.backend, folder, loaded.task)
        loaded.task.prepare_model(built.model)
        trainer = self._trainer_class(loaded.task)(
            model=built.model,
            args=settings,
            train_dataset=data.train,
            eval_dataset=data.validation,
            data_collator=self._delay.before(loaded.task.collator(data)),
            compute_metrics=data.metrics,
            preprocess_logits_for_metrics=_logits_alone,
        )
        order = OrderRecorder(trainer)
        losses = LossRecorder(trainer, cuda=self.spec.device == "cuda")
        clock = self._clock(losses)
        clock.attach(trainer)
        for callback in self.backend.callbacks():
            trainer.add_callback(callback)
        return Prepared(trainer, arguments.decisive(settings), order, losses, clock)

    def _trainer_class(self, task: TaskKind) -> Any:
        backend = self.backend
        return (
            backend.seq2seq_trainer_class()
            if task.sequence_to_sequence
            else backend.trainer_class()
        )

    def _clock(self, losses: LossRecorder) -> StepClock:
        from harness.worker.instruments.step_clock import StepClock
        from harness.worker.instruments.turn_clock import Gate, TurnClock

        cuda = self.spec.device == "cuda"
        if not self.spec.group:
            return StepClock(self.channel, losses, self._prove, cuda=cuda, ranks=self._ranks)
        assert self._inbox is not None
        gate = Gate(self.spec, self.channel, self._inbox, self._delay, self.backend.compiled)
        return TurnClock(self.channel, losses, self._prove, cuda=cuda, gate=gate)

    def train(self, loaded: Loaded, built: Built, prepared: Prepared) -> Trained:
        """Train, prove it, and send the steps."""
        clock = prepared.clock
        self._ranks.wait()  # or the time that one rank starts later than another would be set-up
        clock.start()
        found = prepared.trainer.train().metrics
        self._trained = Trained(found["train_runtime"], found["train_samples_per_second"])
        clock.finish()
        clock.release()
        prepared.losses.finish()
        self._prove(clock.steps)
        self._memory = _peaks(self.spec.device)
        if self._ranks.size > 1:
            self._trained = self._gather(loaded, built, prepared, self._trained)
        self._trained = replace(
            self._trained,
            optimizer=arguments.optimizer_name(prepared.trainer),
            dtype_policy=arguments.dtype_policy(prepared.trainer),
            data_order_sha256=prepared.data_order_sha256(loaded.data),
            tokens=prepared.tokens(loaded),
        )
        clock.send_series()
        return self._trained

    def _gather(
        self, loaded: Loaded, built: Built, prepared: Prepared, trained: Trained
    ) -> Trained:
        """Make what was measured that of all ranks: the slowest rank's times, the highest peaks,
        losses, samples.
        """
        ranks = self._ranks
        prepared.clock.gather()
        prepared.losses.gather(ranks)
        self._memory = highest(ranks.exchange(self._memory))
        slowest = max(ranks.exchange(trained.runtime_s))
        ranks.same("initial weights", built.weights_sha256)
        ranks.same("order of the data", prepared.data_order_sha256(loaded.data))
        return replace(
            trained,
            runtime_s=slowest,
            samples_per_s=trained.samples_per_s * trained.runtime_s / slowest,
        )

    def _prove(self, step: int) -> None:
        """Take the proof of every rank after a step. Raises NotEngagedError if one fails."""
        assert self.prepared is not None
        trainer = self.prepared.trainer
        self._ranks.check_wrapping(self.prepared.losses.trained)
        proof = proof_of_all(self._ranks.exchange(self.backend.engagement(trainer, step)))
        if proof is None:
            return
        self.engagement = proof if self.engagement is None else _joined(self.engagement, proof)
        if not proof.engaged:
            raise NotEngagedError("; ".join(proof.reasons))

    def _evaluate(self, loaded: Loaded, prepared: Prepared) -> None:
        evaluated = self._evaluated = Evaluated()
        data = loaded.data
        for ending, samples in {"": data.validation, **data.further}.items():
            found = prepared.trainer.evaluate(samples)
            evaluated.runtime_s = (evaluated.runtime_s or 0.0) + found.get("eval_runtime", 0.0)
            values = {
                name.removeprefix("eval_"): value
                for name, value in found.items()
                if name.startswith("eval_")
            }
            scores = loaded.task.scores(
                {k: float(value) for k, value in values.items() if k not in BOOKKEEPING}
            )
            evaluated.metrics |= {
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
            if self.prepared is not None and self.prepared.clock.steps:
                self.prepared.clock.finish()
                self._memory = _peaks(self.spec.device)
                self.prepared.clock.send_series()
        except Exception:  # the GPU may refuse everything after an error
            log_hidden("the steps of the failed job could not be read to their end")
        try:
            return self._result()
        except Exception:
            log_hidden("the partial result of the failed job could not be put together")
            return WorkerResult(engagement=self.engagement, packages=_packages())

    def _result(self) -> WorkerResult:
        evaluated = self._evaluated or Evaluated()
        losses = self.prepared.losses.values if self.prepared else []
        # Where nothing was evaluated there are no metrics that these belong to.
        data = self._loaded.data if self._loaded and evaluated.metrics else None
        return WorkerResult(
            timing=self._timing(),
            memory=self._memory,
            engagement=self.engagement,
            fingerprint=self._fingerprint(),
            sources=self._sources(),
            metrics=evaluated.metrics,
            main_metrics=list(data.main_metrics) if data else [],
            chance=dict(data.chance) if data else {},
            first_loss=losses[0] if losses else None,
            last_loss=losses[-1] if losses else None,
            losses=list(losses) if self.spec.parity_run else None,
            packages=_packages(),
            shape=self._built.shape if self._built else None,
            inference=self._inference,
        )

    def _timing(self) -> Timing:
        clock = self.prepared.clock if self.prepared else None
        tokens = self._trained.tokens if self._trained else None
        measured = (
            clock.timing(self.spec.warmup_steps, tokens) if clock and clock.steps else Timing()
        )
        trained = self._trained if clock and clock.end_to_end else None
        return measured.replace(
            imports_s=self._seconds.get("imports"),
            data_s=self._seconds.get("data"),
            model_s=self._seconds.get("model"),
            train_runtime_s=trained.runtime_s if trained else None,
            train_samples_per_s=trained.samples_per_s if trained else None,
            eval_runtime_s=self._evaluated.runtime_s if self._evaluated else None,
            injected_sleep_s=self._delay.mean_s,
        )

    def _sources(self) -> Sources:
        if self._loaded is None:
            return Sources()
        remarks = list(self._built.remarks) if self._built else []
        if self.engagement is not None and self.engagement.rebuilt:
            remarks.append(
                "ONNX Runtime built its training graph again after the first step, which is in the "
                "times"
            )
        return self._loaded.data.sources.replace(remarks=remarks)

    def _fingerprint(self) -> Fingerprint:
        built, trained = self._built, self._trained
        return Fingerprint(
            initial_weights_sha256=built.weights_sha256 if built else None,
            data_order_sha256=trained.data_order_sha256 if trained else None,
            optimizer=trained.optimizer if trained else None,
            attention=built.attention if built else None,
            dtype_policy=trained.dtype_policy if trained else None,
            parameters=built.parameters if built else None,
            trainable_parameters=built.trainable if built else None,
            training_arguments=self.prepared.training_arguments if self.prepared else {},
        )


def _joined(earlier: Engagement, proof: Engagement) -> Engagement:
    """The later proof, with the steps and the reasons of the earlier one."""
    return proof.replace(
        checked_after_steps=[*earlier.checked_after_steps, *proof.checked_after_steps],
        reasons=[*earlier.reasons, *proof.reasons],
    )


def _check_inference(spec: JobSpec, task: TaskKind) -> None:
    if spec.inference is not None and not task.exports_for_inference:
        raise BenchError(
            f"inference of the kind {task.name} is not measured: its model generates text step by "
            "step",
            place="measurement.inference",
            fix="leave it out (with `harness train`: --inference-with-ort)",
        )


def _logits_alone(outputs: Any, labels: Any) -> Any:
    """Of a model's outputs but the loss the first: T5's hidden states of a whole validation set
    would take GBs.
    """
    return outputs[0] if isinstance(outputs, tuple) else outputs


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
