"""What a reader of the tables must know: plain sentences, to stand directly under them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

from harness.schema.clocks import CLOCKS_APART, clocks_apart
from harness.schema.compiled import began_again, compiled_anew, set_apart
from harness.schema.record import JobRecord, State, trained_length
from report.analysis.published import check_samples
from report.analysis.replicates import (
    JobStatus,
    arms_of,
    is_result,
    names_of,
    unobserved,
    verdict,
    well_covered,
)
from report.labels import known
from report.loading.runs import Run
from report.text import MANY_RUNS, epochs_of, in_one_line

MOST_NOTES = 30  # under a table of many runs
FEW_NAMES = 3
TOLD_PACKAGES = (
    "torch",
    "transformers",
    "optimum",
    "onnxruntime-training",
    "onnxruntime-training-cpu",
)

_KEPT = "compiled kernels were kept from job to job"
_SET_APART = (
    "a replicate that compiled them anew (cold set-up) does not count beside those that loaded "
    "them (warm set-up): the two differ in kind, and steps can be slower after compiling; set-ups "
    "and the break-even are warm where no column says cold"
)
_BEGAN_AGAIN = (
    "a job that compiled what later ones find on disk (cold set-up) began again before its turns, "
    "so every set-up that counts is warm"
)
WITHIN_ONE = (
    "an interval from one replicate (n = 1) holds what varies within it, not from replicate to "
    "replicate"
)
MOST_REASONS = 3  # told one by one of attempts that were run again


def runtime_notes(run: Run) -> list[str]:
    """Under the runtimes: synthetic data, random weights, failures, what was run again, what was
    not compiled.
    """
    return [
        *source_notes(run),
        *failure_notes(run),
        *rerun_notes(run),
        *disturbance_notes(run),
        *telemetry_notes(run),
        *compile_notes(run),
        *cache_notes(run),
        *check_samples(run),
    ]


def merge_notes(of: Sequence[tuple[str, Sequence[str]]], legend: Iterable[str] = ()) -> list[str]:
    """`legend`, then the notes of runs, (name, notes) each; a note names its runs where it is not
    one of all.

    Of more runs than anybody reads, only the first that say it, and not every note (MOST_NOTES):
    each is under the tables of its run by itself.
    """
    said: dict[str, list[str]] = {}
    for name, notes in of:
        for note in dict.fromkeys(notes):
            said.setdefault(note, []).append(name)
    kept = list(said)
    if len(of) > MANY_RUNS and len(kept) > MOST_NOTES:
        kept = sorted(kept, key=lambda note: -len(said[note]))[:MOST_NOTES]
    left = len(said) - len(kept)
    return [
        *legend,
        *(
            note if len(said[note]) == len(of) else f"{_few(said[note], len(of))}: {note}"
            for note in kept
        ),
        *(
            [f"{left:,} more notes, each of some runs only: they stand under the tables of one run"]
            if left
            else []
        ),
    ]


def _few(names: Sequence[str], of: int) -> str:
    if of <= MANY_RUNS or len(names) <= FEW_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[:FEW_NAMES])} and {len(names) - FEW_NAMES:,} more runs"


def run_notes(run: Run) -> list[str]:
    """What the run was: settings of every workload, versions, the run's own notes."""
    settings: dict[
        tuple[object, ...], list[str]
    ] = {}  # equal workloads are one object (report.loading.runs)

    def once(job: JobRecord) -> list[str]:
        trained = job.fingerprint.trainable_parameters
        key = id(job.workload), job.sources.max_seq_length, tuple(job.unpublished), trained
        if key not in settings:
            settings[key] = _settings(job)
        return settings[key]

    said = [*grouped(run, once), *version_notes(run)]
    if run.info.status != "complete":
        said.append("not finished: rows may still change")
    return [*said, *run.info.notes]


