"""`harness train`: one job with the flags of transformers' and Optimum's example scripts (run_glue,
run_clm, …).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from harness.errors import BenchError
from harness.files import write_text
from harness.planning.plan import Plan
from harness.results.provenance import own_packages
from harness.runner import needs
from harness.runner.fitting import check_models
from harness.schema.glue import GLUE_TASKS
from harness.schema.input_errors import InputError, explain
from harness.schema.job import JobSpec, digest
from harness.schema.measurement import Measurement
from harness.schema.record import InferenceResult, JobRecord, State, trained_length
from harness.schema.redaction import printable
from harness.schema.workload import (
    Arm,
    Inference,
    Model,
    Strict,
    Task,
    Training,
    Workload,
)

M = TypeVar("M", bound=Strict)
WIDTH = 46  # of the longest metric's name
LONGEST_MINUTES = 7 * 24 * 60.0  # of the job
# Settings that have an option of their own, and how transformers' example scripts call it.
TRAINING = {
    "batch_size": "per-device-train-batch-size",
    "eval_batch_size": "per-device-eval-batch-size",
    "max_seq_length": "max-seq-length",
    "pad_to_max_length": "pad-to-max-length",
    "epochs": "num-train-epochs",
    "max_steps": "max-steps",
    "gradient_accumulation_steps": "gradient-accumulation-steps",
    "learning_rate": "learning-rate",
    "lr_scheduler": "lr-scheduler-type",
    "warmup_ratio": "warmup-ratio",
    "warmup_steps": "warmup-steps",
    "adam_beta1": "adam-beta1",
    "adam_beta2": "adam-beta2",
    "adam_epsilon": "adam-epsilon",
    "weight_decay": "weight-decay",
    "max_grad_norm": "max-grad-norm",
    "optim": "optim",
    "dataloader_workers": "dataloader-num-workers",
    "dataloader_pin_memory": "dataloader-pin-memory",
    "logging_steps": "logging-steps",
    "seed": "seed",
}
# Values by which the scripts say that a setting is not given.
UNSET = {"max_steps": -1, "warmup_steps": 0}
TASK = {
    "train_samples": "max-train-samples",
    "eval_samples": "max-eval-samples",
    "train_file": "train-file",
    "validation_file": "validation-file",
    "dataset": "dataset-name",
    "dataset_config": "dataset-config-name",
}
MODEL = {
    "config_path": "config-name",
    "tokenizer_path": "tokenizer-name",
    "revision": "model-revision",
}
# Settings that are made of what an option says, and the option.
OPTIONS = {"kind": "task", "subset": "task-name", "options": "task-option", "source": "data"}
# Options of the kinds of task that have a flag in the scripts: the flag, by the option.
OF_KINDS = {
    "label_column": "label-column-name",
    "tag_every_piece": "label-all-tokens",
    "source_lang": "source-lang",
    "target_lang": "target-lang",
    "source_prefix": "source-prefix",
    "max_target_length": "max-target-length",
    "num_beams": "num-beams",
    "label_smoothing_factor": "label-smoothing-factor",
    "predict_with_generate": "predict-with-generate",
}
# The flag of every setting that has one, to tell errors in the words of this command.
FLAGS = {**TRAINING, **TASK, **MODEL, **OF_KINDS, "attention": "attention", "backend": "backend"}
FLAGS |= {"text_column": "text-column-name", "text_pair_column": "text-column-name"}
FLAGS |= {"path": "model-name-or-path"}
# What fixes say of a suite where a flag of this command has other words for it.
OTHER_WORDS = (
    (" (in `harness train`: --train-file and --validation-file)", ""),
    ("`source: files` with ", ""),
    ("`source: hub` with ", ""),
    ("`source: folder` with a copy", "--data FOLDER with a copy"),
    ("`source: synthetic`", "--data synthetic"),
    ("use --data synthetic or `folder`", "use --data synthetic or --data FOLDER"),
    ("`weights: random` with a built-in `architecture`", "a built-in shape"),
    ("`kind: ", "`task: "),
    ("max_seq_length: ", "--max-seq-length "),
    ("attention: eager", "--attention eager"),
)
TEXT_COLUMNS = ("text_column", "text_pair_column")  # --text-column-name, once or twice
FILES = ("train_file", "validation_file")


def _given(arguments: argparse.Namespace, options: dict[str, str]) -> dict[str, Any]:
    """The values of the options that were given, by setting; the models declare the defaults."""
    values = {
        setting: getattr(arguments, option.replace("-", "_")) for setting, option in options.items()
    }
    return {setting: value for setting, value in values.items() if value is not None}


def train(arguments: argparse.Namespace, device: Literal["cpu", "cuda"], cache_dir: Path) -> int:
    """Run the job; print its metrics; leave model, metrics, log and record in --output-dir.

    0 if the job ended ok and, where it was asked for, inference did so too and both engines agree.

    Raises:
        BenchError: What is asked for cannot be; it names the flag that asks for it.
    """
    try:
        return _train(arguments, device, cache_dir)
    except BenchError as error:
        raise _by_flags(error, arguments) from error


def _by_flags(error: BenchError, arguments: argparse.Namespace) -> BenchError:
    """An error about a setting of a suite in the words of this command: the flag that gives the
    setting, as it was typed, in place of the setting.
    """
    place, told, where = error.place, "", ""
    for flag in ("train-file", "validation-file"):
        if place and place == str(_value(arguments, flag)):
            told = flag
    for flag in ("model-name-or-path", "config-name", "tokenizer-name"):
        folder = _value(arguments, flag)
        if folder and "/" in place and _is_inside(place, folder):
            told, where = flag, f"{place}: "
    if place.startswith("tasks."):
        last = place.rsplit(".", 1)[-1]
        told = {"folder": "data", "source": "data"}.get(last) or FLAGS.get(last, "")
        if told and _value(arguments, told) is None:
            told = "task-option" if last in OF_KINDS and arguments.task_option else told
    elif place.startswith("models."):
        told = MODEL.get(place.rsplit(".", 1)[-1], "model-name-or-path")
    elif place.startswith("arms."):
        told = FLAGS.get(place.rsplit(".", 1)[-1], "backend")
    elif place.startswith("workload "):
        source = _value(arguments, "max-source-length") is not None
        told = "max-source-length" if source else "max-seq-length"
    fix, message = in_flags(error.fix), in_flags(error.message)
    of_length = place.startswith("workload ") or place == "--max-seq-length"
    if of_length and _value(arguments, "max-source-length") is not None:
        place = place.replace("--max-seq-length", "--max-source-length")
        fix = fix.replace("--max-seq-length", "--max-source-length")
    if told == "data" and fix.startswith("the path of"):
        fix = f"auto, hub, synthetic or {fix}"
    place = _typed(arguments, told) if told else place
    return BenchError(where + message, place=place, fix=fix)


def _is_inside(file: str, folder: str) -> bool:
    """Whether a path lies in a folder, or is it; of the hub's names nothing does."""
    whole = [os.path.abspath(os.path.expanduser(path)) for path in (file, folder)]  # noqa: PTH100, PTH111
    return os.path.commonpath(whole) == whole[1]


