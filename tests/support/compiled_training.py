"""Trains a module that breaks its graph for three steps, the last of another size; prints the
proofs as JSON.
"""

from __future__ import annotations

import json
from types import SimpleNamespace

import worker_helpers as worker

from harness.schema.job import JobSpec
from harness.worker.backends.torch_compile import TorchCompile


def main() -> None:
    import os
    from pathlib import Path

    spec = JobSpec.model_validate(worker.spec(Path.cwd(), "torch-compile"))
    backend = TorchCompile(spec)
    os.environ.update({**backend.environment(), "TORCHINDUCTOR_COMPILE_THREADS": "2"})
    import torch

    backend.prepare()
    (watch,) = backend.callbacks()

    class Broken(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Linear(4, 4), torch.nn.Linear(4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            hidden = self.first(x)
            torch._dynamo.graph_break()
            return self.second(hidden).sum()

    module = torch.compile(Broken(), dynamic=False)
    trainer = SimpleNamespace(model_wrapped=module)
    proofs = []
    for step, batch in enumerate((3, 3, 5), start=1):
        module(torch.randn(batch, 4)).backward()
        watch.on_step_end(None, SimpleNamespace(global_step=step), None)
        proofs.append(backend.engagement(trainer, step).model_dump(mode="json"))
    trainer.model_wrapped = module._orig_mod
    proofs.append(backend.engagement(trainer, 3).model_dump(mode="json"))
    print(json.dumps(proofs))


if __name__ == "__main__":
    main()
