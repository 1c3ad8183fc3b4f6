"""Built-in data for the nine GLUE tasks, where neither the hub nor a folder is to be used.

Every text is generated from a seed and is the same on every host and in every process. Each data
set has the size and about the balance of classes of the real one. A model learns it within a
hundred steps, so both arms of a pair can be compared by what they learned, but a bag of words alone
does not reach the top. The text says nothing about how well a model would do the real task.

sst2      Short reviews from a template grammar, with the sign of their words as the label. A
          sentence has one to four clauses; each may carry one or two polarity words (frequencies
          fall like a power of the rank), an intensifier, a negation that reverses the polarity,
          and neutral filler. What follows `but` counts twice. 3% of the labels are wrong.
cola      Sentences about a fact (somebody did something somewhere, at some time); in a wrong one a
          verb has a form that does not exist, or two words change places.
the rest  Two sentences about facts. The more of their slots differ, the less alike they are; the
          second one often begins with words that betray the class, as in the real data sets
          (Gururangan et al. 2018, "Annotation Artifacts in Natural Language Inference Data").
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from harness.schema.glue import MISMATCHED

# Part of every cache key: raise them when the text changes, for cached data would be stale.
SST2_VERSION = 2
VERSION = 2  # of the other tasks
SST2_LABEL_NOISE = 0.03
LABEL_NOISE = 0.02  # share of labels of the other tasks that are wrong
MARKED = 0.7  # share of sentences that show their class in a single word or phrase

POSITIVE_STEMS = (
    "good great fine superb charming brilliant clever witty moving tender honest fresh funny "
    "smart warm lovely vivid gripping elegant inventive delightful sincere rich bold "
    "thrilling graceful touching playful sharp wise engaging dazzling hilarious masterful "
    "enjoyable compelling heartfelt stylish joyful radiant"
).split()
NEGATIVE_STEMS = (
    "bad dull poor awful boring clumsy shallow stale bland tedious silly lazy empty weak flat "
    "ugly messy hollow pointless tired lifeless dreary annoying forced crude muddled "
    "predictable sloppy dismal painful lame insipid soulless grating tiresome charmless "
    "witless bloated trite listless"
).split()
NOUNS = (
    "film movie story plot script cast acting director scene dialogue ending score camera "
    "drama comedy thriller romance sequel remake hero villain performance picture pacing "
    "humor soundtrack premise character documentary adaptation"
).split()
VERBS = "is feels seems remains becomes looks sounds stays proves turns".split()
INTENSIFIERS = "very really truly deeply utterly quite rather so remarkably thoroughly".split()
NEGATIONS = ["not", "never", "hardly", "n't", "far from"]
OPENERS = [
    "",
    "",
    "",
    "at times",
    "in the end",
    "as a whole",
    "for all its length",
    "from start to finish",
    "in the first half",
    "on paper",
]
FILLERS = [
    "in every scene",
    "with the help of",
    "for two hours",
    "set in",
    "about a family from",
    "based on a novel by",
    "directed by",
    "and shot in",
    "on a small budget",
    "that opens in",
    "with music by",
    "seen through the eyes of",
]
ONSETS = "b br c ch d f g gr h k l m n p r s sh st t tr v w z".split()
VOWELS = "a e i o u ai ou".split()
CODAS = ["", "", "l", "n", "r", "s", "nd", "rt", "m"]
# Of the facts that the other tasks are about.
# Genres: half of the nouns of "other" never occur in training sets; they make MNLI's mismatched
# validation set.
AGENTS = {
    "usual": (
        "engineer teacher farmer doctor lawyer painter singer driver baker pilot student nurse "
        "sailor mayor tailor"
    ).split(),
    "other": "sergeant professor clerk librarian miner engineer teacher farmer "
    "doctor lawyer".split(),
}
THINGS = {
    "usual": (
        "house car bridge letter camera boat garden table clock book lamp statue ticket piano "
        "carpet mirror bicycle ladder"
    ).split(),
    "other": "manuscript helmet lantern telescope wagon house car bridge letter camera".split(),
}
TIMES = [
    "on monday",
    "on friday",
    "on sunday",
    "last week",
    "last summer",
    "in may",
    "in october",
    "in 1987",
    "in 2004",
    "this morning",
    "yesterday",
    "two years ago",
]
# Base form, past tense, past participle; a synonym beside each.
FACT_VERBS = [
    ("buy bought bought".split(), "purchase purchased purchased".split()),
    ("build built built".split(), "construct constructed constructed".split()),
    ("repair repaired repaired".split(), "fix fixed fixed".split()),
    ("find found found".split(), "discover discovered discovered".split()),
    ("show showed shown".split(), "display displayed displayed".split()),
    ("choose chose chosen".split(), "select selected selected".split()),
    ("hide hid hidden".split(), "conceal concealed concealed".split()),
    ("take took taken".split(), "remove removed removed".split()),
    ("break broke broken".split(), "damage damaged damaged".split()),
    ("clean cleaned cleaned".split(), "wash washed washed".split()),
    ("copy copied copied".split(), "duplicate duplicated duplicated".split()),
    ("lose lost lost".split(), "misplace misplaced misplaced".split()),
]
# Past tenses that do not exist, by index of FACT_VERBS.
WRONG_PASTS = (
    "buyed builded repaird finded showded choosed hided taked breaked cleant copyed losed"
).split()
# Openings of the second sentence, from the class that is alike to the one that is furthest.
MARKERS = (
    ["indeed ,", "again ,", "that is ,"],
    ["perhaps ,", "later ,", "similarly ,"],
    ["however ,", "instead ,", "on the contrary ,"],
)
SLOTS = ("agent", "verb", "thing", "place", "time")
SLOTS_CHANGED = (0, 2, 3)  # in the second sentence, by its distance from the first


@dataclass(frozen=True)
class StandIn:
    """Shape of a task's built-in data.

    Attributes:
        shares: Share of each class; none for a regression from 0 to 5.
        alike: The class of two sentences with the same meaning.
        facts: Number of sentences in the first text of a pair.
    """

    shares: tuple[float, ...] = (0.5, 0.5)
    alike: int = 1
    facts: int = 1


STAND_INS = {
    "cola": StandIn((0.296, 0.704)),
    "sst2": StandIn(),
    "mrpc": StandIn((0.326, 0.674)),
    "stsb": StandIn(()),
    "qqp": StandIn((0.631, 0.369)),
    "mnli": StandIn((1 / 3, 1 / 3, 1 / 3), alike=0),
    "qnli": StandIn(alike=0),
    "rte": StandIn((0.502, 0.498), alike=0, facts=3),
    "wnli": StandIn((0.509, 0.491)),
}


def version(subset: str) -> int | str:
    """What identifies the text of a task, apart from seed and size."""
    return SST2_VERSION if subset == "sst2" else f"{subset}/{VERSION}"


def generate(
    subset: str, split: str, samples: int, seed: int
) -> tuple[tuple[list[str], ...], list[Any]]:
    """The first samples of a split.

    Returns:
        One or two columns of text, and the labels (floats of STS-B).
    """
    if subset == "sst2":
        found, signs = reviews(split, samples, seed)
        return (found,), signs
    data, draw = STAND_INS[subset], random.Random(f"{subset}/{VERSION}/{seed}/{split}")
    genre, lexicon = "other" if split == MISMATCHED else "usual", Lexicon()
    columns: tuple[list[str], ...] = ([],) if subset == "cola" else ([], [])
    labels: list[float] = []
    for _ in range(samples):
        texts: tuple[str, ...]
        fact = _draw_fact(draw, lexicon, genre)
        if not data.shares:
            texts, label = _scored_pair(draw, lexicon, fact)
        else:
            label = draw.choices(range(len(data.shares)), weights=data.shares)[0]
            if subset == "cola":
                texts = (_acceptable(draw, fact) if label else _unacceptable(draw, fact),)
            else:
                steps = (label - data.alike) % len(data.shares)
                distance = 2 * steps // (len(data.shares) - 1)
                texts = _pair(draw, lexicon, fact, distance, data)
            if draw.random() < LABEL_NOISE:
                label = (label + draw.randrange(1, len(data.shares))) % len(data.shares)
        labels.append(label)
        for column, text in zip(columns, texts, strict=True):
            column.append(text)
    return columns, labels


def reviews(split: str, sentences: int, seed: int) -> tuple[list[str], list[int]]:
    """The first sentences of a split of SST-2 and their labels (0 negative, 1 positive)."""
    draw, lexicon = random.Random(f"{SST2_VERSION}/{seed}/{split}"), Lexicon()
    texts, labels = [], []
    for _ in range(sentences):
        words, score = _review(draw, lexicon)
        label = int(score > 0) if score else draw.randrange(2)
        labels.append(1 - label if draw.random() < SST2_LABEL_NOISE else label)
        texts.append(" ".join(words))
    return texts, labels


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


def _pick(draw: random.Random, words: Weighted) -> str:
    return draw.choices(words[0], cum_weights=words[1])[0]


def _review(draw: random.Random, lexicon: Lexicon) -> tuple[list[str], int]:
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


@dataclass(frozen=True)
class SyntheticFact:
    """Who did what to which thing, where and when.

    Attributes:
        verb: Index of FACT_VERBS.
        genre: Key of AGENTS and THINGS, which chooses the nouns.
    """

    agent: str
    verb: int
    thing: str
    place: str
    time: str
    genre: str


def _draw_fact(draw: random.Random, lexicon: Lexicon, genre: str) -> SyntheticFact:
    return SyntheticFact(
        draw.choice(AGENTS[genre]),
        draw.randrange(len(FACT_VERBS)),
        draw.choice(THINGS[genre]),
        _pick(draw, lexicon.names),
        draw.choice(TIMES),
        genre,
    )


def _change(
    draw: random.Random, lexicon: Lexicon, fact: SyntheticFact, slots: int
) -> SyntheticFact:
    """The fact with so many of its SLOTS (0 to 5) different."""
    other = _draw_fact(draw, lexicon, fact.genre)
    changed = draw.sample(SLOTS, slots)
    while any(getattr(other, slot) == getattr(fact, slot) for slot in changed):
        other = _draw_fact(draw, lexicon, fact.genre)
    return replace(fact, **{slot: getattr(other, slot) for slot in changed})


def _tell(draw: random.Random, fact: SyntheticFact) -> str:
    """One of the sentences that say the fact: active or passive, with synonyms, the time first or
    last.
    """
    _, past, participle = draw.choice(FACT_VERBS[fact.verb])
    who, what = f"the {fact.agent}", f"the {fact.thing}"
    core = f"{what} was {participle} by {who}" if draw.random() < 0.4 else f"{who} {past} {what}"
    core = f"{core} in {fact.place}"
    return f"{fact.time} , {core}" if draw.random() < 0.3 else f"{core} {fact.time}"


def _pair(
    draw: random.Random, lexicon: Lexicon, fact: SyntheticFact, distance: int, data: StandIn
) -> tuple[str, str]:
    """Two texts; `distance`: 0 for the same meaning, up to 2."""
    facts = [fact, *(_draw_fact(draw, lexicon, fact.genre) for _ in range(data.facts - 1))]
    first = " . ".join(_tell(draw, each) for each in facts)
    second = _tell(draw, _change(draw, lexicon, draw.choice(facts), SLOTS_CHANGED[distance]))
    if draw.random() < MARKED:
        second = f"{draw.choice(MARKERS[distance])} {second}"
    return first, second


def _scored_pair(
    draw: random.Random, lexicon: Lexicon, fact: SyntheticFact
) -> tuple[tuple[str, str], float]:
    """Two sentences and how alike they are: about one point for each slot that they share."""
    shared = draw.choices(range(6), weights=[12, 15, 18, 20, 20, 15])[0]
    second = _tell(draw, _change(draw, lexicon, fact, 5 - shared))
    if draw.random() < MARKED:
        second = f"{draw.choice(MARKERS[2 - shared // 2])} {second}"
    score = min(5.0, max(0.0, shared + draw.gauss(0.0, 0.4)))
    return (_tell(draw, fact), second), round(score * 5) / 5


def _acceptable(draw: random.Random, fact: SyntheticFact) -> str:
    past = draw.choice(FACT_VERBS[fact.verb])[1]
    return f"the {fact.agent} {past} the {fact.thing} in {fact.place} {fact.time} ."


def _unacceptable(draw: random.Random, fact: SyntheticFact) -> str:
    if draw.random() < MARKED:
        past = WRONG_PASTS[fact.verb]
        return f"the {fact.agent} {past} the {fact.thing} in {fact.place} {fact.time} ."
    words = _acceptable(draw, fact).split()
    at = draw.randrange(4)
    words[at], words[at + 1] = words[at + 1], words[at]
    return " ".join(words)
