"""The preflight checks: what it finds on a host, and what stops a run. Cards are replayed from
synthetic readings.
"""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from telemetry_replay import ReplayClock, ReplayGpus
from telemetry_synthetic import STRANGER, card, recording

from harness.errors import BenchError
from harness.runner.preflight import IDLE_MEMORY_BYTES, Place, enforce, inspect, places, unwritable
from harness.telemetry.nvml import NvmlSource


class Cards(ReplayGpus):
    """The first tick of a recording, and programs by pid."""

    def process_name(self, pid):
        return {STRANGER: "jupyter", STRANGER + 1: "jupyter"}.get(pid, "unknown")


def cards(once=None, **fields):
    series = recording()
    series.start["gpus"] = [card(0, **(once or {}))]
    series.ticks[0]["gpus"]["0"].update(fields)
    return Cards(series, ReplayClock(series))


def look(tmp_path, **options):
    return inspect("cuda", (), cpu_folder=tmp_path, **options)


def test_an_idle_card_has_no_findings(tmp_path):
    assert look(tmp_path, cards=cards()) == []
    assert look(tmp_path, cards=cards(memory_used_bytes=IDLE_MEMORY_BYTES)) == []
    assert (
        look(tmp_path, cards=cards(clock_reasons=0x1 | 0x4)) == []
    )  # idle, power cap: no throttling


@pytest.mark.parametrize(
    ("once", "fields", "severity", "words"),
    [
        (
            {},
            {"pids": [STRANGER, STRANGER + 1, 7]},
            "error",
            "2 x jupyter, unknown (pids 900, 901, 7)",
        ),
        (
            {},
            {"memory_used_bytes": 3 << 30},
            "error",
            "3.0 GiB in use by processes that are not visible",
        ),
        ({"mig_mode": 1}, {}, "error", "MIG mode"),
        (
            {},
            {"clock_reasons": 0x20, "temperature_c": 91},
            "error",
            "throttled at 91 °C before anything runs",
        ),
        ({"persistence_mode": 0}, {}, "warning", "persistence mode off"),
    ],
)
def test_what_is_wrong_with_a_card(tmp_path, once, fields, severity, words):
    found = look(tmp_path, cards=cards(once, **fields))
    assert [f.severity for f in found] == [severity]
    assert words in found[0].message
    assert "GPU 0 (Synthetic Card)" in found[0].message
    assert found[0].fix


def test_errors_stop_the_run_and_say_all_of_it(tmp_path):
    found = look(tmp_path, cards=cards({"mig_mode": 1, "persistence_mode": 0}, pids=[STRANGER]))
    with pytest.raises(BenchError) as error:
        enforce(found)
    assert "runs other processes: jupyter" in error.value.message
    assert "MIG mode" in error.value.message
    assert "persistence" not in error.value.message  # only a warning
    assert "--allow-shared-gpu" in error.value.fix


def test_a_shared_card_can_be_allowed_a_hot_one_cannot(tmp_path):
    shared = look(tmp_path, cards=cards({"mig_mode": 1}, pids=[STRANGER]))
    assert [f.severity for f in enforce(shared, allow_shared_gpu=True)] == ["warning", "warning"]
    hot = look(tmp_path, cards=cards(clock_reasons=0x40))
    with pytest.raises(BenchError, match="throttled") as error:
        enforce(hot, allow_shared_gpu=True)
    assert "--allow-shared-gpu" not in error.value.fix


def test_warnings_stop_nothing(tmp_path):
    found = look(tmp_path, cards=cards({"persistence_mode": 0}))
    assert enforce(found) == found


def test_what_a_card_does_not_tell_is_no_finding(tmp_path):
    series = recording()
    series.start["gpus"] = [{"index": 0, "uuid": "GPU-x", "name": "Silent Card"}]
    series.ticks[0]["gpus"]["0"] = {}
    assert look(tmp_path, cards=Cards(series, ReplayClock(series))) == []


def test_a_host_without_a_driver(tmp_path):
    source = NvmlSource(None)
    source.close()
    if source.gpus:
        pytest.skip("this host has a card")
    assert look(tmp_path) == []
    assert inspect("cpu", (), cpu_folder=tmp_path) == []


