"""The steps of `report alert`, each a class, and their order. In the style of conbench's
benchalerts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from harness.errors import BenchError
from harness.schema.verdict import Verdict
from report.alerts.channels.base import AlertChannel, Context
from report.alerts.channels.registry import CHANNELS
from report.alerts.delivery import Patience, Undelivered
from report.alerts.escape import one_line, terminal
from report.alerts.events import is_older, new_events
from report.alerts.message import compose
from report.alerts.secrets import Secrets
from report.alerts.state import ChannelState, StateFile, locked

Say = Callable[[str], None]


@dataclass(frozen=True)
class ReadVerdict:
    """The verdict, with this process's secrets taken out of whatever is quoted in it."""

    path: Path
    secrets: Secrets

    def __call__(self) -> Verdict:
        """Raises BenchError if it cannot be read or is none."""
        try:
            return Verdict.model_validate_json(
                self.secrets.scrub(self.path.read_text(encoding="utf-8"))
            )
        except OSError as error:
            fix = "write it by `report check --json FILE`"
            raise BenchError(
                f"cannot read it: {error.strerror}", place=str(self.path), fix=fix
            ) from error
        except ValueError as error:  # no UTF-8, no JSON, or another schema
            detail = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "not UTF-8"
            fix = "write it by `report check --json FILE`"
            raise BenchError(f"no verdict: {detail}", place=str(self.path), fix=fix) from None


@dataclass(frozen=True)
class DeliveryPlan:
    """What is new for a channel goes into its outbox. The intent is on disk before anything is
    sent.
    """

    state: StateFile
    say: Say

    def __call__(self, channel: AlertChannel, verdict: Verdict) -> str:
        """Returns why the channel's own memory could not be read, empty if all went well."""
        before, failure = self.state.of(channel.name), ""
        told, asked = before.told, before.asked
        if is_older(verdict, before.newest):
            self.say(
                f"{channel.name}: run {one_line(verdict.run, 80)} is older than what was told: "
                "nothing new from it"
            )
            return ""
        # Without a state, or with a lost one, a channel may know itself what it was told.
        if not asked:
            try:
                channel.prepare()
                told, asked = {**channel.remembered(), **told}, True
            except (Undelivered, BenchError, OSError) as error:
                failure = str(error)
        events, told = new_events(verdict, told)
        waiting = {event.identity for event in before.outbox}
        outbox = [*before.outbox, *(event for event in events if event.identity not in waiting)]
        after = ChannelState(told=told, outbox=outbox, newest=verdict.created_at, asked=asked)
        if after != before:
            self.state.put(channel.name, after)
        return failure


@dataclass(frozen=True)
class Deliver:
    """Empties a channel's outbox, oldest first; what was delivered leaves it at once, what was not
    stays.
    """

    state: StateFile
    say: Say

    def __call__(self, channel: AlertChannel, verdict: Verdict) -> list[str]:
        """Returns what failed, a sentence each."""
        failures: list[str] = []
        try:
            channel.prepare()
            if done := channel.overview(verdict):
                self.say(f"{channel.name}: overview of run {one_line(verdict.run, 80)}: {done}")
        except (BenchError, OSError) as error:
            return [str(error)]
        for event in self.state.of(channel.name).outbox:
            message = compose(event)
            try:
                done = channel.deliver(message)
            except (Undelivered, BenchError, OSError) as error:
                failures.append(f"{message.title}: {error}")
                if isinstance(error, Undelivered) and error.refused:
                    continue  # this message alone: the next one may be accepted
                break
            self.say(f"{channel.name}: {message.title}: {done}")
            now = self.state.of(channel.name)
            left = [other for other in now.outbox if other.identity != event.identity]
            self.state.put(channel.name, now.model_copy(update={"outbox": left}))
        return failures


def alert(
    verdict_path: Path,
    channels: Sequence[str],
    state_path: Path | None,
    patience_s: float,
    environ: Mapping[str, str],
    dry_run: bool = False,
) -> int:
    """Tell a verdict on channels.

    Args:
        verdict_path: A file that `report check --json` wrote.
        channels: Each NAME or NAME=TARGET.
        state_path: Where it is kept what was told and what is still to be told; None: nowhere.
        patience_s: How long a channel may take, retries included.
        environ: The environment; a channel sees the variables that it declares.
        dry_run: Print what would be told, and send and write nothing.

    Returns:
        0: all was delivered; 1: a channel failed.

    Raises:
        BenchError: The verdict, the state or an option cannot be used.
    """
    secrets = Secrets(environ)

    def say(text: str) -> None:
        print(terminal(secrets.scrub(f"report: {text}")), file=sys.stderr)

    named = [_parse(spec) for spec in channels]
    if doubled := {name for name, _ in named if sum(name == other for other, _ in named) > 1}:
        raise BenchError(
            f"named twice: {', '.join(sorted(doubled))}", place="--channel", fix="name each once"
        )
    verdict = ReadVerdict(verdict_path, secrets)()
    failed = []
    with locked(None if dry_run else state_path):
        state = StateFile(state_path)
        if dry_run:
            return _show(
                verdict,
                [_channel(one, environ, secrets, patience_s) for one in named],
                state,
                secrets,
            )
        # All intents first: a kill during the first channel's delivery loses no other's.
        for one in named:
            channel = _channel(one, environ, secrets, patience_s)
            if failure := DeliveryPlan(state, say)(channel, verdict):
                failed.append(channel.name)
                say(f"{channel.name}: what it was told before could not be read: {failure}")
        for one in named:
            channel = _channel(one, environ, secrets, patience_s)
            for failure in Deliver(state, say)(channel, verdict):
                failed.append(channel.name)
                say(f"{channel.name} failed: {failure}")
        for name, count in state.waiting().items():
            say(
                f"{name}: {count} alert{'s' if count > 1 else ''} still to be told; the next call "
                "tries again"
            )
    return 1 if failed else 0


def _parse(spec: str) -> tuple[str, str]:
    name, _, target = spec.partition("=")
    if name not in CHANNELS:
        raise BenchError(
            f"{name!r} is no channel", place="--channel", fix=f"one of {', '.join(CHANNELS)}"
        )
    return name, target


def _channel(
    named: tuple[str, str], environ: Mapping[str, str], secrets: Secrets, patience_s: float
) -> AlertChannel:
    name, target = named
    kind = CHANNELS[name]
    shown = {variable: environ[variable] for variable in kind.variables if variable in environ}
    return kind(target, Context(shown, secrets, Patience(patience_s)))


def _show(
    verdict: Verdict, channels: Sequence[AlertChannel], state: StateFile, secrets: Secrets
) -> int:
    """What would be told, by channel. Asks nobody, so an issue that is there already is shown as if
    it were not.
    """
    for channel in channels:
        before = state.of(channel.name)
        new = [] if is_older(verdict, before.newest) else new_events(verdict, before.told)[0]
        events = list({event.identity: event for event in [*before.outbox, *new]}.values())
        print(f"{channel.name}: {len(events)} to tell")
        for event in events:
            text = channel.shown(compose(event))
            # Behind a bar, so that no line of it is a command to the runner that reads this log.
            print("\n".join(f"  | {line}" for line in terminal(secrets.scrub(text)).splitlines()))
    return 0