def _reason_by_flags(reason: str, arguments: argparse.Namespace) -> str:
    """Why a job did not end ok, in the words of this command where a setting is to blame."""
    found = re.fullmatch(
        r"(in phase \w+: )?((?:models|tasks|arms)\.\S+|workload \S+): (.*?)(?:\n  fix: (.*))?",
        reason,
        re.DOTALL,
    )
    if found is None:
        return reason
    phase, place, message, fix = (part or "" for part in found.groups())
    return f"{phase}{_by_flags(BenchError(message, place=place, fix=fix), arguments)}"


def in_flags(text: str) -> str:
    """A text about settings in backticks, such as `optim: sgd`, with flags in their place."""
    for words, other in OTHER_WORDS:
        text = text.replace(words, other)
    settings = {**FLAGS, "task": "task"}

    def flag(found: re.Match[str]) -> str:
        name, value = found.groups()
        if name not in settings:
            return found.group()
        return f"--{settings[name]} {value}" if value else f"--{settings[name]}"

    return re.sub(r"`(\w+)(?:: ([^`{}]*))?`", flag, text)


def _value(arguments: argparse.Namespace, flag: str) -> Any:
    """What a flag was given; None: it was not."""
    return getattr(arguments, flag.replace("-", "_"))


def _typed(arguments: argparse.Namespace, flag: str) -> str:
    """A flag with its value, as it was typed."""
    value = _value(arguments, flag)
    values = value if isinstance(value, list) else [] if value is None else [value]
    return " ".join([f"--{flag}", *map(str, values)])


