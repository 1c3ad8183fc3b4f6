"""A user's own files: what is read of good ones, and the one error that each bad one gives."""

from __future__ import annotations

import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.cli import main
from harness.errors import BenchError
from harness.planning.hub import LFS_POINTER
from harness.worker.tasks import data_files
from harness.worker.tasks.labelled import Columns, Labelled, labelled

GOOD = "sentence,label\ngood film,pos\nbad film,neg\n"
NUMBERS = "sentence,label\ngood film,1\nbad film,0\n"
LINES = '{"sentence": "good film", "label": 1}\n{"sentence": "bad film", "label": 0}\n'
NAME_THEM = (
    "name the columns: `--text-column-name` and `--label-column-name`, or in a suite `options: "
    "{text_column: …, text_pair_column: …, label_column: …}`"
)
AN_OBJECT = 'one JSON object on each line, such as {"sentence": "…", "label": 1}'


def parquet(*columns: tuple[str, list[Any]]) -> bytes:
    """A Parquet file with these columns, of which two may have one name."""
    table = pa.Table.from_arrays([pa.array(v) for _, v in columns], names=[n for n, _ in columns])
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


# What is wrong: the training and the validation file, the end of their names, place, message, fix.
BAD: dict[str, tuple[str | bytes, str | bytes, str, str, str, str]] = {
    "a label is missing in CSV": (
        'sentence,label\n"good\nfilm",pos\nbad film,\n', GOOD, "csv",
        "train.csv:4", "the label in 'label' is missing", "a label there, or remove the sample",
    ),
    "a compressed file": (
        gzip.compress(GOOD.encode()), GOOD, "csv",
        "train.csv", "is compressed by gzip", "the file as `gunzip` unpacks it",
    ),
    "a short line of CSV": (
        "sentence,label\ngood film,pos\nbad film\n", GOOD, "csv",
        "train.csv:3", "the label in 'label' is missing", "a label there, or remove the sample",
    ),
    "pandas' word for a missing label": (
        "sentence,label\ngood film,pos\nbad film,NA\n", GOOD, "csv",
        "train.csv:3", "the label in 'label' is missing ('NA' means so)",
        "a label there, or remove the sample",
    ),
    "texts are missing in CSV": (
        'sentence,label\n"good\n\nfilm",pos\n\n,neg\nbad,neg\n,neg\n,pos\n', GOOD, "csv",
        "train.csv:6", "the text in 'sentence' is missing or empty; the same is wrong in 2 more "
        "(lines 8, 9)", "a text there, or remove the sample",
    ),
    "a text is empty in CSV": (
        GOOD, "sentence,label\r\n\"bad\r\nfilm\",neg\r\n   ,pos\r\n", "csv",
        "validation.csv:4", "the text in 'sentence' is empty",
        "a text there, or remove the sample",
    ),
    "a label is missing in JSON lines": (
        LINES + '\n{"sentence": "film"}\n', LINES, "json",
        "train.json:4", "the label in 'label' is missing", "a label there, or remove the sample",
    ),
    "a text is null in JSON lines": (
        LINES, LINES + '{"sentence": null, "label": 0}\n', "jsonl",
        "validation.jsonl:3", "the text in 'sentence' is missing",
        "a text there, or remove the sample",
    ),
    "a text is empty in JSON lines": (
        LINES + '{"sentence": "", "label": 0}\n', LINES, "json",
        "train.json:3", "the text in 'sentence' is empty", "a text there, or remove the sample",
    ),
    "a label is not a number in JSON lines": (
        LINES + '{"sentence": "film", "label": NaN}\n', LINES, "json",
        "train.json:3", "the label in 'label' is missing", "a label there, or remove the sample",
    ),
    "a label is null in Parquet": (
        parquet(("sentence", ["good", "bad", "film"]), ("label", [1, 0, None])),
        parquet(("sentence", ["good"]), ("label", [1])), "parquet",
        "train.parquet, row 3", "the label in 'label' is missing",
        "a label there, or remove the sample",
    ),
    "a label that only the validation file has": (
        GOOD, 'sentence,label\n"good\nfilm",pos\nfilm,meh\n', "csv",
        "validation.csv:4", "the label 'meh' is in no training sample; those of train.csv are "
        "'neg', 'pos'",
        "correct it, remove the sample, or add such samples to the training file",
    ),
    "a number that only the validation file has": (
        NUMBERS, "sentence,label\ngood film,2\nfilm,3\n", "csv",
        "validation.csv:2", "the label 2 is in no training sample; those of train.csv are 0, 1; "
        "the same is wrong in 1 more (line 3)",
        "correct it, remove the sample, or add such samples to the training file",
    ),
    "no column of labels": (
        "sentence,class\ngood film,pos\n", GOOD, "csv",
        "train.csv:1", "no column 'label' of labels; there are: 'sentence', 'class'", NAME_THEM,
    ),
    "a column of labels in capitals": (
        "sentence,Label\ngood film,pos\n", GOOD, "csv",
        "train.csv:1", "no column 'label' of labels; there are: 'sentence', 'Label'",
        "if 'Label' is meant: `--label-column-name Label`, or in a suite `options: {label_column: "
        "Label}`",
    ),
    "no column of labels in JSON lines": (
        '{"sentence": "good film"}\n', LINES, "json",
        "train.json", "no column 'label' of labels; there are: 'sentence'", NAME_THEM,
    ),
    "no column of text": (
        "label\npos\n", GOOD, "csv",
        "train.csv:1", "no column of text beside the label 'label'",
        "a column of text, such as 'sentence'",
    ),
    "a column twice in CSV": (
        "sentence,sentence,label\ngood,film,pos\n", GOOD, "csv",
        "train.csv:1", "the column 'sentence' is there 2 times",
        "another name for each, or one of them alone",
    ),
    "a key twice in JSON lines": (
        LINES + '{"sentence": "film", "label": 1, "label": 0}\n', LINES, "json",
        "train.json:3", "the key 'label' is there twice",
        "another name for each, or one of them alone",
    ),
    "a column twice in Parquet": (
        parquet(("label", [1]), ("sentence", ["good"]), ("label", [0])),
        parquet(("sentence", ["good"]), ("label", [1])), "parquet",
        "train.parquet", "the column 'label' is there 2 times",
        "another name for each, or one of them alone",
    ),
    "an empty file": (
        "", GOOD, "csv", "train.csv", "the file is empty", "a file with samples",
    ),
    "a file of empty lines": (
        GOOD, " \n\n", "csv", "validation.csv", "the file is empty", "a file with samples",
    ),
    "no samples in CSV": (
        "sentence,label\n", GOOD, "csv",
        "train.csv", "there are no samples, only the names of the columns: 'sentence', 'label'",
        "a file with samples",
    ),
    "no samples in Parquet": (
        parquet(("sentence", []), ("label", [])), parquet(("sentence", ["x"]), ("label", [1])),
        "parquet", "train.parquet",
        "there are no samples, only the names of the columns: 'sentence', 'label'",
        "a file with samples",
    ),
    "columns of another name": (
        GOOD, "text,label\ngood film,pos\n", "csv",
        "validation.csv:1",
        "has no column 'sentence' and has a further column 'text', unlike train.csv",
        "the same columns in both files",
    ),
    "a column more": (
        GOOD, "sentence,label,idx\ngood film,pos,1\n", "csv",
        "validation.csv:1", "has a further column 'idx', unlike train.csv",
        "the same columns in both files",
    ),
    "a field more than columns": (
        'sentence,label\n"good\nfilm",pos\nbad, really bad,neg\n', GOOD, "csv",
        "train.csv:4", "the record has 3 fields, and the first line names 2 columns",
        'quotes around a field that holds a comma ("…")',
    ),
    "a quote that is not closed": (
        'sentence,label\n"good\nfilm",pos\n"bad film,neg\nfilm,neg\n', GOOD, "csv",
        "train.csv:4", "a quote that begins in this record is never closed",
        'close it; a quote inside of a quoted field is written twice ("")',
    ),
    "semicolons in place of commas": (
        "sentence;label\ngood film;pos\n", GOOD, "csv",
        "train.csv:1", "all columns are one, 'sentence;label'",
        "commas between the fields, not ';'",
    ),
    "no UTF-8 in CSV": (
        b'sentence,label\n"good\nfilm",pos\nd\xe9cevant,neg\n', GOOD, "csv",
        "train.csv:4", "the byte 0xe9 is not UTF-8",
        "the file in UTF-8, for example by `iconv -f LATIN1 -t UTF-8`",
    ),
    "no UTF-8 in JSON lines": (
        LINES, LINES.encode() + b'{"sentence": "d\xe9cevant", "label": 0}\n', "json",
        "validation.json:3", "the byte 0xe9 is not UTF-8",
        "the file in UTF-8, for example by `iconv -f LATIN1 -t UTF-8`",
    ),
    "half of a character": (
        LINES + '{"sentence": "film \\ud83d", "label": 0}\n', LINES, "json",
        "train.json:3",
        "the text in 'sentence' holds half of a surrogate pair, which is no character",
        "text that can be written in UTF-8",
    ),
    "no JSON": (
        LINES + '{"sentence": "film" "label": 0}\n', LINES, "json",
        "train.json:3", "is not JSON: Expecting ',' delimiter (column 21)", AN_OBJECT,
    ),
    "JSON over several lines": (
        '{\n  "sentence": "film",\n  "label": 0\n}\n', LINES, "json",
        "train.json:1",
        "is not JSON: Expecting property name enclosed in double quotes (column 2)", AN_OBJECT,
    ),
    "JSON that is no object": (
        LINES + '["film", 0]\n', LINES, "json",
        "train.json:3", "is a list, and no object", AN_OBJECT,
    ),
    "no whole Parquet": (
        b"PAR1 and no end of it", parquet(("sentence", ["x"]), ("label", [1])), "parquet",
        "train.parquet",
        "cannot be read as Parquet: Parquet magic bytes not found in footer. Either the file is "
        "corrupted or this is not a parquet file.",
        "a whole Parquet file",
    ),
    "a pointer of Git LFS": (
        LFS_POINTER + b"v1\noid sha256:0\n", GOOD, "csv",
        "train.csv", "is a pointer of Git LFS and not the file itself",
        "`git lfs pull` there, or copy it again",
    ),
    "another kind of file": (
        "good film\tpos\n", GOOD, "tsv",
        "train.tsv", "the end of the name (.tsv) tells no format",
        "a file whose name ends with .csv, .json, .jsonl, .parquet",
    ),
    "numbers where the script's rule finds text": (
        "sentence,label,idx\ngood film,pos,0\nbad film,neg,1\n",
        "sentence,label,idx\ngood film,pos,0\n", "csv",
        "train.csv:2",
        "'idx' (the first two columns beside the label) holds numbers alone, such as 0, and no "
        "text", NAME_THEM,
    ),
    "a number for a text in JSON lines": (
        '{"idx": 7, "sentence": "film", "label": 0}\n', LINES, "json",
        "validation.json",
        "has no column 'idx', unlike train.json", "the same columns in both files",
    ),
    "a list for a text in JSON lines": (
        LINES + '{"sentence": ["film"], "label": 0}\n', LINES, "json",
        "train.json:3",
        "'sentence' holds list ['film'], which is no text (the only column beside the label)",
        f"text there; or {NAME_THEM}",
    ),
    "a list for a label": (
        LINES + '{"sentence": "film", "label": [0]}\n', LINES, "json",
        "train.json:3", "the label in 'label' is neither number nor text but list [0]",
        "a number or a text",
    ),
    "labels of two kinds": (
        LINES + '{"sentence": "film", "label": "bad"}\n', LINES, "json",
        "train.json:3", "the label 'bad' is text, and that of train.json:1 is a number",
        "labels of one kind",
    ),
    "text for a number": (
        NUMBERS, "sentence,label\ngood film,pos\n", "csv",
        "validation.csv:2", "the label 'pos' is text, and that of train.csv:2 is a number",
        "labels of one kind",
    ),
    "a hidden label": (
        NUMBERS, "sentence,label\ngood film,1\nfilm,-1\n", "csv",
        "validation.csv:3",
        "the label is -1, by which data sets mark samples whose label is hidden",
        "samples with labels; a class that is called -1 needs another name",
    ),
    "a regression of infinity": (
        "sentence,label\ngood film,0.5\nbad film,inf\n", NUMBERS, "csv",
        "train.csv:3", "the label inf is not finite", "a finite number",
    ),
    "one class": (
        "sentence,label\ngood film,pos\nbad film,pos\n", GOOD, "csv",
        "train.csv", "all labels in 'label' are 'pos'",
        "training samples of two classes or more",
    ),
}  # fmt: skip


