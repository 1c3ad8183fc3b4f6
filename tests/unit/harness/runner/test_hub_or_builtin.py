"""`auto` sources, decided against real local HTTP servers and cache folders."""

import io
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from folders import ROOT
from runner_support import WORKER, make_job, make_plan

from harness.errors import BenchError
from harness.planning import hub as hub_module
from harness.planning.hub import Hub, folder_of
from harness.results.run_folder import read_info
from harness.runner.display import LineDisplay
from harness.runner.hub_or_builtin import resolve
from harness.runner.runner import RunOptions, run
from harness.schema.job import JobSpec
from harness.schema.workload import Model, Task

MODEL, DATASET = "org/model", "nyu-mll/glue"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        known = self.path in (
            f"/{MODEL}/resolve/main/config.json",
            f"/datasets/{DATASET}/resolve/main/README.md",
        )
        status = self.server.broken.get(self.path.split("/resolve/")[0].lstrip("/"))
        self.send_response(status or (200 if known else 404))
        if not known and not status:
            self.send_header("X-Error-Code", "RepoNotFound")
        if status == 403:
            self.send_header("X-Error-Code", "GatedRepo")
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
    server.broken = {}  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def hub(tmp_path: Path, endpoint: str, offline: bool = False) -> Hub:
    cache, datasets = tmp_path / "hf" / "hub", tmp_path / "hf" / "datasets"
    return Hub(endpoint=endpoint, cache=cache, datasets=datasets, offline=offline, timeout_s=1.0)


def url(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def job(
    path: str | None = MODEL,
    weights: str = "auto",
    source: str = "auto",
    name: str = "m",
    **changes: object,
) -> JobSpec:
    spec = make_job()
    model = Model.model_validate(
        {"name": name, "path": path, "architecture": "bert-tiny", "weights": weights, **changes}
    )
    task = Task.model_validate({"name": "sst2", "source": source})
    return spec.model_copy(
        update={"workload": spec.workload.model_copy(update={"model": model, "task": task})}
    )


def cached(tmp_path: Path, repo: str = MODEL, *files: str) -> Path:
    """A snapshot in the hub's cache, as a download leaves it."""
    folder = tmp_path / "hf" / "hub" / f"models--{repo.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(COMMIT)
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True, exist_ok=True)
    for name in files:
        (snapshot / name).touch()
    return snapshot


def test_a_hub_that_answers_is_taken(tmp_path: Path, hub_server: ThreadingHTTPServer) -> None:
    jobs = [job(), job()]
    resolved = resolve(jobs, hub(tmp_path, url(hub_server)))
    assert resolved.as_config() == {"data": {"sst2": "hub"}, "weights": {"m": "pretrained"}}
    assert resolved.notes == []
    assert len(hub_server.asked) == 2, "once per repository, not per job"
    done = resolved.apply(jobs[0])
    assert (done.workload.task.source, done.workload.model.weights) == ("hub", "pretrained")
    assert done.id == jobs[0].id


def test_a_model_the_hub_does_not_have_falls_back_alone(
    tmp_path: Path, hub_server: ThreadingHTTPServer
) -> None:
    resolved = resolve([job("org/other")], hub(tmp_path, url(hub_server)))
    assert resolved.as_config() == {"data": {"sst2": "hub"}, "weights": {"m": "random"}}
    assert resolved.notes == ["weights of m: random (the hub does not have it, or not for you)"]


def test_a_model_that_asks_for_a_login_falls_back_alone(
    tmp_path: Path, hub_server: ThreadingHTTPServer
) -> None:
    hub_server.broken["org/other"] = 403  # type: ignore[attr-defined]
    resolved = resolve([job("org/other")], hub(tmp_path, url(hub_server)))
    assert resolved.as_config() == {"data": {"sst2": "hub"}, "weights": {"m": "random"}}
    assert "HF_TOKEN" in resolved.notes[0]


