"""Whether both engines compute the same: logits within the precision's tolerance, and the task's
metrics alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

# Largest difference of a logit, by precision, relative to the largest logit where that is above 1.
#
# fp32: on a CPU, logits of small models were 1.5e-8 apart; kernels on a GPU sum in another order
#     over tens of layers. Optimum's exporters are given 1e-5 to 1e-3, by architecture, for the same
#     comparison.
# fp16: one rounding is 2^-11 = 5e-4 of a value, and logits pass through some hundred of them.
LOGIT_TOLERANCE = {"fp32": 1e-3, "fp16": 5e-2}
# Largest difference of a metric; one sample of the validation set may always fall to the other side
# of a tie.
METRIC_TOLERANCE = {"fp32": 1e-3, "fp16": 1e-2}


def allowed_difference(precision: str, largest_logit: float, tolerance: float | None) -> float:
    """The largest difference of logits that passes. `tolerance` (a suite's) takes the precision's
    place.
    """
    return (LOGIT_TOLERANCE[precision] if tolerance is None else tolerance) * max(
        1.0, largest_logit
    )


def disagreement(
    difference: float,
    allowed: float,
    metrics: Mapping[str, Mapping[str, float]],
    trained: Mapping[str, float],
    precision: str,
    samples: int,
) -> str:
    """Why the engines do not agree, as one sentence; empty if they do.

    `metrics`: of `torch` and `onnxruntime` over `samples`. `trained`: as the arm itself evaluated
    the model after training, which shows that the model measured here is the one that was trained;
    {} where it was not evaluated on the same samples.
    """
    if not difference <= allowed:  # not a number, too
        return f"logits differ by {difference:.2g} ({precision} is given {allowed:.2g})"
    slack = max(METRIC_TOLERANCE[precision], 1 / samples)
    for whose, one in (("PyTorch", metrics["torch"]), ("the arm's own evaluation", trained)):
        for name in one.keys() & metrics["onnxruntime"].keys():
            value, other = one[name], metrics["onnxruntime"][name]
            if math.isnan(value) and math.isnan(other):  # a correlation of constant predictions
                continue
            if not abs(value - other) <= slack + 1e-9:  # 0.92 − 0.90 is more than 0.02
                return (
                    f"{name} is {other:.4f} by ONNX Runtime and {value:.4f} by {whose} (allowed: "
                    f"{slack:.2g})"
                )
    return ""
