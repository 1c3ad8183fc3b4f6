"""ONNX Runtime Training: Optimum's ORTTrainer over ORTModule, fallback to PyTorch forbidden,
engagement proven.
"""

from __future__ import annotations

import hashlib
import os
import traceback
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field

from harness.paths import cuda_cache
from harness.planning.hub import cached_file, folder_of
from harness.schema.job import JobSpec
from harness.schema.record import Engagement
from harness.schema.workload import ORT_OPTIMIZERS, Strict
from harness.worker.backends.base import Backend
from harness.worker.failures import sentence
from harness.worker.ranks import unwrapped

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
NEWEST_NATIVE_CAPABILITY = (
    8,
    6,
)  # 1.19.2's CUDA wheel: machine code for sm_60 … sm_86, PTX for what is newer


class Options(Strict):
    """ORTModule's switches; each is by default what it is in ONNX Runtime."""

    triton: bool = Field(
        False, description="ORTMODULE_USE_TRITON: fuse element-wise operators with Triton"
    )
    efficient_attention: bool = Field(False, description="ORTMODULE_USE_EFFICIENT_ATTENTION")
    flash_attention: bool = Field(False, description="ORTMODULE_USE_FLASH_ATTENTION (Triton)")
    aten_sdpa_fallback: bool = Field(
        False, description="ORTMODULE_ATEN_SDPA_FALLBACK: torch's sdpa inside the graph"
    )
    memory_opt_level: int = Field(
        0, ge=0, le=2, description="ORTMODULE_MEMORY_OPT_LEVEL: 1 and 2 recompute by layer"
    )
    export_cache: bool = Field(
        False, description="ORTMODULE_CACHE_DIR: keep exported graphs, per configuration"
    )
    embedding_sparse_optimizer: bool = Field(
        True,
        description="ORTMODULE_ENABLE_EMBEDDING_SPARSE_OPTIMIZER: on a GPU, leave padding out of "
        "the layers after the embeddings, except attention itself; false: compute it, as PyTorch "
        "does",
    )


# What writes the exported graph.
EXPORTERS = (
    "torch",
    "transformers",
    "onnx",
    "onnxruntime-training",
    "onnxruntime-training-cpu",
    "optimum",
)


def _settings(spec: JobSpec) -> list[Path]:
    """The JSON files of a pretrained model that decide its graph and inputs, as far as this host
    has them.
    """
    path = spec.workload.model.path
    if path is None:
        return []
    folder = folder_of(path)
    names = ("config.json", "tokenizer_config.json")
    files = [folder / name if folder is not None else cached_file(path, name) for name in names]
    return [file for file in files if file is not None and file.is_file()]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


