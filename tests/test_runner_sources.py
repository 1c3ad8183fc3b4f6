"""`auto` sources, decided against real local HTTP servers and cache folders."""

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from runner_support import make_job

from harness.settings import JobSpec, Model, Task
from harness.sources import Hub, apply, resolve

MODEL, DATASET = "org/model", "nyu-mll/glue"


class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        known = self.path in (f"/{MODEL}/resolve/main/config.json", f"/datasets/{DATASET}/resolve/main/README.md")
        self.send_response(200 if known else 404)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def hub_server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def hub(tmp_path: Path, endpoint: str, **environment: str) -> Hub:
    return Hub({"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), **environment}, timeout_s=1.0)


def url(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def job(path: str | None = MODEL, weights: str = "auto", source: str = "auto", **changes: object) -> JobSpec:
    spec = make_job()
    model = Model.model_validate(
        {"name": "m", "path": path, "architecture": "bert-tiny", "weights": weights, **changes}
    )
    task = Task.model_validate({"name": "sst2", "source": source})
    return spec.model_copy(update={"workload": spec.workload.model_copy(update={"model": model, "task": task})})


def test_a_hub_that_answers_is_taken(tmp_path: Path, hub_server: ThreadingHTTPServer) -> None:
    jobs = [job(), job()]
    resolved = resolve(jobs, hub(tmp_path, url(hub_server)))
    assert resolved.as_config() == {"data": {"sst2": "hub"}, "weights": {"m": "pretrained"}}
    assert resolved.notes == []
    assert len(hub_server.asked) == 2, "once per repository, not per job"  # type: ignore[attr-defined]
    done = apply(jobs[0], resolved)
    assert (done.workload.task.source, done.workload.model.weights) == ("hub", "pretrained")
    assert done.id == jobs[0].id


def test_a_model_the_hub_does_not_have_falls_back_alone(tmp_path: Path, hub_server: ThreadingHTTPServer) -> None:
    resolved = resolve([job("org/other")], hub(tmp_path, url(hub_server)))
    assert resolved.as_config() == {"data": {"sst2": "hub"}, "weights": {"m": "random"}}
    assert resolved.notes == ["weights of m: random"]


def test_offline_means_not_asked(tmp_path: Path, hub_server: ThreadingHTTPServer) -> None:
    resolved = resolve([job()], hub(tmp_path, url(hub_server), HF_HUB_OFFLINE="1"))
    assert resolved.as_config() == {"data": {"sst2": "synthetic"}, "weights": {"m": "random"}}
    assert resolved.notes == ["data of sst2: built-in sst2-like corpus (synthetic)", "weights of m: random"]
    assert hub_server.asked == []  # type: ignore[attr-defined]


def test_a_hub_that_never_answers_costs_its_timeout_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begin = time.monotonic()
        resolved = resolve([job()], hub(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}"))
        assert time.monotonic() - begin < 1.9
    assert resolved.data["sst2"] == "synthetic"


def test_a_local_cache_and_a_local_folder_need_no_hub(tmp_path: Path) -> None:
    snapshot = tmp_path / "hf/hub/models--org--model/snapshots/abc"
    snapshot.mkdir(parents=True)
    offline = hub(tmp_path, "http://127.0.0.1:9", HF_HUB_OFFLINE="1")
    (snapshot / "config.json").touch()
    assert not offline.has_model(MODEL), "a tokenizer's or config's visit leaves no weights"
    (snapshot / "model.safetensors").touch()
    assert offline.has_model(MODEL)
    assert not offline.has_dataset(DATASET, "sst2")
    parquet = tmp_path / "hf/hub/datasets--nyu-mll--glue/snapshots/abc/sst2/train-0.parquet"
    parquet.parent.mkdir(parents=True)
    parquet.touch()
    assert offline.has_dataset(DATASET, "sst2")
    assert not offline.has_dataset(DATASET, "cola")
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").touch()
    assert offline.has_model(str(folder))


def test_what_is_demanded_and_impossible_is_warned_about(tmp_path: Path) -> None:
    offline = hub(tmp_path, "http://127.0.0.1:9", HF_HUB_OFFLINE="1")
    resolved = resolve([job(weights="pretrained", source="hub")], offline)
    assert resolved.as_config() == {"data": {"sst2": "hub"}, "weights": {"m": "pretrained"}}
    assert len(resolved.warnings) == 2
    assert "org/model" in resolved.warnings[1]


def test_an_earlier_decision_is_kept(tmp_path: Path, hub_server: ThreadingHTTPServer) -> None:
    earlier = {"data": {"sst2": "synthetic"}, "weights": {"m": "random"}}
    resolved = resolve([job()], hub(tmp_path, url(hub_server)), earlier)
    assert resolved.as_config() == earlier
    assert hub_server.asked == []  # type: ignore[attr-defined]
