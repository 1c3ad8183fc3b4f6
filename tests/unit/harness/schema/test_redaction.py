"""What must not leave this machine is taken out of records, and nothing else is changed in them."""

from __future__ import annotations

import json
import random
import string
import tempfile
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest
from pydantic import BaseModel
from runner_support import make_job, record_of

from harness.launcher.outcome import Seen
from harness.results.run_folder import RunFolder
from harness.schema.record import Engagement, JobRecord, Pair, RunInfo, State, WorkerResult
from harness.schema.redaction import CHECKOUT, FREE_TEXT, HOST_PATH, looks_random, redact, redactor
from harness.schema.workload import Model, Task

TOKEN = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGh"
HOME = "/home/somebody"


def text(given: str, **environment: str) -> str:
    return redactor({"/srv/results": "<results>"}, environment={"HOME": HOME, **environment}).text(
        given
    )


@pytest.mark.parametrize(
    "given",
    [
        "Train samples(/s) of eager /sdpa, in ms/step and GB/s",
        "hf_bert_local_finetuned is no folder; sk-learn-pipeline-of-last-summer-2024-10-11 is one",
        "xox-large-model-of-2024, ghp_model_of_the_last_autumn, eyJapanese-bert-base-v3",
        "AKIAuthoringModelForSequenceClassification, glpat-short",
        "FacebookAI/roberta-base at 12 samples/s; </s> and and/or",
        "https://hub.example/a/b and s3://bucket/home/somebody/x",
        "commit 0123456789abcdef0123456789abcdef01234567, GPU-0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f",
        "T5ForConditionalGenerationV2WithCrossAttentions2 in NVIDIA-H100-80GB-HBM3-MIG-1g.10gb",
        "pad_token=[PAD]0, eos_token: endoftext50256, max_new_tokens=128, "
        "tokenizer=BertTokenizerFast2",
        "key: value1, monkey=banana42, the secret of it, password required",
        "/usr/lib/libc.so.6 and /opt/x and /data/others/models/bert",
        "/home/somebody-else/x and a/home/somebody/b",
        "模型-très-grand 模型: 精度 0.91",
    ],
)
def test_what_is_no_secret_and_no_private_path_stays(given: str) -> None:
    assert text(given) == given


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("{home}/.cache/hub", "~/.cache/hub"),
        ("in {home}.", "in ~."),
        ("No such file: '{home}'", "No such file: '~'"),
        ("{checkout}/configs:1", "<checkout>/configs:1"),
        ("--out={checkout}/results", "--out=<checkout>/results"),
        ("/usr/lib:/data/me/lib:{home}/lib", "/usr/lib:/data/me/lib:~/lib"),
        ("file://{home}/x", "file://~/x"),
        ("g++ -I{home}/include", "g++ -I~/include"),
        ("/srv/results/smoke/jobs.jsonl", "<results>/smoke/jobs.jsonl"),
        ("{temporary}/bench-x/spec.json", "<tmp>/bench-x/spec.json"),
        ("/data/hub/models--a--b/x", "<cache>/models--a--b/x"),
        ("https://me:pass@hub.example/x", "https://***@hub.example/x"),
        (
            "posting to https://hooks.slack.com/services/T0/B0/x failed",
            "posting to https://hooks.slack.com/<secret> failed",
        ),
        ("401 for {token}, tried", "401 for <secret>, tried"),
        ("password=hunter2x and API_KEY: 'abc123def'", "password=<secret> and API_KEY: '<secret>'"),
        ("Authorization: Bearer abcdefghij0123456789", "Authorization: Bearer <secret>"),
        ("said aG9q7Xc2Lr9TzB4kWm1PaQ8v to it", "said <secret> to it"),
        ("with correct-horse of the environment", "with <secret> of the environment"),
        ("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----", "<secret>"),
    ],
)
def test_secrets_and_known_prefixes_of_paths_go(given: str, expected: str) -> None:
    filled = (
        given.replace("{home}", HOME).replace("{checkout}", str(CHECKOUT)).replace("{token}", TOKEN)
    )
    filled = filled.replace("{temporary}", tempfile.gettempdir())
    assert (
        text(filled, HF_HUB_CACHE="/data/hub", MY_PASSWORD="correct-horse", PYTHON_KEY="us")
        == expected
    )


