"""The real worker, except that in arms of certain names training resolves to something the config
does not say.
"""

import json
import sys
from pathlib import Path
from typing import Any

from harness.worker import __main__, arguments

SPEC = Path(sys.argv[1])
JOB = json.loads(SPEC.read_text())
build = arguments.build


def confounded(*given: Any) -> Any:
    settings = build(*given)
    match JOB["arm"]["name"]:
        case "other-rate":
            settings.learning_rate = 10 * settings.learning_rate
        case "fused-optimizer":
            settings.optim = type(settings.optim)("adamw_torch_fused")
        case "other-order":
            from torch.utils.data import SequentialSampler
            from transformers import Trainer

            Trainer._get_train_sampler = lambda trainer, *_: SequentialSampler(
                trainer.train_dataset
            )
    return settings


arguments.build = confounded
if JOB["arm"]["name"] == "other-attention":
    JOB["arm"]["attention"] = "sdpa"
    SPEC.write_text(json.dumps(JOB))
__main__.main()
