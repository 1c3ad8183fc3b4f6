"""The pages on adding a backend, a task and an exporter, followed: files written, packages
installed, commands run.

Each page's code blocks become the files that it names. Packages are built by the hook that `uv pip
install` calls, into an environment that sees the stack of this one but is not this one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from folders import ROOT

from harness.results.run_folder import read_records
from harness.schema.record import State

FILE = re.compile(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INSTALL = "uv pip install --python .venv/bin/python "


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the pages take it for granted: with .venv, where the harness and the stack are
    installed.
    """
    folder = tmp_path_factory.mktemp("reader")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    packages = _site_packages(folder)
    (packages / "stack.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
    for name in ("harness", "report"):
        script = folder / ".venv" / "bin" / name
        script.write_text(
            f"#!{folder}/.venv/bin/python\nimport sys\nfrom {name}.cli import "
            "main\nsys.exit(main())\n"
        )
        script.chmod(0o755)
    return folder


def _site_packages(folder: Path) -> Path:
    (found,) = (folder / ".venv" / "lib").glob("python*/site-packages")
    return found


def _install(folder: Path, project: str) -> None:
    build = (
        "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", build, str(folder / "wheels")],
        cwd=folder / project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with zipfile.ZipFile(folder / "wheels" / done.stdout.split()[-1]) as wheel:
        wheel.extractall(_site_packages(folder))


def _follow(folder: Path, page: str) -> str:
    """Write the page's files, run its commands; returns what they printed."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    files = FILE.findall(text)
    assert text.count("\n```python\n") + text.count("\n```toml\n") + text.count(
        "\n```yaml\n"
    ) == len(files)
    for name, content in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    commands = [line for block in COMMANDS.findall(text) for line in block.splitlines()]
    assert len(commands) == 2, "one that installs, one that uses it"
    assert commands[0].startswith(INSTALL)
    _install(folder, commands[0].removeprefix(INSTALL))
    done = subprocess.run(
        commands[1],
        shell=True,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def backend(place: Path) -> str:
    return _follow(place, "adding-a-backend.md")


@pytest.fixture(scope="module")
def task(place: Path) -> str:
    return _follow(place, "adding-a-task.md")


def test_a_backend_from_outside_trains_and_proves_itself(place: Path, backend: str) -> None:
    (folder,) = (place / "results").glob("deterministic-*")
    records = {record.arm.backend: record for record in read_records(folder)[0]}
    assert {name: record.state for name, record in records.items()} == {
        "pytorch": State.OK,
        "deterministic": State.OK,
    }
    proof = records["deterministic"].engagement
    assert proof is not None
    assert (proof.engaged, proof.checked_after_steps) == (True, [1, 16])
    assert records["pytorch"].first_loss == records["deterministic"].first_loss
    assert "| roberta-tiny | deterministic " in backend


def test_a_task_from_outside_is_learnt_by_both_arms(place: Path, task: str) -> None:
    (folder,) = (place / "results").glob("larger-*")
    records = {record.arm.backend: record for record in read_records(folder)[0]}
    assert {name: record.state for name, record in records.items()} == {
        "pytorch": State.OK,
        "onnxruntime": State.OK,
    }
    for record in records.values():
        assert record.workload.task.kind == "larger"
        assert record.workload.task.options == {"digits": 2}
        assert record.metrics["accuracy"] > 0.75  # 0.5 for whoever guesses
    proof = records["onnxruntime"].engagement
    assert proof is not None
    assert proof.engaged
    assert "| bert-tiny | ONNX Runtime " in task


def test_a_task_from_outside_by_hand(place: Path, task: str) -> None:
    """Evaluated alone: Trainer's bookkeeping has further entries then, which are no metrics."""
    options = (
        "--task larger --task-option digits=3 --max-train-samples 64 --max-eval-samples 32 "
        "--max-seq-length 16"
    )
    words = f"train --model-name-or-path bert-tiny {options} --do-eval --device cpu"
    done = subprocess.run(
        [".venv/bin/harness", *words.split(), "--output-dir", "by-hand"],
        cwd=place,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = json.loads((place / "by-hand" / "metrics.json").read_text())
    assert (metrics["state"], metrics["train_steps"]) == ("ok", None)
    assert {name for name in metrics if name.startswith("eval_")} == {"eval_accuracy", "eval_loss"}
    (folder,) = (place / "by-hand" / "runs").iterdir()
    (record,) = read_records(folder)[0]
    assert record.workload.task.options == {"digits": 3}
    assert (record.sources.train_samples, record.sources.eval_samples) == (64, 32)


def test_an_exporter_from_outside_writes_what_the_tables_show(
    place: Path, backend: str, task: str
) -> None:
    _follow(place, "adding-an-exporter.md")
    lines = [json.loads(line) for line in (place / "values.jsonl").read_text().splitlines()]
    series = {line["series"] for line in lines}
    assert {
        "bert-tiny-larger/onnxruntime/end-to-end-time",
        "roberta-tiny-sst2/deterministic/setup-time",
    } <= series
    assert all(line["unit"] and line["value"] is not None for line in lines)


def test_a_wrong_option_of_such_a_task_is_told_with_its_line(place: Path, task: str) -> None:
    text = (place / "larger.yaml").read_text().replace("digits: 2", "digit: 2")
    (place / "wrong.yaml").write_text(text)
    line = next(
        number for number, row in enumerate(text.splitlines(), start=1) if "digit: 2" in row
    )
    done = subprocess.run(
        [".venv/bin/harness", "run", "wrong.yaml"],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"wrong.yaml:{line}: tasks.larger.options.digit: unknown key 'digit'" in done.stderr
    assert "did you mean 'digits'?" in done.stderr