def test_tokens_look_random_and_names_do_not() -> None:
    draw = random.Random(1)
    letters = string.ascii_letters + string.digits
    for length, least in ((24, 0.85), (34, 0.88), (64, 0.95)):
        drawn = ["".join(draw.choices(letters, k=length)) for _ in range(300)]
        assert sum(map(looks_random, drawn)) > least * len(drawn), length
    names = {name for name in dir(__import__("transformers")) if len(name) >= 24}
    assert len(names) > 500
    assert [name for name in names if looks_random(name)] == []


def test_the_root_as_home_hides_nothing() -> None:
    assert text("/a/b", HOME="/") == "/a/b"


@pytest.mark.parametrize(
    "name",
    ["hf_bert_local_finetuned", TOKEN, "sk-" + "Ab3" * 12, "aG9q7Xc2Lr9TzB4kWm1PaQ8v", "模型"],
)
def test_a_name_is_recorded_as_the_user_gave_it(name: str) -> None:
    job = make_job()
    model = Model(name=name, path=f"/data/models/{name}", architecture="bert-tiny")
    changes = {
        "name": f"{name}-sst2",
        "model": model,
        "task": Task(name=name, source="folder", folder=f"/d/x/{name}"),
    }
    workload = job.workload.model_copy(update=changes)
    arm = job.arm.model_copy(update={"name": name})
    job = job.model_copy(update={"workload": workload, "arm": arm, "suite": name})
    reason = f"/data/models/{name}/config.json of {name} is damaged, said {TOKEN[::-1]}"
    record = redact(record_of(job, Seen(exit_code=1), State.CRASHED, reason, run=name))
    assert (record.workload.name, record.arm.name, record.run, record.suite) == (
        f"{name}-sst2",
        name,
        name,
        name,
    )
    assert (record.workload.model.name, record.workload.model.path) == (name, f"<path>/{name}")
    assert (record.workload.task.name, record.workload.task.folder) == (
        name,
        Path(f"<path>/{name}"),
    )
    assert record.reason.startswith(f"<path>/{name}/config.json of {name} is damaged")
    assert JobRecord.model_validate(record.model_dump()) == record

    config = {"models": {name: {"name": name, "path": f"/data/models/{name}"}}, "suite": name}
    pair = Pair(workload=f"{name}-sst2", baseline=name, candidate=name)
    info = RunInfo(
        run=name,
        suite=name,
        created_at="now",
        config=config,
        pairs=[pair],
        notes=[f"weights of {name}"],
    )
    clean = redact(info)
    assert clean.config == {
        "models": {name: {"name": name, "path": f"<path>/{name}"}},
        "suite": name,
    }
    assert (clean.run, clean.suite, clean.pairs, clean.notes) == (
        name,
        name,
        [pair],
        [f"weights of {name}"],
    )


def test_free_text_is_redacted_wherever_it_stands_and_structured_fields_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", HOME)
    monkeypatch.setenv("SOME_TOKEN", "correct-horse")
    said = f"{HOME}/x: correct-horse {TOKEN}"
    result = WorkerResult(
        engagement=Engagement(
            engaged=False, reasons=[said], provider="samples(/s)", torch_module=said
        ),
        metrics={"Train samples(/s)": 1.0, said: 2.0},
        main_metrics=["Train samples(/s)"],
    )
    result.fingerprint.training_arguments.update(
        label_names=["eager /sdpa"], output_dir=f"{HOME}/out", token=TOKEN
    )
    record = record_of(make_job(), Seen(exit_code=0, result=result), State.FALLBACK, said)
    with RunFolder(tmp_path / "results" / "run") as folder:
        folder.append(record)
        folder.write_info(
            RunInfo(
                run="run",
                suite="s",
                created_at="now",
                description=said,
                command=[
                    "harness",
                    f"--results={tmp_path}/results",
                    "/mnt/x/suite.yaml",
                    "--set",
                    f"a.b={TOKEN}",
                ],
                notes=[f"in {tmp_path}/results/run"],
                config={
                    "tasks": [
                        {
                            "folder": f"{HOME}/glue",
                            "samples": 3,
                            "options": {"unit": "(/s)", "t": TOKEN},
                        }
                    ]
                },
            )
        )
    line = json.loads((tmp_path / "results" / "run" / "jobs.jsonl").read_text())
    clean = "~/x: <secret> <secret>"
    assert (line["reason"], line["engagement"]["reasons"]) == (clean, [clean])
    assert (line["engagement"]["provider"], line["engagement"]["torch_module"]) == (
        "samples(/s)",
        said,
    )
    assert (line["metrics"], line["main_metrics"]) == (record.metrics, record.main_metrics)
    arguments = {"label_names": ["eager /sdpa"], "output_dir": "~/out", "token": "<secret>"}
    assert line["fingerprint"]["training_arguments"] == arguments
    info = json.loads((tmp_path / "results" / "run" / "run.json").read_text())
    assert info["description"] == clean
    assert info["command"] == [
        "harness",
        "--results=<results>",
        "<path>/suite.yaml",
        "--set",
        "a.b=<secret>",
    ]
    assert info["notes"] == ["in <results>/run"]
    assert info["config"] == {
        "tasks": [{"folder": "~/glue", "samples": 3, "options": {"unit": "(/s)", "t": "<secret>"}}]
    }


