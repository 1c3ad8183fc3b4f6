"""Built-in pairs of sentences in two languages, as long as those of parliamentary debates.

There are 30,000 pairs for training, as many as Optimum's published example trained on, and 1,999
for validation, the size of newsdev2016, WMT16's validation set for Romanian. How long the real
pairs are is not published with the example, so a distribution is assumed: the words of an English
sentence are log-normal with mean 25 and standard deviation 16.5 (median 21, one in a hundred longer
than 84), limited to 1 to 150 words. Europarl's release 7 has 24.3 words per English sentence
(53,974,751 / 2,218,201, https://www.statmt.org/europarl). A translation has about as many words as
its source, and its own number of them: an article becomes an ending, and some words become two.

The words are made up; only function words are English and Romanian. A translation follows from its
source by a dictionary, endings and a change of order (an adjective follows its noun), so a model
can learn it. It says nothing about how well a model would translate real text.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

VERSION = 1  # part of every cache key: raise it when the text changes
SIZES = {"train": 30_000, "validation": 1_999}
MEAN_WORDS, DEVIATION_OF_LOG, MOST_WORDS = 25.0, 0.6, 150
NOUNS, ADJECTIVES, VERBS = 1600, 500, 500
FREQUENCY = 2.5  # an index is drawn as size × u^2.5: frequencies fall like a power of the rank
TWO_WORDS = 0.42  # share of the nouns that are two words in the other language

# What stands between noun phrases and verbs, in both languages.
BETWEEN = [
    ("of", "de"),
    ("to", "la"),
    ("and", "și"),
    ("in", "în"),
    ("that", "că"),
    ("for", "pentru"),
    ("on", "pe"),
    ("with", "cu"),
    ("which", "care"),
    ("not", "nu"),
    ("from", "din"),
    (",", ","),
]
ONSETS = "b c d f g h j l m n p r s t v br cr dr fl gr pr sp st tr".split()
VOWELS = "a e i o u ea io ou".split()
CODAS = ["", "l", "n", "r", "s", "t", "nd", "nt", "rt"]
ENDINGS = ["ul", "a", "ele"]


@dataclass(frozen=True)
class Dictionary:
    """Words and what they are in the other language."""

    nouns: Sequence[tuple[str, str]]
    adjectives: Sequence[tuple[str, str]]
    verbs: Sequence[tuple[str, str]]


def pairs(split: str, limit: int | None, seed: int) -> Iterator[tuple[str, str]]:
    """Sentences and their translations: all of a split or the first `limit`; the same on every
    host.
    """
    words = _dictionary(random.Random(f"translation/{VERSION}/{seed}/words"))
    draw = random.Random(f"translation/{VERSION}/{seed}/{split}")
    for _ in range(min(limit or SIZES[split], SIZES[split])):
        yield _pair(_length(draw), draw, words)


def _length(draw: random.Random) -> int:
    """Words of an English sentence, its full stop not counted."""
    centre = math.log(MEAN_WORDS) - DEVIATION_OF_LOG**2 / 2
    return min(max(round(draw.lognormvariate(centre, DEVIATION_OF_LOG)), 1), MOST_WORDS)


def _pair(length: int, draw: random.Random, words: Dictionary) -> tuple[str, str]:
    """A sentence of so many words and its translation."""
    source: list[str] = []
    target: list[str] = []
    while (left := length - len(source)) > 0:
        kind = draw.random()
        noun, translated = _one(draw, words.nouns)
        if left >= 3 and kind < 0.2:
            adjective, other = _one(draw, words.adjectives)
            source += ["the", adjective, noun]
            target += [_definite(translated), other]
        elif left >= 2 and kind < 0.5:
            source += ["the", noun]
            target += [_definite(translated)]
        elif left >= 2 and kind < 0.65:
            adjective, other = _one(draw, words.adjectives)
            source += [adjective, noun]
            target += [translated, other]
        else:
            source.append(noun)
            target.append(translated)
        if len(source) < length:
            between = draw.choice(BETWEEN) if draw.random() < 0.7 else _one(draw, words.verbs)
            source.append(between[0])
            target.append(between[1])
    return f"{_capital(source)} .", f"{_capital(target)} ."


def _definite(noun: str) -> str:
    """The noun with its article, which is an ending of its first word."""
    first, *rest = noun.split()
    return " ".join([first + ENDINGS[len(first) % len(ENDINGS)], *rest])


def _capital(words: Sequence[str]) -> str:
    text = " ".join(words)
    return text[0].upper() + text[1:]


def _one(draw: random.Random, words: Sequence[tuple[str, str]]) -> tuple[str, str]:
    return words[int(len(words) * draw.random() ** FREQUENCY)]


def _dictionary(draw: random.Random) -> Dictionary:
    """Made-up words of both languages; no word means two things."""

    def made(count: int) -> list[str]:
        found: dict[str, None] = {}
        while len(found) < count:
            syllables = draw.choices([1, 2, 3], weights=[2, 5, 3])[0]
            stem = "".join(draw.choice(ONSETS) + draw.choice(VOWELS) for _ in range(syllables))
            found[stem + draw.choice(CODAS)] = None
        return list(found)

    count = NOUNS + ADJECTIVES + VERBS
    source, target, second = made(count), made(count), made(NOUNS)
    nouns = [
        (word, f"{other} {more}" if draw.random() < TWO_WORDS else other)
        for word, other, more in zip(source[:NOUNS], target, second, strict=False)
    ]
    rest = list(zip(source[NOUNS:], target[NOUNS:], strict=True))
    return Dictionary(nouns, rest[:ADJECTIVES], rest[ADJECTIVES:])
