"""What the tables print: the published form, raw numbers behind it, and every row with its
state.
"""

from __future__ import annotations

import json

import pytest
from folders import PUBLISHED
from report_factory import four_pairs, make_job, make_run

from harness.errors import BenchError
from harness.schema.record import Engagement, Fingerprint, Host, Pair, Sources, State
from harness.schema.workload import Training
from report.loading.runs import Run, load_run
from report.tables.columns import decimals
from report.tables.registry import VIEWS, build
from report.tables.render import FORMATS, render
from report.tables.table import raw
from report.text import format_percent


def cells(run: Run, view: str) -> list[dict[str, str]]:
    """The displayed rows of one table, by column title, read back from the Markdown."""
    lines = [line for line in render([run], "markdown", view).splitlines() if line.startswith("|")]
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(split[0], row, strict=True)) for row in split[2:]]


def titles(run: Run, view: str) -> list[str]:
    return [column.title for column in build([run], view).tables[0].columns]


def test_the_published_form_comes_first() -> None:
    run = make_run(four_pairs())
    assert titles(run, "runtimes")[:4] == ["Model", "Backend", "Runtime(s)", "Train samples(/s)"]
    assert titles(run, "gains")[:4] == ["Model", "Time", "Throughput (95%)", "n"]
    assert titles(load_run(PUBLISHED), "gains")[:3] == ["Model", "Latency", "Throughput"]
    assert {"Latency", "Throughput (95%)"} < {*titles(run, "full")}


def test_runtimes_by_hand() -> None:
    # PyTorch: 100 and 104 s: mean 102; s/√2 = 2, t(0.975, 1) = 12.7062 -> 102·exp(±25.41/102).
    # 800/102 samples/s: 7.843.
    jobs = [
        make_job("pytorch", 0, runtime_s=100, step_s=0.4),
        make_job("pytorch", 1, runtime_s=104, step_s=0.4),
    ]
    jobs += [make_job("onnxruntime", replicate, runtime_s=80, step_s=0.3) for replicate in (0, 1)]
    pytorch, ort = cells(make_run(jobs), "runtimes")
    assert pytorch["Backend"] == "PyTorch"
    assert ort["Backend"] == "ONNX Runtime"
    assert pytorch["Runtime(s)"] == "102.0"
    assert pytorch["Runtime 95%"] == "79.5 to 130.9"
    assert pytorch["Train samples(/s)"] == "7.843"
    assert (pytorch["n"], pytorch["State"]) == ("2", "ok")


def test_steady_state_by_hand() -> None:
    # Steps of 0.4 and 0.44 s: mean 420 ms; s/√2 = 20, t(0.975, 1) = 12.7062 -> 420·exp(±254.1/420).
    # 8/0.42: 19.05.
    jobs = [make_job("pytorch", 0, step_s=0.4), make_job("pytorch", 1, step_s=0.44)]
    jobs += [make_job("onnxruntime", replicate, state=State.CRASHED) for replicate in (0, 1)]
    pytorch, ort = cells(make_run(jobs), "steady")
    assert (pytorch["Set-up(s)"], pytorch["Steady step(ms)"], pytorch["Step 95%"]) == (
        "2.000",
        "420.0",
        "229.3 to 769.2",
    )
    assert (pytorch["Steady samples(/s)"], pytorch["n"], pytorch["State"]) == ("19.05", "2", "")
    assert (ort["Steady step(ms)"], ort["State"]) == ("", "no result: crashed in 2 of 2 replicates")


def test_what_all_rows_share_is_in_the_title_and_what_varies_has_a_column() -> None:
    alike = make_run(four_pairs())
    for view in ("runtimes", "gains"):
        assert "(sst2, fp32, batch 8, " in build([alike], view).tables[0].title
        assert not {"Task", "Precision", "Batch", "Attention"} & set(titles(alike, view))
    jobs = [make_job(arm, workload=f"tiny-{precision}", training=Training(precision=precision))
            for arm in ("pytorch", "onnxruntime") for precision in ("fp32", "fp16")]  # fmt: skip
    for view in ("runtimes", "steady", "gains"):
        assert {row["Precision"] for row in cells(make_run(jobs), view)} == {"fp16", "fp32"}
        assert build([make_run(jobs)], view).tables[0].title.count("fp") == 0


def test_gains_by_hand() -> None:
    end_to_end, steady = cells(make_run(four_pairs(100.0, 80.0)), "gains")
    assert (end_to_end["Time"], steady["Time"]) == ("end to end", "steady state")
    assert end_to_end["Throughput (95%)"] == "25.00% (25.00 to 25.00)"
    assert steady["Throughput (95%)"] == "25.00% (25.00 to 25.00)"
    assert cells(make_run(four_pairs(100.0, 80.0)), "full")[0]["Latency"] == "20.00%"
    assert (end_to_end["n"], end_to_end["State"]) == (steady["n"], steady["State"]) == ("4", "ok")


