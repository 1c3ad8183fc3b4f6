"""The views: each one kind of table. A new one is two functions (report.digest.View) and a line of VIEWS."""

from __future__ import annotations

from report import arm_views, cards, gain_views, inference_views, matrix, metrics, prediction, scaling, summary
from report.digest import View

VIEWS: dict[str, View] = {  # in the order in which tables come
    "runtimes": View(arm_views.runtimes, arm_views.runtime_tables),
    "steady": View(arm_views.steady, arm_views.steady_tables),
    "gains": View(gain_views.gains, gain_views.gain_tables),
    "metrics": View(metrics.metrics, metrics.metric_tables),
    "gpu": View(arm_views.machine_use, arm_views.machine_use_tables),
    "cards": View(cards.cards, cards.card_tables),
    "scaling": View(scaling.scaling, scaling.scaling_tables),
    "inference": View(inference_views.inference, inference_views.inference_tables),
    "matrix": View(matrix.matrix, matrix.matrix_tables),
    "comparison": View(gain_views.gains, gain_views.comparison_tables, asked_only=True),
    "full": View(gain_views.full_gains, gain_views.full_tables, asked_only=True),
    "prediction": View(prediction.prediction, prediction.prediction_tables, asked_only=True),
    "summary": View(summary.summary, summary.summary_tables, asked_only=True),
}
