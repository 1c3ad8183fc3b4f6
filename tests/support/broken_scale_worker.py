"""The real worker, except that one arm's loss is scaled for the backward pass and never scaled
back.
"""

import json
import sys
from pathlib import Path
from typing import Any

from harness.worker import __main__
from harness.worker.backends.onnxruntime import OnnxRuntime

SCALE = 0.5
trainer_class = OnnxRuntime.trainer_class


def broken(backend: OnnxRuntime) -> Any:
    class BrokenTrainer(trainer_class(backend)):  # type: ignore[misc]
        def compute_loss(self, *given: Any, **named: Any) -> Any:
            loss = super().compute_loss(*given, **named)
            return (SCALE * loss[0], *loss[1:]) if isinstance(loss, tuple) else SCALE * loss

    return BrokenTrainer


if json.loads(Path(sys.argv[1]).read_text())["arm"]["name"] == "onnxruntime-broken":
    OnnxRuntime.trainer_class = broken  # type: ignore[method-assign]
__main__.main()