@pytest.mark.parametrize("status", [429, 500, 503, 401])
@pytest.mark.parametrize("which", ["a", "b"])
def test_an_unclear_answer_decides_for_the_whole_run(
    tmp_path: Path, hub_server: ThreadingHTTPServer, status: int, which: str
) -> None:
    """Whichever model is hit: the other ones do not get pretrained weights by luck."""
    hub_server.broken[{"a": "org/other", "b": MODEL}[which]] = status  # type: ignore[attr-defined]
    jobs = [job("org/other", name="first"), job(name="second")]
    resolved = resolve(jobs, hub(tmp_path, url(hub_server)))
    assert resolved.as_config() == {
        "data": {"sst2": "synthetic"},
        "weights": {"first": "random", "second": "random"},
    }
    (whole,) = [note for note in resolved.notes if "no clear answer" in note]
    assert f"status {status}" in whole
    assert "the weights of first (org/other), the weights of second (org/model)" in whole


def test_what_this_host_has_does_not_depend_on_the_hub(
    tmp_path: Path, hub_server: ThreadingHTTPServer
) -> None:
    hub_server.broken["org/other"] = 503  # type: ignore[attr-defined]
    cached(tmp_path, MODEL, "config.json", "model.safetensors")
    resolved = resolve([job("org/other", name="a"), job(name="b")], hub(tmp_path, url(hub_server)))
    assert resolved.weights == {"a": "random", "b": "pretrained"}


@pytest.mark.parametrize("status", [429, 503])
def test_an_unclear_answer_about_what_is_demanded_is_an_error(
    tmp_path: Path, hub_server: ThreadingHTTPServer, status: int
) -> None:
    hub_server.broken[MODEL] = status  # type: ignore[attr-defined]
    with pytest.raises(BenchError, match=rf"is not known \(status {status}\)") as caught:
        resolve(
            [job("org/other", name="other"), job(weights="pretrained")],
            hub(tmp_path, url(hub_server)),
        )
    assert caught.value.place == "models.m.path"
    assert "HF_HUB_OFFLINE=1" in caught.value.fix
    hub_server.broken = {DATASET: status}  # type: ignore[attr-defined]
    hub_server.broken[f"datasets/{DATASET}"] = status  # type: ignore[attr-defined]
    with pytest.raises(BenchError, match="is not known") as caught:
        resolve([job(source="hub")], hub(tmp_path, url(hub_server)))
    assert caught.value.place == "tasks.sst2.source"


def test_offline_means_not_asked(tmp_path: Path, hub_server: ThreadingHTTPServer) -> None:
    resolved = resolve([job()], hub(tmp_path, url(hub_server), offline=True))
    assert resolved.as_config() == {"data": {"sst2": "synthetic"}, "weights": {"m": "random"}}
    assert resolved.notes[0].startswith(
        "data of sst2: built-in sst2-like corpus (synthetic) (HF_HUB_OFFLINE"
    )
    assert resolved.notes[1].startswith("weights of m: random (HF_HUB_OFFLINE is set")
    assert hub_server.asked == []  # type: ignore[attr-defined]


def test_a_hub_that_never_answers_costs_its_timeout_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        resolved = resolve(
            [job(), job("a/b", name="b")],
            hub(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}"),
        )
        silent.setblocking(False)
        silent.accept()
        with pytest.raises(BlockingIOError):  # nobody asked a second time
            silent.accept()
    assert resolved.data["sst2"] == "synthetic"
    assert resolved.weights == {"m": "random", "b": "random"}
    assert "no answer within 1 s" in resolved.notes[0]


@pytest.mark.parametrize(
    ("innermost", "told"),
    [
        (socket.gaierror(-2, "Name or service not known"), "name resolution failed"),
        (ConnectionRefusedError(111, "Connection refused"), "connection refused"),
        (TimeoutError("timed out"), "no answer in time"),
        (ValueError(), "ValueError"),
    ],
)
def test_a_hub_that_cannot_be_reached_is_told_by_the_innermost_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, innermost: Exception, told: str
) -> None:
    def fails(*_: object, **__: object) -> bool:
        try:
            raise innermost
        except Exception as error:
            raise ConnectionError(f"Max retries exceeded with url: {'x' * 300}") from error

    monkeypatch.setattr("huggingface_hub.HfApi.file_exists", fails)
    answer = hub(tmp_path, "http://127.0.0.1:9").model(MODEL)
    assert (answer.state, answer.reason, answer.reached) == ("unclear", told, False)


