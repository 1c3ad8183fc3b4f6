"""Stands in for the programs of a night: scripted_stage.py FOLDER harness|report ARGUMENTS…, as
they are called.

FOLDER/behaviour.json: stage → {"seconds": how long it takes, "exit": its exit status, "say": its
last line, "dies": true: it makes nothing, "alarm": whether a check finds a regression, "status": of
the run that is left, "killed": true: by a signal}. FOLDER/calls: a line for every call, `begin
STAGE` and `end STAGE`. FOLDER/jobs: a line for every job executed. FOLDER/outbox: a line for every
alert told.
"""

import itertools
import json
import os
import signal
import sys
import time
from pathlib import Path

JOBS = 3
FINDING = {
    "workload": "tiny",
    "baseline": "pytorch",
    "candidate": "onnxruntime",
    "host": "",
    "run": "",
    "state": "regression",
}


def main() -> int:
    folder, program, command, *rest = Path(sys.argv[1]), *sys.argv[2:]
    options = dict(itertools.pairwise(rest))
    stage = command
    if command == "run":
        stage = "again" if options["--run"].endswith("-again") else "bench"
    elif "--again" in options:
        stage = "recheck"
    behaviour = json.loads((folder / "behaviour.json").read_text()).get(stage, {})
    note(folder, "calls", f"begin {stage}")
    note(folder, "arguments", json.dumps([program, command, *rest]))
    if not behaviour.get("dies"):
        {"run": run, "check": check, "alert": alert}[command](folder, options, rest, behaviour)
    if behaviour.get("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if "say" in behaviour:
        print(behaviour["say"], file=sys.stderr)
    note(folder, "calls", f"end {stage}")
    return int(behaviour.get("exit", 0))


def note(folder: Path, name: str, line: str) -> None:
    with (folder / name).open("a") as file:
        file.write(line + "\n")


def run(
    folder: Path, options: dict[str, str], rest: list[str], behaviour: dict[str, float]
) -> None:
    """Like the runner: a job that is on record is not run again, and SIGTERM ends in order with
    130.
    """
    target = Path(options["--results"]) / options["--run"]
    target.mkdir(parents=True, exist_ok=True)

    def stopped(*_: object) -> None:
        note(folder, "calls", "stopped")
        os._exit(130)

    signal.signal(signal.SIGTERM, stopped)
    (target / "run.json").write_text(json.dumps({"status": behaviour.get("status", "complete")}))
    for job in range(JOBS):
        if not (target / f"job{job}").exists():
            note(folder, "jobs", f"{options['--run']} {job}")
            time.sleep(behaviour.get("seconds", 0) / JOBS)
            (target / f"job{job}").touch()


def check(
    folder: Path, options: dict[str, str], rest: list[str], behaviour: dict[str, float]
) -> None:
    time.sleep(behaviour.get("seconds", 0))
    again, alarm = "--again" in options, behaviour.get("alarm", True)
    finding = {**FINDING, "measure_again": not again, "confirmed": True if again else None}
    findings = [finding if alarm else {**FINDING, "state": "steady"}]
    made = {
        "run": options["--run"],
        "created_at": "",
        "findings": findings,
        "problems": [],
        "exit_code": int(alarm),
    }
    Path(options["--json"]).write_text(json.dumps(made))


def alert(
    folder: Path, options: dict[str, str], rest: list[str], behaviour: dict[str, float]
) -> None:
    """Like `report alert --state`: what was told is not told again."""
    verdict, state = json.loads(Path(rest[0]).read_text()), Path(options["--state"])
    told = json.loads(state.read_text()) if state.exists() else []
    time.sleep(behaviour.get("seconds", 0))
    if behaviour.get("exit"):
        return
    for event in [*(f["state"] for f in verdict["findings"]), *verdict["problems"]]:
        if [verdict["run"], event] not in told:
            note(folder, "outbox", f"{verdict['run']}: {event}")
            told.append([verdict["run"], event])
    state.write_text(json.dumps(told))


if __name__ == "__main__":
    sys.exit(main())
