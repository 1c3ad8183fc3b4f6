"""GitHub issues: one per pair, measure and host, opened, commented on, closed and opened again,
never a second one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from harness.errors import BenchError
from report.alerts.channels.base import AlertChannel
from report.alerts.delivery import Http, Undelivered
from report.alerts.escape import cut, one_line
from report.alerts.events import EventKind, Told
from report.alerts.message import Message
from report.alerts.render_markdown import body_markdown, message_markdown
from report.alerts.secrets import TOKEN, split_address

LABEL = "bench-alert"
USUAL_LABEL = "bench-usual-level"  # of an issue that stays open, for nothing changes any more
REPOSITORY, API = "GITHUB_REPOSITORY", "GITHUB_API_URL"
MOST_TITLE, MOST_BODY = 250, 65_000  # GitHub takes 256 and 65536 characters
PAGE, MOST_PAGES = 100, 100
SUBJECT = re.compile(r"<!-- bench-subject ([0-9a-f]{16}) ([a-z ]+) ([0-9a-f]{16}) -->")
NEXT = re.compile(r'<([^<>]+)>;\s*rel="next"')

Issue = dict[str, Any]


class Issues(AlertChannel):
    """$GITHUB_REPOSITORY's issues at $GITHUB_API_URL, as $GITHUB_TOKEN; the target is the label.

    An issue is found by a hidden marker in its body; so is a comment. Before anything is created it
    is looked for, at every attempt, so that neither a kill nor a lost answer makes two of it.
    """

    name = "issues"
    about = (
        "one GitHub issue per pair in $GITHUB_REPOSITORY at $GITHUB_API_URL, as $GITHUB_TOKEN;\n"
        "TARGET: label"
    )
    variables = (TOKEN, REPOSITORY, API)

    def prepare(self) -> None:
        self.context.secrets.get(TOKEN)
        repository = self.context.environ.get(REPOSITORY, "")
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
            raise BenchError(
                "$GITHUB_REPOSITORY is not owner/name",
                place=self.name,
                fix="export GITHUB_REPOSITORY",
            )
        scheme, host, _ = split_address(self._api())
        local = host in ("localhost", "127.0.0.1", "::1")
        if not host or not (scheme == "https" or (scheme == "http" and local)):
            fix = "use https: a token is not sent in the clear"
            raise BenchError("$GITHUB_API_URL is no https address", place=self.name, fix=fix)

    def remembered(self) -> dict[str, Told]:
        """The open issues: which subjects they are of and what they were told last."""
        return self.context.patience.run(self._open_subjects)

    def deliver(self, message: Message) -> str:
        self.prepare()
        return self.context.patience.run(lambda: self._step(message))

    def shown(self, message: Message) -> str:
        number = "closed" if message.event.kind.closes else "open"
        return (
            f"{cut(message.title, MOST_TITLE)}\n({number}, label "
            f"{', '.join(self._labels(message))})\n\n{self._body(message)}"
        )

    def _step(self, message: Message) -> str:
        closing = message.event.kind.closes
        issue = self._find(message.event.subject)
        if issue is None and closing:
            return "no issue to close"
        if issue is None:
            content = {
                "title": cut(message.title, MOST_TITLE),
                "body": self._body(message),
                "labels": self._labels(message),
            }
            created, _ = self._call("POST", "issues", content)
            return f"issue #{created['number']} opened"
        number, said = issue["number"], []
        if not self._has(issue, message.identity):
            self._call("POST", f"issues/{number}/comments", {"body": self._comment(message)})
            said.append("commented on")
        wanted = self._wanted(issue, message)
        if wanted:
            self._call("PATCH", f"issues/{number}", wanted)
            said += (
                [{"closed": "closed", "open": "opened again"}[wanted["state"]]]
                if "state" in wanted
                else []
            )
        return f"issue #{number} {' and '.join(said) or 'up to date'}"

    def _find(self, subject: str) -> Issue | None:
        """The oldest issue of the subject. Also among the newest without the label, which a person
        may have taken away, or which GitHub leaves out silently where the token may not set it.
        """
        for query in (
            f"labels={self._label()}&state=all&sort=created&direction=asc",
            "state=all&sort=created",
        ):
            pages = self._pages(
                f"issues?{query}&per_page={PAGE}", MOST_PAGES if "labels" in query else 1
            )
            for issue in pages:
                mark = _mark(issue)
                if mark and mark[1] == subject:
                    return issue
        return None

    def _open_subjects(self) -> dict[str, Told]:
        told = {}
        query = (
            f"issues?labels={self._label()}&state=open&sort=created&direction=desc&per_page={PAGE}"
        )
        for issue in self._pages(query, MOST_PAGES):
            if (mark := _mark(issue)) and (kind := _open_kind(mark[2])):
                told[mark[1]] = Told(identity=mark[3], kind=kind)
        return told

    def _has(self, issue: Issue, identity: str) -> bool:
        """Whether the issue's body or a comment of it is of this alert."""
        mark = f"<!-- bench-alert {identity} -->"
        if mark in (issue.get("body") or ""):
            return True
        comments = self._pages(f"issues/{issue['number']}/comments?per_page={PAGE}", MOST_PAGES)
        return any(mark in (comment.get("body") or "") for comment in comments)

    def _wanted(self, issue: Issue, message: Message) -> dict[str, Any]:
        """What has to change of the issue itself. Its body stays as a person may have edited it,
        but for the marker.
        """
        closing = message.event.kind.closes
        wanted: dict[str, Any] = {}
        body = SUBJECT.sub(_subject_mark(message), issue["body"])
        title = cut(message.title, MOST_TITLE)
        wanted |= {"body": body} if body != issue["body"] else {}
        wanted |= {"title": title} if title != issue["title"] else {}
        labels = [str(label["name"]) for label in issue.get("labels", [])]
        usual = message.event.kind is EventKind.USUAL
        if usual != (USUAL_LABEL in labels):
            kept = [name for name in labels if name != USUAL_LABEL]
            wanted |= {"labels": [*kept, USUAL_LABEL] if usual else kept}
        if closing and issue["state"] != "closed":
            wanted |= {"state": "closed", "state_reason": "completed"}
        if not closing and issue["state"] != "open":
            wanted |= {"state": "open", "state_reason": "reopened"}
        return wanted

    def _body(self, message: Message) -> str:
        marks = f"\n<!-- bench-alert {message.identity} -->\n{_subject_mark(message)}\n"
        return cut(body_markdown(message), MOST_BODY - len(marks)) + marks

    def _comment(self, message: Message) -> str:
        mark = f"\n<!-- bench-alert {message.identity} -->\n"
        return cut(message_markdown(message), MOST_BODY - len(mark)) + mark

    def _labels(self, message: Message) -> list[str]:
        usual = message.event.kind is EventKind.USUAL
        return [self._label(), *([USUAL_LABEL] if usual else [])]

    def _label(self) -> str:
        return one_line(self.target) or LABEL

    def _api(self) -> str:
        return (self.context.environ.get(API) or "https://api.github.com").rstrip("/")

    def _call(self, method: str, path: str, content: Any = None) -> tuple[Any, Any]:
        """One request below the repository, or to a full address that GitHub gave us for the next
        page.
        """
        base = f"{self._api()}/repos/{self.context.environ.get(REPOSITORY, '')}/"
        if (
            path.startswith(("http://", "https://"))
            and urlsplit(path).netloc != urlsplit(base).netloc
        ):
            raise Undelivered(
                "the next page is said to be on another host: the token is not sent there"
            )
        headers = {
            "Authorization": f"Bearer {self.context.secrets.get(TOKEN)}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        url = path if path.startswith(("http://", "https://")) else base + path
        answer, answered = Http(self.context.secrets, self.context.patience).request(
            method, url, headers, content
        )
        if not isinstance(answer, dict | list):
            raise Undelivered(
                f"{urlsplit(base).hostname}: the answer is no JSON; is it GitHub's API?"
            )
        return answer, answered

    def _pages(self, path: str, most: int) -> Iterator[Issue]:
        """The items of all pages; pull requests, which GitHub lists with issues, left out."""
        for _ in range(most):
            items, headers = self._call("GET", path)
            yield from (
                item for item in items if isinstance(item, dict) and "pull_request" not in item
            )
            following = NEXT.search(headers.get("Link", ""))
            if not following:
                return
            path = following[1]


def _mark(issue: Issue) -> re.Match[str] | None:
    return SUBJECT.search(issue.get("body") or "")


def _open_kind(written: str) -> EventKind | None:
    """The kind that a marker names; None: one that leaves nothing open, or one of no version."""
    try:
        kind = EventKind(written)
    except ValueError:
        return None
    return None if kind.closes else kind


def _subject_mark(message: Message) -> str:
    return f"<!-- bench-subject {message.event.subject} {message.event.kind} {message.identity} -->"