def test_a_local_cache_and_a_local_folder_need_no_hub(tmp_path: Path) -> None:
    offline = hub(tmp_path, "http://127.0.0.1:9", offline=True)
    cached(tmp_path, MODEL, "config.json")
    assert not offline.has_cached_model(MODEL), "a tokenizer's or config's visit leaves no weights"
    snapshot = cached(tmp_path, MODEL, "model.safetensors.index.json")
    parts = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(parts))
    cached(tmp_path, MODEL, "model-1.safetensors")
    assert not offline.has_cached_model(MODEL), "a download that was stopped half way"
    cached(tmp_path, MODEL, "model-2.safetensors")
    assert offline.has_cached_model(MODEL)
    assert not offline.has_cached_dataset(DATASET, "sst2")
    prepared = tmp_path / "hf/datasets/nyu-mll___glue/sst2/0.0.0/abc/glue-train.arrow"
    prepared.parent.mkdir(parents=True)
    assert not offline.has_cached_dataset(DATASET, "sst2"), "a download that was stopped half way"
    prepared.touch()
    assert offline.has_cached_dataset(DATASET, "sst2")
    assert not offline.has_cached_dataset(DATASET, "cola")
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").touch()
    with pytest.raises(BenchError, match="no weights are in the folder"):
        resolve([job(str(folder))], offline)
    (folder / "model.safetensors").touch()
    assert resolve([job(str(folder))], offline).weights == {"m": "pretrained"}


def test_what_is_demanded_and_impossible_is_an_error(tmp_path: Path) -> None:
    offline = hub(tmp_path, "http://127.0.0.1:9", offline=True)
    with pytest.raises(
        BenchError, match="cannot have the weights of m \\(org/model\\): HF_HUB_OFFLINE is set"
    ):
        resolve([job(weights="pretrained")], offline)
    with pytest.raises(BenchError, match="cannot have the data of sst2"):
        resolve([job(source="hub")], offline)
    spec, task = job(), Task(name="sst2", source="folder", folder=Path("not/there"))
    spec = spec.model_copy(update={"workload": spec.workload.model_copy(update={"task": task})})
    with pytest.raises(BenchError, match="the folder not/there is not there") as caught:
        resolve([spec], offline)
    assert caught.value.place == "tasks.sst2.folder"


ABSENT = [
    "/data/my models/bert",
    "./checkpoints/bert-tiny",
    "../bert-tiny",
    "~/bert-tiny",
    "a/b/c",
    "a\\b",
    ".",
]


