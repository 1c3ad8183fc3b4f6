"""Filters by shell patterns, tables by group, and the geometric mean over a run's pairs."""

from __future__ import annotations

from pathlib import Path

import pytest
from folders import ROOT
from report_factory import PROVEN, make_job, make_run, write_run

from harness.schema.record import Pair, Refusal, State
from report.analysis.replicates import arms_of
from report.loading.filters import GROUPS, Selection
from report.loading.runs import Run, load_run, load_runs
from report.tables.registry import build
from report.tables.table import Table, raw

H100, A100 = "NVIDIA H100 80GB HBM3", "NVIDIA A100"


def two_models() -> Run:
    """`small` on an H100: 100 s against 80 s; `tiny` on an A100: 100 s against 125 s, and
    torch.compile as well.
    """
    jobs = [
        make_job("pytorch", model="small", device=H100, runtime_s=100.0),
        make_job("onnxruntime", model="small", device=H100, runtime_s=80.0),
        make_job("pytorch", model="tiny", device=A100, runtime_s=100.0),
        make_job("onnxruntime", model="tiny", device=A100, runtime_s=125.0),
        make_job(
            "compiled",
            model="tiny",
            device=A100,
            backend="torch-compile",
            runtime_s=50.0,
            engagement=PROVEN,
        ),
    ]
    pairs = [
        Pair(workload="small-sst2", baseline="pytorch", candidate="onnxruntime"),
        Pair(workload="tiny-sst2", baseline="pytorch", candidate="onnxruntime"),
        Pair(workload="tiny-sst2", baseline="pytorch", candidate="compiled"),
    ]
    return make_run(jobs, pairs)


def tables(
    tmp_path: Path, *runs: Run, view: str = "gains", group_by: str | None = None, **of: str
) -> list[Table]:
    folders = [write_run(tmp_path / run.info.run, run) for run in runs]
    selection = Selection(**{kind: (pattern,) for kind, pattern in of.items()})
    loaded, _ = load_runs(folders)
    document = build(loaded, view, brief=True, selection=selection, group_by=group_by)
    return list(document.tables)


@pytest.mark.parametrize(
    ("of", "gains"),
    [
        ({"model": "SM*"}, [("small", "onnxruntime")]),
        (
            {"task": "sst2"},
            [("small", "onnxruntime"), ("tiny", "onnxruntime"), ("tiny", "compiled")],
        ),
        ({"gpu": "h100*"}, [("small", "onnxruntime")]),
        ({"gpu": "nvidia a100"}, [("tiny", "onnxruntime"), ("tiny", "compiled")]),
        ({"backend": "onnx*"}, [("small", "onnxruntime"), ("tiny", "onnxruntime")]),
        ({"backend": "ONNX Runtime", "model": "tiny"}, [("tiny", "onnxruntime")]),
        ({"backend": "torch-compile"}, [("tiny", "compiled")]),
        ({"backend": "compiled"}, [("tiny", "compiled")]),
        ({"run": "made-*", "model": "[s]mall"}, [("small", "onnxruntime")]),
    ],
)
def test_a_pattern_selects_pairs(
    tmp_path: Path, of: dict[str, str], gains: list[tuple[str, str]]
) -> None:
    (table,) = tables(tmp_path, two_models(), **of)
    assert [
        (row["model"], row["candidate"]) for row in raw(table) if row["measure"] == "end_to_end"
    ] == gains
    assert {row["state"] for row in raw(table)} == {
        "ok"
    }  # the baseline is there although no pattern names it


def test_a_backend_selects_arms_in_tables_of_arms(tmp_path: Path) -> None:
    (table,) = tables(tmp_path, two_models(), view="runtimes", backend="onnx*")
    assert [(row["model"], row["arm"]) for row in raw(table)] == [
        ("small", "onnxruntime"),
        ("tiny", "onnxruntime"),
    ]