def _train(arguments: argparse.Namespace, device: Literal["cpu", "cuda"], cache_dir: Path) -> int:
    if not (arguments.do_train or arguments.do_eval or arguments.inference_with_ort):
        raise BenchError(
            "nothing to do",
            place="harness train",
            fix="give --do-train, --do-eval or --inference-with-ort",
        )
    output: Path = arguments.output_dir
    for option, given in (
        ("--output-dir", str(output)),
        ("--model-name-or-path", arguments.model_name_or_path),
    ):
        here = str(Path(given).absolute())
        if printable(here) != here:
            why = "its name is not UTF-8, and models are neither saved nor read under such a name"
            raise BenchError(
                why,
                place=f"{option} {printable(given)}",
                fix="rename the folder, or make a link to it",
            )
    if output.is_dir() and any(output.iterdir()) and not arguments.overwrite_output_dir:
        raise BenchError(
            "the folder is not empty",
            place=f"--output-dir {output}",
            fix="--overwrite-output-dir, or another",
        )
    if arguments.fp16 and arguments.bf16:
        raise BenchError("one precision at a time", place="--fp16 --bf16", fix="leave one out")
    if device == "cpu" and (arguments.fp16 or arguments.bf16):
        raise BenchError(
            "half precision training needs a GPU",
            place="--fp16" if arguments.fp16 else "--bf16",
            fix="leave it out on the CPU",
        )
    spec = _spec(arguments, device, cache_dir)
    for need in needs.unmet([spec], own_packages()):
        place = FLAGS.get(need.setting)
        raise BenchError(need.message, place=_typed(arguments, place or "task"), fix=need.fix)
    return _run(spec, output, arguments)


def _spec(
    arguments: argparse.Namespace, device: Literal["cpu", "cuda"], cache_dir: Path
) -> JobSpec:
    task = _task(arguments)
    settings = _given(arguments, TRAINING)
    for setting, unset in UNSET.items():
        if settings.get(setting) == unset:
            del settings[setting]
    if arguments.max_source_length is not None:
        if task.kind != "translation":
            raise _not_of(task.kind, "max-source-length", "--max-seq-length")
        if arguments.max_seq_length is not None:
            raise BenchError(
                "two names of one setting",
                place="--max-source-length and --max-seq-length",
                fix="leave one out",
            )
        settings["max_seq_length"] = arguments.max_source_length
    training = _validated(
        Training,
        precision="fp16" if arguments.fp16 else "bf16" if arguments.bf16 else "fp32",
        **settings,
    )
    model = _model(arguments.model_name_or_path, _given(arguments, MODEL))
    arm = _arm(arguments)
    return JobSpec(
        suite="train",
        workload=Workload(
            name=f"{model.name}-{task.name}", model=model, task=task, training=training
        ),
        arm=arm,
        replicate=0,
        position=0,
        seed=training.seed,
        device=device,
        do_train=arguments.do_train,
        do_eval=arguments.do_eval,
        inference=Inference() if arguments.inference_with_ort else None,
        cache_dir=cache_dir,
        output_dir=arguments.output_dir.absolute(),
    )


