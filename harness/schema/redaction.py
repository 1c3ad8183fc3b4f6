"""What is taken out of a record before it is written: secrets, and the paths of this machine.

The type of a field says what it holds. `FREE_TEXT` marks prose that a program or a user wrote
(errors, extracts of logs, commands, values of environment variables): secrets and the prefixes of
paths that are known to be private are replaced there. `HOST_PATH` marks the name of a file or
folder. A plain `str` is a name, a label or a unit, and is recorded as it is: a name that a user
gave is never changed, whatever it looks like.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import pwd
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import BaseModel

from harness.paths import CHECKOUT, cache_root
from harness.schema.variables import is_secret

Kept = TypeVar("Kept", bound=BaseModel)

FREE_TEXT, HOST_PATH, WORDS = "free text", "path of the host", "words of a command"
FreeText = Annotated[str, FREE_TEXT]
CommandText = Annotated[str, FREE_TEXT, WORDS]  # arguments and values of variables

SECRET, ELSEWHERE = "<secret>", "<path>"
CACHES = (
    "XDG_CACHE_HOME",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_DATASETS_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "TRANSFORMERS_CACHE",
)
# Folders of every Linux host: they tell nothing of this one, and which library was loaded from
# there is worth knowing.
SYSTEM = (
    "/usr",
    "/opt",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/sbin",
    "/etc",
    "/dev",
    "/proc",
    "/sys",
)
NAMING = (
    "name",
    "run",
    "suite",
    "workload",
    "model",
    "task",
    "arm",
    "baseline",
    "candidate",
    "group",
    "path",
)

# Keys of a workload that hold paths.
PATHS = ("path", "tokenizer_path", "config_path", "folder", "train_file", "validation_file")

# Tokens that say by their form what they are. Each is longer, and made of fewer kinds of
# characters, than a name is.
TOKENS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\b(?:hf_|api_org_)[A-Za-z0-9]{30,}\b"
    r"|\bgh[a-z]_[A-Za-z0-9]{30,}\b"
    r"|\bgithub_pat_[A-Za-z0-9_]{30,}\b"
    r"|\bglpat-[A-Za-z0-9_-]{20,}"
    r"|\bsk-(?=[A-Za-z0-9_-]*\d)(?=[A-Za-z0-9_-]*[A-Z])[A-Za-z0-9_-]{20,}"
    r"|\bxox[a-z]-(?=[A-Za-z-]*\d)[A-Za-z0-9-]{12,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\bAIza[A-Za-z0-9_-]{35}"
    r"|\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*)?"
)
WEBHOOK_PATH = re.compile(r"(?<=://hooks\.slack\.com/)[^\s'\"<>]+")
URL_USER = re.compile(r"(?<=://)[^/@\s]+@")
# `password=…`, `Authorization: Bearer …`; not `pad_token=…`, which is a word of a tokenizer.
NAMED = re.compile(
    r"""(?ix) \b(?P<name> (?:[\w-]*[_-])?
    (?:token|secret|passw(?:or)?d|passphrase|credentials?|authorization|cookie
    |(?:api|access|private|secret)[_-]?key) )
    (?P<between> ["']? \s* [=:] \s* ["']? (?:(?:bearer|basic|token)\s+)? )
    (?P<value> [^\s"',;(){}\[\]<>|&]{6,} )"""
)
SPECIAL_TOKEN = re.compile(
    r"(?i)(?:^|[_-])(?:pad|bos|eos|unk|cls|sep|mask|start|end|stop|special|added)[_-]token$"
)
WORD = re.compile(r"(?<![\w+=-])[A-Za-z0-9_+=-]{24,}(?![\w+=-])")
SYLLABLES = re.compile(r"[A-Z]?[a-z]{3,}")
LEAST_ENTROPY_BITS, LEAST_CHANGES, MOST_SYLLABLES, MOST_SEPARATORS = 3.6, 0.4, 0.4, 0.1


class Redactor:
    """Takes secrets and private paths out of texts.

    Args:
        places: absolute folders and what stands in for each; deeper ones go before those above
            them.
        secrets: values that are secret, whatever they look like.
        names: what users called things; no part of one is a secret.
    """

    def __init__(
        self, places: Mapping[str, str], secrets: Iterable[str] = (), names: Iterable[str] = ()
    ) -> None:
        self._places = {
            _plain(place): label for place, label in places.items() if _is_private(place)
        }
        self._secrets = sorted(set(secrets), key=len, reverse=True)
        self._names = tuple(names)
        among = "|".join(re.escape(place) for place in sorted(self._places, key=len, reverse=True))
        # An absolute path begins where a word, a path or an address does not go on: after a blank,
        # a quote, `=`, `:`, `file://` or a compiler's -I. It ends before a character that would
        # make it the name of another folder.
        begin, end = r"(?:(?<=file://)|(?<=\s-[IL])|(?<![\w.~<>/\\-]))", r"(?![\w-]|\.\w)"
        self._known = re.compile(f"{begin}(?:{among}){end}") if among else None

    def text(self, text: str) -> str:
        """Free text without secrets and without the known prefixes of paths."""
        text = self._without_tokens(printable(text))
        text = NAMED.sub(self._named, text)
        text = WORD.sub(
            lambda word: self._unless_name(word[0]) if looks_random(word[0]) else word[0], text
        )
        return self._known.sub(lambda place: self._places[place[0]], text) if self._known else text

    def path(self, path: str) -> str:
        """The name of a file or folder: below a known place by that, elsewhere by its last part
        alone.

        A relative path, a hub id and a path of every Linux host stay as they are.
        """
        path = URL_USER.sub("***@", printable(path))
        if not path.startswith("/") or path.startswith("//"):
            return path
        if self._known and (known := self._known.match(path)):
            return self._places[known[0]] + path[known.end() :]
        parts = [part for part in path.split("/") if part]
        if len(parts) < 2 or f"/{parts[0]}" in SYSTEM:
            return path
        return f"{ELSEWHERE}/{parts[-1]}"

    def words(self, text: str) -> str:
        """One argument of a command, or the value of a variable: its parts may be paths."""
        text = printable(text)
        parts = re.split(r"""([=:,;\s'"(){}\[\]])""", text)
        return self.text("".join(self.path(part) for part in parts))

    def value(self, value: str) -> str:
        """A setting that only its owner understands: a path if it begins like one."""
        return self.path(value) if value.startswith("/") else self._without_tokens(printable(value))

    def _without_tokens(self, text: str) -> str:
        text = WEBHOOK_PATH.sub(SECRET, URL_USER.sub("***@", text))
        for secret in self._secrets:
            if secret in text and not any(secret in name for name in self._names):
                text = text.replace(secret, SECRET)
        return TOKENS.sub(lambda token: self._unless_name(token[0]), text)

    def _named(self, found: re.Match[str]) -> str:
        value = found["value"]
        is_value = len(value) >= 20 or (re.search(r"\d", value) and re.search(r"[^\W\d]", value))
        if not is_value or SPECIAL_TOKEN.search(found["name"]) or self._unless_name(value) == value:
            return found[0]
        return f"{found['name']}{found['between']}{SECRET}"

    def _unless_name(self, word: str) -> str:
        return word if any(word in name for name in self._names) else SECRET


def printable(text: str) -> str:
    """The text as UTF-8 can hold it: the name of a file may be any bytes, and a record may not."""
    return (
        text
        if text.isascii()
        else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    )


def looks_random(word: str) -> bool:
    """Whether a word of 24 characters and more was drawn at random.

    By the entropy of its characters, by how often small letters, capitals and digits take turns,
    and by how little of it could be read aloud: nine of ten drawn tokens are found, and no name in
    transformers (SpeechT5HifiGanConfig) is taken for one. Hexadecimal digests are none: they name
    commits, data and weights.
    """
    kinds = [
        "a" if c.islower() else "A" if c.isupper() else "0" if c.isdigit() else "" for c in word
    ]
    if not {"a", "A", "0"} <= set(kinds) or kinds.count("") > MOST_SEPARATORS * len(word):
        return False
    plain = [kind for kind in kinds if kind]
    changes = sum(one != other for one, other in itertools.pairwise(plain)) / (len(plain) - 1)
    syllables = sum(map(len, SYLLABLES.findall(word))) / len(word)
    shares = [count / len(word) for count in Counter(word).values()]
    entropy = -sum(share * math.log2(share) for share in shares)
    return (
        changes >= LEAST_CHANGES and syllables <= MOST_SYLLABLES and entropy >= LEAST_ENTROPY_BITS
    )


def redactor(
    more: Mapping[str, str] | None = None,
    *,
    names: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Redactor:
    """The redactor of this host, as far as this process knows it.

    Args:
        more: further places with their labels.
        names: see Redactor.
        environment: the variables that name folders and hold secrets; None: of this process.
    """
    environment = os.environ if environment is None else environment
    places: dict[str, str] = dict(more or {})
    for place, label in _places_of_this_host(environment):
        places.setdefault(_plain(place), label)
    for place, label in list(places.items()):  # programs report a path with its links followed, too
        places.setdefault(os.path.realpath(place), label)
    return Redactor(places, _secrets_of(environment), names)


def redact(record: Kept, more: Mapping[str, str] | None = None) -> Kept:
    """The record without secrets and private paths; names, labels and units stay as they are.

    Args:
        record: of a job or of a run.
        more: folders whose names stay out besides those that every process knows, with labels.
    """
    content = record.model_dump()
    # An address is no name: it may hold a password.
    names = [name for name in _strings(content, NAMING) if "://" not in name]
    by = redactor(more, names=names)
    paths = [path for path in _strings(content, PATHS) if by.path(path).startswith(f"{ELSEWHERE}/")]
    if paths:  # an error that quotes one of them quotes the whole of it
        by = redactor(
            {**(more or {}), **{str(Path(path).parent): ELSEWHERE for path in paths}}, names=names
        )
    return _model(record, by)


def _model(model: Kept, by: Redactor) -> Kept:
    changes = {}
    for name, field in type(model).model_fields.items():
        before = getattr(model, name)
        after = _value(before, field.annotation, tuple(field.metadata), by)
        if after is not before:
            changes[name] = after
    # Not validated: what stands in for a path or a secret need not be what the field is for.
    return model.model_copy(update=changes) if changes else model


def _value(value: Any, annotation: Any, marks: tuple[Any, ...], by: Redactor) -> Any:
    kinds = list(_alternatives(annotation))
    marks += tuple(
        mark for kind in kinds if get_origin(kind) is Annotated for mark in kind.__metadata__
    )
    if isinstance(value, BaseModel):
        return _model(value, by)
    if isinstance(value, dict | list | tuple):
        inner = next(
            (get_args(kind) for kind in kinds if get_origin(kind) in (dict, list, tuple)), ()
        )
        of: Any = inner[-1] if inner else Any
        if isinstance(value, dict):
            return {key: _value(item, of, marks, by) for key, item in value.items()}
        return type(value)(_value(item, of, marks, by) for item in value)
    if isinstance(value, Path):
        return Path(by.path(str(value))) if HOST_PATH in marks else value
    if type(value) is not str:  # an enum's value is no free text
        return value
    if FREE_TEXT in marks:
        return by.words(value) if WORDS in marks else by.text(value)
    if HOST_PATH in marks:
        return by.path(value)
    return by.value(value) if Any in kinds or (str in kinds and int in kinds) else value


def _alternatives(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) in (Union, UnionType):
        for kind in get_args(annotation):
            yield from _alternatives(kind)
    else:
        yield annotation


def _strings(content: Any, keys: tuple[str, ...]) -> list[str]:
    """Every text below one of `keys`, at any depth; for names also the keys that give them."""
    found: list[str] = []
    if isinstance(content, dict):
        for key, value in content.items():
            if key in keys:
                found += [
                    str(item)
                    for item in (value if isinstance(value, list) else [value])
                    if _is_text(item)
                ]
            if key in ("models", "tasks", "arms") and isinstance(value, dict) and "name" in keys:
                found += map(str, value)
            found += _strings(value, keys)
    elif isinstance(content, list):
        for item in content:
            found += _strings(item, keys)
    return found


def _is_text(value: Any) -> bool:
    return isinstance(value, str | Path) and bool(str(value))


def _plain(place: str) -> str:
    return place.rstrip("/") or "/"


def _is_private(place: str) -> bool:
    """Whether a folder is worth hiding: not the root, and no folder of every Linux host."""
    return place.startswith("/") and _plain(place) not in (
        "/",
        "/usr/local",
        "/var",
        "/home",
        "/mnt",
        *SYSTEM,
    )


def _places_of_this_host(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield str(CHECKOUT), "<checkout>"
    yield environment.get("HOME", ""), "~"
    with contextlib.suppress(KeyError):  # a container may run as a user without an entry
        yield pwd.getpwuid(os.getuid()).pw_dir, "~"
    yield str(cache_root()), "<cache>"
    for name in CACHES:
        yield environment.get(name, ""), "<cache>"
    for place in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        yield place, "<tmp>"
    for place in (sys.prefix, sys.base_prefix):
        yield place, "<python>"
    with contextlib.suppress(OSError):  # the folder was removed under us
        yield str(Path.cwd()), "<cwd>"


def _secrets_of(environment: Mapping[str, str]) -> Iterator[str]:
    """Values of variables that hold secrets by their names; no short and no plain words."""
    for name, raw in environment.items():
        value = raw.strip()
        if (
            not is_secret(name)
            or len(value) < 8
            or value[0] in "/~"
            or (len(value) < 16 and value.isalpha())
        ):
            continue
        yield value
        path = urlsplit(value).path if "://" in value else ""
        yield from (part for part in (path, *path.split("/")) if len(part) >= 16)
