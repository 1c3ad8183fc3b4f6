"""Which nights of a pair may be compared: on the same host, with the same stack, doing the same
work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.schema.record import JobRecord, MeasurementInfo, protocol_of, trained_length
from report.analysis.provenance_diff import flatten
from report.loading.runs import Run
from report.regressions.thresholds import Comparable

# What changes how long a job lasts, or only what is drawn or printed, but not how long a step
# takes.
_NOT_IN_A_STEP = frozenset(
    {"seed", "epochs", "max_steps", "evaluate", "eval_batch_size", "logging_steps"}
)
_NOT_THE_WORK = frozenset({"seed"})
_OF_TASK = {"name", "kind", "subset", "options", "files_sha256", "dataset", "dataset_config"}
_IN_LABEL = ("torch", "onnxruntime-training", "onnxruntime-training-cpu", "transformers")
SIDES = ("baseline", "candidate")


@dataclass(frozen=True)
class Setting:
    """Everything that must be equal: facts by dotted name. `label` names the host for a reader."""

    facts: tuple[tuple[str, str], ...]
    label: str

    def against(self, earlier: Setting) -> list[str]:
        """What is not as it was `earlier`, as phrases: "driver: 550.54 → 580.65"."""
        now, then = dict(self.facts), dict(earlier.facts)
        return [
            f"{key}: {then.get(key, 'none')} → {now.get(key, 'none')}"
            for key in dict.fromkeys([*then, *now])
            if then.get(key) != now.get(key)
        ]


def setting_of(
    run: Run, jobs: tuple[JobRecord, JobRecord], rules: Comparable, *, whole_jobs: bool = False
) -> Setting:
    """The setting of a pair in `run`, from one replicate of its (baseline, candidate).

    `whole_jobs`: times are end to end, so it matters how much was trained. A fault that was
    injected on purpose (`injected_delay_ms`) is no setting: it must be found.
    """
    host = _host(run, jobs[0], rules)
    packages = _packages(run, jobs, rules)
    label = [host["card" if "card" in host else "machine"]]
    label += [f"driver {host['driver']}"] if "driver" in host else []
    label += [
        f"{name} {version}"
        for name, version in packages.items()
        if name.split(" (")[0] in _IN_LABEL
    ]
    facts = {
        **host,
        **packages,
        **_work(run, jobs, _NOT_THE_WORK if whole_jobs else _NOT_IN_A_STEP),
    }
    return Setting(tuple(facts.items()), ", ".join(label))


def _host(run: Run, job: JobRecord, rules: Comparable) -> dict[str, str]:
    host = run.info.host
    if host.gpus and job.device != "cpu":
        cards = [
            str(gpu.get("name")) + (f" ({_short(gpu.get('uuid'))})" if rules.card else "")
            for gpu in host.gpus
        ]
        return {
            "card": " + ".join(sorted(cards)),
            **({"driver": str(host.driver)} if rules.driver else {}),
        }
    named = f" ({host.name_sha256[:12]})" if rules.card and host.name_sha256 else ""
    return {"machine": f"{host.cpu or 'unknown processor'}, {host.cores} cores{named}"}


def _short(uuid: Any) -> str:
    return str(uuid)[:16] if uuid else "no UUID"


def _packages(run: Run, jobs: tuple[JobRecord, JobRecord], rules: Comparable) -> dict[str, str]:
    """Versions; those that are not the same in both arms' stacks once for each arm."""
    of = [job.packages or run.info.packages for job in jobs]
    found: dict[str, str] = {}
    for name in rules.packages:
        versions = [stack.get(name) for stack in of]
        if versions[0] == versions[1]:
            found.update({name: versions[0]} if versions[0] else {})
        else:
            found.update(
                {f"{name} ({side})": v for side, v in zip(SIDES, versions, strict=True) if v}
            )
    return found


def _work(run: Run, jobs: tuple[JobRecord, JobRecord], left_out: frozenset[str]) -> dict[str, str]:
    measuring = run.info.measurement or MeasurementInfo()
    one, other = jobs
    said: dict[str, Any] = {
        "device": one.device,
        "model": one.workload.model.model_dump(),
        "weights": one.sources.weights,
        "task": one.workload.task.model_dump(include=_OF_TASK),
        "data": one.sources.data,
        "training": _training(one, left_out),
        "protocol": protocol_of(one),
        "threads": measuring.threads,
        "warm-up steps": measuring.warmup_steps,
    }
    if other.workload.training != one.workload.training or trained_length(other) != trained_length(
        one
    ):
        said["training (candidate)"] = _training(other, left_out)
    for side, job in zip(SIDES, jobs, strict=True):
        said[side] = job.arm.model_dump(include={"backend", "stack", "attention", "options"})
    return {key: str(value) for key, value in flatten(said).items()}


def _training(job: JobRecord, left_out: frozenset[str]) -> dict[str, Any]:
    """The training settings, with the length that was trained in place of the one asked for."""
    settings = job.workload.training.model_dump(exclude=set(left_out))
    return {**settings, "max_seq_length": trained_length(job)}
