"""The synthetic data of all nine tasks: of the real sizes and balance of classes, the same text
everywhere, and learnable.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from statistics import mean, pstdev

import pytest

from harness.schema.glue import GLUE, GLUE_TASKS
from harness.worker.tasks import synthetic
from harness.worker.tasks.sources import open_raw

# As on the hub (nyu-mll/glue).
SIZES = {
    "cola": (8_551, 1_043),
    "sst2": (67_349, 872),
    "mrpc": (3_668, 408),
    "stsb": (5_749, 1_500),
    "qqp": (363_846, 40_430),
    "mnli": (392_702, 9_815, 9_832),
    "qnli": (104_743, 5_463),
    "rte": (2_490, 277),
    "wnli": (635, 71),
}
# Share of every class in the real training sets.
BALANCE = {
    "cola": (0.296, 0.704),
    "sst2": (0.5, 0.5),  # really (0.442, 0.558); records depend on this text
    "mrpc": (0.326, 0.674),
    "qqp": (0.631, 0.369),
    "mnli": (1 / 3, 1 / 3, 1 / 3),
    "qnli": (0.5, 0.5),
    "rte": (0.502, 0.498),
    "wnli": (0.509, 0.491),
}
# Of the first 300 training samples of seed 0, by version. If one changes, raise synthetic.VERSION.
DIGESTS = {
    "cola": ("cola/2", "e9edab6c91d88884"),
    "mrpc": ("mrpc/2", "96ec4b4fb3d3d8d6"),
    "stsb": ("stsb/2", "1ef270f4b123958c"),
    "qqp": ("qqp/2", "2ed47ce9c0cd6fe5"),
    "mnli": ("mnli/2", "5f614847a266769e"),
    "qnli": ("qnli/2", "5c35c18e43d92b68"),
    "rte": ("rte/2", "9dd14a08116e42b6"),
    "wnli": ("wnli/2", "be525f55a29da63e"),
}
PAIRS = [subset for subset in GLUE_TASKS if subset not in ("cola", "sst2")]


def _digest(content: object) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


@pytest.mark.parametrize("subset", [subset for subset in GLUE_TASKS if subset != "sst2"])
def test_the_text_is_that_of_its_version(subset: str) -> None:
    found = synthetic.generate(subset, "train", 300, 0)
    assert (synthetic.version(subset), _digest(found)) == DIGESTS[subset]
    assert _digest(synthetic.generate(subset, "train", 300, 1)) != _digest(found)
    shorter = synthetic.generate(subset, "train", 100, 0)
    assert shorter == (tuple(column[:100] for column in found[0]), found[1][:100])


def test_sst2_is_found_in_caches_and_records_as_before() -> None:
    """Its identity from when it was the only corpus."""
    from harness.schema.workload import Task

    task = Task(name="sst2", source="synthetic", train_samples=8000, eval_samples=872)
    raw = open_raw(task, ("sentence",), {"train": "train", "validation": "validation"}, range(2))
    assert raw.identity == "433dd133576024ca93f2"


@pytest.mark.parametrize("subset", GLUE_TASKS)
def test_sizes_are_those_of_the_real_sets(subset: str) -> None:
    assert tuple(GLUE[subset].sizes.values()) == SIZES[subset]


@pytest.mark.parametrize("subset", GLUE_TASKS)
def test_labels_are_balanced_like_the_real_ones(subset: str) -> None:
    texts, labels = synthetic.generate(subset, "train", min(6000, SIZES[subset][0]), 0)
    assert len(texts) == (2 if subset in PAIRS else 1)
    if (
        subset == "stsb"
    ):  # the real scores: mean 2.70, standard deviation 1.50, steps of 0.2 and others
        assert (mean(labels), pstdev(labels)) == pytest.approx((2.7, 1.5), abs=0.2)
        assert set(labels) == {round(step / 5, 1) for step in range(26)}
        return
    shares = [count / len(labels) for _, count in sorted(Counter(labels).items())]
    assert shares == pytest.approx(BALANCE[subset], abs=0.06)


@pytest.mark.parametrize("subset", GLUE_TASKS)
def test_no_validation_sample_can_be_learned_by_heart(subset: str) -> None:
    train = {
        *zip(*synthetic.generate(subset, "train", min(4000, SIZES[subset][0]), 0)[0], strict=True)
    }
    for split in [split for split in GLUE[subset].sizes if split != "train"]:
        texts, _ = synthetic.generate(subset, split, min(400, GLUE[subset].sizes[split]), 0)
        samples = [*zip(*texts, strict=True)]
        seen = mean(sample in train for sample in samples)
        # The small grammars of CoLA's and the schemas of WNLI's stand-in repeat themselves; their
        # labels are not free.
        assert seen < {"cola": 0.4, "wnli": 0.8}.get(subset, 0.02)


def _words(texts: tuple[list[str], ...]) -> list[str]:
    """Each sample's words in one string, marked by the sentence they stand in."""
    marked = [
        [" ".join(f"{place}:{word}" for word in text.split()) for text in texts_]
        for place, texts_ in enumerate(texts)
    ]
    return [" ".join(sample) for sample in zip(*marked, strict=True)]


