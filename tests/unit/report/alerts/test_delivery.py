"""One request and its attempts, against real servers on real sockets: what is tried again, and how
long.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from email.utils import formatdate
from typing import Any

import pytest
from alerts_support import HOOK_PATH, TOKEN, Answer, Request, Served, environ, served

from report.alerts.delivery import Http, Patience, Transient, Undelivered
from report.alerts.secrets import Secrets


class Script:
    """Answers one after the other, the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers, self.times = list(answers), list[float]()

    def __call__(self, request: Request) -> Answer:
        self.times.append(time.monotonic())
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def post(
    server: Served | str, patience_s: float = 10.0, request_s: float = 5.0, backoff_s: float = 0.02
) -> Any:
    url = server if isinstance(server, str) else server.url + HOOK_PATH
    secrets = Secrets({"GITHUB_TOKEN": TOKEN, "BENCH_SLACK_WEBHOOK": url})
    patience = Patience(patience_s, backoff_s)
    http = Http(secrets, patience, request_s)
    return patience.run(
        lambda: http.request("POST", url, {"Authorization": f"Bearer {TOKEN}"}, {"text": "t"})
    )


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
def test_a_server_that_recovers_is_tried_again(status: int) -> None:
    script = Script(Answer(status), Answer(status), Answer(200, {"ok": True}))
    with served(script) as server:
        content, _ = post(server)
    assert content == {"ok": True}
    assert len(server.seen) == 3
    assert [request.content for request in server.seen] == [{"text": "t"}] * 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_a_refusal_is_not_tried_again_and_shows_no_secret(status: int) -> None:
    said = {"message": f"Bad credentials {TOKEN} at {HOOK_PATH}"}
    with (
        served(Script(Answer(status, said))) as server,
        pytest.raises(Undelivered, match=str(status)) as caught,
    ):
        post(server)
    assert len(server.seen) == 1
    assert "Bad credentials ***" in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert HOOK_PATH not in str(caught.value)
    assert caught.value.refused == (status in (400, 410, 422))


@pytest.mark.parametrize(("status", "headers"), [
    (429, lambda: {"Retry-After": "1"}),
    (403, lambda: {"Retry-After": "1"}),
    (503, lambda: {"Retry-After": formatdate(time.time() + 2, usegmt=True)}),
    (403, lambda: {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 2)}),
])  # fmt: skip
def test_a_rate_limit_is_waited_for_as_long_as_it_says(status: int, headers: Any) -> None:
    script = Script(Answer(status, headers=headers()), Answer(200))
    with served(script) as server:
        post(server)
    assert len(script.times) == 2
    assert 0.9 < script.times[1] - script.times[0] < 3.5


def test_a_rate_limit_longer_than_the_patience_ends_at_once() -> None:
    started = time.monotonic()
    script = Script(Answer(429, headers={"Retry-After": "3600"}))
    with served(script) as server, pytest.raises(Undelivered, match="asked to wait 3600 s"):
        post(server)
    assert time.monotonic() - started < 2
    assert len(server.seen) == 1


def test_a_retry_after_that_means_nothing_is_an_ordinary_failure() -> None:
    with served(Script(Answer(503, headers={"Retry-After": "soon"}), Answer(200))) as server:
        post(server)
    assert len(server.seen) == 2


def test_attempts_grow_apart_and_end_in_time() -> None:
    script = Script(Answer(500))
    started = time.monotonic()
    with served(script) as server, pytest.raises(Undelivered, match=r"500 .*\(\d attempts\)"):
        post(server, patience_s=2.0, backoff_s=0.1)
    assert time.monotonic() - started < 2.5
    gaps = [later - earlier for earlier, later in zip(script.times, script.times[1:], strict=False)]
    assert len(gaps) >= 3
    for number, gap in enumerate(
        gaps
    ):  # half to all of 0.1, 0.2, 0.4, ... seconds, and the request itself
        assert 0.05 * 2**number <= gap <= 0.1 * 2**number + 0.25


def test_a_refused_connection_is_tried_until_the_patience_ends() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.monotonic()
    with pytest.raises(Undelivered, match=r"cannot be reached .*\(\d+ attempts\)") as caught:
        post(f"http://127.0.0.1:{port}{HOOK_PATH}", patience_s=0.5)
    assert time.monotonic() - started < 3
    assert HOOK_PATH not in str(caught.value)


def test_a_server_that_says_nothing_is_left_and_tried_again() -> None:
    with served(Script(Answer(hang=True), Answer(200))) as server:
        post(server, request_s=0.3)
    assert len(server.seen) == 2


def test_a_server_that_drips_does_not_hold_the_channel() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                for _ in range(40):
                    try:
                        connection.sendall(b"x")
                    except OSError:
                        return
                    time.sleep(0.1)

        thread = threading.Thread(target=drip)
        thread.start()
        started = time.monotonic()
        with pytest.raises((Undelivered, Transient)):
            post(f"http://127.0.0.1:{listening.getsockname()[1]}/", patience_s=0.8)
        assert time.monotonic() - started < 3
        thread.join()


def test_another_host_never_gets_the_token() -> None:
    with served(Script(Answer(200))) as other:
        elsewhere = Answer(307, headers={"Location": f"{other.url}/stolen"})
        with served(Script(elsewhere)) as server:
            post(server)
    assert server.seen[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert [request.method for request in other.seen] == ["POST"]
    assert "Authorization" not in other.seen[0].headers


def test_redirects_in_circles_end() -> None:
    script = Script(Answer(302, headers={"Location": HOOK_PATH}))
    with served(script) as server, pytest.raises(Undelivered, match="circles"):
        post(server)


@pytest.mark.parametrize(
    "address", ["http://[bad", "http://a b/", "ftp://127.0.0.1/x", "https://", "http://exa\nmple/"]
)
def test_an_address_that_is_none_is_refused_without_being_quoted(address: str) -> None:
    with pytest.raises(Undelivered) as caught:
        post(address, patience_s=0.5)
    assert address not in str(caught.value)


def test_debug_logs_hold_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), served(Script(Answer(500), Answer(200))) as server:
        post(server)
    assert HOOK_PATH not in caplog.text
    assert TOKEN not in caplog.text


def test_secrets_have_no_text_of_their_own() -> None:
    with served(Script(Answer(200))) as server:
        secrets = Secrets(environ(server, server))
    assert TOKEN not in f"{secrets!r}{secrets}"
    assert (
        secrets.scrub(f"a {TOKEN} b {server.url}{HOOK_PATH} c {HOOK_PATH}") == "a *** b *** c ***"
    )
    assert Secrets({"GITHUB_TOKEN": "a"}).scrub("a cat") == "a cat"


def test_an_answer_in_chunks_is_read_whole() -> None:
    """As GitHub sends its long pages."""
    whole = b'[{"body": "' + b"x" * 200_000 + b'"}]'
    pieces = [whole[start : start + 7_001] for start in range(0, len(whole), 7_001)]
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                asked = b""
                while (
                    b'"text"' not in asked
                ):  # all of it: closing a socket with unread data resets the connection
                    asked += connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for piece in [*pieces, b""]:
                    connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        content, _ = post(f"http://127.0.0.1:{listening.getsockname()[1]}/")
        thread.join()
    assert len(content[0]["body"]) == 200_000
