"""Which cards a run uses: each is asked by itself, the lost one is named, and CUDA_VISIBLE_DEVICES
decides.

The real nvidia-ml-py over the stand-in of the driver (fake_nvml.c): two cards, GPU-fake-0 and
GPU-fake-1.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from folders import ROOT, SUPPORT

from harness.commands import resolve
from harness.errors import BenchError
from harness.results.host import device_name
from harness.runner import host_checks as doctor
from harness.runner import preflight
from harness.schema.record import Host
from harness.telemetry.nvml import CardsSeen, _uuid_of_lost
from harness.telemetry.readings import Gpu, LostGpu, choose, hides_all

SOURCE = SUPPORT / "fake_nvml.c"
VISIBLE = "CUDA_VISIBLE_DEVICES"
CHILD = """
import json, os, sys
from dataclasses import asdict
from pathlib import Path
from harness.runner import host_checks as doctor, preflight
from harness.commands.resolve import find_device
from harness.launcher.environment import visible_cards
from harness.errors import BenchError
from harness.results.host import describe_host, device_name
answers = []
for case in json.loads(sys.argv[1]):
    for name in [n for n in os.environ if n.startswith(("FAKE_NVML_", "CUDA_VISIBLE"))]:
        del os.environ[name]
    os.environ.update(case["set"])
    try:
        found = find_device(case["device"])
    except BenchError as error:
        found = str(error)
    host = describe_host()
    visible = visible_cards(1, os.environ.get("CUDA_VISIBLE_DEVICES"))
    findings = preflight.inspect("cuda", visible=visible)
    checks = [asdict(check) for check in doctor.gpu_checks(host)]
    answers.append({
        "device": found, "gpus": host.gpus, "lost": host.lost_gpus, "problem": host.gpu_problem,
        "first": device_name("cuda", host, os.environ.get("CUDA_VISIBLE_DEVICES")),
        "findings": [[f.severity, f.message, f.fix] for f in findings], "checks": checks,
    })
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler for the stand-in of NVML")
    folder = tmp_path_factory.mktemp("nvml")
    command = [compiler, "-shared", "-fPIC", "-o", str(folder / "libnvidia-ml.so.1"), str(SOURCE)]
    subprocess.run(command, check=True)
    return folder


def environment(library: Path, **changes: str) -> dict[str, str]:
    there = {key: value for key, value in os.environ.items() if key != VISIBLE}
    return {**there, "PYTHONPATH": str(ROOT), "LD_LIBRARY_PATH": str(library), **changes}


CASES: list[
    tuple[str, dict[str, str], str, str]
] = [  # what, environment, --device, the device or a part of the error
    ("two cards", {}, "auto", "cuda"),
    ("one is lost", {"FAKE_NVML_GONE": "1"}, "auto", "cuda"),
    ("one is lost and cuda asked for", {"FAKE_NVML_GONE": "1"}, "cuda", "cuda"),
    ("the first is lost", {"FAKE_NVML_GONE": "0"}, "auto", "cuda"),
    ("lost at a reading", {"FAKE_NVML_LOSE": "0"}, "auto", "cuda"),
    (
        "all are lost",
        {"FAKE_NVML_GONE": "all"},
        "auto",
        "GPU 0 does not answer: GPU is lost; GPU 1 does not",
    ),
    ("no permission for one", {"FAKE_NVML_DENIED": "0"}, "auto", "cuda"),
    (
        "the visible one is lost",
        {"FAKE_NVML_GONE": "1", VISIBLE: "1"},
        "auto",
        "CUDA_VISIBLE_DEVICES=0 to do without",
    ),
    ("the visible one answers", {"FAKE_NVML_GONE": "1", VISIBLE: "0"}, "auto", "cuda"),
    (
        "lost, by its uuid",
        {"FAKE_NVML_LOSE": "0", VISIBLE: "GPU-fake-1"},
        "auto",
        "GPU 1 (GPU-fake-1) does not answer",
    ),
    (
        "lost, perhaps by its uuid",
        {"FAKE_NVML_GONE": "1", VISIBLE: "GPU-fake-1"},
        "auto",
        "GPU 1 may be it: no answer",
    ),
    ("hidden by nothing", {VISIBLE: ""}, "auto", "cpu"),
    ("hidden by -1", {VISIBLE: "-1"}, "auto", "cpu"),
    ("hidden by -1 before others", {VISIBLE: "-1,0"}, "auto", "cpu"),
    (
        "hidden, and cuda asked for",
        {VISIBLE: ""},
        "cuda",
        "CUDA_VISIBLE_DEVICES is '', which hides every card",
    ),
    ("hidden by -1, and cuda asked for", {VISIBLE: "-1"}, "cuda", "hides every card"),
    ("by uuid", {VISIBLE: "GPU-fake-1"}, "auto", "cuda"),
    ("by part of a uuid that fits two", {VISIBLE: "GPU-fake"}, "auto", "no card GPU-fake"),
    ("one that is not there", {VISIBLE: "7"}, "auto", "CUDA_VISIBLE_DEVICES=7: no card 7"),
    ("one that is there and one that is not", {VISIBLE: "1,7"}, "auto", "cuda"),
    ("a slice that is not there", {VISIBLE: "MIG-1"}, "auto", "no card MIG-1"),
    ("no driver is loaded", {"FAKE_NVML_INIT": "9"}, "auto", "cpu"),
    (
        "no driver, and cuda asked for",
        {"FAKE_NVML_INIT": "9"},
        "cuda",
        "no NVIDIA GPU answers on this host",
    ),
    (
        "driver and library differ",
        {"FAKE_NVML_INIT": "18"},
        "auto",
        "the NVIDIA driver tells of no card",
    ),
]


