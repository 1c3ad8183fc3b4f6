"""`harness submit`: a suite spread over a cluster by SLURM (submitit), an element of a job array
for every pair.

Each element is an ordinary `harness run` of its pairs in a folder of its own below the run's
(harness.runner.gather), so what is killed goes on where it was: requeued by SLURM, or by the same
command, which submits what is not complete yet.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BenchError
from harness.files import write_atomically
from harness.results.host import describe_host
from harness.results.open_run import check_run_name, host_changes, now_utc
from harness.results.run_folder import read_info
from harness.runner.gather import PARTS, gather, is_complete, pairs_of, part_folder
from harness.schema.record import RunInfo
from harness.schema.redaction import redact

if TYPE_CHECKING:
    from harness.planning.plan import Plan

SUBMISSION = "submission.json"


@dataclass(frozen=True)
class Element:
    """One element of the array: pairs that share no arm with any other's, and what it needs of the
    cluster.
    """

    name: str
    pairs: tuple[str, ...]  # WORKLOAD:BASELINE:CANDIDATE
    processes: int  # of a job, on each node
    nodes: int = 1


def elements_of(plan: Plan) -> list[Element]:
    """The elements of a plan, in its order."""
    launches = {job.workload.name: job.workload.launch for job in plan.jobs}
    found = []
    for number, pairs in enumerate(pairs_of(plan.pairs), start=1):
        launch = launches[pairs[0].workload]
        names = tuple(f"{pair.workload}:{pair.baseline}:{pair.candidate}" for pair in pairs)
        found.append(
            Element(f"{number:03}-{pairs[0].workload}", names, launch.processes, launch.nodes)
        )
    return found


@dataclass(frozen=True)
class Submission:
    """What submission.json holds: the run as it was asked for."""

    info: RunInfo
    elements: tuple[Element, ...]
    device: str

    def write(self, run: Path) -> None:
        content = {
            "info": redact(self.info, {str(run.parent): "<results>"}).model_dump(mode="json"),
            "elements": [asdict(element) for element in self.elements],
            "device": self.device,
        }
        write_atomically(run / SUBMISSION, json.dumps(content, indent=2).encode() + b"\n")

    @classmethod
    def read(cls, run: Path) -> Submission:
        """Raises BenchError if the file is missing or damaged."""
        try:
            content = json.loads((run / SUBMISSION).read_text())
            elements = tuple(
                Element(e["name"], tuple(e["pairs"]), e["processes"], e.get("nodes", 1))
                for e in content["elements"]
            )
            info = RunInfo.model_validate(content["info"])
            return cls(info, elements, content["device"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BenchError(
                f"damaged or missing: {error}", place=str(run / SUBMISSION), fix="submit anew"
            ) from None

    def gather(self, run: Path) -> RunInfo | None:
        """Put together what there is of the parts."""
        return gather(run, [element.name for element in self.elements], self.info)

    def unfinished(self, run: Path) -> list[Element]:
        """Elements whose part is not complete."""
        return [
            element for element in self.elements if not is_complete(part_folder(run, element.name))
        ]


# Runs these pairs as the run of this name below this folder; its exit status.
RunPart = Callable[[Sequence[str], Path, str], int]


@dataclass(frozen=True)
class SubmitOptions:
    """How a plan is submitted.

    Attributes:
        executor: slurm; local: one element after another, as processes of this host; debug: within
            this process.
        run_name: Name of the run's folder; None: the suite's and the time.
        fresh: Begin anew even if an unfinished submission could go on.
        wait: Until all elements have ended. Other executors than slurm always do.
        minutes: Time limit of an element.
        sbatch: Options of sbatch (partition, account, …).
        command: The command line that asked for it, for the run's record.
    """

    executor: str = "slurm"
    run_name: str | None = None
    fresh: bool = False
    wait: bool = False
    minutes: int = 720
    sbatch: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = ()


@dataclass(frozen=True)
class ArrayTask:
    """What a node of the cluster executes for one element. submitit pickles it, and again if SLURM
    requeues it.
    """

    run: Path
    element: Element
    run_part: RunPart

    def __call__(self) -> int:
        """The exit status of the element's part."""
        submission = Submission.read(self.run)
        leave_other_host(part_folder(self.run, self.element.name))
        try:
            return self.run_part(self.element.pairs, self.run / PARTS, self.element.name)
        finally:
            submission.gather(self.run)

    def checkpoint(self) -> Any:
        """Called by submitit before SLURM preempts the element or its time is up: it is to be
        queued again.
        """
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def leave_other_host(part: Path) -> None:
    """Set a part aside that began on another host: half a pair from one and half from another would
    be no pair.
    """
    try:
        before = read_info(part)
    except BenchError:
        return
    if before.status != "complete" and host_changes(before.host, describe_host()):
        number = 1
        while (aside := part.with_name(f"{part.name}.left-{number}")).exists():
            number += 1
        part.rename(aside)


