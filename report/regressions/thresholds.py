"""When a change is an alarm and which nights may be compared: the format of configs/check.yaml."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from harness.schema.workload import Strict
from harness.schema.yaml_text import load_model

DEFAULT_FILE = Path("configs/check.yaml")
STACK = (
    "torch",
    "onnxruntime-training",
    "onnxruntime-training-cpu",
    "torch-ort",
    "onnx",
    "transformers",
    "optimum",
    "accelerate",
    "numpy",
)


class Thresholds(Strict):
    """Of the detector (report.regressions.detector). `sigmas`: standard deviations of a normal
    distribution.
    """

    sigmas: float = Field(
        2.3, gt=0, description="alarm of one or two nights; a second run the same night decides"
    )
    sigmas_long: float = Field(2.7, gt=0, description="the same for tails of 3 nights and more")
    sigmas_again: float = Field(
        2.1, gt=0, description="the second run alone must be so far off, to the same side"
    )
    sigmas_alone: float = Field(2.8, gt=0, description="an alarm that no second run was made for")
    sigmas_few: float = Field(
        3.1, gt=0, description="an alarm after fewer than min_nights, with a second run or without"
    )
    least_change_percent: float = Field(
        1.0, ge=0, description="percent of the level: what is less is never an alarm"
    )
    least_noise_percent: float = Field(
        0.2, gt=0, description="percent: the noise is never taken to be less"
    )
    fixed_bound_percent: float = Field(
        5.0, gt=0, description="percent: what is less is no alarm after fewer than min_nights"
    )
    first_bound_percent: float = Field(
        10.0, gt=0, description="percent: the same after fewer than five nights"
    )
    min_nights: int = Field(
        10, ge=3, description="nights before the tail from which on the bounds above are not needed"
    )
    baseline_nights: int = Field(60, ge=3, description="nights before tonight that are looked at")
    longest_tail: int = Field(8, ge=1, description="nights")
    watch_score: float = Field(
        0.85, gt=0, le=1, description="share of an alarm's threshold from which a pair is on watch"
    )

    @model_validator(mode="after")
    def _bounds_fit(self) -> Thresholds:
        if self.baseline_nights < self.min_nights:
            raise ValueError(
                f"baseline_nights ({self.baseline_nights}) is less than min_nights "
                f"({self.min_nights})"
            )
        if self.sigmas_alone < self.sigmas:
            raise ValueError(
                f"sigmas_alone ({self.sigmas_alone:g}) is less than sigmas ({self.sigmas:g})"
            )
        return self


class Comparable(Strict):
    """What must be equal, besides the pair's own settings, for two nights to be on comparable
    hosts.
    """

    card: bool = Field(
        True,
        description="the very card (its UUID), or the machine where there is none; else its model",
    )
    driver: bool = Field(True, description="the driver's version")
    packages: list[str] = Field(
        list(STACK), description="versions of these packages in both arms' stacks"
    )


class CheckConfig(Strict):
    """configs/check.yaml."""

    thresholds: Thresholds = Thresholds()
    comparable: Comparable = Comparable()


def load_config(file: Path | None = None) -> CheckConfig:
    """The configuration in `file`; None: of configs/check.yaml, else the built-in one. BenchError:
    file:line, why.
    """
    if file is None:
        return load_model(DEFAULT_FILE, CheckConfig) if DEFAULT_FILE.is_file() else CheckConfig()
    return load_model(file, CheckConfig)
