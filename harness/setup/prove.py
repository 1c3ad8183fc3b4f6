"""Proves that the installed stack trains: three steps of a tiny model under ORTModule, with every
fallback forbidden.

Runs as a child process inside the stack: `python -m harness.setup.prove --provider
CPUExecutionProvider` prints one JSON object on its last line and exits with 0, or says what is
wrong and exits with 1.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from typing import Any

STEPS = 3


def prove(provider: str) -> dict[str, Any]:
    """Train three steps and return what was seen: `losses`, `torch_module`, `providers`, `device`,
    `seconds`.

    Raises RuntimeError when the losses do not fall, when PyTorch trained instead of ONNX Runtime,
    or when the session's first execution provider is not `provider` (a CUDA session whose libraries
    are missing quietly becomes a CPU session).
    """
    # Read by ORTModule when it is imported.
    os.environ["ORTMODULE_FALLBACK_POLICY"] = "FALLBACK_DISABLE"
    begin = time.monotonic()
    import torch
    from onnxruntime.training.ortmodule import ORTModule

    torch.manual_seed(0)
    device = "cuda" if provider == "CUDAExecutionProvider" else "cpu"
    model = ORTModule(
        torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2)).to(
            device
        )
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs = torch.randn(32, 8, device=device)
    labels = (inputs.sum(dim=1) > 0).long()
    losses = []
    for _ in range(STEPS):
        loss = torch.nn.functional.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    torch_module = type(model._torch_module).__name__
    session = model._torch_module._execution_manager(True)._execution_agent._inference_session
    providers = list(session.get_providers())
    if torch_module != "TorchModuleORT":
        raise RuntimeError(f"PyTorch trained instead of ONNX Runtime (module {torch_module})")
    if providers[:1] != [provider]:
        raise RuntimeError(f"the training session runs on {providers}, not on {provider}")
    if not all(math.isfinite(loss) for loss in losses) or not losses[0] > losses[1] > losses[2]:
        raise RuntimeError(f"three steps did not reduce the loss: {losses}")
    return {
        "losses": losses,
        "torch_module": torch_module,
        "providers": providers,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "seconds": round(time.monotonic() - begin, 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--provider", choices=("CPUExecutionProvider", "CUDAExecutionProvider"), required=True
    )
    try:
        print(json.dumps(prove(parser.parse_args().provider)))
    except Exception as error:  # whatever the stack raises is the answer
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
