"""Secrets: from the environment alone, and taken out of whatever is printed, raised or read from a
verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from harness.errors import BenchError

SECRETS = TOKEN, WEBHOOK = "GITHUB_TOKEN", "BENCH_SLACK_WEBHOOK"
HIDDEN = "***"
SHORTEST = 6  # characters: a shorter "secret" would blank out ordinary words
SHORTEST_PART = 16  # of a webhook's path: /services/ is no secret, what follows is


class Secrets:
    """The secrets of this process's environment. Never printed: it has no text of its own."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._values = {name: environ.get(name, "").strip() for name in SECRETS}
        found = {value for value in self._values.values() if len(value) >= SHORTEST}
        path = split_address(self._values[WEBHOOK])[2]
        if len(path) >= SHORTEST:  # the path alone lets anyone post
            found |= {path, *(part for part in path.split("/") if len(part) >= SHORTEST_PART)}
        found |= {quote(value, safe="") for value in found}
        self._patterns = sorted(
            (value for value in found if len(value) >= SHORTEST), key=len, reverse=True
        )

    def __repr__(self) -> str:
        return "Secrets(***)"

    def get(self, name: str) -> str:
        """The secret. Raises BenchError naming its variable if it is not set."""
        if not self._values[name]:
            raise BenchError(
                f"${name} is not set", fix=f"export {name}, for example from the CI's secrets"
            )
        return self._values[name]

    def scrub(self, text: str) -> str:
        """Text without any of the secrets."""
        for pattern in self._patterns:
            text = text.replace(pattern, HIDDEN)
        return text


def split_address(address: str) -> tuple[str, str, str]:
    """Scheme, host and path of an address; all empty if it is none."""
    try:
        parts = urlsplit(address)
        return parts.scheme, parts.hostname or "", parts.path
    except ValueError:
        return "", "", ""
