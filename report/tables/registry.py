"""The views: each one kind of table. A new one is two functions (report.tables.digest.View) and a
line of VIEWS.
"""

from __future__ import annotations

from report.tables import (
    answer,
    arms,
    cards,
    gains,
    inference,
    metrics,
    prediction,
    scaling,
    summary,
    support_matrix,
)
from report.tables.digest import View

VIEWS: dict[str, View] = {  # in the order in which tables come
    "runtimes": View(arms.runtimes, arms.runtime_tables),
    "steady": View(arms.steady, arms.steady_tables),
    "gains": View(gains.gains, gains.gain_tables),
    "metrics": View(metrics.metrics, metrics.metric_tables),
    "gpu": View(arms.machine_use, arms.machine_use_tables),
    "cards": View(cards.cards, cards.card_tables),
    "scaling": View(scaling.scaling, scaling.scaling_tables),
    "inference": View(inference.inference, inference.inference_tables),
    "matrix": View(support_matrix.matrix, support_matrix.matrix_tables),
    "answer": View(answer.answer, answer.answer_tables, asked_only=True),
    "comparison": View(gains.gains, gains.comparison_tables, asked_only=True),
    "full": View(gains.full_gains, gains.full_tables, asked_only=True),
    "prediction": View(prediction.prediction, prediction.prediction_tables, asked_only=True),
    "summary": View(summary.summary, summary.summary_tables, asked_only=True),
}