def _write(folder: Path, train: str | bytes, validation: str | bytes, suffix: str) -> list[Path]:
    files = [folder / f"{split}.{suffix}" for split in ("train", "validation")]
    for file, content in zip(files, (train, validation), strict=True):
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return files


def _command(train: object, validation: object, *more: str) -> list[str]:
    words = "train --model-name-or-path bert-tiny --output-dir out --do-train --device cpu".split()
    return [*words, "--train-file", str(train), "--validation-file", str(validation), *more]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_error_with_its_line_and_nothing_is_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train, validation, suffix, place, message, fix = BAD[name]
    _write(tmp_path, train, validation, suffix)
    monkeypatch.chdir(tmp_path)
    assert main(_command(f"train.{suffix}", f"validation.{suffix}")) == 2
    if place.endswith(f".{suffix}"):  # the file as a whole: the flag that names it
        place = f"--{place.removesuffix(f'.{suffix}')}-file {place}"
    assert capsys.readouterr().err == f"harness: {place}: {message}\n  fix: {fix}\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("make", "said", "fix"),
    [
        (lambda _: None, "no such file", "relative to the suite's file"),
        (Path.mkdir, "is a folder", "a file: .csv, .json, .jsonl, .parquet"),
        (os.mkfifo, "is no regular file", "a file: .csv"),
    ],
)
def test_what_is_no_file(
    make: Any,
    said: str,
    fix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "good.csv").write_text(GOOD)
    make(tmp_path / "odd.csv")
    monkeypatch.chdir(tmp_path)
    assert main(_command("good.csv", "odd.csv")) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"harness: --validation-file odd.csv: {said}\n  fix: ")
    assert fix in told
    assert not (tmp_path / "out").exists()