def test_a_loss_is_printed_as_a_loss() -> None:
    assert cells(make_run(four_pairs(80.0, 100.0)), "full")[0]["Latency"] == "-25.00%"
    assert format_percent(-0.00001) == "0.00%"


def test_one_replicate_has_no_interval_column() -> None:
    run = make_run([make_job(), make_job("onnxruntime")])
    assert not [title for view in VIEWS for title in titles(run, view) if "95%" in title]


def test_failed_arms_keep_their_row_with_the_reason_in_the_gains_place() -> None:
    jobs = [make_job("pytorch", replicate) for replicate in range(4)]
    jobs += [
        make_job("onnxruntime", replicate, state=State.FALLBACK, reason="the export failed")
        for replicate in range(4)
    ]
    run = make_run(jobs)
    ort = cells(run, "runtimes")[1]
    assert (ort["Runtime(s)"], ort["n"]) == ("", "0 of 4")
    assert ort["State"] == "no result: fallback in 4 of 4 replicates"
    for gain in cells(run, "gains"):
        assert gain["Throughput"] == ""
        assert gain["State"] == "no result: onnxruntime: fallback in 4 of 4 replicates"
    assert "- onnxruntime on tiny-sst2, fallback: the export failed" in render(
        [run], view="runtimes"
    )


def test_figures_of_an_unproven_backend_are_not_shown() -> None:
    unproven = Engagement(engaged=False, reasons=["the provider is not the expected one"])
    run = make_run([make_job(), make_job("onnxruntime", engagement=unproven)])
    assert cells(run, "runtimes")[1]["Runtime(s)"] == ""
    assert "not proven engaged: the provider is not the expected one" in render(
        [run], view="runtimes"
    )


def test_some_failures_are_counted_beside_the_result() -> None:
    jobs = four_pairs()
    jobs[0] = make_job("pytorch", 0, state=State.CRASHED)
    row = cells(make_run(jobs), "runtimes")[0]
    assert (row["n"], row["State"]) == ("3 of 4", "ok; left out: crashed in 1 of 4 replicates")
    assert cells(make_run(jobs), "gains")[0]["n"] == "3 of 4"


def test_declared_arms_without_a_job_have_rows() -> None:
    run = make_run(
        [],
        [Pair(workload="tiny-sst2", baseline="pytorch", candidate="onnxruntime")],
        status="running",
    )
    assert [row["State"] for row in cells(run, "runtimes")] == ["no result: no job recorded"] * 2
    assert "not finished" in render([run])


def test_reruns_are_told() -> None:
    jobs = [
        make_job(state=State.CONTAMINATED, started_at="2001-01-01"),
        make_job(started_at="2001-01-02"),
    ]
    assert "- 1 earlier attempt not counted, run again: contaminated\n" in render(
        [make_run(jobs)], view="runtimes"
    )


def test_synthetic_sources_are_told_once_in_a_document_and_real_ones_are_not() -> None:
    told = render([make_run(four_pairs())])
    assert told.count("- synthetic data: the built-in stand-in for sst2, not the real task") == 1
    assert told.count("- random weights") == 1
    for view in ("runtimes", "steady", "gains"):
        assert "- random weights" in render([make_run(four_pairs())], view=view)
    real = Sources(data="hub", weights="pretrained")
    text = render([make_run([make_job(sources=real), make_job("onnxruntime", sources=real)])])
    assert "synthetic" not in text
    assert "random" not in text


def test_a_label_names_what_it_is_about_if_that_is_not_everything() -> None:
    real = Sources(data="hub", weights="pretrained")
    jobs = [
        make_job(arm, model=model, sources=sources)
        for arm in ("pytorch", "onnxruntime")
        for model, sources in (("tiny", real), ("small", make_job().sources))
    ]
    assert "not the real task (small-sst2)\n" in render([make_run(jobs)])
    mixed = [make_job(), make_job("onnxruntime", sources=real)]
    assert "not the real task (pytorch on tiny-sst2)\n" in render([make_run(mixed)])


def test_sources_nobody_recorded_are_told() -> None:
    text = render(
        [make_run([make_job(sources=Sources()), make_job("onnxruntime", sources=Sources())])]
    )
    assert "- where the data came from was not recorded" in text
    assert "- where the weights came from was not recorded" in text