def _task(arguments: argparse.Namespace) -> Task:
    """The task, checked as a suite's are. Raises BenchError naming the option that is wrong."""
    from harness.config.load import check_task, key_and_value, sealed

    data, own = arguments.data, _own_data(arguments)
    if data == "":
        raise BenchError("is empty", place="--data", fix="auto, hub, synthetic or a folder")
    kind = _kind(arguments, own)
    subset = (arguments.task_name or "sst2").lower() if kind == "glue" else None
    called = arguments.train_file.stem if own == "files" else arguments.dataset_name or ""
    given = [
        key_and_value("--task-option", words, "tag_every_piece=true")
        for words in arguments.task_option
    ]
    by_flag = _options(arguments, kind)
    source = own or {None: "auto", "auto": "auto", "hub": "hub", "synthetic": "synthetic"}.get(
        data, "folder"
    )
    task = _validated(
        Task,
        name=subset or _slug(called)[:40] or kind,
        kind=kind,
        subset=subset,
        options={**dict(given), **by_flag},
        source=source,
        folder=Path(data) if source == "folder" else None,
        **_given(arguments, TASK),
    )
    try:
        check_task(task.name, task)
    except InputError as error:
        _, _, setting, *rest = error.path  # tasks, its name, …
        place = _option(setting, *rest)
        # A validator of several settings has no place; its message names them.
        named = rest or [name for name in by_flag if f"`{name}`" in error.message] or by_flag
        to_blame = [name for name in by_flag if setting == "options" and name in named]
        if to_blame:
            flags = dict.fromkeys(OF_KINDS.get(name, "text-column-name") for name in to_blame)
            place = " ".join(f"--{flag}" if rest else _typed(arguments, flag) for flag in flags)
        raise BenchError(error.message, place=place, fix=error.allowed) from None
    return sealed(task)


def _kind(arguments: argparse.Namespace, own: str) -> str:
    """The name of the kind of task. `own`: what `_own_data` says.

    Raises:
        BenchError: It is none, or the data that is named is of another kind.
    """
    from harness.worker import tasks

    name = arguments.task_name
    kind = arguments.task or ("text-classification" if own else "glue")
    try:
        found = tasks.get(kind)
    except BenchError as error:
        fix = f"--task-name {kind}, for it is one of GLUE's" if kind in GLUE_TASKS else error.fix
        raise BenchError(error.message, place=error.place or f"--task {kind}", fix=fix) from error
    if arguments.inference_with_ort and not found.exports_for_inference:
        raise BenchError(
            f"the kind {kind} generates text step by step, which inference does not measure",
            place="--inference-with-ort",
            fix="leave it out",
        )
    # What run_ner.py calls its task by default, of which CoNLL-2003's tags are those of entities.
    entities = kind == "token-classification" and name == "ner"
    if kind != "glue" and name is not None and not entities:
        raise BenchError(
            f"tells GLUE's tasks apart, and {kind} is no task of GLUE",
            place=f"--task-name {name}",
            fix="leave it out, or --task glue",
        )
    if name is not None and name in tasks.REGISTRY.names():
        raise BenchError("is a kind of task", place=f"--task-name {name}", fix=f"--task {name}")
    if own == "files" and "files" not in found.sources:
        raise BenchError(
            f"{kind} cannot read its data from files that are named one by one",
            place=f"--task {kind} --train-file {arguments.train_file}",
            fix="--task "
            + " or ".join(other for other in tasks.TASKS if "files" in tasks.get(other).sources)
            + (f", or --data FOLDER for {kind}" if "folder" in found.sources else ""),
        )
    return kind


def _own_data(arguments: argparse.Namespace) -> str:
    """`files` or `hub` where the options name data of the user's own, else empty.

    Raises:
        BenchError: They name half of it, or something else too.
    """
    files = _given(arguments, {name: TASK[name] for name in FILES})
    other: dict[str, Any] = {"--task-name": arguments.task_name, "--data": arguments.data}
    if arguments.dataset_name is not None:
        what = "--dataset-name"
        other |= {f"--{TASK[name]}": value for name, value in files.items()}
    elif files:
        what = f"--{TASK[next(iter(files))]}"
    elif arguments.dataset_config_name is not None:
        raise BenchError(
            "goes with --dataset-name",
            place=f"--dataset-config-name {arguments.dataset_config_name}",
            fix="--dataset-name too, or leave it out",
        )
    else:
        return ""
    if clash := next((f"{flag} {given}" for flag, given in other.items() if given), ""):
        raise BenchError("two sources of data", place=f"{what} and {clash}", fix="leave one out")
    if arguments.dataset_name is not None:
        return "hub"
    for name in FILES:
        if name not in files:
            raise BenchError(
                f"is missing, and {what} is given",
                place=f"--{TASK[name]}",
                fix=f"{what} and --{TASK[name]}: a model trains on one and is judged on the other",
            )
    return "files"