def test_files_of_two_formats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.csv").write_text(GOOD)
    (tmp_path / "validation.json").write_text(LINES)
    monkeypatch.chdir(tmp_path)
    assert main(_command("train.csv", "validation.json")) == 2
    assert capsys.readouterr().err == (
        "harness: --validation-file validation.json: is JSON lines, and train.csv is CSV\n"
        "  fix: both files in one format\n"
    )


def _read(folder: Path, train: str | bytes, validation: str | bytes, suffix: str) -> Labelled:
    files = _write(folder, train, validation, suffix)
    tables = dict(zip(("train", "validation"), map(data_files.read, files), strict=True))
    return labelled(tables, Columns())


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (
            ["1", "2", "abc", "1"],
            "labels in 'label' are numbers, such as '1' (train.csv:2), and text, such as 'abc' "
            "(train.csv:4): every one of them is taken for a class",
        ),
        (
            ["good", "0.5", "0.25"],
            "labels in 'label' are numbers, such as '0.5' (train.csv:3), and text, such as 'good' "
            "(train.csv:2): every one of them is taken for a class",
        ),
        (["1", "2", "1"], ""),
        (["good", "bad", "1st"], ""),
        (["true", "False"], ""),
        (["0.5", "0.25", "1e3"], ""),
    ],
)
def test_labels_that_mix_numbers_and_text_are_told(
    labels: list[str], told: str, tmp_path: Path
) -> None:
    content = "sentence,label\n" + "".join(f"a film,{label}\n" for label in labels)
    found = _read(tmp_path, content, content, "csv")
    assert found.mixed == told
    assert found.told.endswith(f"validation samples; {told}" if told else "validation samples")
    typed = [json.dumps({"sentence": "a film", "label": label}) for label in labels]
    assert (
        _read(tmp_path, "\n".join(typed), "\n".join(typed), "json").mixed == ""
    )  # text, in quotes