class OnnxRuntime(Backend):
    """The model's forward and backward passes as one ONNX graph; the optimizer stays torch's."""

    name = "onnxruntime"
    Options = Options
    own_optimizers = ORT_OPTIMIZERS

    def __init__(self, spec: JobSpec) -> None:
        super().__init__(spec)
        self._first_agent: Any = None  # what runs the training graph, as the first proof saw it
        # In the driver's cache before the model; None where the driver compiles nothing.
        self.kernels_before: frozenset[Path] | None = None
        self._compiled_at_first: bool | None = None  # until the first proof

    def environment(self) -> dict[str, str]:
        options = cast(Options, self.options)
        variables = {"ORTMODULE_FALLBACK_POLICY": "FALLBACK_DISABLE"}
        switches = {
            "ORTMODULE_USE_TRITON": options.triton,
            "ORTMODULE_USE_EFFICIENT_ATTENTION": options.efficient_attention,
            "ORTMODULE_USE_FLASH_ATTENTION": options.flash_attention,
            "ORTMODULE_ATEN_SDPA_FALLBACK": options.aten_sdpa_fallback,
        }
        variables |= {name: "1" for name, on in switches.items() if on}
        if options.memory_opt_level:
            variables["ORTMODULE_MEMORY_OPT_LEVEL"] = str(options.memory_opt_level)
        if not options.embedding_sparse_optimizer:
            variables["ORTMODULE_ENABLE_EMBEDDING_SPARSE_OPTIMIZER"] = "0"
        if options.export_cache:
            variables["ORTMODULE_CACHE_DIR"] = str(
                self.spec.cache_dir / "ortmodule" / self._configuration()
            )
        return variables

    @classmethod
    def library_path(cls, device: str) -> list[str]:
        """The CUDA 11.8 libraries, where set-up put them apart from torch's own."""
        from harness.setup.stack import cuda11_library_path

        return cuda11_library_path() if device == "cuda" else []

    def _configuration(self) -> str:
        """Everything the exported graph may depend on, hashed: ORTModule itself looks at the
        model's class only.

        A model's path alone does not say what is exported: its configuration may have been
        replaced.
        """
        spec = self.spec
        parts = (spec.workload.model, spec.workload.task, spec.workload.training, spec.arm)
        written = [
            f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}"
            for file in _settings(spec)
        ]
        versions = [f"{name} {found}" for name in EXPORTERS if (found := _version(name))]
        said = [
            *(part.model_dump_json() for part in parts),
            str(spec.parity_run),
            spec.device,
            *written,
            *versions,
        ]
        text = "\n".join(said)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def prepare(self) -> None:
        """Correct what ORTModule offers no working setting for."""
        _let_padding_be_computed()
        self._bound_threads()
        if self._kernels() == "ptx":
            self.kernels_before = cached_kernels()

    def _bound_threads(self) -> None:
        """Bound the threads of ORTModule's sessions.

        Left to itself, ONNX Runtime starts a thread for every core of the host and binds each to
        one: a pinned job would run where it must not.
        """
        if self.spec.device == "cpu" and self.spec.workload.launch.torchrun:
            import torch

            torch.cuda.set_device = (
                lambda device: None
            )  # ORTTrainer calls it on every rank but 0, on the CPU too
        threads = self.spec.threads or len(self.spec.cores or ())
        if not threads:
            return
        from onnxruntime.training.ortmodule._graph_execution_manager import GraphExecutionManager

        original = GraphExecutionManager._get_session_config

        def with_threads(manager: Any) -> Any:
            session_options, providers, provider_options = original(manager)
            session_options.intra_op_num_threads = threads
            return session_options, providers, provider_options

        GraphExecutionManager._get_session_config = with_threads

    def trainer_class(self) -> Any:
        from optimum.onnxruntime import ORTTrainer

        return ORTTrainer

    def arguments_class(self) -> Any:
        from optimum.onnxruntime import ORTTrainingArguments

        return ORTTrainingArguments

    def seq2seq_trainer_class(self) -> Any:
        from harness.worker.backends.ort_seq2seq import GeneratingORTTrainer

        return GeneratingORTTrainer

    def seq2seq_arguments_class(self) -> Any:
        from optimum.onnxruntime import ORTSeq2SeqTrainingArguments

        return ORTSeq2SeqTrainingArguments

    def engagement(self, trainer: Any, after_step: int) -> Engagement:
        module = unwrapped(trainer.model_wrapped)
        reasons: list[str] = []
        if type(module).__name__ != "ORTModule":
            reasons.append(f"the trained module is a {type(module).__name__}, not an ORTModule")
            return Engagement(
                engaged=False, reasons=_after(after_step, reasons), checked_after_steps=[after_step]
            )
        if module._fallback_manager.is_pending():
            reasons.append(
                f"a fallback to PyTorch is pending: {sentence(module._fallback_manager._exception)}"
            )
        inner = type(module._torch_module).__name__
        if inner != "TorchModuleORT":
            reasons.append(f"ORTModule runs {inner}, not TorchModuleORT")
            return Engagement(
                engaged=False,
                reasons=_after(after_step, reasons),
                checked_after_steps=[after_step],
                torch_module=inner,
            )
        manager = module._torch_module._execution_manager(True)
        agent = manager._execution_agent
        providers = list(agent._inference_session.get_providers()) if agent is not None else []
        # Every build of the graph makes another agent: the same one at the end of training shows
        # that batches of other shapes were trained by the graph of the first step.
        rebuilt = self._first_agent is not None and agent is not self._first_agent
        if self._first_agent is None:
            self._first_agent = agent
        expected = PROVIDERS[self.spec.device]
        if agent is None:
            reasons.append("no training session was created")
        elif not providers or providers[0] != expected:
            reasons.append(
                f"the training session runs on {', '.join(providers[:1]) or 'nothing'}, not on "
                f"{expected}"
            )
        if self._compiled_at_first is None and self.kernels_before is not None:
            # Later other jobs of the host may compile.
            self._compiled_at_first = self.compiled()
        graph = manager._onnx_models.optimized_model
        nodes = (
            Counter(node.op_type for node in graph.graph.node)
            if graph is not None
            else Counter[str]()
        )
        if nodes["YieldOp"] != 1:
            reasons.append(
                f"the optimized training graph has {nodes['YieldOp']} YieldOp nodes, not one"
            )
        return Engagement(
            engaged=not reasons,
            reasons=_after(after_step, reasons),
            checked_after_steps=[after_step],
            torch_module=inner,
            provider=providers[0] if providers else None,
            providers=providers,
            yield_ops=nodes["YieldOp"],
            rebuilt=rebuilt,
            node_counts=dict(sorted(nodes.items())),
            phases_s=_phases(manager.time_tracker),
            kernels=self._kernels(),
            kernels_compiled=self._compiled_at_first,
        )

    def compiled(self) -> bool:
        # Kernels that another job of the host compiles meanwhile look like this one's.
        return self.kernels_before is not None and not cached_kernels() <= self.kernels_before

    def _kernels(self) -> Literal["native", "ptx"] | None:
        """Whether the kernels run on this card as they are, or compiled from PTX by the driver
        (once, cached).
        """
        if self.spec.device != "cuda":
            return None
        import torch

        return kernel_origin(torch.cuda.get_device_capability())

    def is_fallback(self, error: BaseException) -> bool:
        """ORTModule's own exceptions, and whatever was raised inside it: export, graph building,
        missing kernels.
        """
        seen: BaseException | None = error
        while seen is not None:
            if any(kind.__module__.startswith("onnxruntime") for kind in type(seen).__mro__):
                return True
            frames = traceback.walk_tb(seen.__traceback__)
            if any(
                frame.f_globals.get("__name__", "").startswith("onnxruntime.training")
                for frame, _ in frames
            ):
                return True
            seen = seen.__cause__ or seen.__context__
        return False