# Fields of a record that hold names, labels, units, digests and versions: never changed. A new
# field of text stands here, or its type is harness.schema.redaction's FreeText.
STRUCTURED = set(
    """
    JobRecord.id JobRecord.run JobRecord.suite JobRecord.device JobRecord.group
    JobRecord.started_at JobRecord.series JobRecord.log JobRecord.main_metrics JobRecord.packages
    JobRecord.unpublished RunInfo.run RunInfo.suite RunInfo.created_at RunInfo.finished_at
    RunInfo.config_sha256 RunInfo.packages RunInfo.stacks RunInfo.parts Pair.workload Pair.baseline
    Claim.name Claim.measured_by Related.suite
    Pair.candidate Pair.differs Stopping.workload Stopping.baseline Stopping.candidate
    Refusal.workload Refusal.baseline Refusal.candidate Host.name_sha256 Host.os Host.kernel
    Host.cpu Host.driver Host.cuda_driver Engagement.torch_module Engagement.provider
    Engagement.providers Fingerprint.initial_weights_sha256 Fingerprint.data_order_sha256
    Fingerprint.optimizer Fingerprint.attention Fingerprint.dtype_policy Sources.data_sha256
    GpuTelemetry.uuid GpuTelemetry.name Telemetry.series InferenceProof.provider
    InferenceProof.providers InferenceResult.attention Workload.name Model.name Model.architecture
    Task.name Task.kind Task.files_sha256 Task.dataset Task.dataset_config Model.revision Arm.name
    Training.target_modules Arm.backend Arm.stack
    """.split()
)


def texts_of(kind: type[BaseModel], seen: set[type[BaseModel]]) -> set[str]:
    """Fields of plain text, without a mark that says whether they are prose or a path, in a model
    and its parts.
    """
    found: set[str] = set()
    if kind in seen:
        return found
    seen.add(kind)

    def look(name: str, annotation: Any, marks: tuple[Any, ...]) -> None:
        if get_origin(annotation) is Annotated:
            first, *more = get_args(annotation)
            look(name, first, (*marks, *more))
        elif (
            isinstance(annotation, type)
            and issubclass(annotation, BaseModel)
            and not get_origin(annotation)
        ):
            found.update(texts_of(annotation, seen))
        elif annotation is str and not {FREE_TEXT, HOST_PATH} & {
            mark for mark in marks if isinstance(mark, str)
        }:
            found.add(name)
        else:
            arguments = get_args(annotation)
            if int in arguments and str in arguments:
                return  # a setting, of which its owner alone knows what it is
            for argument in arguments[1:] if get_origin(annotation) is dict else arguments:
                look(name, argument, marks)

    for field, info in kind.model_fields.items():
        look(f"{kind.__name__}.{field}", info.annotation, tuple(info.metadata))
    return found


def test_every_text_of_a_record_is_either_structured_or_marked_as_prose() -> None:
    assert texts_of(JobRecord, seen := set()) | texts_of(RunInfo, seen) == STRUCTURED


def test_a_record_that_is_redacted_twice_does_not_change() -> None:
    record = redact(
        record_of(make_job(), Seen(exit_code=1), State.CRASHED, f"{Path.home()}/x {TOKEN}")
    )
    assert redact(record) == record
