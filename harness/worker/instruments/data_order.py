"""Which samples were trained on, in which order: a fingerprint that costs nothing while steps are
measured.

Of several ranks each draws the order of all samples, from the same seed, and takes its share of the
batches in turn: so every rank records what one process with as large a batch as all of them
together would have.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from typing import Any


class OrderRecorder:
    """Records the indices a trainer's sampler yields. Only in the main process: data loader workers
    do not matter.
    """

    def __init__(self, trainer: Any) -> None:
        self.indices = array("q")
        original = trainer.get_train_dataloader

        def recorded() -> Any:
            loader = original()
            batches = loader.batch_sampler
            while hasattr(
                batches, "batch_sampler"
            ):  # accelerate's, which deals out batches to ranks
                batches = batches.batch_sampler
            batches.sampler = _Recording(batches.sampler, self.indices)
            return loader

        trainer.get_train_dataloader = recorded

    def sha256(self, samples: int, data_sha256: str) -> str:
        """Hash of the first `samples` indices and of the tokenised data they point into.

        Together they determine the input ids of every batch. Indices beyond `samples` were only
        prefetched.
        """
        digest = hashlib.sha256(data_sha256.encode())
        digest.update(self.indices[:samples].tobytes())
        return digest.hexdigest()


class _Recording:
    """A sampler that appends what it yields to `seen`; anything else is the inner sampler's."""

    def __init__(self, inner: Any, seen: array[int]) -> None:
        self._inner, self._seen = inner, seen

    def __iter__(self) -> Iterator[int]:
        for index in self._inner:
            self._seen.append(index)
            yield index

    def __len__(self) -> int:
        return len(self._inner)

    def __getattr__(self, name: str) -> Any:  # accelerate asks for set_epoch, generator, …
        return getattr(self._inner, name)