@pytest.mark.parametrize("path", ABSENT)
def test_a_folder_that_is_not_there_is_an_error_and_never_asked(
    tmp_path: Path, hub_server: ThreadingHTTPServer, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(BenchError) as caught:
        resolve([job(path), job(name="known")], hub(tmp_path, url(hub_server)))
    assert caught.value.place == "models.m.path"
    assert f"the folder {path}" in caught.value.message
    assert caught.value.fix
    assert hub_server.asked == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", ["модели/bert", "my models/bert", "a..b/c", "", "x" * 200])
def test_what_cannot_be_a_name_is_an_error_and_never_asked(
    tmp_path: Path, hub_server: ThreadingHTTPServer, path: str
) -> None:
    with pytest.raises(BenchError, match="no name that the hub could have"):
        resolve([job(path)], hub(tmp_path, url(hub_server)))
    assert hub_server.asked == []  # type: ignore[attr-defined]


def test_home_is_expanded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    for name in ("config.json", "pytorch_model.bin"):
        (tmp_path / "mine" / name).touch()
    offline = hub(tmp_path, "http://127.0.0.1:9", offline=True)
    assert resolve([job("~/mine")], offline).weights == {"m": "pretrained"}
    assert folder_of("~/mine") == tmp_path / "mine"
    with pytest.raises(BenchError, match="nobody's home"):
        resolve([job("~nobody-of-this-name/mine")], offline)


def test_names_on_the_hub_are_no_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert folder_of("bert-base-uncased") is None
    assert folder_of("org/model") is None
    (tmp_path / "org" / "model").mkdir(parents=True)
    assert folder_of("org/model") == Path("org/model")


@pytest.mark.parametrize(
    "variable",
    [
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "TRANSFORMERS_CACHE",
        "PYTORCH_TRANSFORMERS_CACHE",
        "HF_HOME",
        "XDG",
    ],
)
def test_every_variable_that_names_the_cache_is_heeded(
    tmp_path: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own, for huggingface_hub reads its environment when it is imported."""
    from harness.launcher.environment import environment_for

    cached(tmp_path, MODEL, "config.json", "model.safetensors")
    value = {"HF_HOME": tmp_path / "hf", "XDG": tmp_path}.get(variable, tmp_path / "hf" / "hub")
    if variable == "XDG":
        (tmp_path / "hf").rename(tmp_path / "huggingface")
        variable = "XDG_CACHE_HOME"
    caller = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "nothing"), variable: str(value)}
    ask = f"from harness.planning.hub import Hub; print(Hub().has_cached_model({MODEL!r}))"
    for environment in (
        caller,
        environment_for(make_job(), caller, ROOT),
    ):  # the runner's and the job's
        done = subprocess.run(
            [sys.executable, "-c", ask],
            env={**environment, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert done.stdout.strip() == "True", done.stderr


def test_an_earlier_decision_is_kept(tmp_path: Path, hub_server: ThreadingHTTPServer) -> None:
    earlier = {"data": {"sst2": "synthetic"}, "weights": {"m": "random"}}
    resolved = resolve([job()], hub(tmp_path, url(hub_server)), earlier)
    assert resolved.as_config() == earlier
    assert hub_server.asked == []  # type: ignore[attr-defined]


def test_the_stand_in_is_told_before_the_first_job(
    tmp_path: Path, hub_server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_server.broken[MODEL] = 503  # type: ignore[attr-defined]
    monkeypatch.setattr("harness.runner.runner.Hub", lambda: hub(tmp_path, url(hub_server)))
    plan = make_plan([{}, {}])
    jobs = tuple(
        one.model_copy(update={"workload": job(source="synthetic").workload}) for one in plan.jobs
    )
    printed = io.StringIO()
    outcome = run(
        replace(plan, jobs=jobs),
        tmp_path / "results",
        RunOptions(worker_command=WORKER),
        display=LineDisplay(printed),
    )
    first, second, third = printed.getvalue().splitlines()[:3]
    assert first.startswith(
        "the hub gave no clear answer (status 503): in the whole run a stand-in replaces"
    )
    assert "weights of m: random" in (second, third)
    assert "run scripted-" in printed.getvalue().split("weights of m: random")[1]
    info = read_info(outcome.folder)
    assert first in info.notes
    assert info.config["resolved_sources"]["weights"] == {"m": "random"}


def test_what_cannot_be_had_leaves_no_run(
    tmp_path: Path, hub_server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_server.broken[MODEL] = 429  # type: ignore[attr-defined]
    monkeypatch.setattr("harness.runner.runner.Hub", lambda: hub(tmp_path, url(hub_server)))
    plan = make_plan([{}, {}])
    demanded = job(weights="pretrained", source="synthetic").workload
    jobs = tuple(one.model_copy(update={"workload": demanded}) for one in plan.jobs)
    with pytest.raises(BenchError, match="is not known"):
        run(
            replace(plan, jobs=jobs),
            tmp_path / "results",
            RunOptions(worker_command=WORKER),
            display=LineDisplay(io.StringIO()),
        )
    assert list((tmp_path / "results").iterdir()) == []
    hub_server.broken.clear()  # type: ignore[attr-defined]
    outcome = run(
        replace(plan, jobs=jobs),
        tmp_path / "results",
        RunOptions(worker_command=WORKER),
        display=LineDisplay(io.StringIO()),
    )
    assert outcome.complete


def test_help_does_not_wait_for_the_hubs_client() -> None:
    look = (
        "import sys, harness.cli, harness.commands, harness.runner.hub_or_builtin; "
        "print('huggingface_hub' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert hub_module.HUB_TIMEOUT_S <= 10


def test_a_revision_is_asked_for_and_has_no_stand_in(
    tmp_path: Path, hub_server: ThreadingHTTPServer
) -> None:
    there = hub(tmp_path, url(hub_server))
    with pytest.raises(BenchError) as caught:
        resolve([job(revision="v2", source="synthetic")], there)
    assert caught.value.message.startswith(
        "cannot have the weights of m (org/model) of revision v2: the hub does not have it"
    )
    assert hub_server.asked == [f"/{MODEL}/resolve/v2/config.json"]  # type: ignore[attr-defined]
    snapshot = cached(tmp_path, MODEL, "config.json", "model.safetensors")
    (snapshot.parents[1] / "refs" / "v2").write_text(COMMIT)
    asked = resolve([job(revision="v2", source="synthetic")], hub(tmp_path, "", offline=True))
    assert asked.weights == {"m": "pretrained"}
    assert not hub(tmp_path, "", offline=True).has_cached_model(MODEL, "v3")


@pytest.mark.parametrize(
    ("changes", "place", "message"),
    [
        ({"revision": "v2"}, "models.m.revision", "is a folder, which has no revisions"),
        ({"tokenizer_path": "./t"}, "models.m.tokenizer_path", "the folder ./t is not there"),
        ({"config_path": "./c"}, "models.m.config_path", "the folder ./c is not there"),
        ({"config_path": "a b"}, "models.m.config_path", "no name that the hub could have"),
    ],
)
def test_parts_of_a_model_that_cannot_be(
    changes: dict[str, str], place: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "mine" / name).touch()
    with pytest.raises(BenchError) as caught:
        resolve([job(str(tmp_path / "mine"), **changes)], hub(tmp_path, "", offline=True))
    assert caught.value.place == place
    assert message in caught.value.message


def test_a_data_set_of_the_users_choice_has_no_stand_in(
    tmp_path: Path, hub_server: ThreadingHTTPServer
) -> None:
    spec, task = job(weights="random"), Task(name="own", source="hub", dataset="org/set")
    spec = spec.model_copy(update={"workload": spec.workload.model_copy(update={"task": task})})
    with pytest.raises(BenchError, match="cannot have the data set org/set: the hub does not"):
        resolve([spec], hub(tmp_path, url(hub_server)))
    asked = ["/datasets/org/set/resolve/main/.gitattributes"]
    assert hub_server.asked == asked  # type: ignore[attr-defined]
    with pytest.raises(BenchError, match="HF_HUB_OFFLINE or HF_DATASETS_OFFLINE is set") as caught:
        resolve([spec], hub(tmp_path, "", offline=True))
    assert caught.value.place == "tasks.own.dataset"
    prepared = tmp_path / "hf/datasets/org___set/default/0.0.0/abc/set-train.arrow"
    prepared.parent.mkdir(parents=True)
    prepared.touch()
    resolved = resolve([spec], hub(tmp_path, "", offline=True))
    assert resolved.apply(spec).workload.task == task


def test_what_the_users_files_hold_is_told_first(tmp_path: Path) -> None:
    files = {}
    for split, content in (
        ("train", "text,label\na,0\nb,1\n"),
        ("validation", "text,label\na,1\n"),
    ):
        files[f"{split}_file"] = tmp_path / f"{split}.csv"
        files[f"{split}_file"].write_text(content)
    spec, task = job(weights="random"), Task(name="own", source="files", **files)
    spec = spec.model_copy(update={"workload": spec.workload.model_copy(update={"task": task})})
    resolved = resolve([spec], hub(tmp_path, "", offline=True))
    assert resolved.data == {"own": "files"}
    assert resolved.notes[0] == (
        "data of own: train.csv and validation.csv; text in 'text' (the only column beside the "
        "label); 2 classes in 'label': 0, 1; 2 train samples, 1 validation samples"
    )
    files["train_file"].write_text("text,label\n,0\nb,1\n")
    with pytest.raises(BenchError, match="the text in 'text' is missing or empty"):
        resolve([spec], hub(tmp_path, "", offline=True))
