"""Three training steps of a tiny transformers model in this interpreter, with what the worker needs
imported.
"""

from __future__ import annotations

import importlib
import sys

MODULES = "accelerate datasets filelock numpy pyarrow pydantic scipy sklearn tokenizers".split()


def main() -> int:
    for name in MODULES:
        importlib.import_module(name)
    import torch
    import transformers

    from harness.schema.shapes import SHAPES

    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    config = transformers.AutoConfig.for_model(**SHAPES["roberta-tiny"], num_labels=2)
    model = transformers.AutoModelForSequenceClassification.from_config(config).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    tokens, labels = (
        torch.randint(5, 100, (8, 16), device=device),
        torch.arange(8, device=device) % 2,
    )
    losses = []
    for _ in range(3):
        loss = model(input_ids=tokens, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    where = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    steps = f"3 training steps, loss {losses[0]:.4f} → {losses[-1]:.4f}, {where}"
    print(f"PyTorch {torch.__version__}, transformers {transformers.__version__}: {steps}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