def version_notes(run: Run) -> list[str]:
    """Versions of the packages that decide what is measured, of each stack; the run's record has
    all of them.
    """
    packages, said = run.info.packages, []
    for stack in dict.fromkeys(package.rpartition("/")[0] for package in packages):
        of_stack = {name: f"{stack}/{name}" if stack else name for name in TOLD_PACKAGES}
        if told := ", ".join(
            f"{name} {packages[key]}" for name, key in of_stack.items() if key in packages
        ):
            said.append(f"stack {stack}: {told}" if stack else told)
    return said


def source_notes(run: Run) -> list[str]:
    """Under every table: synthetic data, random weights, and heads drawn anew."""
    measured = [
        job for replicates in arms_of(run).replicates.values() for job in replicates.values()
    ]
    built_in = dict.fromkeys(
        job.workload.task.data_name for job in measured if job.sources.data == "synthetic"
    )
    plural = "s" if len(built_in) > 1 else ""
    stand_ins = (
        f"the built-in stand-in{plural} for {', '.join(built_in)}, not the real task{plural}"
    )

    def synthetic(job: JobRecord) -> list[str]:
        if job.sources.data == "synthetic":
            return [f"synthetic data: {stand_ins}"]
        return (
            []
            if job.sources.data or job.state is not State.OK
            else ["where the data came from was not recorded"]
        )

    def random(job: JobRecord) -> list[str]:
        if job.sources.weights == "random":
            return ["random weights: no pretrained model was loaded"]
        unknown = not job.sources.weights and job.state is State.OK
        return ["where the weights came from was not recorded"] if unknown else []

    return [
        *grouped(run, synthetic),
        *grouped(run, random),
        *grouped(run, lambda job: job.sources.remarks),
    ]


def disturbance_notes(run: Run) -> list[str]:
    """What else on the host disturbed replicates that count (harness.runner.contention), the worst
    of each kind.
    """
    measured = {
        key: replicates for key, replicates in arms_of(run).replicates.items() if replicates
    }
    worst: dict[str, dict[tuple[str, str], float]] = {"pauses": {}, "others": {}, "stopped": {}}
    heavy: dict[tuple[str, str], bool] = {}
    for key, replicates in measured.items():
        for job in replicates.values():
            found = job.contention if is_result(job) else None
            if found is None:
                continue
            shares = {"pauses": found.pause_share, "others": found.others_share}
            shares["stopped"] = found.stopped_s
            for kind in found.noted:
                worst[kind][key] = max(worst[kind].get(key, 0.0), shares[kind] or 0.0)
            if found.heavy:
                heavy[key] = True
    texts = {
        "pauses": "steps that paused took up to {:.1%} of a replicate's steady window",
        "stopped": "a process of a replicate was stopped (SIGSTOP) for up to {:.1f} s in all",
        "others": "other processes used up to {:.0%} of the time of a replicate's cores in its "
        "steady window",
    }
    said = [
        texts[kind].format(max(shares.values())) + name_arms(shares, measured)
        for kind, shares in worst.items()
        if shares
    ]
    if heavy:
        counted = (
            "heavily disturbed replicates count, as the suite asks (measurement.contention: note)"
        )
        said.append(counted + name_arms(heavy, measured))
    return said


def telemetry_notes(run: Run) -> list[str]:
    """Of replicates that count: whether the sampler saw nothing or a part of the steady window."""

    def unseen(job: JobRecord) -> list[str]:
        if not is_result(job) or job.source != "measured" or job.timing.steady_step_s is None:
            return []
        because = in_one_line("; ".join(job.telemetry.unreadable)) if job.telemetry else ""
        if job.device != "cpu":
            why = ": ".join(filter(None, [unobserved(job), because]))
            told = "whether a card was throttled or shared in a steady window is unknown"
            return [f"{told}: {why}"] if unobserved(job) else []
        if job.telemetry is None:  # nobody asked for it
            return []
        if not job.telemetry.samples:
            told = "no telemetry samples in a steady window, what else ran on the host is unknown"
            return [f"{told}: {because or 'the window is shorter than the interval'}"]
        if not well_covered(job.telemetry):
            return ["telemetry samples are missing in a part of a steady window"]
        return []

    return grouped(run, unseen)


