"""Parts of a suite as processes on this host, one of them killed and resumed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from runner_support import processes_of, wait_until
from submit_support import needs_submitit, submit

from harness.results.run_folder import read_info, read_records
from harness.runner.runner import has_result
from harness.schema.record import State


def test_a_killed_element_goes_on_by_the_same_command(tmp_path: Path) -> None:
    needs_submitit()
    words = ("--executor", "local", "--device", "cpu")
    first = submit(tmp_path, *words)
    second_part = "*/parts/002-*/"

    def one_job_is_done() -> list[Path]:
        found = (tmp_path / "results").glob(f"{second_part}jobs.jsonl")
        return [file for file in found if file.read_text().count("\n") == 1]

    wait_until(one_job_is_done, 150)
    (lock,) = (tmp_path / "results").glob(f"{second_part}.lock")
    os.kill(int(lock.read_text().split()[0]), signal.SIGKILL)  # the element's runner
    said, _ = first.communicate(timeout=60)
    assert first.returncode == 1, said
    assert "not every part is complete" in said
    wait_until(lambda: not processes_of(tmp_path), 20)
    (run,) = (tmp_path / "results").iterdir()
    before = [record.id for record in read_records(run / "parts" / "002-bert-tiny-sst2")[0]]

    again = submit(tmp_path, *words)
    said, _ = again.communicate(timeout=150)
    assert again.returncode == 0, said
    assert "001-roberta-tiny-sst2 as" not in said  # it is complete
    assert list((tmp_path / "results").iterdir()) == [run]
    info, (records, _) = read_info(run), read_records(run)
    assert info.status == "complete"
    assert [record.state for record in records] == [State.OK] * 4
    assert len({record.id for record in records}) == 4
    assert records[2].id == before[0]  # not run again
    assert all(has_result(pair, records) for pair in info.pairs)
    assert len(info.pairs) == 2