@pytest.fixture(scope="module")
def answers(library: Path) -> dict[str, dict[str, Any]]:
    asked = json.dumps([{"set": variables, "device": device} for _, variables, device, _ in CASES])
    command = [sys.executable, "-c", CHILD, asked]
    done = subprocess.run(
        command, env=environment(library), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return dict(zip((case[0] for case in CASES), json.loads(done.stdout), strict=True))


@pytest.mark.parametrize(
    ("what", "expected"), [(case[0], case[3]) for case in CASES], ids=[case[0] for case in CASES]
)
def test_the_device_of_a_run(answers: dict[str, dict[str, Any]], what: str, expected: str) -> None:
    device = answers[what]["device"]
    if expected in ("cpu", "cuda"):
        assert device == expected
    else:
        assert expected in device
        assert "\n  fix: " in device


def test_a_lost_card_is_recorded_and_hides_no_other(answers: dict[str, dict[str, Any]]) -> None:
    found = answers["one is lost"]
    assert [(gpu["uuid"], gpu["name"], gpu["memory_bytes"]) for gpu in found["gpus"]] == [
        ("GPU-fake-0", "Fake Card", 1000)
    ]
    assert found["lost"] == [{"index": 1, "uuid": "", "reason": "GPU is lost"}]
    assert answers["two cards"]["lost"] == []
    assert "index" not in found["gpus"][0]
    (other,) = answers["the first is lost"]["gpus"]
    assert (other["index"], other["uuid"]) == (1, "GPU-fake-1")
    assert answers["no permission for one"]["lost"] == []


def test_preflight_refuses_a_lost_card_that_a_job_would_use_and_warns_of_another(
    answers: dict[str, dict[str, Any]],
) -> None:
    def about_lost(what: str) -> list[list[str]]:
        return [found for found in answers[what]["findings"] if "does not answer" in found[1]]

    ((severity, message, fix),) = about_lost("the first is lost")
    assert (severity, message) == ("error", "GPU 0 does not answer: GPU is lost")
    assert fix.startswith(
        "CUDA_VISIBLE_DEVICES=1 to do without it, or reset it (`nvidia-smi -r -i 0`"
    )
    ((severity, message, _),) = about_lost("one is lost")
    assert (severity, message) == ("warning", "GPU 1 does not answer: GPU is lost; no job uses it")
    assert about_lost("two cards") == []


def test_the_doctor_names_the_lost_card_and_checks_the_others(
    answers: dict[str, dict[str, Any]],
) -> None:
    checks = answers["one is lost"]["checks"]
    (lost,) = [check for check in checks if "does not answer" in check["detail"]]
    assert (lost["level"], lost["detail"]) == ("failure", "GPU 1 does not answer: GPU is lost")
    assert "nvidia-smi -r -i 1" in lost["fix"]
    assert [check for check in checks if check["detail"].startswith("Fake Card")]
    levels = {check["level"] for check in answers["driver and library differ"]["checks"]}
    assert levels == {"failure"}
    (hidden,) = [
        check for check in answers["hidden by -1"]["checks"] if check["name"] == "visible cards"
    ]
    assert (hidden["level"], "'-1'" in hidden["detail"]) == ("warning", True)
    (partly,) = [
        c
        for c in answers["one that is there and one that is not"]["checks"]
        if c["name"] == "visible cards"
    ]
    assert (partly["level"], "no card 7" in partly["detail"]) == ("warning", True)


def test_the_plan_names_what_is_missing(library: Path) -> None:
    command = [sys.executable, "-m", "harness.cli", "plan"]
    there = environment(library, FAKE_NVML_GONE="1", CUDA_VISIBLE_DEVICES="0,7")
    done = subprocess.run(command, cwd=ROOT, env=there, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "jobs on cuda" in done.stdout
    assert "warning: GPU 1 does not answer: GPU is lost" in done.stdout
    assert "warning: CUDA_VISIBLE_DEVICES: no card 7" in done.stdout
    there = environment(library, FAKE_NVML_GONE="all")
    done = subprocess.run(command, cwd=ROOT, env=there, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "GPU 1 does not answer: GPU is lost" in done.stderr


@pytest.mark.parametrize(
    ("visible", "chosen", "hidden"),
    [
        (None, [0, 1, 3], False),
        ("", [], True),
        (" ", [], True),
        ("-1", [], True),
        ("-2", [], True),
        ("NoDevFiles", [], True),
        ("3, 0", [3, 0], False),
        ("0,-1,1", [0], False),
        ("GPU-b", [1], False),
        ("2", [], False),
    ],
)
def test_what_cuda_would_see(visible: str | None, chosen: list[int], hidden: bool) -> None:
    cards = [Gpu(0, "GPU-a", "A"), Gpu(1, "GPU-b", "B"), LostGpu(3, "", "", "GPU is lost")]
    assert [gpu.index for gpu in choose(visible, cards)[0]] == chosen
    assert hides_all(visible) == hidden


def test_the_uuid_of_a_lost_card_is_where_the_driver_left_it(tmp_path: Path) -> None:
    for bus, uuid in (
        ("0000:3b:00.0", "GPU-one"),
        ("0000:af:00.0", "GPU-two"),
        ("0000:d8:00.0", "GPU-????????-????"),
    ):
        (tmp_path / bus).mkdir()
        (tmp_path / bus / "information").write_text(
            f"Model: \t\t Some Card\nGPU UUID: \t {uuid}\nIRQ: 9\n"
        )
    assert [_uuid_of_lost(index, 3, tmp_path) for index in range(3)] == ["GPU-one", "GPU-two", ""]
    assert _uuid_of_lost(0, 2, tmp_path) == ""  # the folders are not those that NVML counts
    assert _uuid_of_lost(0, 3, tmp_path / "none") == ""
    assert (
        str(LostGpu(1, "GPU-two", "", "GPU is lost"))
        == "GPU 1 (GPU-two) does not answer: GPU is lost"
    )


def test_the_device_of_a_record_beside_a_lost_card() -> None:
    host = Host(
        gpus=[
            {"name": "B", "uuid": "GPU-b", "index": 1},
            {"name": "C", "uuid": "GPU-c", "index": 2},
        ]
    )
    assert device_name("cuda", host, "2") == "C"
    assert device_name("cuda", host, "1") == "B"


def test_a_lost_card_fails_the_run_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = LostGpu(1, "GPU-two", "", "GPU is lost")
    monkeypatch.setattr(
        resolve, "look_at_cards", lambda visible: CardsSeen(lost=(lost,), driver=True)
    )
    with pytest.raises(BenchError, match=r"GPU 1 \(GPU-two\) does not answer") as refused:
        resolve.find_device("auto")
    assert "or --device cpu" in refused.value.fix
    assert resolve.find_device("cpu") == "cpu"
    assert "restart the host" in preflight.fix_of_lost(lost)
    (check,) = doctor.gpu_checks(
        Host(lost_gpus=[{"index": 1, "uuid": "GPU-two", "reason": "GPU is lost"}])
    )
    assert (check.level, "GPU-two" in check.detail) == ("failure", True)
