"""The image's description: what can be known of it without a container engine. The steps:
docker/try_run_steps.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from script_support import ROOT, load_script

from harness.launcher.environment import environment_for
from harness.schema.workload import JobSpec
from harness.setup import stack

DOCKER = ROOT / "docker"
STACKS = ("cpu", "cuda")


try_run = load_script(DOCKER / "try_run_steps.py")
TEXT = (DOCKER / "Dockerfile").read_text()


def steps(variant: str) -> list[tuple[str, str]]:
    found = try_run.final_stage(try_run.read_dockerfile(TEXT), {"STACK": variant})
    return [(step.name, step.text) for step in found]


def environment(variant: str) -> dict[str, str]:
    found: dict[str, str] = {"PATH": "/usr/bin:/bin"}
    for name, text in steps(variant):
        if name == "ENV":
            found |= {
                key: try_run.substitute(value, found)
                for key, value in try_run.assignments(text).items()
            }
    return found


def last(variant: str, name: str) -> str:
    return [text for step, text in steps(variant) if step == name][-1]


@pytest.mark.parametrize("variant", STACKS)
def test_every_copied_path_is_in_the_context(variant: str) -> None:
    files = try_run.context_files(ROOT)
    copied = [
        try_run.options_of(text)[1].split()[:-1] for name, text in steps(variant) if name == "COPY"
    ]
    assert copied
    for source in (source for sources in copied for source in sources if source != "."):
        assert (ROOT / source).exists(), source
        assert any(file == source or file.startswith(f"{source}/") for file in files), (
            f"{source} is ignored"
        )


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_the_context_is_what_git_tracks() -> None:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True
    )
    tracked = {file for file in listed.stdout.split("\0") if file and (ROOT / file).exists()}
    ignored = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--others", "--ignored", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    )
    context = set(try_run.context_files(ROOT))
    # Committed runs reach a container with results/, which is mounted; anything else missing would
    # make it "dirty".
    assert {file for file in tracked - context if not file.startswith("results/")} == set()
    assert context & {file for file in ignored.stdout.split("\0") if file} == set()


def test_ignore_file_keeps_secrets_and_remotes_out_and_the_commit_in() -> None:
    ignore = try_run.Ignore((ROOT / ".dockerignore").read_text())
    for path in (
        ".env",
        ".netrc",
        ".git/config",
        ".git/FETCH_HEAD",
        ".git/hooks/pre-push",
        ".venv/bin/python",
    ):
        assert ignore.ignores(path), path
    for path in (
        ".cache/setup.log",
        "harness/__pycache__/a.pyc",
        "results/mine/jobs.jsonl",
        "x.egg-info/PKG-INFO",
    ):
        assert ignore.ignores(path), path
    for path in (
        ".git/HEAD",
        ".git/index",
        ".git/objects/aa/bb",
        ".git/refs/heads/main",
        "results/published/run.json",
    ):
        assert not ignore.ignores(path), path


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_what_is_left_of_git_still_names_the_commit(tmp_path: Path) -> None:
    from harness.results.provenance import git_state

    checkout, image = tmp_path / "checkout", tmp_path / "image"
    (checkout / "harness").mkdir(parents=True)
    (checkout / "harness" / "cli.py").write_text("x = 1\n")
    shutil.copy(ROOT / ".dockerignore", checkout)

    def git(*arguments: str) -> str:
        command = [
            "git",
            "-C",
            str(checkout),
            "-c",
            "user.name=A",
            "-c",
            "user.email=a@b.c",
            *arguments,
        ]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "--quiet")
    git("remote", "add", "origin", "https://user:secret@example.invalid/x.git")
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    for file in try_run.context_files(checkout):
        (image / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(checkout / file, image / file)
    for folder in ("refs/heads", "objects"):
        assert (image / ".git" / folder).is_dir()
    assert git_state(image) == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    assert not any(b"secret" in file.read_bytes() for file in image.rglob("*") if file.is_file())
    (image / "harness" / "cli.py").write_text("x = 22\n")
    assert git_state(image)["dirty"] is True


@pytest.mark.parametrize("variant", STACKS)
def test_set_up_and_runs_are_not_root(variant: str) -> None:
    user = "root"
    for name, text in steps(variant):
        if name == "USER":
            user = text
        if name == "RUN" and "make setup" in text:
            assert user == "1000:0"
    # A number: an orchestrator that demands "not root" cannot look a name up.
    assert user == "1000:0"


def test_both_images_differ_only_in_their_environment() -> None:
    cpu, cuda = (steps(variant) for variant in STACKS)
    assert [step for step in cpu if step[0] != "ENV"] == [step for step in cuda if step[0] != "ENV"]
    added = {
        "STACK": "cuda",
        "NVIDIA_VISIBLE_DEVICES": "all",
        "NVIDIA_DRIVER_CAPABILITIES": "compute,utility",
    }
    assert environment("cuda") == {**environment("cpu"), **added}
    assert environment("cpu")["STACK"] == "cpu"


def test_names_no_registry_no_index_and_no_secret() -> None:
    texts = {file.name: file.read_text() for file in DOCKER.iterdir() if file.is_file()}
    assert texts.keys() >= {"Dockerfile", "docker.sh", "entrypoint.sh", "try_run_steps.py"}
    for name, text in texts.items():
        assert re.findall(r"://|\b[\w-]+\.(?:com|org|io|net|dev)\b(?!\.image)", text) == [], name
        assert re.findall(r"(?i)(?:password|secret|token|api_?key)\s*[=:]\s*\S", text) == [], name
    bases = {text.split()[0] for name, text in steps("cuda") if name == "FROM"}
    assert bases == {"python:3.11-slim-bookworm"}


def test_base_and_stack_can_be_given() -> None:
    base = "mirror/python@sha256:" + "0" * 64
    stage = try_run.final_stage(try_run.read_dockerfile(TEXT), {"STACK": "cuda", "BASE": base})
    assert stage[0].text == base
    assert any(step.name == "ENV" and "NVIDIA_VISIBLE_DEVICES" in step.text for step in stage)


def test_packages_are_those_set_up_asks_for() -> None:
    installed = re.search(r"apt-get install --yes --no-install-recommends ([^&]+)&&", steps_text())
    assert installed is not None
    assert set(installed[1].split()) == {"ca-certificates", "g++", "git", "make"}


def steps_text() -> str:
    return " ".join(text for name, text in steps("cpu") if name == "RUN")


def test_set_up_has_all_it_reads_before_the_rest_is_copied() -> None:
    """Otherwise the stamp would not fit the finished image, and every container would set up anew."""
    names = [(name, text) for name, text in steps("cpu")]
    at = next(i for i, (name, text) in enumerate(names) if name == "RUN" and "make setup" in text)
    copied = [
        try_run.options_of(text)[1].split()[:-1] for name, text in names[:at] if name == "COPY"
    ]
    before = tuple(source for sources in copied for source in sources)
    read = [ROOT / "pyproject.toml", stack.CUDA11_LIBS, *(ROOT / "requirements").glob("*.txt")]
    read += (ROOT / "harness" / "setup").glob("*.[ps]*")
    for file in read:
        name = str(file.relative_to(ROOT))
        assert any(name == source or name.startswith(f"{source}/") for source in before), name


@pytest.mark.parametrize("variant", STACKS)
def test_everything_written_at_run_time_lies_in_a_volume(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = environment(variant)
    volumes = json.loads(last(variant, "VOLUME"))
    for name in ("HOME", "XDG_CACHE_HOME", "HF_HOME", "CUDA_CACHE_PATH"):
        assert any(
            variables[name] == volume or variables[name].startswith(f"{volume}/")
            for volume in volumes
        ), name
    assert "/app/results" in volumes
    assert last(variant, "WORKDIR") == "/app"  # `harness run` writes to results/ below it
    monkeypatch.setenv("XDG_CACHE_HOME", variables["XDG_CACHE_HOME"])
    assert str(stack.cache_root()).startswith("/cache/")
    monkeypatch.setenv("XDG_CACHE_HOME", variables["SETUP_CACHE"])
    assert not any(str(stack.cuda11_folder()).startswith(volume) for volume in volumes)
    assert f"XDG_CACHE_HOME={variables['SETUP_CACHE']} " in steps_text()


def test_set_up_asks_the_network_when_the_image_is_built_and_not_in_a_container() -> None:
    names = [name if name != "ENV" else text for name, text in steps("cuda")]
    offline = next(i for i, text in enumerate(names) if "UV_OFFLINE=1" in text)
    assert offline > max(i for i, name in enumerate(names) if name == "RUN")


def test_jobs_see_the_caches(job_spec: JobSpec) -> None:
    variables = environment("cuda")
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


def docker(tmp_path: Path, target: str, programs: Mapping[str, str], **variables: str) -> list[str]:
    """The words that `make TARGET`'s script gives to docker; programs on PATH stand in for those of
    a host.
    """
    words = tmp_path / "words"
    for name, body in {"docker": f'printf "%s\\n" "$@" > {words}', **programs}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    for name in ("docker.sh", "Dockerfile"):
        (tmp_path / "checkout" / "docker").mkdir(parents=True, exist_ok=True)
        shutil.copy(DOCKER / name, tmp_path / "checkout" / "docker")
    path = f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin"
    script = ["sh", str(tmp_path / "checkout" / "docker" / "docker.sh"), target]
    kept = {"PATH": path, "HF_TOKEN": "hidden"}
    done = subprocess.run(script, env={**kept, **variables}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return words.read_text().splitlines()


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
        tmp_path, "bench", DRIVER, SUITE="configs/smoke.yaml", ARGS="--set measurement.launches=1"
    )
    results = tmp_path / "checkout" / "results"
    assert f"{results}:/app/results" in words
    assert "training-backend-bench-cache:/cache" in words
    owner = results.stat()
    assert after(words, "--user") == f"{owner.st_uid}:{owner.st_gid}"
    assert after(words, "--gpus") == "all"
    assert after(words, "--shm-size") == "8g"
    run = ["make", "bench", "SUITE=configs/smoke.yaml", "ARGS=--set measurement.launches=1"]
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
    assert mounted == set(json.loads(last("cpu", "VOLUME")))


def test_unknown_stack_is_refused(tmp_path: Path) -> None:
    script = ["sh", str(DOCKER / "docker.sh"), "build"]
    done = subprocess.run(
        script, env={"PATH": "/usr/bin:/bin", "STACK": "rocm"}, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "no stack 'rocm'\n  fix: STACK=cpu or STACK=cuda" in done.stderr
