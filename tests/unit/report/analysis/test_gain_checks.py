"""What a gain must pass beside parity: no refusal, gains in time and cycles alike, precision,
reruns, noise floor.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_factory import clock, four_pairs, make_interleaved_job, make_job, make_run, write_run

from harness.schema.record import Host, JobRecord, Pair, Refusal, Sources, State, Stopping, Timing
from harness.schema.stats import Estimate
from harness.schema.workload import Training
from report.analysis.cycles import disagree
from report.analysis.gains import STEADY_STATE, Gain, gains_of
from report.analysis.noise_floor import same_host
from report.analysis.outcome import GainStatus
from report.loading.runs import Run, load_runs
from report.tables.markdown_files import refresh
from report.tables.registry import build
from report.tables.render import render
from report.tables.table import raw

PAIR = Pair(workload="tiny-sst2", baseline="pytorch", candidate="onnxruntime")
A_A = Pair(workload="tiny-sst2", baseline="a", candidate="b")
HERE = Host(name_sha256="here", cores=2)


def rows_of(run: Run, view: str = "gains") -> list[dict[str, str]]:
    (table,) = build([run], view).tables
    return [
        dict(zip((column.title for column in table.columns), row, strict=True))
        for row in table.cells
    ]


def notes_of(run: Run) -> tuple[str, ...]:
    return build([run], "gains").tables[0].notes


# --- refusals


def test_a_refused_pair_keeps_its_rows_with_the_reason() -> None:
    reasons = ["learning rate: 2e-05 in pytorch, 0.001 in onnxruntime", "attention: eager and sdpa"]
    refusal = Refusal(
        workload="tiny-sst2", baseline="pytorch", candidate="onnxruntime", reasons=reasons
    )
    for jobs in ([], four_pairs()):
        run = make_run(jobs, [PAIR], refusals=[refusal])
        assert len(rows_of(run)) == 2
        for row in rows_of(run):
            assert row["State"] == f"refused: {'; '.join(reasons)}"
            assert row["Throughput"] == ""
    other = refusal.model_copy(update={"candidate": "sdpa"})
    assert all(gain.ratio for gain in gains_of(make_run(four_pairs(), [PAIR], refusals=[other])))


# --- time and cycles


def with_clocks(clocks: dict[str, list[float | None]], steps: dict[str, list[float]]) -> Gain:
    jobs = [
        make_job(arm, k, step_s=step_s, telemetry=clock(mhz))
        for arm in clocks
        for k, (mhz, step_s) in enumerate(zip(clocks[arm], steps[arm], strict=True))
    ]
    (gain,) = (gain for gain in gains_of(make_run(jobs, [PAIR])) if gain.measure is STEADY_STATE)
    return gain


def test_a_gain_that_the_clock_made_is_ambiguous() -> None:
    # 100 ms at 1900 MHz against 80 ms at 1520 MHz are 25% in time; in cycles 190 against 121.6 M:
    # 56.25%.
    steps = {"pytorch": [0.100, 0.101, 0.099], "onnxruntime": [0.080, 0.0805, 0.0795]}
    gain = with_clocks({"pytorch": [1900.0] * 3, "onnxruntime": [1520.0] * 3}, steps)
    assert gain.ratio is None
    assert str(gain.outcome) == (
        "ambiguous: throughput 25.00% (23.84% to 26.17%) in time, 56.25% (54.80% to 57.71%) in "
        "clock cycles"
    )
    alike = with_clocks({"pytorch": [1900.0] * 3, "onnxruntime": [1895.0] * 3}, steps)
    assert str(alike.outcome) == "ok"
    assert alike.cycles is not None
    assert alike.ratio is not None
    assert alike.cycles.mean > alike.ratio.mean


def test_noise_wider_than_the_clocks_difference_is_not_ambiguous() -> None:
    steps = {"pytorch": [0.10, 0.14, 0.07], "onnxruntime": [0.08, 0.05, 0.12]}
    slower = with_clocks({"pytorch": [1900.0] * 3, "onnxruntime": [1520.0] * 3}, steps)
    assert slower.outcome.status is GainStatus.OK


def test_without_every_clock_there_is_no_gain_in_cycles() -> None:
    steps = {"pytorch": [0.1, 0.1], "onnxruntime": [0.08, 0.08]}
    gain = with_clocks({"pytorch": [1900.0, None], "onnxruntime": [1520.0, 1520.0]}, steps)
    assert (str(gain.outcome), gain.cycles) == ("ok", None)


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(-1, 1), st.floats(0, 1))
def test_disagreement_is_symmetric_and_needs_a_gap(
    one: float, width: float, other: float, wide: float
) -> None:
    left, right = (
        Estimate(3, mid, mid - half, mid + half) for mid, half in ((one, width), (other, wide))
    )
    assert disagree(left, right) == disagree(right, left)
    assert not disagree(left, left)
    assert (
        disagree(left, right) == (abs(one - other) > width + wide + 1e-9)
        or abs(abs(one - other) - width - wide) < 2e-9
    )
    assert not disagree(left, Estimate(1, other))


# --- precision


def stopped(state: Any, **fields: Any) -> Stopping:
    given: dict[str, Any] = {
        "replicates": 12,
        "half_width_pp": 1.234,
        "target_pp": 0.5,
        "minutes": 240.0,
    }
    pair = {"workload": "tiny-sst2", "baseline": "pytorch", "candidate": "onnxruntime"}
    return Stopping(**pair, state=state, **{**given, **fields})


def test_precision_not_reached_is_in_the_state_and_what_it_takes_in_a_note() -> None:
    said = stopped("precision not reached", needed_replicates=73, needed_minutes=1460.0)
    run = make_run(four_pairs(), [PAIR], stopping=[said])
    end_to_end, steady = rows_of(run)
    assert (end_to_end["State"], steady["State"]) == ("ok", "ok; precision not reached")
    assert (
        "precision not reached: onnxruntime over pytorch on tiny-sst2 has ±1.23 pp after 12 "
        "replicates and 240 minutes, the "
        "target is ±0.5 pp; about 73 replicates (1460 minutes) would reach it"
    ) in notes_of(run)
    watched = {"measurement": {"adaptive": {"measure": "end_to_end"}}}
    run = make_run(four_pairs(), [PAIR], stopping=[said], config=watched)
    assert [row["State"] for row in rows_of(run)] == ["ok; precision not reached", "ok"]


def test_precision_reached_is_raw_data_only() -> None:
    run = make_run(four_pairs(), [PAIR], stopping=[stopped("precision reached", half_width_pp=0.4)])
    assert [row["State"] for row in rows_of(run)] == ["ok", "ok"]
    assert [row["precision_target"] for row in raw(build([run], "gains").tables[0])] == [
        None,
        "precision reached",
    ]
    assert "precision not reached" not in render([run])


# --- attempts


def test_of_many_reasons_to_run_again_the_most_frequent_are_told_and_the_others_counted() -> None:
    jobs = []
    for attempt in range(1, 11):
        reason = "heat" if attempt < 4 else f"others used {attempt}0% of the cores"
        disturbed = {"state": State.CONTAMINATED, "reason": reason}
        jobs.append(make_job("pytorch", 0, attempt=attempt, **disturbed))
    run = make_run([*jobs, make_job("pytorch", 0, attempt=11)], [PAIR])
    (said,) = (note for note in notes_of(run) if "run again" in note)
    assert "3 contaminated (heat)" in said
    assert said.count("contaminated") == 3
    assert said.endswith("; 5 for other reasons (jobs.jsonl has them)")


def test_quads_run_again_count_once_and_are_told_with_their_reasons() -> None:
    disturbed = {"state": State.CONTAMINATED, "reason": "another process on the card"}
    jobs: list[JobRecord] = [
        make_job("pytorch", 0, step_s=9.0, attempt=1),
        make_job("onnxruntime", 0, step_s=1.0, attempt=1, **disturbed),
        make_job("pytorch", 0, step_s=5.0, attempt=2, telemetry=clock(1900.0)),
        make_job("onnxruntime", 0, step_s=5.0, attempt=2, telemetry=clock(1600.0)),
        make_job("pytorch", 0, step_s=0.5, attempt=3),
        make_job("onnxruntime", 0, step_s=0.4, attempt=3),
    ]
    for ordered in (jobs, jobs[::-1]):
        run = make_run(ordered, [PAIR])
        (gain,) = (gain for gain in gains_of(run) if gain.measure is STEADY_STATE)
        assert gain.ratio is not None
        assert (gain.ratio.n, gain.throughput[0]) == (1, pytest.approx(0.25))
        (said,) = (note for note in notes_of(run) if "run again" in note)
        assert said.startswith("4 earlier attempts not counted, run again: ")
        assert "1 contaminated (another process on the card)" in said
        assert "2 SM clocks of the arms more than 1% apart" in said
        assert "1 undisturbed, but of a disturbed quad" in said


def test_attempts_of_a_quad_are_not_mixed() -> None:
    jobs = [make_job("pytorch", 0), make_job("onnxruntime", 0), make_job("pytorch", 0, attempt=2)]
    (gain, _) = gains_of(make_run(jobs, [PAIR]))
    assert str(gain.outcome) == "arms were not run again together in 1 of 1 replicate"


# --- the noise floor


def a_a_jobs(steps: list[tuple[float, float]], **fields: Any) -> list[JobRecord]:
    return [
        make_job(arm, k, backend="pytorch", step_s=step_s, runtime_s=None, **fields)
        for k, both in enumerate(steps)
        for arm, step_s in zip(("a", "b"), both, strict=True)
    ]


NOISE = [(0.500, 0.501), (0.500, 0.499), (0.501, 0.500)]


def test_the_noise_floor_of_the_same_run_stands_beside_the_gain() -> None:
    # d = −0.001998, 0.002002, 0.001998; mean 0.000667, s/√3 = 0.0013327, t(0.975, 2) = 4.302653:
    # ±0.0057342 -> in throughput from −0.505% to 0.642%: half of it 0.574 pp.
    run = make_run([*four_pairs(), *a_a_jobs(NOISE)], [PAIR, A_A])
    (table,) = build([run], "gains").tables
    of_pair = [
        row
        for row in raw(table)
        if row["candidate"] == "onnxruntime" and row["measure"] == "steady_state"
    ]
    assert [row["noise_floor"] for row in of_pair] == ["±0.57 pp"]
    assert (
        "A/A: half the 95% interval of the throughput gain of identical arms on this host"
        in table.notes
    )
    labelled = {row["Gain of"]: row["A/A"] for row in rows_of(run)}
    assert labelled["b over a (A/A)"] == ""
    end_to_end = [row["A/A"] for row in rows_of(run) if row["Time"] == "end to end"]
    assert end_to_end == ["", ""]  # the identical arms have no such time here


def test_identical_arms_that_differ_say_so() -> None:
    biased = [(0.505, 0.500), (0.506, 0.501), (0.505, 0.5001)]
    run = make_run([*four_pairs(), *a_a_jobs(biased)], [PAIR, A_A])
    (floor,) = {row["A/A"] for row in rows_of(run)} - {""}
    assert floor.startswith("+0.9")
    assert floor.endswith(" pp")


def test_of_a_group_of_identical_arms_the_pair_with_the_widest_interval_is_the_floor() -> None:
    """And one that excludes 0 before all others: something tells its arms apart."""
    others = {
        "c": [0.495, 0.505, 0.500],  # as noisy as no other, and as long in the mean
        "d": [0.490, 0.4901, 0.4899],  # shorter
    }
    jobs = [*four_pairs(), *a_a_jobs(NOISE)]
    jobs += [
        make_job(arm, k, backend="pytorch", step_s=step_s, runtime_s=None)
        for arm, steps in others.items()
        for k, step_s in enumerate(steps)
    ]
    to_c, to_d = (A_A.replace(candidate=arm) for arm in ("c", "d"))
    (widest,) = {row["A/A"] for row in rows_of(make_run(jobs, [PAIR, A_A, to_c]))} - {""}
    assert 2 < float(widest.removeprefix("±").removesuffix(" pp")) < 4
    (off,) = {row["A/A"] for row in rows_of(make_run(jobs, [PAIR, to_c, A_A, to_d]))} - {""}
    assert off.startswith("+2.1")


def results(tmp_path: Path, host: Host = HERE, **fields: Any) -> Path:
    folder = tmp_path / "results"
    arms = {name: {"name": name, "backend": "pytorch"} for name in ("a", "b")}
    a_a = make_run(a_a_jobs(NOISE, **fields), [A_A], run="aa", host=host, config={"arms": arms})
    write_run(folder / "aa", a_a)
    write_run(folder / "mine", make_run(four_pairs(), [PAIR], run="mine", host=HERE))
    return folder


def floors(folder: Path) -> set[str]:
    (run,), problems = load_runs([folder / "mine"])
    assert problems == []
    return {str(row["noise_floor"]) for row in raw(build([run], "gains").tables[0])} - {""}


def test_the_noise_floor_of_a_run_beside_it(tmp_path: Path) -> None:
    folder = results(tmp_path)
    assert floors(folder) == {"±0.57 pp"}
    (run,), _ = load_runs([folder / "mine"])
    assert (
        "A/A: half the 95% interval of the throughput gain of identical arms on this host, from aa"
        in notes_of(run)
    )
    assert [row["noise_floor_run"] for row in raw(build([run], "gains").tables[0])] == [None, "aa"]


@pytest.mark.parametrize(
    "other",
    [
        {"host": Host(name_sha256="there")},
        {"training": Training(batch_size=64)},
        {"training": Training(precision="bf16")},
        {"training": Training(max_seq_length=64)},
        {"sources": Sources(data="synthetic", weights="random", max_seq_length=64)},
        {"model": "large", "workload": "tiny-sst2"},
        {"device": "NVIDIA Abacus"},
    ],
)
def test_another_host_or_other_work_is_no_floor(tmp_path: Path, other: dict[str, Any]) -> None:
    assert floors(results(tmp_path, **other)) == set()


def test_another_protocol_is_no_floor() -> None:
    turns = [
        make_interleaved_job(arm, other, 9, [0.5] * 8, backend="pytorch")
        for arm, other in (("a", "b"), ("b", "a"))
    ]
    run = make_run([*four_pairs(), *turns], [PAIR, A_A])
    assert {row.get("A/A", "") for row in rows_of(run)} == {""}


@pytest.mark.parametrize("lever", [{"kept_awake": True}, {"scheduler": "SCHED_FIFO"}])
def test_arms_whose_cores_were_treated_otherwise_are_no_floor(lever: dict[str, Any]) -> None:
    def jobs(names: tuple[str, str], backends: tuple[str, str], **levers: Any) -> list[JobRecord]:
        made = []
        for arm, other, backend in zip(names, names[::-1], backends, strict=True):
            for replicate, noise in enumerate((0.0, 0.001, -0.001)):
                step_s = [0.5 + noise * (arm == names[1])] * 8
                job = make_interleaved_job(arm, other, replicate, step_s, backend=backend)
                assert job.turns is not None
                turns = job.turns.model_copy(update={"levers": levers})
                made.append(job.model_copy(update={"turns": turns}))
        return made

    pair = jobs(("pytorch", "onnxruntime"), ("pytorch", "onnxruntime"))
    alike = make_run([*pair, *jobs(("a", "b"), ("pytorch", "pytorch"))], [PAIR, A_A])
    assert {row["A/A"] for row in rows_of(alike)} == {"", "±0.50 pp"}
    otherwise = make_run([*pair, *jobs(("a", "b"), ("pytorch", "pytorch"), **lever)], [PAIR, A_A])
    assert {row.get("A/A", "") for row in rows_of(otherwise)} == {""}


def test_arms_that_differ_are_no_floor() -> None:
    unlike = [
        job.model_copy(
            update={
                "arm": job.arm.model_copy(
                    update={"attention": "sdpa" if job.arm.name == "b" else "eager"}
                )
            }
        )
        for job in a_a_jobs(NOISE)
    ]
    run = make_run([*four_pairs(), *unlike], [PAIR, A_A])
    assert {row.get("A/A", "") for row in rows_of(run)} == {""}
    assert not any("(A/A)" in row["Gain of"] for row in rows_of(run))


def test_a_damaged_neighbour_is_passed_over(tmp_path: Path) -> None:
    folder = results(tmp_path)
    (folder / "aa" / "run.json").write_text("{")
    assert floors(folder) == set()


def test_a_document_uses_only_the_runs_it_names(tmp_path: Path) -> None:
    folder = results(tmp_path)
    document = tmp_path / "README.md"
    document.write_text("<!-- table: mine view=gains -->\n<!-- /table -->\n")
    refresh([document], folder)
    assert "A/A" not in document.read_text()
    document.write_text(document.read_text() + "\n<!-- table: aa view=gains -->\n<!-- /table -->\n")
    refresh([document], folder)
    assert "±0.57 pp" in document.read_text()
    assert refresh([document], folder, check=True) == ([], [])


def test_hosts_are_told_by_their_cards_and_without_cards_by_name() -> None:
    def host(name: str | None, *cards: str) -> Host:
        return Host(name_sha256=name, gpus=[{"uuid": card} for card in cards])

    assert same_host(host("x"), host("x"))
    assert not same_host(host("x"), host("y"))
    assert not same_host(host(None), host(None))
    assert same_host(
        host("x", "GPU-1"), host("y", "GPU-1")
    )  # a container's name changes, the card does not
    assert not same_host(host("x", "GPU-1"), host("x", "GPU-2"))
    assert not same_host(host("x", "GPU-1"), host("x"))


def test_the_widest_row_says_all_of_it() -> None:
    """All columns at once, so that none hides another."""
    timing = {"setup_s": 2.0, "train_runtime_s": 100.0, "steps": 100}
    jobs = [
        make_job(arm, k, timing=Timing(steady_step_s=step_s + k / 1e4, **timing))
        for k in range(4)
        for arm, step_s in (("pytorch", 0.5), ("onnxruntime", 0.4))
    ]
    run = make_run(
        [*jobs, *a_a_jobs(NOISE)],
        [PAIR, A_A],
        config={"measurement": {"parity": {"steps": 2}}},
    )
    titles = [column.title for column in build([run], "gains").tables[0].columns]
    wanted = ["Throughput (95%)", "n", "A/A", "Break-even", "Parity", "State"]
    assert [title for title in titles if title in wanted] == wanted
