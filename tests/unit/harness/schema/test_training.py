"""Settings of training that came later: what they need, and that hashes of others stay."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.schema.workload import ADDED_SETTINGS, Training


def test_settings_that_came_later_are_written_only_where_they_are_used() -> None:
    assert not set(ADDED_SETTINGS) & Training().model_dump().keys()
    given = Training(lora_rank=8, target_modules=["q_proj"])
    written = given.model_dump(mode="json")
    assert (written["lora_rank"], written["target_modules"]) == (8, ["q_proj"])
    assert Training.model_validate(written) == given
    assert set(ADDED_SETTINGS) < Training.model_fields.keys()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lora_alpha": 16}, "`lora_alpha` goes with `lora_rank`"),
        ({"target_modules": ["q_proj"]}, "`target_modules` goes with `lora_rank`"),
        ({"lora_rank": 0}, "greater than 0"),
        ({"lora_rank": 8, "target_modules": []}, "at least 1 item"),
        ({"lora_rank": 8, "target_modules": ["q proj"]}, "'q proj' is no name of a module"),
        ({"lora_rank": 8, "lora_dropout": 1}, "less than 1"),
    ],
)
def test_what_adapters_need(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Training(**settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"adam_beta1": 0.8, "optim": "adafactor"}, "`adam_beta1` goes with an `optim` of AdamW"),
        ({"warmup_steps": 3, "warmup_ratio": 0.1}, "say the same: give one of them"),
        ({"warmup_steps": 0}, "greater than 0"),
        ({"adam_beta2": 1}, "less than 1"),
        ({"adam_epsilon": 0}, "greater than 0"),
    ],
)
def test_a_setting_that_would_be_ignored_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Training(**settings)