TRICKY = {
    "csv": (
        "\ufeffsentence,label,note\r\n"
        '"a ""quoted"", long\r\n\r\ntext",x,1\r\n'
        "\r\n"
        "  spaces kept ,y,2\r\n"
        'half"way,x,3\r\n'
        "ünï 模型 \u2028 line,y,4\r\n"
    ),
    "json": (
        '{"sentence": "a \\"quoted\\"\\nlong text", "label": "x", "note": "1"}\n\n'
        '{"label": "y", "sentence": " spaces kept ", "note": "2"}\n'
        '{"sentence": "ünï \u2028 line \\ud83d\\ude00", "label": "x", "note": "3"}\n'
    ),
}


@pytest.mark.parametrize("suffix", TRICKY)
def test_a_file_holds_what_the_original_scripts_read_of_it(suffix: str, tmp_path: Path) -> None:
    """`datasets` reads for them; nothing but the columns that are used is compared."""
    import datasets

    (tmp_path / f"tricky.{suffix}").write_bytes(TRICKY[suffix].encode())
    table = data_files.read(tmp_path / f"tricky.{suffix}")
    theirs = datasets.load_dataset(
        suffix, data_files=str(tmp_path / f"tricky.{suffix}"), cache_dir=str(tmp_path / "cache")
    )["train"]
    assert list(table.columns) == theirs.column_names
    for name in ("sentence", "label"):
        assert list(table.columns[name]) == theirs[name]


