"""The doctor on this host finds nothing that prevents a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import cli


def test_this_host_is_ready(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status = cli.main(["doctor", "--results", str(tmp_path)])
    printed = capsys.readouterr().out
    assert status == 0, printed
    assert "3 steps under ORTModule" in printed
