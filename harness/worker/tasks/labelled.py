"""Which columns of a user's own samples are text and which is the label, by the rules of Hugging
Face's run_glue.py, and what makes samples unusable.

- The label is the column `label`. Numbers with a fraction mean a regression; everything else is a
  class, and the classes are the sorted values of the training samples.
- The text is in `sentence1` and `sentence2` where both are there, else in the first two columns
  besides the label, else in the only one.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from harness.errors import BenchError, is_text
from harness.schema.input_errors import Unfit
from harness.schema.workload import Strict
from harness.worker.tasks.data_files import MISSING_WORDS, LocatedSamples
from harness.worker.tasks.sources import Split

MOST_TOLD = 5  # further lines, columns or classes that a message names
NAME_THEM = (
    "name the columns: `--text-column-name` and `--label-column-name`, or in a suite `options: "
    "{text_column: …, text_pair_column: …, label_column: …}`"
)
NAMED = "as named"  # how columns were found that the user names
TRUTH = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}


class Columns(Strict):
    """The columns of a task's own data; what is not named is found by the original script's
    rule.
    """

    text_column: str | None = Field(None, description="column of the text, or of the first of two")
    text_pair_column: str | None = Field(None, description="column of the second text of a pair")
    label_column: str = Field("label", description="column of the class, or of the number")

    @model_validator(mode="after")
    def _are_different(self) -> Columns:
        if self.text_pair_column is not None and self.text_column is None:
            raise Unfit("`text_pair_column` goes with `text_column`", "`text_column` too")
        given = [self.label_column, self.text_column, self.text_pair_column]
        named = [name for name in given if name is not None]
        if len(set(named)) < len(named):
            raise Unfit(
                "one column is named twice: the text, its pair and the label are in a column each",
                "another column for each",
            )
        return self


@dataclass(frozen=True)
class Labelled:
    """Training and validation samples, checked.

    Attributes:
        splits: Texts and labels by split; the label of a class is its index in `classes`.
        classes: In the order of their indices; None: the labels are numbers (regression).
        texts: The columns of text.
        label: The column of the label.
        how: How the columns of text were found.
        mixed: What to say of labels of CSV that are numbers in some lines and text in others, all
            of which are classes; empty: they are not.
    """

    splits: Mapping[str, Split]
    classes: tuple[Any, ...] | None
    texts: tuple[str, ...]
    label: str
    how: str
    mixed: str = ""

    @property
    def told(self) -> str:
        """What was taken for what, for the reader of a run."""
        columns = " and ".join(map(repr, self.texts))
        if self.classes is None:
            label = f"numbers (regression) in {self.label!r}"
        else:
            names = _listed([str(name) for name in self.classes])
            label = f"{len(self.classes)} classes in {self.label!r}: {names}"
        sizes = ", ".join(f"{len(s.labels)} {name} samples" for name, s in self.splits.items())
        mixed = f"; {self.mixed}" if self.mixed else ""
        return f"text in {columns} ({self.how}); {label}; {sizes}{mixed}"


def labelled(tables: Mapping[str, LocatedSamples], options: Columns) -> Labelled:
    """The samples of the tables `train` and `validation`.

    Args:
        tables: The samples by split, `train` and `validation`.
        options: The columns that the user names.

    Raises:
        BenchError: The first thing that makes the samples unusable, with file, line and what to do.
    """
    train = tables["train"]
    label = _label_column(train, options)
    texts, how = _text_columns(train, options, label)
    for table in tables.values():
        _check_same_columns(train, table)
    for table in tables.values():
        for column in texts:
            _check_text(table, column, how)
    values = {split: _labels(table, label) for split, table in tables.items()}
    if not train.typed:
        values = _typed(values)
    for split, table in tables.items():
        _check_kind(table, label, values[split], train, values["train"])
    classes: tuple[Any, ...] | None = None
    mixed = ""
    if _is_regression(values["train"]):
        labels = {name: [float(value) for value in found] for name, found in values.items()}
        for split, table in tables.items():
            _refuse(
                table,
                [
                    (i, f"the label {value} is not finite")
                    for i, value in enumerate(labels[split])
                    if not math.isfinite(value)
                ],
                "a finite number",
            )
    else:
        classes, labels = _classes(tables, label, values)
        mixed = "" if train.typed else _mixed(train, label, values["train"], classes)
    splits = {
        split: Split(tuple(list(table.columns[name]) for name in texts), labels[split])
        for split, table in tables.items()
    }
    return Labelled(splits, classes, texts, label, how, mixed)


def _label_column(table: LocatedSamples, options: Columns) -> str:
    label = options.label_column
    if label not in table.columns:
        raise BenchError(
            f"no column {label!r} of labels; there are: {_names(table)}",
            place=table.head,
            fix=_meant(label, table, "label") or NAME_THEM,
        )
    return label


def _text_columns(
    table: LocatedSamples, options: Columns, label: str
) -> tuple[tuple[str, ...], str]:
    """The columns of text, and how they were found."""
    named = [name for name in (options.text_column, options.text_pair_column) if name is not None]
    for name in named:
        if name not in table.columns:
            raise BenchError(
                f"no column {name!r} of text; there are: {_names(table)}",
                place=table.head,
                fix=_meant(name, table, "text") or NAME_THEM,
            )
    if named:
        return tuple(named), NAMED
    others = [name for name in table.columns if name != label]
    if not others:
        raise BenchError(
            f"no column of text beside the label {label!r}",
            place=table.head,
            fix="a column of text, such as 'sentence'",
        )
    if "sentence1" in others and "sentence2" in others:
        return ("sentence1", "sentence2"), "by their names"
    if len(others) == 1:
        return (others[0],), "the only column beside the label"
    unused = f"; not used: {_listed([repr(name) for name in others[2:]])}" if others[2:] else ""
    return tuple(others[:2]), f"the first two columns beside the label{unused}"


def _meant(name: str, table: LocatedSamples, what: str) -> str:
    """The advice where a column has nearly the name that is not there."""
    lower = {each.lower(): each for each in table.columns}
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.8)
    if not close:
        return ""
    return (
        f"if {lower[close[0]]!r} is meant: `--{what}-column-name {lower[close[0]]}`, or in a suite "
        f"`options: {{{what}_column: {lower[close[0]]}}}`"
    )


def _check_same_columns(train: LocatedSamples, other: LocatedSamples) -> None:
    missing = [name for name in train.columns if name not in other.columns]
    further = [name for name in other.columns if name not in train.columns]
    said = [
        f"{what} {_listed([repr(name) for name in names])}"
        for what, names in (("has no column", missing), ("has a further column", further))
        if names
    ]
    if said:
        raise BenchError(
            f"{' and '.join(said)}, unlike {train.name}",
            place=other.head,
            fix="the same columns in both files",
        )


def _check_text(table: LocatedSamples, column: str, how: str) -> None:
    values = table.columns[column]
    missing = f"the text in {column!r} is missing{'' if table.typed else ' or empty'}"
    _refuse(
        table,
        [(i, missing) for i, value in enumerate(values) if value is None],
        "a text there, or remove the sample",
    )
    _refuse(
        table,
        [
            (i, f"{column!r} holds {_shown(value)}, which is no text ({how})")
            for i, value in enumerate(values)
            if not isinstance(value, str)
        ],
        f"text there; or {NAME_THEM}",
    )
    if not table.typed and how != NAMED and _numbers(values) is not None:
        raise BenchError(
            f"{column!r} ({how}) holds numbers alone, such as {values[0]}, and no text",
            place=table.place(0),
            fix=NAME_THEM,
        )
    empty = f"the text in {column!r} is empty"
    _refuse(
        table,
        [(i, empty) for i, value in enumerate(values) if not value.strip()],
        "a text there, or remove the sample",
    )
    half = f"the text in {column!r} holds half of a surrogate pair, which is no character"
    _refuse(
        table,
        [(i, half) for i, value in enumerate(values) if not is_text(value)],
        "text that can be written in UTF-8",
    )


def _labels(table: LocatedSamples, column: str) -> list[Any]:
    """The labels, none of which is missing."""
    values = table.columns[column]
    said = f"the label in {column!r} is"
    _refuse(
        table,
        [
            (i, f"{said} missing" + (f" ({value!r} means so)" if isinstance(value, str) else ""))
            for i, value in enumerate(values)
            if _is_missing(value, table.typed)
        ],
        "a label there, or remove the sample",
    )
    _refuse(
        table,
        [
            (i, f"{said} neither number nor text but {_shown(value)}")
            for i, value in enumerate(values)
            if not isinstance(value, bool | int | float | str)
        ],
        "a number or a text",
    )
    _refuse(
        table,
        [
            (i, f"{said} empty")
            for i, value in enumerate(values)
            if isinstance(value, str) and not value.strip()
        ],
        "a label there, or remove the sample",
    )
    return list(values)


def _is_missing(value: Any, typed: bool) -> bool:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return not typed and value in MISSING_WORDS


def _typed(values: Mapping[str, list[str]]) -> dict[str, list[Any]]:
    """Labels of CSV, which has no types, as what pandas takes those of the training samples for."""
    train = values["train"]
    if set(train) <= TRUTH.keys():
        return {split: [TRUTH.get(v, v) for v in found] for split, found in values.items()}
    if _numbers(train) is None:
        return {split: list(found) for split, found in values.items()}
    return {split: _as_numbers(found) for split, found in values.items()}


def _as_numbers(values: list[str]) -> list[Any]:
    """All as numbers where they can be, else one by one."""
    found = _numbers(values)
    if found is not None:
        return found
    one_by_one = [_numbers([value]) for value in values]
    return [each[0] if each else value for each, value in zip(one_by_one, values, strict=True)]


def _numbers(values: Sequence[Any]) -> list[Any] | None:
    """Texts as the numbers that they are; None: some are not."""
    import pandas as pd

    try:
        found: list[Any] = pd.to_numeric(pd.Series(list(values), dtype=object)).tolist()
    except (ValueError, TypeError):
        return None
    return found


def _is_regression(values: Sequence[Any]) -> bool:
    return any(isinstance(value, float) for value in values)


def _check_kind(
    table: LocatedSamples,
    column: str,
    values: Sequence[Any],
    train: LocatedSamples,
    reference: Sequence[Any],
) -> None:
    """All labels are of the kind of the first one of the training samples: text, truth, number."""

    def kind(value: Any) -> str:
        if isinstance(value, bool):
            return "true or false"
        return "text" if isinstance(value, str) else "a number"

    usual = kind(reference[0])
    _refuse(
        table,
        [
            (i, f"the label {v!r} is {kind(v)}, and that of {train.place(0)} is {usual}")
            for i, v in enumerate(values)
            if kind(v) != usual
        ],
        "labels of one kind",
    )


def _classes(
    tables: Mapping[str, LocatedSamples], column: str, values: Mapping[str, list[Any]]
) -> tuple[tuple[Any, ...], dict[str, list[Any]]]:
    """The classes, and every label as the index of its class."""
    hidden = "the label is -1, by which data sets mark samples whose label is hidden"
    for split, table in tables.items():
        _refuse(
            table,
            [(i, hidden) for i, v in enumerate(values[split]) if v == -1],
            "samples with labels; a class that is called -1 needs another name",
        )
    train = tables["train"]
    classes = tuple(sorted(set(values["train"])))
    if len(classes) < 2:
        raise BenchError(
            f"all labels in {column!r} are {classes[0]!r}",
            place=train.name,
            fix="training samples of two classes or more",
        )
    index = {name: at for at, name in enumerate(classes)}
    known = _listed([repr(name) for name in classes])
    for split, table in tables.items():
        _refuse(
            table,
            [
                (i, f"the label {v!r} is in no training sample; those of {train.name} are {known}")
                for i, v in enumerate(values[split])
                if v not in index
            ],
            "correct it, remove the sample, or add such samples to the training file",
        )
    return classes, {name: [index[value] for value in found] for name, found in values.items()}


def _mixed(
    train: LocatedSamples, column: str, values: Sequence[Any], classes: Sequence[Any]
) -> str:
    """That some labels of CSV are numbers and others text, with the first of each; empty: all are
    of one kind. One text among numbers makes a class of every number.
    """
    import pandas as pd

    if not all(isinstance(name, str) for name in classes):
        return ""
    numbers = pd.to_numeric(pd.Series(list(classes), dtype=object), errors="coerce").notna()
    kinds = dict(zip(classes, numbers, strict=True))
    if len(set(numbers)) == 1:
        return ""

    def first(number: bool) -> str:
        at = next(index for index, value in enumerate(values) if kinds[value] == number)
        # The name alone, for notes are published, and a path may be private.
        return f"{values[at]!r} ({Path(train.name).name}:{train.number(at)})"

    return (
        f"labels in {column!r} are numbers, such as {first(True)}, and text, such as "
        f"{first(False)}: every one of them is taken for a class"
    )


def _refuse(table: LocatedSamples, wrong: Sequence[tuple[int, str]], fix: str) -> None:
    """Raise BenchError for samples: their indices, and what is wrong with each; the first one gives
    the message.
    """
    if not wrong:
        return
    (first, what), *others = wrong
    if others:
        numbers = [str(table.number(i)) for i, _ in others[:MOST_TOLD]]
        rest = ", …" if len(others) > MOST_TOLD else ""
        unit = table.unit if len(others) == 1 else f"{table.unit}s"
        what += f"; the same is wrong in {len(others)} more ({unit} {', '.join(numbers)}{rest})"
    raise BenchError(what, place=table.place(first), fix=fix)


def _names(table: LocatedSamples) -> str:
    return _listed([repr(name) for name in table.columns], 20)


def _listed(names: Sequence[str], most: int = MOST_TOLD) -> str:
    shown = [name if len(name) <= 60 else f"{name[:60]}…" for name in names[:most]]
    return ", ".join(shown) + (f", … ({len(names)} in all)" if len(names) > most else "")


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 40 else text[:40] + '…'}"
