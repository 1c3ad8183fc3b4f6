"""What the tests of alerts share: verdicts of made-up nights, real HTTP servers, a real `report
alert` process.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from folders import ROOT

from harness.schema.verdict import Change, Finding, Point, Verdict
from report.alerts.channels.registry import variables
from report.alerts.delivery import PROXIES

TOKEN = "ghs_ThisIsTheTokenOfATest0123456789"
HOOK_PATH = "/services/T00000000/B00000000/ThisIsTheHookOfATest99"


def point(night: int, factor: float = 1.0) -> Point:
    wobble = 0.003 * ((night * 7) % 5 - 2)  # of +-0.6%, the same in every test run
    return Point(
        run=f"nightly-{night:03}",
        created_at=f"2025-{6 + (night - 1) // 28:02}-{(night - 1) % 28 + 1:02}T02:00:00Z",
        commit=f"{night:07x}",
        baseline_s=0.0461 * (1 + wobble),
        candidate_s=0.0280 * (1 - wobble) * factor,
    )


def finding(
    night: int = 30, state: str = "regression", factor: float = 1.05, nights: int = 2, **more: Any
) -> Finding:
    """A pair on a night: the candidate's time is `factor` what it was, for the last `nights`
    nights.
    """
    history = [point(one, factor if one > night - nights else 1.0) for one in range(1, night + 1)]
    changed = state in ("regression", "improvement", "watch")
    changes = [
        Change(
            series="baseline_s",
            level=0.0461,
            mean=0.0461,
            change=0.0,
            score=0.0,
            tail=nights,
            nights=28,
        ),
        Change(
            series="candidate_s",
            level=0.028 * factor,
            mean=0.028,
            change=factor - 1,
            score=60 * (factor - 1),
            tail=nights,
            nights=28,
        ),
        Change(
            series="ratio",
            level=0.6074 * factor,
            mean=0.6074,
            change=factor - 1,
            score=55 * (factor - 1),
            tail=nights,
            nights=28,
        ),
    ]
    cause = {"regression": "candidate regressed", "improvement": "candidate improved"}.get(
        state, ""
    )
    values: dict[str, Any] = {
        "workload": "roberta-base-mrpc",
        "baseline": "pytorch",
        "candidate": "onnxruntime",
        "host": "NVIDIA H100 80GB HBM3, driver 550.54, ort",
        "state": state,
        "cause": cause,
        "reason": "",
        "run": f"nightly-{night:03}",
        "since": f"nightly-{night - nights + 1:03}" if changed else None,
        "last_good": f"nightly-{night - nights:03}" if state != "steady" else None,
        "gain": None if state == "missing" else 0.0461 / 0.028 / factor - 1,
        "gain_low": None if state == "missing" else 0.0461 / 0.028 / factor - 1.012,
        "gain_high": None if state == "missing" else 0.0461 / 0.028 / factor - 0.988,
        "changes": changes if changed else [],
        "confirmed": True if changed else None,
        "different": [
            "onnxruntime-training 1.19.0 -> 1.19.2 (stack ort)",
            "commit 000001c -> 000001d",
        ]
        if changed
        else [],
        "reproduce": "make bench CONFIG=configs/nightly.yaml ONLY=roberta-base-mrpc",
        "history": history,
    }
    return Finding.model_validate({**values, **more})


def verdict(*findings: Finding, night: int = 30, **more: Any) -> Verdict:
    states = {one.state for one in findings}
    code = 1 if "regression" in states else 2 if "missing" in states else 0
    values = {
        "run": f"nightly-{night:03}",
        "created_at": point(night).created_at,
        "exit_code": code,
    }
    return Verdict.model_validate({**values, "findings": list(findings), **more})


def write(path: Path, content: Verdict) -> Path:
    path.write_text(content.model_dump_json(), encoding="utf-8")
    return path


@dataclass
class Answer:
    """What a server answers: status, headers, JSON. `hang`: nothing, until the test ends."""

    status: int = 200
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    content: Any


Handle = Callable[[Request], Answer]


class Served:
    """A real server on a real socket. `seen`: every request, in order."""

    def __init__(self, handle: Handle) -> None:
        self.handle, self.seen, self._lock, self.over = (
            handle,
            list[Request](),
            threading.Lock(),
            threading.Event(),
        )
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _do(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
                content = json.loads(body) if body else None
                request = Request(
                    self.command, parts.path, query, dict(self.headers.items()), content
                )
                with outer._lock:
                    outer.seen.append(request)
                    answer = outer.handle(request)
                if answer.hang:
                    outer.over.wait(30)
                    self.close_connection = True
                    return
                data = b"ok" if answer.content is None else json.dumps(answer.content).encode()
                try:
                    self.send_response(answer.status)
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:  # the client was killed by this very test
                    self.close_connection = True

            do_GET = do_POST = do_PATCH = _do

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@contextmanager
def served(handle: Handle) -> Iterator[Served]:
    one = Served(handle)
    thread = threading.Thread(target=one.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield one
    finally:
        one.over.set()
        one.server.shutdown()
        one.server.server_close()
        thread.join()


class GitHub:
    """GitHub's issues as far as the channel uses them: labels, states, pages, comments; answers 401
    without the token.

    Source: GitHub's REST reference, "Issues" and "Using pagination in the REST API".
    """

    def __init__(self, page: int = 100, before: Handle | None = None) -> None:
        self.issues: list[dict[str, Any]] = []
        self.comments: dict[int, list[dict[str, Any]]] = {}
        self.page, self.before, self.after = page, before, None
        self.drop_labels = False

    def __call__(self, request: Request) -> Answer:
        if self.before and (early := self.before(request)).status != 200:
            return early
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return Answer(401, {"message": "Bad credentials"})
        answer = self.answer(request)
        if self.after:
            return self.after(request, answer)
        return answer

    def answer(self, request: Request) -> Answer:
        found = re.fullmatch(r"/repos/owner/name/issues(?:/(\d+)(/comments)?)?", request.path)
        if not found:
            return Answer(404, {"message": "Not Found"})
        number, comments = int(found[1] or 0), found[2]
        content = request.content
        if request.method == "POST" and not number:
            labels = [] if self.drop_labels else [{"name": name} for name in content["labels"]]
            issue = {**content, "number": len(self.issues) + 1, "state": "open", "labels": labels}
            self.issues.append(issue)
            self.comments[issue["number"]] = []
            return Answer(201, issue)
        if request.method == "POST":
            self.comments[number].append(content)
            return Answer(201, content)
        if request.method == "PATCH":
            labels = [{"name": name} for name in content.get("labels", [])]
            changed = {**content, **({"labels": labels} if "labels" in content else {})}
            self.issues[number - 1].update(changed)
            return Answer(200, self.issues[number - 1])
        if comments:
            return self._paged(request, self.comments[number])
        state, label = request.query["state"], request.query.get("labels")
        listed = [
            issue
            for issue in self.issues
            if state in ("all", issue["state"])
            and (not label or {"name": label} in issue["labels"])
        ]
        return self._paged(
            request, listed if request.query.get("direction") == "asc" else listed[::-1]
        )

    def _paged(self, request: Request, items: list[dict[str, Any]]) -> Answer:
        page, size = (
            int(request.query.get("page", 1)),
            min(self.page, int(request.query["per_page"])),
        )
        headers = {}
        if page * size < len(items):
            query = "&".join(
                f"{name}={value}" for name, value in {**request.query, "page": page + 1}.items()
            )
            headers["Link"] = (
                f'<http://{request.headers["Host"]}{request.path}?{query}>; rel="next", <x>; '
                'rel="last"'
            )
        return Answer(200, items[(page - 1) * size : page * size], headers)

    def of(self, method: str, requests: list[Request]) -> list[Request]:
        return [request for request in requests if request.method == method]


def environ(
    github: Served | None = None, hook: Served | None = None, **more: str
) -> dict[str, str]:
    """The environment of a CI's job."""
    found = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent", **more}
    if github:
        found |= {
            "GITHUB_API_URL": github.url,
            "GITHUB_REPOSITORY": "owner/name",
            "GITHUB_TOKEN": TOKEN,
        }
    if hook:
        found["BENCH_SLACK_WEBHOOK"] = hook.url + HOOK_PATH
    return found


