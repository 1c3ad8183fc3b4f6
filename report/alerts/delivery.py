"""One request over HTTP, and a step tried again within bounds.

What is tried again is the whole step of a channel, lookups included, never one request of it: after
a time-out nobody knows whether a POST was carried out, so the channel has to look before it creates
again. urllib3's own Retry is therefore switched off but for redirects: it repeats single requests,
and no POST after a time-out; it knows no limit for all attempts together; and its error quotes the
path of the address, which is the secret of a webhook.
"""

from __future__ import annotations

import json
import logging
import random
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from report.alerts.escape import one_line
from report.alerts.secrets import Secrets, split_address

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

T = TypeVar("T")
# What urllib.request.getproxies reads, in capitals too.
PROXIES = tuple(
    name
    for scheme in ("http", "https", "all", "no")
    for name in (f"{scheme}_proxy", f"{scheme}_PROXY".upper())
)
REQUEST_S = 10.0  # for connecting, and between two pieces of an answer
MOST_BYTES = 64 << 20
PIECE_BYTES = 1 << 16
BACKOFF_S, LONGEST_BACKOFF_S = 1.0, 30.0
TRANSIENT = (408, 425, 500, 502, 503, 504)
RATE_LIMITED = (403, 429)


class Undelivered(Exception):
    """It was not delivered, and trying now again is of no use. The text holds no secret.

    `refused`: by the receiver (4xx), so that another message may well be accepted."""

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


class Transient(Exception):
    """It may succeed if tried again, `wait_s` seconds from now at the earliest where the receiver
    said so.
    """

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


@dataclass
class Patience:
    """How long a channel may take, all its attempts together."""

    seconds: float
    backoff_s: float = BACKOFF_S
    _end: float = field(init=False)

    def __post_init__(self) -> None:
        self._end = time.monotonic() + self.seconds

    def left(self) -> float:
        """Seconds; below 0 when the time is over."""
        return self._end - time.monotonic()

    def run(self, step: Callable[[], T]) -> T:
        """Do a step, and again after each Transient failure.

        Args:
            step: What is done; it must be safe to repeat.

        Returns:
            What the step returns.

        Raises:
            Undelivered: The step raises it, or the next attempt would begin too late. Before it
                lies the time that the receiver asked for (Retry-After), else a time that doubles
                with every attempt.
        """
        attempt = 0
        while True:
            try:
                return step()
            except Transient as failure:
                attempt += 1
                # At least half of it, so that many clients part; all of it where the receiver names
                # a time.
                backoff = min(
                    LONGEST_BACKOFF_S, self.backoff_s * 2 ** (attempt - 1)
                ) * random.uniform(0.5, 1.0)
                wait = (
                    backoff if failure.wait_s is None else failure.wait_s + random.uniform(0, 0.1)
                )
                tried = f"{attempt} attempt{'s' if attempt > 1 else ''}"
                if failure.wait_s is not None and wait >= self.left():
                    raise Undelivered(
                        f"{failure}; asked to wait {failure.wait_s:.0f} s ({tried})"
                    ) from None
                if wait >= self.left():
                    raise Undelivered(f"{failure} ({tried})") from None
                time.sleep(wait)


class Http:
    """Requests with a time limit. No text that leaves it holds a secret or an address's path."""

    def __init__(self, secrets: Secrets, patience: Patience, request_s: float = REQUEST_S) -> None:
        self._scrub, self._patience, self._request_s = secrets.scrub, patience, request_s
        # At its debug level urllib3 logs the path of every request, which is the secret of a
        # webhook.
        logging.getLogger("urllib3").setLevel(logging.ERROR)

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, content: Any = None
    ) -> tuple[Any, Mapping[str, str]]:
        """The answer's JSON (None where it is none) and headers; `content` is sent as JSON.

        Raises Transient (no connection, time-out, 5xx, rate limit) or Undelivered (any other
        refusal).
        """
        import urllib3

        limit = max(0.1, min(self._request_s, self._patience.left()))
        body = None if content is None else json.dumps(content).encode()
        sent = {
            "User-Agent": "training-backend-bench",
            "Content-Type": "application/json",
            **(headers or {}),
        }
        where = split_address(url)[1] or "?"
        try:
            response = _pool(url).request(
                method, url, body=body, headers=sent, timeout=limit, preload_content=False,
                # A repository that moved answers 301 and keeps the method; another host never sees
                # Authorization.
                retries=urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=3),
            )  # fmt: skip
            data = self._read(response, where)
        except urllib3.exceptions.HTTPError as error:
            raise self._failure(error, where) from None  # its text and context hold the address
        except (ValueError, UnicodeError):
            raise Undelivered(f"{where}: not a request that can be sent") from None
        return self._answer(response, data, where)

    def _read(self, response: BaseHTTPResponse, where: str) -> bytes:
        """The body, within the channel's time and a size that no answer has."""
        data = bytearray()
        # read1 returns what is there, and does not wait until the buffer is full.
        while piece := response.read1(PIECE_BYTES):
            data += piece
            if len(data) > MOST_BYTES or self._patience.left() < 0:
                response.close()
                raise Transient(f"{where}: no answer in time")
        response.release_conn()
        return bytes(data)

    def _failure(self, error: Exception, where: str) -> Exception:
        import urllib3

        reason = getattr(error, "reason", None) or error
        if isinstance(reason, urllib3.exceptions.SSLError):
            return Undelivered(
                f"{where}: its certificate is not accepted, or it does not speak TLS"
            )
        if isinstance(reason, urllib3.exceptions.LocationValueError):
            return Undelivered("not an address that requests can be sent to")
        if isinstance(reason, urllib3.exceptions.ResponseError):
            return Undelivered(f"{where}: redirects in circles")
        if isinstance(reason, urllib3.exceptions.NewConnectionError):
            return Transient(f"{where}: cannot be reached (refused, or unknown name)")
        if isinstance(reason, urllib3.exceptions.TimeoutError):
            return Transient(f"{where}: no answer in time")
        return Transient(f"{where}: the connection broke ({type(reason).__name__})")

    def _answer(
        self, response: BaseHTTPResponse, data: bytes, where: str
    ) -> tuple[Any, Mapping[str, str]]:
        try:
            content = json.loads(data)
        except ValueError:
            content = None
        status = response.status
        if 200 <= status < 300:
            return content, response.headers
        said = (
            content.get("message")
            if isinstance(content, dict)
            else data[:200].decode("utf-8", "replace")
        )
        text = one_line(self._scrub(f"{where}: {status} {response.reason or ''} {said or ''}"), 300)
        wait = _wait(response.headers)
        if status in TRANSIENT or status == 429 or (status in RATE_LIMITED and wait is not None):
            raise Transient(text, wait)
        raise Undelivered(text, refused=400 <= status < 500 and status not in (401, 403, 404, 407))


def _wait(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by Retry-After (seconds or a date) or by GitHub's rate limit; None where
    neither says so.
    """
    import urllib3

    if "Retry-After" in headers:
        try:
            return urllib3.Retry().parse_retry_after(headers["Retry-After"])
        except urllib3.exceptions.InvalidHeader:
            return None
    reset = headers.get("X-RateLimit-Reset", "")
    if headers.get("X-RateLimit-Remaining") == "0" and reset.isdecimal():
        return max(0.0, int(reset) - time.time())
    return None


def _pool(url: str) -> Any:
    """A pool of connections, through the proxy that the environment names for this host."""
    import urllib3

    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and parts.hostname and not urllib.request.proxy_bypass(parts.hostname):
        return urllib3.ProxyManager(proxy)
    return urllib3.PoolManager()
