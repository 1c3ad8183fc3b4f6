"""The description of the container image and the scripts around it, as far as they can be checked
without building the image. `tests/slow/test_docker_image.py` builds it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from folders import ROOT

from harness.launcher.environment import environment_for
from harness.schema.job import JobSpec
from harness.setup import stack

DOCKER = ROOT / "docker"
TEXT = (DOCKER / "Dockerfile").read_text()
# One string per instruction, with continuation lines joined and comments left out.
STEPS = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", TEXT)).splitlines()


def arguments(instruction: str) -> list[str]:
    """What follows each use of an instruction in the Dockerfile, in order."""
    return [step.partition(" ")[2] for step in STEPS if step.startswith(f"{instruction} ")]


def environment() -> dict[str, str]:
    """The variables of a container, without those of its base image."""
    pairs = (word.partition("=") for text in arguments("ENV") for word in text.split())
    return {name: value for name, _, value in pairs}


def volumes() -> list[str]:
    (text,) = arguments("VOLUME")
    found: list[str] = json.loads(text)
    return found


def test_names_no_registry_no_index_and_no_secret() -> None:
    texts = {file.name: file.read_text() for file in DOCKER.iterdir() if file.is_file()}
    assert texts.keys() >= {"Dockerfile", "docker.sh", "entrypoint.sh"}
    for name, text in texts.items():
        assert re.findall(r"://|\b[\w-]+\.(?:com|org|io|net|dev)\b(?!\.image|/gpu=)", text) == [], (
            name
        )
        assert re.findall(r"(?i)(?:password|secret|token|api_?key)\s*[=:]\s*\S", text) == [], name
    assert arguments("ARG")[0] == "BASE=python:3.11-slim-bookworm"


def test_set_up_and_runs_are_not_root() -> None:
    # A number: an orchestrator that demands "not root" cannot look a name up.
    assert arguments("USER") == ["1000:0"]
    (set_up,) = [at for at, step in enumerate(STEPS) if "make setup" in step]
    assert STEPS.index("USER 1000:0") < set_up


def test_set_up_has_all_it_reads_before_the_rest_is_copied() -> None:
    """Otherwise the stamp does not fit the finished image, and each container sets up anew."""
    (set_up,) = [at for at, step in enumerate(STEPS) if "make setup" in step]
    copied = [step.split()[2:-1] for step in STEPS[:set_up] if step.startswith("COPY ")]
    before = tuple(source for sources in copied for source in sources)
    read = [ROOT / "pyproject.toml", stack.CUDA11_LIBS, *(ROOT / "requirements").glob("*.txt")]
    read += (ROOT / "harness" / "setup").glob("*.[ps]*")
    look = "import sys, harness.setup.__main__; print(*(m for m in sys.modules if 'harness' in m))"
    modules = subprocess.run(
        [sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in modules:
        path = ROOT.joinpath(*name.split("."))
        read.append(path / "__init__.py" if path.is_dir() else path.with_suffix(".py"))
    for file in read:
        name = str(file.relative_to(ROOT))
        assert any(name == source or name.startswith(f"{source}/") for source in before), name


def test_everything_written_at_run_time_lies_in_a_volume(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = environment()
    for name in ("HOME", "XDG_CACHE_HOME", "HF_HOME", "CUDA_CACHE_PATH"):
        assert f"{variables[name]}/".startswith("/cache/"), name
    assert volumes() == ["/cache", "/app/results"]
    assert arguments("WORKDIR") == ["/app"]  # `harness run` writes to results/ below it
    monkeypatch.setenv("XDG_CACHE_HOME", variables["SETUP_CACHE"])
    assert not str(stack.cuda11_folder()).startswith("/cache/")
    (set_up,) = [text for text in arguments("RUN") if "make setup" in text]
    assert f"XDG_CACHE_HOME={variables['SETUP_CACHE']} " in set_up


def test_jobs_see_the_caches(job_spec: JobSpec) -> None:
    variables = environment()
    seen = environment_for(job_spec, variables, ROOT)
    for name in ("HOME", "XDG_CACHE_HOME", "HF_HOME", "CUDA_CACHE_PATH"):
        assert seen[name] == variables[name]
    assert int(seen["CUDA_CACHE_MAXSIZE"]) >= stack.KERNEL_CACHE_BYTES


@pytest.fixture
def job_spec() -> JobSpec:
    from harness.config import load_suite
    from harness.planning.plan import make_plan

    return make_plan(
        load_suite(ROOT / "configs" / "smoke.yaml", []), device="cpu", cache_dir=Path("cache")
    ).jobs[0]


def enter(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """docker/entrypoint.sh with an image's set-up cache and a volume below `folder`."""
    variables = {
        **os.environ,
        "SETUP_CACHE": str(folder / "made"),
        "XDG_CACHE_HOME": str(folder / "volume"),
    }
    script = ["sh", str(DOCKER / "entrypoint.sh"), *command]
    return subprocess.run(script, env=variables, capture_output=True, text=True)


