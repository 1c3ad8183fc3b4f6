"""Provenance of a tree without git."""

from __future__ import annotations

from pathlib import Path

import pytest
from folders import ROOT

from harness.results.provenance import git_state


@pytest.mark.parametrize(
    ("told", "expected"),
    [("0123abc", {"commit": "0123abc", "told": True}), ("", {}), ("not a commit", {})],
)
def test_a_copied_tree_takes_the_commit_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, expected: dict[str, object]
) -> None:
    monkeypatch.setenv("BENCH_COMMIT", told)
    assert git_state(tmp_path) == expected


def test_a_checkout_answers_for_itself_unless_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "BENCH_COMMIT", "0123abc"
    )  # a copy's own metadata may be older than its files
    assert git_state(ROOT) == {"commit": "0123abc", "told": True}
    monkeypatch.delenv("BENCH_COMMIT")
    state = git_state(ROOT)
    if state == {}:
        pytest.skip("the tests do not run in a git checkout")
    assert len(str(state["commit"])) == 40