def test_what_was_run_is_told() -> None:
    text = render(
        [
            make_run(
                four_pairs(), git={"commit": "0123456789abcdef", "dirty": True}, notes=["made up"]
            )
        ]
    )
    assert (
        "- run made-up, on CPU (Abacus, 2 cores), suite test, 2001-02-03, commit 0123456789ab, "
        "with uncommitted" in text
    )
    assert "- sst2, fp32, batch 8, length 128, 3 epochs, adamw_torch\n" in text
    assert text.endswith("- made up\n")
    gpu = [make_job(device="NVIDIA Abacus")]
    assert "on NVIDIA Abacus (host: Abacus, 2 cores)" in render([make_run(gpu)])
    assert "on NVIDIA Abacus" in render([make_run([], host=Host(gpus=[{"name": "NVIDIA Abacus"}]))])


def test_the_versions_of_every_stack_are_told() -> None:
    packages = {
        "rich": "13",
        "transformers": "4.48.3",
        "torch": "2.6.0",
        "latest/torch": "2.11.0",
        "latest/rich": "15",
    }
    text = render([make_run(four_pairs(), packages=packages)])
    assert "- torch 2.6.0, transformers 4.48.3\n- stack latest: torch 2.11.0\n" in text
    assert "rich" not in text


def test_an_arm_with_settings_of_its_own_is_told_apart() -> None:
    jobs = [make_job(), make_job("onnxruntime", training=Training(batch_size=16))]
    pair = Pair(
        workload="tiny-sst2",
        baseline="pytorch",
        candidate="onnxruntime",
        differs=["training.batch_size"],
    )
    text = render([make_run(jobs, [pair])])
    assert "batch 16, length 128, 3 epochs, adamw_torch (onnxruntime on tiny-sst2)" in text
    assert "- pytorch against onnxruntime: training.batch_size differs (declared)\n" in text


def test_every_pair_says_what_it_declares() -> None:
    jobs = [
        make_job(arm, model=model)
        for model in ("small", "tiny")
        for arm in ("pytorch", "onnxruntime")
    ]
    alike = Pair(workload="tiny-sst2", baseline="pytorch", candidate="onnxruntime")
    text = render([make_run(jobs, [alike])], view="gains")
    assert "- pytorch against onnxruntime: no declared difference but the backend\n" in text
    identical = [make_job(), make_job("pytorch-b", backend="pytorch")]
    both = alike.model_copy(update={"candidate": "pytorch-b"})
    assert "- pytorch against pytorch-b: no declared difference\n" in render(
        [make_run(identical, [both])], view="gains"
    )
    other = Pair(
        workload="small-sst2",
        baseline="pytorch",
        candidate="onnxruntime",
        differs=["attention", "stack"],
    )
    text = render([make_run(jobs, [alike, other])], view="gains")
    assert (
        "- pytorch against onnxruntime: no declared difference but the backend (tiny-sst2)\n"
        in text
    )
    assert (
        "- pytorch against onnxruntime: attention, stack differ (declared) (small-sst2)\n" in text
    )


def test_arms_that_share_a_backend_go_by_name() -> None:
    jobs = [
        make_job("eager", backend="pytorch"),
        make_job("sdpa", backend="pytorch", attention="sdpa"),
    ]
    run = make_run([*jobs, make_job("onnxruntime")], [
        Pair(workload="tiny-sst2", baseline="eager", candidate="onnxruntime"),
        Pair(workload="tiny-sst2", baseline="sdpa", candidate="onnxruntime"),
    ])  # fmt: skip
    assert [(row["Arm"], row["Attention"]) for row in cells(run, "runtimes")] == [
        ("eager", "eager"),
        ("onnxruntime", "eager"),
        ("sdpa", "sdpa"),
    ]
    assert {row["Gain of"] for row in cells(run, "gains")} == {
        "onnxruntime over eager",
        "onnxruntime over sdpa",
    }
    assert [row["Arm"] for row in cells(run, "steady")] == ["eager", "onnxruntime", "sdpa"]
    assert "Arm" not in titles(make_run(four_pairs()), "runtimes")


def test_the_attention_of_a_pair_is_told() -> None:
    pair = Pair(
        workload="tiny-sst2", baseline="pytorch", candidate="onnxruntime", differs=["attention"]
    )
    run = make_run([make_job(attention="sdpa"), make_job("onnxruntime")], [pair])
    assert "attention eager over sdpa" in build([run], "gains").tables[0].title
    both = cells(run, "runtimes")
    assert [row["Attention"] for row in both] == ["sdpa", "eager"]
    second = [make_job(arm, model="small") for arm in ("pytorch", "onnxruntime")]
    mixed = make_run(
        [*run.jobs, *second],
        [pair, Pair(workload="small-sst2", baseline="pytorch", candidate="onnxruntime")],
    )
    assert [row["Attention"] for row in cells(mixed, "gains")[::2]] == ["eager over sdpa", "eager"]


