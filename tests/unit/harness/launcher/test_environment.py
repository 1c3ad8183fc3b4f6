"""A job's environment is decided in one place."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from runner_support import make_job

from harness.launcher.environment import LONGEST_TMPDIR, cards_of, environment_for

CALLER = {
    "PATH": "/bin",
    "TMPDIR": "/tmp/of-the-caller",
    "OMP_NUM_THREADS": "7",
    "LD_LIBRARY_PATH": "/lib/of-the-caller",
    "CUDA_VISIBLE_DEVICES": "3,5",
    "PYTHONPATH": "/elsewhere",
    "BENCH_JOB_FOLDER": "/another/job",
    "DATASETS_VERBOSITY": "debug",
}
PRIVATE = Path("/tmp/bench-x")


def test_a_job_has_its_own_folder_threads_and_libraries() -> None:
    found = environment_for(
        make_job().replace(threads=2),
        CALLER,
        PRIVATE,
        harness_path=Path("/checkout"),
        libraries=["/lib/of-the-backend"],
    )
    assert found["BENCH_JOB_FOLDER"] == found["TMPDIR"] == str(PRIVATE)
    assert found["OMP_NUM_THREADS"] == found["MKL_NUM_THREADS"] == "2"
    assert found["LD_LIBRARY_PATH"] == "/lib/of-the-backend:/lib/of-the-caller"
    assert found["PYTHONPATH"] == "/checkout"
    assert found["DATASETS_VERBOSITY"] == "error"
    assert found["CUDA_VISIBLE_DEVICES"] == "", "it trains on the CPU"
    assert found["PATH"] == "/bin"


def test_without_threads_of_its_own_it_has_the_callers() -> None:
    found = environment_for(make_job(), CALLER, PRIVATE)
    assert found["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in found


def test_a_folder_whose_name_is_too_long_for_sockets_takes_no_temporary_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/" + "x" * LONGEST_TMPDIR)
    assert environment_for(make_job(), CALLER, PRIVATE)["TMPDIR"] == CALLER["TMPDIR"]


def test_a_job_on_a_gpu_sees_the_first_of_the_callers_cards() -> None:
    job = make_job().replace(device="cuda")
    assert cards_of(job, CALLER) == "3"
    assert environment_for(job, CALLER, PRIVATE)["CUDA_VISIBLE_DEVICES"] == "3"
    assert cards_of(job, {}) == "0"