def failure_notes(run: Run) -> list[str]:
    """One sentence per arm and verdict, with the reason of its first replicate."""
    said = []
    for (workload, arm), replicates in arms_of(run).replicates.items():
        reasons: dict[str, str] = {}
        for job in replicates.values():
            if (why := verdict(job)) is not JobStatus.OK:
                reasons.setdefault(why, _reason(job))
        said += [
            f"{arm} on {workload}, {why}: {reason}" for why, reason in reasons.items() if reason
        ]
    return said


def _reason(job: JobRecord) -> str:
    reason = job.reason
    if job.state is State.OK and job.engagement is not None:
        reason = "; ".join(job.engagement.reasons)
    return in_one_line(reason)


def compile_notes(run: Run) -> list[str]:
    """Of torch.compile: graph breaks, and steps of the steady state in which it compiled again."""
    said = []
    for (workload, arm), replicates in arms_of(run).replicates.items():
        proofs = [
            (job.engagement, job.timing.steady_begin_step)
            for job in replicates.values()
            if job.engagement
        ]
        breaks = max((proof.graph_breaks or 0 for proof, _ in proofs), default=0)
        again = [
            sum(step >= begin for step in proof.recompiled_at_steps)
            for proof, begin in proofs
            if begin
        ]
        if breaks:
            said.append(
                f"{arm} on {workload}: {breaks} graph breaks; what lies between the graphs was "
                "not compiled"
            )
        if any(again):
            said.append(
                f"{arm} on {workload}: compiled again in up to {max(again)} steps of a steady state"
            )
    return said


def cache_notes(run: Run) -> list[str]:
    """Wherever set-ups are: of which arms some were cold and some warm, and which count."""
    again = [arm for arm, jobs in _by_arm(run).items() if any(map(began_again, jobs))]
    told = {*again, *_arms_with_cold(run)}
    arms = dict.fromkeys(
        arm
        for (_, arm), replicates in arms_of(run).replicates.items()
        if arm not in told and _some_are_cold(replicates.values())
    )
    kept = f"{_KEPT}, so some set-ups are cold, some warm"
    return [
        *cold_notes(run),
        *([f"{', '.join(again)}: {_BEGAN_AGAIN}"] if again else []),
        *([f"{', '.join(arms)}: {kept}"] if arms else []),
        *kernel_notes(run),
    ]


def kernel_notes(run: Run) -> list[str]:
    """Wherever set-ups are: in how many replicates of which arms the driver compiled kernels."""
    said = []
    for arm, replicates in _by_arm(run).items():
        told = [job.engagement.kernels_compiled for job in replicates if job.engagement is not None]
        if any(told):
            said.append(
                f"{arm}: the driver compiled kernels in {told.count(True)} of {len(told)} "
                "replicates, as their set-ups show"
            )
    return said


def _by_arm(run: Run) -> dict[str, list[JobRecord]]:
    """The results of each arm on all workloads."""
    found: dict[str, list[JobRecord]] = {}
    for (_, arm), replicates in arms_of(run).replicates.items():
        found.setdefault(arm, []).extend(job for job in replicates.values() if is_result(job))
    return found


def _some_are_cold(replicates: Iterable[JobRecord]) -> bool:
    anew = [compiled_anew(job) for job in replicates]
    return any(anew) and not all(anew)


def cold_notes(run: Run) -> list[str]:
    """Of which arms replicates do not count because they compiled anew, and why."""
    arms = _arms_with_cold(run)
    return [f"{', '.join(arms)}: {_KEPT}; {_SET_APART}"] if arms else []


def _arms_with_cold(run: Run) -> list[str]:
    return list(
        dict.fromkeys(
            arm
            for (_, arm), replicates in arms_of(run).replicates.items()
            if any(set_apart([(job,) for job in replicates.values() if is_result(job)]))
        )
    )


