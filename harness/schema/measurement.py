"""The `measurement` section of a suite: how often, in which order, by which protocol, and when to
stop.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from harness.schema.workload import MOST_REPLICATES, MOST_SECONDS, Inference, Strict

ALONE_S = 2.0  # of a turn that an arm has to itself
# Of a group, that end with such turns: the first alone may be a cold one, which does not count.
ALONE_REPLICATES = 2
# NVML's utilization and power look back up to a second: the first one still shows the arm before.
SETTLES_S = 1.0
LONGEST_ALONE_S = 60.0


class Adaptive(Strict):
    """Stop a workload's pairs when the answer is precise enough; looked at after every ABBA quad
    (two replicates).
    """

    half_width_pp: float = Field(
        0.5,
        gt=0,
        description="target: half-width of the 95% interval of the throughput gain, in "
        "percentage points",
    )
    measure: Literal["steady_state", "end_to_end"] = "steady_state"
    min_replicates: int = Field(8, ge=2, description="replicates before the first look")
    max_replicates: int = Field(
        40,
        ge=2,
        le=MOST_REPLICATES,
        description="even under the sequential protocol: replicates are judged two at a time",
    )
    budget_minutes: float = Field(
        240, gt=0, le=MOST_SECONDS / 60, description="wall time of a workload's jobs together"
    )

    @model_validator(mode="after")
    def _bounds_fit(self) -> Adaptive:
        if self.min_replicates > self.max_replicates:
            raise ValueError(
                f"min_replicates ({self.min_replicates}) is more than max_replicates "
                f"({self.max_replicates})"
            )
        return self


class Interleaved(Strict):
    """The interleaved protocol: how the resident jobs of a group take turns."""

    seconds: float = Field(
        45,
        gt=0,
        le=MOST_SECONDS,
        description="measured time of one replicate of the group, all arms together",
    )
    steps: int | Literal["auto"] = Field(
        "auto",
        description="timed steps per turn; auto: chosen from the noise itself, in a group's "
        "first replicate",
    )
    lead_in_steps: int = Field(
        1,
        ge=0,
        description="steps at the head of each turn that are not timed; 0 leaves cold caches in "
        "the figures",
    )
    cores: int = Field(
        2, ge=0, le=4096, description="CPU cores the jobs are pinned to; 0: not pinned"
    )
    same_cores: bool = Field(
        True, description="all jobs on the same cores; false: each on `cores` of its own"
    )
    freeze_collector: bool = Field(
        True, description="Python's garbage collector frozen after the warm-up, all jobs"
    )
    realtime: bool = Field(
        False, description="SCHED_FIFO for all jobs after the warm-up, where the host allows it"
    )
    keep_awake: bool = Field(
        False,
        description="a process spins on each of the jobs' cores during the turns, and yields to "
        "everything else: a core that halts in each wait for the GPU wakes up late; needs `cores`",
    )

    alone_seconds: float | Literal["auto"] = Field(
        "auto",
        description="length of the turn that each arm has to itself at the end of two replicates; "
        "utilization, power and energy are read in it, without its first second, because other "
        "turns are too short to read them; not part of `seconds`; 0: no such turn; auto: 2 on a "
        "GPU, 0 on a CPU",
    )

    def alone_on(self, device: str) -> float:
        """Seconds of the turn that each arm has to itself on `cpu` or `cuda`; 0: it has none."""
        if self.alone_seconds == "auto":
            return ALONE_S if device == "cuda" else 0.0
        return self.alone_seconds

    @field_validator("alone_seconds", mode="before")
    @classmethod
    def _something_is_read_alone(cls, value: Any) -> Any:
        """Before the types are looked at, so that there is one message instead of one for each."""
        if value == "auto":
            return value
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not (value == 0 or SETTLES_S < value <= LONGEST_ALONE_S):
            raise ValueError(
                f"must be auto, 0, or seconds above {SETTLES_S:g} and up to {LONGEST_ALONE_S:g}: "
                f"nothing is read in the first {SETTLES_S:g} s"
            )
        return value

    @model_validator(mode="after")
    def _awake_are_the_cores_of_the_jobs(self) -> Interleaved:
        if self.keep_awake and not self.cores:
            raise ValueError(
                "`keep_awake: true` needs `cores` of 1 or more: jobs that are not pinned have no "
                "cores of their own to be kept awake"
            )
        return self


class ParitySettings(Strict):
    """The gate: both arms must learn alike before a gain counts."""

    steps: int = Field(
        20, ge=2, description="steps of the parity runs at dropout 0, same seed, same order"
    )
    tolerance: float | None = Field(
        None,
        gt=0,
        description="largest difference of a step's loss between parity runs; null: by precision, "
        "1e-4 in fp32, 2e-2 in fp16, 5e-2 in bf16",
    )


class Measurement(Strict):
    """How often and in which order."""

    protocol: Literal["sequential", "interleaved"] = Field(
        "sequential",
        description="sequential: each job trains its whole budget, in ABBA order; interleaved: the "
        "jobs of all arms of a workload are resident and take turns",
    )
    replicates: int = Field(
        4,
        ge=1,
        le=MOST_REPLICATES,
        description="fresh processes per arm; without effect under `adaptive`",
    )
    adaptive: Adaptive | None = Field(
        None, description="as many replicates as the precision of all pairs asks for"
    )
    interleaved: Interleaved = Interleaved()
    parity: ParitySettings | None = Field(
        ParitySettings(), description="null: no parity runs, and no gain is said to be at parity"
    )
    max_reruns: int = Field(2, ge=0, le=100, description="how often a disturbed quad is run again")
    contention: Literal["refuse", "note"] = Field(
        "refuse",
        description="refuse: a replicate that pauses, or other processes on its cores, disturbed "
        "heavily "
        "is contaminated and its quad runs again; note: it counts, and the tables say so",
    )
    warmup_steps: int = Field(10, ge=1, description="steps never counted as steady state, at least")
    order_seed: int = Field(0, ge=0, description="decides which arm starts each ABBA quad")
    timeout_minutes: float = Field(240, gt=0, le=MOST_SECONDS / 60, description="of one job")
    memory_limit_gib: float | None = Field(
        None, gt=0, le=1_000_000, description="host memory one job may use"
    )
    telemetry_interval_ms: float = Field(
        100, ge=0, le=60_000, description="between samples of GPU and CPU; 0: none"
    )
    threads: int | None = Field(
        None,
        gt=0,
        le=4096,
        description="CPU threads of torch and ONNX Runtime; null: their defaults",
    )
    inference: Inference | None = Field(
        None,
        description="after training, the trained model by PyTorch and by ONNX Runtime; {}: with "
        "the defaults",
    )

    @model_validator(mode="after")
    def _inference_is_sequential(self) -> Measurement:
        if self.inference is not None and self.protocol == "interleaved":
            raise ValueError(
                "`inference` goes with `protocol: sequential`: in turns the other jobs are still "
                "training"
            )
        return self

    @model_validator(mode="after")
    def _turns_have_no_end_to_end(self) -> Measurement:
        adaptive = self.adaptive
        if adaptive is not None and adaptive.measure == "end_to_end" and self.is_interleaved:
            raise ValueError(
                "`adaptive: {measure: end_to_end}` goes with `protocol: sequential`: jobs that "
                "take turns wait for each other, so they have no time end to end"
            )
        return self

    @model_validator(mode="after")
    def _replicates_come_in_twos_in_sequence(self) -> Measurement:
        adaptive = self.adaptive
        if adaptive is not None and adaptive.max_replicates % 2 and not self.is_interleaved:
            raise ValueError(
                f"`adaptive: {{max_replicates: {adaptive.max_replicates}}}` must be even under "
                "`protocol: sequential`: replicates are made and judged two at a time"
            )
        return self

    @property
    def is_interleaved(self) -> bool:
        """Whether the arms of a workload take turns."""
        return self.protocol == "interleaved"

    @property
    def most_replicates(self) -> int:
        """Fresh processes per arm at most."""
        return self.adaptive.max_replicates if self.adaptive is not None else self.replicates
