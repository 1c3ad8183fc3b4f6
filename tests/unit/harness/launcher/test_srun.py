"""Jobs of several nodes: where they are refused, the command that starts them, and how a lost node
is named.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from folders import CONFIGS, ROOT
from worker_helpers import job_of

from harness.errors import BenchError
from harness.launcher import srun
from harness.launcher.environment import environment_for
from harness.launcher.outcome import Seen
from harness.runner.record_builder import Execution, RecordBuilder
from harness.schema.job import JobSpec
from harness.schema.record import Host, State, Telemetry

IN_BATCH = {"SLURM_JOB_ID": "7", "SLURMD_NODENAME": "node0", "SLURM_JOB_NUM_NODES": "2"}


@pytest.fixture
def path_with_srun(tmp_path: Path) -> str:
    """A PATH on which there is an `srun`."""
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin" / "srun"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    return f"{tool.parent}{os.pathsep}/usr/bin:/bin"


def test_without_slurm_a_run_on_several_nodes_is_refused_with_what_to_do(tmp_path: Path) -> None:
    words = ["run", str(CONFIGS / "scaling-smoke.yaml"), "--device", "cpu"]
    words += ["--set", "launch.nodes=2", "--results", str(tmp_path / "runs")]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    ended = subprocess.run(
        [sys.executable, "-m", "harness.cli", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "PATH": str(tmp_path)},
    )
    assert ended.returncode == 2
    assert "there is no `srun` in PATH" in ended.stderr
    assert "`harness submit`" in ended.stderr
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.parametrize(
    ("missing", "changes", "complaint"),
    [
        ("SLURM_JOB_ID", {}, "this is no allocation of SLURM"),
        ("SLURMD_NODENAME", {}, "this host is not in the allocation"),
        ("", {"SLURM_JOB_NUM_NODES": "1"}, "the allocation has 1"),
    ],
)
def test_an_allocation_that_cannot_do_is_refused(
    path_with_srun: str, missing: str, changes: dict[str, str], complaint: str
) -> None:
    environment = {"PATH": path_with_srun, **IN_BATCH, **changes}
    environment.pop(missing, None)
    with pytest.raises(BenchError, match=complaint) as raised:
        srun.allocation(2, environment)
    assert raised.value.fix


def test_the_nodes_of_the_whole_allocation_count_not_those_of_the_runners_step(
    path_with_srun: str,
) -> None:
    """`harness submit` starts the runner in a step of one node."""
    environment = {"PATH": path_with_srun, **IN_BATCH, "SLURM_NNODES": "1"}
    assert srun.allocation(2, environment) == srun.Allocation("node0", 2)


def test_this_nodes_agent_keeps_the_store_and_srun_starts_the_others(
    tmp_path: Path, path_with_srun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PATH": path_with_srun, **IN_BATCH, "SLURM_JOB_NUM_NODES": "4"}.items():
        monkeypatch.setenv(name, value)
    job = job_of(tmp_path, 2, launch={"nodes": 3})
    words = srun.first_node_command(job, "python3.11", tmp_path, tmp_path / "a.log")
    step = words[words.index("srun") : words.index("python3.11")]
    assert len(step) == int(words[words.index("srun") - 1])
    assert {"--nodes=2", "--ntasks=2", "--exclude=node0", "--kill-on-bad-exit=1"} <= set(step)
    own = words[words.index("python3.11") :]
    assert {"--nnodes=3", "--nproc-per-node=2", "--rdzv-conf=is_host=true"} <= set(own)
    part = srun.NodePart.read((tmp_path / "part.json").read_text())
    assert f"--rdzv-endpoint={part.endpoint}" in own
    assert part.endpoint.startswith("node0:")
    assert part.spec == json.loads(job.model_dump_json())


def test_gloo_finds_the_network_of_several_nodes_by_itself(tmp_path: Path) -> None:
    one = environment_for(job_of(tmp_path, 2), {}, Path())
    several = environment_for(job_of(tmp_path, 2, launch={"nodes": 2}), {}, Path())
    assert one["GLOO_SOCKET_IFNAME"] == "lo"
    assert "GLOO_SOCKET_IFNAME" not in several


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("all is well", ""),
        ("srun: error: host7: task 1: Killed", "node 3: Killed"),
        ("node 2: crashed: no disk\nsrun: error: h: task 0: Exited with exit code 1", "node 2: "
         "crashed: no disk"),
    ],
)  # fmt: skip
def test_the_first_trouble_of_another_node_is_found_in_the_log(
    tmp_path: Path, lines: str, found: str
) -> None:
    log = tmp_path / "log"
    log.write_text(f"step 1\n{lines}\nTraceback\n")
    assert srun.trouble(log) == found


def test_the_energy_of_a_sample_is_left_out_where_other_nodes_had_a_part(tmp_path: Path) -> None:
    telemetry = Telemetry(joules_per_sample=2.0)

    def recorded(job: JobSpec) -> Telemetry | None:
        (record,) = RecordBuilder("run", Host()).build(
            Execution(job, Seen(exit_code=0), State.OK, telemetry=telemetry)
        )
        return record.telemetry

    assert recorded(job_of(tmp_path, 2)) == telemetry
    found = recorded(job_of(tmp_path, 1, launch={"nodes": 2}))
    assert found is not None
    assert found.joules_per_sample is None
    assert "only the first is sampled" in found.unreadable[0]
