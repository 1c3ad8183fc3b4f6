"""Which cores a pair is pinned to, from tables as kernels write them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.interleaved import pinning
from harness.schema.measurement import Interleaved


def settings(cores: int = 2, same: bool = True) -> Interleaved:
    return Interleaved(cores=cores, same_cores=same)


def test_the_first_core_is_left_to_the_rest() -> None:
    chosen = pinning.choose(settings(), range(16), (), {})
    assert chosen == [[14, 15], [14, 15]]


def test_separate_cores() -> None:
    chosen = pinning.choose(settings(same=False), range(16), (), {})
    assert chosen == [[14, 15], [12, 13]]
    four = pinning.choose(settings(same=False), range(16), (), {}, jobs=4)
    assert four == [[14, 15], [12, 13], [10, 11], [8, 9]]


def test_hardware_threads_of_one_core_are_not_taken_together() -> None:
    adjacent = {cpu: cpu // 2 * 2 for cpu in range(8)}
    assert pinning.choose(settings(), range(8), (), adjacent)[0] == [5, 7]
    halves = {cpu: cpu % 4 for cpu in range(8)}
    assert pinning.choose(settings(cores=3), range(8), (), halves)[0] == [5, 6, 7]
    assert pinning.choose(settings(cores=4), range(8), (), halves)[0] == [
        4,
        5,
        6,
        7,
    ]  # 4 beside 0: what is left


def test_cores_near_the_gpu_come_first() -> None:
    assert pinning.choose(settings(), range(16), range(8), {})[0] == [6, 7]
    assert pinning.choose(settings(cores=4), range(4, 16), (0, 1, 7), {})[0] == [
        7,
        13,
        14,
        15,
    ]


@pytest.mark.parametrize(
    ("available", "cores"), [((0, 1), [0, 1]), ((3,), [3]), ((2, 5, 9), [5, 9])]
)
def test_small_hosts_give_what_they_have(available: tuple[int, ...], cores: list[int]) -> None:
    assert pinning.choose(settings(), available, (), {})[0] == cores
    shared = pinning.choose(settings(same=False), available, (), {})
    assert shared == [cores, cores]


def test_no_cores_asked_for() -> None:
    assert pinning.choose(settings(cores=0), range(16), (), {})[0] is None


def test_lists_of_cpus() -> None:
    assert pinning.parse_cpus("0-3,8,10-11\n") == {0, 1, 2, 3, 8, 10, 11}
    with pytest.raises(ValueError, match="invalid literal"):
        pinning.parse_cpus("\n")


def test_set_ups_are_spread_over_the_cores() -> None:
    """Each job has as many as it wants, and none is shared before all are taken."""
    assert pinning.spread([2, 2, 2], range(6)) == [[4, 5], [2, 3], [0, 1]]
    assert pinning.spread([2, 2, 2], range(5)) == [[3, 4], [1, 2], [0, 4]]
    assert pinning.spread([0, 1, 9], range(2)) == [None, [1], None]
    assert pinning.spread([1], []) == [None]


def _device(folder: Path, name: str, kind: str, vendor: str, cpus: str) -> None:
    device = folder / "bus/pci/devices" / name
    device.mkdir(parents=True)
    for file, text in (("class", kind), ("vendor", vendor), ("local_cpulist", cpus)):
        (device / file).write_text(text + "\n")


def test_cpus_near_the_gpus(tmp_path: Path) -> None:
    assert pinning.near_gpu(tmp_path) == set()
    _device(tmp_path, "0000:00:02.0", "0x030000", "0x1234", "0-1")  # a virtual display
    _device(tmp_path, "0000:17:00.0", "0x030200", "0x10de", "0-7,16-23")
    _device(tmp_path, "0000:18:00.0", "0x068000", "0x10de", "99")  # an NVSwitch
    assert pinning.near_gpu(tmp_path) == {*range(8), *range(16, 24)}
    _device(tmp_path, "0000:65:00.0", "0x030200", "0x10de", "4-7")
    assert pinning.near_gpu(tmp_path) == {4, 5, 6, 7}


def test_siblings_are_read_where_the_kernel_knows_them(tmp_path: Path) -> None:
    for cpu, text in ((0, "0,4"), (4, "0,4"), (5, "")):
        folder = tmp_path / f"devices/system/cpu/cpu{cpu}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(text + "\n")
    assert pinning.core_of((0, 4, 5, 6), tmp_path) == {0: 0, 4: 0}


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU: there is nowhere to move to")
def test_the_runner_and_what_it_starts_keep_off() -> None:
    before = os.sched_getaffinity(0)
    core = max(before)
    with pinning.keep_off([core]):
        assert os.sched_getaffinity(0) == before - {core}
        script = "import os; print(sorted(os.sched_getaffinity(0)))"
        child = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        assert child.stdout.strip() == str(sorted(before - {core}))
    assert os.sched_getaffinity(0) == before
    with pinning.keep_off(before):  # nowhere to go
        assert os.sched_getaffinity(0) == before