def _options(arguments: argparse.Namespace, kind: str) -> dict[str, Any]:
    """The options of the kind of task that flags of the scripts give.

    Raises:
        BenchError: The kind has no such option.
    """
    from harness.worker import tasks

    known = tasks.get(kind).Options.model_fields
    given = _given(arguments, OF_KINDS)
    texts = arguments.text_column_name or []
    pairs = TEXT_COLUMNS[1] in known or TEXT_COLUMNS[0] not in known
    if len(texts) > (len(TEXT_COLUMNS) if pairs else 1):
        raise BenchError(
            f"is given {len(texts)} times",
            place=f"--text-column-name {texts[-1]}",
            fix="one column of text, or two of pairs" if pairs else "one column of words",
        )
    given |= dict(zip(TEXT_COLUMNS, texts, strict=False))
    for name in given:
        if name not in known:
            raise _not_of(kind, OF_KINDS.get(name, "text-column-name"))
    return given


def _not_of(kind: str, flag: str, instead: str = "") -> BenchError:
    """That a flag says nothing of a kind of task."""
    from harness.worker import tasks

    name = next((name for name, other in OF_KINDS.items() if other == flag), flag)
    name = "text_column" if flag == "text-column-name" else name
    kinds = [other for other in tasks.TASKS if name in tasks.get(other).Options.model_fields]
    fixes = ["leave it out", instead, f"--task {' or '.join(kinds)}" if kinds else ""]
    return BenchError(
        f"{kind} has no such setting", place=f"--{flag}", fix=", or ".join(filter(None, fixes))
    )


def _option(setting: str | int, *rest: str | int) -> str:
    """The option that a setting is given by, and what is below it."""
    options = {**TRAINING, **TASK, **MODEL, **OPTIONS}
    flag = options.get(str(setting), str(setting).replace("_", "-"))
    return " ".join(["--" + flag, *map(str, rest)])


def _model(name: str, more: dict[str, Any]) -> Model:
    """A local folder, a hub id, or a built-in shape; a hub id whose shape is built in can do
    without the hub. `more`: a revision, and where tokenizer and configuration come from.
    """
    from harness.planning.hub import model_folder
    from harness.schema.shapes import SHAPES

    if not name:
        raise BenchError(
            "is empty", place="--model-name-or-path", fix="a hub id, a folder or a built-in shape"
        )
    folder = model_folder(name, f"--model-name-or-path {name}")
    last = name.rsplit("/", 1)[-1]
    shape = last if last in SHAPES else None
    built_in = folder is None and shape == name and shape.endswith("-tiny")
    for setting, given in more.items():
        place = f"--{MODEL[setting]} {given}"
        if built_in:
            raise BenchError(
                f"{name} is built in, and has no such thing of its own",
                place=place,
                fix="leave it out, or another --model-name-or-path",
            )
        if setting == "revision" and folder is not None:
            raise BenchError(
                f"{name} is a folder, which has no revisions", place=place, fix="leave it out"
            )
    if folder is not None:
        whole = os.path.normpath(folder.absolute())
        return _validated(
            Model, name=_slug(Path(whole).name), path=whole, weights="pretrained", **more
        )
    if built_in:
        return _validated(Model, name=shape, architecture=shape, weights="random")
    return _validated(Model, name=_slug(last), path=name, architecture=shape, **more)


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_.+" else "-" for c in name)


def _arm(arguments: argparse.Namespace) -> Arm:
    from harness.worker import backends

    try:  # an unknown one is refused before anything is written
        backends.get(arguments.backend)
    except BenchError as error:
        place = error.place or f"--backend {arguments.backend}"
        raise BenchError(error.message, place=place, fix=error.fix) from error
    return _validated(
        Arm, name=arguments.backend, backend=arguments.backend, attention=arguments.attention
    )


def _validated(model: type[M], **values: Any) -> M:
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message, allowed = explain(first, model)
        if first["loc"]:
            place = _option(*first["loc"][:2])
        else:  # a validator of several settings; its message names them
            told = (FLAGS.get(name) for name in re.findall(r"`(\w+)`", message))
            place = " ".join(dict.fromkeys(f"--{flag}" for flag in told if flag))
        raise BenchError(message, place=place, fix=allowed or "another value") from None


