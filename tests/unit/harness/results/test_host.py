"""Host and provenance: what is recorded is true, and nothing secret or private is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import BenchError
from harness.results import provenance
from harness.results.host import describe_host, device_name
from harness.results.provenance import (
    collect,
    describe_interpreter,
    git_state,
    own_packages,
    packages_of,
    relevant_environment,
)
from harness.schema.record import Host
from harness.schema.redaction import CHECKOUT
from harness.schema.variables import is_secret


def test_the_host_is_described_with_or_without_a_driver() -> None:
    host = describe_host()
    assert host.cores
    assert host.memory_bytes
    assert host.memory_bytes > 2**28
    assert host.cpu
    assert host.kernel
    assert host.name_sha256
    assert len(host.name_sha256) == 64
    assert bool(host.gpus) == (host.driver is not None)


def test_no_driver_is_a_host_without_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml

    def missing() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    host = describe_host()
    assert (host.gpus, host.driver, host.cuda_driver) == ([], None, None)


def test_the_device_of_a_record_is_the_first_visible_card() -> None:
    host = Host(gpus=[{"name": "A", "uuid": "GPU-aa"}, {"name": "B", "uuid": "GPU-bb"}])
    assert device_name("cpu", host, None) == "cpu"
    assert device_name("cuda", host, None) == "A"
    assert device_name("cuda", host, "1,0") == "B"
    assert device_name("cuda", host, "GPU-bb") == "B"
    assert device_name("cuda", Host(), None) == "cuda"


@pytest.mark.parametrize(
    "name",
    "HF_TOKEN HF_TOKEN_PATH HUGGING_FACE_HUB_TOKEN NVIDIA_API_KEY CUDA_SECRET ORT_PASSWORD "
    "hf_credentials NCCL_AUTH "
    "TORCH_PASSWD TOKENIZERS_TOKEN".split(),
)
def test_secrets_are_dropped_by_name(name: str) -> None:
    assert is_secret(name)
    assert relevant_environment({name: "hunter2", name.upper(): "hunter2"}) == {}


def test_relevant_variables_are_kept_and_others_are_not() -> None:
    environment = {
        "OMP_NUM_THREADS": "2",
        "ORTMODULE_FALLBACK_POLICY": "FALLBACK_DISABLE",
        "CUDA_VISIBLE_DEVICES": "0",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTORCH_CUDA_ALLOC_CONF": "x",
        "USER": "somebody",
        "AWS_REGION": "moon",
        "SSH_CONNECTION": "192.0.2.1",
    }
    kept = relevant_environment(environment)
    assert sorted(kept) == [
        "CUDA_VISIBLE_DEVICES",
        "OMP_NUM_THREADS",
        "ORTMODULE_FALLBACK_POLICY",
        "PYTORCH_CUDA_ALLOC_CONF",
        "TOKENIZERS_PARALLELISM",
    ]
    assert kept["ORTMODULE_FALLBACK_POLICY"] == "FALLBACK_DISABLE"


@pytest.mark.parametrize(
    "name",
    "BENCH_SLACK_WEBHOOK BENCH_EMAIL_TO BENCH_COMMIT GITHUB_REPOSITORY HF_EXTRA "
    "NVIDIA_PRODUCT_NAME TORCHX_HOME "
    "TRANSFORMERS_NOTE ORTHOGONAL SLURM_JOB_ACCOUNT".split(),
)
def test_what_is_not_on_the_list_is_not_recorded(name: str) -> None:
    assert relevant_environment({name: "1"}) == {}


def test_values_of_variables_are_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    token = "hf_" + "aB3" * 12
    environment = {
        "HOME": "/home/somebody",
        "HF_ENDPOINT": f"https://me:{token}@hub.example/x",
        "LD_LIBRARY_PATH": "/usr/lib:/data/me/lib:/home/somebody/lib",
        "NCCL_NOTE": f"x {token}",
    }
    assert relevant_environment(environment) == {
        "HF_ENDPOINT": "https://***@hub.example/x",
        "LD_LIBRARY_PATH": "/usr/lib:<path>/lib:~/lib",
        "NCCL_NOTE": "x <secret>",
    }


def test_packages_of_this_and_another_interpreter_agree() -> None:
    own = own_packages()
    assert own["pydantic"]
    assert own["python"] == ".".join(map(str, sys.version_info[:3]))
    assert packages_of("again", sys.executable)["pydantic"] == own["pydantic"]


def test_a_stack_that_does_not_answer_is_named() -> None:
    with pytest.raises(BenchError, match="stack latest") as refused:
        collect({"ort": sys.executable, "latest": "/nowhere/bin/python"})
    assert refused.value.fix


def test_interpreters_are_named_by_checkout_or_version() -> None:
    assert describe_interpreter("ort", str(CHECKOUT / ".venv/bin/python"), {}) == ".venv/bin/python"
    assert (
        describe_interpreter("latest", "/opt/py/bin/python", {"latest/python": "3.13.1"})
        == "Python 3.13.1"
    )


def test_git_state_of_a_repository_and_of_none(tmp_path: Path) -> None:
    assert git_state(tmp_path) == {}
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "cli.py").write_text("one\n")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    assert git_state(tmp_path) == {}, (
        "an untracked package inside somebody's repository is not its code"
    )
    subprocess.run([*git, "add", "harness"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "one"], check=True)
    clean = git_state(tmp_path)
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (tmp_path / "harness" / "cli.py").write_text("two\n")
    assert git_state(tmp_path) == {"commit": clean["commit"], "dirty": True}


def test_no_git_is_no_error_but_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    (tmp_path / ".git").mkdir()
    state = git_state(tmp_path / "harness")
    assert "commit" not in state
    assert "git is not installed" in state["unknown"]
    assert "BENCH_COMMIT" in state["unknown"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a checkout to another user")
def test_a_checkout_of_another_user_tells_its_commit(tmp_path: Path) -> None:
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "cli.py").write_text("one\n")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "harness"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "one"], check=True)
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, 12345, 12345)
    refused = subprocess.run(
        ["git", "-C", str(tmp_path), "rev-parse", "HEAD"], capture_output=True, text=True
    )
    if "dubious ownership" not in refused.stderr:
        pytest.skip("this git reads checkouts of other users")
    assert len(git_state(tmp_path)["commit"]) == 40


def test_a_checkout_that_git_cannot_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "cli.py").write_text("one\n")
    git = ["git", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "harness"], check=True)
    (tmp_path / ".git" / "index").write_bytes(b"damaged")
    assert "git says: " in git_state(tmp_path)["unknown"]


def test_the_command_is_recorded_without_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance.sys, "argv", ["/some/where/harness", "run", "/some/suite.yaml"])
    assert collect({}).command == ["harness", "run", "<path>/suite.yaml"]
