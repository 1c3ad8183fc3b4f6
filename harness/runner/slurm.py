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
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BenchError
from harness.files import write_atomically
from harness.results.host import describe_host
from harness.results.open_run import check_run_name, host_changes, now_utc
from harness.results.run_folder import read_info
from harness.runner.gather import gather, is_complete, pairs_of, part_folder
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
    command: tuple[
        str, ...
    ]  # `run SUITE …`, what each element runs besides its pairs and its folder
    device: str

    def write(self, run: Path) -> None:
        content = {
            "info": redact(self.info, {str(run.parent): "<results>"}).model_dump(mode="json"),
            "elements": [asdict(element) for element in self.elements],
            "command": list(self.command),
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
            return cls(info, elements, tuple(content["command"]), content["device"])
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


class Task:
    """What a node of the cluster executes for one element. submitit pickles it, and again if SLURM
    requeues it.
    """

    def __init__(self, run: Path, element: Element) -> None:
        self.run, self.element = run, element

    def __call__(self) -> int:
        """The exit code of `harness run`."""
        # What an element runs is the command line itself, which stands above this package.
        main: Callable[[Sequence[str]], int] = import_module("harness.cli").main

        submission = Submission.read(self.run)
        words = list(submission.command)
        leave_other_host(part_folder(self.run, self.element.name))
        for pair in self.element.pairs:
            words += ["--pairs", pair]
        try:
            return main(
                [
                    *words,
                    "--results",
                    str(self.run / "parts"),
                    "--run",
                    self.element.name,
                    "--no-tables",
                ]
            )
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
    plan: Plan,
    results: Path,
    command: Sequence[str],
    *,
    executor: str = "slurm",
    run_name: str | None = None,
    fresh: bool = False,
    wait: bool = False,
    minutes: int = 720,
    options: Mapping[str, str] | None = None,
) -> tuple[Path, bool]:
    """Submit what is not complete; the run folder, and whether every part is complete by now.

    `command`: what an element runs (`run SUITE --set …`). `executor`: slurm; local: one element
    after another, as processes of this host; debug: within this process. `options`: of sbatch
    (partition, account, …). Only `slurm` returns before the elements have ended, unless `wait`.
    Raises BenchError.
    """
    try:
        import submitit
    except ImportError:
        raise BenchError(
            "the package submitit is not installed", place="harness submit", fix="`make setup`"
        ) from None
    run, submission = _open(plan, results, command, run_name, fresh)
    todo = submission.unfinished(run)
    if todo and executor == "slurm":
        jobs = [
            job
            for alike in _alike(todo)
            for job in _array(submitit, run, alike, minutes, options or {})
        ]
        print(
            f"{run}: submitted {len(todo)} of {len(submission.elements)} elements: "
            f"{', '.join(j.job_id for j in jobs)}"
        )
        if wait:
            for job in jobs:
                job.wait()
    else:
        for element in todo:  # one at a time: on one host they would measure each other
            made = submitit.AutoExecutor(folder=run / "submitit", cluster=executor)
            made.update_parameters(
                timeout_min=minutes, tasks_per_node=1, gpus_per_node=_cards(plan, element)
            )
            job = made.submit(Task(run, element))
            print(f"{run}: {element.name} as {executor} job {job.job_id}", flush=True)
            job.wait()
            _tell(job, element)
    if executor != "slurm" or wait or not todo:
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


def _array(
    submitit: Any, run: Path, elements: Sequence[Element], minutes: int, options: Mapping[str, str]
) -> list[Any]:
    """Submit one job array."""
    made = submitit.AutoExecutor(
        folder=run / "submitit", cluster="slurm", slurm_max_num_timeout=100
    )
    # By default the whole node: a neighbour on it would be measured too.
    chosen = {"exclusive": True, **options}
    if chosen["exclusive"] in ("no", "false"):
        del chosen["exclusive"]
    cards = Submission.read(run).device == "cuda"
    nodes = elements[0].nodes
    # One runner for an element of several nodes, on the first; it starts what the others do.
    only_one = {"slurm_srun_args": ["--nodes=1", "--ntasks=1"]} if nodes > 1 else {}
    try:
        made.update_parameters(
            name=f"bench-{run.name}",
            timeout_min=minutes,
            nodes=nodes,
            tasks_per_node=1,
            **only_one,
            **({"gpus_per_node": elements[0].processes} if cards else {}),
            slurm_additional_parameters=chosen,
        )
        with made.batch():
            jobs = [made.submit(Task(run, element)) for element in elements]
    except (RuntimeError, OSError, submitit.core.utils.FailedSubmissionError) as error:
        raise BenchError(
            f"cannot submit: {error}", place="sbatch", fix="--slurm KEY=VALUE as your cluster needs"
        ) from None
    return jobs


def _tell(job: Any, element: Element) -> None:
    error = job.exception()
    if error is not None:
        print(f"{element.name}: {str(error).strip().splitlines()[-1]}", file=sys.stderr)


def _open(
    plan: Plan, results: Path, command: Sequence[str], run_name: str | None, fresh: bool
) -> tuple[Path, Submission]:
    """The newest unfinished submission of this suite, or a new one."""
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
        command=["harness", "submit", *command[1:]],
    )
    submission = Submission(info, tuple(elements), tuple(command), plan.jobs[0].device)
    submission.write(run)
    return run, submission