@pytest.mark.parametrize(
    "values",
    [
        ["2", "10", "2"],
        [" 1", "2 ", "3"],
        ["01", "2", "2"],
        ["0.0", "1", "2"],
        ["1e2", "1", "2"],
        ["1_0", "2", "2"],
        ["0x1", "2", "2"],
        ["True", "false", "TRUE"],
        ["yes", "no", "no"],
        ["1", "x", "2"],
        ["b", "B", "a"],
        ["99999999999999999999", "1", "1"],
    ],
)
def test_labels_of_csv_are_what_pandas_takes_them_for(values: list[str], tmp_path: Path) -> None:
    """Their kind, and so their order, decides which logit is which class."""
    import datasets

    content = "sentence,label\n" + "".join(f"film,{value}\n" for value in values)
    found = _read(tmp_path, content, content, "csv")
    theirs = datasets.load_dataset(
        "csv", data_files=str(tmp_path / "train.csv"), cache_dir=str(tmp_path / "cache")
    )["train"]
    if theirs.features["label"].dtype in ("float32", "float64"):
        assert found.classes is None
        assert found.splits["train"].labels == theirs["label"]
    else:
        classes = sorted(theirs.unique("label"))
        assert found.classes is not None
        assert list(found.classes) == classes
        assert [type(name) for name in found.classes] == [type(name) for name in classes]
        assert found.splits["train"].labels == [classes.index(v) for v in theirs["label"]]


def test_the_words_for_missing_values_are_pandas_own() -> None:
    from pandas._libs.parsers import STR_NA_VALUES

    assert data_files.MISSING_WORDS == STR_NA_VALUES


def test_a_word_for_missing_is_text_where_text_is_meant(tmp_path: Path) -> None:
    content = "sentence,label\nNone,pos\nNA,neg\n"
    assert _read(tmp_path, content, GOOD, "csv").splits["train"].texts == (["None", "NA"],)


