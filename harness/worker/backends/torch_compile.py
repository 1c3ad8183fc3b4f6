"""PyTorch compiled: transformers.Trainer with `torch_compile`, Dynamo and Inductor proven to have
run the training.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field

from harness.schema.record import Engagement
from harness.schema.workload import Strict
from harness.worker.backends.base import Backend
from harness.worker.failures import chain

# Of torch._dynamo.utils.calculate_time_spent: what users ask about. Phases lie within each other.
PHASES = (
    "entire_frame_compile",
    "entire_backward_compile",
    "backend_compile",
    "inductor_compile",
    "code_gen",
)
COMPILERS = ("torch._dynamo", "torch._inductor", "torch._functorch")


class Options(Strict):
    """torch.compile's own switches, as Trainer and accelerate hand them on."""

    mode: Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"] = (
        "default"
    )
    dynamic: bool | None = Field(
        None,
        description="dynamic shapes; null: accelerate's default (stack ort: false; latest: when "
        "sizes change)",
    )
    fullgraph: bool = Field(False, description="a graph break is an error")
    compile_cache: bool = Field(
        False,
        description="keep compiled kernels from job to job; false: every job compiles from nothing",
    )


class TorchCompile(Backend):
    """Trainer as `--torch_compile` runs it: forward and backward pass compiled, the optimizer as it
    is.

    Nothing may fall back to eager execution unseen: errors of the compiler, and more recompilations
    than Dynamo's limit, end the job. Graph breaks do not (unless `fullgraph`); they are counted.
    """

    name = "torch-compile"
    Options = Options

    def __init__(self, spec: Any) -> None:
        super().__init__(spec)
        self._ran: Counter[str] = Counter()  # compiled graphs, by direction, until the first proof
        self._unhook: Any = None
        self._recompiled: dict[
            int, int
        ] = {}  # optimizer step → graphs that had been compiled at its end

    def environment(self) -> dict[str, str]:
        options = cast(Options, self.options)
        if options.compile_cache:
            cache = str(self.spec.cache_dir / "inductor" / self.spec.arm.stack)
        else:  # in the job's private folder, which its runner removes however it ends
            cache = tempfile.mkdtemp(prefix="inductor-", dir=os.environ.get("BENCH_JOB_FOLDER"))
        variables = {
            "TORCHINDUCTOR_CACHE_DIR": cache,
            "TRITON_CACHE_DIR": str(Path(cache) / "triton"),
            "TORCHDYNAMO_SUPPRESS_ERRORS": "",
            "ACCELERATE_DYNAMO_USE_FULLGRAPH": str(options.fullgraph),
        }
        if options.dynamic is not None:
            variables["ACCELERATE_DYNAMO_USE_DYNAMIC"] = str(options.dynamic)
        if threads := self.spec.threads or len(self.spec.cores or ()):
            variables["TORCHINDUCTOR_COMPILE_THREADS"] = str(threads)
        return variables

    def prepare(self) -> None:
        """Make Dynamo's silent ways back to eager execution errors, and count compiled graphs as
        they run.
        """
        import torch._dynamo
        from torch._inductor.output_code import CompiledFxGraph

        torch._dynamo.config.suppress_errors = False
        torch._dynamo.config.fail_on_cache_limit_hit = True
        original = CompiledFxGraph.__call__

        def counted(graph: Any, inputs: Any) -> Any:
            backward = (getattr(graph, "fx_kwargs", None) or {}).get("is_backward")
            self._ran["backward" if backward else "forward"] += 1
            return original(graph, inputs)

        def unhook() -> None:
            CompiledFxGraph.__call__ = original

        CompiledFxGraph.__call__ = counted
        self._unhook = unhook

    def trainer_class(self) -> Any:
        from transformers import Trainer

        return Trainer

    def arguments_class(self) -> Any:
        from transformers import TrainingArguments

        return TrainingArguments

    def seq2seq_trainer_class(self) -> Any:
        from transformers import Seq2SeqTrainer

        return Seq2SeqTrainer

    def seq2seq_arguments_class(self) -> Any:
        from transformers import Seq2SeqTrainingArguments

        return Seq2SeqTrainingArguments

    def extra_arguments(self) -> dict[str, Any]:
        mode = cast(Options, self.options).mode
        return {
            "torch_compile": True,
            "torch_compile_backend": "inductor",
            "torch_compile_mode": mode,
        }

    def callbacks(self) -> list[Any]:
        from transformers import TrainerCallback

        recompiled = self._recompiled

        class Watch(TrainerCallback):  # type: ignore[misc]
            """Notes after which steps there were more compiled graphs than before."""

            graphs = 0

            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                if (now := _graphs()) != self.graphs:
                    recompiled[state.global_step] = self.graphs = now

        return [Watch()]

    def engagement(self, trainer: Any, after_step: int) -> Engagement:
        import torch._inductor.metrics
        from torch._dynamo.utils import calculate_time_spent, counters, get_compilation_metrics

        if self._unhook is not None:  # the measured steps run without
            self._unhook()
            self._unhook = None
        module = type(trainer.model_wrapped).__name__
        aot, breaks = counters["aot_autograd"], counters["graph_break"]
        reasons: list[str] = []
        if module != "OptimizedModule":
            reasons.append(f"the trained module is a {module}, not one that torch.compile made")
        if not _graphs():
            reasons.append("Dynamo captured no graph")
        if aot["total"] != aot["ok"]:
            reasons.append(
                f"{aot['total'] - aot['ok']} of {aot['total']} graphs could not be compiled"
            )
        reasons += [
            f"no {direction} graph compiled by Inductor ran in the first step"
            for direction in ("forward", "backward")
            if not self._ran[direction]
        ]
        spent = calculate_time_spent()
        why = [getattr(metrics, "recompile_reason", None) for metrics in get_compilation_metrics()]
        return Engagement(
            engaged=not reasons,
            reasons=[f"after step {after_step}: {reason}" for reason in reasons],
            checked_after_steps=[after_step],
            torch_module=module,
            compiled_graphs=_graphs(),
            graph_breaks=sum(breaks.values()),
            graph_break_reasons=[str(reason).splitlines()[0] for reason in breaks],
            compiled_runs=dict(self._ran),
            inductor_kernels=torch._inductor.metrics.generated_kernel_count,
            # A graph that bypasses the cache was compiled here too.
            graphs_not_in_cache=counters["inductor"]["fxgraph_cache_miss"]
            + counters["inductor"]["fxgraph_cache_bypass"],
            recompiled_at_steps=[step for step in self._recompiled if step > 1],
            recompile_reasons=[reason.splitlines()[0] for reason in why if reason],
            phases_s={name: float(spent[name]) for name in PHASES if name in spent},
        )

    def compiled(self) -> bool:
        from torch._dynamo.utils import counters

        # Not the graphs that bypass the cache, which every job compiles.
        kept = cast(Options, self.options).compile_cache
        return bool(kept and counters["inductor"]["fxgraph_cache_miss"])

    def is_fallback(self, error: BaseException) -> bool:
        """What Dynamo, AOTAutograd or Inductor raise: graph capture, code generation, a missing C++
        compiler.
        """
        return any(
            kind.__module__.startswith(COMPILERS)
            for link in chain(error)
            for kind in type(link).__mro__
        )


def _graphs() -> int:
    """How many graphs Dynamo has captured and handed to Inductor in this process."""
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])
