"""The built-in stand-in for SST-2: short reviews from a template grammar, with the sign of their
words as the label.

Deterministic by seed, on every host and in every process. A sentence has one to four clauses; each
may carry one or two polarity words (frequencies fall like a power of the rank), an intensifier, a
negation that turns it around, and neutral filler. What follows `but` weighs twice. 3% of the labels
are wrong on purpose. A model has to learn hundreds of word polarities, negation and `but`; a bag of
words alone does not reach the top.
"""

from __future__ import annotations

import random
from itertools import accumulate

VERSION = 2  # part of every cache key: raise it when the text of the corpus changes
TRAIN_SENTENCES, EVAL_SENTENCES = 67_349, 872  # as SST-2 in GLUE
LABEL_NOISE = 0.03

# fmt: off
POSITIVE_STEMS = """good great fine superb charming brilliant clever witty moving tender honest fresh funny smart warm
lovely vivid gripping elegant inventive delightful sincere rich bold thrilling graceful touching playful sharp wise
engaging dazzling hilarious masterful enjoyable compelling heartfelt stylish joyful radiant""".split()
NEGATIVE_STEMS = """bad dull poor awful boring clumsy shallow stale bland tedious silly lazy empty weak flat ugly messy
hollow pointless tired lifeless dreary annoying forced crude muddled predictable sloppy dismal painful lame insipid
soulless grating tiresome charmless witless bloated trite listless""".split()
NOUNS = """film movie story plot script cast acting director scene dialogue ending score camera drama comedy thriller
romance sequel remake hero villain performance picture pacing humor soundtrack premise character documentary
adaptation""".split()
VERBS = "is feels seems remains becomes looks sounds stays proves turns".split()
INTENSIFIERS = "very really truly deeply utterly quite rather so remarkably thoroughly".split()
NEGATIONS = ["not", "never", "hardly", "n't", "far from"]
OPENERS = ["", "", "", "at times", "in the end", "as a whole", "for all its length", "from start to finish",
           "in the first half", "on paper"]
FILLERS = ["in every scene", "with the help of", "for two hours", "set in", "about a family from",
           "based on a novel by", "directed by", "and shot in", "on a small budget", "that opens in", "with music by",
           "seen through the eyes of"]
ONSETS = "b br c ch d f g gr h k l m n p r s sh st t tr v w z".split()
VOWELS = "a e i o u ai ou".split()
CODAS = ["", "", "l", "n", "r", "s", "nd", "rt", "m"]
# fmt: on
Weighted = tuple[list[str], list[float]]


def _zipf(words: list[str], exponent: float = 1.0) -> Weighted:
    return words, list(accumulate(rank**-exponent for rank in range(1, len(words) + 1)))


class Lexicon:
    """The words of the corpus: a few thousand types. The same for every seed."""

    def __init__(self) -> None:
        draw = random.Random(20240229)
        taken = {*POSITIVE_STEMS, *NEGATIVE_STEMS, *NOUNS, *VERBS}
        self.positive = _zipf([*POSITIVE_STEMS, *self._invent(draw, 160, taken, 2, "")], 1.2)
        self.negative = _zipf([*NEGATIVE_STEMS, *self._invent(draw, 160, taken, 2, "")], 1.2)
        self.nouns = _zipf([*NOUNS, *self._invent(draw, 800, taken, 2, "")])
        self.names = _zipf(self._invent(draw, 1600, taken, 3, ""))
        self.adverbs = _zipf(self._invent(draw, 300, taken, 2, "ly"))

    @staticmethod
    def _invent(
        draw: random.Random, count: int, taken: set[str], syllables: int, ending: str
    ) -> list[str]:
        """`count` new pronounceable words."""
        words: list[str] = []
        while len(words) < count:
            word = "".join(
                draw.choice(ONSETS) + draw.choice(VOWELS) + draw.choice(CODAS)
                for _ in range(syllables)
            )
            if word + ending not in taken:
                taken.add(word + ending)
                words.append(word + ending)
        return words


def generate(split: str, sentences: int, seed: int) -> tuple[list[str], list[int]]:
    """The first `sentences` sentences of `split` ("train", "validation") and their labels (0
    negative, 1 positive).
    """
    draw, lexicon = random.Random(f"{VERSION}/{seed}/{split}"), Lexicon()
    texts, labels = [], []
    for _ in range(sentences):
        words, score = _sentence(draw, lexicon)
        label = int(score > 0) if score else draw.randrange(2)
        labels.append(1 - label if draw.random() < LABEL_NOISE else label)
        texts.append(" ".join(words))
    return texts, labels


def _pick(draw: random.Random, words: Weighted) -> str:
    return draw.choices(words[0], cum_weights=words[1])[0]


def _sentence(draw: random.Random, lexicon: Lexicon) -> tuple[list[str], int]:
    """Words and the sum of the clauses' polarities; what follows `but` counts twice, so that it
    decides.
    """
    words = draw.choice(OPENERS).split()
    clauses = draw.choices([1, 2, 3, 4], weights=[62, 26, 9, 3])[0]
    score = 0
    lean = draw.choice([-1, 1])  # most sentences are of one mind
    for clause in range(clauses):
        weight = 1
        if clause:
            turn = draw.random() < 0.35
            words.append("but" if turn else draw.choice(["and", ",", "while", "as"]))
            if turn:
                weight, lean = 2, -lean
        polarity = lean if draw.random() < 0.85 else -lean
        if clause and draw.random() < 0.3:
            polarity = 0
        words += _clause(draw, lexicon, polarity)
        score += weight * polarity
    return words, score


def _clause(draw: random.Random, lexicon: Lexicon, polarity: int) -> list[str]:
    """One clause of this polarity (-1, 0, 1), three to about fifteen words."""
    words = ["the", _pick(draw, lexicon.nouns)]
    if draw.random() < 0.25:
        words += ["of", _pick(draw, lexicon.names)]
    if polarity == 0:
        words += ["comes", "from", _pick(draw, lexicon.names)]
    else:
        words.append(draw.choice(VERBS))
        negated = draw.random() < 0.15
        if negated:
            words += draw.choice(NEGATIONS).split()
        if draw.random() < 0.3:
            words.append(draw.choice(INTENSIFIERS))
        words.append(
            _pick(draw, lexicon.positive if (polarity > 0) != negated else lexicon.negative)
        )
        if not negated and draw.random() < 0.5:
            words += ["and", _pick(draw, lexicon.positive if polarity > 0 else lexicon.negative)]
    if draw.random() < 0.1:
        words.append(_pick(draw, lexicon.adverbs))
    while draw.random() < 0.15:
        words += [*draw.choice(FILLERS).split(), _pick(draw, lexicon.names)]
    return words
