"""Random weights that depend on the seed and the modules' names alone, not on the version of
transformers.

Versions construct and initialise a model's modules in different orders, so one seed gives them
different weights: arms in two stacks would start from two models, and could not be shown to learn
alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any


def draw(model: Any, seed: int, missing: Collection[str] | None = None) -> None:
    """Initialise the modules of a transformers model anew, each by the model's own rule from a
    generator of its own.

    `missing`: names of the parameters that no checkpoint had, whose modules alone are drawn; None:
    all of them.
    """
    import torch
    from transformers import PreTrainedModel

    owners: dict[str, Any] = {}
    for name, module in model.named_modules():  # outer modules first: each knows who initialises it
        inside = owners.get(name.rpartition(".")[0], model)
        owners[name] = module if isinstance(module, PreTrainedModel) else inside
    chosen = None if missing is None else {name.rpartition(".")[0] for name in missing}
    with torch.no_grad():
        for name, module in reversed(
            list(model.named_modules())
        ):  # children first, as transformers does
            if chosen is None or name in chosen:
                for parameter in module.parameters(recurse=False):
                    parameter.__dict__.pop(
                        "_is_hf_initialized", None
                    )  # transformers 5 leaves alone what it has marked
                torch.manual_seed(seed_of(seed, name))
                owners[name]._init_weights(module)
    torch.manual_seed(seed)


def seed_of(seed: int, name: str) -> int:
    """The seed of a module's own generator, from the job's seed and the module's name."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:7], "big")