def _let_padding_be_computed() -> None:
    """Make ORTMODULE_ENABLE_EMBEDDING_SPARSE_OPTIMIZER=0 work.

    While it exports a model, ORTModule 1.19.2 takes that switch for the one of labels as well and
    then iterates over the observers of labels, which are None instead of an empty list where they
    are off: the export would end with a TypeError. The models of this harness's tasks compute
    their loss without the module that they would observe, so nothing else changes.
    """
    from onnxruntime.training.ortmodule._graph_transition_manager import GraphTransitionManager

    original = GraphTransitionManager._add_check_label_sparsity_hook

    def observers(*arguments: Any) -> list[Any]:
        return original(*arguments) or []

    GraphTransitionManager._add_check_label_sparsity_hook = staticmethod(observers)


def kernel_origin(capability: tuple[int, ...]) -> Literal["native", "ptx"]:
    """Where the CUDA wheel's kernels for a card of this compute capability (major, minor) come
    from.
    """
    return "native" if capability <= NEWEST_NATIVE_CAPABILITY else "ptx"


def cached_kernels() -> frozenset[Path]:
    """The files of the kernels that the CUDA driver has compiled and keeps for later processes of
    the host.

    The file `index` lists them and is left out: the driver may rewrite it when it only reads a
    kernel.
    """
    return frozenset(
        Path(parent, name)
        for parent, _, names in os.walk(cuda_cache())
        for name in names
        if name != "index"
    )


def _after(step: int, reasons: list[str]) -> list[str]:
    return [f"after step {step}: {reason}" for reason in reasons]


def _phases(tracker: Any) -> dict[str, float]:
    """Seconds ORTModule spent in each phase of its initialisation; phases that did not happen are
    left out.
    """
    from onnxruntime.training.ortmodule._logger import ORTModuleInitPhase, TimeTracker

    durations = {phase.name.lower(): tracker._get_duration(phase) for phase in ORTModuleInitPhase}
    return {
        name: float(value) for name, value in durations.items() if value != TimeTracker.NOT_RECORD
    }
