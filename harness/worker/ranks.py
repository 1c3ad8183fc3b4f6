"""The ranks of a job that several processes train: how they find each other, and what rank 0 learns
of the others.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from harness.schema.job import JobSpec
from harness.schema.record import Engagement, Memory

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process among the `size` that train the job together. The default: it trains alone.

    `main`: the one of its node that speaks for all (torchrun may well give rank 0 to another node
    than the runner's).
    """

    size: int = 1
    main: bool = True

    @classmethod
    def begin(cls, spec: JobSpec) -> Ranks:
        """Join the process group, as torchrun's environment says; NCCL on GPUs, gloo on the CPU.

        Before transformers does it by itself: on the CPU it would leave ddp_timeout out, and a rank
        would wait half an hour for one that is gone. Raises RuntimeError if the ranks do not find
        each other.
        """
        launch = spec.workload.launch
        if not launch.torchrun:
            return cls()
        import torch

        if spec.device == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "nccl" if spec.device == "cuda" else "gloo"
        torch.distributed.init_process_group(backend, timeout=timedelta(seconds=launch.timeout_s))
        return cls(torch.distributed.get_world_size(), main=os.environ["LOCAL_RANK"] == "0")

    def exchange(self, value: T) -> list[T]:
        """The value of every rank, in their order; every rank must call this. Never within the
        measured window.
        """
        if self.size == 1:
            return [value]
        import torch

        found: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(found, value)
        return found

    def wait(self) -> None:
        """Until every rank is here."""
        self.exchange(None)

    def same(self, what: str, value: T) -> T:
        """The value, which must be that of every rank. Raises RuntimeError if it is not."""
        values = self.exchange(value)
        if any(other != value for other in values):
            raise RuntimeError(
                f"the ranks do not have the same {what}: {', '.join(str(v)[:12] for v in values)}"
            )
        return value

    def check_wrapping(self, module: Any) -> None:
        """Raises RuntimeError if `module`, as training_step got it, does not share gradients as
        `size` asks for.
        """
        from torch.nn import DataParallel
        from torch.nn.parallel import DistributedDataParallel

        module = getattr(module, "_orig_mod", module)  # what torch.compile was given
        if isinstance(module, DataParallel):
            raise RuntimeError(
                "the model is in DataParallel, under which ORTModule silently runs PyTorch"
            )
        if self.size > 1 and not isinstance(module, DistributedDataParallel):
            raise RuntimeError(
                f"{self.size} ranks train, but gradients are not shared: no DistributedDataParallel"
            )


def proof_of_all(proofs: Sequence[Engagement | None]) -> Engagement | None:
    """The proof of rank 0, which holds only if those of all ranks hold; reasons name the rank.
    None: none needed.
    """
    given = [proof for proof in proofs if proof is not None]
    if len(given) <= 1:
        return given[0] if given else None
    reasons = [
        f"rank {rank}: {reason}" for rank, proof in enumerate(given) for reason in proof.reasons
    ]
    return given[0].replace(
        engaged=all(proof.engaged for proof in given), reasons=reasons, ranks=len(given)
    )


def highest(peaks: Sequence[Memory]) -> Memory:
    """Of every peak the highest of any rank; None where none has it."""
    found: dict[str, int | None] = {}
    for name in Memory.model_fields:
        values = [value for peak in peaks if (value := getattr(peak, name)) is not None]
        found[name] = max(values, default=None)
    return Memory(**found)


def unwrapped(module: Any) -> Any:
    """The module inside DistributedDataParallel; any other as it is."""
    from torch.nn.parallel import DistributedDataParallel

    return module.module if isinstance(module, DistributedDataParallel) else module
