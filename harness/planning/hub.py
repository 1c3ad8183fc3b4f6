"""The Hugging Face hub and its cache, by huggingface_hub; and which names are folders instead.

huggingface_hub is imported when it is needed, for it takes a third of a second.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.errors import BenchError

HUB_TIMEOUT_S = 10.0
# One of these files must be there for PyTorch to load the weights; an index names the others.
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# how a file begins that `git lfs` has not fetched
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
# Variables that name the cache, in the order in which transformers 4 heeds them; later versions
# know the fourth alone.
CACHE_VARIABLES = (
    "TRANSFORMERS_CACHE",
    "PYTORCH_TRANSFORMERS_CACHE",
    "PYTORCH_PRETRAINED_BERT_CACHE",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
)


def folder_of(name: str) -> Path | None:
    """The folder that a model's name or path means, `~` expanded; None: it is a name on the hub.

    A folder is what looks like a path (it begins with `/`, `./`, `../` or `~`, holds a backslash or
    more than one slash) or is there. The hub is never asked for a folder.

    Raises:
        BenchError: `~` stands for nobody's home.
    """
    looks_like_a_path = (
        name in (".", "..") or name.startswith(("/", "./", "../", "~")) or "\\" in name
    )
    if looks_like_a_path or name.count("/") > 1 or _is_folder(name):
        return expanded(Path(name))
    return None


def _is_folder(name: str) -> bool:
    try:
        return bool(name) and Path(name).is_dir()
    except (OSError, ValueError):  # longer than a name can be, or with a null character
        return False


def expanded(path: Path) -> Path:
    """The path with `~` expanded. Raises BenchError where it stands for nobody's home."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise BenchError(
            f"{path.parts[0]} is nobody's home", place=str(path), fix="the whole path"
        ) from None


def model_folder(name: str, place: str) -> Path | None:
    """`folder_of(name)`, with a model in it.

    Raises:
        BenchError: It is a path, and no model is there; or it cannot be a name at all.
    """
    folder = folder_of(name)
    if folder is None:
        _check_name(name, place)
        return None
    try:
        if not folder.is_dir():
            what = "is no folder" if folder.exists() else "is not there"
            raise BenchError(
                f"the folder {name} {what}", place=place, fix="the path of a folder with a model"
            )
        if not (folder / "config.json").is_file():
            raise BenchError(
                f"no config.json is in the folder {name}",
                place=place,
                fix="the folder of a whole model",
            )
    except OSError as error:
        raise BenchError(
            f"{name} cannot be read: {error.strerror}", place=place, fix="check the path"
        ) from None
    return folder


def tokenizer_folder(name: str, place: str) -> Path | None:
    """The folder of a tokenizer; None: it is a name on the hub.

    Raises:
        BenchError: It is a path, and no folder is there; or it cannot be a name at all.
    """
    folder = folder_of(name)
    if folder is None:
        _check_name(name, place)
    elif not folder.is_dir():
        raise BenchError(
            f"the folder {name} is not there", place=place, fix="the path of a folder that is"
        )
    return folder


def is_hub_name(name: str) -> bool:
    """Whether a model or a data set on the hub can have this name."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return name.isascii()  # which the hub demands and the check leaves out


def _check_name(name: str, place: str) -> None:
    """Raises BenchError for what is neither a folder nor can be a name on the hub."""
    if not is_hub_name(name):
        raise BenchError(
            f"{name!r} is no folder that is there, and no name that the hub could have",
            place=place,
            fix="OWNER/NAME of a model on the hub, or the path of a folder",
        )


def named_cache() -> tuple[str, Path] | None:
    """The variable that names the folder of cached models, and that folder; None: none does."""
    for name in CACHE_VARIABLES:
        if given := os.environ.get(name):
            return name, Path(os.path.expandvars(given)).expanduser()
    return None


def use_cache(folder: Path) -> None:
    """Keep models and data sets of the hub in this folder, in this process and its jobs."""
    for name in CACHE_VARIABLES:
        os.environ.pop(name, None)
    os.environ |= {"HF_HUB_CACHE": str(folder), "HF_DATASETS_CACHE": str(folder)}


def hub_cache() -> Path:
    """The folder in which models are cached, for the runner and every version of transformers."""
    from huggingface_hub import constants

    named = named_cache()
    if named is not None:
        return named[1]
    return Path(os.path.expandvars(constants.HF_HUB_CACHE)).expanduser()


def datasets_cache() -> Path:
    """The folder in which `datasets` keeps what it has prepared."""
    from huggingface_hub import constants

    return Path(
        os.environ.get("HF_DATASETS_CACHE") or Path(constants.HF_HOME) / "datasets"
    ).expanduser()


def cached_file(
    repo: str, name: str, cache: Path | None = None, revision: str | None = None
) -> Path | None:
    """A model's file in the cache, of a revision (None: main); None: it is not there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(
            repo, name, cache_dir=cache or hub_cache(), revision=revision
        )
    except HFValidationError:  # no name of a model at all
        return None
    return Path(found) if isinstance(found, str) else None


