"""Backends, tasks and exporters by name: those built in, and those that installed packages bring.

A package names what it brings in a group of entry points
(https://packaging.python.org/specifications/entry-points): `training_backend_bench.backends`,
`training_backend_bench.tasks` or `training_backend_bench.exporters`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from harness.errors import BenchError


class Registry:
    """What goes by the names of one group: what is built in, and the entry points of packages.

    `built_in`: things by name, as `module:attribute` where they are to be imported only when asked
    for. `what`: how errors call one of them; it must be a subclass of `kind`, or an instance of it
    if `instance` is set. `in_stacks`: it is needed in the environments of stacks, where jobs run.
    """

    def __init__(
        self,
        group: str,
        what: str,
        built_in: Mapping[str, object],
        kind: type,
        *,
        instance: bool = False,
        in_stacks: bool = False,
    ) -> None:
        self.group, self.what, self.built_in, self.kind = group, what, built_in, kind
        self.instance, self.in_stacks = instance, in_stacks

    def names(self) -> list[str]:
        """Built-in names, then those of installed packages. Raises BenchError if two claim the same
        one.
        """
        return [*self.built_in, *self._installed]

    def load(self, name: str) -> Any:
        """What goes by this name. Raises BenchError if nothing does, two claim a name, or a package
        is unusable.
        """
        if name not in self.names():
            raise BenchError(
                f"no {self.what} is called {name!r}",
                fix=f"one of: {', '.join(self.names())}; or install the package that brings it"
                + (" (in the environment of its stack too)" if self.in_stacks else ""),
            )
        if name in self.built_in:
            known = self.built_in[name]
            if not isinstance(known, str):
                return known
            module, _, attribute = known.partition(":")
            return getattr(importlib.import_module(module), attribute)
        entry = self._installed[name]
        try:
            found = entry.load()
        except Exception as error:  # whatever a foreign module raises at import
            raise self._error(
                entry,
                f"cannot be imported: {type(error).__name__}: {error}",
                "repair or uninstall that package",
            ) from error
        fits = isinstance(found, self.kind if self.instance else type)
        if not fits or not (self.instance or issubclass(found, self.kind)):
            relation = "an instance" if self.instance else "a subclass"
            wanted = f"{relation} of {self.kind.__module__}.{self.kind.__name__}"
            raise self._error(
                entry, f"is not {wanted}", "correct its entry point, or uninstall that package"
            )
        return found

    @cached_property
    def _installed(self) -> dict[str, EntryPoint]:
        found: dict[str, EntryPoint] = {}
        for entry in entry_points(group=self.group):
            if entry.name in self.built_in:
                raise self._error(
                    entry,
                    "has the name of a built-in one",
                    "rename it there, or uninstall that package",
                )
            other = found.setdefault(entry.name, entry)
            if (other.value, _distribution(other)) != (entry.value, _distribution(entry)):
                raise self._error(
                    entry, f"is in {_distribution(other)} too", "uninstall one of the two packages"
                )
        return dict(sorted(found.items()))

    def _error(self, entry: EntryPoint, message: str, fix: str) -> BenchError:
        return BenchError(
            f"{self.what} {entry.name!r} of the package {_distribution(entry)} {message}",
            place=f"entry point {entry.name} = {entry.value} in {self.group}",
            fix=fix,
        )


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "without a name"
