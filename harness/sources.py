"""Whether data and weights come from the hub or from what is built in: `auto`, decided once per run and recorded."""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.settings import JobSpec, Model, Task
from harness.worker import tasks

DEFAULT_ENDPOINT = "https://huggingface.co"
HUB_TIMEOUT_S = 3.0
TRUE = {"1", "on", "yes", "true"}


class Hub:
    """What can be read of the hub from here: over the network, or from a local cache."""

    def __init__(self, environment: Mapping[str, str] = os.environ, timeout_s: float = HUB_TIMEOUT_S) -> None:
        self._env = environment
        self._timeout_s = timeout_s
        self._answers: dict[str, bool] = {}
        self._dead = any(
            environment.get(name, "").lower() in TRUE
            for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
        )
        home = Path(environment.get("HF_HOME") or Path(environment.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
        self._cache = Path(environment.get("HF_HUB_CACHE") or home / "hub").expanduser()
        self._datasets_cache = Path(environment.get("HF_DATASETS_CACHE") or home / "datasets").expanduser()

    def has_model(self, path: str) -> bool:
        """Whether a model's weights can be had: a local folder, a cached copy, or the hub."""
        if (Path(path).expanduser() / "config.json").is_file() or self._cached(
            "models", path, ("*.safetensors", "*.bin")
        ):
            return True
        return self._answers_for(f"{path}/resolve/main/config.json")

    def has_dataset(self, repo: str, subset: str) -> bool:
        """Whether a subset of a data set can be had: a cached copy, or the hub."""
        prepared = self._datasets_cache / repo.replace("/", "___") / subset
        if prepared.is_dir() or self._cached("datasets", repo, (f"{subset}/*.parquet",)):
            return True
        return self._answers_for(f"datasets/{repo}/resolve/main/README.md")

    def _cached(self, kind: str, repo: str, patterns: Iterable[str]) -> bool:
        snapshots = self._cache / f"{kind}--{repo.replace('/', '--')}" / "snapshots"
        return any(any(snapshots.glob(f"*/{pattern}")) for pattern in patterns)

    def _answers_for(self, path: str) -> bool:
        if self._dead:
            return False
        if path not in self._answers:
            self._answers[path] = self._head(
                (self._env.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/") + "/" + path
            )
        return self._answers[path]

    def _head(self, url: str) -> bool:
        answer: list[bool] = []

        def ask() -> None:
            headers = {"User-Agent": "training-backend-bench"}
            if token := self._env.get("HF_TOKEN"):
                headers["Authorization"] = f"Bearer {token}"
            try:
                request = urllib.request.Request(url, method="HEAD", headers=headers)
                with urllib.request.urlopen(request, timeout=self._timeout_s) as response:
                    answer.append(response.status == 200)
            except urllib.error.HTTPError:
                answer.append(False)
            except (OSError, ValueError):
                self._dead = True

        # In a thread: no timeout of urllib's covers a name server that does not answer.
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(self._timeout_s)
        if not answer:
            self._dead = True  # asked once, not once for every model
        return bool(answer) and answer[0]


@dataclass
class Resolved:
    """What `auto` became, by name of task and model, with what to tell the user and the reader of the tables."""

    data: dict[str, str] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def as_config(self) -> dict[str, Any]:
        """For RunInfo.config["resolved_sources"]: a resumed run takes the same decision from there."""
        return {"data": self.data, "weights": self.weights}


def resolve(jobs: Iterable[JobSpec], hub: Hub, earlier: Mapping[str, Any] | None = None) -> Resolved:
    """Decide every `auto` of the jobs, or take over the decision of the run that is resumed."""
    resolved = Resolved()
    earlier = earlier or {}
    for job in jobs:
        task, model = job.workload.task, job.workload.model
        if task.name not in resolved.data:
            resolved.data[task.name] = earlier.get("data", {}).get(task.name) or _data(task, hub, resolved)
            if resolved.data[task.name] == "synthetic":
                resolved.notes.append(f"data of {task.name}: built-in {task.data_name}-like corpus (synthetic)")
        if model.name not in resolved.weights:
            resolved.weights[model.name] = earlier.get("weights", {}).get(model.name) or _weights(model, hub, resolved)
            if resolved.weights[model.name] == "random":
                resolved.notes.append(f"weights of {model.name}: random")
    return resolved


def _data(task: Task, hub: Hub, resolved: Resolved) -> Literal["hub", "folder", "synthetic"]:
    if task.source == "folder" or task.source == "synthetic":  # mypy narrows only this form
        return task.source
    dataset = tasks.get(task.kind).hub_dataset(task)
    available = dataset is not None and hub.has_dataset(*dataset)
    if task.source == "hub" and not available:
        resolved.warnings.append(
            f"task {task.name} wants its data from the hub, which does not answer: its jobs will fail"
        )
    return "hub" if available or task.source == "hub" else "synthetic"


def _weights(model: Model, hub: Hub, resolved: Resolved) -> Literal["pretrained", "random"]:
    if model.weights == "random" or model.path is None:
        return "random"
    if hub.has_model(model.path):
        return "pretrained"
    if model.weights == "pretrained" or model.architecture is None:
        resolved.warnings.append(f"the weights of model {model.name} ({model.path}) cannot be read: its jobs will fail")
        return "pretrained"
    return "random"


def apply(job: JobSpec, resolved: Resolved) -> JobSpec:
    """The job with every `auto` replaced. Its id stays: what was decided belongs to the run."""
    task = job.workload.task.model_copy(update={"source": resolved.data[job.workload.task.name]})
    model = job.workload.model.model_copy(update={"weights": resolved.weights[job.workload.model.name]})
    return job.model_copy(update={"workload": job.workload.model_copy(update={"task": task, "model": model})})