def _run(spec: JobSpec, output: Path, arguments: argparse.Namespace) -> int:
    from harness.results.run_folder import read_records
    from harness.runner import runner

    config = spec.model_dump(mode="json", exclude={"cache_dir", "output_dir"})
    plan = Plan(
        suite="train",
        description="one job by hand",
        jobs=(spec,),
        pairs=(),
        measurement=Measurement(
            parity=None,
            max_reruns=0,
            timeout_minutes=LONGEST_MINUTES,
            # What was trained is wanted, whatever else the host does meanwhile.
            contention="note",
        ),
        config=config,
        config_sha256=digest(config),
    )
    check_models(plan)
    try:
        options = runner.RunOptions(fresh=True, results_option="--output-dir")
        outcome = runner.run(plan, output / "runs", options)
    except BenchError:
        for folder in (output / "runs", output):  # or the same command would find it not empty
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
    records, _ = read_records(outcome.folder)
    record = records[-1]
    metrics = {
        "state": record.state.value,
        "train_runtime": record.timing.train_runtime_s,
        "train_samples_per_second": record.timing.train_samples_per_s,
        "train_steps": record.timing.steps,
        **{f"eval_{name}": value for name, value in record.metrics.items()},
        "data": record.sources.data,
        "weights": record.sources.weights,
        **_disturbed(record),
        **(_inference_metrics(record.inference) if record.inference is not None else {}),
    }
    write_text(output / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    for name, metric in metrics.items():
        print(f"{name:>{WIDTH}} = {metric}")
    for remark in (*record.sources.remarks, *_cut(record)):
        print(f"{'note':>{WIDTH}} = {remark}")
    if record.state is not State.OK:
        print(
            f"{'reason':>{WIDTH}} = {_reason_by_flags(record.reason, arguments)}\n"
            f"{'log':>{WIDTH}} = "
            f"{outcome.folder / (record.log or '')}"
        )
        return 1
    return 0 if record.inference is None or inference_verdict(record.inference) == "ok" else 1


def _cut(record: JobRecord) -> list[str]:
    """What to say where samples are shorter than was asked for."""
    asked, trained = record.workload.training.max_seq_length, trained_length(record)
    return (
        []
        if trained == asked
        else [f"length {trained}, for the tokenizer takes no more ({asked} asked for)"]
    )


def _disturbed(record: JobRecord) -> dict[str, str]:
    """Why the times are no fair measurement, where they are not."""
    heavy = record.contention.heavy if record.contention else ""
    return {"disturbed": heavy} if heavy else {}


def inference_verdict(result: InferenceResult) -> str:
    """`ok`, or why the engines' times are no result."""
    if result.state != "ok":
        return f"failed {result.reason}"
    if result.proof is None or not result.proof.engaged:
        return "not proven engaged: " + (
            "; ".join(result.proof.reasons) if result.proof else "no proof was taken"
        )
    return "ok" if result.agree else f"engines disagree: {result.disagreement or 'not compared'}"


def _inference_metrics(result: InferenceResult) -> dict[str, str | float | None]:
    """What is printed of inference; milliseconds are per batch, gains fractions of PyTorch's
    throughput.
    """
    verdict = inference_verdict(result)
    found: dict[str, str | float | None] = {
        "inference": verdict,
        "inference_provider": result.proof.provider if result.proof else None,
        "inference_precision": result.precision,
        "inference_max_logit_difference": result.logit_difference,
    }
    for engine, metrics in result.metrics.items():
        found |= {f"inference_{engine}_{name}": value for name, value in metrics.items()}
    for point in result.points:
        for engine, times in (("torch", point.torch), ("onnxruntime", point.onnxruntime)):
            start = f"inference_batch{point.batch_size}_{engine}"
            found |= {
                f"{start}_ms": 1e3 * times.mean_s,
                f"{start}_p50_ms": 1e3 * times.p50_s,
                f"{start}_p95_ms": 1e3 * times.p95_s,
                f"{start}_samples_per_second": times.samples_per_s,
            }
        if verdict == "ok":
            gain = point.torch.mean_s / point.onnxruntime.mean_s - 1
            found[f"inference_batch{point.batch_size}_throughput_gain"] = gain
    return found