def test_what_is_said_of_pairs_goes_with_them() -> None:
    refusal = Refusal(
        workload="tiny-sst2", baseline="pytorch", candidate="compiled", reasons=["they differ"]
    )
    run = make_run(two_models().jobs, two_models().info.pairs, refusals=[refusal])
    kept = Selection(model=("small",)).of(run, arms_of(run).replicates)
    assert kept is not None
    assert (kept.info.refusals, len(kept.info.pairs), len(kept.jobs)) == ([], 1, 2)
    assert Selection(model=("huge",)).of(run, arms_of(run).replicates) is None
    assert Selection(run=("other",)).of(run, arms_of(run).replicates) is None
    assert Selection().of(run, arms_of(run).replicates) is run


def test_a_published_run_that_is_filtered_still_reproduces_its_gains() -> None:
    published = load_run(ROOT / "results" / "published")
    kept = Selection(model=("*-large",)).of(published, arms_of(published).replicates)
    assert kept is not None
    (table,) = build([kept], "gains").tables
    assert [row["model"] for row in raw(table)] == ["roberta-large"]
    assert (
        "reproduces the published gains within the rounding of the published runtimes, from which "
        "follows a throughput gain of 17.98% on roberta-large-sst2" in table.notes
    )


def test_a_workload_that_nobody_ran_is_known_by_its_name() -> None:
    run = make_run([], [Pair(workload="tiny-sst2", baseline="pytorch", candidate="onnxruntime")])
    assert Selection(model=("tiny*",)).of(run, arms_of(run).replicates) is not None
    assert Selection(task=("sst2",)).of(run, arms_of(run).replicates) is None


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("model", ["small", "tiny"]),
        ("task", ["sst2"]),
        ("backend", ["ONNX Runtime", "torch.compile"]),
        ("gpu", [H100, A100]),
        ("run", ["made-up"]),
    ],
)
def test_a_table_for_each_group(tmp_path: Path, by: str, groups: list[str]) -> None:
    made = tables(tmp_path, two_models(), group_by=by)
    assert [table.title.split(":")[0] for table in made] == groups
    assert sum(len(table.rows) for table in made) == 6
    for table, group in zip(made, groups, strict=True):
        assert {GROUPS[by](row) for row in table.rows} == {group}
    said = [note for table in made for note in table.notes if note.startswith("synthetic data")]
    assert len(said) == 1  # a run's notes stand under its last table


def test_the_geometric_mean_by_hand(tmp_path: Path) -> None:
    # Ratios of 100/80 = 1.25 and 100/125 = 0.8: their geometric mean is exactly 1, where the
    # arithmetic one is 1.025.
    (table,) = tables(tmp_path, two_models())
    (note,) = (note for note in table.notes if note.startswith("geometric mean"))
    assert "ONNX Runtime over PyTorch" in note  # torch.compile has one pair only
    assert "1.0000 end to end over 2 of 2 pairs" in note
    assert note == table.notes[-1]


def test_a_pair_without_a_gain_is_counted_but_not_averaged() -> None:
    jobs = [
        make_job(arm, model=model, runtime_s=runtime_s, step_s=1.0, state=state)
        for model, runtime_s, state in (
            ("a", 50.0, State.OK),
            ("b", 200.0, State.OK),
            ("c", 1.0, State.CRASHED),
        )
        for arm, runtime_s in (("pytorch", 100.0), ("onnxruntime", runtime_s))
    ]
    (table,) = build([make_run(jobs)], "gains").tables
    assert (
        "1.0000 end to end over 2 of 3 pairs, 1.0000 steady state over 2 of 3 pairs"
        in table.notes[-1]
    )
    (table,) = build(
        [make_run([job for job in jobs if job.workload.model.name == "a"])], "gains"
    ).tables
    assert not any("geometric" in note for note in table.notes)


def test_identical_arms_have_no_geometric_mean() -> None:
    jobs = [
        make_job(arm, backend="pytorch", model=model) for arm in ("x", "y") for model in ("a", "b")
    ]
    pairs = [Pair(workload=f"{model}-sst2", baseline="x", candidate="y") for model in ("a", "b")]
    (table,) = build([make_run(jobs, pairs)], "gains").tables
    assert not any("geometric" in note for note in table.notes)
