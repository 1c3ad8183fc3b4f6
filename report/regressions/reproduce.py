"""The command that measures one pair again, from what its run says of its own command."""

from __future__ import annotations

import json
import re
import shlex

from harness.schema.record import Pair, RunInfo

_WITH_VALUE = ("--set", "--device", "--results", "--run")
_KEPT_FLAGS = ("--allow-shared-gpu",)
# What stands in a record for a path of the host, or a secret.
HIDDEN = re.compile(r"<[a-z][a-z -]*>|(?:^|=)~/")
CHECKOUT = "<checkout>/"  # where the command is typed


def reproduce_command(info: RunInfo, pair: Pair) -> str:
    """`harness run SUITE …` as a line for a shell: as the run was started, but `pair` alone, and as
    a new run.

    Where the run was not started by `harness run`, or its suite's path is not recorded: by the
    suite's name.
    """
    suite, options = _parsed(info)
    only = {"baseline": pair.baseline, "candidate": pair.candidate, "workloads": [pair.workload]}
    if pair.differs:
        only["differs"] = list(pair.differs)
    return shlex.join(
        ["harness", "run", suite, *options, "--set", f"pairs={json.dumps([only])}", "--new"]
    )


def _parsed(info: RunInfo) -> tuple[str, list[str]]:
    if "run" not in info.command[:2]:
        return info.suite, []
    suite, options = info.suite, []
    words = iter(
        word.replace(CHECKOUT, "") for word in info.command[info.command.index("run") + 1 :]
    )
    for word in words:
        name, equals, value = word.partition("=")
        if name in _WITH_VALUE and word.startswith("--"):
            value = value if equals else next(words, "")
            kept = name == "--device" or (
                name == "--set" and not value.startswith("pairs") and not HIDDEN.search(value)
            )
            options += [name, value] if kept else []
        elif word in _KEPT_FLAGS:
            options.append(word)
        elif not word.startswith("-") and not HIDDEN.search(word):
            suite = word
    return suite, options
