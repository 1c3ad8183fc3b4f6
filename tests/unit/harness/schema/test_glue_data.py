"""The data sets of GLUE: declared once, and known in all places that need one."""

from __future__ import annotations

import pytest

from harness.schema.glue import GLUE, GLUE_TASKS, TRAIN, VALIDATION
from harness.schema.workload import Task
from harness.worker.tasks.metrics import main_metrics
from harness.worker.tasks.synthetic import STAND_INS


def test_every_place_knows_the_same_data_sets() -> None:
    assert tuple(GLUE) == GLUE_TASKS
    assert tuple(STAND_INS) == GLUE_TASKS


@pytest.mark.parametrize("subset", GLUE_TASKS)
def test_what_is_declared_of_a_data_set_fits_together(subset: str) -> None:
    data = GLUE[subset]
    assert list(data.sizes)[:2] == [TRAIN, VALIDATION] == list(data.splits)[:2]
    assert len(STAND_INS[subset].shares) == len(data.classes)
    assert set(data.metrics) <= set(main_metrics(subset))
    assert Task(name=subset, subset=subset).data_name == subset