def several_groups_notes(run: Run) -> list[str]:
    """Wherever replicates are counted: which arms have replicates of several groups, and so more of
    them than others.
    """
    names = names_of(run)
    by_groups: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for (workload, arm), replicates in arms_of(run).replicates.items():
        of_groups = {
            names[workload].group(number) for number, job in replicates.items() if job.group
        }
        numbers = tuple(sorted(number for number in of_groups if number is not None))
        if len(numbers) > 1:
            by_groups.setdefault((workload, numbers), []).append(arm)
    return [
        f"{workload}: {' and '.join(arms)} took turns in groups {' and '.join(map(str, numbers))}, "
        "and their replicates of "
        + ("both groups" if len(numbers) == 2 else "all these groups")
        + " count"
        for (workload, numbers), arms in by_groups.items()
    ]


def rerun_notes(run: Run) -> list[str]:
    """How many earlier attempts do not count, and why they were run again."""
    superseded = arms_of(run).superseded
    if not superseded:
        return []
    why = Counter(_why_again(job, superseded) for job in superseded)
    told = [f"{count} {reason}" if len(why) > 1 else reason for reason, count in why.most_common()]
    if len(told) > MOST_REASONS + 1:
        others = sum(count for _, count in why.most_common()[MOST_REASONS:])
        told[MOST_REASONS:] = [f"{others} for other reasons (jobs.jsonl has them)"]
    said = "; ".join(told)
    attempts = (
        "1 earlier attempt" if len(superseded) == 1 else f"{len(superseded)} earlier attempts"
    )
    return [f"{attempts} not counted, run again: {said}"]


def _why_again(job: JobRecord, superseded: Sequence[JobRecord]) -> str:
    if job.state is not State.OK:
        return job.state.value.replace("_", " ") + (
            f" ({in_one_line(job.reason)})" if job.reason else ""
        )
    beside = [
        other
        for other in superseded
        if other.state is State.OK
        and (other.workload.name, other.replicate, other.attempt)
        == (job.workload.name, job.replicate, job.attempt)
    ]
    if any(clocks_apart(one, other) for one, other in itertools.combinations(beside, 2)):
        return f"SM clocks of the arms more than {CLOCKS_APART:.0%} apart"
    return "undisturbed, but of a disturbed quad"


def run_headline(run: Run) -> str:
    """Name, machine, suite, date and code of a run."""
    return f"run {run.info.run}, {where_and_when(run)}"


def where_and_when(run: Run) -> str:
    """Machine, suite, date and code of a run."""
    return f"{machine(run)}{_when(run)}"


def headlines(runs: Sequence[Run]) -> list[str]:
    """A line for every run; of more than MANY_RUNS, one for all runs of a suite on a machine."""
    if len(runs) <= MANY_RUNS:
        return [run_headline(run) for run in runs]
    alike: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        alike.setdefault((machine(run), run.info.suite), []).append(run)
    said = []
    for (where, suite), of in alike.items():
        if len(of) == 1:
            said.append(run_headline(of[0]))
            continue
        first, *_, last = sorted((run.info for run in of), key=lambda info: info.created_at)
        when = f"{first.created_at[:10]} ({first.run}) to {last.created_at[:10]} ({last.run})"
        said.append(f"{len(of):,} runs {where}, suite {suite}, {when}")
    return said


def machine(run: Run) -> str:
    """Its GPUs and host, as "on …"."""
    host = run.info.host
    if not run.jobs and run.info.claim is not None:
        return f"on {run.info.claim.devices}"
    gpus = sorted({job.device for job in run.jobs} - {"cpu"})
    if not run.jobs:
        gpus = sorted({str(gpu.get("name", "GPU")) for gpu in host.gpus})
    cpu = ", ".join(filter(None, [host.cpu, f"{host.cores} cores" if host.cores else ""]))
    if not gpus:
        return f"on CPU ({cpu})" if cpu else "on CPU"
    return f"on {', '.join(gpus)}" + (f" (host: {cpu})" if cpu else "")