def test_entrypoint_shows_set_ups_cache_in_an_empty_and_in_an_old_volume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "made"))
    library = stack.cuda11_folder() / "nvidia" / "cudnn" / "lib"
    library.mkdir(parents=True)
    extensions = stack.cache_root() / "extensions" / "torch1-ort1-cp311-cuda"
    extensions.mkdir(parents=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "volume"))
    for _ in range(2):
        done = enter(tmp_path, "sh", "-c", "echo in; exit 7")
        assert (done.returncode, done.stdout, done.stderr) == (7, "in\n", "")
        assert [Path(path).resolve() for path in stack.cuda11_libraries()] == [library]
        assert (stack.cache_root() / "extensions" / extensions.name).resolve() == extensions

    # Links of an older image lead nowhere now; a folder that a set-up made in the volume stays.
    stack.cuda11_folder().unlink()
    stack.cuda11_folder().symlink_to(tmp_path / "gone")
    own = stack.cache_root() / "extensions" / extensions.name
    own.unlink()
    own.mkdir()
    assert enter(tmp_path, "true").returncode == 0
    assert stack.cuda11_folder().resolve() == library.parents[2]
    assert own.is_dir()
    assert not own.is_symlink()
    assert list(own.iterdir()) == []


def run_script(
    tmp_path: Path, target: str, programs: Mapping[str, str], **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run `make TARGET`'s script in a checkout of its own.

    `programs` are shell scripts on PATH, beside the few programs that the script needs. What an
    engine is given is appended to the file `words`.
    """
    on_path = tmp_path / "bin"
    shutil.rmtree(on_path, ignore_errors=True)
    on_path.mkdir()
    (tmp_path / "words").write_text("")
    for name in ("dirname", "grep", "uname", "stat", "id", "mkdir", "chmod", "chown", "sh"):
        (on_path / name).symlink_to(shutil.which(name) or "/nowhere")
    for name, body in programs.items():
        (on_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (on_path / name).chmod(0o755)
    for name in ("docker.sh", "Dockerfile"):
        (tmp_path / "checkout" / "docker").mkdir(parents=True, exist_ok=True)
        shutil.copy(DOCKER / name, tmp_path / "checkout" / "docker")
    script = ["/bin/sh", str(tmp_path / "checkout" / "docker" / "docker.sh"), target]
    kept = {"PATH": str(on_path), "HOME": str(tmp_path), "HF_TOKEN": "hidden"}
    return subprocess.run(script, env={**kept, **variables}, capture_output=True, text=True)


def engine(tmp_path: Path, name: str) -> dict[str, str]:
    """A program that notes its name and its words and prints what `buildah from` prints."""
    note = f'printf "%s\\n" {name} "$@" >> {tmp_path / "words"}'
    return {name: f"{note}\necho the-container"}


def docker(tmp_path: Path, target: str, programs: Mapping[str, str], **variables: str) -> list[str]:
    """The words that `make TARGET`'s script gives to docker on a host with these programs."""
    programs = {**engine(tmp_path, "docker"), **programs}
    done = run_script(tmp_path, target, programs, **variables)
    assert done.returncode == 0, done.stderr
    return (tmp_path / "words").read_text().splitlines()[1:]


DRIVER = {"nvidia-smi": "echo 'GPU 0: NVIDIA A100 (UUID: GPU-0)'"}
NO_DRIVER = {"nvidia-smi": "echo failed >&2; exit 9"}


def after(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


def test_build_takes_the_stack_of_the_host(tmp_path: Path) -> None:
    words = docker(tmp_path, "build", DRIVER)
    assert after(words, "--build-arg") == "STACK=cuda"
    assert after(words, "--tag") == "training-backend-bench:cuda"
    words = docker(
        tmp_path, "build", NO_DRIVER, BASE="python@sha256:0", BUILD_ARGS="--pull --no-cache"
    )
    assert after(words, "--build-arg") == "STACK=cpu"
    assert words[-5:] == ["--build-arg", "BASE=python@sha256:0", "--pull", "--no-cache", "."]
    assert after(words, "--file") == "docker/Dockerfile"
    assert after(docker(tmp_path, "build", DRIVER, STACK="cpu"), "--build-arg") == "STACK=cpu"


def test_bench_mounts_results_as_their_owner_and_asks_for_gpus_where_there_are_any(
    tmp_path: Path,
) -> None:
    words = docker(
        tmp_path, "bench", DRIVER, SUITE="configs/smoke.yaml", ARGS="--set measurement.replicates=1"
    )
    results = tmp_path / "checkout" / "results"
    assert f"{results}:/app/results" in words
    assert "training-backend-bench-cache:/cache" in words
    owner = results.stat()
    assert after(words, "--user") == f"{owner.st_uid}:{owner.st_gid}"
    assert after(words, "--gpus") == "all"
    assert after(words, "--shm-size") == "8g"
    run = ["make", "bench", "SUITE=configs/smoke.yaml", "ARGS=--set measurement.replicates=1"]
    assert words[words.index("training-backend-bench:cuda") + 1 :] == run
    assert "HF_TOKEN" in words
    assert not any("hidden" in word for word in words)
    assert "--gpus" not in docker(tmp_path, "bench", NO_DRIVER)
    assert "--gpus" not in docker(tmp_path, "bench", NO_DRIVER, STACK="cuda")
    assert "--gpus" not in docker(tmp_path, "bench", DRIVER, STACK="cpu")


def test_volumes_of_the_script_are_those_of_the_image(tmp_path: Path) -> None:
    words = docker(tmp_path, "bench", NO_DRIVER)
    mounted = {
        words[i + 1].rpartition(":")[2] for i, word in enumerate(words) if word == "--volume"
    }
    assert mounted == set(volumes())


def test_the_first_engine_that_is_there_is_taken(tmp_path: Path) -> None:
    there = {name: engine(tmp_path, name)[name] for name in ("buildah", "docker", "podman")}
    for expected in ("docker", "podman", "buildah"):
        assert run_script(tmp_path, "build", there, STACK="cpu").returncode == 0
        words = (tmp_path / "words").read_text().splitlines()
        assert words[:2] == [expected, "build"]
        named = run_script(tmp_path, "build", there, STACK="cpu", DOCKER="buildah")
        assert named.returncode == 0
        assert (tmp_path / "words").read_text().startswith("buildah\n")
        del there[expected]


@pytest.mark.parametrize("target", ["build", "bench"])
def test_without_an_engine_there_is_one_clear_error(tmp_path: Path, target: str) -> None:
    done = run_script(tmp_path, target, {}, STACK="cpu")
    assert done.returncode == 2
    assert done.stderr == (
        "docker: no container engine: docker, podman and buildah are not on PATH\n"
        "  fix: install one of them, or name one by DOCKER=…; "
        "without a container, use make bench\n"
    )
    done = run_script(tmp_path, target, {}, STACK="cpu", DOCKER="nerdctl")
    assert (done.returncode, done.stderr.count("\n")) == (2, 2)
    assert "DOCKER: there is no program 'nerdctl'\n  fix: DOCKER=docker, podman" in done.stderr


def test_podman_is_given_gpus_by_its_own_option(tmp_path: Path) -> None:
    done = run_script(tmp_path, "bench", {**engine(tmp_path, "podman"), **DRIVER})
    assert done.returncode == 0, done.stderr
    words = (tmp_path / "words").read_text().splitlines()
    assert after(words, "--device") == "nvidia.com/gpu=all"
    assert "--gpus" not in words


def test_buildah_runs_a_container_and_removes_it(tmp_path: Path) -> None:
    programs = {**engine(tmp_path, "buildah"), **NO_DRIVER}
    done = run_script(tmp_path, "bench", programs, SUITE="configs/smoke.yaml")
    assert done.returncode == 0, done.stderr
    words = (tmp_path / "words").read_text().splitlines()
    started, ran, removed = (words.index(word) for word in ("from", "run", "rm"))
    assert started < ran < removed
    assert words[started:ran][-2] == "training-backend-bench:cpu"
    cache = tmp_path / ".cache" / "training-backend-bench-container"
    assert {f"{cache}:/cache", f"{tmp_path / 'checkout' / 'results'}:/app/results"} <= set(words)
    assert cache.is_dir()
    # buildah does not run the image's ENTRYPOINT.
    command = ["/bin/sh", "/app/docker/entrypoint.sh", "make", "bench", "SUITE=configs/smoke.yaml"]
    assert words[words.index("--") + 1 :][: len(command)] == command
    assert words[removed:] == ["rm", "the-container"]
    refused = run_script(tmp_path, "bench", {**programs, **DRIVER})
    assert refused.returncode == 2
    assert "buildah gives a container no GPU\n  fix: use docker or podman" in refused.stderr


def test_a_failed_bench_keeps_its_exit_code_under_buildah(tmp_path: Path) -> None:
    program = f'{engine(tmp_path, "buildah")["buildah"]}\n[ "$1" != run ] || exit 3'
    assert run_script(tmp_path, "bench", {"buildah": program}, STACK="cpu").returncode == 3
    assert (tmp_path / "words").read_text().endswith("rm\nthe-container\n")


def test_unknown_stack_is_refused(tmp_path: Path) -> None:
    script = ["sh", str(DOCKER / "docker.sh"), "build"]
    done = subprocess.run(
        script, env={"PATH": "/usr/bin:/bin", "STACK": "rocm"}, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "no stack 'rocm'\n  fix: STACK=cpu or STACK=cuda" in done.stderr