def test_batch_sizes_are_told_apart() -> None:
    jobs = [make_job(arm, workload=f"tiny-b{size}", training=Training(batch_size=size))
            for size in (8, 64) for arm in ("pytorch", "onnxruntime")]  # fmt: skip
    for view in ("runtimes", "steady", "gains", "gpu", "comparison"):
        rows = cells(make_run(jobs), view)
        assert {row["Batch"] for row in rows} == {"8", "64"}
        assert "Workload" not in rows[0]


def test_workloads_that_look_alike_go_by_name() -> None:
    jobs = [
        make_job(workload=f"tiny-length{n}", training=Training(max_seq_length=n)) for n in (64, 128)
    ]
    assert [
        row["Workload"] for row in cells(make_run(jobs), "runtimes") if row["Backend"] == "PyTorch"
    ] == [
        "tiny-length128",
        "tiny-length64",
    ]


def test_a_length_that_the_tokenizer_cut_is_told_with_the_one_asked_for() -> None:
    sources = Sources(data="synthetic", weights="pretrained", max_seq_length=16)
    text = render([make_run([make_job(sources=sources, training=Training(max_seq_length=256))])])
    assert ", length 16 (256 asked for: the tokenizer takes no more), " in text
    by_batch = Training(max_seq_length=256, pad_to_max_length=False)
    assert ", length up to 256, " in render([make_run([make_job(training=by_batch)])])
    assert ", length 256, " in render([make_run([make_job(training=Training(max_seq_length=256))])])


def test_remarks_on_pretrained_weights_are_told() -> None:
    remark = (
        "classifier.weight of m has 3 outputs in the checkpoint and 2 here: drawn from the seed"
    )
    text = render(
        [make_run([make_job(sources=Sources(data="hub", weights="pretrained", remarks=[remark]))])]
    )
    assert f"- {remark}\n" in text


def test_several_runs_stand_side_by_side() -> None:
    runs = [make_run(four_pairs(), run="one"), make_run(four_pairs(200.0, 80.0), run="two")]
    table = build(runs, "gains").tables[0]
    assert [row["run"] for row in raw(table)] == ["one", "one", "two", "two"]
    assert table.columns[0].title == "Run"
    text = render(
        [*runs, make_run([make_job(sources=Sources(data="hub", weights="random"))], run="real")]
    )
    assert "- one, two: synthetic data" in text
    assert "- random weights: no pretrained model was loaded\n" in text
    for name in ("one", "two", "real"):
        assert f"- run {name}, on CPU" in text


def test_rendering_twice_gives_the_same_bytes_whatever_the_order_of_records() -> None:
    jobs = four_pairs() + [make_job(arm, model="small") for arm in ("onnxruntime", "pytorch")]
    for form in FORMATS:
        first = render([make_run(jobs)], form)
        assert render([make_run(jobs)], form) == first
        assert render([make_run(jobs[::-1])], form) == first


def test_a_view_is_one_table() -> None:
    content = json.loads(render([make_run(four_pairs())], "json", "gains"))
    assert list(content["tables"]) == ["gains"]


def test_bad_requests_are_told() -> None:
    run = make_run(four_pairs())
    with pytest.raises(BenchError, match="no such format"):
        render([run], "papyrus")
    with pytest.raises(BenchError, match="no such view"):
        render([run], "markdown", "sideways")
    with pytest.raises(BenchError, match="no run"):
        render([])


@pytest.mark.parametrize(
    ("value", "shown"), [(3523.7, 1), (752.3, 1), (57.3, 2), (0.1234, 4), (0.0, 1), (-0.5, 4)]
)
def test_four_significant_digits(value: float, shown: int) -> None:
    assert decimals(value) == shown


def test_adapters_and_how_much_is_trained_stand_under_what_was_run() -> None:
    training = Training(lora_rank=8, target_modules=["q_proj", "v_proj"])
    told = Fingerprint(parameters=1_024_128, trainable_parameters=7_424)
    text = render([make_run([make_job(training=training, fingerprint=told)])])
    assert "adamw_torch, LoRA of rank 8 on q_proj, v_proj (7,424 of 1,024,128 parameters" in text
    untold = render([make_run([make_job(training=Training(lora_rank=8))])])
    assert ", LoRA of rank 8 on peft's usual layers\n" in untold
    assert "LoRA" not in render([make_run([make_job()])])