def _when(run: Run) -> str:
    commit = str(run.info.git.get("commit") or "")[:12]
    dirty = ", with uncommitted changes" if run.info.git.get("dirty") else ""
    if not run.info.created_at:
        return ""  # a published run has no suite of ours, and nobody knows its date
    return f", suite {run.info.suite}, {run.info.created_at[:10]}" + (
        f", commit {commit}{dirty}" if commit else ""
    )


def _settings(job: JobRecord) -> list[str]:
    training = job.workload.training
    length = ("" if training.max_steps is None else f"{training.max_steps} steps") or epochs_of(
        training.epochs
    )
    parts = [
        ("workload.task.name", job.workload.task.name),
        ("workload.training.precision", training.precision),
        ("workload.training.batch_size", f"batch {training.batch_size}"),
        ("workload.training.max_seq_length", _length(job)),
        ("workload.training.epochs", length),
        ("workload.training.optim", training.optim),
        ("workload.training.lora_rank", _adapters(job)),
        ("workload.launch", _processes(job)),
    ]
    return [", ".join(text for name, text in parts if text and known(job, name, text) is not None)]


def _length(job: JobRecord) -> str:
    """Tokens per sample; where they are not those asked for, both."""
    asked, trained = job.workload.training.max_seq_length, trained_length(job)
    most = "" if job.workload.training.pad_to_max_length else "up to "
    return f"length {most}{trained}" + (
        "" if trained == asked else f" ({asked} asked for: the tokenizer takes no more)"
    )


def _adapters(job: JobRecord) -> str:
    """Which adapters alone were trained, beside the head; empty: all weights were."""
    training, fingerprint = job.workload.training, job.fingerprint
    if training.lora_rank is None:
        return ""
    where = ", ".join(training.target_modules or ["peft's usual layers"])
    said = f"LoRA of rank {training.lora_rank} on {where}"
    trained, every = fingerprint.trainable_parameters, fingerprint.parameters
    if trained is None or every is None:
        return said
    return f"{said} ({trained:,} of {every:,} parameters trained)"


def _processes(job: JobRecord) -> str | None:
    launch = job.workload.launch
    if launch.world_size == 1:
        return None
    nodes = (
        f" on {launch.nodes} nodes (host and telemetry are the first's)" if launch.nodes > 1 else ""
    )
    return f"{launch.world_size} processes{nodes}, each with that batch"


def grouped(run: Run, say: Callable[[JobRecord], Iterable[str]]) -> list[str]:
    """What `say` says of the jobs, each thing once, in the tables' order; names what it is about if
    not all.
    """
    measured = {
        key: replicates for key, replicates in arms_of(run).replicates.items() if replicates
    }
    said: dict[str, set[tuple[str, str]]] = {}
    for key, replicates in measured.items():
        for job in replicates.values():
            for text in say(job):
                said.setdefault(text, set()).add(key)
    return [f"{text}{name_arms(about, measured)}" for text, about in said.items()]


def name_arms(about: Collection[tuple[str, str]], every: Collection[tuple[str, str]]) -> str:
    """In brackets what `about` is of `every` (workload, arm); nothing if it is all.

    Arms that are there with all of several workloads; else workloads, of those not there with all
    their arms the arms.
    """
    if len(about) == len(every):
        return ""
    of_arms = [(workload, arm) for workload, arm in every if arm in {arm for _, arm in about}]
    if len(of_arms) == len(about) and len({workload for workload, _ in every}) > 1:
        return f" ({', '.join(dict.fromkeys(arm for _, arm in of_arms))})"
    arms: dict[str, list[str]] = {}
    for workload, arm in every:
        arms.setdefault(workload, []).append(arm)
    named = []
    for workload, all_arms in arms.items():
        there = [arm for arm in all_arms if (workload, arm) in about]
        if there:
            named.append(workload if there == all_arms else f"{', '.join(there)} on {workload}")
    return f" ({', '.join(named)})"
