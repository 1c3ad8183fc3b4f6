"""The doctor names what is wrong and what to do, here and for cards that this host has not."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.planning.hub import Hub, HubAnswer
from harness.runner import host_checks as doctor
from harness.runner.host_checks import Check
from harness.schema.record import Host
from harness.setup.extensions import CUDA_EXTENSIONS


def gpu(capability: str, memory_gib: int = 80) -> Host:
    card = {
        "name": "Card",
        "uuid": "GPU-0",
        "memory_bytes": memory_gib << 30,
        "compute_capability": capability,
    }
    return Host(gpus=[card], driver="555.0", cuda_driver="12.5")


def levels(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.level for check in checks}


def test_no_driver_is_a_warning_with_a_fix() -> None:
    (check,) = doctor.gpu_checks(Host())
    assert (check.level, "driver" in check.fix) == ("warning", True)


@pytest.mark.parametrize(
    ("capability", "level", "text"),
    [
        ("8.0", "ok", "native"),
        ("8.6", "ok", "native"),
        ("9.0", "ok", "PTX"),
        ("5.2", "failure", "sm_52"),
    ],
)
def test_cards_and_their_kernels(capability: str, level: str, text: str) -> None:
    checks = list(doctor.gpu_checks(gpu(capability)))
    assert levels(checks) == {"driver": "ok", "GPU": level}
    assert text in checks[-1].detail


@pytest.mark.parametrize("size", ["abc", "-1", "1048576"])
def test_a_kernel_cache_that_is_too_small_or_no_number_is_told(
    monkeypatch: pytest.MonkeyPatch, size: str
) -> None:
    monkeypatch.setenv("CUDA_CACHE_MAXSIZE", size)
    (check,) = (c for c in doctor.gpu_checks(gpu("9.0")) if c.name == "kernel cache")
    assert (check.level, check.detail) == ("warning", f"CUDA_CACHE_MAXSIZE={size}")


def test_a_small_card_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_CACHE_MAXSIZE", "1000")
    checks = list(doctor.gpu_checks(gpu("8.0", memory_gib=4)))
    assert [c.level for c in checks] == ["ok", "warning", "ok", "warning"]
    assert "batch_size" in checks[1].fix
    assert "CUDA_CACHE_MAXSIZE=1000" in checks[3].detail


def test_disk_is_asked_where_the_folder_will_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert [c.level for c in doctor.disk_checks(tmp_path / "not" / "there")] == ["ok", "ok"]
    monkeypatch.setattr(doctor, "NEEDED_DISK_BYTES", 1 << 60)
    checks = list(doctor.disk_checks(tmp_path))
    assert [(c.level, c.fix) for c in checks] == [("failure", "free 10 GiB")] * 2


def test_a_version_that_is_not_the_pinned_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: "0.0.1" if name == "torch" else real(name))
    (check,) = doctor.stack_checks()
    assert check.level == "failure"
    assert check.detail.startswith("torch 0.0.1 (pinned: ")
    assert check.fix == "make setup"


def test_folders_that_cannot_be_written_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (good,) = doctor.folder_checks(Host(), tmp_path / "results")
    assert good.level == "ok"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.delenv("HF_HOME", raising=False)
    checks = list(doctor.folder_checks(Host(), tmp_path / "file" / "results"))
    assert [check.level for check in checks] == ["failure", "failure", "warning"]
    assert all("names the folder" in check.fix for check in checks)
    assert list(doctor.disk_checks(tmp_path / "file" / "results")) == []


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            HubAnswer("unclear", "name resolution failed", reached=False),
            "the hub cannot be reached (name resolution failed): ",
        ),
        (HubAnswer("unclear", "status 503"), "the hub gives no clear answer (status 503): "),
        (HubAnswer("no", "HF_HUB_OFFLINE is set"), "HF_HUB_OFFLINE is set: "),
    ],
)
def test_a_hub_that_gives_nothing_is_a_warning_that_says_what_stands_in(
    monkeypatch: pytest.MonkeyPatch, answer: HubAnswer, told: str
) -> None:
    monkeypatch.setattr(Hub, "has_cached_dataset", lambda *_: False)
    monkeypatch.setattr(Hub, "dataset", lambda *_: answer)
    (check,) = doctor.hub_check()
    assert check.level == "warning"
    assert check.detail == told + "suites with `auto` take built-in data and random weights"


def test_the_optimizer_that_has_to_be_compiled_is_told_where_there_is_a_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "installed_variant", lambda: "cuda")
    monkeypatch.setattr(doctor, "extensions_folder", lambda: tmp_path)
    for name in CUDA_EXTENSIONS:
        (tmp_path / f"{name}.so").touch()
    missing = ("ONNX Runtime's fused_ops is not compiled", "make setup")
    monkeypatch.setattr(doctor, "without_fused_ops", lambda: missing)
    extensions, fused = doctor.extension_checks()
    assert (extensions.level, fused.level, fused.fix) == ("ok", "warning", "make setup")
    assert fused.detail == f"no adamw_ort_fused: {missing[0]}"
    monkeypatch.setattr(doctor, "without_fused_ops", lambda: None)
    assert levels(list(doctor.extension_checks()))["fused optimizer"] == "ok"
    monkeypatch.setattr(doctor, "installed_variant", lambda: "cpu")
    assert levels(list(doctor.extension_checks())) == {"extensions": "ok"}