def local_config(name: str, revision: str | None = None) -> dict[str, object] | None:
    """A model's config.json from its folder or the cache; None: neither has it; nobody is asked.

    Raises:
        BenchError: It is there and is no configuration.
    """
    folder = folder_of(name)
    file = (
        folder / "config.json"
        if folder is not None
        else cached_file(name, "config.json", revision=revision)
    )
    try:
        if file is None or not file.is_file():
            return None
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchError(
            f"cannot be read: {error}", place=str(file), fix="a whole config.json"
        ) from None
    if not isinstance(config, dict):
        raise BenchError("is no object of JSON", place=str(file), fix="a whole config.json")
    return config


@dataclass(frozen=True)
class HubAnswer:
    """Whether the hub has something; `unclear` with the reason is neither yes nor no.

    `reached`: whether the hub was asked and answered, or did not have to be asked.
    """

    state: Literal["yes", "no", "unclear"]
    reason: str = ""
    reached: bool = True


class Hub:
    """What can be had of the hub from here: over the network, or from the local cache.

    Every question is asked once. After an answer that is neither yes nor no nothing more is asked.
    """

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        cache: Path | None = None,
        datasets: Path | None = None,
        offline: bool | None = None,
        timeout_s: float = HUB_TIMEOUT_S,
    ) -> None:
        """What is not given is as huggingface_hub reads it from the environment."""
        from huggingface_hub import constants

        self._endpoint = endpoint
        self._cache = cache or hub_cache()
        self._datasets = datasets or datasets_cache()
        self._offline = constants.HF_HUB_OFFLINE if offline is None else offline
        self._datasets_offline = self._offline or _true("HF_DATASETS_OFFLINE")
        self._timeout_s = timeout_s
        self._answers: dict[tuple[str, str, str | None], HubAnswer] = {}
        self.unclear: HubAnswer | None = None

    def has_cached_model(self, repo: str, revision: str | None = None) -> bool:
        """Whether configuration and weights of a model are whole in the cache."""
        if cached_file(repo, "config.json", self._cache, revision) is None:
            return False
        return any(self._whole(repo, name, revision) for name in WEIGHTS)

    def _whole(self, repo: str, name: str, revision: str | None) -> bool:
        found = cached_file(repo, name, self._cache, revision)
        if found is None or not name.endswith(".json"):
            return found is not None
        try:
            parts = set(json.loads(found.read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return False
        return bool(parts) and all(
            cached_file(repo, part, self._cache, revision) is not None for part in parts
        )

    def has_cached_dataset(self, repo: str, subset: str) -> bool:
        """Whether `datasets` has prepared a subset, and so can load it without the hub."""
        prepared = self._datasets / repo.replace("/", "___") / subset
        return any(prepared.glob("*/*/*.arrow"))

    def model(self, repo: str, revision: str | None = None) -> HubAnswer:
        """Whether the hub has a model, in this revision."""
        if self._offline:
            return HubAnswer("no", "HF_HUB_OFFLINE is set and the cache does not have it")
        return self._ask("model", repo, "config.json", revision)

    def dataset(self, repo: str, file: str = "README.md") -> HubAnswer:
        """Whether the hub has a data set, which it has if it has this file of it."""
        if self._datasets_offline:
            return HubAnswer(
                "no", "HF_HUB_OFFLINE or HF_DATASETS_OFFLINE is set and the cache does not have it"
            )
        return self._ask("dataset", repo, file)

    def _ask(self, kind: str, repo: str, file: str, revision: str | None = None) -> HubAnswer:
        if self.unclear is not None:
            return self.unclear
        asked = (kind, repo, revision)
        if asked not in self._answers:
            answer = _in_time(lambda: self._answer(kind, repo, file, revision), self._timeout_s)
            self._answers[asked] = answer
            if answer.state == "unclear":
                self.unclear = answer
        return self._answers[asked]

    def _answer(self, kind: str, repo: str, file: str, revision: str | None) -> HubAnswer:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import GatedRepoError

        try:
            if HfApi(endpoint=self._endpoint).file_exists(
                repo, file, repo_type=kind, revision=revision
            ):
                return HubAnswer("yes")
            return HubAnswer("no", "the hub does not have it, or not for you")
        except GatedRepoError:
            return HubAnswer(
                "no", "the hub gives it only to those who asked for access: log in, or set HF_TOKEN"
            )
        except Exception as error:  # the client raises dozens of kinds
            status = getattr(getattr(error, "response", None), "status_code", None)
            if status is not None:
                return HubAnswer("unclear", f"status {status}")
            return HubAnswer("unclear", _cause(error), reached=False)


def _cause(error: BaseException) -> str:
    """What an error of the network comes from, in few words: the innermost exception tells it."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    if isinstance(error, socket.gaierror):
        return "name resolution failed"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    said = " ".join(str(getattr(error, "strerror", None) or error).split())[:100]
    return said[:1].lower() + said[1:] if said else type(error).__name__


def _in_time(ask: Callable[[], HubAnswer], timeout_s: float) -> HubAnswer:
    """The answer; unclear when none comes in time: no time-out covers a silent name server."""
    answers: list[HubAnswer] = []
    thread = threading.Thread(target=lambda: answers.append(ask()), daemon=True)
    thread.start()
    thread.join(timeout_s)
    return (
        answers[0]
        if answers
        else HubAnswer("unclear", f"no answer within {timeout_s:g} s", reached=False)
    )


def _true(name: str) -> bool:
    return os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"}