@pytest.mark.parametrize(
    ("free", "device", "severities"),
    [
        (100 << 30, "cuda", []),
        (5 << 30, "cuda", ["warning"]),
        (5 << 30, "cpu", []),
        (500 << 20, "cpu", ["error"]),
    ],
)
def test_disk_room(tmp_path, monkeypatch, free, device, severities):
    usage = namedtuple("usage", "total used free")
    asked = []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(path) or usage(0, 0, free))
    folders = (tmp_path / "results" / "not" / "there", tmp_path / "cache")
    found = inspect(device, folders, visible="", cpu_folder=tmp_path / "none")
    assert [f.severity for f in found] == severities
    assert asked == [tmp_path]  # one file system, asked once, at the nearest folder that exists
    if "error" in severities:
        with pytest.raises(BenchError, match="0.5 GiB free"):
            enforce(found, allow_shared_gpu=True)


def test_cpu_governor(tmp_path):
    for number, name in enumerate(["performance", "powersave", "powersave"]):
        folder = tmp_path / f"cpu{number}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(name + "\n")
    found = inspect("cpu", (), cpu_folder=tmp_path)
    assert [(f.severity, f.message) for f in found] == [
        ("warning", "CPU frequency governor: powersave on 2 CPUs: clocks follow the load")
    ]
    for number in (1, 2):
        (tmp_path / f"cpu{number}" / "cpufreq" / "scaling_governor").write_text("performance\n")
    assert inspect("cpu", (), cpu_folder=tmp_path) == []


def test_every_place_that_is_written_to_names_what_moves_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "CUDA_CACHE_PATH"):
        monkeypatch.delenv(name, raising=False)
    found = {
        place.moved_by: place
        for place in places(tmp_path, "--results", tmp_path / "cache", "cuda", hub=True)
    }
    assert list(found) == [
        "--results",
        "XDG_CACHE_HOME (or HOME)",
        "TMPDIR",
        "HF_HOME (or HOME)",
        "CUDA_CACHE_PATH (or HOME)",
    ]
    assert found["HF_HOME (or HOME)"].folder == tmp_path / "home/.cache/huggingface/hub"
    monkeypatch.setenv("HF_HOME", "/somewhere")
    monkeypatch.setenv("CUDA_CACHE_PATH", "/kernels")
    found = {
        place.moved_by: place for place in places(tmp_path, "--results", tmp_path, "cuda", hub=True)
    }
    assert found["HF_HOME"].folder == Path("/somewhere/hub")
    monkeypatch.setenv("TRANSFORMERS_CACHE", "/elsewhere")
    found = {
        place.moved_by: place for place in places(tmp_path, "--results", tmp_path, "cpu", hub=True)
    }
    assert found["TRANSFORMERS_CACHE"].folder == Path("/elsewhere")
    assert [place.what for place in places(tmp_path, "--results", tmp_path, "cpu")] == [
        "results",
        "the cache of data and tokens",
        "temporary files",
    ]


def test_a_folder_for_temporary_files_that_is_not_there_is_refused(tmp_path, monkeypatch):
    """Python would take another one without a word."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    with pytest.raises(BenchError, match="is no folder") as refused:
        places(tmp_path, "--results", tmp_path, "cpu")
    assert refused.value.fix == "make it, or unset TMPDIR"


def test_places_are_tried_without_leaving_anything(tmp_path):
    (tmp_path / "file").write_text("")
    wrong = [
        Place("results", tmp_path / "file" / "below", "--results"),
        Place("results", tmp_path / ("x" * 256), "--results"),
        Place("CUDA's cache", tmp_path / "file", "HOME", "warning", "kernels are compiled anew"),
    ]
    right = [
        Place("results", tmp_path, "--results"),
        Place("results", tmp_path / "a" / "b", "--results"),
    ]
    found = unwritable([*right, *wrong])
    assert [finding.severity for finding in found] == ["error", "error", "warning"]
    assert "is a file, not a folder" in found[0].message
    assert found[0].fix.endswith("--results names the folder")
    assert "too long" in found[1].message
    assert found[2].message.endswith("; kernels are compiled anew")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert inspect("cpu", [place.folder for place in wrong], cpu_folder=tmp_path) == []
