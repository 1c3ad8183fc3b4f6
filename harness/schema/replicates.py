"""What a replicate is called: by its number in its group of arms, as a reader counts.

A record holds one number for each replicate of a workload. Where the arms of a workload take turns
in several groups, the numbers of each group begin at a multiple of the planned replicates, for an
arm that is in several groups is measured in each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Of arms that a text names one by one; more would hide what it says.
MOST_NAMED = 4


@dataclass(frozen=True)
class ReplicateNames:
    """What the replicates of one workload are called.

    Attributes:
        planned: Replicates that are planned of each group, or at most; None: not known, and all
            are of one group.
        groups: Of each group the recorded number of its first replicate over `planned`, in the
            order in which the groups took turns.
    """

    planned: int | None = None
    groups: tuple[int, ...] = (0,)

    @classmethod
    def of_numbers(cls, planned: int | None, replicates: Iterable[int]) -> ReplicateNames:
        """The names of the replicates that have these recorded numbers.

        Args:
            planned: As of the class.
            replicates: The recorded numbers, 0-based.
        """
        if not planned:
            return cls()
        return cls(planned, tuple(sorted({number // planned for number in replicates})) or (0,))

    @property
    def several(self) -> bool:
        """Whether there are several groups, so that a number alone does not name a replicate."""
        return len(self.groups) > 1

    def number(self, replicate: int) -> int:
        """The number of a replicate within its group, from 1.

        Args:
            replicate: Its number in the record, 0-based.
        """
        return (replicate % self.planned if self.planned else replicate) + 1

    def group(self, replicate: int) -> int | None:
        """The number of its group, from 1; None where all replicates are of one."""
        if not self.planned or not self.several:
            return None
        place = replicate // self.planned
        return sum(other < place for other in self.groups) + 1

    def short(self, replicate: int) -> str:
        """What one replicate is called where a heading says "replicate": "4", "4 of group 2"."""
        return self.name(replicate).removeprefix("replicate ")

    def name(self, replicate: int) -> str:
        """What one replicate is called: "replicate 4", or "replicate 4 of group 2"."""
        return self.named([replicate])

    def named(self, replicates: Iterable[int]) -> str:
        """What several replicates are called: "replicates 3 and 4 of group 2"."""
        by_group: dict[int | None, list[int]] = {}
        for replicate in sorted(set(replicates)):
            by_group.setdefault(self.group(replicate), []).append(self.number(replicate))
        return " and ".join(
            f"replicate{'s' * (len(numbers) > 1)} {_listed([str(each) for each in numbers])}"
            + ("" if group is None else f" of group {group}")
            for group, numbers in by_group.items()
        )

    def named_with_arms(self, replicate: int, arms: Sequence[str]) -> str:
        """What one replicate of a group is called, with the arms of the group: "replicate 4 of
        pytorch and onnxruntime", or "replicate 4 of group 2 (pytorch, latest)".
        """
        group = self.group(replicate)
        if group is None:
            return f"{self.name(replicate)} of {' and '.join(arms)}"
        return f"replicate {self.number(replicate)} of {group_name(group, arms)}"


ONE_GROUP = ReplicateNames()  # of a workload whose replicates are all of one group


def group_name(number: int, arms: Sequence[str]) -> str:
    """What a group of arms is called: "group 2 (pytorch, latest)"; by its number and how many arms
    it has where these are more than MOST_NAMED.
    """
    short = ", ".join(arms) if len(arms) <= MOST_NAMED else f"{len(arms)} arms"
    return f"group {number} ({short})"


def planned_replicates(config: Mapping[str, Any]) -> int | None:
    """The replicates that a resolved suite plans of each group, or at most; None where it does not
    say.

    Args:
        config: `config` of a run's record.
    """
    settings = config.get("measurement")
    if not isinstance(settings, Mapping):
        return None
    adaptive = settings.get("adaptive")
    most = (
        adaptive.get("max_replicates")
        if isinstance(adaptive, Mapping)
        else settings.get("replicates")
    )
    return most if isinstance(most, int) and most > 0 else None


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