def submit(
    plan: Plan, results: Path, run_part: RunPart, options: SubmitOptions
) -> tuple[Path, bool]:
    """Submit what is not complete.

    Args:
        plan: What is to be run.
        results: The folder of the runs.
        run_part: Runs one element; it is pickled for the node that does.
        options: How it is submitted. Only slurm returns before the elements have ended.

    Returns:
        The run's folder, and whether every part is complete by now.

    Raises:
        BenchError: It cannot be submitted.
    """
    try:
        import submitit
    except ImportError:
        raise BenchError(
            "the package submitit is not installed", place="harness submit", fix="`make setup`"
        ) from None
    run, submission = _open(plan, results, options)
    todo = submission.unfinished(run)
    if todo and options.executor == "slurm":
        jobs = [
            job
            for alike in _alike(todo)
            for job in _array(submitit, [ArrayTask(run, each, run_part) for each in alike], options)
        ]
        print(
            f"{run}: submitted {len(todo)} of {len(submission.elements)} elements: "
            f"{', '.join(j.job_id for j in jobs)}"
        )
        if options.wait:
            for job in jobs:
                job.wait()
    else:
        for element in todo:  # one at a time: on one host they would measure each other
            made = submitit.AutoExecutor(folder=run / "submitit", cluster=options.executor)
            made.update_parameters(
                timeout_min=options.minutes,
                tasks_per_node=1,
                gpus_per_node=_cards(plan, element),
            )
            job = made.submit(ArrayTask(run, element, run_part))
            print(f"{run}: {element.name} as {options.executor} job {job.job_id}", flush=True)
            job.wait()
            _tell(job, element)
    if options.executor != "slurm" or options.wait or not todo:
        submission.gather(run)
    return run, not submission.unfinished(run)


def _cards(plan: Plan, element: Element) -> int:
    return element.processes if plan.jobs[0].device == "cuda" else 0


def _alike(elements: Sequence[Element]) -> list[list[Element]]:
    """Elements that need the same of the cluster: an array asks for one kind of node."""
    groups: dict[tuple[int, int], list[Element]] = {}
    for element in elements:
        groups.setdefault((element.processes, element.nodes), []).append(element)
    return list(groups.values())


def _array(submitit: Any, tasks: Sequence[ArrayTask], options: SubmitOptions) -> list[Any]:
    """Submit one job array."""
    run, processes, nodes = tasks[0].run, tasks[0].element.processes, tasks[0].element.nodes
    made = submitit.AutoExecutor(
        folder=run / "submitit", cluster="slurm", slurm_max_num_timeout=100
    )
    # By default the whole node: a neighbour on it would be measured too.
    chosen = {"exclusive": True, **options.sbatch}
    if chosen["exclusive"] in ("no", "false"):
        del chosen["exclusive"]
    cards = Submission.read(run).device == "cuda"
    # One runner for an element of several nodes, on the first; it starts what the others do.
    only_one = {"slurm_srun_args": ["--nodes=1", "--ntasks=1"]} if nodes > 1 else {}
    try:
        made.update_parameters(
            name=f"bench-{run.name}",
            timeout_min=options.minutes,
            nodes=nodes,
            tasks_per_node=1,
            **only_one,
            **({"gpus_per_node": processes} if cards else {}),
            slurm_additional_parameters=chosen,
        )
        with made.batch():
            jobs = [made.submit(task) for task in tasks]
    except (RuntimeError, OSError, submitit.core.utils.FailedSubmissionError) as error:
        raise BenchError(
            f"cannot submit: {error}", place="sbatch", fix="--slurm KEY=VALUE as your cluster needs"
        ) from None
    return jobs


def _tell(job: Any, element: Element) -> None:
    error = job.exception()
    if error is not None:
        print(f"{element.name}: {str(error).strip().splitlines()[-1]}", file=sys.stderr)


def _open(plan: Plan, results: Path, options: SubmitOptions) -> tuple[Path, Submission]:
    """The newest unfinished submission of this suite, or a new one."""
    run_name, fresh = options.run_name, options.fresh
    results = results.absolute()  # elements may begin in another folder
    elements = elements_of(plan)
    if not elements:
        raise BenchError("has no pairs to submit", place=plan.suite)
    if run_name is not None:
        check_run_name(run_name)
    if run_name is not None and (results / run_name / SUBMISSION).exists():
        run = results / run_name
        submission = Submission.read(run)
        if fresh or submission.info.config_sha256 != plan.config_sha256:
            raise BenchError(
                "this run exists, of another configuration or told to be new",
                place=str(run),
                fix="another --run",
            )
        return run, submission
    for file in (
        sorted(results.glob(f"*/{SUBMISSION}"), reverse=True)
        if run_name is None and not fresh
        else ()
    ):
        submission = Submission.read(file.parent)
        if submission.info.config_sha256 == plan.config_sha256 and submission.unfinished(
            file.parent
        ):
            return file.parent, submission
    run = results / (run_name or f"{plan.suite}-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    try:
        run.mkdir(parents=True)
    except FileExistsError:
        raise BenchError("the folder exists", place=str(run), fix="another --run") from None
    info = RunInfo(
        run=run.name,
        suite=plan.suite,
        description=plan.description,
        created_at=now_utc(),
        config=plan.config,
        config_sha256=plan.config_sha256,
        pairs=list(plan.pairs),
        command=list(options.command),
    )
    submission = Submission(info, tuple(elements), plan.jobs[0].device)
    submission.write(run)
    return run, submission
