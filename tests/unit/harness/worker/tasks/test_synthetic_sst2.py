"""The built-in reviews that stand in for SST-2: the same everywhere, shaped like SST-2, balanced,
and neither trivial nor noise.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from statistics import mean

import pytest
from folders import ROOT

from harness.schema.glue import GLUE
from harness.worker.tasks import synthetic

# Of the first 500 training sentences of seed 0. If this changes, raise synthetic.SST2_VERSION:
# cached data would be stale.
DIGESTS = {2: "4d02f87805543ddd399eba68013699190d7460c36a15aca24fe3b5604b058aa3"}


def _digest(texts: list[str], labels: list[int]) -> str:
    return hashlib.sha256(repr((texts, labels)).encode()).hexdigest()


def test_the_text_is_that_of_its_version() -> None:
    assert _digest(*synthetic.reviews("train", 500, 0)) == DIGESTS[synthetic.SST2_VERSION]


def test_every_process_generates_the_same() -> None:
    code = (
        "from harness.worker.tasks.synthetic import reviews; print(repr(reviews('train', 300, 7)))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {f"{synthetic.reviews('train', 300, 7)!r}\n".encode()}


def test_seeds_and_splits_differ_and_a_shorter_corpus_is_a_beginning() -> None:
    train, _ = synthetic.reviews("train", 400, 0)
    assert not set(train) & set(synthetic.reviews("train", 400, 1)[0][:50])
    assert train[:50] != synthetic.reviews("validation", 50, 0)[0]
    assert synthetic.reviews("train", 100, 0)[0] == train[:100]


@pytest.fixture(scope="module")
def whole() -> tuple[list[str], list[int]]:
    return synthetic.reviews("train", GLUE["sst2"].sizes["train"], 0)


def test_size_vocabulary_lengths_and_balance(whole: tuple[list[str], list[int]]) -> None:
    texts, labels = whole
    lengths = [len(text.split()) for text in texts]
    assert len(texts) == 67_349
    assert 9 <= mean(lengths) <= 14
    assert min(lengths) >= 4
    assert 40 <= max(lengths) <= 80
    assert 2000 <= len({word for text in texts for word in text.split()}) <= 5000
    assert 0.48 <= mean(labels) <= 0.52
    assert len(set(texts)) > 0.98 * len(
        texts
    )  # no sentence of the validation set can be learned by heart


def test_words_tell_much_but_not_all(whole: tuple[list[str], list[int]]) -> None:
    """A bag of words (log odds, counted on half of it) does well on the other half, yet leaves room
    above.
    """
    import math

    texts, labels = whole
    half = len(texts) // 2
    counts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for text, label in zip(texts[:half], labels[:half], strict=True):
        counts[label].update(set(text.split()))
    odds = {
        word: math.log((counts[1][word] + 1) / (counts[0][word] + 1))
        for word in counts[0] | counts[1]
    }
    right = [
        (sum(odds.get(word, 0.0) for word in set(text.split())) > 0) == bool(label)
        for text, label in zip(texts[half:], labels[half:], strict=True)
    ]
    assert 0.72 < mean(right) < 0.92