@pytest.mark.parametrize(
    ("header", "options", "texts", "how"),
    [
        ("label,text", {}, ("text",), "the only column beside the label"),
        ("a,label,b", {}, ("a", "b"), "the first two columns beside the label"),
        (
            "a,b,label,c,d",
            {},
            ("a", "b"),
            "the first two columns beside the label; not used: 'c', 'd'",
        ),
        ("id,sentence2,label,sentence1", {}, ("sentence1", "sentence2"), "by their names"),
        ("id,text,label", {"text_column": "text"}, ("text",), "as named"),
        (
            "a,b,kind",
            {"text_column": "b", "text_pair_column": "a", "label_column": "kind"},
            ("b", "a"),
            "as named",
        ),
    ],
)
def test_columns_are_found_by_the_original_rule_or_named(
    header: str, options: dict[str, str], texts: tuple[str, ...], how: str, tmp_path: Path
) -> None:
    names = header.split(",")
    label = options.get("label_column", "label")
    rows = [",".join(f"c{i}" if n == label else f"{n} text" for n in names) for i in range(2)]
    file = tmp_path / "own.csv"
    file.write_text("\n".join([header, *rows, ""]))
    table = data_files.read(file)
    found = labelled({"train": table, "validation": table}, Columns(**options))
    assert (found.texts, found.how) == (texts, how)
    assert found.splits["train"].texts == tuple([f"{name} text"] * 2 for name in texts)
    assert found.classes == ("c0", "c1")
    assert repr(texts[0]) in found.told
    assert "2 classes in" in found.told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text_pair_column": "b"}, "`text_pair_column` goes with `text_column`"),
        ({"text_column": "label"}, "one column is named twice"),
        ({"text_column": "a", "text_pair_column": "a"}, "one column is named twice"),
    ],
)
def test_columns_that_contradict_each_other(options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Columns(**options)


@pytest.mark.parametrize(
    ("words", "place", "message"),
    [
        ("--text-column-name txt", "train.csv:1", "no column 'txt' of text; there are: 'text'"),
        ("--label-column-name lab", "train.csv:1", "no column 'lab' of labels"),
        ("--text-column-name a --text-column-name b --text-column-name c",
         "--text-column-name c", "is given 3 times"),
        ("--text-column-name label", "--text-column-name label", "one column is named twice"),
    ],
)  # fmt: skip
def test_a_column_that_is_named_and_not_there(
    words: str,
    place: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = "text,label\ngood,1\nbad,0\n"
    _write(tmp_path, content, content, "csv")
    monkeypatch.chdir(tmp_path)
    assert main(_command("train.csv", "validation.csv", *words.split())) == 2
    assert capsys.readouterr().err.startswith(f"harness: {place}: {message}")


def test_numbers_with_a_fraction_are_a_regression_and_whole_ones_in_validation_fit(
    tmp_path: Path,
) -> None:
    found = _read(tmp_path, "text,label\na,0.5\nb,2\n", "text,label\na,3\n", "csv")
    assert found.classes is None
    assert found.splits["train"].labels == [0.5, 2.0]
    assert found.splits["validation"].labels == [3.0]
    assert "numbers (regression) in 'label'" in found.told


def test_a_file_that_changes_is_another_file(tmp_path: Path) -> None:
    from harness.schema.workload import Task

    train, validation = _write(tmp_path, GOOD, GOOD, "csv")
    task = Task(name="own", source="files", train_file=train, validation_file=validation)
    before = data_files.digest_of(task)
    assert len(before) == 64
    train.write_text(GOOD + "film,pos\n")
    assert data_files.digest_of(task) != before
    train.write_text(GOOD)
    assert data_files.digest_of(task) == before
    validation.write_text(GOOD + "film,pos\n")
    assert data_files.digest_of(task) != before


def test_an_array_of_json_is_read_by_rows(tmp_path: Path) -> None:
    array = json.dumps([{"sentence": "good", "label": 1}, {"sentence": "", "label": 0}], indent=1)
    with pytest.raises(BenchError) as caught:
        _read(tmp_path, array, LINES, "json")
    assert (caught.value.place, caught.value.message) == (
        f"{tmp_path}/train.json, row 2",
        "the text in 'sentence' is empty",
    )