@pytest.mark.parametrize("subset", GLUE_TASKS)
def test_words_tell_much_but_not_all(subset: str) -> None:
    """A linear model on bags of words is better than chance by far, yet does not reach the top."""
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression, Ridge

    count = min(4000, SIZES[subset][0])
    texts, labels = synthetic.generate(subset, "train", count, 0)
    unseen, truth = synthetic.generate(subset, "validation", min(1000, SIZES[subset][1]), 0)
    bags = CountVectorizer(token_pattern=r"\S+", binary=True)
    train, validation = bags.fit_transform(_words(texts)), bags.transform(_words(unseen))
    if subset == "stsb":
        scores = Ridge().fit(train, labels).predict(validation)
        assert 0.6 < np.corrcoef(scores, truth)[0, 1] < 0.9
        return
    right = float(
        np.mean(
            LogisticRegression(max_iter=200).fit(train, labels).predict(validation)
            == np.array(truth)
        )
    )
    majority = max(Counter(truth).values()) / len(truth)
    assert majority + 0.12 < right < 0.93


@pytest.mark.parametrize(
    ("subset", "alike", "unlike"), [("mrpc", 1, 0), ("qqp", 1, 0), ("rte", 0, 1), ("qnli", 0, 1)]
)
def test_the_two_sentences_have_to_do_with_each_other(subset: str, alike: int, unlike: int) -> None:
    """Of pairs that mean the same or answer one another, more of the second's words stand in the
    first.
    """
    (first, second), labels = synthetic.generate(subset, "train", 2000, 0)
    overlap: dict[int, list[float]] = {alike: [], unlike: []}
    for one, other, label in zip(first, second, labels, strict=True):
        words = set(other.split())
        overlap[label].append(len(words & set(one.split())) / len(words))
    assert mean(overlap[alike]) > mean(overlap[unlike]) + 0.02


def test_similar_sentences_share_more_words() -> None:
    import numpy as np

    (first, second), scores = synthetic.generate("stsb", "train", 2000, 0)
    shared = [len(set(a.split()) & set(b.split())) for a, b in zip(first, second, strict=True)]
    assert np.corrcoef(shared, scores)[0, 1] > 0.6


def test_the_mismatched_set_of_mnli_has_words_of_its_own() -> None:
    usual = {
        word for text in synthetic.generate("mnli", "train", 3000, 0)[0][0] for word in text.split()
    }
    other = synthetic.generate("mnli", "validation_mm", 500, 0)[0][0]
    matched = synthetic.generate("mnli", "validation", 500, 0)[0][0]
    for premises, bounds in ((other, (0.5, 0.99)), (matched, (0.0, 0.3))):
        assert (
            bounds[0]
            <= mean(any(word not in usual for word in text.split()) for text in premises)
            <= bounds[1]
        )
