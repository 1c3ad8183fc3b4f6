"""The two engines. A call takes a batch of host tensors and returns its logits on the host, as a
NumPy array.

Inside a call, for both alike: the copy of the inputs to the device, the forward pass, the copy of
the logits back, and the wait for it. On a GPU the inputs are copied by torch and bound to ONNX
Runtime's session where they lie (I/O binding), so that neither engine copies anything twice.
"""

from __future__ import annotations

import json
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.schema.record import InferenceProof
from harness.worker.failures import NotEngagedError

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
# What a transformer's time goes into, before and after ONNX Runtime's fusions. Nodes that compute
# shapes belong on the CPU, and ONNX Runtime puts them there; one of these elsewhere than on the
# device is a fallback.
HEAVY = frozenset(
    "MatMul FusedMatMul Gemm FusedGemm Attention MultiHeadAttention Softmax BiasSoftmax "
    "LayerNormalization "
    "SimplifiedLayerNormalization SkipLayerNormalization EmbedLayerNormalization Gelu FastGelu "
    "BiasGelu Erf".split()
)
Batch = Mapping[str, Any]  # input name: torch tensor on the host


class TorchEngine:
    """The model's forward pass as PyTorch runs it, without autograd."""

    def __init__(self, model: Any, device: str) -> None:
        self.model, self.device = model, device

    def __call__(self, batch: Batch) -> Any:
        import torch

        with torch.inference_mode():
            moved = {name: tensor.to(self.device) for name, tensor in batch.items()}
            return self.model(**moved).logits.cpu().numpy()


class OrtEngine:
    """The exported graph in an InferenceSession on the provider that goes with `device`."""

    def __init__(
        self, path: Path, device: str, threads: int | None = None, profile: Path | None = None
    ) -> None:
        """`threads`: of the session on a CPU. `profile`: where a profile of every node is written,
        for `placement`.

        Raises NotEngagedError if the session is not on the device's provider, and whatever ONNX
        Runtime raises.
        """
        import onnxruntime
        import torch

        options = onnxruntime.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
            # Its threads spin on after a run, for 45 ms as seen here: on the cores that torch's
            # turn needs.
            options.add_session_config_entry("session.force_spinning_stop", "1")
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(profile)
        wanted: list[Any] = [PROVIDERS[device]]
        if device == "cuda":
            # Its own default is TF32, torch's is not: both engines multiply alike.
            wanted = [
                (PROVIDERS[device], {"use_tf32": str(int(torch.backends.cuda.matmul.allow_tf32))})
            ]
        begin = time.perf_counter()
        self.session = onnxruntime.InferenceSession(str(path), options, providers=wanted)
        self.session.disable_fallback()  # or a failing run is done again, on the CPU
        self.seconds = time.perf_counter() - begin
        self.device = device
        self.providers: list[str] = self.session.get_providers()
        require_provider(self.providers, device)
        self.inputs = [
            each.name for each in self.session.get_inputs()
        ]  # inputs that do nothing are exported away

    def __call__(self, batch: Batch) -> Any:
        if self.device == "cpu":
            return self.session.run(
                ["logits"], {name: batch[name].numpy() for name in self.inputs}
            )[0]
        import torch

        moved = {name: batch[name].to(self.device) for name in self.inputs}
        binding = self.session.io_binding()
        for name, tensor in moved.items():
            kind = batch[name].numpy().dtype
            binding.bind_input(name, self.device, 0, kind, tuple(tensor.shape), tensor.data_ptr())
        binding.bind_output("logits", self.device, 0)
        # the session has a stream of its own: the copies must be done
        torch.cuda.current_stream().synchronize()
        self.session.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()[0]

    def placement(self) -> dict[str, dict[str, int]]:
        """Of a profiled session: provider → operator type → nodes that ran there. Ends the
        profile.
        """
        file = Path(self.session.end_profiling())
        events = json.loads(file.read_text(encoding="utf-8"))
        file.unlink()
        return nodes_by_provider(events)


def require_provider(providers: Sequence[str], device: str) -> None:
    """Raises NotEngagedError unless the session's first provider is the device's.

    A CUDA session whose libraries are missing becomes a CPU session, with nothing but a line in the
    log.
    """
    expected, first = PROVIDERS[device], providers[0] if providers else "nothing"
    if first != expected:
        raise NotEngagedError(f"the inference session runs on {first}, not on {expected}")


def nodes_by_provider(events: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Node counts from the events of ONNX Runtime's profile of one run."""
    found: dict[str, Counter[str]] = {}
    for event in events:
        if event.get("cat") == "Node" and str(event.get("name", "")).endswith("_kernel_time"):
            of = event["args"]
            found.setdefault(of["provider"], Counter())[of["op_name"]] += 1
    return {provider: dict(sorted(nodes.items())) for provider, nodes in sorted(found.items())}


def prove(
    providers: Sequence[str],
    nodes: Mapping[str, Mapping[str, int]],
    device: str,
    opset: int,
    threads: int | None,
) -> InferenceProof:
    """Whether the session, and every node that is heavy, ran where it should."""
    expected = PROVIDERS[device]
    reasons = []
    if not nodes.get(expected):
        reasons.append(f"no node of the graph ran on {expected}")
    for provider, counts in nodes.items():
        strayed = sorted(HEAVY & counts.keys())
        if provider != expected and strayed:
            counted = ", ".join(f"{counts[name]} {name}" for name in strayed)
            reasons.append(f"{counted} ran on {provider}, not on {expected}")
    return InferenceProof(
        engaged=not reasons,
        reasons=reasons,
        provider=providers[0] if providers else None,
        providers=list(providers),
        opset=opset,
        node_counts={provider: dict(counts) for provider, counts in nodes.items()},
        threads=threads,
    )


def export(model: Any, batch: Batch, device: str, opset: int, path: Path) -> int:
    """Write the model's forward pass, inputs to logits, as ONNX; returns the opset of the file.

    Batch size and sequence length stay free. Raises what torch's exporter raises.
    """
    import onnx
    import torch

    names = list(batch)

    class Logits(torch.nn.Module):  # type: ignore[misc]
        """Positional inputs in, logits alone out: what the exporter wants."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            return self.model(**dict(zip(names, inputs, strict=True))).logits

    free = {
        name: {0: "batch", **({1: "sequence"} if batch[name].dim() > 1 else {})} for name in names
    }
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter(
            "ignore"
        )  # tracing warns of every Python branch; the comparison of logits judges
        torch.onnx.export(
            Logits().eval(),
            tuple(tensor.to(device) for tensor in batch.values()),
            str(path),
            input_names=names,
            output_names=["logits"],
            dynamic_axes={**free, "logits": {0: "batch"}},
            opset_version=opset,
            dynamo=False,
        )
    exported = onnx.load(str(path), load_external_data=False)
    return int(
        max(each.version for each in exported.opset_import if each.domain in ("", "ai.onnx"))
    )


def bytes_in(folder: Path) -> int:
    """Size of all files below a folder: a large graph keeps its weights beside it."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
