"""The container image, built and run by buildah, which needs no daemon.

The base image is made with debootstrap, so no image registry is needed. Building takes about eight
minutes, so this test runs only where BUILD_IMAGE=1 asks for it; the workflow on GitHub builds the
image with docker.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from folders import ROOT

PACKAGES = "ca-certificates,python3,python3-venv,python3-dev"
# How this host reaches its package index: the base image brings the same settings.
INDEX_VARIABLES = (
    "SSL_CERT_FILE PIP_CERT REQUESTS_CA_BUNDLE PIP_INDEX_URL UV_INDEX_URL UV_DEFAULT_INDEX "
    "http_proxy https_proxy no_proxy"
).split()
INDEX_FILES = ("etc/pip.conf", "etc/uv/uv.toml", "etc/ssl/certs/ca-certificates.crt")


def reason_to_skip() -> str:
    if os.environ.get("BUILD_IMAGE") != "1":
        return "BUILD_IMAGE=1 is not set: building the image takes about eight minutes"
    if os.geteuid() != 0:
        return "building the image with debootstrap and buildah needs root"
    missing = [name for name in ("buildah", "debootstrap", "git") if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip()),
]


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True
    )
    assert done.returncode == 0, f"{command[0]}: {done.returncode}\n{done.stdout[-3000:]}"
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that is removed in the end, for it holds several GB."""
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def engine(folder: Path) -> dict[str, str]:
    """Variables that make buildah keep everything in `folder` and start no daemon."""
    settings = folder / "storage.conf"
    settings.write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/images"\nrunroot = "{folder}/running"\n'
    )
    return {"CONTAINERS_STORAGE_CONF": str(settings), "BUILDAH_ISOLATION": "chroot"}


@pytest.fixture
def checkout(folder: Path) -> Path:
    """The checkout as it is now, with uncommitted changes; results/ belongs to user 1000."""
    target = folder / "checkout"
    run("git", "clone", "--quiet", ROOT, target, cwd=folder)
    changes = subprocess.run(
        ["git", "diff", "--binary", "HEAD"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    if changes:
        subprocess.run(["git", "apply", "-"], input=changes, cwd=target, check=True)
    os.chown(target / "results", 1000, 1000)
    for place in (folder, *folder.parents):  # user 1000 must be able to reach results/
        if place.owner() == "root" and place != Path("/"):
            place.chmod(place.stat().st_mode | 0o011)
    return target


def make_base(folder: Path, engine: dict[str, str]) -> str:
    """A Debian 12 image with Python 3.11, in place of python:3.11-slim-bookworm."""
    root, context = folder / "root", folder / "base"
    context.mkdir()
    run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", root, cwd=folder)
    apt = [
        str(file.relative_to("/"))
        for file in Path("/etc/apt/apt.conf.d").glob("*")
        if "Acquire::" in file.read_text(errors="replace")
    ]
    for name in (*INDEX_FILES, *apt):
        if Path("/", name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path("/", name), root / name)
    run("tar", "--create", "--file", context / "root.tar", "--directory", root, ".", cwd=folder)
    shutil.rmtree(root)
    variables = [
        f'ENV {name}="{os.environ[name]}"' for name in INDEX_VARIABLES if name in os.environ
    ]
    (context / "Dockerfile").write_text(
        "\n".join(["FROM scratch", "ADD root.tar /", *variables]) + "\n"
    )
    run("buildah", "build", "--tag", "localhost/test-base", context, cwd=folder, **engine)
    return "localhost/test-base"


def test_the_image_builds_and_benches_as_user_1000(
    folder: Path, checkout: Path, engine: dict[str, str]
) -> None:
    base = make_base(folder, engine)
    variables = {
        **engine,
        "DOCKER": "buildah",
        "STACK": "cpu",
        "BASE": base,
        "BUILD_ARGS": "--network host",
        "RUN_ARGS": "--network host",
        "SUITE": "configs/smoke.yaml",
        "ARGS": "--run contained --no-tables --set measurement.replicates=1 "
        "--set measurement.contention=note",
        "CACHE": str(folder / "cache"),
    }
    run("sh", "docker/docker.sh", "build", cwd=checkout, **variables)

    container = run("buildah", "from", "training-backend-bench:cpu", cwd=checkout, **engine).strip()
    script = (
        "git rev-parse HEAD; ls -d .git/config .git/logs results/smoke-* 2>/dev/null; "
        "id --user; command -v harness"
    )
    said = run("buildah", "run", container, "--", "sh", "-c", script, cwd=checkout, **engine)
    commit = run("git", "rev-parse", "HEAD", cwd=checkout).strip()
    # The commit is known, but no remotes, logs or results are in the image.
    assert said.split() == [commit, "1000", "/app/.venv/bin/harness"]
    run("buildah", "rm", container, cwd=checkout, **engine)

    run("sh", "docker/docker.sh", "bench", cwd=checkout, **variables)
    lines = (checkout / "results" / "contained" / "jobs.jsonl").read_text().splitlines()
    assert len(lines) >= 4
    assert {json.loads(line)["state"] for line in lines} == {"ok"}
    assert (checkout / "results" / "contained").stat().st_uid == 1000