def start(arguments: list[str], env: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "report.cli", "alert", *arguments]
    return subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(arguments: list[str], env: dict[str, str]) -> tuple[int, str, str]:
    """A real `report alert`; its exit status, standard output and standard error."""
    process = start(arguments, env)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def marked(api: str, hook: str, folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """A marker for every variable that any channel reads, and values that hold these markers and
    work.
    """
    markers = {
        name: f"mark-{name.lower().replace('_', '')}-{'ABCDEFGHIJ'[n % 10]}"
        for n, name in enumerate(variables())
    }
    shapes = {
        "GITHUB_TOKEN": "ghs_{}",
        "BENCH_SLACK_WEBHOOK": hook + "/services/T0/B0/{}",
        "GITHUB_REPOSITORY": "owner/{}",
        "GITHUB_API_URL": api + "/{}",
        "GITHUB_STEP_SUMMARY": f"{folder}/{{}}.md",
        "BENCH_EMAIL_FROM": "{}@example.org",
        "BENCH_EMAIL_TO": "{}@example.org",
        **{name: "http://user:{}@127.0.0.1:9" for name in PROXIES},
        **{name: "127.0.0.1,{}.example.org" for name in ("no_proxy", "NO_PROXY")},
    }
    assert shapes.keys() == markers.keys(), (
        "a channel reads a variable that this test does not know"
    )
    return markers, {name: shapes[name].format(marker) for name, marker in markers.items()}
