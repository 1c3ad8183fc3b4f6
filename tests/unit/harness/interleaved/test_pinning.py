"""Which cores a pair is pinned to, from tables as kernels write them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from folders import ROOT
from runner_support import busy_on, processes_of, wait_until

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


NO_SUCH_CPU = 100_000


def used_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def test_a_core_is_kept_awake_from_begin_to_end() -> None:
    core = max(os.sched_getaffinity(0))
    with pinning.kept_awake([core]) as spinners:
        (pid,) = spinners.pids
        wait_until(lambda: os.sched_getscheduler(pid) == os.SCHED_IDLE)
        assert os.sched_getaffinity(pid) == {core}
        wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_SLEEPING)
        waiting_s = used_s(pid)
        time.sleep(0.3)
        assert used_s(pid) == waiting_s
        assert spinners.begin() == ""
        # As long as that only where others want the core.
        wait_until(lambda: used_s(pid) > waiting_s + 0.1)
        spinners.end()
        assert spinners.refused == ""
        wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
        assert used_s(pid) > waiting_s + 0.1
    assert not psutil.pid_exists(pid)
    assert spinners.pids == ()


def test_whoever_wants_a_core_that_is_kept_awake_has_it() -> None:
    """In another session too, where a kernel with autogroup divides the core by sessions."""
    core = max(os.sched_getaffinity(0))
    with pinning.kept_awake([core]) as spinners:
        assert spinners.begin() == ""
        with busy_on(core) as busy:
            time.sleep(0.3)
            before = used_s(busy.pid), used_s(spinners.pids[0])
            time.sleep(1.5)
            wanted, spun = (
                used_s(pid) - first
                for pid, first in zip((busy.pid, *spinners.pids), before, strict=True)
            )
    assert wanted > 0.2
    assert spun < 0.1 * wanted


@pytest.mark.parametrize("begin", [True, False])
def test_nothing_spins_on_when_the_runner_is_killed(tmp_path: Path, begin: bool) -> None:
    script = "import sys, time\nfrom harness.interleaved import pinning\n"
    script += "with pinning.kept_awake([int(sys.argv[1])]) as spinners:\n"
    script += (
        "    print(repr(spinners.begin()), flush=True)\n" if begin else "    print(flush=True)\n"
    )
    script += "    time.sleep(120)\n"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BENCH_TEST_FOLDER": str(tmp_path)}
    core = max(os.sched_getaffinity(0))
    with subprocess.Popen(
        [sys.executable, "-c", script, str(core)], env=environment, stdout=subprocess.PIPE
    ) as runner:
        try:
            assert runner.stdout is not None
            assert runner.stdout.readline() == (b"''\n" if begin else b"\n")
            assert len(processes_of(tmp_path)) == 2
        finally:
            runner.kill()
    wait_until(lambda: processes_of(tmp_path) == [], 10)


def test_a_core_that_cannot_be_kept_awake_is_said_and_no_other_is() -> None:
    core = max(os.sched_getaffinity(0))
    with pinning.kept_awake([core, NO_SUCH_CPU]) as spinners:
        assert spinners.begin() == spinners.refused == "Invalid argument"
        wait_until(
            lambda: {psutil.Process(pid).status() for pid in spinners.pids}
            == {psutil.STATUS_ZOMBIE}
        )
        spinners.end()
        assert spinners.refused == "Invalid argument"


def test_a_spinner_that_is_killed_is_said() -> None:
    with pinning.kept_awake([max(os.sched_getaffinity(0))]) as spinners:
        assert spinners.begin() == ""
        psutil.Process(spinners.pids[0]).kill()
        wait_until(lambda: psutil.Process(spinners.pids[0]).status() == psutil.STATUS_ZOMBIE)
        spinners.end()
        assert spinners.refused == "a process that keeps a core awake ended too early"
    with pinning.kept_awake(()) as none:
        assert (none.begin(), none.pids) == ("", ())
        none.end()
        assert none.refused == ""


@pytest.mark.parametrize(
    ("groups", "files", "limited"),
    [
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000"}, True),
        ("0::/a/b", {"a/b/cpu.max": "max 100000"}, False),
        ("0::/", {"cpu.max": "150000 100000"}, True),  # of a container
        ("4:cpu,cpuacct:/d\n0::/", {"cpu,cpuacct/d/cpu.cfs_quota_us": "50000"}, True),
        ("4:cpu,cpuacct:/d\n0::/", {"cpu,cpuacct/d/cpu.cfs_quota_us": "-1"}, False),
        ("4:cpu,cpuacct:/of/the/host", {"cpu,cpuacct/cpu.cfs_quota_us": "50000"}, True),
        ("5:cpuset:/d", {"cpuset/d/cpu.cfs_quota_us": "50000"}, False),
        ("nonsense", {}, False),
    ],
)
def test_a_cpu_quota_is_seen_at_every_level(
    tmp_path: Path, groups: str, files: dict[str, str], limited: bool
) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text(groups + "\n")
    for name, text in files.items():
        file = tmp_path / "fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    assert ("has a CPU quota" in pinning.cpu_quota(tmp_path, tmp_path)) is limited
    (tmp_path / "self/cgroup").unlink()
    assert pinning.cpu_quota(tmp_path, tmp_path) == ""
